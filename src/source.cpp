// See source.hpp.
#include "source.hpp"

#include "names.hpp"

namespace sluice {

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

static const char *column_sql(const char *name) { return psprintf("s.%s", quote_identifier(name)); }

SourceColumns document_columns(Relation source, const char *document, const AttrNumber *numbers, int count) {
    const char **others = static_cast<const char **>(palloc(sizeof(char *) * (count + 1)));
    for (int i = 0; i < count; i++)
        others[i] = column_sql(NameStr(TupleDescAttr(RelationGetDescr(source), numbers[i] - 1)->attname));
    return SourceColumns{column_sql(document), get_attnum(RelationGetRelid(source), document), others, numbers, count};
}

SourceColumns row_columns(const char *content, const char *const *expressions, int count) {
    return SourceColumns{content, 0, expressions, NULL, count};
}

char *column_list(const SourceColumns *columns) {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfoString(&list, columns->document ? columns->document : "NULL::pg_catalog.text");
    for (int i = 0; i < columns->count; i++)
        appendStringInfo(&list, ", %s", columns->others[i]);
    return list.data;
}

SourceReader *make_reader(const SourceColumns *columns) {
    SourceReader *reader = static_cast<SourceReader *>(palloc0(sizeof(SourceReader)));
    reader->columns = columns->count;
    return reader;
}

SourceReader *prepare_reader(const char *statement, int parameters, Oid *types, const SourceColumns *columns,
                             bool indexed) {
    SourceReader *reader = make_reader(columns);
    reader->indexed = indexed;
    // With an index there is but one plan (see open_reader); without one, each batch is planned with its numbers.
    const int planning = indexed ? CURSOR_OPT_GENERIC_PLAN : CURSOR_OPT_CUSTOM_PLAN;
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    reader->plan = SPI_prepare_cursor(statement, parameters, types, planning | CURSOR_OPT_NO_SCROLL);
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

void open_reader(SourceReader *reader, Datum *parameters) {
    const bool plans = !reader->planned || !reader->indexed;
    const int settings = plans ? enter_planning(reader) : 0;
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    reader->portal = SPI_cursor_open(NULL, reader->plan, parameters, NULL, reader->steady);
    MemoryContextSwitchTo(memory);
    if (plans)
        AtEOXact_GUC(true, settings);
    reader->planned = true;
    reader->next = reader->fetched = 0;
    reader->rows = NULL;
}

uint64 fetch_rows(SourceReader *reader) {
    SPI_freetuptable(reader->rows);
    reader->rows = NULL;
    MemoryContext memory = CurrentMemoryContext;
    SPI_cursor_fetch(reader->portal, true, rows_in_memory);
    MemoryContextSwitchTo(memory);
    reader->rows = SPI_tuptable;
    reader->next = 0;
    reader->fetched = SPI_processed;
    return reader->fetched;
}

// read_tuple takes all columns at once: one by one each would be looked for from the front.
void read_tuple(SourceReader *reader, HeapTuple tuple, TupleDesc columns, SourceRow *row) {
    if (reader->width < columns->natts) {
        reader->width = columns->natts;
        reader->values =
            static_cast<Datum *>(MemoryContextAlloc(GetMemoryChunkContext(reader), sizeof(Datum) * columns->natts));
        reader->nulls =
            static_cast<bool *>(MemoryContextAlloc(GetMemoryChunkContext(reader), sizeof(bool) * columns->natts));
    }
    heap_deform_tuple(tuple, columns, reader->values, reader->nulls);
    row->order = reader->values[0];
    row->order_is_null = reader->nulls[0];
    row->document = reader->values[1];
    row->document_is_null = reader->nulls[1];
    row->columns = reader->values + 2;
    row->nulls = reader->nulls + 2;
}

bool read_row(SourceReader *reader, SourceRow *row) {
    if (reader->next == reader->fetched && fetch_rows(reader) == 0)
        return false;
    read_tuple(reader, reader->rows->vals[reader->next++], reader->rows->tupdesc, row);
    return true;
}

Datum read_extra(SourceReader *reader, int number, bool *is_null) {
    return heap_getattr(reader->rows->vals[reader->next - 1], reader->columns + 3 + number, reader->rows->tupdesc,
                        is_null);
}

void close_reader(SourceReader *reader) {
    SPI_freetuptable(reader->rows);
    reader->rows = NULL;
    SPI_cursor_close(reader->portal);
    reader->portal = NULL;
}

} // namespace sluice
