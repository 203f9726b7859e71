// Running a pipeline: batches until nothing new is left. See run.cpp.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct RunOptions {
    int batch_size;  // 0: as the pipeline says
    int max_batches; // 0: no limit
    bool progress;
    bool retry; // the rejects instead of the source
    // of loads, partitions as text:
    const char *upto; // no partition after this one; NULL: any
    const char *from; // from this one on, whether they changed or not; NULL: those that changed
};

// What the batches of a run did.
struct RunCounts {
    int64 batches, source_rows, inserted, updated, deleted, nulled, duplicates, too_late, rejected, retried;
};

struct RunResult {
    int64 run_id, source_rows, inserted, updated, deleted, duplicates, too_late, rejected;
};

extern int wait_for_writers; // the setting sluice.wait_for_writers, in ms
extern int keep_runs;        // the setting sluice.keep_runs, in minutes; -1: for ever

RunResult run_pipeline(const char *name, const RunOptions *options, bool atomic);

bool is_in_flight(int32 pipeline); // whether this session is running it at this moment

void watch_relation_changes(); // once, when the library is loaded

} // namespace sluice
