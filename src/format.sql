-- Format: dates and times written in a way of their own.

CREATE FUNCTION sluice.parse_date(value text, format text) RETURNS date
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_parse_date';
COMMENT ON FUNCTION sluice.parse_date(text, text) IS 'read a date, as a mapping''s format does, whatever the session''s settings; a time of day other than midnight UTC is an error';

CREATE FUNCTION sluice.parse_timestamp(value text, format text) RETURNS timestamptz
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_parse_timestamp';
COMMENT ON FUNCTION sluice.parse_timestamp(text, text) IS 'read a moment, as a mapping''s format does, whatever the session''s settings; without a zone it is in UTC';
