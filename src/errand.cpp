// See errand.hpp. The worker needs nothing of sluice in that database but the library, and no password: it connects as the
// superuser, and takes the role that the change names for what is to be done with its rights. Both sides share a segment of
// memory: the change goes in, how it ended comes out. Databases may differ in their encoding; each side writes its own, and the
// other converts.
#include "errand.hpp"

namespace sluice {

namespace {

enum Text { job, database, username, schedule, command, texts };
enum Report { message, detail, hint, reports };

struct Shared {
    Oid database, role;
    int encoding; // of the texts
    bool of_user;
    bool done;
    JobResult result;
    int code;
    int report_encoding;
    int offsets[texts]; // into data; -1: NULL
    char reports[Report::reports][1024];
    char data[FLEXIBLE_ARRAY_MEMBER];
};

} // namespace

// ---- in the worker

static const char *shared_text(Shared *shared, int number) {
    const char *text = shared->data + shared->offsets[number];
    return shared->offsets[number] < 0 ? NULL : pg_any_to_server(text, strlen(text), shared->encoding);
}

static JobChange read_change(Shared *shared) {
    return JobChange{shared_text(shared, Text::job),
                     shared_text(shared, Text::database),
                     shared_text(shared, Text::username),
                     shared_text(shared, Text::schedule),
                     shared_text(shared, Text::command),
                     shared->of_user,
                     shared->role};
}

static void do_change(Shared *shared) {
    StartTransactionCommand();
    SPI_connect();
    PushActiveSnapshot(GetTransactionSnapshot());
    const JobChange change = read_change(shared);
    const JobResult result = change_job(&change);
    PopActiveSnapshot();
    SPI_finish();
    CommitTransactionCommand();
    shared->result = result;
    shared->done = true;
}

static void write_report(Shared *shared, int number, const char *text) {
    constexpr int most = sizeof(shared->reports[0]) - 1;
    const int length = text ? pg_mbcliplen(text, strlen(text), most) : 0;
    memcpy(shared->reports[number], text, length);
    shared->reports[number][length] = '\0';
}

static void write_error(Shared *shared, const ErrorData *error) {
    shared->report_encoding = GetDatabaseEncoding();
    write_report(shared, Report::message, error->message);
    write_report(shared, Report::detail, error->detail);
    write_report(shared, Report::hint, error->hint);
    shared->code = error->sqlerrcode;
    shared->done = true;
}

static void work(Shared *shared) {
    PG_TRY();
    { do_change(shared); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(TopMemoryContext);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        AbortCurrentTransaction();
        write_error(shared, error);
    }
    PG_END_TRY();
}

// ---- in the session

static dsm_segment *share(const JobChange *change, Oid database) {
    const char *values[] = {change->job, change->database, change->username, change->schedule, change->command};
    Size size = offsetof(Shared, data);
    for (const char *value : values)
        size += value ? strlen(value) + 1 : 0;
    dsm_segment *segment = dsm_create(size, 0);
    Shared *shared = static_cast<Shared *>(dsm_segment_address(segment));
    memset(static_cast<void *>(shared), 0, size);
    shared->database = database;
    shared->role = change->role;
    shared->of_user = change->of_user;
    shared->encoding = GetDatabaseEncoding();
    int end = 0;
    for (int i = 0; i < texts; i++) {
        shared->offsets[i] = values[i] ? end : -1;
        if (values[i]) {
            strcpy(shared->data + end, values[i]);
            end += strlen(values[i]) + 1;
        }
    }
    return segment;
}

static void run_worker(dsm_segment *segment) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
    worker.bgw_notify_pid = MyProcPid;
    strcpy(worker.bgw_library_name, "sluice");
    strcpy(worker.bgw_function_name, "sluice_errand_main");
    strcpy(worker.bgw_name, "sluice errand");
    strcpy(worker.bgw_type, "sluice errand");
    BackgroundWorkerHandle *handle;
    if (!RegisterDynamicBackgroundWorker(&worker, &handle))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("no background worker is free"),
                        errhint("Try again later, or raise max_worker_processes.")));
    (void)WaitForBackgroundWorkerShutdown(handle);
}

static const char *report_text(Shared *shared, int number) {
    char *text = shared->reports[number];
    return *text ? pstrdup(pg_any_to_server(text, strlen(text), shared->report_encoding)) : NULL;
}

ErrandEnd run_errand(Oid database, const JobChange *change) {
    dsm_segment *segment = share(change, database);
    run_worker(segment);
    Shared *shared = static_cast<Shared *>(dsm_segment_address(segment));
    if (!shared->done)
        ereport(ERROR, (errcode(ERRCODE_CONNECTION_EXCEPTION),
                        errmsg("the background worker in database \"%s\" ended before it was done",
                               get_database_name(database)),
                        errhint("The server's log says why.")));
    const ErrandEnd end{shared->result, shared->code, report_text(shared, Report::message),
                        report_text(shared, Report::detail), report_text(shared, Report::hint)};
    dsm_detach(segment);
    return end;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PGDLLEXPORT void sluice_errand_main(Datum argument);

void sluice_errand_main(Datum argument) {
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));
    if (!segment)
        return; // nobody waits any more
    Shared *shared = static_cast<Shared *>(dsm_segment_address(segment));
    BackgroundWorkerInitializeConnectionByOid(shared->database, InvalidOid, 0);
    work(shared);
}

} // extern "C"
