// See pipeline.hpp.
#include "pipeline.hpp"

#include "after.hpp"
#include "catalog.hpp"
#include "cron.hpp"
#include "ledger.hpp"
#include "lineage_tables.hpp"
#include "merge_state.hpp"
#include "newest.hpp"
#include "run.hpp"
#include "track.hpp"

namespace sluice {

void argument_error(const char *argument, const char *what, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: %s", argument, what),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

const char *name_argument(FunctionCallInfo fcinfo) {
    require_same_version();
    if (PG_ARGISNULL(0))
        argument_error("name", "must not be null", NULL);
    return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

// ---- the anchor: the type sluice.pipeline_<id>, whose owner is the pipeline's owner

static const char *anchor_name(int32 pipeline) { return psprintf("pipeline_%d", pipeline); }

Oid pipeline_owner(int32 pipeline) {
    const Oid schema = get_namespace_oid("sluice", false);
    HeapTuple type = SearchSysCache2(TYPENAMENSP, CStringGetDatum(anchor_name(pipeline)), ObjectIdGetDatum(schema));
    if (!HeapTupleIsValid(type))
        return InvalidOid;
    const Oid owner = reinterpret_cast<Form_pg_type>(GETSTRUCT(type))->typowner;
    ReleaseSysCache(type);
    return owner;
}

static void create_anchor(int32 pipeline, const char *name, Oid owner) {
    const Parameters none{};
    catalog_execute(psprintf("CREATE TYPE sluice.%s AS ()", anchor_name(pipeline)), &none);
    // nobody else is to use it: what depends on it would be in the way of a drop
    catalog_execute(psprintf("REVOKE ALL ON TYPE sluice.%s FROM PUBLIC", anchor_name(pipeline)), &none);
    catalog_execute(psprintf("COMMENT ON TYPE sluice.%s IS %s", anchor_name(pipeline),
                             quote_literal_cstr(psprintf("pipeline %s: who owns this type owns the pipeline", name))),
                    &none);
    catalog_execute(psprintf("ALTER TYPE sluice.%s OWNER TO %s", anchor_name(pipeline),
                             quote_identifier(GetUserNameFromId(owner, false))),
                    &none);
}

// ---- finding

[[noreturn]] static void unknown_pipeline(const char *name) {
    NearestName nearest = nearest_begin(name);
    const Parameters none{};
    const uint64 count = catalog_execute("SELECT name, pipeline_id::bigint FROM sluice.pipeline ORDER BY name", &none);
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        const Oid owner = pipeline_owner(result_int(i, 2, &is_null));
        if (OidIsValid(owner) && owns_or_is_member(owner))
            nearest_offer(&nearest, result_text(i, 1));
    }
    const char *hint = nearest_hint(&nearest);
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("pipeline \"%s\" does not exist", name),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

// load_pipeline reads the pipeline that `condition` on $1 names; NULL when there is none with an owner.
static Pipeline *load_pipeline(CatalogStatement *statement, const char *condition, const Parameters *parameters) {
    const uint64 found = catalog_prepared(
        statement,
        psprintf("SELECT p.pipeline_id::bigint, p.name, p.kind, p.source_schema, p.source_name, "
                 "p.source_oid, p.home, p.document, "
                 "p.mapping, p.order_by, p.batch_size::bigint, p.paused::int::bigint, p.time_zone, "
                 "p.date_style, p.interval_style, "
                 "p.search_path, p.cursor, p.lookback, (p.duplicates = 'keep')::int::bigint, "
                 "extract(epoch FROM p.recheck)::bigint, p.\"unknown\", (p.on_error = 'reject')::int::bigint, "
                 "p.max_rejects, p.content_columns, p.slots, p.max_failures::bigint, p.failures::bigint, "
                 "p.checks, p.lineage::int::bigint FROM sluice.pipeline p WHERE %s",
                 condition),
        parameters);
    bool is_null;
    const Oid owner = found ? pipeline_owner(result_int(0, 1, &is_null)) : InvalidOid;
    if (!OidIsValid(owner)) {
        free_result();
        return NULL;
    }
    Pipeline *pipeline = static_cast<Pipeline *>(palloc0(sizeof(Pipeline)));
    pipeline->id = result_int(0, 1, &is_null);
    pipeline->name = result_text(0, 2);
    pipeline->owner = owner;
    pipeline->kind = result_text(0, 3);
    pipeline->source = RelationReference{result_text(0, 4), result_text(0, 5),
                                         static_cast<Oid>(result_int(0, 6, &is_null)), result_text(0, 7)};
    pipeline->document = result_text(0, 8);
    pipeline->mapping = result_text(0, 9);
    pipeline->order_by = result_text(0, 10);
    const int64 batch_size = result_int(0, 11, &is_null);
    pipeline->batch_size = is_null ? 0 : batch_size;
    pipeline->paused = result_int(0, 12, &is_null);
    pipeline->time_zone = result_text(0, 13);
    pipeline->date_style = result_text(0, 14);
    pipeline->interval_style = result_text(0, 15);
    pipeline->search_path = result_text(0, 16);
    pipeline->cursor = result_text(0, 17);
    pipeline->lookback = result_text(0, 18);
    pipeline->keeps_duplicates = result_int(0, 19, &is_null);
    pipeline->recheck = result_int(0, 20, &is_null);
    if (is_null)
        pipeline->recheck = -1;
    pipeline->unknown = result_text(0, 21);
    pipeline->rejects = result_int(0, 22, &is_null);
    pipeline->max_rejects = result_int(0, 23, &is_null);
    if (is_null)
        pipeline->max_rejects = -1;
    pipeline->content_columns = result_names(0, 24);
    pipeline->slots = result_names(0, 25);
    pipeline->max_failures = result_int(0, 26, &is_null);
    pipeline->failures = result_int(0, 27, &is_null);
    pipeline->checks = result_names(0, 28);
    pipeline->lineage = result_int(0, 29, &is_null);
    free_result();
    return pipeline;
}

Pipeline *find_own_pipeline(const char *name) {
    Parameters parameters{};
    add_text(&parameters, name);
    static CatalogStatement by_name;
    Pipeline *pipeline = load_pipeline(&by_name, "p.name = $1", &parameters);
    if (pipeline && !owns_or_is_member(pipeline->owner))
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of pipeline \"%s\"", pipeline->name)));
    return pipeline;
}

Pipeline *find_pipeline(const char *name) {
    Pipeline *pipeline = find_own_pipeline(name);
    if (!pipeline)
        unknown_pipeline(name);
    return pipeline;
}

Pipeline *find_any_pipeline(int32 id) {
    Parameters parameters{};
    add_int(&parameters, id);
    static CatalogStatement by_id;
    return load_pipeline(&by_id, "p.pipeline_id = $1::int", &parameters);
}

Pipeline *find_visible_pipeline(int32 id) {
    Pipeline *pipeline = find_any_pipeline(id);
    return pipeline && owns_or_is_member(pipeline->owner) ? pipeline : NULL;
}

Oid pipeline_source(const Pipeline *pipeline) {
    Oid source = InvalidOid;
    const char *name = quote_qualified_identifier(pipeline->source.schema, pipeline->source.name);
    switch (resolve_reference(&pipeline->source, &source)) {
    case Found::Yes:
        return source;
    case Found::MadeAgain:
        if (strcmp(pipeline->cursor, "hash") == 0)
            return source; // its rows are known by their content, wherever they lie
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("source %s of pipeline \"%s\" was dropped and made again", name, pipeline->name),
                        errdetail("Its numbers have nothing to do with those that were read before."),
                        errhint("Drop the pipeline and create it again: it then loads what the source holds now.")));
    case Found::Missing:
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("source %s of pipeline \"%s\" does not exist", name, pipeline->name),
                        errhint("Restore it, or drop the pipeline with sluice.drop_pipeline.")));
    }
    pg_unreachable();
}

// what_to_change says what of a definition may be changed.
static const char *what_to_change(const Pipeline *pipeline) {
    if (strcmp(pipeline->kind, "shred") == 0)
        return "change the mapping with sluice.alter_pipeline";
    if (strcmp(pipeline->kind, "load") == 0)
        return "change the query with sluice.alter_pipeline, or drop the pipeline and create it again";
    return "drop the pipeline, empty its targets and create it again";
}

void explain_rights(const Pipeline *pipeline, ErrorData *error) {
    if (!error->hint && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
        error->hint = psprintf("Pipeline \"%s\" works with the rights of its owner, role %s.", pipeline->name,
                               quote_identifier(GetUserNameFromId(pipeline->owner, false)));
}

void explain_change(const Pipeline *pipeline, ErrorData *error) {
    explain_rights(pipeline, error);
    if (error->hint || (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION &&
                        error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE))
        return;
    error->hint = psprintf("It was otherwise when pipeline \"%s\" was made. Undo that, or %s.", pipeline->name,
                           what_to_change(pipeline));
}

void refresh_source(const Pipeline *pipeline, Oid source) {
    const RelationReference now = reference_to(source);
    if (now.oid == pipeline->source.oid && strcmp(now.home, pipeline->source.home) == 0 &&
        strcmp(now.schema, pipeline->source.schema) == 0 && strcmp(now.name, pipeline->source.name) == 0)
        return;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, now.schema);
    add_text(&parameters, now.name);
    add_int(&parameters, now.oid);
    add_text(&parameters, now.home);
    catalog_execute("UPDATE sluice.pipeline SET source_schema = $2, source_name = $3, source_oid = $4, home = $5 "
                    "WHERE pipeline_id = $1::int",
                    &parameters);
}

// ---- creating

const char *kept_search_path() {
    const char *path = GetConfigOption("search_path", false, false);
    return strstr(path, "pg_temp") ? path : psprintf("%s%spg_temp", path, *path ? ", " : "");
}

// delete_leftovers deletes what belonged to pipelines that are gone.
static void delete_leftovers() {
    static const char *const tables[] = {
        "sequence_position", "arrival_position", "load", "partition_state", "reject", "change", "run_log", "lineage"};
    const Parameters none{};
    for (const char *table : tables)
        catalog_execute(psprintf("DELETE FROM sluice.%s t WHERE NOT EXISTS "
                                 "(SELECT FROM sluice.pipeline p WHERE p.pipeline_id = t.pipeline_id)",
                                 table),
                        &none);
}

// forget_name takes a pipeline that is gone out of those that others run after.
static void forget_name(const char *name) {
    Parameters parameters{};
    add_text(&parameters, name);
    catalog_execute("UPDATE sluice.pipeline SET after = pg_catalog.array_remove(after, $1) WHERE $1 = ANY (after)",
                    &parameters);
}

static void check_pipeline_name(const char *name) {
    if (strlen(name) == 0 || strlen(name) >= NAMEDATALEN)
        argument_error("name", "a pipeline's name has 1 to 63 bytes", NULL);
    Parameters parameters{};
    add_text(&parameters, name);
    if (catalog_execute("SELECT pipeline_id::bigint FROM sluice.pipeline WHERE name = $1", &parameters) == 0)
        return;
    bool is_null;
    if (OidIsValid(pipeline_owner(result_int(0, 1, &is_null))))
        ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("pipeline \"%s\" already exists", name),
                        errhint("Change it with sluice.alter_pipeline, or drop it with sluice.drop_pipeline.")));
    // Its owner was dropped with everything he owned: the name is free again.
    catalog_execute("DELETE FROM sluice.pipeline WHERE name = $1", &parameters);
    forget_name(name);
    forget_job(name);
    delete_leftovers();
}

static int64 insert_definition(const NewPipeline *pipeline) {
    const RelationReference source = reference_to(pipeline->source);
    Parameters parameters{};
    add_text(&parameters, pipeline->name);
    add_text(&parameters, pipeline->kind);
    add_text(&parameters, source.schema);
    add_text(&parameters, source.name);
    add_int(&parameters, source.oid);
    add_text(&parameters, source.home);
    add_text(&parameters, pipeline->document);
    add_text(&parameters, pipeline->mapping);
    add_text(&parameters, pipeline->order_by);
    if (pipeline->batch_size)
        add_int(&parameters, pipeline->batch_size);
    else
        add_null(&parameters, INT8OID);
    add_text(&parameters, GetConfigOption("TimeZone", false, false));
    add_text(&parameters, GetConfigOption("DateStyle", false, false));
    add_text(&parameters, GetConfigOption("IntervalStyle", false, false));
    add_text(&parameters, kept_search_path());
    add_text(&parameters, pipeline->cursor);
    add_text(&parameters, pipeline->lookback);
    add_text(&parameters, pipeline->duplicates);
    if (pipeline->recheck)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(pipeline->recheck));
    else
        add_null(&parameters, INTERVALOID);
    add_text(&parameters, pipeline->unknown);
    add_text(&parameters, pipeline->on_error);
    add_count(&parameters, pipeline->max_rejects);
    add_names(&parameters, pipeline->content_columns);
    add_count(&parameters, pipeline->max_failures);
    add_names(&parameters, pipeline->after);
    add_names(&parameters, pipeline->checks);
    catalog_execute("INSERT INTO sluice.pipeline (name, kind, source_schema, source_name, source_oid, home, document, "
                    "mapping, order_by, batch_size, time_zone, date_style, interval_style, search_path, cursor, "
                    "lookback, duplicates, recheck, \"unknown\", on_error, max_rejects, content_columns, max_failures, "
                    "after, checks) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8::json, $9, $10::int, $11, $12, $13, $14, $15, $16, "
                    "coalesce($17, 'skip'), $18, coalesce($19, 'ignore'), coalesce($20, 'stop'), $21, $22, "
                    "coalesce($23::int, 5), coalesce($24, '{}'), coalesce($25, '{}')) RETURNING pipeline_id::bigint",
                    &parameters);
    bool is_null;
    const int64 id = result_int(0, 1, &is_null);
    free_result();
    return id;
}

int32 insert_pipeline(const NewPipeline *pipeline) {
    check_pipeline_name(pipeline->name);
    check_after(pipeline->name, pipeline->after);
    const Oid owner = GetUserId();
    const int32 id = insert_definition(pipeline);
    create_anchor(id, pipeline->name, owner);
    return id;
}

// ---- the lock

LOCKTAG pipeline_lock_tag(int32 pipeline) {
    LOCKTAG tag;
    const Oid catalog = get_relname_relid("pipeline", get_namespace_oid("sluice", false));
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, catalog, static_cast<uint32>(pipeline), 0);
    return tag;
}

int pipeline_lock_holder(int32 pipeline) {
    const LOCKTAG tag = pipeline_lock_tag(pipeline);
    int count;
    VirtualTransactionId *holders = GetLockConflicts(&tag, ExclusiveLock, &count);
    if (count > 0 && holder_backend(holders[0]) != no_backend) {
        PGPROC *process = backend_process(holder_backend(holders[0]));
        return process ? process->pid : -1;
    }
    return count > 0 ? -1 : 0;
}

const char *pipeline_runner(int32 pipeline) {
    const int process = pipeline_lock_holder(pipeline);
    return process > 0 ? psprintf("Process %d", process) : "A prepared transaction";
}

// ---- altering and dropping

void require_idle(const Pipeline *pipeline) {
    const LOCKTAG tag = pipeline_lock_tag(pipeline->id);
    const bool here = is_in_flight(pipeline->id);
    if (here || LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE), errmsg("pipeline \"%s\" is running", pipeline->name),
                 errdetail("%s runs it.", here ? psprintf("Process %d", MyProcPid) : pipeline_runner(pipeline->id)),
                 errhint("Try again when the run has ended.")));
}

static void set_paused(const char *name, bool paused) {
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_value(&parameters, BOOLOID, BoolGetDatum(paused));
    catalog_execute("UPDATE sluice.pipeline SET paused = $2, failures = CASE WHEN $2 THEN failures ELSE 0 END, "
                    "failed_at = CASE WHEN $2 THEN failed_at END WHERE pipeline_id = $1::int",
                    &parameters);
    SPI_finish();
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_drop_pipeline);
Datum sluice_drop_pipeline(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("DELETE FROM sluice.pipeline WHERE pipeline_id = $1::int", &parameters);
    forget_name(pipeline->name);
    forget_job(pipeline->name);
    const Parameters none{};
    drop_ledger(pipeline->id);
    drop_newest(pipeline->id);
    drop_track(pipeline->id);
    drop_lineage(pipeline->id);
    drop_merge_states(pipeline->id);
    delete_leftovers();
    catalog_execute(psprintf("DROP TYPE sluice.%s", anchor_name(pipeline->id)), &none);
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_pause);
Datum sluice_pause(PG_FUNCTION_ARGS) {
    set_paused(name_argument(fcinfo), true);
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_resume);
Datum sluice_resume(PG_FUNCTION_ARGS) {
    set_paused(name_argument(fcinfo), false);
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_is_running);
Datum sluice_is_running(PG_FUNCTION_ARGS) { PG_RETURN_BOOL(pipeline_lock_holder(PG_GETARG_INT32(0)) != 0); }

} // extern "C"
