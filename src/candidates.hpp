// Candidates: rows that may be new, from wherever they are found. They come in chunks, so that their contents can be
// looked up in the ledger together.
//
//   a statement  all rows, a stretch of the order, or what a compare found: read by the server, in order; what a batch
//                does not get to is kept in a work list over the commits of the run
//   stamps       what arrived, by an xid8 column
//   arrivals     what arrived, by the arrival index
#pragma once

#include "postgres.hpp"

#include "arrival_index.hpp"
#include "content.hpp"
#include "ledger.hpp"
#include "stamp.hpp"

namespace sluice {

struct Candidate {
    HeapTuple tuple;
    ContentHash hash;
    bool known;     // in the ledger
    bool updated;   // another version of an older row
    bool processed; // seen by an earlier sweep
    int64 more;     // a compare says: not a row to load, but so many more rows of a known content
    // where it stands in its sweep
    Oid leaf;
    uint64 stamp;
    ItemPointerData entry;
};

constexpr int chunk_size = 256;

struct Chunk {
    Candidate *rows;
    int count, next;
    TupleDesc layout; // order value, document, other columns
    MemoryContext memory;
};

// A WorkList keeps rows of a statement from batch to batch of a run: on disk where they are many. It outlives transactions.
struct WorkList {
    Tuplestorestate *rows;
    TupleDesc layout;
    TupleTableSlot *slot;
    MemoryContext memory;
    int64 left;
};

WorkList *make_work_list(TupleDesc layout, MemoryContext parent);
void add_work(WorkList *list, HeapTuple row);
HeapTuple next_work(WorkList *list); // in CurrentMemoryContext; NULL: none left
void end_work_list(WorkList *list);  // raises nothing

} // namespace sluice
