// How a load writes a partition: its query tied to its target, as statements.
#pragma once

#include "postgres.hpp"

#include "back_off.hpp"
#include "load_definition.hpp"
#include "order.hpp"

namespace sluice {

struct LoadPlan {
    Oid target;
    Oid partition_type;
    const char *remove_sql, *insert_sql; // with $1 = the partition, $2 = the last update
    const char *given_sql, *held_sql;    // what the query gives, what the target holds, but for the column of back_off
    SPIPlanPtr remove, insert;
    bool has_time; // back_off names a column
    TimeColumn time;
    bool asks_for_update;      // the query has a $2
    const char *of_partition;  // a condition over the target as t
    const char *of_partitions; // the same, where $1 is an array
    MemoryContextCallback cleanup;
};

// load_target finds the target of a load; it raises when it is gone.
Oid load_target(const LoadDefinition *load);

// plan_load checks everything that can be known before a run; the plan lives in CurrentMemoryContext. Errors name the
// argument of sluice.create_load.
LoadPlan *plan_load(const LoadDefinition *load, Oid target, const Order *partition);

// check_load_rights raises when the current user may not do what the plan does.
void check_load_rights(const LoadPlan *plan, const LoadDefinition *load);

// last_update_of is the last update of one partition of the target.
TimestampTz last_update_of(const LoadPlan *plan, Datum partition);

// list_sql is the statement that asks partition_list for the partitions.
const char *list_sql(const char *partition_list, const Order *partition);

} // namespace sluice
