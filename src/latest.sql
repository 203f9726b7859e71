-- Latest: the last value that is not null.

CREATE FUNCTION sluice.latest_transition(state internal, value anyelement, at anycompatible) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_transition';
COMMENT ON FUNCTION sluice.latest_transition(internal, anyelement, anycompatible) IS 'of sluice.latest: takes a row in';

CREATE FUNCTION sluice.latest_inverse(state internal, value anyelement, at anycompatible) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_inverse';
COMMENT ON FUNCTION sluice.latest_inverse(internal, anyelement, anycompatible) IS 'of sluice.latest: takes a row out of a moving frame; null when the frame must be aggregated anew';

CREATE FUNCTION sluice.latest_combine(state internal, other internal) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_combine';
COMMENT ON FUNCTION sluice.latest_combine(internal, internal) IS 'of sluice.latest: combines two states';

CREATE FUNCTION sluice.latest_write(state internal) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_write';
COMMENT ON FUNCTION sluice.latest_write(internal) IS 'of sluice.latest: writes a state for another process';

CREATE FUNCTION sluice.latest_read(pack bytea, state internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_read';
COMMENT ON FUNCTION sluice.latest_read(bytea, internal) IS 'of sluice.latest: reads a state of another process';

CREATE FUNCTION sluice.latest_final(state internal, value anyelement, at anycompatible) RETURNS anyelement
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_latest_final';
COMMENT ON FUNCTION sluice.latest_final(internal, anyelement, anycompatible) IS 'of sluice.latest: gives the result';

CREATE AGGREGATE sluice.latest(value anyelement, at anycompatible) (
    SFUNC = sluice.latest_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sluice.latest_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = sluice.latest_combine, SERIALFUNC = sluice.latest_write, DESERIALFUNC = sluice.latest_read,
    MSFUNC = sluice.latest_transition, MINVFUNC = sluice.latest_inverse, MSTYPE = internal, MSSPACE = 128,
    MFINALFUNC = sluice.latest_final, MFINALFUNC_EXTRA, MFINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE sluice.latest(anyelement, anycompatible) IS 'the last value that is not null, by at (null is the oldest); of equal ones the greatest value';
