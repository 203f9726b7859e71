// See job.hpp.
#include "job.hpp"

#include "catalog.hpp"

namespace sluice {

bool has_cron() { return OidIsValid(get_extension_oid("pg_cron", true)); }

static void require_cron() {
    if (!has_cron())
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("extension pg_cron is not in database \"%s\"", get_database_name(MyDatabaseId)),
                        errhint("Run CREATE EXTENSION pg_cron there, as a superuser.")));
}

static int64 take_away(const JobChange *change) {
    Parameters parameters{};
    add_text(&parameters, change->job);
    add_text(&parameters, change->database);
    add_text(&parameters, change->of_user ? change->username : NULL);
    return catalog_execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname::text = $1 AND database = $2 "
                           "AND ($3 IS NULL OR username = $3)",
                           &parameters);
}

// make_job calls pg_cron as the role: of its functions only schedule_in_database names a database or a user, and not every role
// may call that.
static int64 make_job(const JobChange *change) {
    const bool for_other = superuser_arg(change->role);
    const bool elsewhere = strcmp(change->database, get_database_name(MyDatabaseId)) != 0;
    Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
    Datum values[] = {CStringGetTextDatum(change->job), CStringGetTextDatum(change->schedule),
                      CStringGetTextDatum(change->command), CStringGetTextDatum(change->database),
                      CStringGetTextDatum(change->username)};
    const char *statement = for_other   ? "SELECT cron.schedule_in_database($1, $2, $3, $4, $5)"
                            : elsewhere ? "SELECT cron.schedule_in_database($1, $2, $3, $4)"
                                        : "SELECT cron.schedule($1, $2, $3)";
    const int count = for_other ? 5 : elsewhere ? 4 : 3;
    const CatalogScope scope = enter_catalog();
    SetUserIdAndSecContext(change->role, scope.security | SECURITY_LOCAL_USERID_CHANGE);
    if (SPI_execute_with_args(statement, count, types, values, NULL, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not call pg_cron");
    leave_catalog(&scope);
    bool is_null;
    return result_int(0, 1, &is_null);
}

JobResult change_job(const JobChange *change) {
    require_cron();
    JobResult result{};
    result.removed = take_away(change);
    if (change->schedule)
        result.job = make_job(change);
    return result;
}

} // namespace sluice
