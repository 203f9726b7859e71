// What a merge remembers of each key beside the target: when each value was set, that the key was deleted, and the values of
// keys that wait. One table for each pipeline, sluice.merge_<id>, owned by the pipeline's owner.
//
// Neighbouring keys share a row where the key is a number and no column is deep: see merge_page.hpp. Otherwise, and in tables that
// were made before there were pages, each key has a row of its own:
//
//   (the key)       as in the target
//   sluice_times    the newest moment, that of the last delete, and that of each leaf: 8 bytes each
//   sluice_waiting  leaves and values of a key that is not written yet: pairs of name and value
//   sluice_deep     the times within deep columns (deep_times.hpp), where they are not all the same
#pragma once

#include "postgres.hpp"

#include "merge.hpp"
#include "writer.hpp"

namespace sluice {

// The columns of a key's own row, behind the key.
enum { times_column, waiting_column, deep_column, own_column_count };

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

const char *merge_states_name(int32 pipeline); // sluice.merge_<id>

// count_waiting_keys counts the keys that wait; false: the table is gone, being made anew, or not the owner's yet.
bool count_waiting_keys(int32 pipeline, int64 *count);

} // namespace sluice
