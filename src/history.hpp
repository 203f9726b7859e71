// The history of runs, beside the run in progress: runs that found nothing, those that are undone, those that are forgotten.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

extern int keep_runs; // the setting sluice.keep_runs, in minutes; -1: for ever

// prune_history deletes what is older than the setting says, a few rows a run: never the newest row, nor the last success. Lineage
// goes with it.
void prune_history(const Pipeline *pipeline);

// mark_undone notes that what the runs after `to_run` did is not there any more.
void mark_undone(int32 pipeline, int64 to_run);

// record_nothing keeps one row for runs in a row that found nothing new (or were skipped, for a reason), and counts them in it.
void record_nothing(int32 pipeline, const char *name, TimestampTz started_at, const char *status, const char *reason);

} // namespace sluice
