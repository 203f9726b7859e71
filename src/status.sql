-- Watching: views that show a role its own pipelines.

-- Who may see a pipeline: members of the owning role. A dropped anchor means a dropped pipeline. This function and pipeline_owner are
-- plain enough to be inlined into the views (not STRICT, nothing SET), which makes them many times as fast.
CREATE FUNCTION sluice.can_see(pipeline_id int) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(pg_has_role(sluice.pipeline_owner(pipeline_id), 'USAGE'), false);
COMMENT ON FUNCTION sluice.can_see(int) IS 'whether the current user is the owner of a pipeline or a member of the owning role';

CREATE FUNCTION sluice.is_running(pipeline_id int) RETURNS boolean
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sluice_is_running';
COMMENT ON FUNCTION sluice.is_running(int) IS 'whether a session is running a pipeline at this moment';

CREATE FUNCTION sluice.pending_estimate(pipeline_id int, OUT source text, OUT pending bigint, OUT waiting_for text)
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sluice_pending_estimate';
COMMENT ON FUNCTION sluice.pending_estimate(int) IS 'the source by its present name, an estimate of the rows that have not been read, and who still writes';

CREATE FUNCTION sluice.waiting_keys(pipeline_id int) RETURNS bigint
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sluice_waiting_keys';
COMMENT ON FUNCTION sluice.waiting_keys(int) IS 'keys of a merge that are not written yet, since columns that must not be null are not all known';

CREATE VIEW sluice.runs WITH (security_barrier) AS
SELECT r.run_id,
       p.name AS pipeline,
       CASE WHEN r.status = 'running' AND NOT sluice.is_running(p.pipeline_id) THEN 'failed' ELSE r.status END AS status,
       r.started_at, r.finished_at, r.batches, r.source_rows, r.inserted, r.updated, r.deleted, r.duplicates, r.too_late,
       r.rejected, r.retried, r.nulled,
       CASE WHEN r.status = 'running' AND NOT sluice.is_running(p.pipeline_id)
            THEN 'the session ended before the run did; what its batches committed is kept' ELSE r.error END AS error,
       r.idle_runs, r.undone_at
FROM sluice.run_log r JOIN sluice.pipeline p USING (pipeline_id)
WHERE sluice.can_see(p.pipeline_id);
GRANT SELECT ON sluice.runs TO PUBLIC;
COMMENT ON VIEW sluice.runs IS 'runs of your pipelines';
COMMENT ON COLUMN sluice.runs.run_id IS 'number of the run';
COMMENT ON COLUMN sluice.runs.pipeline IS 'name of the pipeline';
COMMENT ON COLUMN sluice.runs.status IS 'running, succeeded, failed, canceled, or skipped: another run was at work, or sluice.run_all found that one it runs after has not run';
COMMENT ON COLUMN sluice.runs.started_at IS 'start of the run';
COMMENT ON COLUMN sluice.runs.finished_at IS 'end of the run';
COMMENT ON COLUMN sluice.runs.batches IS 'batches committed; grows while the run works';
COMMENT ON COLUMN sluice.runs.source_rows IS 'source rows read: loaded or rejected';
COMMENT ON COLUMN sluice.runs.inserted IS 'target rows inserted';
COMMENT ON COLUMN sluice.runs.updated IS 'target rows updated';
COMMENT ON COLUMN sluice.runs.deleted IS 'target rows deleted';
COMMENT ON COLUMN sluice.runs.duplicates IS 'source rows that were delivered before';
COMMENT ON COLUMN sluice.runs.too_late IS 'source rows that came later than lookback allows';
COMMENT ON COLUMN sluice.runs.rejected IS 'source rows rejected';
COMMENT ON COLUMN sluice.runs.retried IS 'earlier rejects that sluice.retry loaded';
COMMENT ON COLUMN sluice.runs.nulled IS 'values that did not fit and became null, as the mapping says';
COMMENT ON COLUMN sluice.runs.error IS 'the error that ended the run, or why it was skipped';
COMMENT ON COLUMN sluice.runs.idle_runs IS 'runs since this one that found nothing new and got no row of their own';
COMMENT ON COLUMN sluice.runs.undone_at IS 'when sluice.rewind undid what it wrote, or sluice.rebuild made it anew';

CREATE VIEW sluice.status WITH (security_barrier) AS
SELECT p.name AS pipeline,
       p.kind,
       CASE WHEN sluice.is_running(p.pipeline_id) THEN 'running'
            WHEN p.paused THEN 'paused'
            WHEN last.status IN ('failed', 'running') THEN 'failed'
            ELSE 'active' END AS state,
       pg_catalog.pg_get_userbyid(sluice.pipeline_owner(p.pipeline_id)) AS owner,
       e.source,
       e.pending,
       last.started_at AS last_run,
       success.finished_at AS last_success,
       coalesce(s.rows_total, a.rows_total) AS rows_total,
       rate.rows_per_second,
       (SELECT count(*) FROM sluice.reject j WHERE j.pipeline_id = p.pipeline_id) AS rejects,
       e.waiting_for,
       sluice.waiting_keys(p.pipeline_id) AS waiting_keys,
       sluice.shown_schedule(p.pipeline_id) AS schedule,
       CASE WHEN last.status IN ('failed', 'canceled') THEN last.error
            WHEN last.status = 'running' AND NOT sluice.is_running(p.pipeline_id)
            THEN 'the session ended before the run did; what its batches committed is kept' END AS last_error
FROM sluice.pipeline p
LEFT JOIN sluice.sequence_position s USING (pipeline_id)
LEFT JOIN sluice.arrival_position a USING (pipeline_id)
CROSS JOIN LATERAL sluice.pending_estimate(p.pipeline_id) e
LEFT JOIN LATERAL (SELECT r.status, r.started_at, r.error FROM sluice.run_log r
                   WHERE r.pipeline_id = p.pipeline_id AND r.status <> 'skipped' ORDER BY r.run_id DESC LIMIT 1) last ON true
LEFT JOIN LATERAL (SELECT r.finished_at FROM sluice.run_log r
                   WHERE r.pipeline_id = p.pipeline_id AND r.status = 'succeeded' ORDER BY r.run_id DESC LIMIT 1) success ON true
LEFT JOIN LATERAL (SELECT round(r.source_rows / nullif(extract(epoch FROM r.finished_at - r.started_at), 0)) AS rows_per_second
                   FROM sluice.run_log r
                   WHERE r.pipeline_id = p.pipeline_id AND r.status = 'succeeded' AND r.source_rows > 0
                   ORDER BY r.run_id DESC LIMIT 1) rate ON true
WHERE sluice.can_see(p.pipeline_id);
GRANT SELECT ON sluice.status TO PUBLIC;
COMMENT ON VIEW sluice.status IS 'your pipelines as they stand';
COMMENT ON COLUMN sluice.status.pipeline IS 'name of the pipeline';
COMMENT ON COLUMN sluice.status.kind IS 'what it does: shred, merge or load';
COMMENT ON COLUMN sluice.status.state IS 'running, paused, failed (its last run ended with an error) or active';
COMMENT ON COLUMN sluice.status.owner IS 'owner; his rights hold in every run';
COMMENT ON COLUMN sluice.status.source IS 'source table';
COMMENT ON COLUMN sluice.status.pending IS 'estimate of the source rows not loaded yet (numbers drawn from the sequence, stamped rows up to 10000; null: not known); sluice.pending(name) counts';
COMMENT ON COLUMN sluice.status.last_run IS 'start of the last run';
COMMENT ON COLUMN sluice.status.last_success IS 'end of the last run that succeeded';
COMMENT ON COLUMN sluice.status.rows_total IS 'source rows read so far: loaded or rejected';
COMMENT ON COLUMN sluice.status.rows_per_second IS 'source rows a second of the last run that loaded some and succeeded';
COMMENT ON COLUMN sluice.status.rejects IS 'documents or rows in sluice.rejects';
COMMENT ON COLUMN sluice.status.waiting_for IS 'sessions with open transactions that may still add rows below those already there';
COMMENT ON COLUMN sluice.status.waiting_keys IS 'keys of a merge that are not written yet, since columns that must not be null are not all known';
COMMENT ON COLUMN sluice.status.schedule IS 'when pg_cron runs it: a schedule of its own, or one that runs all pipelines (run_all)';
COMMENT ON COLUMN sluice.status.last_error IS 'error of the last run, if it failed';
