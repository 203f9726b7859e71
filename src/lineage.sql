-- Lineage: which run wrote each row of a target.

CREATE FUNCTION sluice.note_lineage() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_note_lineage';
COMMENT ON FUNCTION sluice.note_lineage() IS 'trigger of targets of pipelines with lineage: notes which run wrote a row, and what the row was before';
REVOKE EXECUTE ON FUNCTION sluice.note_lineage() FROM PUBLIC; -- nobody else is to note rows in a pipeline's name
