// Deletes: the rows that a merge removes from its target.
#pragma once

#include "postgres.hpp"

#include "fold.hpp"
#include "merge_keeper.hpp"

namespace sluice {

// delete_keys removes the rows of keys that were deleted, and of those that were deleted before they came again: what is left
// of such a row is kept in key->taken. It returns how many rows went.
int64 delete_keys(const MergeStates *states, FoldKey **keys, int64 count);

} // namespace sluice
