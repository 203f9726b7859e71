// See lineage.hpp.
//
// The triggers see every way in which a batch writes, and everybody else who writes to these tables: then the run is null.
// They fire for each row, and entries are written by the thousand: they wait in the memory of the transaction, and are
// written when there are many, at the end of a batch, and before the commit. A subtransaction that is rolled back takes its
// own entries with it: each entry knows how deep the transaction was nested. Entries of an outer level that had to be written in a
// subtransaction stay until that has ended: if it is rolled back they are written again. So they are not always written in their
// order, and get their numbers when they are noted: of a row, while it is locked.
//
// Values are kept as text by the types' own output functions, under settings with which they read back as they were
// (enter_plain_texts), columns by their names: so entries outlive dumps, other versions, and tables that grow.
#include "lineage.hpp"

#include "catalog.hpp"
#include "lineage_scope.hpp"
#include "lineage_tables.hpp"
#include "pipeline.hpp"
#include "writer.hpp"

namespace sluice {

// ---- rows as text

RowText make_row_text(TupleDesc columns) {
    RowText to{columns, static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * (columns->natts + 1))),
               static_cast<const char **>(palloc0(sizeof(char *) * (columns->natts + 1)))};
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped || (column->attgenerated && column->attgenerated != ATTRIBUTE_GENERATED_STORED))
            continue;
        Oid output;
        bool varlena;
        getTypeOutputInfo(column->atttypid, &output, &varlena);
        fmgr_info(output, &to.outputs[i]);
        StringInfoData label;
        initStringInfo(&label);
        escape_json(&label, NameStr(column->attname));
        to.labels[i] = label.data;
    }
    return to;
}

const char *row_text(const RowText *row, const AttrNumber *numbers, int count, const Datum *values, const bool *nulls) {
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < (numbers ? count : row->columns->natts); i++) {
        const int at = numbers ? numbers[i] - 1 : i;
        if (!row->labels[at])
            continue;
        appendStringInfoString(&text, text.len ? ", " : "{");
        appendStringInfoString(&text, row->labels[at]);
        appendStringInfoString(&text, ": ");
        if (nulls[at])
            appendStringInfoString(&text, "null");
        else
            escape_json(&text, OutputFunctionCall(&row->outputs[at], values[at]));
    }
    appendStringInfoString(&text, text.len ? "}" : "{}");
    return text.data;
}

uint64 row_mark(int target, const char *row_key) {
    return DatumGetUInt64(
        hash_any_extended(reinterpret_cast<const unsigned char *>(row_key), static_cast<int>(strlen(row_key)), target));
}

// ---- entries that wait

// A table as a trigger of it sees it, as long as it stays as it is.
struct NotedTable {
    uint64 checked_at;
    bool gone; // nobody keeps lineage of it any more
    int32 pipeline;
    int target;
    TupleDesc columns;
    RowText text;
    int key_count;
    AttrNumber *key;
    bool key_depends; // on settings, as text
};

struct NotedRow {
    NotedTable *table;
    int64 entry;
    int level;   // of nesting
    int written; // at which level it was; 0: not yet
    const char *operation;
    int64 run_id, batch; // 0: none
    const char *place;
    HeapTuple row;   // of which the key is taken; NULL: truncate
    bool keeps_rest; // and the whole of it
};

struct Waiting {
    MemoryContext memory;
    Oid numbers;  // the sequence
    HTAB *tables; // by trigger: a pointer to the latest
    NotedRow *rows;
    int count, room;
    int fresh; // noted since some were written last
    Size fresh_bytes;
};

constexpr int most_rows = 4096;
constexpr Size most_bytes = 8 * 1024 * 1024;

static Waiting *waiting = NULL; // of this transaction
static uint64 relation_changes = 1;
static Restoring *restoring = NULL;
static int restoring_level = 0; // of nesting

struct KnownTable {
    Oid trigger;
    NotedTable *table;
};

static void begin_waiting() {
    MemoryContext memory = AllocSetContextCreate(TopTransactionContext, "sluice lineage", ALLOCSET_DEFAULT_SIZES);
    Waiting *begun = static_cast<Waiting *>(MemoryContextAllocZero(memory, sizeof(Waiting)));
    begun->memory = memory;
    begun->numbers = get_relname_relid("lineage_entry_seq", get_namespace_oid("sluice", false));
    HASHCTL control{};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(KnownTable);
    control.hcxt = memory;
    begun->tables = hash_create("sluice lineage", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    waiting = begun;
}

// ---- writing them

static const char *text_of(const NotedRow *row, bool whole) {
    const NotedTable *table = row->table;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (table->columns->natts + 1)));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * (table->columns->natts + 1)));
    heap_deform_tuple(row->row, table->columns, values, nulls);
    return row_text(&table->text, whole ? NULL : table->key, table->key_count, values, nulls);
}

// The columns of sluice.lineage that are written: all.
enum {
    entry_column,
    pipeline_column,
    target_column,
    operation_column,
    run_column,
    batch_column,
    written_column,
    source_column,
    key_column,
    before_column,
    column_count
};

static void set_text(WriterRow *row, int column, const char *text) {
    row->nulls[column] = !text;
    if (text)
        row->values[column] = CStringGetTextDatum(text);
}

static void set_number(WriterRow *row, int column, int64 number) {
    row->nulls[column] = number == 0;
    row->values[column] = Int64GetDatum(number);
}

static void fill_entry(WriterRow *entry, const NotedRow *row) {
    set_number(entry, entry_column, row->entry);
    entry->values[pipeline_column] = Int32GetDatum(row->table->pipeline);
    entry->values[target_column] = Int32GetDatum(row->table->target);
    entry->values[written_column] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
    entry->nulls[pipeline_column] = entry->nulls[target_column] = entry->nulls[written_column] = false;
    set_number(entry, run_column, row->run_id);
    set_number(entry, batch_column, row->batch);
    set_text(entry, operation_column, row->operation);
    set_text(entry, source_column, row->place);
    set_text(entry, key_column, row->row ? text_of(row, false) : NULL);
    set_text(entry, before_column, row->keeps_rest ? text_of(row, true) : NULL);
}

// insert_entries writes those that are not written like rows of a target, as the superuser. CurrentMemoryContext is for all of it.
static void insert_entries(const NotedRow *rows, int count) {
    WriterTarget target{};
    target.relation = get_relname_relid("lineage", get_namespace_oid("sluice", false));
    target.parent = -1;
    target.mode = Mode::Append;
    for (int i = 1; i <= column_count; i++)
        target.written = bms_add_member(target.written, i);
    MemoryContext all = CurrentMemoryContext;
    MemoryContext each = AllocSetContextCreate(all, "sluice lineage entry", ALLOCSET_DEFAULT_SIZES);
    const CatalogScope catalog = enter_catalog();
    const int settings = enter_plain_texts();
    const WriterOptions options{};
    Writer *writer = writer_begin(&target, 1, &options, make_writer_cache(all));
    for (int i = 0; i < count; i++) {
        if (rows[i].written)
            continue;
        WriterRow entry = writer_row(writer, 0);
        MemoryContextSwitchTo(each);
        fill_entry(&entry, &rows[i]);
        (void)writer_put(writer, 0);
        MemoryContextSwitchTo(all);
        MemoryContextReset(each);
    }
    (void)writer_finish(writer);
    AtEOXact_GUC(false, settings);
    leave_catalog(&catalog);
}

static void free_row(const NotedRow *row) {
    if (row->row)
        heap_freetuple(row->row);
    if (row->place)
        pfree(const_cast<char *>(row->place));
}

// settle_from goes through the rows from number `first` on, which are written: those of this level are done.
static void settle_from(int first, int level) {
    int kept = first;
    for (int i = first; i < waiting->count; i++) {
        NotedRow *row = &waiting->rows[i];
        if (row->level >= level) {
            free_row(row);
            continue;
        }
        row->written = row->written ? row->written : level;
        waiting->rows[kept++] = *row;
    }
    waiting->count = kept;
    waiting->fresh = 0;
    waiting->fresh_bytes = 0;
}

static bool has_unwritten(int first) {
    for (int i = first; i < waiting->count; i++)
        if (!waiting->rows[i].written)
            return true;
    return false;
}

// write_from writes the rows from number `first` on.
static void write_from(int first) {
    if (!has_unwritten(first))
        return;
    MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "sluice lineage entries", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(work);
    insert_entries(waiting->rows + first, waiting->count - first);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(work);
    settle_from(first, GetCurrentTransactionNestLevel());
}

void flush_lineage() {
    if (waiting)
        write_from(0);
}

void flush_own_lineage() {
    if (!waiting)
        return;
    const int level = GetCurrentTransactionNestLevel();
    int first = waiting->count;
    while (first > 0 && waiting->rows[first - 1].level >= level)
        first--;
    write_from(first);
}

// ---- the end of (sub)transactions

// flush_before_commit writes much that a subtransaction noted while it is still one: the outer level is not to carry it.
static void flush_before_commit() {
    if (waiting->fresh < most_rows / 2 && waiting->fresh_bytes < most_bytes / 2)
        return;
    PushActiveSnapshot(GetTransactionSnapshot());
    flush_own_lineage();
    PopActiveSnapshot();
}

// hand_up gives what a subtransaction noted and wrote to the level above.
static void hand_up(int level) {
    int kept = 0;
    for (int i = 0; i < waiting->count; i++) {
        NotedRow *row = &waiting->rows[i];
        row->level = Min(row->level, level - 1);
        row->written = Min(row->written, level - 1);
        if (row->written && row->written <= row->level)
            free_row(row);
        else
            waiting->rows[kept++] = *row;
    }
    waiting->count = kept;
}

// take_back forgets what a subtransaction noted; what it wrote of others is to be written again.
static void take_back(int level) {
    while (waiting->count > 0 && waiting->rows[waiting->count - 1].level >= level)
        free_row(&waiting->rows[--waiting->count]);
    for (int i = 0; i < waiting->count; i++)
        if (waiting->rows[i].written >= level)
            waiting->rows[i].written = 0;
}

static void end_subtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
    const int level = GetCurrentTransactionNestLevel();
    if (event == SUBXACT_EVENT_ABORT_SUB && restoring_level >= level)
        restoring = NULL;
    if (!waiting || waiting->count == 0)
        return;
    if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
        flush_before_commit();
    else if (event == SUBXACT_EVENT_COMMIT_SUB)
        hand_up(level);
    else if (event == SUBXACT_EVENT_ABORT_SUB)
        take_back(level);
}

static void end_transaction(XactEvent event, void *) {
    if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) {
        if (!waiting || waiting->count == 0)
            return;
        PushActiveSnapshot(GetTransactionSnapshot());
        flush_lineage();
        PopActiveSnapshot();
    } else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE) {
        waiting = NULL; // its memory goes with the transaction
        restoring = NULL;
    }
}

static void note_relation_change(Datum, Oid) { relation_changes++; }

void watch_lineage() {
    CacheRegisterRelcacheCallback(note_relation_change, 0);
    RegisterXactCallback(end_transaction, NULL);
    RegisterSubXactCallback(end_subtransaction, NULL);
}

// ---- the trigger

static void find_key(NotedTable *table, Relation relation) {
    List *key = lineage_key(relation);
    table->key_count = list_length(key);
    table->key = key_numbers(relation, key);
    for (int i = 0; i < table->key_count; i++)
        if (needs_plain_texts(TupleDescAttr(RelationGetDescr(relation), table->key[i] - 1)->atttypid))
            table->key_depends = true;
}

// is_gone: nobody keeps lineage of it any more, or the key was dropped.
static bool is_gone(const NotedTable *table) {
    return !OidIsValid(pipeline_owner(table->pipeline)) || table->key_count == 0;
}

static NotedTable *describe_table(const TriggerData *data) {
    const Trigger *trigger = data->tg_trigger;
    if (trigger->tgnargs != 2)
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("sluice.note_lineage is a trigger of sluice's own making")));
    MemoryContext before = MemoryContextSwitchTo(waiting->memory);
    NotedTable *table = static_cast<NotedTable *>(palloc0(sizeof(NotedTable)));
    table->pipeline = pg_strtoint32(trigger->tgargs[0]);
    table->target = pg_strtoint32(trigger->tgargs[1]);
    table->columns = CreateTupleDescCopyConstr(RelationGetDescr(data->tg_relation));
    table->text = make_row_text(table->columns);
    find_key(table, data->tg_relation);
    table->gone = is_gone(table);
    MemoryContextSwitchTo(before);
    return table;
}

// is_as_noted tells whether what is known of a table still holds; mostly something else has changed.
static bool is_as_noted(const NotedTable *table, Relation relation) {
    List *key = lineage_key(relation);
    return equalTupleDescs(table->columns, RelationGetDescr(relation)) && table->key_count == list_length(key) &&
           memcmp(table->key, key_numbers(relation, key), sizeof(AttrNumber) * table->key_count) == 0;
}

// noted_table finds what is known of the trigger's table; rows that wait keep the table as it was.
static NotedTable *noted_table(const TriggerData *data) {
    if (!waiting)
        begin_waiting();
    bool found;
    KnownTable *known =
        static_cast<KnownTable *>(hash_search(waiting->tables, &data->tg_trigger->tgoid, HASH_ENTER, &found));
    if (!found)
        known->table = NULL;
    if (known->table && known->table->checked_at == relation_changes)
        return known->table;
    const uint64 now = relation_changes;
    if (known->table && is_as_noted(known->table, data->tg_relation))
        known->table->gone = is_gone(known->table);
    else
        known->table = describe_table(data);
    known->table->checked_at = now;
    return known->table;
}

static NotedRow *add_row(NotedTable *table, const LineageScope *scope, const char *operation) {
    if (waiting->count == waiting->room) {
        const int room = Max(waiting->room * 2, 64);
        NotedRow *rows = static_cast<NotedRow *>(MemoryContextAllocHuge(waiting->memory, sizeof(NotedRow) * room));
        if (waiting->room > 0) {
            memcpy(rows, waiting->rows, sizeof(NotedRow) * waiting->room);
            pfree(waiting->rows);
        }
        waiting->rows = rows;
        waiting->room = room;
    }
    NotedRow *row = &waiting->rows[waiting->count++];
    *row = NotedRow{};
    row->table = table;
    row->entry = nextval_internal(waiting->numbers, false);
    row->level = GetCurrentTransactionNestLevel();
    row->operation = operation;
    row->run_id = scope ? *scope->run_id : 0;
    row->batch = scope ? *scope->batches + 1 : 0;
    return row;
}

// key_row takes the columns of the key alone.
static HeapTuple key_row(const NotedTable *table, HeapTuple whole) {
    TupleDesc columns = table->columns;
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * columns->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
    memset(nulls, true, sizeof(bool) * columns->natts);
    for (int i = 0; i < table->key_count; i++) {
        const int at = table->key[i] - 1;
        values[at] = heap_getattr(whole, table->key[i], columns, &nulls[at]);
        if (!nulls[at] && TupleDescAttr(columns, at)->attlen == -1)
            values[at] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[at]));
    }
    MemoryContext before = MemoryContextSwitchTo(waiting->memory);
    HeapTuple row = heap_form_tuple(columns, values, nulls);
    MemoryContextSwitchTo(before);
    pfree(values);
    pfree(nulls);
    return row;
}

// note keeps an entry of a row; `before`: the row is what it was before.
static void note(NotedTable *table, const LineageScope *scope, const char *operation, HeapTuple whole, bool before,
                 const char *place) {
    NotedRow *row = add_row(table, scope, operation);
    if (place)
        row->place = MemoryContextStrdup(waiting->memory, place);
    row->keeps_rest = before;
    if (before) {
        MemoryContext memory = MemoryContextSwitchTo(waiting->memory);
        row->row = HeapTupleHasExternal(whole) ? toast_flatten_tuple(whole, table->columns) : heap_copytuple(whole);
        MemoryContextSwitchTo(memory);
    } else {
        row->row = key_row(table, whole);
    }
    waiting->fresh++;
    waiting->fresh_bytes += row->row->t_len;
    if (waiting->fresh >= most_rows || waiting->fresh_bytes > most_bytes)
        flush_own_lineage();
}

static bool is_key_changed(const NotedTable *table, HeapTuple before, HeapTuple after) {
    for (int i = 0; i < table->key_count; i++) {
        Form_pg_attribute column = TupleDescAttr(table->columns, table->key[i] - 1);
        bool was_null, is_null;
        const Datum was = heap_getattr(before, table->key[i], table->columns, &was_null);
        const Datum is = heap_getattr(after, table->key[i], table->columns, &is_null);
        if (was_null != is_null || (!is_null && !datum_image_eq(was, is, column->attbyval, column->attlen)))
            return true;
    }
    return false;
}

// expect_row tells whether a row is among those that are being put back; the first that is not is kept.
static void expect_row(const NotedTable *table, HeapTuple whole) {
    if (!restoring->expected || restoring->row_key)
        return;
    NotedRow row{};
    row.table = const_cast<NotedTable *>(table);
    row.row = whole;
    const int settings = table->key_depends ? enter_plain_texts() : 0;
    const char *row_key = text_of(&row, false);
    if (table->key_depends)
        AtEOXact_GUC(false, settings);
    const uint64 mark = row_mark(table->target, row_key);
    if (!hash_search(restoring->expected, &mark, HASH_FIND, NULL)) {
        restoring->target = table->target;
        restoring->row_key = MemoryContextStrdup(waiting->memory, row_key);
    }
}

void start_restoring(Restoring *state) {
    restoring = state;
    restoring_level = GetCurrentTransactionNestLevel();
}

void end_restoring() { restoring = NULL; }

static void note_row(const TriggerData *data, NotedTable *table) {
    const LineageScope *scope = lineage_scope(table->pipeline);
    const Oid relation = RelationGetRelid(data->tg_relation);
    HeapTuple row = data->tg_trigtuple;
    if (TRIGGER_FIRED_BY_INSERT(data->tg_event)) {
        note(table, scope, "insert", row, false, place_of(scope, relation, &row->t_self));
    } else if (TRIGGER_FIRED_BY_DELETE(data->tg_event)) {
        note(table, scope, "delete", row, true, scope ? scope->place : NULL);
    } else {
        HeapTuple after = data->tg_newtuple;
        const char *place = place_of(scope, relation, &after->t_self);
        const bool moves = is_key_changed(table, row, after);
        note(table, scope, moves ? "delete" : "update", row, true, place);
        if (moves)
            note(table, scope, "insert", after, false, place);
    }
}

static void note_change(const TriggerData *data) {
    NotedTable *table = noted_table(data);
    if (table->gone)
        return;
    const bool restores = restoring && restoring->pipeline == table->pipeline;
    if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event)) {
        (void)add_row(table, lineage_scope(table->pipeline), "truncate");
        return;
    }
    if (!restores) {
        note_row(data, table);
        return;
    }
    expect_row(table, data->tg_trigtuple);
    if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
        expect_row(table, data->tg_newtuple);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_note_lineage);
Datum sluice_note_lineage(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("sluice.note_lineage is called as a trigger alone")));
    note_change(reinterpret_cast<TriggerData *>(fcinfo->context));
    PG_RETURN_POINTER(NULL);
}

} // extern "C"
