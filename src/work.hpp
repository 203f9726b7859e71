// Work: what a pipeline does with the rows of its source. Each kind has a room of its own (shred_work, merge_work, facts_work,
// load_work); the run sees only this, and a Work sees of the run only its Job.
//
// A run plans (again when a relation changed), and does batch after batch: begin, take row by row until the batch is full or
// the source has no more, finish. A batch that failed is rolled back as a whole; `again` says whether another attempt makes
// sense.
#pragma once

#include "postgres.hpp"

#include "checks.hpp"
#include "cursor.hpp"
#include "pipeline.hpp"
#include "run.hpp"
#include "source.hpp"

namespace sluice {

// What a run and its work share.
struct Job {
    Pipeline *pipeline;
    RunOptions options;
    bool atomic;  // in the caller's transaction
    int64 run_id; // 0 until there is something to do
    Oid source;
    Cursor *cursor;
    Checks *checks;                                   // of the plan; NULL: none
    bool closely;                                     // conditions are evaluated for one row at a time, in this batch
    void (*see)(void *seer, Oid relation, Datum row); // is shown each row that is written, or NULL
    void *seer;
    // of the run; of the plan, good as long as no relation changes; of the batch; of the row, the work's to reset
    MemoryContext memory, planned, batch, row;
};

enum class BatchEnd : uint8_t { Idle, More, Last };

class Work {
public:
    static constexpr int64 most_at_once = 50000;

    // plan ties the definition to its relations as they are now, in CurrentMemoryContext, and tells what it wants to read.
    virtual SourceColumns plan(Relation source) = 0;
    // targets lists the tables (oids) that it writes, after plan.
    virtual List *targets() = 0;
    // lock takes the locks that writing takes.
    virtual void lock() = 0;
    // batch_size is how many source rows a batch has, unless somebody said otherwise; 0: until it is full.
    virtual int64 batch_size() = 0;
    virtual bool is_full() { return false; }
    // room is about how many more rows a batch without a size may take, after `rows`.
    virtual int64 room(int64) { return most_at_once; }
    // begin is called when there is a first row; counts are those of the run, to add to.
    virtual void begin(RunCounts *counts) = 0;
    virtual void take(const SourceRow *row) = 0;
    // reject sets a row aside instead, where rows that do not fit are. can_reject tells whether the row is at hand as a whole; else
    // the batch fails, and is done again so that it is.
    virtual bool can_reject() { return true; }
    virtual void reject(const SourceRow *, const Refusal *) {}
    virtual void let_go() {} // the rows that were taken go away, where the cursor is steady
    virtual void finish() = 0;
    // again tells whether a batch that failed with this error may be done again, and what to do otherwise then; `last`: it
    // was tried often enough.
    virtual bool again(const ErrorData *error, bool last) = 0;
    virtual void committed() {}                     // after a batch that did not fail
    virtual bool wants_new_plan() { return false; } // for the next batch, though no relation changed

    // A work that goes on takes rows of the source only to know what there is to do: they are no batches of it. When they
    // are read to the end, it does step after step, a batch each, until one says that it was the last, or found nothing.
    virtual bool goes_on() { return false; }
    virtual BatchEnd step(RunCounts *) { return BatchEnd::Idle; }
    virtual int64 steps() { return 0; }  // of this run, as far as it is known
    virtual void failed(const char *) {} // the run ends with this error, which is being recorded
};

// error_report is an error as it is recorded: SQLSTATE, message, detail, hint, context.
const char *error_report(const ErrorData *error);

// need_run_id gives the run its number, if it has none yet.
void need_run_id(Job *job);

// make_work makes what the kind of the pipeline needs; it lives in CurrentMemoryContext.
Work *make_work(Job *job);

// plan_work plans it, in CurrentMemoryContext, with the pipeline's checks; it tells what is to be read of each source row.
SourceColumns plan_work(Job *job, Work *work, Relation source);

// take_checked takes a row, unless a condition is false for it: that row is rejected, or ends the batch.
void take_checked(Job *job, Work *work, const SourceRow *row);

// rejects_rows tells whether rows that do not fit are set aside.
bool rejects_rows(const Job *job);

// evaluates_at_once tells whether expressions are evaluated for one row at a time from the start: rejects are few, and a preview
// does no batch again.
bool evaluates_at_once(const Job *job);

// check_max_rejects ends a run that rejects more rows than the pipeline says; `place` and `message` tell of the last one.
void check_max_rejects(const Job *job, int64 rejected, const char *place, const char *message);

} // namespace sluice
