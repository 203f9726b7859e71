// The cursor of a load whose source has triggers: its rows are partitions that changed (see track.hpp).
#pragma once

#include "postgres.hpp"

#include "cursor.hpp"

namespace sluice {

Cursor *make_trigger_cursor(const Pipeline *pipeline, MemoryContext memory);

} // namespace sluice
