// sluice.purge_source: source rows that were loaded long ago are deleted, and only those.
//
// "Long ago" is told by the pipeline's history: what had been read when the newest run ended that is older than that. A row
// that was passed over (sluice.verify counts such rows) cannot be told from one that was loaded, so as long as there are any
// nothing is deleted. Rejected rows stay.
#include "postgres.hpp"

#include "audit.hpp"
#include "catalog.hpp"
#include "content.hpp"
#include "cursor.hpp"
#include "ledger.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "rights.hpp"

namespace sluice {

// Where the pipeline stood so long ago.
struct OldPosition {
    int64 run; // 0: there was none
    Jsonb *position;
};

static OldPosition find_old_position(const Pipeline *pipeline, const Interval *keep) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_value(&parameters, INTERVALOID, IntervalPGetDatum(keep));
    OldPosition found{};
    if (catalog_execute("SELECT r.run_id, r.\"position\"::text FROM sluice.run_log r WHERE r.pipeline_id = $1::int AND "
                        "r.finished_at < pg_catalog.now() - $2 AND r.undone_at IS NULL AND r.\"position\" IS NOT NULL "
                        "ORDER BY r.run_id DESC LIMIT 1",
                        &parameters) > 0) {
        bool is_null;
        found.run = result_int(0, 1, &is_null);
        found.position = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(result_text(0, 2))));
    }
    free_result();
    return found;
}

// refuse_missing: a hash cursor has no position that could pass over a row.
static void refuse_missing(const Pipeline *pipeline) {
    if (strcmp(pipeline->cursor, "hash") == 0)
        return;
    const Audit found = audit(pipeline);
    if (found.missing == 0)
        return;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("source of pipeline \"%s\" has " INT64_FORMAT " rows that were passed over", pipeline->name,
                           found.missing),
                    errdetail("They cannot be told from rows that were loaded, so nothing was deleted."),
                    errhint("SELECT * FROM sluice.verify(%s) counts them; load them by other means, or delete them.",
                            quote_literal_cstr(pipeline->name))));
}

// rejected_contents gives the contents of the rejects as uuid[].
static Datum rejected_contents(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("SELECT coalesce(array_agg(DISTINCT encode(r.hash, 'hex')::uuid), '{}') FROM sluice.reject r "
                    "WHERE r.pipeline_id = $1::int",
                    &parameters);
    bool is_null;
    const Datum contents =
        datumCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null), false, -1);
    free_result();
    return contents;
}

static int64 delete_rows(const Pipeline *pipeline, Relation source, const char *read) {
    const char *content =
        pipeline->document ? content_sql(pipeline->document, NIL) : "sluice.content(pg_catalog.row_to_json(s))";
    const char *statement =
        psprintf("DELETE FROM %s s WHERE (%s) AND (pg_catalog.cardinality($1) OPERATOR(pg_catalog.=) 0 OR %s "
                 "OPERATOR(pg_catalog.<>) ALL ($1))",
                 relation_name(RelationGetRelid(source)), read,
                 pipeline->content_columns ? content_sql(NULL, pipeline->content_columns) : content);
    Oid types[] = {UUIDARRAYOID};
    Datum values[] = {rejected_contents(pipeline)};
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_with_args(statement, 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete from a source");
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

static void check_kind(const Pipeline *pipeline) {
    if (strcmp(pipeline->kind, "load") == 0)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("pipeline \"%s\" is a load: a partition that is loaded again needs all of its rows",
                        pipeline->name),
                 errhint("Delete, or detach, whole partitions of the source to which no late rows come any more.")));
    if (strcmp(pipeline->cursor, "hash") == 0 && pipeline->keeps_duplicates)
        ereport(
            ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("pipeline \"%s\" tells equal rows by their number: none of them may be deleted", pipeline->name),
             errhint("Read the source by cursor \"sequence\" or \"snapshot\", or with duplicates => 'skip'.")));
}

static int64 purge(const Pipeline *pipeline, const Interval *keep) {
    check_kind(pipeline);
    require_idle(pipeline);
    const OldPosition old = find_old_position(pipeline, keep);
    if (old.run == 0)
        return 0;
    refuse_missing(pipeline);
    Cursor *cursor = make_cursor(pipeline, CurrentMemoryContext);
    const OwnerScope owner = enter_owner(pipeline, true);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    check_read_columns(pipeline, source);
    const int64 deleted = delete_rows(pipeline, source, cursor->read_by(source, old.position, old.run));
    relation_close(source, NoLock);
    leave_owner(&owner);
    return deleted;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_purge_source);
Datum sluice_purge_source(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("keep", "must not be null", "'0' deletes all rows that are loaded.");
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    int64 deleted = 0;
    as_defined(pipeline, [&] { deleted = purge(pipeline, PG_GETARG_INTERVAL_P(1)); });
    SPI_finish();
    PG_RETURN_INT64(deleted);
}

} // extern "C"
