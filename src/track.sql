-- Tracking by triggers: which partitions of a source were written to.

CREATE FUNCTION sluice.track() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_track';
COMMENT ON FUNCTION sluice.track() IS 'trigger of sources with track => ''trigger'': notes the partitions that a statement wrote to';
REVOKE EXECUTE ON FUNCTION sluice.track() FROM PUBLIC; -- nobody else is to note changes in a pipeline's name
