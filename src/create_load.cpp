// Creating and altering loads: every argument is checked at once, as the run will need it.
#include "create_load.hpp"

#include "checks.hpp"
#include "create.hpp"
#include "cursor.hpp"
#include "load_definition.hpp"
#include "load_plan.hpp"
#include "order.hpp"
#include "rights.hpp"
#include "switch_lineage.hpp"
#include "track.hpp"

namespace sluice {

// The arguments of sluice.create_load, in their order.
namespace argument {
enum {
    Name,
    Source,
    Partition,
    Target,
    TargetPartition,
    Query,
    LoadMode,
    Track,
    Deletes,
    Settle,
    ReloadLast,
    PartitionList,
    BackOff,
    Common
};
}

static bool is_second(FunctionCallInfo fcinfo, int number, const char *name, const char *first, const char *second) {
    const char *const known[] = {first, second};
    const char *word = check_word(name, text_argument(fcinfo, number), known, lengthof(known));
    return word && strcmp(word, second) == 0;
}

static const Interval *settle_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return NULL;
    const Interval *settle = PG_GETARG_INTERVAL_P(number);
    if (settle->month < 0 || settle->day < 0 || settle->time < 0)
        argument_error("settle", "must not be negative", NULL);
    return settle;
}

static int reload_last_argument(FunctionCallInfo fcinfo, int number) {
    const int count = PG_ARGISNULL(number) ? 0 : PG_GETARG_INT32(number);
    if (count < 0)
        argument_error("reload_last", "must not be negative", NULL);
    return count;
}

static void read_load_arguments(FunctionCallInfo fcinfo, LoadDefinition *load) {
    using namespace argument;
    load->partition = text_argument(fcinfo, Partition);
    const Oid target = PG_GETARG_OID(Target);
    if (!get_rel_name(target))
        argument_error("target", psprintf("relation %u does not exist", target), NULL);
    load->target = reference_to(target);
    load->target_partition = name_text(fcinfo, TargetPartition);
    load->query = text_argument(fcinfo, Query);
    load->appends = is_second(fcinfo, LoadMode, "mode", "replace", "append");
    load->by_trigger = is_second(fcinfo, Track, "track", "cursor", "trigger");
    load->reloads_deletes = is_second(fcinfo, Deletes, "deletes", "ignore", "reload");
    load->settle = settle_argument(fcinfo, Settle);
    load->reload_last = reload_last_argument(fcinfo, ReloadLast);
    load->partition_list = text_argument(fcinfo, PartitionList);
    load->back_off = PG_ARGISNULL(BackOff) ? NULL : name_text(fcinfo, BackOff);
}

void refuse_rows(int batch_size, int64 max_rejects) {
    if (batch_size)
        argument_error("batch_size", "is not for loads: a batch of theirs is a partition", NULL);
    if (max_rejects >= 0)
        argument_error("max_rejects", "is not for loads: a partition is loaded as a whole or not at all", NULL);
}

// check_combination refuses arguments that do not go together.
static void check_combination(const NewPipeline *pipeline, const LoadDefinition *load) {
    if (load->reloads_deletes && !load->by_trigger)
        argument_error("deletes", "\"reload\" needs track \"trigger\": a cursor does not see deletes", NULL);
    if (load->reloads_deletes && load->appends)
        argument_error("deletes", "\"reload\" needs mode \"replace\": \"append\" takes nothing away", NULL);
    if (load->by_trigger &&
        (pipeline->cursor || pipeline->order_by || pipeline->lookback || pipeline->duplicates || pipeline->recheck))
        argument_error("track", "\"trigger\" needs no cursor, order_by, lookback, duplicates or recheck", NULL);
    refuse_rows(pipeline->batch_size, pipeline->max_rejects);
}

static void choose_tracking(NewPipeline *pipeline, const LoadDefinition *load, Relation source) {
    if (load->by_trigger) {
        check_tracked_source(source);
        pipeline->cursor = "trigger";
        warn_of_hidden_rows(RelationGetRelid(source));
        return;
    }
    choose_cursor(pipeline, source);
    read_rows_as_they_are(pipeline, source);
    check_new_cursor(pipeline, source);
}

static void begin_tracking(const NewPipeline *pipeline, LoadDefinition *load, Relation source) {
    load->pipeline = insert_pipeline(pipeline);
    insert_load(load);
    if (load->by_trigger) {
        create_track(load->pipeline, pipeline->name, GetUserId());
        start_tracking(load, source);
    } else {
        start_cursor(pipeline, load->pipeline, source);
    }
}

static void create_load(FunctionCallInfo fcinfo) {
    static const char *const required[] = {"name", "source", "partition", "target", "target_partition", "query"};
    require_arguments(fcinfo, required, lengthof(required));
    NewPipeline pipeline{};
    LoadDefinition load{};
    pipeline.kind = "load";
    read_load_arguments(fcinfo, &load);
    read_common_arguments(fcinfo, argument::Common, &pipeline);
    check_combination(&pipeline, &load);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_tracking(&pipeline, &load, source);
    const Order partition = read_order(source, load.partition, "partition");
    const LoadPlan *plan = plan_load(&load, load.target.oid, &partition);
    check_load_rights(plan, &load);
    check_checks(pipeline.checks, source);
    begin_tracking(&pipeline, &load, source);
    relation_close(source, NoLock);
    if (pipeline.lineage)
        switch_lineage(pipeline.name, true);
}

// ---- altering

static bool is_any_given(FunctionCallInfo fcinfo, int first, int count) {
    bool any = false;
    for (int i = first; i < first + count; i++)
        any = any || !PG_ARGISNULL(i);
    return any;
}

// check_altered checks the definition as it is to be, with the owner's rights.
static void check_altered(const Pipeline *pipeline, const LoadDefinition *load) {
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    const Order partition = read_order(source, load->partition, "partition");
    const LoadPlan *plan = plan_load(load, load_target(load), &partition);
    check_load_rights(plan, load);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

void alter_load(const Pipeline *pipeline, FunctionCallInfo fcinfo, int first) {
    enum { query, settle, reload_last, partition_list, back_off, count };
    if (!is_any_given(fcinfo, first, count))
        return;
    if (strcmp(pipeline->kind, "load") != 0)
        argument_error("name",
                       psprintf("\"%s\" is no load: query, settle, reload_last, partition_list and back_off are for "
                                "loads",
                                pipeline->name),
                       NULL);
    LoadDefinition *load = read_load(pipeline->id);
    if (!PG_ARGISNULL(first + query))
        load->query = text_argument(fcinfo, first + query);
    if (!PG_ARGISNULL(first + settle))
        load->settle = settle_argument(fcinfo, first + settle);
    if (!PG_ARGISNULL(first + reload_last))
        load->reload_last = reload_last_argument(fcinfo, first + reload_last);
    if (!PG_ARGISNULL(first + partition_list))
        load->partition_list = text_argument(fcinfo, first + partition_list);
    if (!PG_ARGISNULL(first + back_off))
        load->back_off = name_text(fcinfo, first + back_off);
    check_altered(pipeline, load);
    update_load(load);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_load);
Datum sluice_create_load(PG_FUNCTION_ARGS) {
    SPI_connect();
    create_load(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_other_partition);
Datum sluice_other_partition(PG_FUNCTION_ARGS) {
    const char *found = text_argument(fcinfo, 0), *wanted = text_argument(fcinfo, 1);
    ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                    errmsg("the query gave a row of partition %s instead of %s", found ? found : "null",
                           wanted ? wanted : "null"),
                    errhint("It must select the rows of partition $1 alone.")));
}

} // extern "C"
