// Altering pipelines.
#include "postgres.hpp"

#include "after.hpp"
#include "catalog.hpp"
#include "checks.hpp"
#include "create.hpp"
#include "create_load.hpp"
#include "create_shred.hpp"
#include "cursor.hpp"
#include "order.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "switch_lineage.hpp"

namespace sluice {

// check_new_lookback checks what only a hash cursor has, against its order.
static void check_new_lookback(const Pipeline *pipeline, const char *lookback) {
    if (strcmp(pipeline->cursor, "hash") != 0)
        argument_error(lookback ? "lookback" : "recheck",
                       psprintf("is for cursor \"hash\", not for \"%s\"", pipeline->cursor), NULL);
    if (!lookback)
        return;
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    Order order = read_order(source, pipeline->order_by);
    check_lookback(&order, lookback);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

// check_new_checks checks them as the owner, who is to carry them out.
static void check_new_checks(const Pipeline *pipeline, List *checks) {
    if (checks == NIL)
        return;
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    check_checks(checks, source);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

// refuse_for_kind refuses what only a shred has.
static void refuse_for_kind(const Pipeline *pipeline, FunctionCallInfo fcinfo, int number, const char *argument) {
    if (!PG_ARGISNULL(number) && strcmp(pipeline->kind, "shred") != 0)
        argument_error(argument, psprintf("is for pipelines of kind \"shred\", not of kind \"%s\"", pipeline->kind),
                       NULL);
}

// add_array adds an array of text as it was given: an empty one is not null.
static void add_array(Parameters *parameters, FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        add_null(parameters, TEXTARRAYOID);
    else
        add_value(parameters, TEXTARRAYOID, PG_GETARG_DATUM(number));
}

// alter_operation changes when a pipeline runs, and what stops it: of the arguments, those from number `first` on.
static void alter_operation(const Pipeline *pipeline, FunctionCallInfo fcinfo, int first) {
    const int max_failures = first, after = first + 1, checks = first + 2;
    if (PG_ARGISNULL(max_failures) && PG_ARGISNULL(after) && PG_ARGISNULL(checks))
        return;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_count(&parameters, max_failures_argument(fcinfo, max_failures));
    check_after(pipeline->name, names_argument(fcinfo, after, "after"));
    check_new_checks(pipeline, names_argument(fcinfo, checks, "checks"));
    add_array(&parameters, fcinfo, after);
    add_array(&parameters, fcinfo, checks);
    catalog_execute("UPDATE sluice.pipeline SET max_failures = coalesce($2::int, max_failures), "
                    "after = coalesce($3, after), checks = coalesce($4, checks) WHERE pipeline_id = $1::int",
                    &parameters);
}

static void alter_pipeline(FunctionCallInfo fcinfo) {
    enum {
        name,
        mapping,
        unknown,
        lookback,
        recheck,
        batch_size,
        on_error,
        max_rejects,
        of_loads,
        operation = of_loads + 5,
        lineage = operation + 3
    };
    if (PG_ARGISNULL(name))
        argument_error("name", "must not be null", NULL);
    check_batch_size(fcinfo, batch_size);
    const Pipeline *pipeline = find_pipeline(text_argument(fcinfo, name));
    const Interval *new_recheck = recheck_argument(fcinfo, recheck);
    refuse_for_kind(pipeline, fcinfo, mapping, "mapping");
    refuse_for_kind(pipeline, fcinfo, unknown, "unknown");
    if (!PG_ARGISNULL(mapping) || !PG_ARGISNULL(unknown))
        check_new_mapping(pipeline, PG_ARGISNULL(mapping) ? pipeline->mapping : text_argument(fcinfo, mapping),
                          PG_ARGISNULL(unknown) ? pipeline->unknown : check_unknown(text_argument(fcinfo, unknown)));
    if (!PG_ARGISNULL(lookback) || new_recheck)
        check_new_lookback(pipeline, text_argument(fcinfo, lookback));
    alter_load(pipeline, fcinfo, of_loads);
    alter_operation(pipeline, fcinfo, operation);
    if (strcmp(pipeline->kind, "load") == 0)
        refuse_rows(PG_ARGISNULL(batch_size) ? 0 : PG_GETARG_INT32(batch_size),
                    max_rejects_argument(fcinfo, max_rejects));
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, text_argument(fcinfo, mapping));
    add_text(&parameters, text_argument(fcinfo, lookback));
    if (new_recheck)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(new_recheck));
    else
        add_null(&parameters, INTERVALOID);
    if (PG_ARGISNULL(batch_size))
        add_null(&parameters, INT8OID);
    else
        add_int(&parameters, PG_GETARG_INT32(batch_size));
    add_text(&parameters, check_unknown(text_argument(fcinfo, unknown)));
    add_text(&parameters, check_on_error(text_argument(fcinfo, on_error)));
    add_count(&parameters, max_rejects_argument(fcinfo, max_rejects));
    catalog_execute(
        "UPDATE sluice.pipeline SET mapping = coalesce($2::json, mapping), lookback = coalesce($3, lookback), "
        "recheck = coalesce($4, recheck), batch_size = coalesce($5::int, batch_size), "
        "\"unknown\" = coalesce($6, \"unknown\"), on_error = coalesce($7, on_error), "
        "max_rejects = coalesce($8, max_rejects) "
        "WHERE pipeline_id = $1::int",
        &parameters);
    if (!PG_ARGISNULL(lineage))
        switch_lineage(pipeline->name, PG_GETARG_BOOL(lineage));
    else if (!PG_ARGISNULL(mapping) && pipeline->lineage)
        switch_lineage(pipeline->name, true);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_alter_pipeline);
Datum sluice_alter_pipeline(PG_FUNCTION_ARGS) {
    require_same_version();
    SPI_connect();
    alter_pipeline(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
