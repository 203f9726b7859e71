// See fold_queue.hpp.
#include "fold_queue.hpp"

#include "merge_row.hpp"

namespace sluice {

FoldQueue *make_fold_queue(Fold *fold, FoldInput *input, MemoryContext row) {
    FoldQueue *queue = static_cast<FoldQueue *>(palloc0(sizeof(FoldQueue)));
    queue->fold = fold;
    queue->input = input;
    queue->row = row;
    return queue;
}

bool can_queue(const MergePlan *plan) { return !plan->converts && plan->document < 0; }

static bool has_key(const MergePlan *plan, const SourceRow *row) {
    for (int i = 0; i < plan->key_count; i++)
        if (row->nulls[i])
            return false;
    return true;
}

void put_in_queue(FoldQueue *queue, const SourceRow *row) {
    const Fold *fold = queue->fold;
    const int at = queue->count++;
    queue->rows[at] = *row;
    MemoryContext before = MemoryContextSwitchTo(queue->row); // some hash functions leave copies behind
    queue->hashes[at] =
        has_key(fold->plan, row) ? fold_hash(fold->plan, row->columns) : 0; // without a key it is refused
    MemoryContextSwitchTo(before);
    expect_slot(fold, queue->hashes[at]);
}

static void fold_one(FoldQueue *queue, const SourceRow *row, uint32 hash) {
    const MergePlan *plan = queue->fold->plan;
    const bool deletes = plan->deletes && DatumGetBool(row->columns[plan->delete_at]);
    if (plan->plain_sources && !deletes && has_key(plan, row)) {
        const int64 moment = moment_of(plan->moments, row->columns[plan->time], row->nulls[plan->time]);
        fold_plain_row(queue->fold, row, moment, hash);
        return;
    }
    take_source_row(plan, row, NULL, queue->input);
    (void)fold_row(queue->fold, queue->input, hash);
}

void fold_waiting(FoldQueue *queue) {
    MemoryContext before = MemoryContextSwitchTo(queue->row);
    for (int i = 0; i < queue->count; i++)
        expect_key(queue->fold, queue->hashes[i]);
    for (int i = 0; i < queue->count; i++)
        expect_values(queue->fold, queue->hashes[i], queue->rows[i].nulls);
    for (int i = 0; i < queue->count; i++) {
        queue->folded = &queue->rows[i];
        fold_one(queue, queue->folded, queue->hashes[i]);
    }
    queue->folded = NULL;
    queue->count = 0;
    MemoryContextSwitchTo(before);
    MemoryContextReset(queue->row);
}

} // namespace sluice
