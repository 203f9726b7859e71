// Rewinding loads.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// rewind_load takes away the partitions that runs after `to_run` loaded for the first time; any other it refuses.
void rewind_load(const Pipeline *pipeline, int64 to_run);

} // namespace sluice
