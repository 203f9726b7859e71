-- Merge patches (RFC 7396): applying one, and many in their order.

CREATE FUNCTION sluice.jsonb_merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_jsonb_merge_patch';
COMMENT ON FUNCTION sluice.jsonb_merge_patch(jsonb, jsonb) IS 'the target changed by a merge patch (RFC 7396); a target that is SQL null is absent, a patch that is SQL null changes nothing';

CREATE FUNCTION sluice.merge_patch_transition(state internal, patch jsonb, at anycompatible) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_merge_patch_transition';
COMMENT ON FUNCTION sluice.merge_patch_transition(internal, jsonb, anycompatible) IS 'of sluice.jsonb_merge_patch_agg: takes a patch in';

CREATE FUNCTION sluice.merge_patch_combine(state internal, other internal) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_merge_patch_combine';
COMMENT ON FUNCTION sluice.merge_patch_combine(internal, internal) IS 'of sluice.jsonb_merge_patch_agg: combines two states';

CREATE FUNCTION sluice.merge_patch_write(state internal) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_merge_patch_write';
COMMENT ON FUNCTION sluice.merge_patch_write(internal) IS 'of sluice.jsonb_merge_patch_agg: writes a state for another process';

CREATE FUNCTION sluice.merge_patch_read(pack bytea, state internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_merge_patch_read';
COMMENT ON FUNCTION sluice.merge_patch_read(bytea, internal) IS 'of sluice.jsonb_merge_patch_agg: reads a state of another process';

CREATE FUNCTION sluice.merge_patch_final(state internal) RETURNS jsonb
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_merge_patch_final';
COMMENT ON FUNCTION sluice.merge_patch_final(internal) IS 'of sluice.jsonb_merge_patch_agg: gives the result';

CREATE AGGREGATE sluice.jsonb_merge_patch_agg(patch jsonb, at anycompatible) (
    SFUNC = sluice.merge_patch_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = sluice.merge_patch_final, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = sluice.merge_patch_combine, SERIALFUNC = sluice.merge_patch_write, DESERIALFUNC = sluice.merge_patch_read,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE sluice.jsonb_merge_patch_agg(jsonb, anycompatible) IS 'merge patches (RFC 7396) applied to nothing in the order of at (null is the oldest; of equal ones in the order of jsonb)';
