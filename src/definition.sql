-- Definitions: pipelines as JSON, to be kept in files.

CREATE FUNCTION sluice.definition(name text) RETURNS json
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'sluice_definition';
COMMENT ON FUNCTION sluice.definition(text) IS 'the definition of a pipeline, from which sluice.apply makes the same one';

CREATE FUNCTION sluice.apply(definitions json, dry_run boolean DEFAULT false)
RETURNS TABLE (pipeline text, action text, changes text)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_apply';
COMMENT ON FUNCTION sluice.apply(json, boolean) IS 'create or alter pipelines so that they are as an array of definitions (or one) says; dry_run tells what that would do';
