// Restoring: rows of targets become what they were before a run, as their lineage has it.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// run_without_lineage finds the first run after `to_run` that wrote and of which no lineage was kept; 0: there is none.
int64 run_without_lineage(int32 pipeline, int64 to_run);

// restore_rows undoes in all targets what the runs after `to_run` wrote, with the owner's rights, or it raises (refuse_rewind):
// where somebody else changed such a row since. The entries of these runs stay until forget_later_lineage.
void restore_rows(const Pipeline *pipeline, int64 to_run);
void forget_later_lineage(int32 pipeline, int64 to_run);
void forget_lineage(int32 pipeline); // all entries

} // namespace sluice
