// A job of pg_cron, in the database where pg_cron is.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A JobChange takes away the job of that name, and makes it anew.
struct JobChange {
    const char *job;
    const char *database; // in which the command runs
    const char *username; // as whom
    const char *schedule; // NULL: no new job
    const char *command;
    bool of_user; // the name is that user's; else a job of that name is taken away from any user
    Oid role;     // with whose rights it is made
};

struct JobResult {
    int64 removed;
    int64 job; // 0: none
};

// has_cron tells whether the extension is in this database: without it anybody may have made a schema of that name.
bool has_cron();

// change_job makes the change in this database, inside an SPI connection. It raises pg_cron's own errors.
JobResult change_job(const JobChange *change);

} // namespace sluice
