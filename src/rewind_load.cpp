// See rewind_load.hpp.
//
// It is exact or refused. With lineage what the target held is known (restore). Without, a partition that was loaded by none of
// the earlier runs, and found nothing in the target when it was loaded first, is taken out of the target and is new again; what a
// partition held before it was loaded again is not known.
#include "rewind_load.hpp"

#include "catalog.hpp"
#include "history.hpp"
#include "lineage.hpp"
#include "load_definition.hpp"
#include "load_plan.hpp"
#include "partitions.hpp"
#include "restore.hpp"
#include "rewind.hpp"
#include "rights.hpp"

namespace sluice {

struct LoadedPartition {
    int64 id, rows, found;
    const char *partition;
    bool earlier, again; // loaded by a run up to to_run; loaded more than once
};

[[noreturn]] static void refuse(const Pipeline *pipeline, int64 to_run, const char *why) {
    refuse_rewind(pipeline, to_run, why, "CALL sluice.backfill loads partitions again, from the source as it is now.");
}

static LoadedPartition *loaded_after(int32 pipeline, int64 to_run, int *count) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, to_run);
    *count = static_cast<int>(
        catalog_execute("SELECT s.partition_id, s.rows, s.found, s.partition, (s.first_run_id <= $2)::int::bigint, "
                        "(s.first_run_id < s.run_id)::int::bigint FROM sluice.partition_state s WHERE s.pipeline_id = "
                        "$1::int AND s.run_id > $2 ORDER BY s.partition",
                        &parameters));
    LoadedPartition *loaded = static_cast<LoadedPartition *>(palloc(sizeof(LoadedPartition) * (*count + 1)));
    bool is_null;
    for (int i = 0; i < *count; i++)
        loaded[i] = LoadedPartition{result_int(i, 1, &is_null),      result_int(i, 2, &is_null),
                                    result_int(i, 3, &is_null),      result_text(i, 4),
                                    result_int(i, 5, &is_null) != 0, result_int(i, 6, &is_null) != 0};
    free_result();
    return loaded;
}

static void check_partition(const Pipeline *pipeline, const LoadDefinition *load, const LoadedPartition *loaded,
                            int64 to_run) {
    if (loaded->earlier)
        refuse(pipeline, to_run,
               psprintf("Partition %s was loaded before, too: what it held then is not known.", loaded->partition));
    if (loaded->found > 0)
        refuse(pipeline, to_run,
               psprintf("Its first load of partition %s replaced " INT64_FORMAT " rows that somebody else had written.",
                        loaded->partition, loaded->found));
    if (load->appends && loaded->again)
        refuse(pipeline, to_run,
               psprintf("Partition %s was appended to more than once: how many rows it got is not known.",
                        loaded->partition));
}

// take_out deletes a partition from the target, all of the rows that its load wrote.
static void take_out(const Pipeline *pipeline, const LoadPlan *plan, const Order *order, const LoadedPartition *loaded,
                     int64 to_run) {
    Oid types[] = {order->type};
    Datum values[] = {order_datum(order, loaded->partition)};
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const char *statement = psprintf("DELETE FROM %s t WHERE %s", relation_name(plan->target), plan->of_partition);
    if (SPI_execute_with_args(statement, 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete");
    MemoryContextSwitchTo(memory);
    if (static_cast<int64>(SPI_processed) != loaded->rows)
        refuse(pipeline, to_run,
               psprintf("Partition %s got " INT64_FORMAT " rows, and " UINT64_FORMAT " are there.", loaded->partition,
                        loaded->rows, SPI_processed));
}

static void mark_new(const Pipeline *pipeline, int64 to_run) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, to_run);
    catalog_execute("UPDATE sluice.partition_state SET loaded_version = NULL, loaded_at = NULL, run_id = NULL, "
                    "first_run_id = NULL, rows = NULL, found = NULL, error = NULL WHERE pipeline_id = $1::int AND "
                    "run_id > $2",
                    &parameters);
}

// restore_partitions makes the target, and the states of its partitions, what they were.
static void restore_partitions(const Pipeline *pipeline, int64 to_run) {
    const OwnerScope owner = enter_owner(pipeline, true);
    restore_rows(pipeline, to_run);
    leave_owner(&owner);
    restore_states(pipeline->id, to_run);
}

// take_out_partitions takes out those that were loaded for the first time.
static void take_out_partitions(const Pipeline *pipeline, const LoadedPartition *loaded, int count, int64 to_run) {
    const LoadDefinition *load = read_load(pipeline->id);
    for (int i = 0; i < count; i++)
        check_partition(pipeline, load, &loaded[i], to_run);
    const OwnerScope owner = enter_owner(pipeline, true);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    const Order order = read_order(source, load->partition, "partition");
    const LoadPlan *plan = plan_load(load, load_target(load), &order);
    Restoring restoring{};
    restoring.pipeline = pipeline->id;
    start_restoring(&restoring);
    for (int i = 0; i < count; i++)
        take_out(pipeline, plan, &order, &loaded[i], to_run);
    end_restoring();
    relation_close(source, AccessShareLock);
    leave_owner(&owner);
    mark_new(pipeline, to_run);
}

void rewind_load(const Pipeline *pipeline, int64 to_run) {
    int count;
    const LoadedPartition *loaded = loaded_after(pipeline->id, to_run, &count);
    if (count == 0) {
        ereport(NOTICE, (errmsg("pipeline \"%s\" has loaded nothing after that run", pipeline->name)));
        return;
    }
    if (pipeline->lineage && run_without_lineage(pipeline->id, to_run) == 0)
        restore_partitions(pipeline, to_run);
    else
        take_out_partitions(pipeline, loaded, count, to_run);
    forget_later_lineage(pipeline->id, to_run);
    mark_undone(pipeline->id, to_run);
}

} // namespace sluice
