// Rows on their way into a fold: they wait until the memory of their keys is there. Waiting for memory is most of the work when
// there are many keys, so the slots, the keys and the values of all rows that wait are asked for before the first is looked at.
#pragma once

#include "postgres.hpp"

#include "fold.hpp"

namespace sluice {

struct FoldQueue {
    static constexpr int length = steady_rows; // rows stay as they are so long
    Fold *fold;
    FoldInput *input;
    MemoryContext row; // for what rows need
    SourceRow rows[length];
    uint32 hashes[length];
    int count;
    const SourceRow *folded; // the row at hand, for error messages; or NULL
};

FoldQueue *make_fold_queue(Fold *fold, FoldInput *input, MemoryContext row);

// can_queue tells whether rows of a plan can wait: only those of which every part is there as it is wanted.
bool can_queue(const MergePlan *plan);

inline bool is_queue_full(const FoldQueue *queue) { return queue->count == FoldQueue::length; }

// put_in_queue puts a row behind those that wait; there must be room. fold_waiting folds them all.
void put_in_queue(FoldQueue *queue, const SourceRow *row);
void fold_waiting(FoldQueue *queue);

} // namespace sluice
