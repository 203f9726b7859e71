// What a merge remembers of each key beside the target: when each value was set, that the key was deleted, and the values of
// keys that wait. One table for each pipeline, sluice.merge_<id>, owned by the pipeline's owner.
//
// Neighbouring keys share a row where the key is a number: see merge_page.hpp. Otherwise, where columns are deep, and in tables that
// were made before there were pages, each key has a row of its own:
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

struct MergeStates {
    Oid relation, key_index;
    const MergePlan *plan;
    const char *page; // the column that numbers the pages; NULL: each key has a row of its own
    int column_count;
};

void create_merge_states(int32 pipeline, const char *name, Relation target, const MergePlan *plan, Oid owner);
void drop_merge_states(int32 pipeline);

// empty_merge_states makes the table empty, as the owner, whose it becomes; false: it is gone, or was made for keys of another type.
bool empty_merge_states(const Pipeline *pipeline, const MergePlan *plan);

// open_merge_states finds the table, gives it to the pipeline's owner and sees to it that its key is as the target's is.
MergeStates *open_merge_states(const Pipeline *pipeline, const MergePlan *plan);
WriterTarget merge_states_target(const MergeStates *states);

// shares_row tells whether the states of two keys lie in one row.
bool shares_row(const MergeStates *states, const FoldKey *left, const FoldKey *right);

// read_merge_state takes the state of a key from the row in which it lies.
MergeState read_merge_state(const MergeStates *states, const FoldKey *key, const Datum *values, const bool *nulls);

// A StateKeeper finds and puts the states of keys that are written one after the other. Of those that share a row
// (shares_row) all come in a row, and after the last of them leave_merge_states; the writer must not settle in between.
struct StateKeeper;
StateKeeper *keep_merge_states(const MergeStates *states, Writer *writer, int target);
MergeState find_merge_state(StateKeeper *keeper, const FoldKey *key);
void put_merge_state(StateKeeper *keeper, const FoldKey *key, const MergeState *state); // of the key found last
void leave_merge_states(StateKeeper *keeper);
void drop_keeper(StateKeeper *keeper);

const char *merge_states_name(int32 pipeline); // sluice.merge_<id>

// count_waiting_keys counts the keys that wait; false: the table is gone, or not the owner's yet.
bool count_waiting_keys(int32 pipeline, int64 *count);

} // namespace sluice
