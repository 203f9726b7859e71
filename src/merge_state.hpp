// What a merge remembers of each key beside the target: when each value was set, that the key was deleted, and the values of
// keys that wait. One table for each pipeline, sluice.merge_<id>, owned by the pipeline's owner.
//
//   (the key)       as in the target
//   sluice_times    the newest moment, that of the last delete, and that of each leaf: 8 bytes each
//   sluice_waiting  leaves and values of a key that is not written yet: pairs of name and value
//   sluice_deep     the times within deep columns (deep_times.hpp), where they are not all the same
#pragma once

#include "postgres.hpp"

#include "deep_times.hpp"
#include "fold.hpp"
#include "writer.hpp"

namespace sluice {

struct MergeState {
    bool exists;
    int64 newest, deleted;
    int64 *moments;  // of the plan's leaves
    DeepTimes *deep; // of the plan's leaves
    bool waits;
    FoldValue *waiting; // of the plan's leaves
};

constexpr int merge_state_columns = 3; // behind the key

struct MergeStates {
    Oid relation, key_index;
    const MergePlan *plan;
    int key_count; // its columns come first, in the order of the plan
};

void create_merge_states(int32 pipeline, const char *name, Relation target, const MergePlan *plan, Oid owner);
void drop_merge_states(int32 pipeline);

// empty_merge_states makes the table empty, as the owner, whose it becomes; false: it is gone.
bool empty_merge_states(const Pipeline *pipeline);

// open_merge_states finds the table, gives it to the pipeline's owner and sees to it that its key is as the target's is.
MergeStates *open_merge_states(const Pipeline *pipeline, const MergePlan *plan);
WriterTarget merge_states_target(const MergeStates *states);

MergeState read_merge_state(const MergeStates *states, const Datum *values, const bool *nulls);
MergeState no_merge_state(const MergePlan *plan);
// fill_merge_state fills a row of the writer, but for its key.
void fill_merge_state(const MergeStates *states, const MergeState *state, WriterRow *row);

const char *merge_states_name(int32 pipeline); // sluice.merge_<id>

// count_waiting_keys counts the keys that wait; false: the table is gone, or not the owner's yet.
bool count_waiting_keys(int32 pipeline, int64 *count);

} // namespace sluice
