-- Types: a JSON value becomes a value of any type, exactly or not at all, the same from jsonb and from text documents.

SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SET intervalstyle = 'postgres';

-- create: a table with a column of every kind of type

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN digit AS positive CHECK (VALUE < 10);
CREATE DOMAIN known AS text NOT NULL;
CREATE DOMAIN pair AS int[] CHECK (cardinality(VALUE) <= 2);
CREATE TYPE point3 AS (x int, y numeric(4,1), label varchar(3));
CREATE DOMAIN point_right AS point3 CHECK ((VALUE).x > 0);
CREATE TYPE line3 AS (from_point point3, to_points point3[], mood mood);

CREATE TABLE jsonb_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE json_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc json);
CREATE TABLE text_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);

CREATE TABLE every_type (
    id bigint, int2 int2, int4 int4, int8 int8, numeric numeric, numeric102 numeric(10,2), float4 float4, float8 float8, bool bool,
    text text, varchar varchar(5), char char(5), name name, chr "char", bytea bytea, uuid uuid, inet inet, date date, timestamp timestamp(3),
    timestamptz timestamptz, time time, interval interval, money money, json json, jsonb jsonb, mood mood, digit digit, known known,
    point3 point3, ints int[], words text[], points point3[], range int4range, bits bit(3));
CREATE TABLE from_json (LIKE every_type);
CREATE TABLE from_jsonb (LIKE every_type);

INSERT INTO text_source (doc) VALUES
('{"int2": -32768, "int4": 2147483647, "int8": -9223372036854775808, "numeric": 12345678901234567890.0123456789, "numeric102": 99999999.99, "float4": 1.5, "float8": 0.1,
   "bool": true, "text": "a \"b\" \\ \n \u00e9 \ud83c\udfd9", "varchar": "\u00e9\u00e9\u00e9\u00e9\u00e9", "char": "ab", "name": "n", "chr": "c",
   "bytea": "\\x00ff", "uuid": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
   "inet": "10.0.0.1/8", "date": "2020-02-29", "timestamp": "2020-02-29T10:11:12.345", "timestamptz": "2020-02-29T10:11:12+05:30", "time": "10:11:12",
   "interval": "P1DT2H", "money": 1.50,
   "json": {"a": [1, 2.50, null]}, "jsonb": [{"b": "c"}, true], "mood": "ok", "digit": 9, "known": "k", "point3": {"x": 1, "y": 2.5, "label": "abc"},
   "ints": [1, null, 3],
   "words": ["a b", "", null, "NULL"], "points": [{"x": 1}, null, "(2,3.5,z)"], "range": "[1,5)", "bits": "101"}'),
('{"int2": "7", "int4": "8", "int8": "9", "numeric": "1.50", "numeric102": "2.5", "float4": "1e5", "float8": "NaN", "bool": "yes", "text": 1.50, "varchar": true, "char": 12345, "name": false, "chr": 1,
   "bytea": "abc", "uuid": null, "inet": "::1", "date": "infinity", "timestamp": "epoch", "timestamptz": "-infinity", "time": "24:00:00",
   "interval": 90, "money": "$2.50", "json": "s", "jsonb": 1.50,
   "mood": null, "digit": "1", "known": 5, "point3": "(1,2.5,)", "ints": "{1,2}", "words": [1, true, 1.50], "points": [], "range": "empty", "bits": 101}'),
('{"int2": 1.0, "int4": 1e3, "int8": 9223372036854775807, "numeric": 1E+2, "numeric102": 1.000, "float4": 16777217, "float8": 12345678901234567890, "bool": false, "text": "", "varchar": "", "known": "",
   "ints": [[1, 2], [3, 4]], "words": [], "points": [[{"x": 1}], [{"x": 2}]], "json": null, "jsonb": null}'),
('{"known": "only"}'),
('{"known": "nulls", "int2": null, "int4": null, "numeric102": null, "bool": null, "text": null, "date": null, "point3": null, "ints": null, "range": null, "digit": null}');
INSERT INTO json_source (doc) SELECT doc::json FROM text_source ORDER BY id;
INSERT INTO jsonb_source (doc) SELECT doc::jsonb FROM text_source ORDER BY id;

-- act: the mapping names every column

SELECT sluice.create_shred('from_' || kind, kind || '_source', 'doc',
           json_build_object(target, json_build_object('columns',
               (SELECT json_object_agg(attname, CASE attname WHEN 'id' THEN '#source.id' ELSE '$.' || attname END ORDER BY attnum)
                FROM pg_attribute WHERE attrelid = 'every_type'::regclass AND attnum > 0))))
FROM (VALUES ('text', 'every_type'), ('json', 'from_json'), ('jsonb', 'from_jsonb')) v (kind, target);
CALL sluice.run('from_text');
CALL sluice.run('from_json');
CALL sluice.run('from_jsonb');

-- select

\x on
SELECT * FROM every_type ORDER BY id;
\x off
SELECT t.id, to_jsonb(t) = to_jsonb(j) AS json_the_same, to_jsonb(t) = to_jsonb(b) AS jsonb_the_same
FROM every_type t JOIN from_json j USING (id) JOIN from_jsonb b USING (id) ORDER BY id;

-- drop

SELECT sluice.drop_pipeline('from_' || kind) FROM unnest(ARRAY['text', 'json', 'jsonb']) kind;
DROP TABLE every_type, from_json, from_jsonb;
TRUNCATE jsonb_source, json_source, text_source;

-- create: cases, each a value and the type of a column; a procedure shreds every one by itself, from both kinds of documents

CREATE TABLE cases (number bigint GENERATED ALWAYS AS IDENTITY, type text, value text, result text);
ALTER TABLE jsonb_source ADD case_number bigint;
ALTER TABLE text_source ADD case_number bigint;

CREATE FUNCTION shredded_from(source regclass, c cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('DELETE FROM %s WHERE case_number <> %s', source, c.number);
    EXECUTE format('CREATE TABLE target (v %s)', c.type);
    PERFORM sluice.create_shred('types', source, 'doc', '{"target": {"columns": {"v": "$.v"}}}');
    PERFORM sluice.run_batch('types');
    SELECT CASE num_nulls(v) WHEN 1 THEN 'NULL' ELSE format('%s', v) END INTO STRICT result FROM target;
    RAISE EXCEPTION USING ERRCODE = 'SL000'; -- undoes it all
EXCEPTION
    WHEN SQLSTATE 'SL000' THEN RETURN result;
    WHEN OTHERS THEN RETURN SQLSTATE || ': ' || SQLERRM;
END $$;

CREATE FUNCTION shredded(c cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    from_text text := shredded_from('text_source', c);
    from_jsonb text := CASE WHEN EXISTS (SELECT FROM jsonb_source WHERE case_number = c.number) THEN shredded_from('jsonb_source', c) ELSE from_text END;
BEGIN
    RETURN from_jsonb || CASE WHEN from_text <> from_jsonb THEN ' BUT FROM text ' || from_text ELSE '' END;
END $$;

-- as_jsonb gives NULL for what jsonb cannot hold (\u0000, numbers beyond numeric)
CREATE FUNCTION as_jsonb(document text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN document::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE PROCEDURE shred_cases() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO text_source (doc, case_number) SELECT '{"v": ' || value || '}', number FROM cases ORDER BY number;
    INSERT INTO jsonb_source (doc, case_number) SELECT as_jsonb(doc), case_number FROM text_source WHERE as_jsonb(doc) IS NOT NULL ORDER BY id;
    COMMIT;
    UPDATE cases SET result = shredded(cases);
    TRUNCATE text_source, jsonb_source;
END $$;

CREATE PROCEDURE add_cases(type text, VARIADIC "values" text[]) LANGUAGE sql AS $$
    INSERT INTO cases (type, value) SELECT type, value FROM unnest("values") WITH ORDINALITY v (value, number) ORDER BY number
$$;

\set show 'CALL shred_cases(); SELECT type, CASE WHEN length(value) > 64 THEN left(value, 10) || \'... (\' || length(value) || \' characters)\' ELSE value END, result FROM cases ORDER BY number; TRUNCATE cases;'
\set show_sqlstate 'CALL shred_cases(); SELECT type, value, left(result, 5) FROM cases ORDER BY number; TRUNCATE cases;'
\set show_refused 'CALL shred_cases(); SELECT type, value, CASE WHEN result ~ \'^22[0-9A-Z]{3}: \' THEN \'refused\' ELSE result END FROM cases ORDER BY number; TRUNCATE cases;'
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on

-- integers: exact, also when written as 1.0 or 1e3

CALL add_cases('smallint', '32767', '32768', '-32768', '-32769', '1.0', '1.5', '1e2', '1e-2', '3.2767e4', '-0', '-0.0', '"7"', '" 7 "', '"7.5"',
    '"x"', '""', 'true', 'null');
CALL add_cases('integer', '2147483647', '2147483648', '-2147483648', '-2147483649', '1.00000', '1e9', '1e10', '99999999999999999999');
CALL add_cases('bigint', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809', '9.223372036854775807e18',
    '9.223372036854775808e18',
                       '9007199254740993', '10000000000000000', '12345678901234567', '12345678901234567890', '0.5', '1e18', '1e19', '"9223372036854775807"');
:show

-- numerics: every digit

CALL add_cases('numeric', '1', '1.50', '1e3', '1E+3', '1.0e-5', '-0.0', '12345678901234567890', '12345678901234567890.123456789',
    '0.1000000000000000000000000000000001', '"1.50"', '"NaN"', '"x"', 'true');
CALL add_cases('numeric', '1e200000');
CALL add_cases('numeric(10,2)', '12.34', '12.345', '12.340', '"12.345"', '12345678.91', '123456789.1', '99999999.995', '1e3', '"NaN"', '"Infinity"');
CALL add_cases('numeric(3,0)', '12.0', '12.5', '999', '1000');
:show

INSERT INTO cases (type, value) VALUES ('numeric', '1e400'), ('numeric', '1e-400'), ('numeric', '1e100000');
CALL shred_cases();
SELECT value, result = CASE value WHEN '1e400' THEN rpad('1', 401, '0') WHEN '1e-400' THEN rpad('0.', 401, '0') || '1' ELSE rpad('1', 100001,
    '0') END AS exact FROM cases ORDER BY number;
TRUNCATE cases;

-- an octal byte, where the server reads it

INSERT INTO cases (type, value) VALUES ('"char"', '"\\101"');
CALL shred_cases();
SELECT value, result LIKE CASE WHEN current_setting('server_version_num')::int >= 150000 THEN 'A' ELSE '22001: %' END AS as_the_server_reads_it FROM cases;
TRUNCATE cases;

-- floats round

CALL add_cases('real', '1', '0.1', '16777217', '123456789', '1e38', '"NaN"', '"-Infinity"', '"1.1"', '"x"');
CALL add_cases('double precision', '1', '0.1', '1e308', '12345678901234567890', '9007199254740993', '0.30000000000000000000001', '"Infinity"', 'false');
:show

-- booleans

CALL add_cases('boolean', 'true', 'false', '"t"', '"no"', '"off"', '1', '0', '2', '"maybe"', '{}');
:show

-- text, in which numbers and booleans may be stored as they are written, but no objects or arrays

CALL add_cases('text', '"a"', '""', '1', '1.0', '1e3', '12345678901234567890.50', 'true', 'false', 'null', '"\u00e9"', '"\ud83c\udfd9"', '"a\u0000b"',
    '[1]', '{"a": 1}');
CALL add_cases('varchar(3)', '"abc"', '"abcd"', '"abc "', '"\u00e9\u00e9\u00e9"', '"\u00e9\u00e9\u00e9\u00e9"', '123', '1234', 'true', '"\u0000"');
CALL add_cases('varchar', '"abcd"');
CALL add_cases('char(3)', '"ab"', '"abc"', '"abcd"', '12');
CALL add_cases('name', '"n"', format('"%s"', repeat('n', 63)), format('"%s"', repeat('n', 64)));
CALL add_cases('"char"', '"a"', '"ab"', '""', '"\u00e9"', '"\\abc"', '"\\777"', '1', '12');
CALL add_cases('bytea', '"\\x0102"', '"\\x0"', '"abc"', '"a\\\\b"', '1', '"\u0000"');
:show

-- json and jsonb take everything as it is; a JSON null is NULL

CALL add_cases('jsonb', '1.50', '"s"', 'true', 'null', '[]', '{}', '[1, "x", null, [2]]', '{"b": 1, "aa": {"c": null}}', '{"a": 1, "a": 2}',
    '"a\"b\\c\n\u0001"');
CALL add_cases('json', '1.50', '"s"', 'true', 'null', '[]', '{}', '[1, "x", null, [2]]', '{"b": 1, "aa": {"c": null}}', '{"a": 1, "a": 2}',
    '"a\"b\\c\n\u0001"');
:show

-- what PostgreSQL cannot hold: \u0000 (22P05), unless the type refuses the kind of value anyway (42804)

INSERT INTO cases (type, value)
SELECT type, value
FROM unnest(ARRAY['jsonb', 'json', 'text', 'text[]', 'known', 'mood']) WITH ORDINALITY t (type, t),
     unnest(ARRAY['"\u0000"', '["\u0000"]', '{"a": "\u0000"}', '{"\u0000": 1}']) WITH ORDINALITY v (value, v)
ORDER BY t, v;
:show_sqlstate

-- uuid, inet, cidr, bit

CALL add_cases('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"x"', '1', '[]');
CALL add_cases('inet', '"10.0.0.1"', '"10.0.0.1/8"', '"::1"', '"x"');
CALL add_cases('cidr', '"10.0.0.0/8"', '"10.0.0.1/8"');
CALL add_cases('bit(3)', '"101"', '"1011"');
CALL add_cases('varbit(3)', '"101"', '"1011"');
:show

-- dates and times, with nothing dropped

CALL add_cases('date', '"2020-01-31"', '"2020-02-30"', '"1/2/2020"', '"2020-01-31T00:00:00Z"', '"2020-01-31T10:00:00"', '"infinity"',
    '"0001-01-01 BC"', '"x"', '""', '1', 'true');
CALL add_cases('timestamp', '"2020-01-31T10:11:12"', '"2020-01-31 10:11:12.123456"', '"2020-01-31 10:11:12.1234567"', '"2020-01-31 10:11:12.1234560"',
    '"2020-01-31"', '"infinity"');
CALL add_cases('timestamp(0)', '"2020-01-31T10:11:12"', '"2020-01-31T10:11:12.0"', '"2020-01-31T10:11:12.5"');
CALL add_cases('timestamptz', '"2020-01-31T10:11:12Z"', '"2020-01-31T10:11:12+05:30"', '"2020-01-31 10:11:12"', '"2020-01-31 10:11:12 Europe/Berlin"',
    '"2020-01-31 10:11:12.1234567Z"');
CALL add_cases('timestamptz(3)', '"2020-01-31T10:11:12.345Z"', '"2020-01-31T10:11:12.3456Z"');
CALL add_cases('time', '"10:11:12"', '"24:00:00"', '"25:00:00"', '"10:11 PM"', '"10:11:12.1234567"');
CALL add_cases('time(0)', '"10:11:12"', '"10:11:12.5"');
CALL add_cases('timetz', '"10:11:12+05"', '"10:11:12"');
CALL add_cases('interval', '"1 day"', '"P1Y2M"', '"1.5 hours"', '"00:00:00.1234567"', '"PT0.1234567S"', '90', '"x"');
CALL add_cases('interval(0)', '"1 second"', '"1.5 seconds"');
CALL add_cases('interval day', '"2 days"', '"1 day 2 hours"');
:show

-- money

CALL add_cases('money', '1', '1.5', '1.555', '1e3', '-2', '"$1.50"', '"-1.50"', '"1,234.56"', '"1.555"', '"x"', 'true');
:show

-- enums and domains

CALL add_cases('mood', '"sad"', '"bad"', '1', 'null', '[]');
CALL add_cases('positive', '1', '0', '"5"', '1.5', 'null');
CALL add_cases('digit', '5', '10', '0', 'null');
CALL add_cases('known', '"a"', '1', 'null', '{}');
CALL add_cases('pair', '[1, 2]', '[1, 2, 3]', '"{1,2}"', '"{1,2,3}"', '[]', 'null');
CALL add_cases('point_right', '{"x": 1}', '{"x": 0}', '"(1,2,)"', '"(0,2,)"', 'null');
:show

-- composites: from objects, by the names of their fields, and from strings

CALL add_cases('point3', '{"x": 1, "y": 2.5, "label": "a"}', '{"y": 2}', '{}', '{"x": "1", "other": 9}', '{"X": 1}', '{"x": null}', '"(1,2.5,abc)"',
    '{"x": 1.5}', '{"y": 2.55}', '{"label": "abcd"}',
                       '"(1)"', '[1, 2]', '5', '{"x": {}}');
CALL add_cases('line3', '{"from_point": {"x": 1}, "to_points": [{"x": 2}, null], "mood": "ok"}', '{"from_point": "(1,2,)", "to_points": ["(1,,)"]}',
    '{"to_points": []}', '{"mood": "bad"}', '{"to_points": [{"x": 1.5}]}');
:show

-- arrays: from arrays of any depth, and from strings

CALL add_cases('int[]', '[1, 2]', '[]', '[1, null]', '[[1, 2], [3, 4]]', '[[1, null], [null, 4]]', '[[[1]], [[2]]]', '[[[[[[1]]]]]]', '["1", 2.0]',
    '"{1,2}"', '"{{1},{2}}"', 'null',
                       '[[1], [2, 3]]', '[1, [2]]', '[[1], 2]', '[[1], null]', '[[], [1]]', '[[[[[[[1]]]]]]]', '[1.5]', '[true]', '[{}]', '{"a": 1}',
                       '1', '"1"', '"{1,x}"');
CALL add_cases('text[]', '["a", "b c", null, "null", ""]', '[1, true, 1.50]', '[["a"], ["b"]]', '[{"a": 1}]', '"{a,b}"', '"a"');
CALL add_cases('varchar(2)[]', '["ab"]', '["abc"]');
CALL add_cases('numeric(4,1)[]', '[1.5, 2]', '[1.55]');
CALL add_cases('date[]', '["2020-01-31", null]', '["2020-01-31T10:00:00"]');
CALL add_cases('jsonb[]', '[1, [2, 3], {"a": 1}, null]', '[[1], [2]]', '[]');
CALL add_cases('mood[]', '["sad", null]', '["bad"]');
CALL add_cases('positive[]', '[1]', '[0]', '[null]');
CALL add_cases('known[]', '["a"]', '["a", null]');
CALL add_cases('point3[]', '[{"x": 1}, null, "(2,,)"]', '[[{"x": 1}], [{"x": 2}]]', '[{"x": "a"}]');
:show

-- ranges and multiranges, from strings

CALL add_cases('int4range', '"[1,5)"', '"[1,4]"', '"empty"', '"[5,1)"', '[1, 5]');
CALL add_cases('numrange', '"[1.5,2]"');
CALL add_cases('int4multirange', '"{[1,5),[7,9)}"');
:show

-- types of extensions (citext; text takes its place where it is not there)

CREATE SCHEMA contrib;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext') THEN
        CREATE EXTENSION citext SCHEMA contrib;
    ELSE
        CREATE DOMAIN contrib.citext AS text;
    END IF;
END $$;
CALL add_cases('contrib.citext', '"Ab"', '1.0', 'true', 'null', '"\u0000"');
CALL add_cases('contrib.citext[]', '["Ab", 1, null]');
:show

-- other types with an input function

CALL add_cases('point', '"(1,2)"', '"x"', '[1, 2]');
CALL add_cases('tsvector', '"a b"');
CALL add_cases('oid', '4294967295', '4294967296');
CALL add_cases('regtype', '"integer"', '23');
:show

-- beyond every limit: refused, and the server is well

INSERT INTO cases (type, value) VALUES
    ('smallint', '1e400'), ('bigint', '-1e400'), ('bigint', '1e-400'), ('real', '1e39'), ('real', '1e-50'), ('real', '"1e400"'), ('double precision',
    '1e309'), ('double precision', '-1e400'),
    ('double precision', '1e-400'), ('money', '99999999999999999999'), ('money', '1e400'), ('timestamptz', '"999999-01-01"'), ('date',
    '"9999999-01-01"'), ('numeric(1000,0)', '1e1000');
:show_sqlstate

-- what would lose something is refused, however it is written

INSERT INTO cases (type, value) VALUES
    ('date', '"20200131T101112"'),
    ('date', '"2020-01-31T101112"'),
    ('date', '"J2451187.5"'),
    ('timestamp', '"01.02.2020 10:00:00.1234567"'),
    ('timestamptz', '"01.02.2020 10:00:00.1234567Z"'),
    ('time', '"2020-01-31 10:11:12"'),
    ('interval', '"1.5 days 00:00:00.1234567"'),
    ('interval', '"0.1 microseconds"'),
    ('money', '"$1.555"'),
    ('money', '"1.555 "'),
    ('numeric(4,1)[]', '"{1.55}"'),
    ('date[]', '"{2020-01-31T10:00:00}"'),
    ('timestamp(0)[]', '"{2020-01-31 10:00:00.5}"'),
    ('name[]', '"{aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg}"'),
    ('"char"[]', '"{ab}"'),
    ('money[]', '"{1.555}"'),
    ('point3', '"(1,2.55,)"'),
    ('line3', '{"from_point": "(1,2.55,)"}');
:show_refused

-- drop

SET client_min_messages = warning;
DROP PROCEDURE add_cases, shred_cases;
DROP FUNCTION shredded, shredded_from, as_jsonb;
DROP SCHEMA contrib CASCADE;
DROP TABLE cases, jsonb_source, json_source, text_source;
DROP TYPE line3;
DROP DOMAIN digit, positive, known, pair, point_right;
DROP TYPE point3, mood;
