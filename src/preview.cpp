// sluice.preview: what the next source rows would become. The rows are really written, each document by itself, rows of other
// kinds together, in a subtransaction that is rolled back whatever happens: so constraints, triggers and keys have their say,
// and nothing stays but gaps in sequences.
#include "postgres.hpp"

#include "attempt.hpp"
#include "chunk.hpp"
#include "cursor.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "work.hpp"

namespace sluice {

// A row that a document put, as JSON.
struct SeenRow {
    const char *target;
    const char *json;
};

struct Preview {
    Pipeline *pipeline;
    MemoryContext memory;
    Tuplestorestate *result;
    TupleDesc columns;
    ChunkLoader loader;
    Checks *checks;
    DocumentReader documents;
    List *seen; // of the document in progress
};

static void see_row(void *context, Oid relation, Datum row) {
    Preview *preview = static_cast<Preview *>(context);
    MemoryContext before = MemoryContextSwitchTo(preview->memory);
    SeenRow *seen = static_cast<SeenRow *>(palloc(sizeof(SeenRow)));
    seen->target = relation_name(relation);
    seen->json = TextDatumGetCString(DirectFunctionCall1(row_to_json, row));
    preview->seen = lappend(preview->seen, seen);
    MemoryContextSwitchTo(before);
}

// add_result adds a row to the result: source row, target, row, error, detail; of them row and detail are JSON.
static void add_result(const Preview *preview, const char *const *texts) {
    constexpr int count = 5;
    Datum values[count] = {};
    bool nulls[count];
    for (int i = 0; i < count; i++) {
        const bool json = i == 2 || i == 4;
        nulls[i] = !texts[i];
        if (texts[i])
            values[i] = json ? DirectFunctionCall1(jsonb_in, CStringGetDatum(texts[i])) : CStringGetTextDatum(texts[i]);
    }
    tuplestore_putvalues(preview->result, preview->columns, values, nulls);
}

static void show_held(const Preview *preview, const HeldRow *held) {
    const char *place = held->row.place;
    if (held->refusal) {
        const char *error = psprintf("%s: %s", unpack_sql_state(held->refusal->sqlstate), held->refusal->message);
        const char *texts[] = {place, NULL, NULL, error, held->refusal->detail};
        add_result(preview, texts);
        return;
    }
    ListCell *cell;
    foreach (cell, preview->seen) {
        const SeenRow *seen = static_cast<SeenRow *>(lfirst(cell));
        const char *texts[] = {place, seen->target, seen->json, NULL, NULL};
        add_result(preview, texts);
    }
    const char *nothing[] = {place, NULL, NULL, NULL, NULL};
    if (preview->seen == NIL)
        add_result(preview, nothing);
}

// show_row loads one source row by itself.
static void show_row(Preview *preview, Cursor *cursor, const SourceRow *row) {
    StringInfoData place;
    initStringInfo(&place);
    cursor->describe(row, &place);
    preview->seen = NIL;
    hold_row(&preview->loader, row, place.data);
    Refusal refusal{};
    if (preview->checks && refuses_row(preview->checks, row->columns, row->nulls, true, &refusal))
        refuse_held(&preview->loader, &refusal);
    load_chunk(&preview->loader);
    show_held(preview, &preview->loader.chunk.rows[0]);
    empty_chunk(&preview->loader);
}

static void open_loader(Preview *preview, Relation source, ShredPlan *plan, Cursor *cursor) {
    ChunkLoader *loader = &preview->loader;
    Shredder *like = &loader->like;
    like->plan = plan;
    like->cache = make_writer_cache(preview->memory);
    like->source = RelationGetRelid(source);
    like->cursor = cursor;
    like->loaded_at = GetCurrentTransactionStartTimestamp();
    like->undoable = true;
    like->refuses_unknown = strcmp(preview->pipeline->unknown, "reject") == 0;
    like->see = see_row;
    like->seer = preview;
    open_document_reader(&preview->documents, document_type(source, preview->pipeline->document), preview->memory);
    loader->documents = &preview->documents;
    loader->memory = preview->memory;
    loader->document = AllocSetContextCreate(preview->memory, "sluice rows of a document", ALLOCSET_DEFAULT_SIZES);
    loader->rejects = loader->fires = true;
    loader->rows_at_once = 1;
    open_chunks(loader);
}

// show_documents shows what each of the next documents becomes by itself.
static void show_documents(Preview *preview, Cursor *cursor, Relation source, int64 count) {
    const Pipeline *pipeline = preview->pipeline;
    check_read_columns(pipeline, source);
    cursor->check(source);
    ShredPlan *plan = plan_shred(read_mapping(pipeline->mapping, strlen(pipeline->mapping)), source,
                                 strcmp(pipeline->unknown, "reject") == 0);
    preview->checks = plan_checks(pipeline->checks, source, true);
    SourceColumns columns =
        document_columns(source, pipeline->document, plan->source_columns, plan->source_column_count);
    if (preview->checks)
        columns = with_checks(preview->checks, &columns);
    cursor->prepare(source, &columns);
    open_loader(preview, source, plan, cursor);
    const bool any = cursor->look();
    PushActiveSnapshot(GetTransactionSnapshot());
    int64 rows = 0;
    for (bool open = any && cursor->open(count); open; open = rows < count && cursor->open(count - rows)) {
        SourceRow row{};
        for (; cursor->read(&row); rows++)
            show_row(preview, cursor, &row);
        cursor->close();
    }
    PopActiveSnapshot();
}

// ---- kinds in which many source rows make one row of the target

// work_rows does a batch of so many rows as a run does it.
static void work_rows(Job *job, Relation source, int64 count) {
    Cursor *cursor = job->cursor;
    Work *work = make_work(job);
    RunCounts counts{};
    cursor->check(source);
    const SourceColumns columns = plan_work(job, work, source);
    cursor->prepare(source, &columns);
    work->lock();
    const bool any = cursor->look();
    PushActiveSnapshot(GetTransactionSnapshot());
    int64 rows = 0;
    for (bool open = any && cursor->open(count); open; open = rows < count && cursor->open(count - rows)) {
        SourceRow row{};
        for (; cursor->read(&row); rows++) {
            if (rows == 0)
                work->begin(&counts);
            if (job->checks)
                take_checked(job, work, &row);
            else
                work->take(&row);
        }
        if (rows > 0)
            work->let_go();
        cursor->close();
    }
    if (rows > 0)
        work->finish();
    PopActiveSnapshot();
}

// show_batch shows the rows that are written when the next source rows are taken together, or the error that ends it.
static void show_batch(Preview *preview, Pipeline *pipeline, Cursor *cursor, Relation source, int64 count) {
    Job job{};
    job.pipeline = pipeline;
    pipeline->rejects = false;
    job.atomic = true;
    job.source = RelationGetRelid(source);
    job.cursor = cursor;
    job.see = see_row;
    job.seer = preview;
    job.memory = job.planned = job.batch = preview->memory;
    job.row = AllocSetContextCreate(preview->memory, "sluice row", ALLOCSET_DEFAULT_SIZES);
    work_rows(&job, source, count);
    ListCell *cell;
    foreach (cell, preview->seen) {
        const SeenRow *seen = static_cast<SeenRow *>(lfirst(cell));
        const char *texts[] = {NULL, seen->target, seen->json, NULL, NULL};
        add_result(preview, texts);
    }
}

static void show_rows(Preview *preview, int64 count) {
    Pipeline *pipeline = preview->pipeline;
    if (strcmp(pipeline->kind, "load") == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("pipelines of kind \"load\" have no preview"),
                        errhint("Run the query with a partition that sluice.late_partitions(%s) shows.",
                                quote_literal_cstr(pipeline->name))));
    Cursor *cursor = make_cursor(pipeline, CurrentMemoryContext);
    (void)enter_owner(pipeline, true); // until the subtransaction is rolled back
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    if (strcmp(pipeline->kind, "shred") == 0)
        show_documents(preview, cursor, source, count);
    else
        show_batch(preview, pipeline, cursor, source, count);
    cursor->end();
    relation_close(source, NoLock);
}

// show_error tells of an error that the rows brought about.
static void show_error(const Preview *preview, const ErrorData *error) {
    const char *text = psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
    StringInfoData detail;
    initStringInfo(&detail);
    appendStringInfoString(&detail, "{\"context\": ");
    escape_json(&detail, error->context ? error->context : "");
    appendStringInfoChar(&detail, '}');
    const char *texts[] = {NULL, NULL, NULL, text, detail.data};
    add_result(preview, texts);
}

// preview_rows does all in a subtransaction that is rolled back.
static void preview_rows(Preview *preview, int64 count) {
    ErrorData *error = attempt(
        [&] {
            MemoryContextSwitchTo(preview->memory);
            show_rows(preview, count);
        },
        true);
    if (error)
        explain_change(preview->pipeline, error);
    if (error && (strcmp(preview->pipeline->kind, "shred") == 0 || !is_document_error(error)))
        ReThrowError(error);
    if (error)
        show_error(preview, error);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_preview);
Datum sluice_preview(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    const int64 count = PG_ARGISNULL(1) ? 10 : PG_GETARG_INT32(1);
    if (count < 1)
        argument_error("row_count", "must be at least 1", NULL);
    Preview preview{};
    preview.result = begin_result_rows(fcinfo, &preview.columns);
    SPI_connect();
    preview.memory = AllocSetContextCreate(CurrentMemoryContext, "sluice preview", ALLOCSET_DEFAULT_SIZES);
    preview.pipeline = find_pipeline(name);
    preview_rows(&preview, count);
    SPI_finish();
    PG_RETURN_NULL();
}

} // extern "C"
