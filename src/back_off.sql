-- Backing off by hand: how far a target has been loaded, and deleting what is later.

CREATE FUNCTION sluice.last_update(target regclass, time_column name DEFAULT 'load_datetime', condition text DEFAULT NULL)
RETURNS timestamptz
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'sluice_last_update';
COMMENT ON FUNCTION sluice.last_update(regclass, name, text) IS 'greatest time in a column of a table, of the rows that fulfil a condition; 1970-01-01 when there is none';

CREATE PROCEDURE sluice.back_off(target regclass, time_column name, since timestamptz, until timestamptz DEFAULT NULL)
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_back_off';
COMMENT ON PROCEDURE sluice.back_off(regclass, name, timestamptz, timestamptz) IS 'delete the rows of a table that are later than a time, up to and including another; a transaction for each partition';
