// What becomes known of a run that is over: failures in a row, a NOTIFY, a line in the server's log. Its row in sluice.runs is
// written by the run itself.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

extern bool log_runs; // the setting sluice.log_runs

// note_failure counts the failure, pauses a pipeline that has failed max_failures times in a row, and tells those who LISTEN
// when this transaction commits.
void note_failure(const Pipeline *pipeline, int64 run_id, const ErrorData *error);

// note_success ends the count of failures.
void note_success(const Pipeline *pipeline);

// log_run writes the line of a run, if log_runs is on.
void log_run(const char *pipeline, int64 run_id, const char *status, int64 source_rows, TimestampTz started_at);

} // namespace sluice
