-- Pipelines: looking them up, altering and dropping them.

CREATE FUNCTION sluice.alter_pipeline(
    name       text,
    mapping    json DEFAULT NULL,
    "unknown"  text DEFAULT NULL,
    lookback   text DEFAULT NULL,
    recheck    interval DEFAULT NULL,
    batch_size int DEFAULT NULL,
    on_error   text DEFAULT NULL,
    max_rejects bigint DEFAULT NULL,
    query      text DEFAULT NULL,
    settle     interval DEFAULT NULL,
    reload_last int DEFAULT NULL,
    partition_list text DEFAULT NULL,
    back_off   name DEFAULT NULL,
    max_failures int DEFAULT NULL,
    after      text[] DEFAULT NULL,
    checks     text[] DEFAULT NULL,
    lineage    boolean DEFAULT NULL
) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_alter_pipeline';
COMMENT ON FUNCTION sluice.alter_pipeline(text, json, text, text, interval, int, text, bigint, text, interval, int, text, name, int, text[], text[], boolean) IS 'change a pipeline; null arguments leave things as they are';

CREATE FUNCTION sluice.drop_pipeline(name text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_drop_pipeline';
COMMENT ON FUNCTION sluice.drop_pipeline(text) IS 'drop a pipeline with its position and history; its targets stay';

CREATE FUNCTION sluice.pause(name text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_pause';
COMMENT ON FUNCTION sluice.pause(text) IS 'pause a pipeline: its runs do nothing until it is resumed';

CREATE FUNCTION sluice.resume(name text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_resume';
COMMENT ON FUNCTION sluice.resume(text) IS 'resume a paused pipeline';

-- The owner of a pipeline is the owner of its anchor, the type sluice.pipeline_<id>. So ALTER ... OWNER, REASSIGN OWNED,
-- DROP OWNED, DROP ROLE and dumps treat pipelines as they treat any other object.
CREATE FUNCTION sluice.pipeline_owner(pipeline_id int) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT t.typowner FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE n.nspname = 'sluice' AND t.typname = 'pipeline_' || pipeline_id);
COMMENT ON FUNCTION sluice.pipeline_owner(int) IS 'owner of a pipeline; null when its anchor was dropped';
