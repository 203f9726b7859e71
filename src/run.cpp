// Running a pipeline: batches until nothing new is left.
//
// A batch is one transaction (in a procedure called outside a transaction block) and inside it one subtransaction:
//
//   lock the pipeline -> [ as its owner: sample the cursor, read, shred, write, fire deferred triggers ]
//                     -> move the position and the run's counts -> commit
//
// so rows, position and record become durable together or not at all. An error or a cancel rolls the subtransaction back;
// what is left of the transaction records the failed run, commits, and the error goes on. A session that dies leaves
// nothing of its batch; the run's row still says "running", which is shown as failed since nobody holds the lock, and
// mended by the next run.
//
// A work that goes on (a load) reads the source first, to the end, in such batches that only note what there is to do; then
// each of its steps is a batch.
//
// A rebuild is one batch of all these: in its transaction the targets are emptied, the position goes back to the start, and
// batch after batch follows.
//
// The pipeline's lock belongs to the session in a procedure (it must outlive the commits) and to the transaction inside a
// transaction block (the position that the batch moved is not to be read by others before the commit).
#include "postgres.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "cursor.hpp"
#include "history.hpp"
#include "lineage.hpp"
#include "lineage_scope.hpp"
#include "lineage_tables.hpp"
#include "outcome.hpp"
#include "pipeline.hpp"
#include "rebuild.hpp"
#include "reject.hpp"
#include "restore.hpp"
#include "rights.hpp"
#include "run.hpp"
#include "work.hpp"

namespace sluice {

int wait_for_writers = 1000;

struct Run : Job {
    LOCKTAG lock;
    bool recorded;
    MemoryContext caller;
    bool failed; // and the caller goes on
    TimestampTz started_at;
    RunCounts counts; // of all batches that are done
    Work *work;
    bool planned_well; // what was planned can be used, as long as no relation changes
    uint64 planned_at;
    bool held_back; // numbers were drawn that open transactions may still add rows below
    bool waited;
    bool read_all;  // of a work that goes on: the source was read to the end
    int64 taken;    // rows of the source, by this batch
    int64 expected; // source rows that the run is about to load, for its progress
    TimestampTz shown_at;
    LineageScope lineage;
};

// ---- planning

static uint64 relation_changes = 1;

static void note_relation_change(Datum, Oid) { relation_changes++; }

void watch_relation_changes() { CacheRegisterRelcacheCallback(note_relation_change, 0); }

static void make_plan(Run *run) {
    run->planned_well = false;
    MemoryContextReset(run->planned);
    run->planned_at = relation_changes;
    MemoryContext before = MemoryContextSwitchTo(run->planned);
    as_defined(run->pipeline, [run] {
        run->source = pipeline_source(run->pipeline);
        Relation source = relation_open(run->source, AccessShareLock);
        run->cursor->check(source);
        const SourceColumns columns = plan_work(run, run->work, source);
        run->cursor->prepare(source, &columns);
        if (run->pipeline->lineage)
            keep_lineage(run->pipeline, run->work->targets());
        relation_close(source, NoLock);
    });
    run->planned_well = true;
    MemoryContextSwitchTo(before);
}

static void lock_relations(const Run *run) {
    LockRelationOid(run->source, AccessShareLock);
    run->work->lock();
}

// plan_run looks everything up at the start of a run, and again when a relation changed under it. Only with the locks in
// hand is it certain that the plan still fits the relations.
static void plan_run(Run *run) {
    if (run->planned_well)
        lock_relations(run);
    constexpr int enough = 5; // what still changes with the locks in hand is no change of these relations
    for (int i = 0; i < enough && (!run->planned_well || run->planned_at != relation_changes); i++) {
        make_plan(run);
        lock_relations(run);
    }
}

static void open_cursor(Run *run) {
    run->cursor = make_cursor(run->pipeline, run->memory);
    MemoryContext before = MemoryContextSwitchTo(run->memory);
    if (run->options.retry)
        run->cursor = make_reject_cursor(run->pipeline, run->cursor);
    MemoryContextSwitchTo(before);
}

// ---- one batch

constexpr int64 no_limit = PG_INT64_MAX;

static int64 batch_limit(Run *run) {
    if (run->options.batch_size > 0)
        return run->options.batch_size;
    if (run->pipeline->batch_size > 0)
        return run->pipeline->batch_size;
    const int64 size = run->work->batch_size();
    return size > 0 ? size : no_limit;
}

static int64 new_run_id() {
    const Parameters none{};
    catalog_execute("SELECT pg_catalog.nextval('sluice.run_log_run_id_seq')", &none);
    bool is_null;
    const int64 id = result_int(0, 1, &is_null);
    free_result();
    return id;
}

void need_run_id(Job *job) {
    if (!job->run_id)
        job->run_id = new_run_id();
}

static bool reached_max_batches(const Run *run, int64 batches) {
    return run->options.max_batches > 0 && batches >= run->options.max_batches;
}

// read_rows hands rows to the work until the batch has `limit` of them or is full; `all`: nothing was left unread.
static int64 read_rows(Run *run, int64 limit, RunCounts *counts, bool *all) {
    int64 rows = 0;
    for (*all = false; rows < limit && !(rows > 0 && run->work->is_full());) {
        if (run->checks)
            run->checks->reading = true;
        if (!run->cursor->open(limit == no_limit ? run->work->room(rows) : limit - rows)) {
            *all = true;
            if (run->checks)
                run->checks->reading = false;
            break;
        }
        SourceRow row{};
        for (; run->cursor->read(&row); rows++) {
            need_run_id(run);
            if (rows == 0)
                run->work->begin(counts);
            if (run->checks)
                take_checked(run, run->work, &row);
            else
                run->work->take(&row);
        }
        if (run->checks)
            run->checks->reading = false;
        if (rows > 0)
            run->work->let_go();
        run->cursor->close();
    }
    return rows;
}

// fires_deferred tells whether triggers that are deferred fire at the end of each batch: in the caller's transaction they stay
// deferred; of a rebuild they wait until all is there again.
static bool fires_deferred(const Run *run) { return !run->atomic && !run->options.rebuild; }

// load_rows reads and writes about `limit` rows: a look that finds nothing costs nothing more.
static BatchEnd load_rows(Run *run, int64 limit, RunCounts *counts) {
    bool all;
    const int64 rows = read_rows(run, limit, counts, &all);
    if (rows > 0)
        run->work->finish();
    if (rows > 0 && run->checks && !run->work->goes_on())
        ask_queries(run->checks, fires_deferred(run));
    const Skipped skipped = run->cursor->skipped();
    if (skipped.duplicates + skipped.too_late > 0)
        need_run_id(run);
    const bool counts_rows = !run->work->goes_on();
    run->taken = run->options.retry ? 0 : rows;
    counts->source_rows += run->options.retry || !counts_rows ? 0 : rows;
    counts->duplicates += skipped.duplicates;
    counts->too_late += skipped.too_late;
    counts->batches += rows > 0 && counts_rows;
    const bool last = all || reached_max_batches(run, counts->batches);
    return run->cursor->advance(all, last, run->run_id) ? BatchEnd::More : BatchEnd::Last;
}

static bool run_ends(const Run *run, BatchEnd end) {
    return end != BatchEnd::More || reached_max_batches(run, run->counts.batches);
}

// will_wait tells whether a run that has read what it may waits once for the transactions that hold back the rest.
static bool will_wait(const Run *run) {
    return !run->atomic && run->held_back && !run->waited && wait_for_writers > 0 &&
           !reached_max_batches(run, run->counts.batches);
}

#define ROWS_TOTAL                                                                                                     \
    "coalesce((SELECT s.rows_total FROM sluice.sequence_position s WHERE s.pipeline_id = $2::int), "                   \
    "(SELECT a.rows_total FROM sluice.arrival_position a WHERE a.pipeline_id = $2::int))"

// record_run writes the run's row as it stands: its first record also ends what a dead session left "running".
static void record_run(Run *run, const char *status, const char *error) {
    Parameters parameters{};
    add_int(&parameters, run->run_id);
    add_int(&parameters, run->pipeline->id);
    add_text(&parameters, status);
    add_value(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at));
    if (strcmp(status, "running") == 0)
        add_null(&parameters, TIMESTAMPTZOID);
    else
        add_value(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()));
    add_int(&parameters, run->counts.batches);
    add_int(&parameters, run->counts.source_rows);
    add_int(&parameters, run->counts.inserted);
    add_int(&parameters, run->counts.nulled);
    add_text(&parameters, error);
    add_int(&parameters, run->counts.duplicates);
    add_int(&parameters, run->counts.too_late);
    add_text(&parameters, run->cursor->show());
    add_int(&parameters, run->counts.updated);
    add_int(&parameters, run->counts.deleted);
    add_int(&parameters, run->counts.rejected);
    add_int(&parameters, run->counts.retried);
    add_int(&parameters, run->counts.kept);
    add_value(&parameters, BOOLOID, BoolGetDatum(run->pipeline->lineage));
    if (!run->recorded) {
        catalog_execute("UPDATE sluice.run_log SET status = 'failed', finished_at = pg_catalog.now(), "
                        "error = 'the session ended before the run did; what its batches committed is kept' "
                        "WHERE pipeline_id = $2::int AND status = 'running' AND run_id <> $1",
                        &parameters);
        catalog_execute(
            "INSERT INTO sluice.run_log (run_id, pipeline_id, status, started_at, finished_at, batches, "
            "source_rows, inserted, nulled, error, duplicates, too_late, \"position\", updated, deleted, "
            "rejected, retried, kept, lineage, rows_total) VALUES ($1, $2::int, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
            "$12, $13::jsonb, $14, "
            "$15, $16, $17, $18, $19, " ROWS_TOTAL ")",
            &parameters);
        prune_history(run->pipeline);
        return;
    }
    static CatalogStatement update;
    catalog_prepared(&update,
                     "UPDATE sluice.run_log SET status = $3, started_at = $4, finished_at = $5, batches = $6, "
                     "source_rows = $7, inserted = $8, "
                     "nulled = $9, error = $10, duplicates = $11, too_late = $12, \"position\" = $13::jsonb, "
                     "updated = $14, deleted = $15, rejected = $16, retried = $17, kept = $18, lineage = $19, "
                     "rows_total = " ROWS_TOTAL " "
                     "WHERE run_id = $1 AND pipeline_id = $2::int",
                     &parameters);
}

static bool has_news(const Run *run, const RunCounts *counts) {
    return counts->source_rows > 0 || (run->work->goes_on() && counts->batches > 0) || counts->duplicates > 0 ||
           counts->too_late > 0 || counts->rejected > 0 || counts->retried > 0;
}

// take_snapshot lets what follows see what is committed by now.
static void take_snapshot() {
    PopActiveSnapshot();
    PushActiveSnapshot(GetTransactionSnapshot());
}

// read_batch reads what is new in the source and writes it.
static BatchEnd read_batch(Run *run, RunCounts *counts) {
    const bool any = run->cursor->look();
    // The order is what makes it safe: first the cursor looks, then a new snapshot to read by.
    take_snapshot();
    if (!any)
        return BatchEnd::Idle;
    if (!run->counts.batches)
        run->expected = run->cursor->expected();
    return load_rows(run, batch_limit(run), counts);
}

// work_batch does one batch: everything between its begin and its commit.
static BatchEnd work_batch(Run *run) {
    PushActiveSnapshot(GetTransactionSnapshot());
    const OwnerScope owner = enter_owner(run->pipeline, !fires_deferred(run));
    const bool first = !run->planned_well, steps = run->read_all;
    run->taken = 0;
    plan_run(run);
    RunCounts counts = run->counts;
    BatchEnd end = steps ? run->work->step(&counts) : read_batch(run, &counts);
    leave_owner(&owner);
    flush_own_lineage();
    if (first)
        refresh_source(run->pipeline, run->source);
    if (!steps) {
        run->cursor->store(run->taken);
        run->held_back = run->cursor->held_back();
    }
    if (!steps && end != BatchEnd::More && run->work->goes_on() && !run->options.retry) {
        run->read_all = true;
        end = BatchEnd::More;
    }
    const bool idle = end == BatchEnd::Idle;
    run->counts = counts;
    if (!idle && has_news(run, &counts))
        record_run(run, run_ends(run, end) && !will_wait(run) ? "succeeded" : "running", NULL);
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
    return end;
}

static void start_batch(Run *run) {
    start_lineage_batch();
    MemoryContextReset(run->batch);
    MemoryContextReset(run->row);
    MemoryContextSwitchTo(run->batch);
}

// clipped shortens what may be as long as a document.
static const char *clipped(const char *text) {
    constexpr int most = 2000;
    const int length = strlen(text);
    return length > most ? psprintf("%s ...", pnstrdup(text, pg_mbcliplen(text, length, most))) : text;
}

const char *error_report(const ErrorData *error) {
    StringInfoData report;
    initStringInfo(&report);
    appendStringInfo(&report, "%s: %s", unpack_sql_state(error->sqlerrcode), clipped(error->message));
    if (error->detail)
        appendStringInfo(&report, "\nDETAIL: %s", clipped(error->detail));
    if (error->hint)
        appendStringInfo(&report, "\nHINT: %s", clipped(error->hint));
    if (error->context)
        appendStringInfo(&report, "\nCONTEXT: %s", clipped(error->context));
    return report.data;
}

// Servers before 14.2 do not begin the new transaction themselves.
void commit_transaction() {
    SPI_commit();
    SPI_start_transaction();
}

// record_failure commits that the run failed, in what is left of the transaction after its batch was rolled back.
static void record_failure(Run *run, const ErrorData *error) {
    PushActiveSnapshot(GetTransactionSnapshot());
    need_run_id(run);
    const char *report = error_report(error);
    const bool canceled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
    const char *status = canceled ? "canceled" : "failed";
    record_run(run, status, report);
    if (!canceled && !run->options.retry && !run->options.rebuild)
        note_failure(run->pipeline, run->run_id, error);
    if (run->planned_well && !run->options.rebuild)
        run->work->failed(report);
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
    commit_transaction();
    log_run(run->pipeline->name, run->run_id, status, run->counts.source_rows, run->started_at);
}

// hand_over gives the failure of a run to a caller who goes on without it; without such a caller, and for a cancel, it is false.
static bool hand_over(Run *run, const ErrorData *error) {
    if (!run->options.failure || is_intervention(error))
        return false;
    MemoryContext before = MemoryContextSwitchTo(run->caller);
    *run->options.failure = RunFailure{error->sqlerrcode, clipped(pstrdup(error->message))};
    MemoryContextSwitchTo(before);
    run->failed = true;
    return true;
}

// start_over forgets what the batch found out, after its subtransaction was rolled back.
static void start_over(Run *run) {
    run->cursor->end();
    PushActiveSnapshot(GetTransactionSnapshot());
    run->pipeline = find_pipeline(run->pipeline->name); // the mapping may have grown
    open_cursor(run);
    PopActiveSnapshot();
    run->planned_well = false;
    MemoryContextSwitchTo(run->memory);
}

// looks_closer has the batch done again with the conditions evaluated for each row: the error may be one of theirs.
static bool looks_closer(Run *run, const ErrorData *error) {
    if (!run->checks || run->checks->closely || !run->checks->reading || !is_document_error(error))
        return false;
    return run->closely = true;
}

// may_do_again tells whether a batch that failed is to be done again.
static bool may_do_again(Run *run, const ErrorData *error, bool last) {
    if (run->checks && run->checks->failed)
        return false;
    const bool closer = !last && looks_closer(run, error);
    return run->work->again(error, last) || closer;
}

static void show_progress(Run *run, bool last) {
    const TimestampTz now = GetCurrentTimestamp();
    if (!run->options.progress || (!last && !TimestampDifferenceExceeds(run->shown_at, now, 1000)))
        return;
    run->shown_at = now;
    const double seconds = Max(0.001, (now - run->started_at) / 1e6);
    const double rate = run->counts.source_rows / seconds;
    if (run->work->goes_on()) {
        ereport(INFO, (errmsg("%s: " INT64_FORMAT " of " INT64_FORMAT " partitions, " INT64_FORMAT " rows in %.1f s",
                              run->pipeline->name, run->counts.batches + run->counts.rejected, run->work->steps(),
                              run->counts.source_rows, seconds)));
        return;
    }
    const int64 left = Max(static_cast<int64>(0), run->expected - run->counts.source_rows);
    if (last)
        ereport(INFO, (errmsg("%s: " INT64_FORMAT " source rows in %.1f s, %.0f rows/s", run->pipeline->name,
                              run->counts.source_rows, seconds, rate)));
    else
        ereport(INFO, (errmsg("%s: " INT64_FORMAT " of about " INT64_FORMAT " source rows, %.0f rows/s, %.0f s left",
                              run->pipeline->name, run->counts.source_rows, Max(run->expected, run->counts.source_rows),
                              rate, left / Max(rate, 1.0))));
}

static void fire_all(const Run *run) {
    PushActiveSnapshot(GetTransactionSnapshot());
    const OwnerScope owner = enter_owner(run->pipeline, false);
    leave_owner(&owner);
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
}

// rebuild_batch is one batch made of all: what was loaded goes, and all batches of a new pipeline follow.
static BatchEnd rebuild_batch(Run *run) {
    PushActiveSnapshot(GetTransactionSnapshot());
    forget_lineage(run->pipeline->id);
    Restoring emptying{};
    emptying.pipeline = run->pipeline->id;
    start_restoring(&emptying); // what goes is not noted: nothing is there to go back to
    as_defined(run->pipeline, [run] { begin_rebuild(run->pipeline, run->options.discard); });
    end_restoring();
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
    start_over(run);
    run->waited = true; // what writers hold back was not there before either
    BatchEnd end;
    do {
        CHECK_FOR_INTERRUPTS();
        start_batch(run);
        end = work_batch(run);
        run->recorded = run->recorded || has_news(run, &run->counts);
        run->planned_well = run->planned_well && !run->work->wants_new_plan();
        CommandCounterIncrement();
        show_progress(run, false);
    } while (!run_ends(run, end));
    if (!run->atomic)
        fire_all(run);
    return end;
}

static BatchEnd whole_batch(Run *run) { return run->options.rebuild ? rebuild_batch(run) : work_batch(run); }

// attempt_batch is whole_batch in a subtransaction, so that its failure can be recorded before it goes on, and that it can be done
// again: where another transaction wrote the same keys meanwhile, or the work wants to look closer. It tells whether the batch is
// done.
static bool attempt_batch(Run *run, BatchEnd *result, bool last) {
    ResourceOwner resources = CurrentResourceOwner;
    const int64 run_id = run->run_id;
    const RunCounts counts = run->counts;
    const bool recorded = run->recorded, read_all = run->read_all;
    volatile BatchEnd end = BatchEnd::Idle;
    volatile bool done = true;
    BeginInternalSubTransaction(NULL);
    start_batch(run);
    PG_TRY();
    {
        CHECK_FOR_INTERRUPTS(); // here, where a cancel is recorded
        end = whole_batch(run);
        ReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(run->memory);
        CurrentResourceOwner = resources;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(run->memory);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        explain_rights(run->pipeline, error);
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(run->memory);
        CurrentResourceOwner = resources;
        run->counts = counts;
        run->recorded = recorded;
        run->read_all = read_all;
        done = !run->planned_well || !may_do_again(run, error, last);
        if (done && run->atomic)
            ReThrowError(error); // the caller's transaction ends, and what it would record
        if (done) {
            run->run_id = run_id;
            record_failure(run, error);
            if (!hand_over(run, error))
                ReThrowError(error);
        }
        FreeErrorData(error);
    }
    PG_END_TRY();
    *result = end;
    return done;
}

static BatchEnd guarded_batch(Run *run) {
    constexpr int most_attempts = 5;
    BatchEnd end;
    for (int attempt = 1; !attempt_batch(run, &end, attempt == most_attempts); attempt++)
        start_over(run);
    if (!run->failed)
        run->work->committed();
    run->planned_well = run->planned_well && !run->work->wants_new_plan() && !run->closely;
    run->closely = false;
    return end;
}

// ---- the run

// show_end writes the line of a run that succeeded, and says who keeps back what it could not read, when it reports its progress.
static void show_end(const Run *run) {
    if (run->recorded)
        log_run(run->pipeline->name, run->run_id, "succeeded", run->counts.source_rows, run->started_at);
    if (!run->options.progress || !run->held_back || !run->cursor->waiting_for())
        return;
    ereport(INFO, (errmsg("%s: rows are held back by %s", run->pipeline->name, run->cursor->waiting_for()),
                   errdetail("Its transaction may still add rows below them. The next run loads them.")));
}

// record_empty_rebuild: a rebuild that found nothing to load has a row of its own.
static void record_empty_rebuild(Run *run) {
    need_run_id(run);
    record_run(run, "succeeded", NULL);
    run->recorded = true;
}

// finish ends a run that succeeded; one whose last look found nothing had no work, or had worked to the last row.
static void finish(Run *run, BatchEnd end) {
    PushActiveSnapshot(GetTransactionSnapshot());
    if (!run->recorded && run->options.rebuild)
        record_empty_rebuild(run);
    else if (!run->recorded)
        record_nothing(run->pipeline->id, run->pipeline->name, run->started_at, "succeeded", NULL);
    else if (end == BatchEnd::Idle)
        record_run(run, "succeeded", NULL);
    if (!run->options.retry)
        note_success(run->pipeline);
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
}

static void run_batches(Run *run) {
    for (;;) {
        const BatchEnd end = guarded_batch(run);
        if (run->failed)
            return;
        run->recorded = run->recorded || has_news(run, &run->counts);
        const bool done = run_ends(run, end), waits = done && will_wait(run), over = done && !waits;
        if (over)
            finish(run, end);
        if (!run->atomic)
            commit_transaction();
        MemoryContextSwitchTo(run->memory);
        show_progress(run, over);
        if (over) {
            show_end(run);
            return;
        }
        if (waits) {
            run->waited = true;
            run->read_all = false;
            // No snapshot and no lock but the pipeline's own is held meanwhile.
            run->cursor->wait(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_for_writers));
        }
    }
}

// Pipelines that this session is running at this moment: a trigger of a target may come back here.
static int32 in_flight[16];
static int in_flight_count = 0;

bool is_in_flight(int32 pipeline) {
    for (int i = 0; i < in_flight_count; i++)
        if (in_flight[i] == pipeline)
            return true;
    return false;
}

// The lock of a transaction goes with it.
static void release_lock(const Run *run) {
    if (!run->atomic)
        LockRelease(&run->lock, ExclusiveLock, true);
}

static void run_locked(Run *run) {
    in_flight[in_flight_count++] = run->pipeline->id;
    run->lineage.pipeline = run->pipeline->id;
    run->lineage.notes = run->pipeline->lineage;
    run->lineage.run_id = &run->run_id;
    run->lineage.batches = &run->counts.batches;
    enter_lineage(&run->lineage);
    PG_TRY();
    { run_batches(run); }
    PG_CATCH();
    {
        in_flight_count--;
        leave_lineage(&run->lineage);
        run->cursor->end();
        release_lock(run);
        PG_RE_THROW();
    }
    PG_END_TRY();
    in_flight_count--;
    leave_lineage(&run->lineage);
    run->cursor->end();
    release_lock(run);
}

// check_options refuses what is for loads alone.
static void check_options(const Run *run) {
    const char *kind = run->pipeline->kind;
    if ((!run->options.upto && !run->options.from) || strcmp(kind, "load") == 0)
        return;
    argument_error(run->options.from ? "from_partition" : "upto",
                   psprintf("is for pipelines of kind \"load\", not of kind \"%s\"", kind), NULL);
}

// start_run: a rebuild may be what a paused pipeline is waiting for.
static bool start_run(Run *run, const char *name) {
    PushActiveSnapshot(GetTransactionSnapshot());
    run->pipeline = find_pipeline(name);
    check_options(run);
    run->lock = pipeline_lock_tag(run->pipeline->id);
    bool ready = false;
    if (run->pipeline->paused && !run->options.rebuild) {
        ereport(NOTICE, (errmsg("pipeline \"%s\" is paused", name),
                         run->pipeline->failures > 0
                             ? errdetail("Its last runs have failed: %d in a row.", run->pipeline->failures)
                             : 0,
                         errhint("Run SELECT sluice.resume(%s).", quote_literal_cstr(name))));
    } else if (is_in_flight(run->pipeline->id) || in_flight_count == lengthof(in_flight) ||
               LockAcquire(&run->lock, ExclusiveLock, !run->atomic, true) == LOCKACQUIRE_NOT_AVAIL) {
        ereport(NOTICE,
                (errmsg("pipeline \"%s\" is already running", name),
                 errdetail("%s runs it.", is_in_flight(run->pipeline->id) ? psprintf("Process %d", MyProcPid)
                                                                          : pipeline_runner(run->pipeline->id))));
        record_nothing(run->pipeline->id, name, run->started_at, "skipped", NULL);
    } else {
        ready = true;
    }
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
    return ready;
}

// check_before_rebuild refuses what a rebuild must not do: such a refusal is no run.
static void check_before_rebuild(Run *run) {
    PushActiveSnapshot(GetTransactionSnapshot());
    as_defined(run->pipeline, [run] { check_rebuild(run->pipeline, run->options.discard); });
    PopActiveSnapshot();
    MemoryContextSwitchTo(run->memory);
}

// reload reads the definition again now that the lock is held: another run may have moved the position since.
static void reload(Run *run, const char *name) {
    const int32 id = run->pipeline->id;
    PG_TRY();
    {
        PushActiveSnapshot(GetTransactionSnapshot());
        run->pipeline = find_pipeline(name);
        open_cursor(run);
        PopActiveSnapshot();
        run->work = make_work(run);
        if (run->pipeline->id != id)
            ereport(ERROR,
                    (errcode(ERRCODE_OBJECT_IN_USE), errmsg("pipeline \"%s\" was replaced while the run started", name),
                     errhint("Run it again.")));
        if (run->options.rebuild)
            check_before_rebuild(run);
    }
    PG_CATCH();
    {
        release_lock(run);
        PG_RE_THROW();
    }
    PG_END_TRY();
}

// prepare gets everything ready for the first batch; false: there is to be none.
static bool prepare(Run *run, const char *name) {
    if (!start_run(run, name))
        return false;
    reload(run, name);
    return true;
}

// guarded_prepare is prepare for a caller who goes on when it fails.
static bool guarded_prepare(Run *run, const char *name) {
    ResourceOwner resources = CurrentResourceOwner;
    volatile bool ready = false;
    BeginInternalSubTransaction(NULL);
    PG_TRY();
    {
        ready = prepare(run, name);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(run->memory);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        if (!hand_over(run, error))
            ReThrowError(error);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(run->memory);
    CurrentResourceOwner = resources;
    return ready;
}

static void require_read_committed() {
    if (IsolationUsesXactSnapshot())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("a pipeline cannot run in a %s transaction",
                               XactIsoLevel == XACT_SERIALIZABLE ? "SERIALIZABLE" : "REPEATABLE READ"),
                        errdetail("Its snapshot is older than the position: rows would be lost or loaded twice."),
                        errhint("Use READ COMMITTED (SET default_transaction_isolation = 'read committed').")));
}

// run_pipeline runs inside an open SPI connection.
RunResult run_pipeline(const char *name, const RunOptions *options, bool atomic) {
    require_read_committed();
    PreventCommandIfReadOnly("sluice.run");
    MemoryContext before = CurrentMemoryContext;
    MemoryContext memory = AllocSetContextCreate(PortalContext ? PortalContext : CurrentMemoryContext, "sluice run",
                                                 ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(memory);
    Run *run = static_cast<Run *>(palloc0(sizeof(Run)));
    run->memory = memory;
    run->caller = before;
    run->planned = AllocSetContextCreate(memory, "sluice plan", ALLOCSET_DEFAULT_SIZES);
    run->batch = AllocSetContextCreate(memory, "sluice batch", ALLOCSET_DEFAULT_SIZES);
    run->row = AllocSetContextCreate(memory, "sluice row", ALLOCSET_DEFAULT_SIZES);
    run->atomic = atomic;
    run->options = *options;
    run->started_at = run->shown_at = GetCurrentTimestamp();
    name = pstrdup(name);
    MemoryContextSwitchTo(run->memory);
    const bool ready = options->failure ? guarded_prepare(run, name) : prepare(run, name);
    if (ready)
        run_locked(run);
    const RunResult result{run->run_id,          run->counts.source_rows, run->counts.inserted,
                           run->counts.updated,  run->counts.deleted,     run->counts.duplicates,
                           run->counts.too_late, run->counts.rejected,    ready};
    MemoryContextSwitchTo(before);
    MemoryContextDelete(memory);
    return result;
}

} // namespace sluice
