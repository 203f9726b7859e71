-- Inference: a mapping and its tables from what the documents look like; no scalar of a sampled document is lost.

CREATE TABLE source (number int GENERATED ALWAYS AS IDENTITY, doc jsonb);

-- inferred: what the mapping for some documents says, but for the columns that each table has
CREATE FUNCTION described(mapping json) RETURNS TABLE ("table" text, parent text, each text, "column" text, value text, type text) LANGUAGE sql AS $$
SELECT t.key, t.value->>'parent', t.value->>'each', c.key,
       CASE json_typeof(c.value) WHEN 'string' THEN c.value #>> '{}' ELSE c.value->>'path' END, c.value->>'type'
FROM json_each(mapping) WITH ORDINALITY t (key, value, place)
LEFT JOIN json_each(t.value->'columns') WITH ORDINALITY c (key, value, place)
    ON c.key NOT IN ('sluice_id', 'sluice_parent_id', 'sluice_index') ORDER BY t.place, c.place $$;
CREATE FUNCTION inferred(VARIADIC documents text[]) RETURNS TABLE ("table" text, parent text, each text, "column" text, value text, type text) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE sampled (doc json);
    INSERT INTO sampled SELECT d::json FROM unnest(documents) WITH ORDINALITY u (d, place) ORDER BY place;
    RETURN QUERY SELECT * FROM described(sluice.infer('sampled', 'doc'));
    DROP TABLE sampled;
END $$;

-- the whole of a mapping, and its tables

INSERT INTO source (doc) VALUES
    ('{"id": 1, "name": "Ada", "born": {"year": 1815, "town": "London"}, "tags": ["a", "b"], "posts": [{"title": "x", "marks": [1, 2.5]}]}');
\pset format unaligned
\pset tuples_only on
SELECT sluice.infer('source', 'doc', root => 'people', target_schema => 'crm');
SELECT sluice.ddl(sluice.infer('source', 'doc', root => 'people', target_schema => 'crm'));

-- scalars: the smallest type that keeps what was written

SELECT * FROM inferred('{"b": true, "i": 1, "min": -2147483648, "max": 2147483647, "over": 2147483648, "big": -9223372036854775808, "beyond": 9223372036854775808,
    "digits": 12345678901234567890.12345678901234567890, "zero": -0, "point": 1.0, "exp": 1e3, "small": 1e-3, "s": "1", "n": null, "date": "2020-01-31"}');
SELECT * FROM inferred('{"a": 1}', '{"a": 3000000000}', '{"a": null}', '{}');
SELECT * FROM inferred('{"a": 1}', '{"a": 3000000000}', '{"a": 1.50}');
SELECT * FROM inferred('{"a": null}', '{"a": false}');

-- conflicts become jsonb; null is none

SELECT * FROM inferred('{"a": 1, "b": {"x": 1}, "c": [1], "d": true, "e": [1], "f": null}', '{"a": "1", "b": 1, "c": {"x": 1}, "d": 0, "e": "1", "f": {"x": null}}');
SELECT * FROM inferred('{"list": [1, "a", {"x": 1}]}');
SELECT * FROM inferred('{"list": [{"x": 1, "y": 1}, {"x": [1]}, null]}');

-- nothing inside, which a later document may change

SELECT * FROM inferred('{"a": [], "o": {}, "n": null, "ln": [null], "lo": [{}], "ll": [[]]}');

-- objects, arrays of scalars, of objects, of arrays; arrays below arrays

SELECT * FROM inferred('{"a": {"b": {"c": 1, "l": [1]}}, "m": [{"o": {"p": 1, "q": ["x"]}, "r": [[{"s": 1}]]}]}');
SELECT * FROM inferred('{"matrix": [[1, 2], [3]], "cube": [[[1.5]]]}');

-- dictionaries: keys that are data, values of one shape

SELECT * FROM inferred('{"versions": {"1.0": {"date": "a", "files": [1]}, "1.1": {"date": "b", "files": []}, "2.0": {"date": "c"}}}');
SELECT * FROM inferred('{"title": {"en": "Pen", "de": "Stift"}}', '{"title": {"fr": "Stylo", "en": "Pen"}}', '{"title": {"ru": "Ручка"}}');
SELECT * FROM inferred('{"files": {"/etc/passwd": 1, "/etc/hosts": 2}}');
SELECT * FROM inferred('{"years": {"2019": {"01": 1, "02": 2}, "2020": {"02": 3}}}');
SELECT * FROM inferred(VARIADIC (SELECT array_agg(format('{"cost": {"%s": %s, "%s": 1}}', chr(97 + i), i, chr(98 + i))) FROM generate_series(1, 10) i));
SELECT "table", each, "column", value, type FROM inferred((SELECT format('{"counts": %s}', json_object_agg('k' || i, i)) FROM generate_series(1, 20000) i));
SELECT "table", each, "column", value, type FROM inferred((SELECT format('{"counts": %s}', json_object_agg('k' || i, CASE WHEN i % 2 = 0 THEN to_json(i) ELSE to_json('x'::text) END)) FROM generate_series(1, 20000) i));

-- no dictionaries: fields that may be absent, fields of many types, always the same fields

SELECT * FROM inferred('{"phones": [{"mobile": "1"}, {"work": "2"}, {"home": "3"}, {"mobile": "4"}]}');
SELECT * FROM inferred('{"r": {"1a": 1, "1b": "x", "1c": true}}');
SELECT count(*) FROM inferred(VARIADIC (SELECT array_agg((SELECT format('{"repository": %s}', json_object_agg(f || '_url', 'http://x/' || i)) FROM unnest('{a,b,c,d,e,f,g,h,i,j,k,l}'::text[]) f)) FROM generate_series(1, 3) i));
SELECT * FROM inferred('{"x": {"2019": 1, "2020": 2}}', '{"x": {"2019": 1, "2020": 2}}', '{"x": {"2019": 1, "2020": 2}}');

-- documents that are no objects

SELECT * FROM inferred('[{"a": 1}, {"a": 2}]', '[]');
SELECT * FROM inferred('[1, 2]');
SELECT * FROM inferred('1', 'null', '2.5');
SELECT * FROM inferred('"x"');
SELECT * FROM inferred('1', '{"a": 1}', '[1]');
SELECT * FROM inferred('{"1.0": 1, "1.1": 2}');

-- names: in lower case, letters kept, never twice

SELECT * FROM inferred('{"Pen": 1, "pen": 2, "PEN": 3, "pen_2": 4, "": 5, "a b": 6, "a.b": 7, "a": {"b": 8}, "q\"": 9, "b\\": 10, "[0]": 11, "Ручка": 12, "Größe": 13,
    "1st": 14, "***": 15, "select": 16, "ctid": 17, "xmin": 18, "sluice_id": 19, "sluice_parent_id": 20, "line\nbreak": 21, "日本語": 22, "$x-y": 23, "key": 24, "value": 25}');
SELECT * FROM inferred('{"l": [{"key": "k", "value": 1, "sluice_id": 2, "sluice_parent_id": 3, "sluice_index": 4}], "d": {"1.0": {"key": 1}, "1.1": {"key": 2}}}');
SELECT * FROM inferred('{"l": [1], "L": [2], "l!": [3], "l_pkey": [4], "a": {"b": [5]}, "a_b": [6], "Order Lines": [7]}');
SELECT "column", octet_length("column"), octet_length(value) FROM inferred((SELECT json_object_agg(k, 1)::text FROM
    (VALUES (repeat('x', 63)), (repeat('x', 64)), (repeat('X', 100)), (repeat('ж', 40)), (repeat('ж', 41)), (repeat('日', 21) || 'a')) v (k)));
SELECT * FROM inferred('{"\u0000": 1, "a\u0000b": {"c": 1}, "d": 1}');
INSERT INTO source (doc) VALUES ('{"x": [1]}');
SELECT "table", parent FROM described(sluice.infer('source', 'doc', root => 'My "T"', target_schema => 'A.b'));

-- limits: what a row or a mapping cannot hold goes into the rest; it is the far and the rare

CREATE FUNCTION wide(fields int, value text) RETURNS text LANGUAGE sql AS $$
SELECT format('{"last": {"deep": 1, "l": [1]}, "a": [{"x": 1}], %s}', string_agg(format('"f%s": %s', i, format(value, i)), ', ')) FROM generate_series(1, fields) i $$;
CREATE FUNCTION counted(VARIADIC documents text[]) RETURNS TABLE ("table" text, columns bigint, rest text) LANGUAGE sql AS $$
SELECT "table", count(*), max("column") FILTER (WHERE value = '#rest') FROM inferred(VARIADIC documents) GROUP BY 1 ORDER BY 1 $$;
SELECT * FROM counted(VARIADIC array_fill(wide(300, '"x"'), '{3}'));
SELECT * FROM counted(VARIADIC array_fill(wide(400, '"x"'), '{3}'));
SELECT * FROM counted(VARIADIC array_fill(wide(2000, 'true'), '{3}'));
SELECT * FROM counted(VARIADIC array_fill(wide(2000, '%s'), '{3}'));
SELECT * FROM counted(VARIADIC array_fill(wide(400, '{"rest": "x"}'), '{3}') || '{"rest": true}'::text);
SELECT count(*), max(rest) FROM counted((SELECT format('{%s, "o": {"l": [1]}}', string_agg(format('"l%s": [{"x": "%s"}], "m%s": %s', i, i, i, i), ', ')) FROM generate_series(1, 600) i));
SELECT count(DISTINCT "table"), count(*) FROM inferred(repeat('[', 100) || '1' || repeat(']', 100));
SELECT "table", "column", length(value), type FROM inferred(repeat('{"a": ', 100) || '1' || repeat('}', 100));

-- documents in text: what is no JSON, or holds a number that no numeric does, is left out; documents in a view

CREATE TABLE texts (doc text);
INSERT INTO texts VALUES ('{"a": 1}'), ('{"a": '), (NULL), (''), ('{"a": 3000000000}'), ('1e-20000');
SELECT * FROM described(sluice.infer('texts', 'doc'));
CREATE VIEW some_texts AS SELECT doc::varchar FROM texts WHERE doc LIKE '%3%';
SELECT * FROM described(sluice.infer('some_texts', 'doc', 1));
SELECT * FROM described(sluice.infer('texts', 'doc', sample => 1));
SELECT * FROM described(sluice.infer('texts', 'doc', sample => NULL, root => 'r'));

INSERT INTO texts SELECT CASE WHEN i % 3 = 0 THEN '{' ELSE format('{"n": %s}', i) END FROM generate_series(1, 1500) i;
SELECT * FROM described(sluice.infer('texts', 'doc', root => 'r'));

-- no documents

TRUNCATE texts;
SELECT sluice.infer('texts', 'doc');
INSERT INTO texts VALUES (NULL);
SELECT sluice.ddl(sluice.infer('texts', 'doc'));

-- bad arguments

SELECT sluice.infer(NULL, 'doc');
SELECT sluice.infer('source', NULL);
SELECT sluice.infer('source', 'docs');
SELECT sluice.infer('source', 'number');
SELECT sluice.infer('source', 'doc', 0);
SELECT sluice.infer('source', 'doc', root => '');
SELECT sluice.infer('source', 'doc', root => NULL);
SELECT sluice.infer('source', 'doc', target_schema => '');
SELECT sluice.infer('pg_class_oid_index', 'oid');
CREATE ROLE sluice_infer_reader;
SET ROLE sluice_infer_reader;
SELECT sluice.infer('public.source', 'doc');
RESET ROLE;
DROP ROLE sluice_infer_reader;

-- ddl: types and references of any mapping; parents come first

SELECT sluice.ddl('
    { "phones": { "parent": "crm.\"Clients\"", "each": "$.phones[*]", "columns": { "client": "parent.id", "code": "parent.code", "number": "@", "place": "@index" } },
      "crm.\"Clients\"": { "columns": { "id": "#serial", "code": {"path": "$.code", "type": "varchar(10)"}, "day": {"path": "$.day", "format": "DD-MM-YYYY"},
                       "at": {"path": "$.at", "format": "YYYY-MM-DD HH24:MI"}, "since": {"path": "$.s", "format": "epoch_s"}, "quoted": {"path": "$.q", "format": "YYYY\"hh\""},
                       "run": "#run", "loaded": "#loaded_at", "hash": "#hash", "rest": "#rest", "amount": {"path": "#source.amount", "type": "numeric(10, 2)"}, "Order": "$.o" },
                       "key": ["code", "day"] },
      "words": { "each": "$.words.*", "columns": { "word": "@key", "state": {"path": "#default", "type": "text"} }, "key": "word" } }');
SELECT sluice.ddl('{"t": {"columns": {"a": "#default"}}}');
SELECT sluice.ddl('{"t": {"columns": {"a": "#source.x"}}}');
SELECT sluice.ddl('{"t": {"columns": {"a": {"path": "$.a", "type": "nonsense"}}}}');
SELECT sluice.ddl('{"t": {"columns": {"a": {"path": "$.a", "type": "int); DROP TABLE source; --"}}}}');
SELECT sluice.ddl('{"t": {"columns": {"a": "parent.a"}}}');
SELECT sluice.ddl('{"p": {"columns": {"a": "$.a"}}, "t": {"parent": "p", "columns": {"a": "parent.b"}}}');
SELECT sluice.ddl('{"p": {"columns": {"a": "$.a"}}, "t": {"parent": "pp", "columns": {"a": "parent.a"}}}');
SELECT sluice.ddl('{"p": {"parent": "t", "columns": {"a": "parent.a"}}, "t": {"parent": "p", "columns": {"a": "parent.a"}}}');
SELECT sluice.ddl('{"p": {"parent": "p", "columns": {"a": "parent.a"}}}');
SELECT sluice.ddl('{"a.b.c": {"columns": {"a": "$.a"}}}');
SELECT sluice.ddl('[]');
SELECT sluice.ddl(NULL) IS NULL;

-- round trip: the tables are made and loaded; every scalar of every document is in one cell

CREATE FUNCTION scalars(document jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
SELECT value::text FROM jsonb_path_query(document, 'strict $.** ? (@.type() != "object" && @.type() != "array" && @.type() != "null")') value $$;
CREATE FUNCTION round_trip(source regclass, OUT tables bigint, OUT scalars bigint, OUT missing bigint, OUT surplus bigint) LANGUAGE plpgsql AS $$
DECLARE
    mapping json;
    cell record;
BEGIN
    CREATE SCHEMA target;
    mapping := sluice.infer(source, 'doc', target_schema => 'target');
    EXECUTE sluice.ddl(mapping);
    PERFORM sluice.create_shred('round_trip', source, 'doc', mapping);
    CALL sluice.run('round_trip');
    PERFORM sluice.drop_pipeline('round_trip');
    CREATE TEMP TABLE wanted (value text);
    CREATE TEMP TABLE found (value text);
    EXECUTE format('INSERT INTO wanted SELECT scalars(doc::jsonb) FROM %s', source);
    FOR cell IN SELECT * FROM described(mapping) WHERE value !~ '^(@key|#)' OR value = '#rest' LOOP
        EXECUTE format('INSERT INTO found SELECT scalars(to_jsonb(%I)) FROM %s', cell."column", cell."table");
    END LOOP;
    SELECT count(DISTINCT "table") INTO tables FROM described(mapping);
    SELECT count(*) INTO scalars FROM wanted;
    SELECT count(*) INTO missing FROM (SELECT value FROM wanted EXCEPT ALL SELECT value FROM found) difference;
    SELECT count(*) INTO surplus FROM (SELECT value FROM found EXCEPT ALL SELECT value FROM wanted) difference;
    SET LOCAL client_min_messages = warning;
    DROP SCHEMA target CASCADE;
    DROP TABLE wanted, found;
    RESET client_min_messages;
END $$;

SET client_min_messages = warning;
CREATE TABLE clients (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);
\copy clients (doc) FROM PROGRAM 'cat "${PG_ABS_SRCDIR:-.}/test/data/clients.ndjson"' WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
SELECT * FROM round_trip('clients');
CREATE TABLE odd (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc json);
INSERT INTO odd (doc) VALUES
    ('{"Pen": 1, "pen": 2.50, "": "x", "a.b": true, "a": {"b": 12345678901234567890.123}, "[0]": "y", "ctid": 1, "l": [[1, null], [], [2]], "m": [1, "a", {"x": [1]}]}'),
    ('{"v": {"1.0": {"x": [1, 2]}, "1.1": {"x": [], "y": "s"}}, "pen": "2", "l": null, "m": [], "o": {}}'),
    ('{"o": [], "l": [[3]], "v": {"": {"y": "t"}}}'), ('{}'), ('null'),
    ('{"we\"ird\\\\ [*].k": [1, {"x": 2}], "@key": {"*": {"$": [true]}}, "map of": {"a/b": [3], "c.d": [4, 5], "\"": []}}');
SELECT * FROM round_trip('odd');
CREATE TABLE arrays (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO arrays (doc) VALUES ('[[1, 2], [3]]'), ('[]'), ('[[]]');
SELECT * FROM round_trip('arrays');
CREATE TABLE mixed (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO mixed (doc) VALUES ('[1, 2]'), ('{"a": 1}'), ('"x"'), ('null');
SELECT * FROM round_trip('mixed');

-- documents of many kinds: every scalar has one column, or is in the rest; the rest is the far and the rare

CREATE TABLE webhooks (doc jsonb);
\copy webhooks (doc) FROM PROGRAM 'cat "${PG_ABS_SRCDIR:-.}/test/data/github_webhooks.ndjson"' WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
CREATE TABLE mapped AS SELECT * FROM described(sluice.infer('webhooks', 'doc', root => 'webhook'));
SELECT "table", each, count(*), max("column") FILTER (WHERE value = '#rest') FROM mapped GROUP BY 1, 2 ORDER BY 1;
CREATE TABLE takes AS
    WITH RECURSIVE items AS (
        SELECT DISTINCT "table", '$' AS path FROM mapped WHERE parent IS NULL
        UNION
        SELECT child."table", CASE WHEN child.each LIKE '@%' THEN items.path || substr(child.each, 2) ELSE child.each END
        FROM items JOIN mapped child ON child.parent = items."table")
    SELECT CASE WHEN value LIKE '@%' THEN path || substr(value, 2) ELSE value END AS path FROM mapped JOIN items USING ("table")
    WHERE value ~ '^[$@]' AND value <> '@key';
-- a place in a document as a path; permissions are a dictionary
CREATE TABLE scalar_paths AS
    WITH RECURSIVE places AS (
        SELECT '$' AS path, doc AS value FROM webhooks
        UNION ALL
        SELECT inner_place.path, inner_place.value FROM places CROSS JOIN LATERAL (
            SELECT CASE WHEN places.path LIKE '%.permissions' AND places.path || '.*' IN (SELECT path FROM takes) THEN places.path || '.*'
                        ELSE places.path || '.' || key END AS path, member.value
            FROM jsonb_each(CASE jsonb_typeof(places.value) WHEN 'object' THEN places.value END) member
            UNION ALL
            SELECT places.path || '[*]', item FROM jsonb_array_elements(CASE jsonb_typeof(places.value) WHEN 'array' THEN places.value END) item) inner_place)
    SELECT DISTINCT path FROM places WHERE jsonb_typeof(value) NOT IN ('object', 'array', 'null');
CREATE TABLE covered AS
    SELECT path, length(path) - length(replace(path, '.', '')) AS depth,
           (SELECT count(*) FROM takes WHERE takes.path = scalar_paths.path OR left(scalar_paths.path, length(takes.path) + 1) IN (takes.path || '.', takes.path || '[')) AS cells
    FROM scalar_paths;
SELECT cells, count(*) AS paths FROM covered GROUP BY cells ORDER BY cells;
SELECT cells, min(depth), max(depth) FROM covered WHERE path NOT LIKE '%[*]%' AND path NOT LIKE '%.*' GROUP BY cells ORDER BY cells;
