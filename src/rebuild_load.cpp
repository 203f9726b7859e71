// See rebuild_load.hpp.
//
// Only partitions that the load has loaded are touched: others in its target are not its own. Those of mode replace are
// replaced one by one, so that one that cannot be loaded (on_error => 'reject') stays as it is.
#include "rebuild_load.hpp"

#include "cursor.hpp"
#include "late.hpp"
#include "load_definition.hpp"
#include "load_plan.hpp"
#include "names.hpp"
#include "partitions.hpp"
#include "rebuild.hpp"
#include "track.hpp"

namespace sluice {

// What a load has loaded.
struct Loaded {
    const LoadDefinition *load;
    const LoadPlan *plan;
    Oid array_type;
    Datum partitions; // an array
    int64 rows;       // that their last loads wrote
};

static Loaded find_loaded(const Pipeline *pipeline, Relation source) {
    Loaded loaded{};
    loaded.load = read_load(pipeline->id);
    Order order = read_order(source, loaded.load->partition, "partition");
    loaded.plan = plan_load(loaded.load, load_target(loaded.load), &order);
    int count, found = 0;
    const PartitionState *states = read_states(pipeline->id, &order, NULL, true, &count);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        if (states[i].loaded) {
            values[found++] = states[i].value;
            loaded.rows += states[i].rows;
        }
    int16 length;
    bool by_value;
    char alignment;
    get_typlenbyvalalign(order.type, &length, &by_value, &alignment);
    loaded.array_type = get_array_type(order.type);
    loaded.partitions = PointerGetDatum(construct_array(values, found, order.type, length, by_value, alignment));
    return loaded;
}

// refuse_stale: where only triggers tell of changes, and not of deletes, what the source holds no more is told by its absence.
static void refuse_stale(const Pipeline *pipeline, const char *target) {
    const LoadAudit found = audit_load(pipeline);
    if (found.too_many > 0)
        refuse_loss(pipeline, psprintf(INT64_FORMAT " rows of %s", found.too_many, target),
                    "Its query does not give them any more: what they were made from may be gone from the source.");
}

void check_load_rows(const Pipeline *pipeline, Relation source) {
    own_track(pipeline->id, pipeline->owner);
    Loaded loaded = find_loaded(pipeline, source);
    const char *target = relation_name(loaded.plan->target);
    const int64 written = loaded.load->appends ? written_rows(pipeline) : loaded.rows;
    const int64 there =
        count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s t WHERE %s", target, loaded.plan->of_partitions), 1,
                   &loaded.array_type, &loaded.partitions);
    if (there > written)
        refuse_loss(pipeline, psprintf(INT64_FORMAT " rows that it has not written", there - written),
                    psprintf("It wrote " INT64_FORMAT " rows of its partitions in %s, and " INT64_FORMAT " are there.",
                             Max(written, static_cast<int64>(0)), target, there));
    if (loaded.load->by_trigger && !loaded.load->reloads_deletes)
        refuse_stale(pipeline, target);
}

void begin_load_rebuild(const Pipeline *pipeline, Relation source, bool discard) {
    Loaded loaded = find_loaded(pipeline, source);
    if (loaded.load->appends) {
        const int64 written = written_rows(pipeline);
        MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
        const char *statement =
            psprintf("DELETE FROM %s t WHERE %s", relation_name(loaded.plan->target), loaded.plan->of_partitions);
        if (SPI_execute_with_args(statement, 1, &loaded.array_type, &loaded.partitions, NULL, false, 0) < 0)
            elog(ERROR, "unexpected result of a delete");
        MemoryContextSwitchTo(memory);
        const int64 deleted = static_cast<int64>(SPI_processed);
        if (!discard && deleted > written)
            refuse_new_rows(pipeline, deleted - written);
    }
    mark_unloaded(pipeline->id);
}

} // namespace sluice
