// The SQL entry points that run pipelines.
#include "postgres.hpp"

#include "catalog.hpp"
#include "pipeline.hpp"
#include "run.hpp"

namespace sluice {

static int positive_argument(FunctionCallInfo fcinfo, int number, const char *name) {
    if (PG_ARGISNULL(number))
        return 0;
    const int value = PG_GETARG_INT32(number);
    if (value < 1)
        argument_error(name, "must be at least 1", NULL);
    return value;
}

// partition_argument takes a value of any type as text that does not depend on settings; NULL: null.
static const char *partition_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return NULL;
    return stored_text(get_fn_expr_argtype(fcinfo->flinfo, number), PG_GETARG_DATUM(number));
}

bool is_atomic_call(FunctionCallInfo fcinfo) {
    return !fcinfo->context || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic;
}

// call_pipeline serves the procedures: outside a transaction block each batch has a transaction of its own.
static void call_pipeline(FunctionCallInfo fcinfo, const char *name, const RunOptions *options) {
    const bool atomic = is_atomic_call(fcinfo);
    SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
    run_pipeline(name, options, atomic);
    SPI_finish();
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_run);
Datum sluice_run(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.batch_size = positive_argument(fcinfo, 1, "batch_size");
    options.max_batches = positive_argument(fcinfo, 2, "max_batches");
    options.upto = partition_argument(fcinfo, 3);
    options.progress = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
    call_pipeline(fcinfo, name, &options);
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_backfill);
Datum sluice_backfill(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.from = partition_argument(fcinfo, 1);
    options.upto = partition_argument(fcinfo, 2);
    if (!options.from)
        argument_error("from_partition", "must not be null", NULL);
    if (!options.upto)
        options.upto = options.from;
    call_pipeline(fcinfo, name, &options);
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_retry);
Datum sluice_retry(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.retry = true;
    call_pipeline(fcinfo, name, &options);
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_rebuild);
Datum sluice_rebuild(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    RunOptions options{};
    options.rebuild = true;
    options.discard = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
    options.progress = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
    call_pipeline(fcinfo, name, &options);
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
    values[3] = Int64GetDatum(result.updated);
    values[4] = Int64GetDatum(result.deleted);
    values[5] = Int64GetDatum(result.duplicates);
    values[6] = Int64GetDatum(result.too_late);
    values[7] = Int64GetDatum(result.rejected);
    return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

} // extern "C"
