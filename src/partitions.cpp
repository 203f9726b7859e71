// See partitions.hpp.
#include "partitions.hpp"

#include "catalog.hpp"

namespace sluice {

// check_length: partitions are known by their text, which stands in an index.
static void check_length(const char *text) {
    constexpr size_t most = 2000;
    if (strlen(text) > most)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("a partition has a value of %zu bytes, more than %zu", strlen(text), most),
                        errdetail("It begins with %s.", pnstrdup(text, pg_mbcliplen(text, strlen(text), 100))),
                        errhint("Let the expression give something shorter, such as a hash of it.")));
}

void partition_texts(const Order *order, const Datum *values, int count, const char **texts) {
    if (order->type != NUMERICOID)
        stored_texts(order->type, values, count, texts);
    for (int i = 0; i < count; i++) {
        if (order->type == NUMERICOID)
            texts[i] = numeric_normalize(DatumGetNumeric(values[i])); // 1.0 is 1
        check_length(texts[i]);
    }
}

const char *partition_text(const Order *order, Datum value) {
    const char *text;
    partition_texts(order, &value, 1, &text);
    return text;
}

// ---- changes

static Datum text_array(const PartitionChange *changes, int count) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        values[i] = CStringGetTextDatum(changes[i].partition);
    return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum time_array(const PartitionChange *changes, int count) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        values[i] = TimestampTzGetDatum(changes[i].at);
    return PointerGetDatum(
        construct_array(values, count, TIMESTAMPTZOID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

void note_changes(int32 pipeline, const PartitionChange *changes, int count, int64 version) {
    int64 *versions = static_cast<int64 *>(palloc(sizeof(int64) * (count + 1)));
    for (int i = 0; i < count; i++)
        versions[i] = changes[i].version;
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, version);
    add_value(&parameters, TEXTARRAYOID, text_array(changes, count));
    add_numbers(&parameters, versions, count);
    add_value(&parameters, TIMESTAMPTZARRAYOID, time_array(changes, count));
    catalog_execute("UPDATE sluice.load SET version = $2 WHERE pipeline_id = $1::int AND version <> $2", &parameters);
    catalog_execute(
        "INSERT INTO sluice.partition_state (pipeline_id, partition, version, changed_at) "
        "SELECT $1::int, c.partition, max(c.version), max(c.at) FROM unnest($3, $4, $5) c(partition, version, at) "
        "GROUP BY c.partition "
        "ON CONFLICT (pipeline_id, partition) DO UPDATE SET version = greatest(partition_state.version, "
        "excluded.version), changed_at = greatest(partition_state.changed_at, excluded.changed_at) "
        "WHERE excluded.version > partition_state.version OR excluded.changed_at > partition_state.changed_at",
        &parameters);
}

// ---- states

static int compare_states(const void *left, const void *right, void *order) {
    return compare_orders(static_cast<Order *>(order), static_cast<const PartitionState *>(left)->value,
                          static_cast<const PartitionState *>(right)->value);
}

static void read_values(const Order *order, PartitionState *states, uint64 count) {
    const char **texts =
        static_cast<const char **>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(char *) * (count + 1)));
    Datum *values = static_cast<Datum *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (count + 1)));
    for (uint64 i = 0; i < count; i++)
        texts[i] = states[i].partition;
    stored_datums(order->type, texts, static_cast<int>(count), values);
    for (uint64 i = 0; i < count; i++)
        states[i].value = values[i];
    pfree(texts);
    pfree(values);
}

PartitionState *read_states(int32 pipeline, Order *order, const Interval *settle, bool all, int *count) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    if (settle)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(settle));
    else
        add_null(&parameters, INTERVALOID);
    add_value(&parameters, BOOLOID, BoolGetDatum(all));
    static CatalogStatement statement;
    const uint64 found = catalog_prepared(
        &statement,
        "SELECT partition_id, partition, version, wanted::int::bigint, (first_run_id IS NOT NULL)::int::bigint, "
        "coalesce(rows, 0) FROM (SELECT p.*, (p.loaded_version IS NULL OR "
        "p.loaded_version < p.version OR p.error IS NOT NULL) AND ($2 IS NULL OR p.changed_at <= clock_timestamp() - "
        "$2) AS wanted FROM sluice.partition_state p WHERE p.pipeline_id = $1::int) x WHERE wanted OR $3",
        &parameters);
    PartitionState *states = static_cast<PartitionState *>(
        MemoryContextAllocHuge(CurrentMemoryContext, sizeof(PartitionState) * (found + 1)));
    bool is_null;
    for (uint64 i = 0; i < found; i++)
        states[i] = PartitionState{result_int(i, 1, &is_null),
                                   result_text(i, 2),
                                   result_int(i, 3, &is_null),
                                   result_int(i, 4, &is_null) != 0,
                                   0,
                                   result_int(i, 5, &is_null) != 0,
                                   result_int(i, 6, &is_null)};
    free_result();
    read_values(order, states, found);
    qsort_arg(states, found, sizeof(PartitionState), compare_states, order);
    *count = static_cast<int>(found);
    return states;
}

void mark_loaded(const PartitionState *state, int64 run, int64 rows, int64 deleted) {
    Parameters parameters{};
    add_int(&parameters, state->id);
    add_int(&parameters, state->version);
    add_int(&parameters, run);
    add_int(&parameters, rows);
    add_int(&parameters, deleted);
    static CatalogStatement statement;
    catalog_prepared(&statement,
                     "UPDATE sluice.partition_state SET loaded_version = $2, loaded_at = clock_timestamp(), "
                     "run_id = $3, first_run_id = coalesce(first_run_id, $3), rows = $4, "
                     "found = coalesce(found, $5), error = NULL "
                     "WHERE partition_id = $1",
                     &parameters);
}

void note_state(const PartitionState *state, int64 run) {
    Parameters parameters{};
    add_int(&parameters, state->id);
    add_int(&parameters, run);
    catalog_execute("INSERT INTO sluice.lineage (pipeline_id, target, operation, run_id, row_key, before) "
                    "SELECT s.pipeline_id, 0, 'update', $2, s.partition, row_to_json(s) FROM sluice.partition_state s "
                    "WHERE s.partition_id = $1",
                    &parameters);
}

void restore_states(int32 pipeline, int64 to_run) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, to_run);
    catalog_execute(
        "UPDATE sluice.partition_state s SET (loaded_version, loaded_at, run_id, first_run_id, rows, found, error) = "
        "(SELECT b.loaded_version, b.loaded_at, b.run_id, b.first_run_id, b.rows, b.found, b.error "
        "FROM jsonb_populate_record(NULL::sluice.partition_state, e.before::jsonb) b) "
        "FROM (SELECT DISTINCT ON (l.row_key) l.row_key, l.before FROM sluice.lineage l WHERE l.pipeline_id = $1::int "
        "AND l.run_id > $2 AND l.target = 0 ORDER BY l.row_key, l.entry) e "
        "WHERE s.pipeline_id = $1::int AND s.partition = e.row_key",
        &parameters);
}

void mark_failed(const PartitionState *state, const char *error) {
    Parameters parameters{};
    add_int(&parameters, state->id);
    add_text(&parameters, error);
    catalog_execute("UPDATE sluice.partition_state SET error = $2 WHERE partition_id = $1", &parameters);
}

void mark_unloaded(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    catalog_execute("UPDATE sluice.partition_state SET loaded_version = NULL, error = NULL WHERE pipeline_id = $1::int",
                    &parameters);
}

TimestampTz last_success(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    catalog_execute("SELECT coalesce((SELECT max(s.loaded_at) FROM sluice.partition_state s WHERE s.pipeline_id = "
                    "$1::int), (SELECT p.created_at FROM sluice.pipeline p WHERE p.pipeline_id = $1::int))",
                    &parameters);
    bool is_null;
    const Datum time = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    const TimestampTz success = DatumGetTimestampTz(time);
    free_result();
    return success;
}

LOCKTAG partition_lock_tag(int64 partition) {
    LOCKTAG tag;
    const Oid catalog = get_relname_relid("partition_state", get_namespace_oid("sluice", false));
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, catalog, static_cast<uint32>(partition), 0);
    return tag;
}

} // namespace sluice
