// The partitions of a load: when each changed last, and what was loaded of it. The rows of sluice.partition_state.
#pragma once

#include "postgres.hpp"

#include "order.hpp"

namespace sluice {

// partition_text is a partition as it is stored: equal values have one text. partition_texts does many at once.
const char *partition_text(const Order *order, Datum value);
void partition_texts(const Order *order, const Datum *values, int count, const char **texts);

struct PartitionChange {
    const char *partition;
    int64 version;
    TimestampTz at;
};

// note_changes enters changes; `version` is the load's after them.
void note_changes(int32 pipeline, const PartitionChange *changes, int count, int64 version);

struct PartitionState {
    int64 id;
    const char *partition;
    int64 version;
    bool wanted; // changed since it was loaded, and settled
    Datum value;
    bool loaded; // ever
    int64 rows;  // that its last load wrote
};

// read_states reads the partitions that are wanted, or all, in ascending order. `settle`: NULL, or for how long no change
// came to those that are wanted.
PartitionState *read_states(int32 pipeline, Order *order, const Interval *settle, bool all, int *count);

// mark_loaded: `deleted` rows were in the way.
void mark_loaded(const PartitionState *state, int64 run, int64 rows, int64 deleted);
// note_state keeps in sluice.lineage what a partition was before it is marked.
void note_state(const PartitionState *state, int64 run);
// restore_states makes the partitions what they were before the runs after to_run.
void restore_states(int32 pipeline, int64 to_run);
void mark_failed(const PartitionState *state, const char *error);

void mark_unloaded(int32 pipeline); // all of them, as far as what they hold goes

// last_success is when a partition was loaded last; before the first, when the pipeline was created.
TimestampTz last_success(int32 pipeline);

// Whoever loads a partition holds this lock meanwhile: so others see it.
LOCKTAG partition_lock_tag(int64 partition);

} // namespace sluice
