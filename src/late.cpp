// See late.hpp. Here are the SQL entry points that tell which partitions of a load are late, before a run finds out.
#include "late.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "content.hpp"
#include "cursor.hpp"
#include "ledger.hpp"
#include "load_definition.hpp"
#include "load_plan.hpp"
#include "names.hpp"
#include "order.hpp"
#include "partitions.hpp"
#include "rights.hpp"
#include "track.hpp"

namespace sluice {

// A LateLook is a load and its source, with the owner's rights.
struct LateLook {
    const Pipeline *pipeline;
    const LoadDefinition *load;
    Relation source;
    Order order; // the partition
    OwnerScope owner;
    PartitionChange *changed; // each partition once, by its text
    int count, room;
};

static void note(LateLook *look, const char *partition, int64 version) {
    if (look->count == look->room) {
        look->room = Max(look->room * 2, 64);
        const Size size = sizeof(PartitionChange) * look->room;
        look->changed =
            static_cast<PartitionChange *>(look->changed ? repalloc_huge(look->changed, size) : palloc(size));
    }
    look->changed[look->count++] = PartitionChange{partition, version, 0};
}

static int compare_texts(const void *left, const void *right) {
    return strcmp(static_cast<const PartitionChange *>(left)->partition,
                  static_cast<const PartitionChange *>(right)->partition);
}

// sort_changes leaves each partition once, with its last version.
static void sort_changes(LateLook *look) {
    if (look->count == 0)
        return;
    qsort(look->changed, look->count, sizeof(PartitionChange), compare_texts);
    int last = 0;
    for (int i = 1; i < look->count; i++)
        if (compare_texts(&look->changed[last], &look->changed[i]) != 0)
            look->changed[++last] = look->changed[i];
        else
            look->changed[last].version = Max(look->changed[last].version, look->changed[i].version);
    look->count = last + 1;
}

static SPITupleTable *query_rows(const char *query, uint64 *count) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look for partitions");
    MemoryContextSwitchTo(memory);
    *count = SPI_processed;
    return SPI_tuptable;
}

// note_source notes the partitions of rows that fulfil a condition.
static void note_source(LateLook *look, const char *condition, int64 version) {
    uint64 count;
    SPITupleTable *rows = query_rows(psprintf("SELECT DISTINCT %s FROM %s s WHERE %s", look->order.sql,
                                              relation_name(RelationGetRelid(look->source)), condition),
                                     &count);
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        const Datum value = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_null);
        if (!is_null)
            note(look, partition_text(&look->order, value), version);
    }
    SPI_freetuptable(rows);
}

static void note_everything(LateLook *look, int64 version) {
    note_source(look, "true", version);
    int known = 0;
    const PartitionState *states =
        look->load->reloads_deletes ? read_states(look->pipeline->id, &look->order, NULL, true, &known) : NULL;
    for (int i = 0; i < known; i++)
        note(look, states[i].partition, version);
}

// note_track counts versions as a run would that looked now.
static void note_track(LateLook *look) {
    uint64 count;
    SPITupleTable *rows = query_rows(
        psprintf(
            "SELECT p, pg_catalog.max(x.n) FROM (SELECT t.partitions, pg_catalog.dense_rank() OVER (ORDER BY t.xid) "
            "AS n FROM %s t) x LEFT JOIN LATERAL pg_catalog.unnest(x.partitions) p ON true GROUP BY p",
            track_name(look->pipeline->id)),
        &count);
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        const char *partition = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
        const Datum number = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &is_null);
        const int64 version = look->load->version + DatumGetInt64(number);
        if (partition)
            note(look, partition, version);
        else
            note_everything(look, version);
    }
    SPI_freetuptable(rows);
}

// note_tables notes what came with tables that were attached, and went with those that were detached.
static void note_tables(LateLook *look) {
    List *partitions = NIL;
    const int64 version = look->load->version + 1;
    if (!look_at_tables(look->load, look->source, &partitions))
        note_everything(look, version);
    ListCell *cell;
    foreach (cell, partitions)
        note(look, static_cast<const char *>(lfirst(cell)), version);
}

// unaccounted_rows is a condition for rows whose content is there more often than the ledger of a hash cursor says.
static const char *unaccounted_rows(const LateLook *look) {
    const char *content = content_sql(NULL, look->pipeline->content_columns);
    return psprintf(
        "%s IN (SELECT c.h FROM (SELECT %s AS h, pg_catalog.count(*) AS n FROM %s s GROUP BY 1) c LEFT JOIN %s "
        "l ON l.h OPERATOR(pg_catalog.=) c.h WHERE l.h IS NULL OR c.n OPERATOR(pg_catalog.>) "
        "pg_catalog.abs(coalesce(l.n, 1)))",
        content, content, relation_name(RelationGetRelid(look->source)), ledger_name(look->pipeline->id));
}

static void find_changed(LateLook *look) {
    if (look->load->by_trigger) {
        need_track(look->pipeline->id);
        note_track(look);
        note_tables(look);
        return;
    }
    Cursor *cursor = make_cursor(look->pipeline, CurrentMemoryContext);
    const bool counts = strcmp(look->pipeline->cursor, "hash") == 0 && look->pipeline->keeps_duplicates;
    note_source(look, counts ? unaccounted_rows(look) : cursor->unread(look->source), look->load->version + 1);
}

static LateLook begin_late_look(const Pipeline *pipeline, Oid source) {
    LateLook look{};
    look.pipeline = pipeline;
    look.load = read_load(pipeline->id);
    look.owner = switch_to_owner(pipeline);
    look.source = relation_open(source, AccessShareLock);
    look.order = read_order(look.source, look.load->partition, "partition");
    find_changed(&look);
    sort_changes(&look);
    return look;
}

static void end_late_look(const LateLook *look) {
    relation_close(look->source, AccessShareLock);
    switch_back(&look->owner);
}

// ---- partitions a run would load

static int compare_by_value(const void *left, const void *right, void *order) {
    return compare_orders(static_cast<Order *>(order), static_cast<const PartitionState *>(left)->value,
                          static_cast<const PartitionState *>(right)->value);
}

// merge_changes makes the states what they would be after a look of a run.
static PartitionState *merge_changes(LateLook *look, int *count) {
    int known;
    PartitionState *states = read_states(look->pipeline->id, &look->order, NULL, true, &known);
    states = static_cast<PartitionState *>(repalloc_huge(states, sizeof(PartitionState) * (known + look->count + 1)));
    bool *known_changes = static_cast<bool *>(palloc0(look->count + 1));
    for (int i = 0; i < known; i++) {
        const PartitionChange wanted{states[i].partition, 0, 0};
        const void *found = bsearch(&wanted, look->changed, look->count, sizeof(PartitionChange), compare_texts);
        if (!found)
            continue;
        const PartitionChange *change = static_cast<const PartitionChange *>(found);
        known_changes[change - look->changed] = true;
        states[i].wanted = true;
        states[i].version = change->version;
    }
    *count = known;
    for (int i = 0; i < look->count; i++)
        if (!known_changes[i])
            states[(*count)++] = PartitionState{0,
                                                look->changed[i].partition,
                                                look->changed[i].version,
                                                true,
                                                order_datum(&look->order, look->changed[i].partition),
                                                false,
                                                0};
    qsort_arg(states, *count, sizeof(PartitionState), compare_by_value, &look->order);
    return states;
}

static Datum read_current(const LateLook *look, const char *current) {
    Datum value = 0;
    at_place("current", [&] {
        Oid input, parameter;
        getTypeInputInfo(look->order.type, &input, &parameter);
        value = OidInputFunctionCall(input, const_cast<char *>(current), parameter, -1);
    });
    return value;
}

// late_states finds the partitions that are late, before the current one (NULL: all).
static PartitionState *late_states(LateLook *look, const char *current, int *count) {
    const Datum limit = current ? read_current(look, current) : 0;
    int all, late = 0;
    PartitionState *states = merge_changes(look, &all);
    for (int i = 0; i < all; i++)
        if (states[i].wanted && (!current || compare_orders(&look->order, states[i].value, limit) < 0))
            states[late++] = states[i];
    *count = late;
    return states;
}

static void put_partition(Tuplestorestate *rows, TupleDesc columns, const char *partition, int64 version) {
    Datum values[] = {CStringGetTextDatum(partition), Int64GetDatum(version)};
    bool nulls[] = {false, false};
    tuplestore_putvalues(rows, columns, values, nulls);
}

static void show_late(const Pipeline *pipeline, const char *current, Tuplestorestate *rows, TupleDesc columns) {
    LateLook look = begin_late_look(pipeline, pipeline_source(pipeline));
    int count;
    const PartitionState *states = late_states(&look, current, &count);
    for (int i = 0; i < count; i++)
        put_partition(rows, columns, states[i].partition, states[i].version);
    end_late_look(&look);
}

static void show_changed(const Pipeline *pipeline, Tuplestorestate *rows, TupleDesc columns) {
    Oid source;
    if (resolve_reference(&pipeline->source, &source) != Found::Yes)
        return;
    const LateLook look = begin_late_look(pipeline, source);
    for (int i = 0; i < look.count; i++)
        put_partition(rows, columns, look.changed[i].partition, look.changed[i].version);
    end_late_look(&look);
}

// try_to_show says of a load that cannot be looked at why, and goes on: a view over all of them calls it.
static void try_to_show(const Pipeline *pipeline, Tuplestorestate *rows, TupleDesc columns) {
    ErrorData *error = attempt([&] { show_changed(pipeline, rows, columns); });
    if (error && is_intervention(error))
        ReThrowError(error);
    if (error)
        ereport(WARNING, (errcode(error->sqlerrcode),
                          errmsg("what changed for pipeline \"%s\" is not known: %s", pipeline->name, error->message)));
}

static int64 last_loaded_version(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    catalog_execute(
        "SELECT coalesce(max(s.loaded_version), 0) FROM sluice.partition_state s WHERE s.pipeline_id = $1::int",
        &parameters);
    bool is_null;
    const int64 version = result_int(0, 1, &is_null);
    free_result();
    return version;
}

// ---- what is loaded, compared with the source

static int64 count_in(const Order *order, const char *query, Datum partition) {
    Oid types[] = {order->type, TIMESTAMPTZOID};
    Datum values[] = {partition, TimestampTzGetDatum((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)};
    return count_rows(psprintf("SELECT pg_catalog.count(*) FROM (%s) x", query), 2, types, values);
}

static int64 count_failed(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute(
        "SELECT count(*) FROM sluice.partition_state s WHERE s.pipeline_id = $1::int AND s.error IS NOT NULL",
        &parameters);
    bool is_null;
    const int64 failed = result_int(0, 1, &is_null);
    free_result();
    return failed;
}

LoadAudit audit_load(const Pipeline *pipeline) {
    LoadAudit audit{};
    audit.failed = count_failed(pipeline);
    LateLook look = begin_late_look(pipeline, pipeline_source(pipeline));
    const LoadPlan *plan = plan_load(look.load, load_target(look.load), &look.order);
    const char *missing = psprintf("%s EXCEPT ALL %s", plan->given_sql, plan->held_sql);
    const char *too_many = psprintf("%s EXCEPT ALL %s", plan->held_sql, plan->given_sql);
    int count;
    const PartitionState *states = merge_changes(&look, &count);
    for (int i = 0; i < count; i++) {
        if (states[i].wanted)
            continue;
        audit.missing += count_in(&look.order, missing, states[i].value);
        audit.too_many += count_in(&look.order, too_many, states[i].value);
        audit.loaded += count_in(&look.order, plan->held_sql, states[i].value);
    }
    end_late_look(&look);
    return audit;
}

static char *config_text(LateLook *look, const char *current) {
    int count;
    const PartitionState *states = late_states(look, current, &count);
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"partitions\": [");
    for (int i = 0; i < count; i++) {
        appendStringInfoString(&json, i ? ", {" : "{");
        escape_json(&json, look->load->target_partition);
        appendStringInfoString(&json, ": ");
        escape_json(&json, states[i].partition);
        appendStringInfoChar(&json, '}');
    }
    appendStringInfo(&json, "], \"lastProcessedVersion\": " INT64_FORMAT "}", last_loaded_version(look->pipeline->id));
    return json.data;
}

static const char *current_argument(FunctionCallInfo fcinfo) {
    return PG_ARGISNULL(1) ? NULL : stored_text(get_fn_expr_argtype(fcinfo->flinfo, 1), PG_GETARG_DATUM(1));
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_late_partitions);
Datum sluice_late_partitions(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo), *current = current_argument(fcinfo);
    TupleDesc columns;
    Tuplestorestate *rows = begin_result_rows(fcinfo, &columns);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    as_defined(pipeline, [&] { show_late(pipeline, current, rows, columns); });
    SPI_finish();
    return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(sluice_backfill_config);
Datum sluice_backfill_config(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo), *current = current_argument(fcinfo);
    MemoryContext memory = CurrentMemoryContext;
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    const char *text = NULL;
    as_defined(pipeline, [&] {
        LateLook look = begin_late_look(pipeline, pipeline_source(pipeline));
        text = MemoryContextStrdup(memory, config_text(&look, current));
        end_late_look(&look);
    });
    SPI_finish();
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

PG_FUNCTION_INFO_V1(sluice_changed_partitions);
Datum sluice_changed_partitions(PG_FUNCTION_ARGS) {
    TupleDesc columns;
    Tuplestorestate *rows = begin_result_rows(fcinfo, &columns);
    SPI_connect();
    const Pipeline *pipeline = find_visible_pipeline(PG_GETARG_INT32(0));
    if (pipeline && strcmp(pipeline->kind, "load") == 0)
        try_to_show(pipeline, rows, columns);
    SPI_finish();
    return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(sluice_is_loading);
Datum sluice_is_loading(PG_FUNCTION_ARGS) {
    const LOCKTAG tag = partition_lock_tag(PG_GETARG_INT64(0));
    int count;
    (void)GetLockConflicts(&tag, ExclusiveLock, &count);
    PG_RETURN_BOOL(count > 0);
}

} // extern "C"
