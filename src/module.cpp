// The library's entry into the server: its magic block and settings.
//
// The words, in code, SQL, messages and documents alike:
//   pipeline  a named, owned definition: source, targets, cursor, kind
//   source    the table read; target: a table written
//   document  one JSON value of one source row
//   cursor    how a pipeline knows which source rows are new; its position is what has been read
//   batch     source rows handled in one transaction
//   run       one CALL sluice.run(...): batches until nothing new is left
#include "postgres.hpp"

#include "bridge.hpp"
#include "history.hpp"
#include "lineage.hpp"
#include "merge_work.hpp"
#include "outcome.hpp"
#include "run.hpp"
#include "writer.hpp"

extern "C" {

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    static const struct config_enum_entry faults[] = {
        {"none", static_cast<int>(sluice::TestFault::None), false},
        {"bad_alloc", static_cast<int>(sluice::TestFault::BadAlloc), false},
        {"exception", static_cast<int>(sluice::TestFault::Exception), false},
        {"unknown", static_cast<int>(sluice::TestFault::Unknown), false},
        {NULL, 0, false},
    };
    DefineCustomEnumVariable("sluice.test_fault", "What the next parse of JSON text throws.",
                             "For the extension's own tests: sends C++ exceptions through the bridge to PostgreSQL.",
                             &sluice::test_fault, static_cast<int>(sluice::TestFault::None), faults, PGC_SUSET,
                             GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
    DefineCustomIntVariable(
        "sluice.wait_for_writers",
        "How long a run waits for transactions that may still add rows below those it could read next.",
        "Once, at its end, outside a transaction block; 0 does not wait. What is held back longer is loaded by a later "
        "run.",
        &sluice::wait_for_writers, 1000, 0, 60000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
    DefineCustomIntVariable(
        "sluice.keep_runs", "How long sluice.runs keeps a finished run.",
        "A run that loads something deletes older ones of its pipeline, but for its last success; -1 "
        "keeps everything.",
        &sluice::keep_runs, 90 * 24 * 60, -1, INT_MAX, PGC_USERSET, GUC_UNIT_MIN, NULL, NULL, NULL);
    DefineCustomBoolVariable("sluice.log_runs", "Writes a line into the server's log for each run that is over.",
                             "Pipeline, run, status, source rows, seconds; at level LOG.", &sluice::log_runs, false,
                             PGC_SUSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("sluice.fold_memory", "How much memory a batch without batch_size may use to fold rows.",
                            "The more rows are folded at once, the less is written.", &sluice::fold_memory, 256 * 1024,
                            1024, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
    DefineCustomBoolVariable("sluice.test_by_query", "Writes every target by INSERT ... SELECT instead of directly.",
                             "For the extension's own tests: both ways must give the same rows.",
                             &sluice::test_by_query, false, PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL,
                             NULL);
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved("sluice");
#else
    EmitWarningsOnPlaceholders("sluice");
#endif
    sluice::watch_relation_changes();
    sluice::watch_lineage();
}

} // extern "C"
