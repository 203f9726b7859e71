// The tables of which lineage is kept: their triggers, and the key by which it knows their rows.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// lineage_key gives the columns (names) by which rows of a table are known: of its primary key, else of the smallest unique
// index whose columns are never null; NIL: there is none. That of a partition is that of the whole.
List *lineage_key(Relation relation);

// key_numbers gives their attribute numbers.
AttrNumber *key_numbers(Relation relation, List *key);

// A LineageTarget is a table and its number among those of its pipeline.
struct LineageTarget {
    int number;
    Oid relation;
};

// lineage_targets lists (LineageTarget *) those of a pipeline, by number.
List *lineage_targets(int32 pipeline);

// keep_lineage gives the tables (oids) their triggers, where they have none. With the owner's rights.
void keep_lineage(const Pipeline *pipeline, List *relations);

// drop_lineage takes the triggers away.
void drop_lineage(int32 pipeline);

} // namespace sluice
