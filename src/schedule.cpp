// Scheduling pipelines with pg_cron. A job is one statement, CALL sluice.run('...') or CALL sluice.run_all(): pg_cron runs two of
// them as one transaction, and no batch could commit. A job that pg_cron starts late or twice finds nothing to do, or the
// pipeline's lock taken, and ends.
//
// Without pg_cron the error says what to hand to another scheduler.
#include "postgres.hpp"

#include "catalog.hpp"
#include "create.hpp"
#include "cron.hpp"
#include "pipeline.hpp"

namespace sluice {

// ---- without pg_cron

enum class Reader : uint8_t { Shell, Crontab, Systemd };

// append_quoted appends a character as its reader wants it between double quotes.
static void append_quoted(StringInfo text, char character, Reader reader) {
    const bool systemd = reader == Reader::Systemd;
    if (character == '%' && reader != Reader::Shell)
        appendStringInfoChar(text, systemd ? '%' : '\\');
    else if (character == '$' && systemd)
        appendStringInfoChar(text, '$');
    else if (strchr(systemd ? "\"\\" : "\"\\$`", character))
        appendStringInfoChar(text, '\\');
    appendStringInfoChar(text, character);
}

static void append_word(StringInfo line, const char *word, Reader reader) {
    const bool plain = word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")] == '\0';
    appendStringInfoString(line, plain ? " " : " \"");
    for (; *word; word++)
        append_quoted(line, *word, reader);
    appendStringInfoString(line, plain ? "" : "\"");
}

// command_line is what a scheduler may call.
static const char *command_line(const JobChange *change, Reader reader) {
    StringInfoData line;
    initStringInfo(&line);
    appendStringInfoString(&line, "psql -X");
    if (PostPortNumber != DEF_PGPORT)
        appendStringInfo(&line, " -p %d", PostPortNumber);
    appendStringInfoString(&line, " -U");
    append_word(&line, change->username, reader);
    appendStringInfoString(&line, " -d");
    append_word(&line, change->database, reader);
    appendStringInfoString(&line, " -c");
    append_word(&line, change->command, reader);
    return line.data;
}

[[noreturn]] static void refuse_without_cron(const JobChange *change) {
    constexpr int major = PG_VERSION_NUM / 10000;
    ereport(
        ERROR,
        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("pg_cron is not loaded in this cluster"),
         errdetail("Any other scheduler can call:\n    %s\nA line for crontab:\n    %s %s\nA line for the service of "
                   "a systemd timer:\n    ExecStart=%s",
                   command_line(change, Reader::Shell), change->schedule, command_line(change, Reader::Crontab),
                   command_line(change, Reader::Systemd)),
         errhint("Install pg_cron (Debian: apt install postgresql-%d-cron), add pg_cron to "
                 "shared_preload_libraries, restart the server, and run CREATE EXTENSION pg_cron in the database "
                 "that cron.database_name names.",
                 major)));
    pg_unreachable();
}

// ---- with it

static void require_login(Oid role) {
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
    const bool logs_in = HeapTupleIsValid(tuple) && reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcanlogin;
    if (HeapTupleIsValid(tuple))
        ReleaseSysCache(tuple);
    if (!logs_in)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("role \"%s\" cannot log in, so pg_cron cannot run its jobs", GetUserNameFromId(role, false)),
                 errhint("Run ALTER ROLE %s LOGIN, or give the pipeline to a role that can.",
                         quote_identifier(GetUserNameFromId(role, false)))));
}

// job_of is the job of a pipeline, or without one that of the current user, who runs all.
static JobChange job_of(const Pipeline *pipeline) {
    const Oid owner = pipeline ? pipeline->owner : GetUserId();
    JobChange change{};
    change.job = job_name(pipeline ? pipeline->name : NULL);
    change.database = get_database_name(MyDatabaseId);
    change.username = GetUserNameFromId(owner, false);
    change.command =
        pipeline ? psprintf("CALL sluice.run(%s)", quote_literal_cstr(pipeline->name)) : "CALL sluice.run_all()";
    change.of_user = !pipeline;
    change.role = superuser() ? GetUserId() : owner;
    return change;
}

static int64 schedule(const Pipeline *pipeline, const char *cron) {
    PreventCommandIfReadOnly("sluice.schedule"); // on a standby no background worker starts
    JobChange change = job_of(pipeline);
    if (!cron)
        argument_error("cron", "must not be null", "sluice.unschedule and sluice.unschedule_all end a schedule.");
    change.schedule = cron;
    if (cron_place() == CronPlace::Missing)
        refuse_without_cron(&change);
    require_login(pipeline ? pipeline->owner : GetUserId());
    return put_job(&change);
}

static bool unschedule(const Pipeline *pipeline) {
    PreventCommandIfReadOnly("sluice.unschedule");
    const JobChange change = job_of(pipeline);
    return cron_place() != CronPlace::Missing && remove_job(&change);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_schedule);
Datum sluice_schedule(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const int64 job = schedule(find_pipeline(name), text_argument(fcinfo, 1));
    SPI_finish();
    PG_RETURN_INT64(job);
}

PG_FUNCTION_INFO_V1(sluice_schedule_all);
Datum sluice_schedule_all(PG_FUNCTION_ARGS) {
    require_same_version();
    SPI_connect();
    const int64 job = schedule(NULL, text_argument(fcinfo, 0));
    SPI_finish();
    PG_RETURN_INT64(job);
}

PG_FUNCTION_INFO_V1(sluice_unschedule);
Datum sluice_unschedule(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const bool removed = unschedule(find_pipeline(name));
    SPI_finish();
    PG_RETURN_BOOL(removed);
}

PG_FUNCTION_INFO_V1(sluice_unschedule_all);
Datum sluice_unschedule_all(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    require_same_version();
    SPI_connect();
    const bool removed = unschedule(NULL);
    SPI_finish();
    PG_RETURN_BOOL(removed);
}

PG_FUNCTION_INFO_V1(sluice_shown_schedule);
Datum sluice_shown_schedule(PG_FUNCTION_ARGS) {
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    const Pipeline *pipeline = find_visible_pipeline(PG_GETARG_INT32(0));
    const char *shown = pipeline ? shown_schedule(pipeline->name, pipeline->owner) : NULL;
    MemoryContext before = MemoryContextSwitchTo(caller);
    text *result = shown ? cstring_to_text(shown) : NULL;
    MemoryContextSwitchTo(before);
    SPI_finish();
    if (!result)
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(result);
}

} // extern "C"
