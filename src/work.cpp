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
    job->checks = plan_checks(job->pipeline->checks, source, job->closely || evaluates_at_once(job));
    const SourceColumns columns = work->plan(source);
    return job->checks && !work->goes_on() ? with_checks(job->checks, &columns) : columns;
}

// A row that is looked at, for error messages.
struct Look {
    const Job *job;
    const SourceRow *row;
};

static const char *place_of(const Look *look) {
    StringInfoData place;
    initStringInfo(&place);
    look->job->cursor->describe(look->row, &place);
    return place.data;
}

static void look_context(void *look) { errcontext("source row with %s", place_of(static_cast<const Look *>(look))); }

void take_checked(Job *job, Work *work, const SourceRow *row) {
    const bool rejects = rejects_rows(job) && work->can_reject();
    Look look{job, row};
    Refusal refusal{};
    ErrorContextCallback context{error_context_stack, look_context, &look};
    job->checks->reading = false;
    MemoryContextSwitchTo(job->row);
    error_context_stack = &context;
    const bool refused = refuses_row(job->checks, row->columns, row->nulls, rejects, &refusal);
    error_context_stack = context.previous;
    if (refused && !rejects)
        stop_for_row(job->checks, &refusal, place_of(&look), !rejects_rows(job));
    MemoryContextSwitchTo(job->batch);
    if (refused)
        work->reject(row, &refusal);
    else
        work->take(row);
    MemoryContextReset(job->row);
    job->checks->reading = true;
}

bool rejects_rows(const Job *job) { return job->pipeline->rejects || job->options.retry; }

bool evaluates_at_once(const Job *job) { return job->options.retry || job->see; }

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
