// The hash cursor: a source row is known by its content. What has been read is in the ledger; what is new is found by
// arrival (arrival_index.hpp, stamp.hpp) or by comparing the source with the ledger. See hash_cursor.cpp.
#pragma once

#include "postgres.hpp"

#include "cursor.hpp"

namespace sluice {

Cursor *make_hash_cursor(const Pipeline *pipeline, MemoryContext memory);

void check_new_hash_cursor(const NewPipeline *pipeline, Relation source);
void start_hash_cursor(const NewPipeline *pipeline, int32 id, Relation source);

} // namespace sluice
