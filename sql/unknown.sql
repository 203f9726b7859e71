-- Unknown: what becomes of the parts of a document that the mapping does not name: ignore, keep, reject, add.

SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SET client_min_messages = warning;
\pset footer off

-- tried: the documents through a pipeline of their own with jsonb, json and text; it fails where these differ
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE texts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);
CREATE TABLE jsons (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc json);
CREATE TABLE documents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);
CREATE PROCEDURE deliver() LANGUAGE sql AS $$
TRUNCATE source, texts, jsons RESTART IDENTITY;
INSERT INTO source (doc) SELECT doc::jsonb FROM documents ORDER BY id;
INSERT INTO texts (doc) SELECT doc FROM documents ORDER BY id;
INSERT INTO jsons (doc) SELECT doc::json FROM documents ORDER BY id $$;

-- ignore, keep and reject: in the document, in nested objects, in items, in items of items, in arrays that a path goes into by position

CREATE TABLE person (id bigint, name text, town text, first text, rest jsonb);
CREATE TABLE phone (id bigint, number text, rest jsonb);
CREATE TABLE call (id bigint, at text, rest jsonb);
\set columns '"columns": {"id": "#source.id", "name": "$.name", "town": "$.address.town.name", "first": "$.tags[0]", "rest": "#rest"}'
\set no_rest '"columns": {"id": "#source.id", "name": "$.name", "town": "$.address.town.name", "first": "$.tags[0]"}'
INSERT INTO documents (doc) VALUES
    ('{"name": "Ada", "address": {"town": {"name": "London"}}, "tags": ["a"], "phones": [{"number": "1", "calls": [{"at": "noon"}]}]}'),
    ('{"name": "Bob", "age": 36}'),
    ('{"name": "Cid", "address": {"town": {"name": "Paris", "zip": "75001"}, "street": {"no": 1, "floor": null}}}'),
    ('{"name": "Dan", "tags": ["a", "b", ["c"]]}'),
    ('{"name": "Eve", "phones": [{"number": "1", "kind": "home"}, {"number": "2"}, {"kind": "work", "more": [1, {"x": 2}]}]}'),
    ('{"name": "Fay", "phones": [{"calls": [{"at": "now", "by": {"who": "me"}}, {}, {"at": "then", "n": 1.50}]}]}'),
    ('{"name": {"first": "Gus"}, "address": "Rome", "tags": {"x": 1}}'),
    ('{"name": "Hal", "unknown": null, "address": {"x": null, "town": {"y": null}}}'),
    ('{"name": "Ian", "a.b": 1, "": {"": 2}, "quo\"te": [], "o": {}, "list": [[], {}, null, [null]]}'),
    ('{"name": "Joe", "phones": [null, {"number": null, "kind": null}]}'),
    ('{}'), ('5'), ('[1, {"name": "x"}]'), ('"text"'), ('null'), (NULL);
CALL deliver();
CREATE TABLE results (source text, unknown text, "table" text, id bigint, row text);
CREATE PROCEDURE try_all(mapping json, rest boolean DEFAULT true) LANGUAGE plpgsql AS $$
DECLARE
    s text;
    u text;
BEGIN
    TRUNCATE results;
    FOREACH s IN ARRAY '{source, jsons, texts}'::text[] LOOP
        FOREACH u IN ARRAY CASE WHEN rest THEN '{keep, ignore}' ELSE '{ignore, reject}' END::text[] LOOP
            TRUNCATE person, phone, call;
            PERFORM sluice.create_shred('p', s, 'doc', mapping, on_error => 'reject', unknown => u);
            COMMIT;
            CALL sluice.run('p');
            INSERT INTO results SELECT s, u, 'person', id, (p)::text FROM person p;
            INSERT INTO results SELECT s, u, 'phone', id, (p)::text FROM phone p;
            INSERT INTO results SELECT s, u, 'call', id, (p)::text FROM call p;
            INSERT INTO results SELECT s, u, 'reject', (source_columns[1][2])::bigint, sqlstate || ' ' || message || ' ' || detail FROM sluice.reject;
            PERFORM sluice.drop_pipeline('p');
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
-- every part has a rest, or the root only; the items' rest is in the root's then
\set all_rests '{"person": {' :columns '}, "phone": {"parent": "person", "each": "$.phones[*]", "columns": {"id": "parent.id", "number": "@.number", "rest": "#rest"}}, "call": {"parent": "phone", "each": "@.calls[*]", "columns": {"id": "parent.id", "at": "@.at", "rest": "#rest"}}}'
\set root_rest '{"person": {' :columns '}, "phone": {"parent": "person", "each": "$.phones[*]", "columns": {"id": "parent.id", "number": "@.number"}}, "call": {"parent": "phone", "each": "@.calls[*]", "columns": {"id": "parent.id", "at": "@.at"}}}'
\set no_rests '{"person": {' :no_rest '}, "phone": {"parent": "person", "each": "$.phones[*]", "columns": {"id": "parent.id", "number": "@.number"}}, "call": {"parent": "phone", "each": "@.calls[*]", "columns": {"id": "parent.id", "at": "@.at"}}}'
CALL try_all(:'all_rests');
SELECT "table", id, row FROM results WHERE source = 'source' AND unknown = 'keep' ORDER BY "table" <> 'person', "table", id, row;
-- the three types agree, and #rest is filled with ignore, too; what they differ in:
SELECT "table", id, row, array_agg(DISTINCT source || ' ' || unknown) FROM results GROUP BY 1, 2, 3 HAVING count(DISTINCT source || unknown) <> 6 ORDER BY 1, 2, 3;
CALL try_all(:'root_rest');
SELECT "table", id, row FROM results WHERE source = 'source' AND unknown = 'keep' AND "table" = 'person' ORDER BY id;
SELECT "table", id, row, array_agg(DISTINCT source || ' ' || unknown) FROM results GROUP BY 1, 2, 3 HAVING count(DISTINCT source || unknown) <> 6 ORDER BY 1, 2, 3;
CALL try_all(:'no_rests', false);
SELECT id, row FROM results WHERE source = 'source' AND unknown = 'reject' AND "table" = 'reject' ORDER BY id;
SELECT "table", id, row, array_agg(DISTINCT source || ' ' || unknown ORDER BY source || ' ' || unknown) FROM results WHERE "table" <> 'reject' GROUP BY 1, 2, 3 HAVING count(DISTINCT source || unknown) <> 6 ORDER BY 1, 2, 3;
-- which of several is told depends on the order of the keys
SELECT id, unknown, array_agg(DISTINCT row) FROM results WHERE "table" = 'reject' GROUP BY 1, 2 HAVING count(DISTINCT row) <> 1 OR count(*) <> 3;
-- keep needs a place
SELECT sluice.create_shred('p', 'source', 'doc', :'no_rests', unknown => 'keep');
SELECT sluice.create_shred('p', 'source', 'doc', :'no_rests', unknown => 'lose');
SELECT sluice.create_shred('p', 'source', 'doc', :'no_rests');
SELECT sluice.alter_pipeline('p', unknown => 'keep');
SELECT sluice.drop_pipeline('p');
-- without on_error => 'reject' the run stops, and says where
SELECT sluice.create_shred('p', 'source', 'doc', :'no_rests', unknown => 'reject');
TRUNCATE person, phone, call;
CALL sluice.run('p');
SELECT count(*) FROM person;
SELECT sluice.drop_pipeline('p');

-- what is kept is all that is not mapped: with the mapped parts back in their places the document is as it was

TRUNCATE person, phone, call;
SELECT sluice.create_shred('p', 'source', 'doc', '{"person": {"columns": {"id": "#source.id", "name": "$.name", "rest": "#rest"}}}', unknown => 'keep', on_error => 'reject');
CALL sluice.run('p');
SELECT id, doc, name, rest FROM person JOIN source USING (id) WHERE jsonb_typeof(doc) = 'object' AND jsonb_typeof(doc -> 'name') = 'string'
    AND jsonb_strip_nulls(coalesce(rest, '{}') || jsonb_build_object('name', name)) <> jsonb_strip_nulls(doc);
SELECT count(*) FROM person WHERE rest IS NOT NULL;
SELECT sluice.drop_pipeline('p');
DROP TABLE person, phone, call, results;
DROP PROCEDURE try_all;

-- add: columns, nested objects, arrays of scalars, of objects, of arrays, dictionaries, new members of items; the mapping grows
-- with the tables, and the changes are kept with their run

TRUNCATE source RESTART IDENTITY;
-- mapped: the mapping as it stands, a line a column
CREATE VIEW mapped AS
    SELECT t.key AS "table", t.value ->> 'parent' AS parent, t.value ->> 'each' AS each, c.key AS "column", CASE json_typeof(c.value) WHEN 'string' THEN c.value #>> '{}' ELSE c.value ->> 'path' END AS path, c.value ->> 'type' AS type
    FROM sluice.pipeline p, json_each(p.mapping) WITH ORDINALITY t (key, value, place), json_each(t.value -> 'columns') WITH ORDINALITY c (key, value, place) ORDER BY t.place, c.place;
CREATE VIEW changed AS SELECT dense_rank() OVER (ORDER BY run_id) AS run, target, "column", statement FROM sluice.changes;
-- lost: scalars of the source that no cell holds, and cells that hold what the source has not
CREATE FUNCTION scalars(document jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
SELECT value #>> '{}' FROM jsonb_path_query(document, 'strict $.** ? (@.type() != "object" && @.type() != "array" && @.type() != "null")') value $$;
CREATE FUNCTION lost(source regclass DEFAULT 'source', OUT scalars bigint, OUT missing text[], OUT surplus text[]) LANGUAGE plpgsql AS $$
DECLARE
    cell record;
BEGIN
    CREATE TEMP TABLE wanted (value text);
    CREATE TEMP TABLE found (value text);
    EXECUTE format('INSERT INTO wanted SELECT scalars(doc::jsonb) FROM %s', source);
    FOR cell IN SELECT * FROM mapped WHERE path !~ '^(@key|@index|parent|#)' OR path = '#rest' LOOP
        EXECUTE format('INSERT INTO found SELECT scalars(to_jsonb(%I)) FROM %s', cell."column", cell."table");
    END LOOP;
    SELECT count(*) INTO scalars FROM wanted;
    SELECT array_agg(value) INTO missing FROM (SELECT value FROM wanted EXCEPT ALL SELECT value FROM found) d;
    SELECT array_agg(value) INTO surplus FROM (SELECT value FROM found EXCEPT ALL SELECT value FROM wanted) d;
    DROP TABLE wanted, found;
END $$;
INSERT INTO source (doc) VALUES ('{"name": "Ada", "phones": [{"number": "1"}]}');
SELECT sluice.create_shred('people', 'source', 'doc', target_schema => 'grown', on_error => 'reject');
CALL sluice.run('people');
SELECT * FROM mapped;
INSERT INTO source (doc) VALUES
    ('{"name": "Bob", "age": 36, "alive": false, "weight": 70.50, "big": 3000000000}'),
    ('{"name": "Cid", "address": {"town": {"name": "Paris"}, "zip": "75001"}}'),
    ('{"name": "Dan", "tags": ["a", "b"], "jobs": [{"title": "cook", "since": {"year": 1999}}, {"title": "chef", "pay": [1, 2]}], "matrix": [[1, 2], [3]]}'),
    ('{"name": "Eve", "phones": [{"number": "2", "kind": "home", "calls": [{"at": "noon"}]}, {"number": "3"}]}'),
    ('{"name": "Fay", "titles": {"en": "x", "de": "y", "fr": "z", "/it/": "w"}}'),
    ('{"name": "Gus", "select": 1, "Name": "GUS", "na-me": 1, "na me": 2, "": "empty", "sluice_id": 5, "ctid": "c", "имя": "Гус", "a.b": true, "quo\"te": "q"}'),
    ('{"name": "Hal", "nothing": null, "none": {}, "empty": [], "nulls": [null]}');
CALL sluice.run('people', batch_size => 3);
SELECT * FROM lost();
SELECT * FROM changed;
SELECT "table", each, "column", path, type FROM mapped WHERE "column" NOT IN ('sluice_id', 'sluice_parent_id', 'sluice_index');
SELECT count(*) FROM sluice.rejects;
-- nothing new: nothing changes
INSERT INTO source (doc) SELECT doc FROM source;
CALL sluice.run('people');
SELECT * FROM lost();
SELECT count(*) FROM changed;
-- the mapping that is stored makes the same tables elsewhere
SELECT length(sluice.ddl(mapping)) > 100 AS ddl FROM sluice.pipeline;
-- later kinds of what is a column or a table now
INSERT INTO source (doc) VALUES ('{"name": "Ian", "address": "Rome", "tags": {"x": 1}, "jobs": "none", "age": [1, 2]}'), ('{"name": "Joe", "address": {"town": "Oslo"}, "phones": {"a": 1}}');
CALL sluice.run('people');
SELECT * FROM lost();
SELECT target, "column", statement FROM changed WHERE run = (SELECT max(run) FROM changed);
SELECT message, detail FROM sluice.rejects;
SELECT sluice.drop_pipeline('people');
SELECT count(*) FROM sluice.changes;
DROP SCHEMA grown CASCADE;

-- several batches of one run, each with something new; within a transaction block; by run_batch

TRUNCATE source RESTART IDENTITY;
INSERT INTO source (doc) VALUES ('{"k0": 0}');
SELECT sluice.create_shred('steps', 'source', 'doc', target_schema => 'grown');
CALL sluice.run('steps');
INSERT INTO source (doc) SELECT jsonb_build_object('k' || n, n, 'list' || n % 3, jsonb_build_array(n)) FROM generate_series(1, 20) n;
CALL sluice.run('steps', batch_size => 4);
SELECT * FROM lost();
SELECT count(*), count(DISTINCT run) FROM changed;
INSERT INTO source (doc) VALUES ('{"in_block": 1}');
BEGIN;
SELECT inserted FROM sluice.run_batch('steps');
SELECT * FROM lost();
ROLLBACK;
SELECT count(*) FROM mapped WHERE "column" = 'in_block';
SELECT count(*) FROM changed WHERE "column" = 'in_block';
SELECT count(*) FROM pg_attribute WHERE attname = 'in_block';
BEGIN;
CALL sluice.run('steps');
COMMIT;
SELECT * FROM lost();
SELECT "column", statement FROM changed WHERE "column" = 'in_block';

-- a batch that fails leaves neither column nor change nor mapping

INSERT INTO source (doc) VALUES ('{"fails": 1, "more": [{"a": 1}]}');
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE TRIGGER t AFTER INSERT ON grown.steps EXECUTE FUNCTION fail();
CALL sluice.run('steps');
DROP TRIGGER t ON grown.steps;
SELECT (SELECT count(*) FROM mapped WHERE "column" IN ('fails', 'a')) AS mapped, (SELECT count(*) FROM changed WHERE "column" = 'fails') AS changed, (SELECT count(*) FROM pg_attribute WHERE attname = 'fails') AS columns, to_regclass('grown.steps__more') AS "table";
CALL sluice.run('steps');
SELECT * FROM lost();
SELECT sluice.drop_pipeline('steps');
DROP SCHEMA grown CASCADE;

-- tables and mapping of our own: without #serial arrays are kept as jsonb; names that the table has, but not the mapping

TRUNCATE source RESTART IDENTITY;
CREATE TABLE own (id bigint, name text, age text DEFAULT 'mine', "Size" int, rest int);
SELECT sluice.create_shred('own', 'source', 'doc', '{"own": {"columns": {"id": "#source.id", "name": "$.name"}}}', unknown => 'add', on_error => 'reject');
INSERT INTO source (doc) VALUES ('{"name": "Ada", "age": 36, "Size": 1, "size": 2, "rest": "r", "jobs": [{"title": "x"}], "tags": ["a"], "address": {"town": "y"}}');
CALL sluice.run('own');
SELECT * FROM own;
SELECT * FROM mapped;
SELECT * FROM lost();
SELECT message, detail FROM sluice.rejects;
SELECT sluice.drop_pipeline('own');
DROP TABLE own CASCADE;
-- partitioned, and keyed
CREATE TABLE own (id bigint, name text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (2);
CREATE TABLE own_2 PARTITION OF own DEFAULT;
SELECT sluice.create_shred('own', 'source', 'doc', '{"own": {"key": "id", "columns": {"id": "$.id", "name": "$.name"}}}', unknown => 'add');
TRUNCATE source;
INSERT INTO source (doc) VALUES ('{"id": 1, "name": "Ada"}'), ('{"id": 2, "name": "Bob", "age": 1}'), ('{"id": 1, "name": "Ada", "town": "x"}'), ('{"id": 2, "age": 3000000000}'), ('{"id": 1, "age": "old", "tags": [1]}');
CALL sluice.run('own');
SELECT * FROM own ORDER BY id;
SELECT "column", statement FROM changed;
SELECT sluice.drop_pipeline('own');
DROP TABLE own;

-- wider types: int, bigint, numeric, text; jsonb for objects and arrays; what is there keeps its value

CREATE TABLE own (id bigint, a int, b smallint, c numeric(5, 2), d boolean, e date, f varchar(3), g int, h float8, i int[]);
SELECT sluice.create_shred('wider', 'source', 'doc', '{"own": {"columns": {"id": "#source.id", "a": "$.a", "b": "$.b", "c": "$.c", "d": "$.d", "e": "$.e", "f": "$.f", "g": "$.g", "h": "$.h", "i": "$.i"}}}', unknown => 'add', on_error => 'reject');
TRUNCATE source RESTART IDENTITY;
INSERT INTO source (doc) VALUES ('{"a": 1, "b": 2, "c": 3.45, "d": true, "e": "2020-01-31", "f": "abc", "g": 7, "h": 0.1, "i": [1]}');
CALL sluice.run('wider');
CREATE PROCEDURE widen(doc jsonb) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO source (doc) VALUES (widen.doc);
    COMMIT;
    CALL sluice.run('wider');
    RAISE INFO '%: % (% rejects)', doc, (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'own'::regclass AND attnum > 1), (SELECT count(*) FROM sluice.rejects);
END $$;
CALL widen('{"a": 3000000000}');
CALL widen('{"a": 1.5, "b": 40000}');
CALL widen('{"b": 10000000000000000000}');
CALL widen('{"a": "x", "c": 1.234}');
CALL widen('{"c": 1e10, "d": 1}');
CALL widen('{"e": "yesterday or so", "f": "longer", "d": "perhaps"}');
CALL widen('{"g": {"x": 1}}');
CALL widen('{"g": 8, "f": [1, 2], "a": {"y": 2}, "h": "x", "i": {"z": 1}}');
SELECT * FROM own ORDER BY id;
-- a boolean does not take 1 for true here: it grows
SELECT * FROM lost();
SELECT run, "column", statement FROM changed;
SELECT message, detail FROM sluice.rejects;
-- two wishes of one batch for one column
ALTER TABLE own ADD j int, ADD k int;
SELECT sluice.alter_pipeline('wider', mapping => '{"own": {"columns": {"id": "#source.id", "j": "$.j", "k": "$.k"}}}');
INSERT INTO source (doc) VALUES ('{"j": 1, "k": 1}'), ('{"j": 3000000000, "k": [1]}'), ('{"j": "x", "k": 3000000000}'), ('{"j": 1.5, "k": "x"}');
CALL sluice.run('wider');
SELECT id, j, k FROM own WHERE coalesce(j, k::text) IS NOT NULL ORDER BY id;

-- what cannot be widened: a view, a key, a generated column or an index depend on it; the documents are rejected, and told why

ALTER TABLE own ADD l int, ADD m int, ADD n int, ADD o int GENERATED ALWAYS AS (n + 1) STORED;
CREATE VIEW watched AS SELECT l FROM own;
CREATE TABLE number (m int PRIMARY KEY);
INSERT INTO number VALUES (1);
ALTER TABLE own ADD FOREIGN KEY (m) REFERENCES number;
SELECT sluice.alter_pipeline('wider', mapping => '{"own": {"columns": {"id": "#source.id", "l": "$.l", "m": "$.m", "n": "$.n"}}}');
DELETE FROM source;
DELETE FROM own;
INSERT INTO source (doc) VALUES ('{"l": 1, "m": 1}'), ('{"l": 3000000000}'), ('{"m": "x"}'), ('{"m": 3000000000}'), ('{"n": "x"}'), ('{"l": 2, "new": 1}'), ('{"l": "x"}');
CALL sluice.run('wider');
SELECT id, l, m, n, new FROM own ORDER BY id;
SELECT source_row, sqlstate, message, detail FROM sluice.rejects ORDER BY source_row;
-- or the run stops
SELECT sluice.alter_pipeline('wider', on_error => 'stop');
INSERT INTO source (doc) VALUES ('{"l": 4000000000}');
CALL sluice.run('wider');
SELECT sluice.drop_pipeline('wider');
DROP TABLE own, number CASCADE;

-- the owner may not alter the table

CREATE ROLE sluice_unknown_owner;
GRANT ALL ON SCHEMA public TO sluice_unknown_owner;
CREATE TABLE own (id bigint, name text);
GRANT ALL ON own, source TO sluice_unknown_owner;
TRUNCATE source RESTART IDENTITY;
INSERT INTO source (doc) VALUES ('{"name": "x"}'), ('{"name": "y", "age": 1}'), ('{"name": {"first": "z"}}');
SET ROLE sluice_unknown_owner;
SELECT sluice.create_shred('own', 'source', 'doc', '{"own": {"columns": {"id": "#source.id", "name": "$.name"}}}', unknown => 'add', on_error => 'reject');
CALL sluice.run('own');
SELECT * FROM own;
RESET ROLE;
SELECT status, error FROM sluice.runs;
DELETE FROM source WHERE doc ? 'age';
CALL sluice.run('own');
SELECT message, detail FROM sluice.rejects;
SELECT sluice.drop_pipeline('own');
DROP TABLE own;
DROP OWNED BY sluice_unknown_owner;
DROP ROLE sluice_unknown_owner;
