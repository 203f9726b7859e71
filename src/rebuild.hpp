// Rebuild: everything is loaded again, in one transaction. Here is what comes before its batches; see run.cpp for these.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// check_rebuild raises where a rebuild would lose or double something; `discard`: what the source does not bring again may go.
void check_rebuild(const Pipeline *pipeline, bool discard);

// begin_rebuild empties the targets and forgets what was read: the pipeline is as it was when it was new. The pipeline has to be
// looked up again then.
void begin_rebuild(const Pipeline *pipeline, bool discard);

// refuse_loss says what a rebuild would lose.
[[noreturn]] void refuse_loss(const Pipeline *pipeline, const char *what, const char *why);

// refuse_new_rows does so of rows that others have put into the targets since the check.
[[noreturn]] void refuse_new_rows(const Pipeline *pipeline, int64 rows);

// written_rows is how many rows the runs left in what a rebuild makes anew.
int64 written_rows(const Pipeline *pipeline);

} // namespace sluice
