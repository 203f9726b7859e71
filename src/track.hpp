// Tracking by triggers: which partitions of a source were written to, noted by the transactions that write.
//
// Each pipeline has a table, sluice.track_<id>, owned by its owner:
//
//   partitions  the values, as text, to which a statement wrote; null: every partition may have changed
//   xid         the transaction that wrote
//   at          when
//
// It has no key and no index: writers only append, so that none waits for another.
#pragma once

#include "postgres.hpp"

#include "load_definition.hpp"
#include "pipeline.hpp"

namespace sluice {

void create_track(int32 pipeline, const char *name, Oid owner);
void drop_track(int32 pipeline); // with the triggers that fill it
const char *track_name(int32 pipeline);
Oid find_track(int32 pipeline);            // InvalidOid when it is gone
void need_track(int32 pipeline);           // raises then
void own_track(int32 pipeline, Oid owner); // gives it to the owner, if it is not his

// check_tracked_source refuses a source whose changes triggers cannot see.
void check_tracked_source(Relation source);

// start_tracking gives a new pipeline's source its triggers and notes every partition as changed.
void start_tracking(const LoadDefinition *load, Relation source);

// look_at_tables lists the partitions (texts) of tables that came to the source, or left it, since the last look; false: it
// cannot be told which they are.
bool look_at_tables(const LoadDefinition *load, Relation source, List **partitions);

// note_tables looks at tables that came to the source, or left it, since the last look: their partitions have changed. New
// ones get the triggers. It works with the owner's rights.
void note_tables(const Pipeline *pipeline, const LoadDefinition *load, Relation source);

} // namespace sluice
