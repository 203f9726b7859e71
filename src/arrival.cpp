// See arrival.hpp.
//
// Numbers of transactions mean something in one cluster alone. The catalog row therefore holds the number of the
// transaction that wrote it: where that is also its xmin, the row was written here, or its pages were copied with the
// numbers (pg_upgrade, a base backup, CREATE DATABASE ... TEMPLATE). After a dump and restore the two differ.
#include "arrival.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "names.hpp"

namespace sluice {

// full_transaction widens the number of a transaction of the past.
static uint64 full_transaction(uint32 number) {
    const uint64 next = next_transaction();
    const uint64 full = (next & ~UINT64CONST(0xFFFFFFFF)) | number;
    return full < next ? full : full - (UINT64CONST(1) << 32);
}

ArrivalPosition load_arrival_position(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    static CatalogStatement statement;
    if (catalog_prepared(&statement,
                         "SELECT a.seen, a.target, a.stamp::text, a.key, a.order_value, a.reached, a.hash, "
                         "a.compared_at, a.forgotten, a.leaves, a.stored, a.xmin::text::bigint, a.order_type "
                         "FROM sluice.arrival_position a WHERE a.pipeline_id = $1::int",
                         &parameters) == 0)
        elog(ERROR, "pipeline %d has no position", pipeline);
    ArrivalPosition position{};
    bool is_null;
    HeapTuple row = SPI_tuptable->vals[0];
    TupleDesc columns = SPI_tuptable->tupdesc;
    position.seen = read_seen(result_text(0, 1));
    position.target = read_seen(result_text(0, 2));
    const char *stamp = result_text(0, 3);
    position.stamp = stamp ? strtoull(stamp, NULL, 10) : 0;
    const Datum key = SPI_getbinval(row, columns, 4, &is_null);
    position.key = is_null ? NULL : DatumGetArrayTypePCopy(key);
    position.order_value = result_text(0, 5);
    position.reached = result_text(0, 6);
    position.hash = result_text(0, 7);
    const Datum compared = SPI_getbinval(row, columns, 8, &is_null);
    position.compared_at = is_null ? 0 : DatumGetTimestampTz(compared);
    position.forgotten = result_int(0, 9, &is_null);
    position.leaves = result_numbers(0, 10);
    const int64 writer = result_int(0, 12, &is_null);
    position.moved = result_int(0, 11, &is_null) != writer;
    position.order_type = result_text(0, 13);
    position.moved_at = full_transaction(static_cast<uint32>(writer));
    free_result();
    return position;
}

static void add_seen(Parameters *parameters, const Seen *seen) {
    add_text(parameters, has_seen(seen) ? seen_text(seen) : NULL);
}

static void add_position(Parameters *parameters, int32 pipeline, const ArrivalPosition *position) {
    add_int(parameters, pipeline);
    add_seen(parameters, &position->seen);
    add_seen(parameters, &position->target);
    add_text(parameters, position->stamp ? psprintf(UINT64_FORMAT, position->stamp) : NULL);
    if (position->key)
        add_value(parameters, TEXTARRAYOID, PointerGetDatum(position->key));
    else
        add_null(parameters, TEXTARRAYOID);
    add_text(parameters, position->order_value);
    add_text(parameters, position->reached);
    add_text(parameters, position->hash);
    if (position->compared_at)
        add_value(parameters, TIMESTAMPTZOID, TimestampTzGetDatum(position->compared_at));
    else
        add_null(parameters, TIMESTAMPTZOID);
    add_int(parameters, position->forgotten);
    add_numbers(parameters, position->leaves.values, position->leaves.count);
    add_int(parameters, GetCurrentTransactionId());
    add_text(parameters, position->order_type);
}

void insert_arrival_position(int32 pipeline, const ArrivalPosition *position) {
    Parameters parameters{};
    add_position(&parameters, pipeline, position);
    catalog_execute("INSERT INTO sluice.arrival_position (pipeline_id, seen, target, stamp, key, order_value, reached, "
                    "hash, compared_at, forgotten, leaves, stored, order_type) "
                    "VALUES ($1::int, $2::pg_snapshot, $3::pg_snapshot, $4::xid8, $5, $6, $7, $8, $9, $10, $11, $12, "
                    "$13)",
                    &parameters);
}

void store_arrival_position(int32 pipeline, const ArrivalPosition *position, int64 rows) {
    Parameters parameters{};
    add_position(&parameters, pipeline, position);
    add_int(&parameters, rows);
    static CatalogStatement update;
    catalog_prepared(&update,
                     "UPDATE sluice.arrival_position SET seen = $2::pg_snapshot, target = $3::pg_snapshot, "
                     "stamp = $4::xid8, key = $5, order_value = $6, reached = $7, hash = $8, compared_at = $9, "
                     "forgotten = $10, leaves = $11, stored = $12, order_type = $13, "
                     "rows_total = greatest(0, rows_total + $14) "
                     "WHERE pipeline_id = $1::int",
                     &parameters);
}

static Seen copy_seen(const Seen *seen) {
    Seen copy = *seen;
    copy.xip = static_cast<uint64 *>(palloc(sizeof(uint64) * (seen->count + 1)));
    memcpy(copy.xip, seen->xip, sizeof(uint64) * seen->count);
    return copy;
}

static const char *copy_text(const char *text) { return text ? pstrdup(text) : NULL; }

ArrivalPosition copy_arrival_position(const ArrivalPosition *position) {
    ArrivalPosition copy = *position;
    copy.seen = copy_seen(&position->seen);
    copy.target = copy_seen(&position->target);
    if (position->key)
        copy.key = DatumGetArrayTypePCopy(PointerGetDatum(position->key));
    copy.order_value = copy_text(position->order_value);
    copy.reached = copy_text(position->reached);
    copy.hash = copy_text(position->hash);
    copy.order_type = copy_text(position->order_type);
    copy.leaves = copy_numbers(&position->leaves);
    return copy;
}

void keep_arrival_position(ArrivalPosition *kept, const ArrivalPosition *position, MemoryContext *memory) {
    MemoryContext fresh =
        AllocSetContextCreate(MemoryContextGetParent(*memory), "sluice position", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(fresh);
    *kept = copy_arrival_position(position);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(*memory);
    *memory = fresh;
}

void forget_positions(int32 pipeline, bool order_values) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_value(&parameters, BOOLOID, BoolGetDatum(order_values));
    catalog_execute("UPDATE sluice.run_log SET \"position\" = CASE WHEN $2 THEN \"position\" - 'order_value' - "
                    "'reached' END WHERE pipeline_id = $1::int AND \"position\" IS NOT NULL",
                    &parameters);
}

void refuse_moved_source(const char *pipeline, Oid source) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("source %s of pipeline \"%s\" was moved here by a dump: its transaction numbers are those of "
                    "another cluster",
                    relation_name(source), pipeline),
             errhint("Run SELECT sluice.rebase(%s).", quote_literal_cstr(pipeline))));
    pg_unreachable();
}

// ---- as JSON

void append_member(StringInfo json, const char *name, const char *value) {
    if (!value)
        return;
    appendStringInfo(json, ", \"%s\": ", name);
    escape_json(json, value);
}

void append_arrival(StringInfo json, const ArrivalPosition *position) {
    append_member(json, "seen", has_seen(&position->seen) ? seen_text(&position->seen) : NULL);
    if (!has_seen(&position->target))
        return;
    append_member(json, "target", seen_text(&position->target));
    append_member(json, "stamp", position->stamp ? psprintf(UINT64_FORMAT, position->stamp) : NULL);
    if (position->key)
        append_member(json, "key", OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(position->key)));
}

static Seen read_seen_member(Jsonb *json, const char *cursor, const char *member) {
    const Value value = position_member(json, cursor, member);
    return read_seen(value_string(value));
}

void read_arrival(ArrivalPosition *position, Jsonb *json, const char *cursor) {
    position->seen = read_seen_member(json, cursor, "seen");
    position->target = read_seen_member(json, cursor, "target");
    const char *stamp = value_string(position_member(json, cursor, "stamp"));
    position->stamp = stamp ? strtoull(stamp, NULL, 10) : 0;
    char *key = value_string(position_member(json, cursor, "key"));
    position->key = key ? DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, key, TEXTOID, -1)) : NULL;
    if (has_seen(&position->target) && position->stamp == 0)
        position->target = Seen{};
}

} // namespace sluice
