// See merge_delete.hpp.
//
// A delete that arrives late, behind rows that are newer, takes away what is older than it: the row is deleted and inserted
// again with what is left, as it would have been had everything come in order.
#include "merge_delete.hpp"

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

// key_rows puts keys into a store: their number, the key, whether only an old row goes, and what old is.
static TupleDesc key_row_type(const MergePlan *plan) {
    TupleDesc type = CreateTemplateTupleDesc(plan->key_count + 3);
    TupleDescInitEntry(type, 1, "sluice_number", INT8OID, -1, 0);
    TupleDescInitEntry(type, 2, "sluice_if_old", BOOLOID, -1, 0);
    Form_pg_attribute newest = plan->newest ? TupleDescAttr(plan->columns, plan->newest - 1) : NULL;
    TupleDescInitEntry(type, 3, "sluice_old", newest ? newest->atttypid : static_cast<Oid>(INT4OID), -1, 0);
    for (int i = 0; i < plan->key_count; i++)
        TupleDescCopyEntry(type, i + 4, plan->columns, plan->key[i]);
    return type;
}

static void put_key_row(const MergePlan *plan, Tuplestorestate *rows, TupleDesc type, const Doomed *doomed,
                        int64 number) {
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * type->natts));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * type->natts));
    values[0] = Int64GetDatum(number);
    values[1] = BoolGetDatum(doomed->fate == Fate::GoesIfOld);
    nulls[2] = true;
    if (plan->newest) {
        values[2] = moment_datum(plan->moments, doomed->key->deleted, &nulls[2]);
        if (!nulls[2])
            values[2] = coerce_value(const_cast<Coercion *>(&plan->newest_coercion), values[2], &nulls[2]);
    }
    for (int i = 0; i < plan->key_count; i++)
        values[i + 3] = doomed->key->key[i];
    tuplestore_putvalues(rows, type, values, nulls);
    pfree(values);
    pfree(nulls);
}

static Tuplestorestate *key_rows(const MergePlan *plan, TupleDesc type, const Doomed *doomed, int64 count) {
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    for (int64 i = 0; i < count; i++)
        if (doomed[i].fate != Fate::Stays)
            put_key_row(plan, rows, type, &doomed[i], i);
    return rows;
}

// on_key_rows runs a statement over the keys as sluice_rows, and hands each row that it returns to `take`.
template <class Take>
static void on_key_rows(const MergePlan *plan, const Doomed *doomed, int64 count, const char *statement, Take take) {
    MemoryContext memory = CurrentMemoryContext;
    TupleDesc type = key_row_type(plan);
    Tuplestorestate *rows = key_rows(plan, type, doomed, count);
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
    const char *statement = psprintf("SELECT r.sluice_number, s.* FROM sluice_rows r JOIN %s s ON %s",
                                     relation_name(states->relation), equality(plan, "s", "r"));
    const int columns = plan->key_count + merge_state_columns;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * columns));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns));
    on_key_rows(plan, doomed, count, statement, [&](HeapTuple tuple, TupleDesc type, MemoryContext) {
        for (int i = 0; i < columns; i++)
            values[i] = heap_getattr(tuple, i + 2, type, &nulls[i]);
        Doomed *one = &doomed[number_of(tuple, type)];
        const MergeState state = read_merge_state(states, values, nulls);
        one->fate = fate_of(plan, one->key, &state);
    });
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
        on_key_rows(plan, doomed, doomed_count, delete_statement(plan),
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
