// The work list: what a batch found and did not get to, kept from batch to batch of a run. On disk where it is long; it
// outlives transactions.
#pragma once

#include "postgres.hpp"

namespace sluice {

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
