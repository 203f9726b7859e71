// See facts_row.hpp.
#include "facts_row.hpp"

#include "names.hpp"
#include "signed.hpp"

namespace sluice {

static RowValues make_values(int count) {
    return RowValues{static_cast<Datum *>(palloc0(sizeof(Datum) * (count + 1))),
                     static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)))};
}

FactRow *make_fact_row(const FactsPlan *plan) {
    FactRow *row = static_cast<FactRow *>(palloc0(sizeof(FactRow)));
    row->facts = make_values(plan->tally_count);
    row->dimensions = static_cast<RowValues *>(palloc(sizeof(RowValues) * (plan->dimension_count + 1)));
    for (int i = 0; i < plan->dimension_count; i++)
        row->dimensions[i] = make_values(plan->dimensions[i].tally_count);
    return row;
}

bool fact_row_runs_code(const FactsPlan *plan) {
    bool runs = false;
    for (int i = 0; i < plan->count; i++)
        runs = runs || plan->columns[i].runs_code;
    for (int i = 0; i < plan->dimension_count; i++)
        for (int c = 0; c < plan->dimensions[i].count; c++)
            runs = runs || plan->dimensions[i].columns[c].runs_code;
    return runs;
}

[[noreturn]] static void null_error(const FactColumn *column, const char *hint) {
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is null", column->pointer), errhint("%s", hint)));
    pg_unreachable();
}

static void read_value(FactColumn *column, const Datum *inputs, const bool *nulls, Datum *value, bool *is_null) {
    *is_null = nulls[column->input];
    *value = column->coercion.there ? coerce_value(&column->coercion, inputs[column->input], is_null)
                                    : inputs[column->input];
}

static void read_time(const FactsPlan *plan, const Datum *inputs, const bool *nulls, Datum *value, bool *is_null) {
    *value = inputs[plan->time];
    *is_null = nulls[plan->time];
}

// ---- dimensions

static void read_dimension_time(const FactsPlan *plan, Dimension *dimension, const Datum *inputs, const bool *nulls,
                                Datum *value, bool *is_null) {
    read_time(plan, inputs, nulls, value, is_null);
    if (dimension->time_coercion.there)
        *value = coerce_value(&dimension->time_coercion, *value, is_null);
}

static void read_dimension_row(const FactsPlan *plan, Dimension *dimension, const Datum *inputs, const bool *nulls,
                               FactRow *row, RowValues *to) {
    const bool history = dimension->mapped->history;
    int next = 0;
    row->relation = dimension->relation;
    for (int i = 0; i < dimension->count; i++) {
        row->at = NULL;
        if (history && i == dimension->key_count) {
            if (nulls[plan->time])
                ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("newest_by is null"),
                                errhint("A history needs to know from when on a version is valid.")));
            read_dimension_time(plan, dimension, inputs, nulls, &to->values[next], &to->nulls[next]);
            next++;
        }
        row->at = &dimension->columns[i];
        read_value(&dimension->columns[i], inputs, nulls, &to->values[next], &to->nulls[next]);
        if (to->nulls[next] && i < dimension->key_count)
            null_error(row->at,
                       "A row of a dimension is known by its key; write coalesce(...) where it may be missing.");
        if (to->nulls[next] && dimension->mapped->calendar && i == dimension->count - 1)
            null_error(row->at, "A calendar needs a day.");
        next++;
    }
    if (next < dimension->tally_count)
        read_dimension_time(plan, dimension, inputs, nulls, &to->values[next], &to->nulls[next]);
}

// ---- facts

static void read_count(const FactColumn *column, int sign, Datum *value, bool *is_null) {
    const bool counts =
        column->measure == Measure::CountAll || (column->measure == Measure::CountPositive) == (sign > 0);
    *value = counts ? column->one : column->zero;
    *is_null = false;
}

static void read_measure(FactColumn *column, int sign, const Datum *inputs, const bool *nulls, Datum *value,
                         bool *is_null) {
    if (column->input < 0) {
        read_count(column, sign, value, is_null);
        return;
    }
    read_value(column, inputs, nulls, value, is_null);
    if (sign < 0 && column->has_sign && !*is_null)
        *value = opposite(getBaseType(column->type), *value);
}

static void read_facts(const FactsPlan *plan, const Datum *inputs, const bool *nulls, int sign, FactRow *row) {
    row->relation = plan->relation;
    for (int i = 0; i < plan->count; i++) {
        FactColumn *column = &plan->columns[i];
        Datum *value = &row->facts.values[i];
        bool *is_null = &row->facts.nulls[i];
        row->at = column;
        if (column->dimension >= 0)
            continue;
        if (i >= plan->grain_count && i < plan->grain_count + plan->measure_count)
            read_measure(column, sign, inputs, nulls, value, is_null);
        else
            read_value(column, inputs, nulls, value, is_null);
        if (i < plan->grain_count && *is_null)
            null_error(column, "A fact is known by its grain; write coalesce(...) where it may be missing.");
    }
    if (plan->tally_count > plan->count)
        read_time(plan, inputs, nulls, &row->facts.values[plan->count], &row->facts.nulls[plan->count]);
}

void read_fact_row(const FactsPlan *plan, const Datum *inputs, const bool *nulls, FactRow *row) {
    const int sign = plan->sign >= 0 ? DatumGetInt32(inputs[plan->sign]) : 1;
    row->ignored = sign == 0;
    for (int i = 0; i < plan->dimension_count; i++)
        read_dimension_row(plan, &plan->dimensions[i], inputs, nulls, row, &row->dimensions[i]);
    read_facts(plan, inputs, nulls, sign, row);
    row->at = NULL;
}

} // namespace sluice
