-- Rejects: documents that did not fit, and their reasons.

CREATE PROCEDURE sluice.retry(name text)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_retry';
COMMENT ON PROCEDURE sluice.retry(text) IS 'load the rejects of a pipeline again; those that fit now leave sluice.rejects';

CREATE FUNCTION sluice.preview(name text, row_count int DEFAULT 10, OUT source_row text, OUT target text, OUT "row" jsonb, OUT error text, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_preview';
COMMENT ON FUNCTION sluice.preview(text, int) IS 'what the next source rows of a pipeline would become: rows of targets, or the error; nothing is written';

CREATE VIEW sluice.rejects WITH (security_barrier) AS
SELECT p.name AS pipeline, r.run_id, r.rejected_at, r.document, r.hash, r.sqlstate, r.message, r.detail, r.source_row, r.tried_at
FROM sluice.reject r JOIN sluice.pipeline p USING (pipeline_id)
WHERE sluice.can_see(p.pipeline_id);
GRANT SELECT ON sluice.rejects TO PUBLIC;
COMMENT ON VIEW sluice.rejects IS 'documents of your pipelines that could not be loaded, and why';
COMMENT ON COLUMN sluice.rejects.pipeline IS 'name of the pipeline';
COMMENT ON COLUMN sluice.rejects.run_id IS 'the run that rejected it';
COMMENT ON COLUMN sluice.rejects.rejected_at IS 'when it was rejected';
COMMENT ON COLUMN sluice.rejects.document IS 'the document as text; null: it was null';
COMMENT ON COLUMN sluice.rejects.hash IS 'its hash, as sluice.document_hash gives it';
COMMENT ON COLUMN sluice.rejects.sqlstate IS 'SQLSTATE of the error';
COMMENT ON COLUMN sluice.rejects.message IS 'message of the error';
COMMENT ON COLUMN sluice.rejects.detail IS 'where it is, as far as it is known: table, column, path, value, constraint, check, detail';
COMMENT ON COLUMN sluice.rejects.source_row IS 'which row of the source it was';
COMMENT ON COLUMN sluice.rejects.tried_at IS 'when sluice.retry tried it last; null: never';
