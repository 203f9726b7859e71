// Running all pipelines: each by itself as sluice.run does, in the order that `after` asks for.
//
// A pipeline runs only when all that it runs after have run to their end in this same call; else it is skipped, and so are those
// after it. One that failed a moment ago is left alone for a while: 1, 2, 4 ... minutes, an hour at most, until max_failures
// pauses it. So whoever calls run_all every minute neither floods the log nor uses up the failures in five minutes.
//
// Inside a transaction block all happens in that transaction: the first error ends it, for nothing of it could be kept.
#include "postgres.hpp"

#include "after.hpp"
#include "history.hpp"
#include "pipeline.hpp"
#include "run.hpp"

namespace sluice {

struct RunAll {
    bool atomic;
    Turns turns;
    int tried, failed;
    int code; // SQLSTATE of the first that failed
    StringInfoData names, messages;
};

// blocker finds out why a pipeline must not run now; NULL: it may.
static const char *blocker(const RunAll *all, const Turn *turn) {
    ListCell *cell;
    foreach (cell, turn->after) {
        const Turn *before = find_turn(&all->turns, static_cast<const char *>(lfirst(cell)));
        if (before && before->reason)
            return psprintf("pipeline \"%s\" %s", before->name, before->reason);
    }
    return NULL;
}

static void skip(Turn *turn, const char *reason) {
    ereport(NOTICE, (errmsg("pipeline \"%s\" is skipped: %s", turn->name, reason)));
    PushActiveSnapshot(GetTransactionSnapshot());
    record_nothing(turn->id, turn->name, GetCurrentTimestamp(), "skipped", reason);
    PopActiveSnapshot();
    turn->reason = "was skipped";
}

static void let_wait(Turn *turn) {
    ereport(NOTICE,
            (errmsg("pipeline \"%s\" has failed and waits", turn->name),
             errdetail("Failures in a row: %d. It is tried again in " INT64_FORMAT " s.", turn->failures, turn->wait),
             errhint("CALL sluice.run(%s) tries it now.", quote_literal_cstr(turn->name))));
    turn->reason = "has failed";
}

static void note(RunAll *all, Turn *turn, const RunFailure *failure) {
    if (all->failed++ == 0)
        all->code = failure->code;
    appendStringInfo(&all->names, "%s\"%s\"", all->names.len ? ", " : "", turn->name);
    appendStringInfo(&all->messages, "%s%s: %s", all->messages.len ? "\n" : "", turn->name, failure->message);
    turn->reason = "has failed";
}

static void run_turn(RunAll *all, Turn *turn) {
    RunFailure failure{};
    RunOptions options{};
    options.failure = all->atomic ? NULL : &failure;
    all->tried++;
    const RunResult result = run_pipeline(turn->name, &options, all->atomic);
    if (failure.message)
        note(all, turn, &failure);
    else
        turn->reason = result.ran ? NULL : "did not run";
}

// do_turn deals with one pipeline, when those before it are through.
static void do_turn(RunAll *all, Turn *turn) {
    CHECK_FOR_INTERRUPTS();
    const char *reason = blocker(all, turn);
    if (turn->paused)
        turn->reason = "is paused";
    else if (!turn->runs_here)
        turn->reason = turn->failures > 0 ? "has failed" : NULL; // it runs elsewhere
    else if (reason)
        skip(turn, reason);
    else if (turn->wait > 0)
        let_wait(turn);
    else
        run_turn(all, turn);
    if (!all->atomic)
        commit_transaction();
}

static void run_all(bool atomic) {
    RunAll all{};
    all.atomic = atomic;
    initStringInfo(&all.names);
    initStringInfo(&all.messages);
    PushActiveSnapshot(GetTransactionSnapshot());
    all.turns = load_turns();
    PopActiveSnapshot();
    Turn **order = order_turns(&all.turns);
    for (int i = 0; i < all.turns.count; i++)
        do_turn(&all, order[i]);
    if (all.failed)
        ereport(ERROR,
                (errcode(all.code), errmsg("%d of %d pipelines failed: %s", all.failed, all.tried, all.names.data),
                 errdetail("%s", all.messages.data),
                 errhint("The others have run. sluice.status and sluice.runs say more.")));
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_run_all);
Datum sluice_run_all(PG_FUNCTION_ARGS) {
    const bool atomic = is_atomic_call(fcinfo);
    SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
    run_all(atomic);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
