// pg_cron: its jobs, in this database or in another one of the cluster.
//
// pg_cron has one table of jobs in the cluster, in the database that cron.database_name says. Where that is this database, jobs
// are changed in the caller's transaction. Else nothing can be called there without a connection: a background worker (see
// errand.hpp) makes one, and what it does is committed at once, whatever becomes of the caller's transaction. What it did is
// remembered in sluice.cron_job, for here nobody can look into pg_cron's table.
//
// A job belongs to the owner of its pipeline and is made with his rights, so that nobody schedules through sluice who may not
// use pg_cron; a superuser makes it for him. Jobs are taken away with the rights of a superuser: they are the pipeline's, whatever
// became of its owner's rights.
#pragma once

#include "postgres.hpp"

#include "job.hpp"

namespace sluice {

enum class CronPlace : uint8_t { Missing, Here, Elsewhere };

CronPlace cron_place();
const char *cron_database();

// job_name names the job of a pipeline, or, without one, of all.
const char *job_name(const char *pipeline);

// put_job makes a job here or elsewhere, and raises errors that say what to do; remove_job takes it away and tells whether
// there was one. Inside an SPI connection.
int64 put_job(const JobChange *change);
bool remove_job(const JobChange *change);

// forget_job takes a job away because its pipeline goes: without pg_cron, too; what goes wrong elsewhere is a warning.
void forget_job(const char *pipeline);

// shown_schedule is how a pipeline is scheduled: by itself, or by a job of a role that runs all those of the owner; NULL: not.
const char *shown_schedule(const char *pipeline, Oid owner);

// own_schedule is the schedule of a pipeline's own job; NULL: it has none.
const char *own_schedule(const char *pipeline);

} // namespace sluice
