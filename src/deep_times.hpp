// The times of a deep column beside its value: with the jsonb that stands in the target they make the tree again.
//
// Most places are as old as what is around them, so only those that are not are named. A node that names none says nothing
// but one time, and that of the whole column stands among the times of the state already: a document that came with one patch
// needs nothing here.
//
// What somebody changed in the target counts as old as what it took the place of; what they added, as old as the members
// beside it that are not named.
#pragma once

#include "postgres.hpp"

#include "deep.hpp"

namespace sluice {

struct DeepTimes {
    const char *data;
    uint32 length; // 0: the whole is as old as its newest part
};

// read_deep makes the tree of a value (NULL: none) whose newest part is of `moment`. It refers to both.
DeepNode *read_deep(const DeepTimes *times, Jsonb *value, int64 moment, int64 floor);

// deep_times writes the times of a tree, as far as they are not before `floor`.
DeepTimes deep_times(const DeepNode *root, int64 floor);

// has_older tells whether anything that stands is as old as `moment` or older.
bool has_older(const DeepTimes *times, int64 newest, int64 moment);

// pack_deep puts the times of several columns, by their slots, into one value; 0 when there are none. unpack_deep finds them.
void pack_deep(StringInfo to, int slot, const DeepTimes *times);
DeepTimes unpack_deep(const char *data, Size length, int slot);

} // namespace sluice
