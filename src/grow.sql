-- What became of targets under unknown => 'add'.

CREATE VIEW sluice.changes WITH (security_barrier) AS
SELECT p.name AS pipeline, c.run_id, c.changed_at, c.target, c."column", c.statement
FROM sluice.change c JOIN sluice.pipeline p USING (pipeline_id)
WHERE sluice.can_see(p.pipeline_id)
ORDER BY c.change_id;
GRANT SELECT ON sluice.changes TO PUBLIC;
COMMENT ON VIEW sluice.changes IS 'columns and tables that runs of your pipelines added to their targets, and types they changed';
COMMENT ON COLUMN sluice.changes.pipeline IS 'name of the pipeline';
COMMENT ON COLUMN sluice.changes.run_id IS 'the run that needed it';
COMMENT ON COLUMN sluice.changes.changed_at IS 'when it was made';
COMMENT ON COLUMN sluice.changes.target IS 'the table, as the mapping names it';
COMMENT ON COLUMN sluice.changes."column" IS 'the column that was added or got another type; null: the table is new';
COMMENT ON COLUMN sluice.changes.statement IS 'the statement';
