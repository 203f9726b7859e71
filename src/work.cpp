// See work.hpp. Here is where the kinds are told apart, and what they share.
#include "work.hpp"

#include "facts_work.hpp"
#include "load_work.hpp"
#include "merge_work.hpp"
#include "shred_work.hpp"

namespace sluice {

Work *make_work(Job *job) {
    if (strcmp(job->pipeline->kind, "shred") == 0)
        return make_shred_work(job);
    if (strcmp(job->pipeline->kind, "facts") == 0)
        return make_facts_work(job);
    if (strcmp(job->pipeline->kind, "load") == 0)
        return make_load_work(job);
    if (strcmp(job->pipeline->kind, "merge") == 0)
        return make_merge_work(job);
    elog(ERROR, "pipelines of kind \"%s\" do not run", job->pipeline->kind);
    pg_unreachable();
}

SourceColumns plan_work(Job *job, Work *work, Relation source) {
    job->checks = NULL;
    job->checks = plan_checks(job->pipeline->checks, source);
    const SourceColumns columns = work->plan(source);
    return job->checks && !work->goes_on() ? with_verdict(job->checks, &columns) : columns;
}

void take_checked(Job *job, Work *work, const SourceRow *row) {
    const Check *broken = false_condition(job->checks, row->columns, row->nulls);
    if (!broken) {
        work->take(row);
        return;
    }
    MemoryContextSwitchTo(job->row);
    if (!rejects_rows(job)) {
        StringInfoData place;
        initStringInfo(&place);
        job->cursor->describe(row, &place);
        stop_for_row(job->checks, broken, place.data);
    }
    const Refusal refusal = refusal_by(broken);
    MemoryContextSwitchTo(job->batch);
    work->reject(row, &refusal);
    MemoryContextReset(job->row);
}

bool rejects_rows(const Job *job) { return job->pipeline->rejects || job->options.retry; }

void check_max_rejects(const Job *job, int64 rejected, const char *place, const char *message) {
    const int64 most = job->pipeline->max_rejects;
    const char *what = job->pipeline->document ? "document" : "row";
    if (most < 0 || rejected <= most || job->options.retry)
        return;
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("pipeline \"%s\" would reject more than max_rejects (" INT64_FORMAT ") %ss in this run",
                           job->pipeline->name, most, what),
                    place ? errdetail("The %s with %s does not fit: %s", what, place, message) : 0,
                    errhint("Look at sluice.preview(%s); mend the %ss or the %s, or raise max_rejects.",
                            quote_literal_cstr(job->pipeline->name), what,
                            job->pipeline->document ? "mapping" : "definition")));
}

} // namespace sluice
