// See cron.hpp.
#include "cron.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "errand.hpp"

namespace sluice {

const char *cron_database() { return GetConfigOption("cron.database_name", true, false); }

CronPlace cron_place() {
    if (!strstr(shared_preload_libraries_string, "pg_cron") || !cron_database())
        return CronPlace::Missing;
    return strcmp(cron_database(), get_database_name(MyDatabaseId)) == 0 ? CronPlace::Here : CronPlace::Elsewhere;
}

const char *job_name(const char *pipeline) {
    StringInfoData name;
    initStringInfo(&name);
    appendStringInfo(&name, "sluice/%s", quote_identifier(get_database_name(MyDatabaseId)));
    if (pipeline)
        appendStringInfo(&name, "/%s", quote_identifier(pipeline));
    if (name.len < NAMEDATALEN)
        return name.data;
    constexpr int kept = 40;
    const uint64 hash = hash_bytes_extended(reinterpret_cast<const unsigned char *>(name.data), name.len, 0);
    return psprintf("%s~%08x%08x", pnstrdup(name.data, pg_mbcliplen(name.data, name.len, kept)),
                    static_cast<uint32>(hash >> 32), static_cast<uint32>(hash));
}

// ---- here or elsewhere

// raise_cron_error raises what pg_cron has to say, with what to do about it.
[[noreturn]] static void raise_cron_error(const JobChange *change, const ErrandEnd *end) {
    const char *role = quote_identifier(GetUserNameFromId(change->role, false));
    const bool elsewhere = cron_place() == CronPlace::Elsewhere;
    if (end->code == ERRCODE_INSUFFICIENT_PRIVILEGE)
        ereport(
            ERROR,
            (errcode(end->code), errmsg("role %s may not use pg_cron: %s", role, end->message),
             errhint("Let a superuser schedule it, or run this in database \"%s\": GRANT USAGE ON SCHEMA "
                     "cron TO %s;%s",
                     cron_database(), role,
                     elsewhere ? psprintf(" GRANT EXECUTE ON FUNCTION cron.schedule_in_database TO %s;", role) : "")));
    if (end->code == ERRCODE_INVALID_PARAMETER_VALUE && change->schedule)
        ereport(ERROR,
                (errcode(end->code), errmsg("cron: \"%s\" is no schedule", change->schedule),
                 errdetail("pg_cron: %s", end->message),
                 errhint("A schedule has five fields: minute, hour, day of the month, month, day of the week, as in "
                         "'*/5 * * * *'; from version 1.5 of pg_cron on it may also be '30 seconds'.")));
    ereport(ERROR, (errcode(end->code), errmsg("%s", end->message), end->detail ? errdetail("%s", end->detail) : 0,
                    end->hint ? errhint("%s", end->hint) : 0));
    pg_unreachable();
}

static ErrandEnd change_here(const JobChange *change) {
    MemoryContext memory = CurrentMemoryContext;
    ErrandEnd end{};
    PG_TRY();
    { end.result = change_job(change); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        ErrorData *error = CopyErrorData();
        if (is_intervention(error))
            PG_RE_THROW();
        FlushErrorState();
        end = ErrandEnd{JobResult{}, error->sqlerrcode, error->message, error->detail, error->hint};
        raise_cron_error(change, &end); // the transaction cannot go on
    }
    PG_END_TRY();
    return end;
}

static ErrandEnd change_elsewhere(const JobChange *change) {
    const Oid database = get_database_oid(cron_database(), true);
    if (!OidIsValid(database))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_DATABASE),
                 errmsg("database \"%s\", where cron.database_name has pg_cron, does not exist", cron_database()),
                 errhint("Create it, and in it the extension pg_cron.")));
    return run_errand(database, change);
}

// remember keeps what a job elsewhere is like.
static void remember(const JobChange *change, int64 job) {
    Parameters parameters{};
    add_text(&parameters, change->job);
    add_text(&parameters, change->database);
    add_text(&parameters, change->username);
    add_text(&parameters, change->schedule);
    add_int(&parameters, job);
    add_value(&parameters, BOOLOID, BoolGetDatum(change->of_user));
    catalog_execute("DELETE FROM sluice.cron_job WHERE jobname = $1 AND (NOT $6 OR username = $3)", &parameters);
    if (change->schedule)
        catalog_execute("INSERT INTO sluice.cron_job (jobid, jobname, database, username, schedule) "
                        "VALUES ($5, $1, $2, $3, $4)",
                        &parameters);
}

int64 put_job(const JobChange *change) {
    const bool here = cron_place() == CronPlace::Here;
    const ErrandEnd end = here ? change_here(change) : change_elsewhere(change);
    if (end.code)
        raise_cron_error(change, &end);
    if (!here)
        remember(change, end.result.job);
    return end.result.job;
}

bool remove_job(const JobChange *change) {
    const bool here = cron_place() == CronPlace::Here;
    const ErrandEnd end = here ? change_here(change) : change_elsewhere(change);
    if (end.code)
        raise_cron_error(change, &end);
    remember(change, 0);
    return end.result.removed > 0;
}

// remembered_user names the role whose job pg_cron of another database has; NULL: it has none.
static const char *remembered_user(const JobChange *change) {
    Parameters parameters{};
    add_text(&parameters, change->job);
    const bool found = catalog_execute("SELECT username FROM sluice.cron_job WHERE jobname = $1", &parameters) > 0;
    const char *user = found ? pstrdup(result_text(0, 1)) : NULL;
    free_result();
    return user;
}

static void forget_elsewhere(const JobChange *change) {
    const Oid database = get_database_oid(cron_database(), true);
    const ErrandEnd end = OidIsValid(database) ? run_errand(database, change) : ErrandEnd{};
    if (end.code)
        ereport(WARNING,
                (errmsg("job \"%s\" of pg_cron stays: %s", change->job, end.message),
                 errhint("Run SELECT cron.unschedule(%s) as %s in database \"%s\".", quote_literal_cstr(change->job),
                         quote_identifier(change->username), cron_database())));
}

void forget_job(const char *pipeline) {
    JobChange change{};
    change.job = job_name(pipeline);
    change.database = get_database_name(MyDatabaseId);
    change.username = GetUserNameFromId(GetUserId(), false);
    const CronPlace place = cron_place();
    if (place == CronPlace::Here && has_cron())
        (void)change_job(&change);
    const char *user = remembered_user(&change);
    if (!user)
        return;
    change.username = user;
    if (place == CronPlace::Elsewhere)
        forget_elsewhere(&change);
    remember(&change, 0);
}

// ---- looking

// jobs is where jobs can be looked up; NULL: there is no pg_cron.
static const char *jobs() {
    const CronPlace place = cron_place();
    if (place == CronPlace::Missing || (place == CronPlace::Here && !has_cron()))
        return NULL;
    return place == CronPlace::Here ? "(SELECT * FROM cron.job WHERE active)" : "sluice.cron_job";
}

const char *own_schedule(const char *pipeline) {
    if (!jobs())
        return NULL;
    Parameters parameters{};
    add_text(&parameters, job_name(pipeline));
    const uint64 found =
        catalog_execute(psprintf("SELECT j.schedule FROM %s j WHERE j.database = pg_catalog.current_database() "
                                 "AND j.jobname::text = $1 ORDER BY j.jobid LIMIT 1",
                                 jobs()),
                        &parameters);
    return found ? result_text(0, 1) : NULL;
}

const char *shown_schedule(const char *pipeline, Oid owner) {
    if (!jobs())
        return NULL;
    Parameters parameters{};
    add_text(&parameters, job_name(pipeline));
    add_text(&parameters, job_name(NULL));
    add_value(&parameters, OIDOID, ObjectIdGetDatum(owner));
    const uint64 found =
        catalog_execute(psprintf("SELECT j.schedule || CASE WHEN j.jobname::text = $1 THEN '' ELSE ' (run_all)' END "
                                 "FROM %s j LEFT JOIN pg_catalog.pg_roles r ON r.rolname = j.username "
                                 "WHERE j.database = pg_catalog.current_database() AND (j.jobname::text = $1 "
                                 "OR j.jobname::text = $2 AND pg_catalog.pg_has_role(r.oid, $3, 'USAGE')) "
                                 "ORDER BY j.jobname::text = $1 DESC, j.jobid LIMIT 1",
                                 jobs()),
                        &parameters);
    return found ? result_text(0, 1) : NULL;
}

} // namespace sluice
