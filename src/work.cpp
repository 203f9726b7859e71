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
