// The SQL entry points that run pipelines or look at how they stand.
#include "postgres.hpp"

#include "catalog.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "run.hpp"
#include "sequence_cursor.hpp"

namespace sluice {

static int positive_argument(FunctionCallInfo fcinfo, int number, const char *name) {
    if (PG_ARGISNULL(number))
        return 0;
    const int value = PG_GETARG_INT32(number);
    if (value < 1)
        argument_error(name, "must be at least 1", NULL);
    return value;
}

static bool is_atomic_call(FunctionCallInfo fcinfo) {
    return !fcinfo->context || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic;
}

static int64 count_pending(const Pipeline *pipeline) {
    MemoryContext memory = CurrentMemoryContext;
    const OwnerScope owner = switch_to_owner(pipeline);
    const Oid source = pipeline_source(pipeline);
    Relation relation = relation_open(source, AccessShareLock);
    (void)check_sequence_source(relation, pipeline->order_by);
    relation_close(relation, AccessShareLock);
    const char *query = psprintf("SELECT pg_catalog.count(*) FROM %s WHERE %s OPERATOR(pg_catalog.>) $1",
                                 relation_name(source), quote_identifier(pipeline->order_by));
    Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(load_sequence_position(pipeline->id).position)};
    if (SPI_execute_with_args(query, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of count()");
    MemoryContextSwitchTo(memory);
    switch_back(&owner);
    bool is_null;
    return result_int(0, 1, &is_null);
}

// describe_holders lists who may still insert numbers that were drawn already.
static const char *describe_holders(Oid sequence) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, sequence);
    int count;
    VirtualTransactionId *holders = GetLockConflicts(&tag, ShareLock, &count);
    if (count == 0)
        return NULL;
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++) {
        const PGPROC *process = open_process(holder_backend(holders[i]), holders[i].localTransactionId);
        if (process)
            appendStringInfo(&list, "%sprocess %d", i ? ", " : "", process->pid);
        else
            appendStringInfo(&list, "%sa prepared transaction", i ? ", " : "");
    }
    return list.data;
}

struct Estimate {
    const char *source;
    bool known;
    int64 pending;
    const char *waiting_for;
};

static Estimate estimate_pending(const Pipeline *pipeline) {
    Estimate estimate{};
    estimate.source = quote_qualified_identifier(pipeline->source.schema, pipeline->source.name);
    Oid source;
    if (resolve_reference(&pipeline->source, &source) != Found::Yes)
        return estimate;
    estimate.source = relation_name(source);
    Relation relation = relation_open(source, AccessShareLock);
    const AttrNumber column = get_attnum(source, pipeline->order_by);
    const Oid sequence = column > 0 ? default_sequence(relation, column) : InvalidOid;
    relation_close(relation, AccessShareLock);
    if (!OidIsValid(sequence))
        return estimate;
    const int64 last = sequence_last_value(sequence), position = load_sequence_position(pipeline->id).position;
    estimate.known = true;
    estimate.pending =
        last == nothing_read ? 0 : Max(static_cast<int64>(0), position == nothing_read ? last : last - position);
    if (estimate.pending > 0)
        estimate.waiting_for = describe_holders(sequence);
    return estimate;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_run);
Datum sluice_run(PG_FUNCTION_ARGS) {
    const bool atomic = is_atomic_call(fcinfo);
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.batch_size = positive_argument(fcinfo, 1, "batch_size");
    options.max_batches = positive_argument(fcinfo, 2, "max_batches");
    options.progress = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
    SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
    run_pipeline(name, &options, atomic);
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_run_batch);
Datum sluice_run_batch(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.batch_size = positive_argument(fcinfo, 1, "batch_size");
    options.max_batches = 1;
    TupleDesc columns;
    if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    columns = BlessTupleDesc(columns);
    SPI_connect();
    const RunResult result = run_pipeline(name, &options, true);
    SPI_finish();
    Datum values[8];
    bool nulls[8] = {};
    for (int i = 0; i < 8; i++)
        values[i] = Int64GetDatum(0);
    values[0] = Int64GetDatum(result.run_id);
    nulls[0] = result.run_id == 0;
    values[1] = Int64GetDatum(result.source_rows);
    values[2] = Int64GetDatum(result.inserted);
    return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

PG_FUNCTION_INFO_V1(sluice_pending);
Datum sluice_pending(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const int64 pending = count_pending(find_pipeline(name));
    SPI_finish();
    PG_RETURN_INT64(pending);
}

PG_FUNCTION_INFO_V1(sluice_seek);
Datum sluice_seek(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("position", "must not be null", NULL);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    const OwnerScope owner = switch_to_owner(pipeline);
    seek_sequence(pipeline, pipeline_source(pipeline), PG_GETARG_JSONB_P(1));
    switch_back(&owner);
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_pending_estimate);
Datum sluice_pending_estimate(PG_FUNCTION_ARGS) {
    TupleDesc columns;
    if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    columns = BlessTupleDesc(columns);
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    const Pipeline *pipeline = find_visible_pipeline(PG_GETARG_INT32(0));
    MemoryContextSwitchTo(caller);
    if (pipeline) {
        const Estimate estimate = estimate_pending(pipeline);
        values[0] = CStringGetTextDatum(estimate.source);
        nulls[0] = false;
        values[1] = Int64GetDatum(estimate.pending);
        nulls[1] = !estimate.known;
        nulls[2] = !estimate.waiting_for;
        if (estimate.waiting_for)
            values[2] = CStringGetTextDatum(estimate.waiting_for);
    }
    SPI_finish();
    return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

} // extern "C"
