// Rebuilding a load: all partitions that it has loaded are loaded again, those of mode replace each over its old rows.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// See rebuild.hpp; both work with the owner's rights.
void check_load_rows(const Pipeline *pipeline, Relation source);
void begin_load_rebuild(const Pipeline *pipeline, Relation source, bool discard);

} // namespace sluice
