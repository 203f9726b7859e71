// Running a pipeline: batches until nothing new is left. See run.cpp.
#pragma once

#include "postgres.hpp"

namespace sluice {

// How a run failed, for a caller who goes on.
struct RunFailure {
    int code;            // SQLSTATE
    const char *message; // NULL: it did not fail
};

struct RunOptions {
    int batch_size;  // 0: as the pipeline says
    int max_batches; // 0: no limit
    bool progress;
    bool retry;   // the rejects instead of the source
    bool rebuild; // everything, from the start, in one transaction
    bool discard; // in it also what the source does not bring again
    // of loads, partitions as text:
    const char *upto; // no partition after this one; NULL: any
    const char *from; // from this one on, whether they changed or not; NULL: those that changed
    // where the failure of a run is put, when its batches have transactions of their own; NULL: it is raised
    RunFailure *failure;
};

// What the batches of a run did.
struct RunCounts {
    int64 batches, source_rows, inserted, updated, deleted, nulled, duplicates, too_late, rejected, retried;
    int64 kept; // inserted rows, less deleted ones, that a rebuild leaves (dimensions)
};

struct RunResult {
    int64 run_id, source_rows, inserted, updated, deleted, duplicates, too_late, rejected;
    bool ran; // to its end: it was not paused, and nobody else ran it
};

extern int wait_for_writers; // the setting sluice.wait_for_writers, in ms

RunResult run_pipeline(const char *name, const RunOptions *options, bool atomic);

bool is_atomic_call(FunctionCallInfo fcinfo); // inside a transaction block or a function

// commit_transaction commits and goes on in a new transaction.
void commit_transaction();

bool is_in_flight(int32 pipeline); // whether this session is running it at this moment

void watch_relation_changes(); // once, when the library is loaded

} // namespace sluice
