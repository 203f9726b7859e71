-- Running pipelines, and what became of it.

CREATE PROCEDURE sluice.run(name text, batch_size int DEFAULT NULL, max_batches int DEFAULT NULL, upto "any" DEFAULT NULL,
    progress boolean DEFAULT false)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_run';
COMMENT ON PROCEDURE sluice.run(text, int, int, "any", boolean) IS 'load what is new in the source of a pipeline, a transaction for each batch';

CREATE PROCEDURE sluice.run_all()
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_run_all';
COMMENT ON PROCEDURE sluice.run_all() IS 'run every active pipeline that the caller may run, in the order that after asks for';

CREATE PROCEDURE sluice.rebuild(name text, discard boolean DEFAULT false, progress boolean DEFAULT false)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_rebuild';
COMMENT ON PROCEDURE sluice.rebuild(text, boolean, boolean) IS 'load everything again in one transaction: until it commits readers see what was there; discard: what the source does not bring again may go';

CREATE FUNCTION sluice.run_batch(name text, batch_size int DEFAULT NULL,
    OUT run_id bigint, OUT source_rows bigint, OUT inserted bigint, OUT updated bigint, OUT deleted bigint,
    OUT duplicates bigint, OUT too_late bigint, OUT rejected bigint)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_run_batch';
COMMENT ON FUNCTION sluice.run_batch(text, int) IS 'load one batch inside the transaction of the caller';
