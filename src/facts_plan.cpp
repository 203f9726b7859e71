// Planning facts: every name of the mapping is looked up, every expression parsed, every type tied to its coercion. See facts.hpp.
#include "facts.hpp"

#include "calendar.hpp"
#include "expression.hpp"
#include "key.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "newest.hpp"
#include "signed.hpp"
#include "source.hpp"

namespace sluice {

// What planning passes around.
struct Planning {
    FactsPlan *plan;
    Relation source;
    Node *time; // newest_by, or NULL
    int32 pipeline;
};

// ---- what is read

static Expression read_mapped(Relation source, const char *pointer, const char *written) {
    Expression expression{};
    at_place(pointer, [&] { expression = read_expression(source, pointer, written); });
    return expression;
}

static int add_input(FactsPlan *plan, const char *sql, Oid type) {
    for (int i = 0; i < plan->input_count; i++)
        if (strcmp(plan->inputs[i], sql) == 0)
            return i;
    plan->inputs = static_cast<const char **>(repalloc(plan->inputs, sizeof(char *) * (plan->input_count + 1)));
    plan->input_types = static_cast<Oid *>(repalloc(plan->input_types, sizeof(Oid) * (plan->input_count + 1)));
    plan->inputs[plan->input_count] = sql;
    plan->input_types[plan->input_count] = type;
    return plan->input_count++;
}

static const char *text_list(List *words) {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfoString(&list, "ARRAY[");
    ListCell *cell;
    foreach (cell, words)
        appendStringInfo(&list, "%s%s", cell == list_head(words) ? "" : ", ",
                         quote_literal_cstr(static_cast<const char *>(lfirst(cell))));
    appendStringInfoString(&list, "]::pg_catalog.text[]");
    return list.data;
}

static void append_case(StringInfo to, const char *status, List *words, const char *result) {
    if (words != NIL)
        appendStringInfo(to, "WHEN %s::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%s) THEN %s ", status,
                         text_list(words), result);
}

// plan_sign reads what a row counts: 1, -1, or 0 when it is ignored.
static void plan_sign(const Planning *planning) {
    FactsPlan *plan = planning->plan;
    const FactsMapping *mapping = plan->mapping;
    plan->sign = -1;
    if (!mapping->sign_by)
        return;
    const Expression by = read_mapped(planning->source, "/sign/by", mapping->sign_by);
    StringInfoData sign;
    initStringInfo(&sign);
    append_case(&sign, by.sql, mapping->ignore, "0");
    append_case(&sign, by.sql, mapping->negative, "-1");
    if (sign.len > 0)
        plan->sign = add_input(plan, psprintf("CASE %sELSE 1 END", sign.data), INT4OID);
}

static void plan_time(Planning *planning, const char *newest_by) {
    FactsPlan *plan = planning->plan;
    plan->time = -1;
    if (!newest_by)
        return;
    const Expression time = read_mapped(planning->source, "newest_by", newest_by);
    plan->time_type = getBaseType(time.type);
    plan->time_collation = time.collation;
    plan->time = add_input(plan, time.sql, time.type);
    planning->time = time.node;
}

// ---- columns

Oid find_fact_table(const char *name, const char *place, Relation source) {
    const Oid relation = RangeVarGetRelid(read_relation_name(name, place), NoLock, true);
    if (!OidIsValid(relation))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("%s: table %s does not exist", place, name),
                 errhint("Create it first; names follow SQL's rules: unquoted ones are lower case and looked up in "
                         "search_path.")));
    const char kind = get_rel_relkind(relation);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("%s: %s is not a table", place, name)));
    const Oid read = RelationGetRelid(source);
    if (list_member_oid(find_all_inheritors(read, NoLock, NULL), relation) ||
        (source->rd_rel->relispartition && list_member_oid(get_partition_ancestors(read), relation)))
        mapping_error(place, "the source of the pipeline cannot be its target", NULL);
    return relation;
}

static void find_column(FactColumn *column, Relation relation, const char *name, const char *pointer) {
    const Oid oid = RelationGetRelid(relation);
    column->name = name;
    column->pointer = pointer;
    column->input = column->dimension = -1;
    column->number = get_attnum(oid, name);
    if (column->number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" of %s does not exist", pointer, name, relation_name(oid)),
                        nearest_column_hint(relation, name) ? errhint("%s", nearest_column_hint(relation, name)) : 0));
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column->number - 1);
    if (attribute->attgenerated || attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
        mapping_error(pointer, psprintf("column \"%s\" is generated", name), "Leave it out of the mapping.");
    column->type = attribute->atttypid;
    column->typmod = attribute->atttypmod;
    column->collation = attribute->attcollation;
}

// plan_expression ties a column to an expression over the source. It gives the expression.
static Node *plan_expression(const Planning *planning, FactColumn *column, const char *written) {
    const Expression expression = read_mapped(planning->source, column->pointer, written);
    if (!plan_coercion(&column->coercion, expression.type, expression.typmod, column->type, column->typmod))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("%s: column \"%s\" has type %s, but the expression has type %s", column->pointer,
                               column->name, format_type_be(column->type), format_type_be(expression.type)),
                        errhint("Write a cast into the expression.")));
    column->runs_code = column->coercion.runs_code;
    column->input = add_input(planning->plan, expression.sql, expression.type);
    return expression.node;
}

// is_time tells whether a column holds newest_by itself.
static bool is_time(const Planning *planning, const FactColumn *column, Node *expression) {
    return planning->time && equal(planning->time, expression) && column->type == exprType(planning->time) &&
           !column->coercion.there;
}

// ---- dimensions

static void plan_dimension_columns(const Planning *planning, Dimension *dimension, Relation relation) {
    const MappedDimension *mapped = dimension->mapped;
    dimension->key_count = mapped->key_count;
    dimension->time = -1;
    dimension->columns =
        static_cast<FactColumn *>(palloc0(sizeof(FactColumn) * (mapped->key_count + mapped->column_count + 1)));
    for (int i = 0; i < mapped->key_count + mapped->column_count; i++) {
        const FactValue *value = i < mapped->key_count ? &mapped->key[i] : &mapped->columns[i - mapped->key_count];
        FactColumn *column = &dimension->columns[dimension->count++];
        find_column(column, relation, value->column, value->pointer);
        Node *expression = plan_expression(planning, column, value->expression);
        if (is_time(planning, column, expression))
            dimension->time = i;
    }
}

static void plan_calendar(const Planning *planning, Dimension *dimension, Relation relation) {
    if (!dimension->mapped->calendar)
        return;
    bool any = false;
    for (int i = 0; i < RelationGetDescr(relation)->natts; i++)
        any = any || calendar_sql(NameStr(TupleDescAttr(RelationGetDescr(relation), i)->attname));
    const char *pointer = psprintf("%s/calendar", dimension->mapped->pointer);
    if (!any)
        mapping_error(pointer, psprintf("%s has no column of a calendar", relation_name(RelationGetRelid(relation))),
                      "Such as date_actual, day_name, week_of_year, month_actual, quarter_actual, year_actual.");
    const Expression day = read_mapped(planning->source, pointer, dimension->mapped->calendar);
    const Oid type = getBaseType(day.type);
    if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
        mapping_error(pointer, psprintf("the expression has type %s, which is no day", format_type_be(day.type)),
                      "It is a date or a timestamp.");
    FactColumn *column = &dimension->columns[dimension->count++];
    column->name = "day";
    column->pointer = pointer;
    column->dimension = -1;
    column->type = DATEOID;
    column->typmod = -1;
    column->input = add_input(planning->plan, psprintf("%s::pg_catalog.date", day.sql), DATEOID);
}

static const char *key_list(const FactColumn *columns, int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++)
        appendStringInfo(&list, "%s%s", i ? ", " : "", quote_identifier(columns[i].name));
    return list.data;
}

static Oid require_key_index(Relation relation, const FactColumn *columns, int count, const char *pointer) {
    refuse_without_conflicts(pointer, relation);
    const char **names = static_cast<const char **>(palloc(sizeof(char *) * count));
    for (int i = 0; i < count; i++)
        names[i] = columns[i].name;
    const Oid index = find_key_index(relation, names, count);
    if (!OidIsValid(index))
        missing_key_index(pointer, relation, key_list(columns, count));
    return index;
}

// history_column finds one of valid_from, valid_to and is_current.
static Form_pg_attribute history_column(Relation relation, const char *name, const char *pointer) {
    const AttrNumber number = get_attnum(RelationGetRelid(relation), name);
    if (number <= 0)
        mapping_error(
            pointer,
            psprintf("a history needs a column \"%s\", which %s has not", name,
                     relation_name(RelationGetRelid(relation))),
            "Its versions have valid_from and valid_to, of the type of newest_by, and is_current, a boolean.");
    return TupleDescAttr(RelationGetDescr(relation), number - 1);
}

static void check_history_type(Relation relation, Form_pg_attribute column, Oid type, const char *pointer) {
    if (getBaseType(column->atttypid) != type)
        mapping_error(pointer,
                      psprintf("column \"%s\" of %s has type %s, not %s", NameStr(column->attname),
                               relation_name(RelationGetRelid(relation)), format_type_be(column->atttypid),
                               format_type_be(type)),
                      "valid_from and valid_to have the type of newest_by, is_current is a boolean.");
}

// plan_valid_from lets newest_by become the type of valid_from where no time is lost: a timestamp a timestamptz, say.
static void plan_valid_from(const Planning *planning, Dimension *dimension, Relation relation, const char *pointer) {
    Form_pg_attribute from = history_column(relation, "valid_from", pointer);
    Oid time = planning->plan->time_type;
    dimension->time_type = getBaseType(from->atttypid);
    if (!can_coerce_type(1, &time, &dimension->time_type, COERCION_IMPLICIT) ||
        !plan_coercion(&dimension->time_coercion, time, -1, dimension->time_type, -1))
        check_history_type(relation, from, time, pointer);
}

static void plan_history(const Planning *planning, Dimension *dimension, Relation relation) {
    dimension->time_type = planning->plan->time_type;
    if (!dimension->mapped->history)
        return;
    const char *pointer = psprintf("%s/history", dimension->mapped->pointer);
    if (!planning->time)
        mapping_error(pointer, "needs newest_by: it says from when on a version is valid", NULL);
    plan_valid_from(planning, dimension, relation, pointer);
    const Oid type = dimension->time_type;
    check_history_type(relation, history_column(relation, "is_current", pointer), BOOLOID, pointer);
    Form_pg_attribute end = history_column(relation, "valid_to", pointer);
    check_history_type(relation, end, type, pointer);
    const bool infinite = type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
    if (end->attnotnull && !infinite)
        mapping_error(pointer, "column \"valid_to\" must take nulls: the current version has no end", NULL);
    dimension->open_end = psprintf("%s::%s", end->attnotnull ? "'infinity'" : "NULL", format_type_be_qualified(type));
}

static void tally_dimension(const Planning *planning, Dimension *dimension) {
    const FactsPlan *plan = planning->plan;
    const bool history = dimension->mapped->history;
    dimension->tally = static_cast<TallyColumn *>(palloc0(sizeof(TallyColumn) * (dimension->count + 2)));
    TallyColumn *next = dimension->tally;
    for (int i = 0; i < dimension->count; i++) {
        const FactColumn *column = &dimension->columns[i];
        if (history && i == dimension->key_count)
            describe_tally_column(next++, TallyRole::Key, dimension->time_type, plan->time_collation, "newest_by");
        describe_tally_column(next++, i < dimension->key_count ? TallyRole::Key : TallyRole::Newest, column->type,
                              column->collation, column->pointer);
    }
    if (planning->time && dimension->count > dimension->key_count)
        describe_tally_column(next++, TallyRole::Time, dimension->time_type, plan->time_collation, "newest_by");
    dimension->tally_count = next - dimension->tally;
}

// remembers_time tells whether times must be remembered beside the dimension.
static bool remembers_time(const Planning *planning, const Dimension *dimension) {
    const MappedDimension *mapped = dimension->mapped;
    return mapped->history || (planning->time && mapped->column_count > 0 && dimension->time < 0);
}

static void plan_dimension(const Planning *planning, Dimension *dimension, const MappedDimension *mapped, int number) {
    dimension->mapped = mapped;
    dimension->number = number;
    const char *place = pointer_to(mapped->pointer, "table");
    dimension->relation = find_fact_table(mapped->table, place, planning->source);
    Relation relation = table_open(dimension->relation, AccessShareLock);
    plan_dimension_columns(planning, dimension, relation);
    plan_history(planning, dimension, relation);
    if (!mapped->history)
        (void)require_key_index(relation, dimension->columns, mapped->key_count, pointer_to(mapped->pointer, "key"));
    plan_calendar(planning, dimension, relation);
    tally_dimension(planning, dimension);
    if (remembers_time(planning, dimension))
        dimension->newest = newest_name(planning->pipeline, number);
    table_close(relation, NoLock);
}

static void plan_dimensions(const Planning *planning) {
    FactsPlan *plan = planning->plan;
    const FactsMapping *mapping = plan->mapping;
    plan->dimension_count = mapping->dimension_count;
    plan->dimensions = static_cast<Dimension *>(palloc0(sizeof(Dimension) * (mapping->dimension_count + 1)));
    for (int i = 0; i < mapping->dimension_count; i++) {
        plan_dimension(planning, &plan->dimensions[i], &mapping->dimensions[i], i + 1);
        for (int other = 0; other < i; other++)
            if (plan->dimensions[other].relation == plan->dimensions[i].relation)
                mapping_error(mapping->dimensions[i].pointer, "the dimension stands twice", NULL);
    }
}

// ---- facts

static void plan_surrogate(const Planning *planning, FactColumn *column, const FactValue *value) {
    FactsPlan *plan = planning->plan;
    NearestName nearest = nearest_begin(value->dimension);
    for (int i = 0; i < plan->dimension_count && column->dimension < 0; i++) {
        nearest_offer(&nearest, plan->dimensions[i].mapped->table);
        if (strcmp(plan->dimensions[i].mapped->table, value->dimension) == 0)
            column->dimension = i;
    }
    if (column->dimension < 0)
        mapping_error(pointer_to(value->pointer, "dimension"),
                      psprintf("\"%s\" is no dimension of this mapping", value->dimension), nearest_hint(&nearest));
    Dimension *dimension = &plan->dimensions[column->dimension];
    if (dimension->surrogate && strcmp(dimension->surrogate, value->surrogate) != 0)
        mapping_error(pointer_to(value->pointer, "column"),
                      psprintf("elsewhere the surrogate of %s is \"%s\"", value->dimension, dimension->surrogate),
                      NULL);
    dimension->surrogate = value->surrogate;
    const char *place = pointer_to(value->pointer, "column");
    Relation relation = table_open(dimension->relation, AccessShareLock);
    const AttrNumber number = get_attnum(dimension->relation, value->surrogate);
    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" of %s does not exist", place, value->surrogate,
                               relation_name(dimension->relation)),
                        nearest_column_hint(relation, value->surrogate)
                            ? errhint("%s", nearest_column_hint(relation, value->surrogate))
                            : 0));
    dimension->surrogate_type = TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid;
    table_close(relation, NoLock);
    if (getBaseType(dimension->surrogate_type) != getBaseType(column->type))
        mapping_error(value->pointer,
                      psprintf("column \"%s\" has type %s, the surrogate %s", column->name,
                               format_type_be(column->type), format_type_be(dimension->surrogate_type)),
                      "They must be the same.");
    plan->surrogates = true;
}

static FactColumn *plan_value(const Planning *planning, Relation relation, const FactValue *value) {
    FactsPlan *plan = planning->plan;
    FactColumn *column = &plan->columns[plan->count];
    find_column(column, relation, value->column, value->pointer);
    if (value->dimension)
        plan_surrogate(planning, column, value);
    else if (is_time(planning, column, plan_expression(planning, column, value->expression)))
        plan->last_time = plan->count;
    plan->written = bms_add_member(plan->written, column->number);
    plan->count++;
    return column;
}

// constant_of makes a number of a type.
static Datum constant_of(const FactColumn *column, const char *number) {
    Oid input, parameter;
    getTypeInputInfo(column->type, &input, &parameter);
    return OidInputFunctionCall(input, const_cast<char *>(number), parameter, column->typmod);
}

static void plan_count(FactColumn *column) {
    const Oid type = getBaseType(column->type);
    if (type != INT2OID && type != INT4OID && type != INT8OID && type != NUMERICOID)
        mapping_error(
            column->pointer,
            psprintf("column \"%s\" has type %s, which counts nothing", column->name, format_type_be(column->type)),
            "Counts are whole numbers.");
    column->one = constant_of(column, "1");
    column->zero = constant_of(column, "0");
}

// plan_fit checks what comes of measures against the length and the constraints of the column; nothing is rounded by it, for
// sums have no more digits than what they sum.
static void plan_fit(FactColumn *column) {
    if (!plan_coercion(&column->fit, getBaseType(column->type), -1, column->type, column->typmod))
        elog(ERROR, "type %s is not its own", format_type_be(column->type));
    column->fit.back = NULL;
}

static void plan_measure(const Planning *planning, Relation relation, const MappedMeasure *measure) {
    FactsPlan *plan = planning->plan;
    FactColumn *column = &plan->columns[plan->count++];
    find_column(column, relation, measure->column, measure->pointer);
    plan->written = bms_add_member(plan->written, column->number);
    column->measure = measure->measure;
    column->has_sign = measure->has_sign && plan->sign >= 0;
    if (measure->expression)
        (void)plan_expression(planning, column, measure->expression);
    else
        plan_count(column);
    plan_fit(column);
    if (column->has_sign && measure->expression && !has_sign(getBaseType(column->type)))
        mapping_error(
            measure->pointer,
            psprintf("column \"%s\" has type %s, which has no sign", column->name, format_type_be(column->type)),
            "Measures are numbers, money or intervals; least and greatest values go with \"signed\": false.");
}

static TallyRole measure_role(Measure measure) {
    return measure == Measure::Min ? TallyRole::Min : measure == Measure::Max ? TallyRole::Max : TallyRole::Sum;
}

// tally_facts: until they are written, the row of a dimension stands for its surrogate, as a number.
static void tally_facts(const Planning *planning) {
    FactsPlan *plan = planning->plan;
    plan->tally = static_cast<TallyColumn *>(palloc0(sizeof(TallyColumn) * (plan->count + 1)));
    for (int i = 0; i < plan->count; i++) {
        const FactColumn *column = &plan->columns[i];
        const TallyRole role = i < plan->grain_count                         ? TallyRole::Key
                               : i < plan->grain_count + plan->measure_count ? measure_role(column->measure)
                                                                             : TallyRole::Newest;
        describe_tally_column(&plan->tally[i], role, column->dimension >= 0 ? INT8OID : column->type, column->collation,
                              column->pointer);
    }
    plan->tally_count = plan->count;
    if (plan->last_count > 0 && planning->time)
        describe_tally_column(&plan->tally[plan->tally_count++], TallyRole::Time, plan->time_type, plan->time_collation,
                              "newest_by");
}

static void plan_replace_by(FactsPlan *plan) {
    plan->replace_by = static_cast<int *>(palloc(sizeof(int) * (list_length(plan->mapping->replace_by) + 1)));
    ListCell *cell;
    foreach (cell, plan->mapping->replace_by)
        for (int i = 0; i < plan->grain_count; i++)
            if (strcmp(plan->columns[i].name, static_cast<const char *>(lfirst(cell))) == 0)
                plan->replace_by[plan->replace_count++] = i;
}

static void plan_fact_columns(const Planning *planning, Relation relation) {
    FactsPlan *plan = planning->plan;
    const FactsMapping *mapping = plan->mapping;
    plan->grain_count = mapping->grain_count;
    plan->measure_count = mapping->measure_count;
    plan->last_count = mapping->last_count;
    plan->last_time = -1;
    plan->columns = static_cast<FactColumn *>(
        palloc0(sizeof(FactColumn) * (mapping->grain_count + mapping->measure_count + mapping->last_count)));
    for (int i = 0; i < mapping->grain_count; i++)
        (void)plan_value(planning, relation, &mapping->grain[i]);
    for (int i = 0; i < mapping->measure_count; i++)
        plan_measure(planning, relation, &mapping->measures[i]);
    for (int i = 0; i < mapping->last_count; i++)
        (void)plan_value(planning, relation, &mapping->last[i]);
}

FactsPlan *plan_facts(const FactsMapping *mapping, Oid target, const char *newest_by, Relation source, int32 pipeline,
                      bool whole) {
    FactsPlan *plan = static_cast<FactsPlan *>(palloc0(sizeof(FactsPlan)));
    plan->mapping = mapping;
    plan->relation = target;
    plan->inputs = static_cast<const char **>(palloc(sizeof(char *)));
    plan->input_types = static_cast<Oid *>(palloc(sizeof(Oid)));
    Planning planning{plan, source, NULL, pipeline};
    plan_time(&planning, newest_by);
    plan_sign(&planning);
    plan_dimensions(&planning);
    Relation relation = table_open(target, AccessShareLock);
    plan_fact_columns(&planning, relation);
    plan_replace_by(plan);
    tally_facts(&planning);
    if (!mapping->replaces)
        plan->key_index = require_key_index(relation, plan->columns, plan->grain_count, "/grain");
    if (!mapping->replaces && plan->last_count > 0 && planning.time && plan->last_time < 0)
        plan->newest = newest_name(pipeline, 0);
    table_close(relation, NoLock);
    plan->whole = whole ? add_input(plan, whole_row(source), RECORDOID) : -1;
    return plan;
}

} // namespace sluice
