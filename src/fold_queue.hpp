// Rows on their way into a fold: they wait until the memory of their keys is there. Waiting for memory is most of the work when
// there are many keys, so while a row waits its slot, its key and its values are asked for, one after the other.
#pragma once

#include "postgres.hpp"

#include "fold.hpp"

namespace sluice {

struct FoldQueue {
    static constexpr int length = steady_rows; // rows stay as they are so long
    Fold *fold;
    FoldInput *input;
    MemoryContext row; // for what one row needs
    SourceRow rows[length];
    uint32 hashes[length];
    int64 first, next;       // numbers of the rows in it
    const SourceRow *folded; // the row at hand, for error messages; or NULL
};

FoldQueue *make_fold_queue(Fold *fold, FoldInput *input, MemoryContext row);

// can_queue tells whether rows of a plan can wait: only those of which every part is there as it is wanted.
bool can_queue(const MergePlan *plan);

inline bool is_queue_full(const FoldQueue *queue) { return queue->next - queue->first == FoldQueue::length; }
inline bool is_queue_empty(const FoldQueue *queue) { return queue->next == queue->first; }

// put_in_queue puts a row behind those that wait; there must be room. fold_first folds the row that came first.
void put_in_queue(FoldQueue *queue, const SourceRow *row);
void fold_first(FoldQueue *queue);

} // namespace sluice
