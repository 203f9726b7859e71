// See merge_delete.hpp.
//
// A delete that arrives late, behind rows that are newer, takes away what is older than it: the row is deleted and inserted
// again with what is left, as it would have been had everything come in order.
#include "merge_delete.hpp"

#include "merge_page.hpp"
#include "names.hpp"

namespace sluice {

enum class Fate : uint8_t {
    Stays,
    Goes,
    GoesIfOld // nothing is remembered of it: what its newest_by says decides
};

struct Doomed {
    FoldKey *key;
    Fate fate;
};

static const char *operator_name(Oid operation) {
    HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operation));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for operator %u", operation);
    const Form_pg_operator form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
    const char *name =
        psprintf("%s.%s", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
    ReleaseSysCache(tuple);
    return name;
}

// equality writes the condition that the key of `left` is that of `right`, by the operators of the key's index.
static const char *equality(const MergePlan *plan, const char *left, const char *right) {
    StringInfoData condition;
    initStringInfo(&condition);
    Relation index = index_open(plan->key_index, AccessShareLock);
    for (int i = 0; i < plan->key_count; i++) {
        const Oid operation = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i], index->rd_opcintype[i],
                                                  BTEqualStrategyNumber);
        const char *column = quote_identifier(NameStr(TupleDescAttr(plan->columns, plan->key[i] - 1)->attname));
        appendStringInfo(&condition, "%s%s.%s OPERATOR(%s) %s.%s", i ? " AND " : "", left, column,
                         operator_name(operation), right, column);
    }
    index_close(index, NoLock);
    return condition.data;
}

// What is said of a key in sluice_rows, before the key: its number, the page of its state (if it lies on one), whether only an
// old row goes, and what old is.
enum { number_column, page_column, if_old_column, old_column, told_columns };

static TupleDesc key_row_type(const MergePlan *plan) {
    TupleDesc type = CreateTemplateTupleDesc(told_columns + plan->key_count);
    Form_pg_attribute newest = plan->newest ? TupleDescAttr(plan->columns, plan->newest - 1) : NULL;
    TupleDescInitEntry(type, number_column + 1, "sluice_number", INT8OID, -1, 0);
    TupleDescInitEntry(type, page_column + 1, "sluice_page", INT8OID, -1, 0);
    TupleDescInitEntry(type, if_old_column + 1, "sluice_if_old", BOOLOID, -1, 0);
    TupleDescInitEntry(type, old_column + 1, "sluice_old", newest ? newest->atttypid : static_cast<Oid>(INT4OID), -1,
                       0);
    for (int i = 0; i < plan->key_count; i++)
        TupleDescCopyEntry(type, told_columns + i + 1, plan->columns, plan->key[i]);
    return type;
}

static void put_key_row(const MergePlan *plan, Tuplestorestate *rows, TupleDesc type, const Doomed *doomed,
                        int64 number) {
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * type->natts));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * type->natts));
    Datum *old = &values[old_column];
    bool *is_null = &nulls[old_column];
    values[number_column] = Int64GetDatum(number);
    values[page_column] = Int64GetDatum(page_of(doomed->key->place));
    values[if_old_column] = BoolGetDatum(doomed->fate == Fate::GoesIfOld);
    *is_null = true;
    if (plan->newest) {
        *old = moment_datum(plan->moments, doomed->key->deleted, is_null);
        if (!*is_null)
            *old = coerce_value(const_cast<Coercion *>(&plan->newest_coercion), *old, is_null);
    }
    for (int i = 0; i < plan->key_count; i++)
        values[told_columns + i] = doomed->key->key[i];
    tuplestore_putvalues(rows, type, values, nulls);
    pfree(values);
    pfree(nulls);
}

template <class Asks>
static Tuplestorestate *key_rows(const MergePlan *plan, TupleDesc type, const Doomed *doomed, int64 count, Asks asks) {
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    for (int64 i = 0; i < count; i++)
        if (asks(i))
            put_key_row(plan, rows, type, &doomed[i], i);
    return rows;
}

// on_key_rows runs a statement over those keys as sluice_rows of which `asks` says so, and hands each row that it returns to `take`.
template <class Asks, class Take>
static void on_key_rows(const MergePlan *plan, const Doomed *doomed, int64 count, const char *statement, Asks asks,
                        Take take) {
    MemoryContext memory = CurrentMemoryContext;
    TupleDesc type = key_row_type(plan);
    Tuplestorestate *rows = key_rows(plan, type, doomed, count, asks);
    SPI_connect();
    EphemeralNamedRelationData relation{};
    relation.md.name = const_cast<char *>("sluice_rows");
    relation.md.tupdesc = type;
    relation.md.enrtype = ENR_NAMED_TUPLESTORE;
    relation.md.enrtuples = tuplestore_tuple_count(rows);
    relation.reldata = rows;
    if (SPI_register_relation(&relation) != SPI_OK_REL_REGISTER || SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement over the keys of a merge");
    SPITupleTable *result = SPI_tuptable;
    for (uint64 i = 0; i < SPI_processed; i++)
        take(result->vals[i], result->tupdesc, memory);
    SPI_finish();
    tuplestore_end(rows);
    MemoryContextSwitchTo(memory);
}

static int64 number_of(HeapTuple tuple, TupleDesc type) {
    bool is_null;
    return DatumGetInt64(heap_getattr(tuple, 1, type, &is_null));
}

// fate_of says what becomes of the row of a key of which something is remembered.
static Fate fate_of(const MergePlan *plan, const FoldKey *key, const MergeState *state) {
    if (key->deleted <= state->deleted)
        return Fate::Stays; // it is gone already
    if (state->waits || state->newest <= state->deleted)
        return Fate::GoesIfOld; // if there is a row, somebody else put it there
    if (state->newest <= key->deleted)
        return Fate::Goes;
    for (int i = 0; i < plan->leaf_count; i++)
        if (state->moments[i] != unknown_moment && has_older(&state->deep[i], state->moments[i], key->deleted))
            return Fate::Goes;
    return Fate::Stays;
}

static void ask_states(const MergeStates *states, Doomed *doomed, int64 count) {
    const MergePlan *plan = states->plan;
    Relation table = table_open(states->relation, AccessShareLock);
    const char *same = states->page
                           ? psprintf("s.%s OPERATOR(pg_catalog.=) r.sluice_page", quote_identifier(states->page))
                           : equality(plan, "s", "r");
    const char *statement = psprintf("SELECT r.sluice_number, s.* FROM sluice_rows r JOIN %s s ON %s",
                                     relation_name(states->relation), same);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * states->column_count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * states->column_count));
    MemoryContext one = AllocSetContextCreate(CurrentMemoryContext, "sluice merge state", ALLOCSET_DEFAULT_SIZES);
    const auto is_first = [&](int64 i) { return i == 0 || !shares_row(states, doomed[i - 1].key, doomed[i].key); };
    on_key_rows(plan, doomed, count, statement, is_first, [&](HeapTuple tuple, TupleDesc type, MemoryContext) {
        for (int i = 0; i < states->column_count; i++)
            values[i] = heap_getattr(tuple, i + 2, type, &nulls[i]);
        int64 i = number_of(tuple, type);
        MemoryContext before = MemoryContextSwitchTo(one);
        do {
            const MergeState state = read_merge_state(states, doomed[i].key, values, nulls);
            if (state.exists)
                doomed[i].fate = fate_of(plan, doomed[i].key, &state);
            MemoryContextReset(one);
        } while (++i < count && !is_first(i));
        MemoryContextSwitchTo(before);
    });
    MemoryContextDelete(one);
    table_close(table, NoLock);
}

static void keep_taken(const MergePlan *plan, FoldKey *key, HeapTuple tuple, TupleDesc type) {
    DeletedRow *row = static_cast<DeletedRow *>(palloc(sizeof(DeletedRow)));
    row->values = static_cast<Datum *>(palloc0(sizeof(Datum) * plan->columns->natts));
    row->nulls = static_cast<bool *>(palloc(sizeof(bool) * plan->columns->natts));
    memset(row->nulls, true, plan->columns->natts);
    for (int i = 0; i < plan->item_count; i++) {
        const int number = plan->items[i].number;
        Form_pg_attribute column = TupleDescAttr(plan->columns, number);
        const Datum value = heap_getattr(tuple, i + 2, type, &row->nulls[number]);
        if (row->nulls[number])
            continue;
        if (column->attlen == -1)
            row->values[number] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
        else
            row->values[number] = datumCopy(value, column->attbyval, column->attlen);
    }
    key->taken = row;
}

static const char *delete_statement(const MergePlan *plan) {
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "DELETE FROM %s t USING sluice_rows r WHERE %s", relation_name(plan->relation),
                     equality(plan, "t", "r"));
    if (plan->newest) {
        const char *newest = quote_identifier(NameStr(TupleDescAttr(plan->columns, plan->newest - 1)->attname));
        appendStringInfo(&statement, " AND (NOT r.sluice_if_old OR t.%s IS NULL OR t.%s <= r.sluice_old)", newest,
                         newest);
    }
    appendStringInfoString(&statement, " RETURNING r.sluice_number");
    for (int i = 0; i < plan->item_count; i++)
        appendStringInfo(&statement, ", t.%s", quote_identifier(plan->items[i].name));
    return statement.data;
}

int64 delete_keys(const MergeStates *states, FoldKey **keys, int64 count) {
    const MergePlan *plan = states->plan;
    int64 doomed_count = 0, deleted = 0;
    Doomed *doomed = static_cast<Doomed *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Doomed) * (count + 1)));
    for (int64 i = 0; i < count; i++)
        if (keys[i]->deleted != unknown_moment)
            doomed[doomed_count++] = Doomed{keys[i], Fate::GoesIfOld};
    if (doomed_count > 0) {
        ask_states(states, doomed, doomed_count);
        const auto goes = [&](int64 i) { return doomed[i].fate != Fate::Stays; };
        on_key_rows(plan, doomed, doomed_count, delete_statement(plan), goes,
                    [&](HeapTuple tuple, TupleDesc type, MemoryContext memory) {
                        MemoryContext before = MemoryContextSwitchTo(memory);
                        keep_taken(plan, doomed[number_of(tuple, type)].key, tuple, type);
                        MemoryContextSwitchTo(before);
                        deleted++;
                    });
        CommandCounterIncrement();
    }
    pfree(doomed);
    return deleted;
}

} // namespace sluice
