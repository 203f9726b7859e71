-- Scheduling with pg_cron.

-- Jobs in pg_cron of another database of the cluster, with the names that pg_cron has for them: from here nobody can look into its
-- table. Not carried by a dump: neither are those jobs.
CREATE TABLE sluice.cron_job (
    jobid    bigint NOT NULL,
    jobname  text NOT NULL,
    database text NOT NULL,
    username text NOT NULL,
    schedule text NOT NULL,
    PRIMARY KEY (jobname, username)
);
REVOKE ALL ON sluice.cron_job FROM PUBLIC;
COMMENT ON TABLE sluice.cron_job IS 'jobs that were made in pg_cron of another database of the cluster';
COMMENT ON COLUMN sluice.cron_job.jobid IS 'number of the job';
COMMENT ON COLUMN sluice.cron_job.jobname IS 'name of the job';
COMMENT ON COLUMN sluice.cron_job.database IS 'database in which it runs: this one, when it was made';
COMMENT ON COLUMN sluice.cron_job.username IS 'role as which it runs';
COMMENT ON COLUMN sluice.cron_job.schedule IS 'when it runs';

CREATE FUNCTION sluice.schedule(name text, cron text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_schedule';
COMMENT ON FUNCTION sluice.schedule(text, text) IS 'let pg_cron run a pipeline, as its owner; the number of the job. Scheduling it again replaces the job';

CREATE FUNCTION sluice.schedule_all(cron text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_schedule_all';
COMMENT ON FUNCTION sluice.schedule_all(text) IS 'let pg_cron run sluice.run_all as the current user; the number of the job';

CREATE FUNCTION sluice.unschedule(name text) RETURNS boolean
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_unschedule';
COMMENT ON FUNCTION sluice.unschedule(text) IS 'end the schedule of a pipeline; whether there was one';

CREATE FUNCTION sluice.unschedule_all() RETURNS boolean
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_unschedule_all';
COMMENT ON FUNCTION sluice.unschedule_all() IS 'end the schedule of sluice.schedule_all of the current user; whether there was one';

CREATE FUNCTION sluice.shown_schedule(pipeline_id int) RETURNS text
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sluice_shown_schedule';
COMMENT ON FUNCTION sluice.shown_schedule(int) IS 'when pg_cron runs a pipeline; null: not, or it is not yours';
