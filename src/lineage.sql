-- Lineage: which run wrote each row of a target.

CREATE FUNCTION sluice.note_lineage() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_note_lineage';
COMMENT ON FUNCTION sluice.note_lineage() IS 'trigger of targets of pipelines with lineage: notes which run wrote a row, and what the row was before';
REVOKE EXECUTE ON FUNCTION sluice.note_lineage() FROM PUBLIC; -- nobody else is to note rows in a pipeline's name

CREATE FUNCTION sluice.trace(target regclass, key jsonb) RETURNS TABLE (pipeline text, run_id bigint, batch bigint,
    written_at timestamptz, operation text, source_row text, before jsonb)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_trace';
COMMENT ON FUNCTION sluice.trace(regclass, jsonb) IS 'which runs wrote a row of a target, the newest first, and what it was before; run_id null: somebody else did';
