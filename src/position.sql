-- Positions: looking at them and moving them.

CREATE FUNCTION sluice.cursor_position(name text) RETURNS jsonb
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_cursor_position';
COMMENT ON FUNCTION sluice.cursor_position(text) IS 'up to where a pipeline has read its source';

CREATE FUNCTION sluice.pending(name text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_pending';
COMMENT ON FUNCTION sluice.pending(text) IS 'source rows, as visible now, that a pipeline has not loaded yet';

CREATE FUNCTION sluice.seek(name text, "position" jsonb) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_seek';
COMMENT ON FUNCTION sluice.seek(text, jsonb) IS 'move the position of a pipeline, as sluice.cursor_position shows it; back only where no row would be loaded twice';

CREATE FUNCTION sluice.verify(name text, OUT missing bigint, OUT duplicated bigint, OUT rejected bigint, OUT loaded bigint)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_verify';
COMMENT ON FUNCTION sluice.verify(text) IS 'compare a source with what was loaded: rows passed over, rows loaded twice (null: cannot be known), rejected, loaded';

CREATE FUNCTION sluice.purge_source(name text, keep interval) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_purge_source';
COMMENT ON FUNCTION sluice.purge_source(text, interval) IS 'delete source rows that were loaded longer ago than keep, and only those; returns how many';

CREATE PROCEDURE sluice.rewind(name text, to_run bigint)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_rewind';
COMMENT ON PROCEDURE sluice.rewind(text, bigint) IS 'undo what runs after to_run wrote, and let their rows be read again; refused where it could not be exact';
