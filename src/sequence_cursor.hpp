// The sequence cursor as a Cursor: its position in the catalog, and the reading of a source by it. What it stands on, the
// proof that nothing is skipped, is in sequence.cpp.
#pragma once

#include "postgres.hpp"

#include "cursor.hpp"
#include "pipeline.hpp"
#include "sequence.hpp"

namespace sluice {

// make_sequence_cursor loads the position of a pipeline; the cursor lives in `memory`.
Cursor *make_sequence_cursor(const Pipeline *pipeline, MemoryContext memory);

SequencePosition load_sequence_position(int32 pipeline);
void insert_sequence_position(int32 pipeline, const SequencePosition *position);

// start_sequence_position is that of a pipeline that has read nothing.
SequencePosition start_sequence_position(Oid sequence);

// seek_sequence moves the position; back only where nothing would be read twice. It also takes the sequence as it is now.
void seek_sequence(const Pipeline *pipeline, Oid source, Jsonb *wanted);

// highest_number reads the highest number in the source, as the current user; false when the source is empty.
bool highest_number(Oid source, const char *order_by, int64 *highest);

} // namespace sluice
