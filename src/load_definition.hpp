// What a pipeline of kind load has beside the definition of a pipeline: its row in sluice.load.
#pragma once

#include "postgres.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

struct LoadDefinition {
    int32 pipeline;
    const char *partition; // SQL expression over the source
    RelationReference target;
    const char *target_partition;
    const char *query;
    bool appends;         // else replaces
    bool by_trigger;      // else by cursor
    bool reloads_deletes; // else ignores them
    const Interval *settle;
    int reload_last;
    const char *partition_list; // NULL: none
    const char *back_off;       // NULL: none
    int64 version;
    Numbers leaves;
    const char *leaves_home;
};

// read_load reads a definition, in CurrentMemoryContext; it raises when the pipeline is no load.
LoadDefinition *read_load(int32 pipeline);
void insert_load(const LoadDefinition *load);
void update_load(const LoadDefinition *load); // query, settle, reload_last, partition_list and back_off

void store_leaves(int32 pipeline, const Numbers *leaves);

} // namespace sluice
