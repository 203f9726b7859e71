// A chunk: source rows held in memory, so that they can be written again without those that do not fit.
//
// All rows of a document are written, or none. On the good path that costs nothing a document: a chunk is one subtransaction,
// and the documents whose rows are still in memory only share another one, which writes nothing. See chunk.cpp.
#pragma once

#include "postgres.hpp"

#include "document.hpp"
#include "grow.hpp"
#include "shred.hpp"

namespace sluice {

// Why a document was rejected.
struct Refusal {
    int sqlstate;
    const char *message;
    const char *detail; // a JSON object: table, column, path, value, constraint, detail
};

struct HeldRow {
    SourceRow row; // copies of all values
    ContentHash hash;
    int64 number;     // in sluice.reject, of a row that comes from there; else 0
    int64 document;   // as the writer counts them
    Refusal *refusal; // NULL: it fits, as far as is known
};

struct Chunk {
    MemoryContext memory;
    HeldRow *rows;
    int count, room;
    Size bytes;
};

// A ChunkLoader belongs to a batch.
struct ChunkLoader;
struct ChunkLoader {
    Shredder like; // what each attempt's shredder starts as
    DocumentReader *documents;
    MemoryContext memory, document;
    bool rejects;     // else the first document that does not fit is an error
    bool fires;       // deferred triggers fire within the chunk
    int rows_at_once; // adapts itself to how often a chunk must be written again
    Growth *growth;   // where targets grow, else NULL; `grow` lets them
    void (*grow)(ChunkLoader *loader, void *grower);
    void *grower;
    Chunk chunk;
    WriterCounts counts;
    int64 nulled, rejected;
    int64 late;   // documents of the chunk that were found not to fit only when it was written
    bool careful; // triggers fire after each document, to find out which one they refuse
    // of the attempt, until the next one begins
    MemoryContext attempt;
    Shredder *shredder;
    int failed; // the row whose fault it is, -1: not known
    ErrorData *error;
};

constexpr int most_rows_at_once = 1000;

void open_chunks(ChunkLoader *loader);
void hold_row(ChunkLoader *loader, const SourceRow *row, const char *place);
void refuse_held(ChunkLoader *loader, const Refusal *refusal); // the row that was held last
bool is_chunk_full(const ChunkLoader *loader);

// load_chunk writes the rows held; those that do not fit have a refusal afterwards.
void load_chunk(ChunkLoader *loader);
void empty_chunk(ChunkLoader *loader);

// is_document_error tells errors that a document can cause from cancels, lack of resources, missing rights, faults of the
// program ...
bool is_document_error(const ErrorData *error);

// is_race tells an error that comes from another transaction writing the same key meanwhile: another attempt sees its row.
bool is_race(const ShredPlan *plan, const ErrorData *error);
constexpr int most_races = 5;

} // namespace sluice
