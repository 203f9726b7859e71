// See restore.hpp.
//
// Of each row that the undone runs wrote its first entry tells what it was before, and its last whether it is there now: it is
// deleted, updated or inserted again. All of it is one statement: deletes, then updates, then inserts, and only at its end
// foreign keys are looked at, when everything is as it was. It runs as the owner, with all triggers.
//
// What makes it exact: nobody writes to the targets meanwhile; nobody wrote to these rows since (their triggers would have noted
// it); as many rows are found as there should be; no other row of a target changes along, by a cascade or a trigger; and
// what was put back reads as it was kept.
#include "restore.hpp"

#include "catalog.hpp"
#include "lineage.hpp"
#include "lineage_tables.hpp"
#include "names.hpp"
#include "order.hpp"
#include "rewind.hpp"

namespace sluice {

enum class Action : int8_t { Delete, Update, Insert };
constexpr int action_count = 3;

struct RestoredTable {
    int number;
    Relation relation;
    List *key; // names
    int64 counts[action_count];
    Tuplestorestate *rows; // action, the row as it was, and the columns of the table by their numbers
    TupleDesc type;
};

struct Restore {
    const Pipeline *pipeline;
    int64 to_run;
    RestoredTable *tables;
    int count;
    Restoring watch;
};

[[noreturn]] static void refuse(const Restore *restore, const char *why, const char *hint) {
    refuse_rewind(restore->pipeline, restore->to_run, why, hint);
}

static constexpr char others_changed[] = "Undo that change, or rewind to a later run.";

int64 run_without_lineage(int32 pipeline, int64 to_run) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, to_run);
    catalog_execute(
        "SELECT coalesce(min(r.run_id), 0) FROM sluice.run_log r WHERE r.pipeline_id = $1::int AND r.run_id > "
        "$2 AND r.undone_at IS NULL AND NOT r.lineage AND (r.batches > 0 OR r.source_rows > 0 OR "
        "r.inserted + r.updated + r.deleted > 0)",
        &parameters);
    bool is_null;
    const int64 run = result_int(0, 1, &is_null);
    free_result();
    return run;
}

void forget_later_lineage(int32 pipeline, int64 to_run) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, to_run);
    catalog_execute("DELETE FROM sluice.lineage WHERE pipeline_id = $1::int AND run_id > $2", &parameters);
}

void forget_lineage(int32 pipeline) {
    flush_lineage();
    Parameters parameters{};
    add_int(&parameters, pipeline);
    catalog_execute("DELETE FROM sluice.lineage WHERE pipeline_id = $1::int", &parameters);
}

// ---- the tables

// The first columns of what is put back; those of the table follow.
constexpr int action_column = 0, before_column = 1, first_column = 2;

static TupleDesc row_type(Relation relation) {
    TupleDesc columns = RelationGetDescr(relation);
    TupleDesc type = CreateTemplateTupleDesc(columns->natts + first_column);
    TupleDescInitEntry(type, action_column + 1, "sluice_do", INT4OID, -1, 0);
    TupleDescInitEntry(type, before_column + 1, "sluice_before", TEXTOID, -1, 0);
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        const AttrNumber number = static_cast<AttrNumber>(i + first_column + 1);
        TupleDescInitEntry(type, number, psprintf("c%d", i + 1), column->attisdropped ? INT4OID : column->atttypid,
                           column->attisdropped ? -1 : column->atttypmod, 0);
        if (!column->attisdropped)
            TupleDescInitEntryCollation(type, number, column->attcollation);
    }
    return type;
}

// open_tables keeps everybody else from writing to the targets: then it can be seen who wrote to them.
static void open_tables(Restore *restore) {
    List *targets = lineage_targets(restore->pipeline->id);
    restore->tables = static_cast<RestoredTable *>(palloc0(sizeof(RestoredTable) * (list_length(targets) + 1)));
    ListCell *cell;
    foreach (cell, targets) {
        const LineageTarget *target = static_cast<const LineageTarget *>(lfirst(cell));
        RestoredTable *table = &restore->tables[restore->count++];
        table->number = target->number;
        table->relation = table_open(target->relation, ShareRowExclusiveLock);
        table->key = lineage_key(table->relation);
        table->type = row_type(table->relation);
        table->rows = tuplestore_begin_heap(false, false, work_mem);
    }
}

static void close_tables(const Restore *restore) {
    for (int i = 0; i < restore->count; i++) {
        tuplestore_end(restore->tables[i].rows);
        table_close(restore->tables[i].relation, NoLock);
    }
}

static RestoredTable *table_of(const Restore *restore, int64 number) {
    for (int i = 0; i < restore->count; i++)
        if (restore->tables[i].number == number)
            return &restore->tables[i];
    refuse(restore, "A table that runs after it wrote to is not there any more.", NULL);
}

static const char *table_name(const RestoredTable *table) { return relation_name(RelationGetRelid(table->relation)); }

// check_truncates: what a run itself truncated, by a trigger perhaps, was not noted row by row.
static void check_truncates(const Restore *restore) {
    Parameters parameters{};
    add_int(&parameters, restore->pipeline->id);
    add_int(&parameters, restore->to_run);
    if (catalog_execute("SELECT l.target::bigint, l.run_id FROM sluice.lineage l WHERE l.pipeline_id = $1::int AND "
                        "l.run_id > $2 AND l.operation = 'truncate' ORDER BY l.entry LIMIT 1",
                        &parameters) > 0) {
        bool is_null;
        const char *name = table_name(table_of(restore, result_int(0, 1, &is_null)));
        refuse(restore, psprintf("Run " INT64_FORMAT " truncated %s.", result_int(0, 2, &is_null), name),
               "Rewind to that run, or a later one.");
    }
    free_result();
}

// check_others refuses rows that somebody else wrote to since the undone runs did.
static void check_others(const Restore *restore) {
    Parameters parameters{};
    add_int(&parameters, restore->pipeline->id);
    add_int(&parameters, restore->to_run);
    const uint64 found = catalog_execute(
        "SELECT o.target::bigint, o.row_key, o.operation FROM sluice.lineage o WHERE o.pipeline_id = $1::int AND "
        "o.run_id IS "
        "NULL AND o.entry > (SELECT e.entry FROM sluice.lineage e WHERE e.pipeline_id = $1::int AND e.run_id > $2 "
        "ORDER BY "
        "e.run_id, e.entry LIMIT 1) AND CASE WHEN o.row_key IS NULL THEN EXISTS (SELECT FROM sluice.lineage e WHERE "
        "e.pipeline_id = $1::int AND e.run_id > $2 AND e.target = o.target) ELSE EXISTS (SELECT FROM sluice.lineage e "
        "WHERE "
        "hashtextextended(e.row_key, e.pipeline_id) = hashtextextended(o.row_key, o.pipeline_id) AND e.pipeline_id = "
        "$1::int "
        "AND e.target = o.target AND e.row_key = o.row_key AND e.run_id > $2 AND e.entry < o.entry) END ORDER BY "
        "o.entry "
        "LIMIT 1",
        &parameters);
    if (found > 0) {
        bool is_null;
        const char *name = table_name(table_of(restore, result_int(0, 1, &is_null)));
        const char *row_key = result_text(0, 2), *operation = result_text(0, 3);
        refuse(restore,
               row_key ? psprintf("Row %s of %s was changed by somebody else since (%s).", row_key, name, operation)
                       : psprintf("%s was truncated since.", name),
               others_changed);
    }
    free_result();
}

// ---- the rows as they were

static void set_value(RestoredTable *table, const Restore *restore, const char *name, const char *text, Datum *values,
                      bool *nulls, bool *given) {
    const AttrNumber number = get_attnum(RelationGetRelid(table->relation), name);
    if (number <= 0)
        refuse(restore, psprintf("%s has no column %s any more, which its rows had.", table_name(table), name), NULL);
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table->relation), number - 1);
    const int at = number - 1 + first_column;
    given[number - 1] = true;
    nulls[at] = !text;
    if (!text)
        return;
    Oid input, parameter;
    getTypeInputInfo(column->atttypid, &input, &parameter);
    values[at] = OidInputFunctionCall(input, const_cast<char *>(text), parameter, column->atttypmod);
}

// read_row reads the columns of a row as row_text wrote it; it returns how many there are.
static int read_row(RestoredTable *table, const Restore *restore, const char *text, Datum *values, bool *nulls,
                    bool *given) {
    Jsonb *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
    JsonbIterator *iterator = JsonbIteratorInit(&object->root);
    JsonbValue value;
    const char *name = NULL;
    int count = 0;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE;) {
        if (token == WJB_KEY)
            name = pnstrdup(value.val.string.val, value.val.string.len);
        if (token != WJB_VALUE)
            continue;
        const bool is_null = value.type == jbvNull;
        set_value(table, restore, name, is_null ? NULL : pnstrdup(value.val.string.val, value.val.string.len), values,
                  nulls, given);
        count++;
    }
    return count;
}

// fill_missing: a column that was added since held what it was added with.
static void fill_missing(const RestoredTable *table, Datum *values, bool *nulls, const bool *given) {
    TupleDesc columns = RelationGetDescr(table->relation);
    for (int i = 0; i < columns->natts; i++)
        if (!given[i] && TupleDescAttr(columns, i)->atthasmissing)
            values[i + first_column] = getmissingattr(columns, i + 1, &nulls[i + first_column]);
}

static void check_key(const RestoredTable *table, const Restore *restore, const bool *given, int count) {
    bool same = count == list_length(table->key);
    ListCell *cell;
    foreach (cell, table->key)
        same =
            same && given[get_attnum(RelationGetRelid(table->relation), static_cast<const char *>(lfirst(cell))) - 1];
    if (!same)
        refuse(restore, psprintf("The key of %s was changed since.", table_name(table)), NULL);
}

static void add_row(RestoredTable *table, const Restore *restore, Action action, const char *row_key,
                    const char *before) {
    const int columns = table->type->natts;
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * columns));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns));
    bool *given = static_cast<bool *>(palloc0(sizeof(bool) * columns));
    memset(nulls, true, sizeof(bool) * columns);
    check_key(table, restore, given, read_row(table, restore, row_key, values, nulls, given));
    if (action != Action::Delete) {
        (void)read_row(table, restore, before, values, nulls, given);
        fill_missing(table, values, nulls, given);
        values[before_column] = CStringGetTextDatum(before);
        nulls[before_column] = false;
    }
    values[action_column] = Int32GetDatum(static_cast<int32>(action));
    nulls[action_column] = false;
    tuplestore_putvalues(table->rows, table->type, values, nulls);
    table->counts[static_cast<int>(action)]++;
    bool found;
    const uint64 mark = row_mark(table->number, row_key);
    (void)hash_search(restore->watch.expected, &mark, HASH_ENTER, &found);
}

// take_row: what it was is in its first entry, whether it is there in its last.
static void take_row(const Restore *restore, uint64 at) {
    bool is_null;
    const char *first = result_text(at, 3), *last = result_text(at, 4);
    const bool was = strcmp(first, "insert") != 0, is = strcmp(last, "delete") != 0;
    if (!was && !is)
        return;
    RestoredTable *table = table_of(restore, result_int(at, 1, &is_null));
    add_row(table, restore,
            !was ? Action::Delete
            : is ? Action::Update
                 : Action::Insert,
            result_text(at, 2), result_text(at, 5));
}

static void collect_rows(Restore *restore) {
    Parameters parameters{};
    add_int(&parameters, restore->pipeline->id);
    add_int(&parameters, restore->to_run);
    const uint64 count = catalog_execute(
        "SELECT f.target::bigint, f.row_key, f.operation, l.operation, f.before FROM (SELECT DISTINCT ON (e.target, "
        "e.row_key) e.* FROM sluice.lineage e WHERE e.pipeline_id = $1::int AND e.run_id > $2 AND e.target > 0 "
        "ORDER BY e.target, e.row_key, e.entry) f JOIN (SELECT DISTINCT ON (e.target, e.row_key) e.target, e.row_key, "
        "e.operation FROM sluice.lineage e WHERE e.pipeline_id = $1::int AND e.run_id > $2 AND e.target > 0 ORDER BY "
        "e.target, e.row_key, e.entry DESC) l ON l.target = f.target AND l.row_key = f.row_key",
        &parameters);
    SPITupleTable *rows = SPI_tuptable;
    HASHCTL control{};
    control.keysize = sizeof(uint64);
    control.entrysize = sizeof(uint64);
    control.hcxt = CurrentMemoryContext;
    restore->watch.expected = hash_create("sluice rows that are put back", static_cast<long>(count) + 1, &control,
                                          HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "sluice row", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(work);
    const int settings = enter_plain_texts();
    for (uint64 i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        SPI_tuptable = rows;
        take_row(restore, i);
        MemoryContextReset(work);
    }
    AtEOXact_GUC(false, settings);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(work);
    SPI_tuptable = rows;
    free_result();
}

// ---- the statement

static bool is_key_column(const RestoredTable *table, const char *name) { return has_name(table->key, name); }

static const char *of_key(const RestoredTable *table) {
    StringInfoData condition;
    initStringInfo(&condition);
    ListCell *cell;
    foreach (cell, table->key) {
        const char *name = static_cast<const char *>(lfirst(cell));
        const AttrNumber number = get_attnum(RelationGetRelid(table->relation), name);
        const Oid type = TupleDescAttr(RelationGetDescr(table->relation), number - 1)->atttypid;
        appendStringInfo(&condition, "%st.%s %s r.c%d", condition.len ? " AND " : "", quote_identifier(name),
                         equality_sql(type, "lineage"), number);
    }
    return condition.data;
}

static const char *written_to(const RestoredTable *table) {
    return psprintf("%s%s", table->relation->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "", table_name(table));
}

// append_after lets a part of the statement wait for parts of another kind.
static void append_after(StringInfo to, const Restore *restore, Action action) {
    const char kind = action == Action::Delete ? 'd' : 'u';
    for (int i = 0; i < restore->count; i++)
        if (restore->tables[i].counts[static_cast<int>(action)] > 0)
            appendStringInfo(to, " AND (SELECT pg_catalog.count(*) FROM %c%d) >= 0", kind, restore->tables[i].number);
}

static void append_delete(StringInfo to, const RestoredTable *table) {
    appendStringInfo(to, "d%d AS (DELETE FROM %s t USING sluice_rows_%d r WHERE r.sluice_do = 0 AND %s RETURNING 1)",
                     table->number, written_to(table), table->number, of_key(table));
}

static void append_update(StringInfo to, const Restore *restore, const RestoredTable *table) {
    TupleDesc columns = RelationGetDescr(table->relation);
    StringInfoData list;
    initStringInfo(&list);
    for (int pass = 0; pass < 2 && list.len == 0; pass++) // of a table that is nothing but its key, the key
        for (int i = 0; i < columns->natts; i++) {
            Form_pg_attribute column = TupleDescAttr(columns, i);
            if (!column->attisdropped && !column->attgenerated && column->attidentity != ATTRIBUTE_IDENTITY_ALWAYS &&
                is_key_column(table, NameStr(column->attname)) == (pass == 1))
                appendStringInfo(&list, "%s%s = r.c%d", list.len ? ", " : "",
                                 quote_identifier(NameStr(column->attname)), i + 1);
        }
    appendStringInfo(to, "u%d AS (UPDATE %s t SET %s FROM sluice_rows_%d r WHERE r.sluice_do = 1 AND %s", table->number,
                     written_to(table), list.data, table->number, of_key(table));
    append_after(to, restore, Action::Delete);
    appendStringInfoString(to, " RETURNING 1)");
}

static void append_insert(StringInfo to, const Restore *restore, const RestoredTable *table) {
    TupleDesc columns = RelationGetDescr(table->relation);
    StringInfoData names, values;
    initStringInfo(&names);
    initStringInfo(&values);
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped || column->attgenerated)
            continue;
        appendStringInfo(&names, "%s%s", names.len ? ", " : "", quote_identifier(NameStr(column->attname)));
        appendStringInfo(&values, "%sr.c%d", values.len ? ", " : "", i + 1);
    }
    appendStringInfo(to,
                     "i%d AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM sluice_rows_%d r WHERE "
                     "r.sluice_do = 2",
                     table->number, table_name(table), names.data, values.data, table->number);
    append_after(to, restore, Action::Delete);
    append_after(to, restore, Action::Update);
    appendStringInfoString(to, " RETURNING 1)");
}

static void append_part(StringInfo to, const Restore *restore, const RestoredTable *table, Action action) {
    appendStringInfoString(to, to->len ? ", " : "WITH ");
    if (action == Action::Delete)
        append_delete(to, table);
    else if (action == Action::Update)
        append_update(to, restore, table);
    else
        append_insert(to, restore, table);
}

// write_statement also writes what it gives: the rows that each part wrote.
static const char *write_statement(const Restore *restore) {
    StringInfoData statement, counts;
    initStringInfo(&statement);
    initStringInfo(&counts);
    for (int action = 0; action < action_count; action++)
        for (int i = 0; i < restore->count; i++) {
            const RestoredTable *table = &restore->tables[i];
            if (table->counts[action] == 0)
                continue;
            append_part(&statement, restore, table, static_cast<Action>(action));
            appendStringInfo(&counts, "%s(SELECT pg_catalog.count(*) FROM %c%d)", counts.len ? ", " : "", "dui"[action],
                             table -> number);
        }
    return counts.len ? psprintf("%s SELECT %s", statement.data, counts.data) : NULL;
}

// ---- carrying it out

static void register_rows(const RestoredTable *table) {
    EphemeralNamedRelation relation = static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    relation->md.name = psprintf("sluice_rows_%d", table->number);
    relation->md.tupdesc = table->type;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = tuplestore_tuple_count(table->rows);
    relation->reldata = table->rows;
    if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not register the rows that are put back");
}

static void execute(const char *statement) {
    if (SPI_execute(statement, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a statement that puts rows back");
}

static void check_counts(const Restore *restore) {
    int number = 0;
    for (int action = 0; action < action_count; action++)
        for (int i = 0; i < restore->count; i++) {
            const RestoredTable *table = &restore->tables[i];
            if (table->counts[action] == 0)
                continue;
            bool is_null;
            const int64 written = result_int(0, ++number, &is_null);
            if (written != table->counts[action])
                refuse(restore,
                       psprintf("Of " INT64_FORMAT " rows of %s " INT64_FORMAT " could be put back.",
                                table->counts[action], table_name(table), written),
                       "Others have changed them without its triggers seeing it, or a trigger or policy keeps them.");
        }
}

// check_along refuses changes of other rows that came along.
static void check_along(const Restore *restore) {
    if (restore->watch.row_key)
        refuse(restore,
               psprintf("Row %s of %s, which is none of theirs, would change along.", restore->watch.row_key,
                        table_name(table_of(restore, restore->watch.target))),
               "A foreign key with an action, or a trigger, does that.");
}

// check_written reads what was put back.
static void check_written(const Restore *restore, const RestoredTable *table) {
    if (table->counts[static_cast<int>(Action::Update)] + table->counts[static_cast<int>(Action::Insert)] == 0)
        return;
    execute(psprintf("SELECT r.sluice_before, t.* FROM %s t, sluice_rows_%d r WHERE r.sluice_do > 0 AND %s",
                     written_to(table), table->number, of_key(table)));
    SPITupleTable *rows = SPI_tuptable;
    const uint64 count = SPI_processed;
    TupleDesc type = rows->tupdesc;
    AttrNumber *numbers = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * type->natts));
    for (int i = 1; i < type->natts; i++)
        numbers[i - 1] = static_cast<AttrNumber>(i + 1);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * type->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * type->natts));
    const int settings = enter_plain_texts();
    const RowText row = make_row_text(type);
    MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "sluice row", ALLOCSET_DEFAULT_SIZES);
    MemoryContext memory = MemoryContextSwitchTo(work);
    for (uint64 i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        MemoryContextReset(work);
        heap_deform_tuple(rows->vals[i], type, values, nulls);
        char *before = TextDatumGetCString(values[0]);
        const char *now = row_text(&row, numbers, type->natts - 1, values, nulls);
        if (strcmp(before, now) != 0 &&
            !DatumGetBool(DirectFunctionCall2(jsonb_contains, DirectFunctionCall1(jsonb_in, CStringGetDatum(now)),
                                              DirectFunctionCall1(jsonb_in, CStringGetDatum(before)))))
            refuse(restore, psprintf("A row of %s would become %s, and was %s.", table_name(table), now, before),
                   "A trigger, a column that cannot be set or that was given another type does that.");
    }
    MemoryContextSwitchTo(memory);
    MemoryContextDelete(work);
    AtEOXact_GUC(false, settings);
    SPI_freetuptable(rows);
}

static void restoring_context(void *) { errcontext("putting back rows of a run that is undone"); }

static void put_back(Restore *restore) {
    const char *statement = write_statement(restore);
    if (!statement)
        return;
    ErrorContextCallback context{error_context_stack, restoring_context, NULL};
    error_context_stack = &context;
    MemoryContext memory = CurrentMemoryContext;
    SPI_connect();
    for (int i = 0; i < restore->count; i++)
        register_rows(&restore->tables[i]);
    start_restoring(&restore->watch);
    execute(statement);
    end_restoring();
    check_counts(restore);
    check_along(restore);
    free_result();
    for (int i = 0; i < restore->count; i++)
        check_written(restore, &restore->tables[i]);
    SPI_finish();
    MemoryContextSwitchTo(memory);
    error_context_stack = context.previous;
}

void restore_rows(const Pipeline *pipeline, int64 to_run) {
    if (IsolationUsesXactSnapshot())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("a pipeline cannot be rewound in a transaction that is not READ COMMITTED"),
                        errdetail("What others have changed meanwhile would not be seen.")));
    flush_lineage();
    Restore restore{};
    restore.pipeline = pipeline;
    restore.to_run = to_run;
    restore.watch.pipeline = pipeline->id;
    open_tables(&restore);
    check_truncates(&restore);
    check_others(&restore);
    collect_rows(&restore);
    put_back(&restore);
    close_tables(&restore);
}

} // namespace sluice
