// Altering loads, with the checks of their creation.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// alter_load changes what is not null of query, settle, reload_last, partition_list and back_off, which are the arguments from
// number `first` on; it refuses them for other kinds.
void alter_load(const Pipeline *pipeline, FunctionCallInfo fcinfo, int first);

// refuse_rows refuses for a load what counts rows: batch_size (0: not said) and max_rejects (-1).
void refuse_rows(int batch_size, int64 max_rejects);

} // namespace sluice
