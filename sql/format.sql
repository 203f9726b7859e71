-- Formats: dates and times written in a way of their own, read by parse_date and parse_timestamp as by a mapping's "format",
-- and the same under all settings.

SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
\pset format unaligned
\pset fieldsep ' | '
\pset footer off

-- what is read

SELECT sluice.parse_date('31-01-2020', 'DD-MM-YYYY') AS day, sluice.parse_timestamp('31-01-2020', 'DD-MM-YYYY') AS midnight,
    sluice.parse_timestamp('2020-01-31T10:11:12.5+05:30', 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM') AS with_zone,
    sluice.parse_timestamp('31 Jan 2020 10:11 pm', 'DD Mon YYYY HH12:MI am') AS without;
SELECT sluice.parse_timestamp('1580465472.25', 'epoch_s'), sluice.parse_timestamp('1580465472250', 'epoch_ms'), sluice.parse_timestamp('-1', 'epoch_s'),
    sluice.parse_timestamp(' 1e9 ', 'epoch_s'), sluice.parse_date('86400', 'epoch_s'), sluice.parse_date('-86400000', 'epoch_ms');
SELECT sluice.parse_date(NULL, 'DD-MM-YYYY') IS NULL AND sluice.parse_date('31-01-2020', NULL) IS NULL
    AND sluice.parse_timestamp(NULL, 'epoch_s') IS NULL AND sluice.parse_timestamp('1', NULL) IS NULL AS null_of_null;

-- against the server's own functions: every day of forty years, written in several ways; seconds and zones

SELECT format, bool_and(sluice.parse_date(to_char(day, format), format) = day::date) AS back,
    bool_and(sluice.parse_date(to_char(day, format), format) = to_date(to_char(day, format), format)) AS as_to_date
FROM unnest(ARRAY['DD-MM-YYYY', 'MM/DD/YYYY', 'YYYYMMDD', 'YYYY.DDD', 'FMDD FMMonth YYYY', 'Dy, DD Mon YYYY', 'IYYY-"W"IW-ID', 'J', '"DD" DD.MM.YYYY']) format,
    generate_series(timestamp '1990-01-01', '2029-12-31', '1 day') day
GROUP BY format ORDER BY format;
SELECT bool_and(sluice.parse_timestamp(epoch::text, 'epoch_s') = to_timestamp(epoch)) AS seconds,
    bool_and(sluice.parse_timestamp((epoch * 1000 + 1)::text, 'epoch_ms') = to_timestamp(epoch) + interval '1 ms') AS milliseconds
FROM generate_series(-3000000000, 3000000000, 12345678) epoch;
SELECT bool_and(sluice.parse_timestamp('2020-03-29 02:30:00' || zone, 'YYYY-MM-DD HH24:MI:SSTZH:TZM') = ('2020-03-29 02:30:00' || zone)::timestamptz) AS zones
FROM unnest(ARRAY['+00:00', '-00:30', '+05:45', '-11:00', '+14:00']) zone;

-- the format may change from row to row

SELECT format, sluice.parse_date(value, format) FROM (VALUES
    ('31-01-2020', 'DD-MM-YYYY'), ('01/31/2020', 'MM/DD/YYYY'), ('31-01-2020', 'DD-MM-YYYY'), ('1580428800', 'epoch_s')) v (value, format);

-- as the mapping reads (in UTC): the same value, or an error there as here

CREATE TABLE cases (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text, format text);
CREATE TABLE source (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE target (day date, moment timestamptz);
CREATE FUNCTION mapped(c cases, target_column text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    DELETE FROM source WHERE number <> c.number;
    PERFORM sluice.create_shred('format', 'source', 'doc', json_build_object('target', json_build_object('columns',
        json_build_object(target_column, json_build_object('path', '$.value', 'format', c.format)))));
    PERFORM sluice.run_batch('format');
    SELECT coalesce(day::text, moment::text) INTO STRICT result FROM target;
    RAISE EXCEPTION USING ERRCODE = 'SL000'; -- undoes it all
EXCEPTION
    WHEN SQLSTATE 'SL000' THEN RETURN result;
    WHEN data_exception OR datatype_mismatch OR feature_not_supported THEN RETURN 'error';
END $$;
CREATE FUNCTION parsed(c cases, target_column text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE target_column WHEN 'day' THEN sluice.parse_date(c.value, c.format)::text ELSE sluice.parse_timestamp(c.value, c.format)::text END;
EXCEPTION WHEN SQLSTATE '22007' OR SQLSTATE '22008' OR SQLSTATE '22023' THEN
    RETURN 'error';
END $$;
\set show 'INSERT INTO source (doc) SELECT to_jsonb(c) FROM cases c ORDER BY number; SELECT value, format, day, moment, mapped(c, \'day\') = day AND mapped(c, \'moment\') = moment AS as_mapped FROM cases c, parsed(c, \'day\') day, parsed(c, \'moment\') moment ORDER BY number; TRUNCATE cases, source RESTART IDENTITY;'
INSERT INTO cases (value, format) VALUES
    ('29-02-2020', 'DD-MM-YYYY'), ('29-02-2019', 'DD-MM-YYYY'), ('00-01-2020', 'DD-MM-YYYY'), ('1-1-2020', 'DD-MM-YYYY'),
    ('01-01-2020 ', 'DD-MM-YYYY'), ('01.01.2020', 'DD-MM-YYYY'), ('01-01', 'DD-MM-YYYY'), ('01-01-20', 'DD-MM-YY'), ('', 'DD-MM-YYYY'),
    ('2020-01-31 00:00:00', 'YYYY-MM-DD HH24:MI:SS'), ('2020-01-31 00:00:01', 'YYYY-MM-DD HH24:MI:SS'),
    ('2020-01-31 24:00:00', 'YYYY-MM-DD HH24:MI:SS'), ('2020-01-31 10:61:00', 'YYYY-MM-DD HH24:MI:SS'),
    ('2020-01-31T10:11:12.123456', 'YYYY-MM-DD"T"HH24:MI:SS.US'), ('2020-01-31T10:11:12.1234567', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    ('2020-01-31 10:11:12', 'YYYY-MM-DD"T"HH24:MI:SS'), ('2020-01-31 00:00+00:00', 'YYYY-MM-DD HH24:MITZH:TZM'),
    ('2020-01-31 00:00+05:30', 'YYYY-MM-DD HH24:MITZH:TZM'), ('2020-01-31 05:30+05:30', 'YYYY-MM-DD HH24:MITZH:TZM'),
    ('2020-01-31 05:30', 'YYYY-MM-DD HH24:MITZH:TZM'), ('2020-01-31 05:30+05', 'yyyy-mm-dd hh24:miTZH'),
    ('Friday 31 January 2020', 'FMDay DD FMMonth YYYY'), ('Monday 31 January 2020', 'Day DD Month YYYY'), ('Friday 31 January 2020', 'Day DD Month YYYY'),
    ('2020-060', 'YYYY-DDD'), ('2019-366', 'YYYY-DDD'), ('0044-03-15 BC', 'YYYY-MM-DD BC'), ('9999-12-31', 'YYYY-MM-DD'),
    ('300000-01-01', 'YYYY-MM-DD'), ('10:11', 'HH24:MI'), ('x', 'nonsense'), ('x', ''),
    ('86400', 'epoch_s'), ('86399.5', 'epoch_s'), ('0.0000001', 'epoch_s'), ('1e400', 'epoch_ms'), ('x', 'epoch_s'), ('NaN', 'epoch_s'), ('', 'epoch_ms');
:show

-- a mapping with an empty format is refused like any other that reads nothing

\set VERBOSITY sqlstate
SELECT sluice.create_shred('format', 'source', 'doc', '{"target": {"columns": {"day": {"path": "$.value", "format": ""}}}}');
\set VERBOSITY default

-- what stands for itself: in quotes, escaped in quotes, and any character that is no letter, digit or separator

INSERT INTO cases (value, format) VALUES
    ('TM 31.01.2020 TZ', '"TM "DD.MM.YYYY" TZ"'),
    ('00.01.2020 TZ', 'DD.MM.YYYY" TZ"'),
    ('31.01.2020 "a" \', 'DD.MM.YYYY" \"a\" \\"'),
    ('31\01\2020', 'DD\MM\YYYY'),
    ('31"01"2020', 'DD\"MM\"YYYY'),
    ('31_01|2020', 'DD_MM|YYYY'),
    ('31年01月2020', 'DD年MM月YYYY'),
    ('31.01.2020 ends', 'DD.MM.YYYY" ends');
:show

-- settings change nothing: not the values, not the entries of an index

CREATE TABLE events (written text, format text);
INSERT INTO events SELECT to_char(timestamp '2020-01-01' + n * interval '7 hours', 'DD.MM.YYYY HH24:MI'), 'DD.MM.YYYY HH24:MI' FROM generate_series(0, 999) n;
CREATE INDEX ON events (sluice.parse_timestamp(written, 'DD.MM.YYYY HH24:MI'));
CREATE INDEX ON events (sluice.parse_date(left(written, 10), 'DD.MM.YYYY'));
ALTER TABLE events ADD moment timestamptz GENERATED ALWAYS AS (sluice.parse_timestamp(written, format)) STORED;
ANALYZE events;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT FROM events WHERE sluice.parse_timestamp(written, 'DD.MM.YYYY HH24:MI') = '2020-03-29 02:00Z';
EXPLAIN (COSTS OFF) SELECT FROM events ORDER BY sluice.parse_timestamp(written, 'DD.MM.YYYY HH24:MI') LIMIT 1;
CREATE VIEW seen AS
    WITH numbered AS (SELECT *, row_number() OVER (ORDER BY moment) - 1 AS number FROM events)
    SELECT current_setting('timezone'),
        (SELECT count(*) FROM numbered WHERE extract(epoch FROM sluice.parse_timestamp(written, format)) = 1577836800 + 25200 * number) AS moments,
        (SELECT count(*) FROM events WHERE sluice.parse_timestamp(written, format) = moment) AS as_stored,
        (SELECT count(*) FROM numbered WHERE sluice.parse_date(left(written, 10), 'DD.MM.YYYY') = date '2020-01-01' + (7 * number / 24)::int) AS days,
        (SELECT count(*) FROM events WHERE sluice.parse_timestamp(written, 'DD.MM.YYYY HH24:MI') >= '2020-03-29 00:00Z'
            AND sluice.parse_timestamp(written, 'DD.MM.YYYY HH24:MI') < '2020-04-05 00:00Z') AS week_by_index,
        (SELECT count(*) FROM events WHERE sluice.parse_date(left(written, 10), 'DD.MM.YYYY') = '2020-03-29') AS day_by_index;
TABLE seen;
SET timezone = 'America/New_York';
SET datestyle = 'German';
TABLE seen;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'SQL, DMY';
SET timezone_abbreviations = 'India';
SET lc_time = 'C';
SET intervalstyle = 'iso_8601';
TABLE seen;
SELECT extract(epoch FROM sluice.parse_timestamp('2020-01-31 10:11:12+01:00', 'YYYY-MM-DD HH24:MI:SSTZH:TZM')) AS zone, sluice.parse_date('1580428800', 'epoch_s') - date '1970-01-01' AS days;
RESET enable_seqscan;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace AND proname LIKE 'parse%' ORDER BY proname;

-- errors: the value, the format, what is wrong

CREATE FUNCTION refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
    result text;
BEGIN
    EXECUTE 'SELECT sluice.' || call INTO result;
    RETURN 'NOT REFUSED: ' || result;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(e'\n    ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset tuples_only on
SELECT refused(call) FROM unnest(ARRAY[
    $$ parse_date('31-02-2020', 'DD-MM-YYYY') $$,
    $$ parse_date('00-01-2020', 'DD-MM-YYYY') $$,
    $$ parse_date('31-01-2020 10:00', 'DD-MM-YYYY') $$,
    $$ parse_date('yesterday', 'DD-MM-YYYY') $$,
    $$ parse_date('31-01-2020 10:00', 'DD-MM-YYYY HH24:MI') $$,
    $$ parse_date('31-01-2020 00:00+02', 'DD-MM-YYYY HH24:MITZH') $$,
    $$ parse_date('1', 'epoch_s') $$,
    $$ parse_timestamp('31-01-2020', 'DD-MM-YYYY HH24:MI') $$,
    $$ parse_timestamp('31-01-2020 25:00', 'DD-MM-YYYY HH24:MI') $$,
    $$ parse_timestamp('31-01-2020 10:00+20', 'DD-MM-YYYY HH24:MITZH') $$,
    $$ parse_timestamp('300000-01-01', 'YYYY-MM-DD') $$,
    $$ parse_timestamp('soon', 'epoch_s') $$,
    $$ parse_timestamp('0.0000001', 'epoch_s') $$,
    $$ parse_timestamp('1e30', 'epoch_ms') $$,
    $$ parse_timestamp('Infinity', 'epoch_s') $$,
    $$ parse_timestamp('1e200000', 'epoch_s') $$
]) WITH ORDINALITY c (call, number) ORDER BY number;

-- errors: formats that are none, or read no date

SELECT refused(call) FROM unnest(ARRAY[
    $$ parse_date('x', 'nonsense') $$,
    $$ parse_date('x', '') $$,
    $$ parse_date('10:11', 'HH24:MI') $$,
    $$ parse_timestamp('10:11+01', 'HH24:MITZH') $$
]) WITH ORDINALITY c (call, number) ORDER BY number;

-- errors: formats that ask the session's settings

SELECT refused(call) FROM unnest(ARRAY[
    $$ parse_date('31 January 2020', 'DD TMMonth YYYY') $$,
    $$ parse_date('31 jan 2020', 'DD tmmon YYYY') $$,
    $$ parse_timestamp('31-01-2020 10:00 CET', 'DD-MM-YYYY HH24:MI TZ') $$,
    $$ parse_timestamp('31-01-2020 10:00 cet+01', 'DD-MM-YYYY HH24:MI tzTZH') $$,
    $$ parse_timestamp('"TZ" CET 31-01-2020 10:00', '"\"TZ\"" TZ DD-MM-YYYY HH24:MI') $$
]) WITH ORDINALITY c (call, number) ORDER BY number;

-- drop

DROP VIEW seen;
DROP FUNCTION mapped, parsed, refused;
DROP TABLE source, target, cases, events;
