// The sequence cursor as a Cursor: its position in the catalog, and the reading of a source by it. What it stands on, the
// proof that nothing is skipped, is in sequence.cpp.
#pragma once

#include "postgres.hpp"

#include "cursor.hpp"
#include "pipeline.hpp"
#include "sequence.hpp"

namespace sluice {

Cursor *make_sequence_cursor(const Pipeline *pipeline, MemoryContext memory);

void check_new_sequence_cursor(const NewPipeline *pipeline, Relation source);
void start_sequence_cursor(const NewPipeline *pipeline, int32 id, Relation source);

} // namespace sluice
