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

AttrNumber find_source_column(Relation source, const char *column, const char *place) {
    const AttrNumber number = get_attnum(RelationGetRelid(source), column);
    const char *nearest = number > 0 ? NULL : nearest_column_hint(source, column);
    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" of source %s does not exist", place, column,
                               relation_name(RelationGetRelid(source))),
                        nearest ? errhint("%s", nearest) : 0));
    return number;
}

SourceColumns document_columns(Relation source, const char *document, const AttrNumber *numbers, int count) {
    const char **others = static_cast<const char **>(palloc(sizeof(char *) * (count + 1)));
    for (int i = 0; i < count; i++)
        others[i] = column_sql(NameStr(TupleDescAttr(RelationGetDescr(source), numbers[i] - 1)->attname));
    return SourceColumns{column_sql(document), get_attnum(RelationGetRelid(source), document), others, numbers, count};
}

const char *whole_row(Relation source) { return psprintf("(s.*)::%s", relation_name(RelationGetRelid(source))); }

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
    constexpr int extra = 8; // for what the cursor likes; see read_tuple
    reader->columns = columns->count;
    reader->memory = CurrentMemoryContext;
    reader->wanted = steady_rows;
    reader->room = columns->count + 2 + extra;
    reader->values = static_cast<Datum *>(palloc0(sizeof(Datum) * reader->room));
    reader->nulls = static_cast<bool *>(palloc0(sizeof(bool) * reader->room));
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
    reader->ended = false;
    reader->rows = NULL;
}

uint64 fetch_rows(SourceReader *reader) {
    SPI_freetuptable(reader->rows);
    reader->rows = NULL;
    MemoryContext memory = CurrentMemoryContext;
    SPI_cursor_fetch(reader->portal, true, rows_in_memory);
    MemoryContextSwitchTo(memory);
    reader->rows = SPI_tuptable;
    reader->row_values = NULL;
    reader->next = 0;
    reader->fetched = SPI_processed;
    return reader->fetched;
}

void read_tuple(SourceReader *reader, HeapTuple tuple, TupleDesc columns, SourceRow *row) {
    if (columns->natts <= reader->room)
        heap_deform_tuple(tuple, columns, reader->values, reader->nulls);
    else
        for (int i = 0; i < reader->columns + 2; i++)
            reader->values[i] = heap_getattr(tuple, i + 1, columns, &reader->nulls[i]);
    row->order = reader->values[0];
    row->order_is_null = reader->nulls[0];
    row->document = reader->values[1];
    row->document_is_null = reader->nulls[1];
    row->columns = reader->values + 2;
    row->nulls = reader->nulls + 2;
}

// ---- rows as values

// A RowReceiver takes rows from the executor.
struct RowReceiver {
    DestReceiver receiver; // first
    RowBatch *batch;
    const ScanColumns *columns;
};

// copy_value copies a value into the batch's buffer; what does not fit there any more, beside it.
static Datum copy_value(RowBatch *batch, const ScanColumn *column, Datum value) {
    const char *from = DatumGetPointer(value);
    const Size size = column->length == -1 ? VARSIZE_ANY(from) : datumGetSize(value, false, column->length);
    batch->bytes += size;
    char *copy;
    if (MAXALIGN(size) <= batch->room - batch->used) {
        copy = batch->buffer + batch->used;
        batch->used += MAXALIGN(size);
    } else {
        copy = static_cast<char *>(palloc(size));
    }
    memcpy(copy, from, size);
    return PointerGetDatum(copy);
}

// copy_column gives a value as it stays; an expanded one is flattened, which its copy could not be.
static Datum copy_column(RowBatch *batch, const ScanColumn *column, Datum value) {
    switch (column->kind) {
    case ScanKind::Null:
    case ScanKind::ByValue:
        return value;
    case ScanKind::Int2:
        return Int64GetDatum(DatumGetInt16(value));
    case ScanKind::Int4:
        return Int64GetDatum(DatumGetInt32(value));
    case ScanKind::ByReference:
        if (column->length == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value)))
            return datumCopy(value, false, -1);
        return copy_value(batch, column, value);
    }
    pg_unreachable();
}

// receive_row copies a row.
static bool receive_row(TupleTableSlot *slot, DestReceiver *self) {
    const RowReceiver *receiver = reinterpret_cast<RowReceiver *>(self);
    const ScanColumns *columns = receiver->columns;
    RowBatch *batch = receiver->batch;
    slot_getsomeattrs(slot, columns->last);
    Datum *values = &batch->values[batch->count * columns->count];
    bool *nulls = &batch->nulls[batch->count * columns->count];
    if (batch->count == 0)
        MemoryContextReset(batch->memory); // not before: where no row comes any more, those before stay as they are
    MemoryContext before = MemoryContextSwitchTo(batch->memory);
    for (int i = 0; i < columns->count; i++) {
        const ScanColumn *column = &columns->columns[i];
        nulls[i] = column->kind == ScanKind::Null || slot->tts_isnull[column->from - 1];
        values[i] = nulls[i] ? 0 : copy_column(batch, column, slot->tts_values[column->from - 1]);
    }
    MemoryContextSwitchTo(before);
    batch->count++;
    return true;
}

static void ignore_startup(DestReceiver *, int, TupleDesc) {}
static void ignore_receiver(DestReceiver *) {}

static RowReceiver make_receiver(RowBatch *batch, const ScanColumns *columns) {
    RowReceiver receiver{};
    receiver.receiver.receiveSlot = receive_row;
    receiver.receiver.rStartup = ignore_startup;
    receiver.receiver.rShutdown = ignore_receiver;
    receiver.receiver.rDestroy = ignore_receiver;
    receiver.receiver.mydest = DestNone;
    receiver.batch = batch;
    receiver.columns = columns;
    return receiver;
}

static void prepare_batch(SourceReader *reader, RowBatch *batch) {
    constexpr Size buffer_size = 64 * 1024;
    const int columns = reader->portal->tupDesc->natts;
    if (!batch->memory) {
        MemoryContext before = MemoryContextSwitchTo(reader->memory);
        batch->memory = AllocSetContextCreate(reader->memory, "sluice source rows", ALLOCSET_DEFAULT_SIZES);
        batch->buffer = static_cast<char *>(palloc(buffer_size));
        batch->room = buffer_size;
        batch->values = static_cast<Datum *>(palloc(sizeof(Datum) * columns * rows_in_memory));
        batch->nulls = static_cast<bool *>(palloc(sizeof(bool) * columns * rows_in_memory));
        MemoryContextSwitchTo(before);
    }
    batch->count = 0;
    batch->used = batch->bytes = 0;
}

// fetch_batch gets the next rows as values. Long rows come in smaller numbers.
static int fetch_batch(SourceReader *reader) {
    constexpr Size much = 1024 * 1024;
    reader->batch = 1 - reader->batch;
    RowBatch *batch = &reader->batches[reader->batch];
    prepare_batch(reader, batch);
    if (!reader->scan.columns)
        reader->scan = take_scan(reader->portal);
    RowReceiver receiver = make_receiver(batch, &reader->scan);
    MemoryContext memory = CurrentMemoryContext;
    (void)PortalRunFetch(reader->portal, FETCH_FORWARD, reader->wanted, &receiver.receiver);
    MemoryContextSwitchTo(memory);
    reader->ended = batch->count < reader->wanted;
    if (batch->bytes > much)
        reader->wanted = Max(reader->wanted / 2, steady_rows);
    else
        reader->wanted = Min(reader->wanted * 2, rows_in_memory);
    reader->next = 0;
    reader->fetched = batch->count;
    if (batch->count == 0)
        reader->batch = 1 - reader->batch; // the last rows stay
    return batch->count;
}

bool read_row(SourceReader *reader, SourceRow *row) {
    if (reader->next == reader->fetched && (reader->ended || fetch_batch(reader) == 0))
        return false;
    const RowBatch *batch = &reader->batches[reader->batch];
    const Size at = reader->next++ * reader->portal->tupDesc->natts;
    Datum *values = &batch->values[at];
    bool *nulls = &batch->nulls[at];
    row->order = values[0];
    row->order_is_null = nulls[0];
    row->document = values[1];
    row->document_is_null = nulls[1];
    row->columns = values + 2;
    row->nulls = nulls + 2;
    reader->row_values = values;
    reader->row_nulls = nulls;
    return true;
}

Datum read_extra(SourceReader *reader, int number, bool *is_null) {
    const int at = reader->columns + 2 + number;
    if (!reader->row_values)
        return heap_getattr(reader->rows->vals[reader->next - 1], at + 1, reader->rows->tupdesc, is_null);
    *is_null = reader->row_nulls[at];
    return reader->row_values[at];
}

void close_reader(SourceReader *reader) {
    SPI_freetuptable(reader->rows);
    reader->rows = NULL;
    SPI_cursor_close(reader->portal);
    reader->portal = NULL;
    reader->scan = ScanColumns{};
}

} // namespace sluice
