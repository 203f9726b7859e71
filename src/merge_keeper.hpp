// The state of a key: what a merge remembers of it, taken from the row in which it lies and put back, whichever way the table
// holds it (merge_state.hpp).
#pragma once

#include "postgres.hpp"

#include "deep_times.hpp"
#include "fold.hpp"
#include "merge_state.hpp"
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

} // namespace sluice
