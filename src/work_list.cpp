// See work_list.hpp.
#include "work_list.hpp"

namespace sluice {

WorkList *make_work_list(TupleDesc layout, MemoryContext parent) {
    MemoryContext memory = AllocSetContextCreate(parent, "sluice work list", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(memory);
    WorkList *list = static_cast<WorkList *>(palloc0(sizeof(WorkList)));
    list->memory = memory;
    list->layout = CreateTupleDescCopy(layout);
    list->slot = MakeSingleTupleTableSlot(list->layout, &TTSOpsMinimalTuple);
    list->rows = tuplestore_begin_heap(false, true, work_mem);
    MemoryContextSwitchTo(before);
    return list;
}

// A value stored out of line would be gone when its row is, before the list is read.
void add_work(WorkList *list, HeapTuple row) {
    HeapTuple whole = HeapTupleHasExternal(row) ? toast_flatten_tuple(row, list->layout) : row;
    tuplestore_puttuple(list->rows, whole);
    if (whole != row)
        heap_freetuple(whole);
    list->left++;
}

HeapTuple next_work(WorkList *list) {
    // What is read from disk is the slot's until the next call: it must not lie in the memory of a chunk.
    MemoryContext before = MemoryContextSwitchTo(list->memory);
    const bool found = tuplestore_gettupleslot(list->rows, true, false, list->slot);
    MemoryContextSwitchTo(before);
    if (!found)
        return NULL;
    list->left--;
    return ExecCopySlotHeapTuple(list->slot);
}

// Its file belongs to no transaction, so nothing but this closes it.
void end_work_list(WorkList *list) {
    ExecDropSingleTupleTableSlot(list->slot);
    tuplestore_end(list->rows);
    MemoryContextDelete(list->memory);
}

} // namespace sluice
