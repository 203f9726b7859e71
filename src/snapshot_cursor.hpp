// The snapshot cursor: a source row is known by the transaction that inserted it. It reads what is visible now and was not
// at the last position: nobody waits, and a long transaction delays its own rows alone. See arrival.hpp and stamp.hpp.
#pragma once

#include "postgres.hpp"

#include "cursor.hpp"
#include "stamp.hpp"

namespace sluice {

Cursor *make_snapshot_cursor(const Pipeline *pipeline, MemoryContext memory);

void check_new_snapshot_cursor(const NewPipeline *pipeline, Relation source);
void start_snapshot_cursor(const NewPipeline *pipeline, int32 id, Relation source);

} // namespace sluice
