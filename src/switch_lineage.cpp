// See switch_lineage.hpp.
#include "switch_lineage.hpp"

#include "catalog.hpp"
#include "lineage_tables.hpp"
#include "restore.hpp"
#include "rights.hpp"
#include "work.hpp"

namespace sluice {

// keep_targets plans the pipeline as a run does, to know what it writes.
static void keep_targets(Pipeline *pipeline) {
    Job job{};
    job.pipeline = pipeline;
    job.memory = job.planned = job.batch = CurrentMemoryContext;
    job.row = AllocSetContextCreate(CurrentMemoryContext, "sluice row", ALLOCSET_DEFAULT_SIZES);
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    job.source = RelationGetRelid(source);
    Work *work = make_work(&job);
    (void)work->plan(source);
    keep_lineage(pipeline, work->targets());
    relation_close(source, NoLock);
    switch_back(&owner);
}

static void stop_lineage(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    drop_lineage(pipeline);
    forget_lineage(pipeline);
    catalog_execute("UPDATE sluice.run_log SET lineage = false WHERE pipeline_id = $1::int AND lineage", &parameters);
}

void switch_lineage(const char *name, bool on) {
    Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    if (on)
        keep_targets(pipeline);
    else
        stop_lineage(pipeline->id);
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_value(&parameters, BOOLOID, BoolGetDatum(on));
    catalog_execute("UPDATE sluice.pipeline SET lineage = $2 WHERE pipeline_id = $1::int", &parameters);
}

} // namespace sluice
