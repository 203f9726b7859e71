-- Tables from the JSON schemas that BigQuery's tools write.

\pset format unaligned
\pset fieldsep ' | '
\pset footer off

-- described: the columns of a table, and the attributes of the types made for it, in the order of their making
CREATE FUNCTION described(of regclass) RETURNS TABLE (relation text, "column" name, type text, required boolean, description text) LANGUAGE sql
SET search_path = pg_catalog AS $$
SELECT c.oid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, col_description(c.oid, attnum)
FROM pg_attribute JOIN pg_class c ON attrelid = c.oid
WHERE (c.oid = of OR c.relkind = 'c' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = of) AND c.relname LIKE (SELECT relname FROM pg_class WHERE oid = of) || '\_%')
  AND attnum > 0 ORDER BY c.oid = of DESC, c.relname, attnum $$;

-- a table, its key, records in records, arrays of them, comments

CREATE SCHEMA crm;
SELECT sluice.create_table('crm.users', '{"fields": [
    {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "the user''s number"},
    {"name": "email", "type": "STRING", "mode": "NULLABLE", "maxLength": "320"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {"name": "address", "type": "RECORD", "mode": "NULLABLE", "description": "where to send to", "fields": [
        {"name": "city", "type": "STRING", "mode": "REQUIRED", "description": "its name"},
        {"name": "at", "type": "STRUCT", "fields": [{"name": "lat", "type": "FLOAT"}, {"name": "lon", "type": "FLOAT64"}]}]},
    {"name": "orders", "type": "RECORD", "mode": "REPEATED", "fields": [
        {"name": "sku", "type": "STRING"}, {"name": "prices", "type": "NUMERIC", "precision": "10", "scale": "2", "mode": "REPEATED"}]},
    {"name": "updated_at", "type": "TIMESTAMP", "mode": "REQUIRED", "description": ""}]}', key => ARRAY['id']);
SELECT * FROM described('crm.users');
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'crm.users'::regclass AND contype = 'p';
INSERT INTO crm.users VALUES (1, 'a@b', '{x,y}', ROW('Kazan', ROW(55.8, 49.1)), ARRAY[ROW('pen', '{1.00,2.50}')]::crm.users_orders[], '2024-01-01');
SELECT (address).city, ((address).at).lat, orders[1].prices[2] FROM crm.users;
INSERT INTO crm.users (id, updated_at) VALUES (1, '2024-01-01');
INSERT INTO crm.users (id) VALUES (2);

-- every type, both spellings, either case; a bare array of fields; no key

SELECT sluice.create_table('types', format('[%s]', string_agg(format('{"name": %s, "type": %s}', to_json('c_' || t), to_json(t)), ', ' ORDER BY n))::json) FROM unnest('{STRING,BYTES,INTEGER,INT64,INT,SMALLINT,BIGINT,TINYINT,BYTEINT,FLOAT,FLOAT64,BOOLEAN,BOOL,TIMESTAMP,DATE,TIME,DATETIME,NUMERIC,DECIMAL,BIGNUMERIC,BIGDECIMAL,GEOGRAPHY,JSON,INTERVAL,string,Int64}'::text[]) WITH ORDINALITY u (t, n);
SELECT "column", type FROM described('types');
SELECT count(*) AS keys FROM pg_constraint WHERE conrelid = 'types'::regclass AND contype = 'p';
SELECT sluice.create_table('measured', '[{"name": "p", "type": "NUMERIC", "precision": 5}, {"name": "ps", "type": "BIGNUMERIC", "precision": "50", "scale": "20"}, {"name": "l", "type": "STRING", "maxLength": 7, "mode": "repeated"},
    {"name": "huge", "type": "STRING", "maxLength": "99999999999"}, {"name": "bytes", "type": "BYTES", "maxLength": "4"}, {"name": "d", "type": "RANGE", "rangeElementType": {"type": "DATE"}}, {"name": "t", "type": "RANGE", "rangeElementType": {"type": "DATETIME"}},
    {"name": "z", "type": "RANGE", "rangeElementType": {"type": "TIMESTAMP"}, "mode": "REPEATED"}, {"name": "scalar_with_fields", "type": "DATE", "fields": [], "mode": null}]');
SELECT "column", type FROM described('measured');

-- what means something to BigQuery alone is told

SELECT sluice.create_table('plain', '[{"name": "a", "type": "STRING", "policyTags": {"names": ["x"]}, "collation": "und:ci", "categories": {}, "roundingMode": ""}, {"name": "b", "type": "TIMESTAMP", "defaultValueExpression": "CURRENT_TIMESTAMP()"}]');

-- names: as they are written, cut at 63 bytes, never twice

SELECT sluice.create_table('"Sales 2024"', '[{"name": "Order Id", "type": "INT64"}, {"name": "select", "type": "INT64"}, {"name": "имя", "type": "RECORD", "fields": [{"name": "a\"b", "type": "INT64"}]}]', '{Order Id,select}');
SELECT relation, "column", type FROM described('"Sales 2024"');
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '"Sales 2024"'::regclass AND contype = 'p';
CREATE TYPE longs_r AS (x int);
SELECT sluice.create_table('longs', json_build_array(
    json_build_object('name', repeat('n', 70) || 'a', 'type', 'INT64', 'description', 'first'), json_build_object('name', repeat('n', 70) || 'b', 'type', 'INT64', 'description', 'second'),
    json_build_object('name', 'r', 'type', 'RECORD', 'fields', json_build_array(json_build_object('name', 'x', 'type', 'INT64'))),
    json_build_object('name', repeat('ж', 40), 'type', 'RECORD', 'fields', json_build_array(json_build_object('name', 'x', 'type', 'INT64'))),
    json_build_object('name', repeat('ж', 39) || 'x', 'type', 'RECORD', 'fields', json_build_array(json_build_object('name', repeat('y', 80), 'type', 'RECORD', 'fields', json_build_array(json_build_object('name', 'z', 'type', 'DATE')))))),
    ARRAY[repeat('n', 70) || 'b']);
SELECT relation, octet_length(relation) AS bytes, "column", type, description FROM described('longs');
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'longs'::regclass AND contype = 'p';

-- the first schema of search_path; temporary tables; a type of the caller's does not stand in for the server's

SET search_path = crm, pg_catalog;
CREATE TYPE crm.text AS (x int);
SELECT sluice.create_table('visits', '[{"name": "note", "type": "STRING"}, {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "GEOGRAPHY"}]}]');
SELECT sluice.create_table('pg_temp.scratch', '[{"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "INT64"}]}]');
RESET search_path;
SELECT relation, "column", type FROM described('crm.visits');
SELECT relpersistence, relnamespace = pg_my_temp_schema() AS temporary FROM pg_class WHERE relname IN ('scratch', 'scratch_r') ORDER BY relkind;

-- faults of the schema, by their JSON pointer

CREATE FUNCTION refused(schema text, key text[] DEFAULT NULL) RETURNS TABLE (error text) LANGUAGE plpgsql AS $$
DECLARE message text; hint text; state text; detail text;
BEGIN
    PERFORM sluice.create_table('refused', schema::json, key);
    RAISE EXCEPTION 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
    RETURN QUERY SELECT concat_ws(' ', state, message, '(' || nullif(concat_ws(' ', nullif(detail, ''), nullif(hint, '')), '') || ')');
END $$;
SELECT e.error FROM (VALUES
    (1, '{"fields": [{"name": "a", "type": "DATE"}, {"name": "b", "type": "STRNG"}]}', NULL::text[]),
    (2, '{"fields": [{"name": "a", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}, {"name": "y", "type": "whatever"}]}]}', NULL),
    (3, '[{"name": "a"}]', NULL), (4, '[{"type": "DATE"}]', NULL), (5, '[{"name": "", "type": "DATE"}]', NULL), (6, '[{"name": 5, "type": "DATE"}]', NULL), (7, '[{"name": "a", "type": 5}]', NULL),
    (8, '[{"name": "a", "type": "DATE", "mode": "REQUIERD"}]', NULL), (9, '[{"name": "a", "type": "DATE", "mode": "x"}]', NULL), (10, '[{"name": "a", "type": "DATE", "mod": "REQUIRED"}]', NULL), (11, '[{"name": "a", "type": "DATE", "whatever": 1}]', NULL),
    (12, '[{"name": "a", "type": "DATE"}, {"name": "a", "type": "INT64"}]', NULL), (13, '[{"name": "a", "name": "b", "type": "DATE"}]', NULL),
    (25, '{"fields": [{"name": "a", "type": "DATE"}, {"name": "b", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}, {"name": "y", "type": "DATE", "type": "DATE"}]}]}', NULL),
    (14, '[{"name": "a", "type": "RECORD"}]', NULL), (15, '[{"name": "a", "type": "STRUCT", "fields": []}]', NULL), (16, '[{"name": "a", "type": "DATE", "fields": [{"name": "x", "type": "DATE"}]}]', NULL), (17, '[{"name": "a", "type": "RECORD", "fields": {}}]', NULL),
    (18, '[]', NULL), (19, '{}', NULL), (20, '{"fields": {}}', NULL), (21, '{"field": []}', NULL), (22, '"x"', NULL), (23, 'null', NULL), (24, '[5]', NULL),
    (26, '[{"name": "a", "type": "NUMERIC", "precision": "x"}]', NULL), (27, '[{"name": "a", "type": "NUMERIC", "precision": 0}]', NULL), (28, '[{"name": "a", "type": "NUMERIC", "precision": 1001}]', NULL), (29, '[{"name": "a", "type": "NUMERIC", "precision": "5", "scale": "6"}]', NULL),
    (30, '[{"name": "a", "type": "NUMERIC", "scale": "2"}]', NULL), (31, '[{"name": "a", "type": "STRING", "precision": "5"}]', NULL), (32, '[{"name": "a", "type": "DATE", "maxLength": "5"}]', NULL), (33, '[{"name": "a", "type": "STRING", "maxLength": 1.5}]', NULL), (34, '[{"name": "a", "type": "STRING", "maxLength": "99999999999999999999"}]', NULL),
    (35, '[{"name": "a", "type": "RANGE"}]', NULL), (36, '[{"name": "a", "type": "RANGE", "rangeElementType": {"type": "INT64"}}]', NULL), (37, '[{"name": "a", "type": "RANGE", "rangeElementType": "DATE"}]', NULL), (38, '[{"name": "a\u0000", "type": "DATE"}]', NULL), (39, '[{"name": "ctid", "type": "DATE"}]', NULL),
    (40, '[{"name": "id", "type": "INT64"}]', '{ids}'), (41, '[{"name": "id", "type": "INT64"}]', '{whatever}'), (42, '[{"name": "id", "type": "INT64", "mode": "REPEATED"}]', '{id}'), (43, '[{"name": "id", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}]}]', '{id}'),
    (44, '[{"name": "id", "type": "INT64"}]', '{id,id}'), (45, '[{"name": "id", "type": "INT64"}]', '{NULL}')) s (number, schema, key), refused(schema, key) e ORDER BY number;
SELECT error FROM refused((SELECT json_agg(json_build_object('name', 'c' || n, 'type', 'DATE'))::text FROM generate_series(1, 1601) n));
SELECT left(error, 5) AS too_deep FROM refused(repeat('[{"name": "a", "type": "RECORD", "fields": ', 20000) || '[]' || repeat('}]', 20000));
-- nothing is left of them
SELECT count(*) FROM pg_class WHERE relname LIKE 'refused%';

-- what PostgreSQL has to say

\set VERBOSITY terse
SELECT sluice.create_table('types', '[{"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "INT64"}]}]');
SELECT count(*) AS left_over FROM pg_type WHERE typname = 'types_r';
SELECT sluice.create_table('nowhere.t', '[{"name": "a", "type": "INT64"}]');
SELECT sluice.create_table('a.b.c', '[{"name": "a", "type": "INT64"}]');
SELECT sluice.create_table(NULL, '[]');
SELECT sluice.create_table('t', NULL);

-- as the caller, with his rights

CREATE ROLE sluice_maker;
CREATE SCHEMA his AUTHORIZATION sluice_maker;
SET ROLE sluice_maker;
SELECT sluice.create_table('crm.t', '[{"name": "a", "type": "INT64"}]');
SELECT sluice.create_table('his.t', '[{"name": "a", "type": "INT64", "description": "x"}, {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "INT64"}]}]', '{a}');
RESET ROLE;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'his'::regnamespace ORDER BY relname;
SET client_min_messages = warning;
DROP SCHEMA his CASCADE;
DROP SCHEMA crm CASCADE;
DROP ROLE sluice_maker;
