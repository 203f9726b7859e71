// See source.hpp.
#include "source.hpp"

#include "names.hpp"

namespace sluice {

constexpr int rows_in_memory = 256;

bool has_order_index(Relation source, AttrNumber column) {
    bool found = false;
    List *indexes = RelationGetIndexList(source);
    ListCell *cell;
    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const Form_pg_index form = index->rd_index;
        // A partitioned index has no access method handler to ask, but only a btree can be the index of a key there.
        found = found || (form->indisvalid && form->indkey.values[0] == column &&
                          index->rd_rel->relam == BTREE_AM_OID && RelationGetIndexPredicate(index) == NIL);
        index_close(index, AccessShareLock);
    }
    list_free(indexes);
    return found;
}

static void free_reader_plan(void *argument) {
    SourceReader *reader = static_cast<SourceReader *>(argument);
    if (reader->plan)
        SPI_freeplan(reader->plan);
    reader->plan = NULL;
}

static char *column_list(Relation source, const char *document, const AttrNumber *columns, int count) {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfo(&list, "s.%s", quote_identifier(document));
    for (int i = 0; i < count; i++)
        appendStringInfo(&list, ", s.%s",
                         quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(source), columns[i] - 1)->attname)));
    return list.data;
}

SourceReader *prepare_reader(Relation source, const char *document, const char *order_by, const AttrNumber *columns,
                             int count) {
    SourceReader *reader = static_cast<SourceReader *>(palloc0(sizeof(SourceReader)));
    reader->columns = count;
    reader->values = static_cast<Datum *>(palloc0(sizeof(Datum) * (count + 1)));
    reader->nulls = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));
    reader->indexed = has_order_index(source, get_attnum(RelationGetRelid(source), order_by));
    const char *order = quote_identifier(order_by);
    // WITH TIES: rows that share a number (explicit values) never fall between two batches.
    const char *query = psprintf("SELECT s.%s::pg_catalog.int8, %s FROM %s s WHERE s.%s OPERATOR(pg_catalog.>) $1 AND "
                                 "s.%s OPERATOR(pg_catalog.<=) $2 "
                                 "ORDER BY s.%s FETCH FIRST ($3) ROWS WITH TIES",
                                 order, column_list(source, document, columns, count),
                                 relation_name(RelationGetRelid(source)), order, order, order);
    Oid types[] = {INT8OID, INT8OID, INT8OID};
    // With an index there is but one plan (see open_reader); without one, each batch is planned with its numbers.
    const int planning = reader->indexed ? CURSOR_OPT_GENERIC_PLAN : CURSOR_OPT_CUSTOM_PLAN;
    MemoryContext memory = CurrentMemoryContext;
    reader->plan = SPI_prepare_cursor(query, lengthof(types), types, planning | CURSOR_OPT_NO_SCROLL);
    if (!reader->plan || SPI_keepplan(reader->plan) != 0)
        elog(ERROR, "could not plan the reading of a source");
    MemoryContextSwitchTo(memory);
    reader->cleanup.func = free_reader_plan;
    reader->cleanup.arg = reader;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &reader->cleanup);
    return reader;
}

static void setting(const char *name, const char *value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// A source that just grew has no statistics yet: with an index on the order, the plan must never be in doubt.
static int enter_planning(const SourceReader *reader) {
    const int settings = NewGUCNestLevel();
    setting("jit", "off");
    if (reader->indexed) {
        setting("enable_seqscan", "off");
        setting("enable_bitmapscan", "off");
        setting("enable_sort", "off");
    }
    return settings;
}

void open_reader(SourceReader *reader, int64 after, int64 upto, int64 rows) {
    const bool plans = !reader->planned || !reader->indexed;
    const int settings = plans ? enter_planning(reader) : 0;
    Datum values[] = {Int64GetDatum(after), Int64GetDatum(upto), Int64GetDatum(rows)};
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    reader->portal = SPI_cursor_open(NULL, reader->plan, values, NULL, false);
    MemoryContextSwitchTo(memory);
    if (plans)
        AtEOXact_GUC(true, settings);
    reader->planned = true;
    reader->next = reader->count = 0;
    reader->rows = NULL;
}

bool read_row(SourceReader *reader, SourceRow *row) {
    if (reader->next == reader->count) {
        SPI_freetuptable(reader->rows);
        reader->rows = NULL;
        MemoryContext memory = CurrentMemoryContext;
        SPI_cursor_fetch(reader->portal, true, rows_in_memory);
        MemoryContextSwitchTo(memory);
        reader->rows = SPI_tuptable;
        reader->next = 0;
        reader->count = SPI_processed;
        if (reader->count == 0)
            return false;
    }
    HeapTuple tuple = reader->rows->vals[reader->next++];
    TupleDesc columns = reader->rows->tupdesc;
    bool is_null;
    row->order_value = DatumGetInt64(heap_getattr(tuple, 1, columns, &is_null));
    row->document = heap_getattr(tuple, 2, columns, &row->document_is_null);
    row->columns = reader->values;
    row->nulls = reader->nulls;
    for (int i = 0; i < reader->columns; i++)
        reader->values[i] = heap_getattr(tuple, i + 3, columns, &reader->nulls[i]);
    return true;
}

void close_reader(SourceReader *reader) {
    SPI_freetuptable(reader->rows);
    reader->rows = NULL;
    SPI_cursor_close(reader->portal);
    reader->portal = NULL;
}

bool highest_number(Oid source, const char *order_by, int64 *highest) {
    const char *query = psprintf("SELECT pg_catalog.max(%s)::pg_catalog.int8 FROM %s", quote_identifier(order_by),
                                 relation_name(source));
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute(query, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of max()");
    MemoryContextSwitchTo(memory);
    bool is_null;
    *highest = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    SPI_freetuptable(SPI_tuptable);
    return !is_null;
}

} // namespace sluice
