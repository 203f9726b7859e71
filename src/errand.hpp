// An errand: a change of pg_cron's jobs in another database of the cluster, by a background worker of this library.
#pragma once

#include "postgres.hpp"

#include "job.hpp"

namespace sluice {

// How an errand ended: with a result, or with an error. Texts are NULL where there is none.
struct ErrandEnd {
    JobResult result;
    int code; // SQLSTATE; 0: it went well
    const char *message, *detail, *hint;
};

// run_errand starts the worker and waits for it.
ErrandEnd run_errand(Oid database, const JobChange *change);

} // namespace sluice
