// Rejects: documents that could not be loaded, kept with the reason until sluice.retry loads them.
#pragma once

#include "postgres.hpp"

#include "chunk.hpp"
#include "cursor.hpp"
#include "pipeline.hpp"

namespace sluice {

// keep_rejects writes the refused rows of a chunk to sluice.reject, or their new reasons; those from there that were loaded
// leave it. It returns how many left.
int64 keep_rejects(const Pipeline *pipeline, int64 run, Oid document_type, const ShredPlan *plan, const Chunk *chunk);

// make_reject_cursor reads the rejects of a pipeline that were there when it was made, instead of its source, whose
// cursor stays where it is.
Cursor *make_reject_cursor(const Pipeline *pipeline, Cursor *source_cursor);

// keep_row keeps a row that is no document (as a whole, a Datum of its row type), or notes that it was refused again;
// release_reject takes one back that fits now.
void keep_row(const Pipeline *pipeline, int64 run, const SourceRow *row, const char *place, Datum whole,
              const Refusal *refusal);
void release_reject(int64 number);

} // namespace sluice
