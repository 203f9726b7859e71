// See outcome.hpp.
#include "outcome.hpp"

#include "catalog.hpp"

namespace sluice {

bool log_runs = false;

// notify_failure tells those who LISTEN. A payload has less than 8,000 bytes, and escaping makes six of one at most.
static void notify_failure(const Pipeline *pipeline, int64 run_id, const ErrorData *error) {
    constexpr int most = 1000;
    const int length = strlen(error->message);
    const char *message = length > most
                              ? psprintf("%s ...", pnstrdup(error->message, pg_mbcliplen(error->message, length, most)))
                              : error->message;
    StringInfoData payload;
    initStringInfo(&payload);
    appendStringInfoString(&payload, "{\"pipeline\": ");
    escape_json(&payload, pipeline->name);
    appendStringInfo(&payload, ", \"run\": " INT64_FORMAT ", \"error\": ", run_id);
    escape_json(&payload, psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), message));
    appendStringInfoChar(&payload, '}');
    Async_Notify("sluice", payload.data);
}

static void count_failure(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    const uint64 paused =
        catalog_execute("UPDATE sluice.pipeline SET failures = failures + 1, failed_at = pg_catalog.clock_timestamp(), "
                        "paused = paused OR (max_failures > 0 AND failures + 1 >= max_failures) "
                        "WHERE pipeline_id = $1::int RETURNING failures::bigint, (max_failures > 0 AND failures >= "
                        "max_failures)::int::bigint",
                        &parameters);
    bool is_null;
    if (paused == 0 || result_int(0, 2, &is_null) == 0)
        return;
    ereport(WARNING,
            (errmsg("pipeline \"%s\" is paused: " INT64_FORMAT " runs have failed in a row", pipeline->name,
                    result_int(0, 1, &is_null)),
             errhint("When the cause is mended, run SELECT sluice.resume(%s).", quote_literal_cstr(pipeline->name))));
}

void note_failure(const Pipeline *pipeline, int64 run_id, const ErrorData *error) {
    count_failure(pipeline);
    notify_failure(pipeline, run_id, error);
}

void note_success(const Pipeline *pipeline) {
    if (pipeline->failures == 0)
        return;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("UPDATE sluice.pipeline SET failures = 0, failed_at = NULL WHERE pipeline_id = $1::int",
                    &parameters);
}

void log_run(const char *pipeline, int64 run_id, const char *status, int64 source_rows, TimestampTz started_at) {
    if (!log_runs)
        return;
    ereport(LOG, (errmsg("pipeline \"%s\", run " INT64_FORMAT ": %s, " INT64_FORMAT " source rows, %.3f s", pipeline,
                         run_id, status, source_rows, (GetCurrentTimestamp() - started_at) / 1e6),
                  errhidestmt(true), errhidecontext(true)));
}

} // namespace sluice
