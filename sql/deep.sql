-- Deep columns of a merge: jsonb that merges key by key, as merge patches (RFC 7396) do.
\set VERBOSITY default
SET client_min_messages = warning;

-- ---- what it is for

CREATE TABLE profile (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, data jsonb);
INSERT INTO profile (id, at, data) VALUES
    (1, 3, '{"name": "Ann", "address": {"city": "Oslo"}}'),
    (1, 1, '{"name": "A.", "age": 40, "address": {"city": "Rome", "zip": "00100"}}'),
    (1, 4, '{"address": {"zip": null, "street": "Elm"}}'),
    (1, 2, '{"age": null, "tags": [1, 2]}'),
    (2, 1, '{"a": {"b": 1}}'),
    (2, 3, '{"a": {"c": 3}}'),
    (2, 2, '{"a": "x"}'),
    (3, 2, '[1, {"a": null}]'),
    (3, 1, '{"a": 1}'),
    (4, 2, '{"a": 2}'),
    (4, 1, '"text"'),
    (5, 1, NULL),
    (6, 1, 'null');
SELECT sluice.create_merge('p', 'profile', 'profiles', '{id}', 'at', '{data}', deep => '{data}');
CALL sluice.run('p');
SELECT * FROM profiles ORDER BY id;
-- a late row fills what no newer one has set; what was removed later stays away
INSERT INTO profile (id, at, data) VALUES
    (1, 0, '{"age": 39, "email": "a@x", "address": {"zip": "1", "country": "NO"}, "tags": {"old": true}}'),
    (2, 1, '{"a": {"late": 1}, "b": 2}'), (3, 0, '{"b": 1}'), (4, 0, '{"late": 1}'), (5, 2, '{}'), (6, 2, '{"x": {"y": null}}');
CALL sluice.run('p');
SELECT * FROM profiles ORDER BY id;
-- again the same: nothing changes
INSERT INTO profile (id, at, data) SELECT id, at, data FROM profile;
CALL sluice.run('p');
SELECT inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'p' ORDER BY run_id DESC LIMIT 1;
SELECT sluice.drop_pipeline('p');

-- ---- a delete that comes late takes away what is older within a document

CREATE TABLE late (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, op text, data jsonb);
SELECT sluice.create_merge('d', 'late', 'lates', '{id}', 'at', '{data}', deep => '{data}', delete_when => $$op = 'D'$$);
INSERT INTO late (id, at, op, data) VALUES (1, 2, 'U', '{"a": 1, "b": {"c": 1}}'), (1, 4, 'U', '{"b": {"d": 2}, "e": null}');
CALL sluice.run('d');
INSERT INTO late (id, at, op) VALUES (1, 1, 'D');
CALL sluice.run('d');
INSERT INTO late (id, at, op) VALUES (1, 3, 'D');
CALL sluice.run('d');
SELECT inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'd' ORDER BY run_id;
SELECT * FROM lates;

-- ---- thousands of histories, each in another order, against two folds in plain SQL

-- patches nested up to depth 3, with nulls, arrays and scalars
CREATE FUNCTION some_patch(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE choice float8 := random(); result jsonb := '{}'; member text;
BEGIN
    IF choice < 0.62 AND depth < 3 OR depth = 0 AND choice < 0.93 THEN
        FOREACH member IN ARRAY ARRAY['a', 'b', 'cc', 'D'] LOOP
            IF random() < 0.4 THEN
                result := result || jsonb_build_object(member, some_patch(depth + 1));
            END IF;
        END LOOP;
        RETURN result;
    END IF;
    choice := random();
    RETURN CASE WHEN choice < 0.35 THEN 'null' WHEN choice < 0.6 THEN to_jsonb(floor(random() * 5)::int)
                WHEN choice < 0.75 THEN to_jsonb(chr(97 + floor(random() * 3)::int)) WHEN choice < 0.85 THEN 'true'
                ELSE '[1, {"a": null}, []]' END;
END $$;

CREATE TABLE history (n int PRIMARY KEY, key int NOT NULL, at int, op text NOT NULL, name text COLLATE "C", doc jsonb);
SELECT setseed(0.42);
-- 2,000 histories of 10 rows; of the first 1,000 each row has a moment of its own, of the others there are few moments
INSERT INTO history
SELECT n, n % 2000,
       CASE WHEN n % 2000 < 1000 THEN hashint4(n) WHEN random() < 0.04 THEN NULL ELSE floor(random() * 6)::int END,
       CASE WHEN random() < 0.08 THEN 'D' ELSE 'U' END,
       CASE WHEN random() < 0.5 THEN chr(97 + floor(random() * 4)::int) END,
       CASE WHEN random() < 0.85 THEN some_patch(0) END
FROM generate_series(1, 20000) n;

CREATE VIEW facts AS
SELECT n, key, coalesce(at::bigint, -3000000000) AS moment, name, doc FROM (
    SELECT h.*, max(coalesce(at::bigint, -3000000000)) FILTER (WHERE op = 'D') OVER (PARTITION BY key) AS deleted FROM history h) x
WHERE op <> 'D' AND (deleted IS NULL OR coalesce(at::bigint, -3000000000) > deleted);

-- one patch after the other
CREATE AGGREGATE patched(jsonb) (SFUNC = sluice.jsonb_merge_patch, STYPE = jsonb);
CREATE VIEW in_order AS SELECT key, patched(doc ORDER BY moment) AS doc FROM facts GROUP BY key;

-- place by place: when was it last an object, when and to what was it last set; what was set later around it ends it
CREATE FUNCTION put(document jsonb, path text[], value jsonb) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN path = '{}' THEN value ELSE jsonb_set(document, path, value) END $$;
CREATE AGGREGATE built(path text[], value jsonb) (SFUNC = put, STYPE = jsonb);
CREATE TABLE oracle (key int PRIMARY KEY, name text COLLATE "C", doc jsonb, at int);
CREATE TABLE places (key int, path text[], object bigint, set bigint, value jsonb);
CREATE INDEX ON places (key, path);
CREATE PROCEDURE ask_oracle(clears bool) LANGUAGE sql AS $$
TRUNCATE oracle, places;
WITH RECURSIVE events AS (
    SELECT key, moment, '{}'::text[] AS path, coalesce(nullif(doc, CASE WHEN clears THEN 'null'::jsonb END), 'null') AS value,
           clears AND (doc IS NULL OR doc = 'null') AS removes FROM facts WHERE clears OR doc IS NOT NULL
    UNION ALL
    SELECT e.key, e.moment, e.path || m.key, m.value, jsonb_typeof(m.value) = 'null'
    FROM events e, jsonb_each(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value END) m
)
INSERT INTO places
SELECT key, path, max(moment) FILTER (WHERE jsonb_typeof(value) = 'object') AS object,
       max(moment) FILTER (WHERE jsonb_typeof(value) <> 'object') AS set,
       (array_agg(CASE WHEN NOT removes THEN value END ORDER BY moment DESC, removes, value DESC)
        FILTER (WHERE jsonb_typeof(value) <> 'object'))[1] AS value
FROM events GROUP BY key, path;
INSERT INTO oracle
SELECT k.key, k.name, d.doc, nullif(k.at, -3000000000) FROM
    (SELECT key, (array_agg(name ORDER BY moment DESC, name DESC NULLS LAST) FILTER (WHERE clears OR name IS NOT NULL))[1] AS name,
            max(moment) AS at FROM facts GROUP BY key) k
    LEFT JOIN (
    SELECT key, built(path, CASE WHEN is_object THEN '{}' ELSE value END ORDER BY cardinality(path)) AS doc FROM (
        SELECT p.*, is_object, (SELECT max(o.set) FROM places o, generate_series(0, cardinality(p.path) - 1) depth
                                WHERE o.key = p.key AND o.path = p.path[1:depth]) AS over
        FROM places p, LATERAL (SELECT coalesce(p.object >= coalesce(p.set, p.object), false) AS is_object) o) x
    WHERE (is_object OR value IS NOT NULL) AND (over IS NULL OR greatest(object, set) >= over)
    GROUP BY key) d USING (key);
$$;
CALL ask_oracle(false);
-- where no moments are the same both must agree
SELECT count(*) FILTER (WHERE o.doc IS DISTINCT FROM i.doc) AS differences, count(*) > 800 AS many,
       count(*) FILTER (WHERE o.doc::text LIKE '%: {%: {%') > 100 AS deep
FROM oracle o JOIN in_order i USING (key) WHERE key < 1000;

CREATE FUNCTION differences(target regclass, step int DEFAULT 1) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT * FROM oracle WHERE key %% %2$s = 0) o FULL JOIN %1$s t USING (key)
                    WHERE (o.name, o.doc, o.at) IS DISTINCT FROM (t.name, t.doc, t.at) OR o.key IS NULL OR t.key IS NULL',
                   target, step) INTO result;
    RETURN result;
END $$;
CREATE PROCEDURE arrive(source regclass, in_order text, parts int, part int, step int DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (key, at, op, name, doc) SELECT key, at, op, name, doc FROM
                    (SELECT h.*, row_number() OVER (ORDER BY %s) AS place FROM history h WHERE key %% %s = 0) x
                    WHERE place %% %s = %s - 1 ORDER BY place', source, in_order, step, parts, part);
END $$;
CREATE PROCEDURE make_source(name text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, op text,
                    name text COLLATE "C", doc jsonb)', name);
END $$;

-- in order, all at once
CALL make_source('s1');
SELECT sluice.create_merge('m1', 's1', 't1', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$);
CALL arrive('s1', 'n', 1, 1);
CALL sluice.run('m1');
SELECT differences('t1');

-- backwards, in batches of 7
CALL make_source('s2');
SELECT sluice.create_merge('m2', 's2', 't2', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, batch_size => 7);
CALL arrive('s2', 'n DESC', 1, 1, 10);
CALL sluice.run('m2');
SELECT differences('t2', 10);

-- shuffled, in five runs, in batches of 1,000
CALL make_source('s3');
SELECT sluice.create_merge('m3', 's3', 't3', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, batch_size => 1000);
CALL arrive('s3', 'md5(n::text)', 5, 1);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 2);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 3);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 4);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 5);
CALL sluice.run('m3');
SELECT differences('t3');

-- shuffled, one by one
CALL make_source('s4');
SELECT sluice.create_merge('m4', 's4', 't4', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, batch_size => 1);
CALL arrive('s4', 'md5(n::text || ''x'')', 1, 1, 10);
CALL sluice.run('m4');
SELECT differences('t4', 10);

-- the newest first, so that everything is late; by the executor; the same rows once more change nothing
CALL make_source('s5');
SELECT sluice.create_merge('m5', 's5', 't5', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, batch_size => 3000);
CALL arrive('s5', 'at DESC NULLS LAST, n', 1, 1);
SET sluice.test_by_query = on;
CALL sluice.run('m5');
RESET sluice.test_by_query;
SELECT differences('t5');
CALL arrive('s5', 'md5(n::text)', 1, 1);
CALL sluice.run('m5');
SELECT differences('t5');
SELECT inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'm5' ORDER BY run_id DESC LIMIT 1;

-- one row of a key in each batch, so that everything goes through the target
CALL make_source('s6');
SELECT sluice.create_merge('m6', 's6', 't6', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, batch_size => 2000);
CALL arrive('s6', 'n', 1, 1);
CALL sluice.run('m6');
SELECT differences('t6');

-- rows that must be rejected in between, so that batches are done carefully; a target that is there already
CREATE TABLE t7 (key int PRIMARY KEY, name text COLLATE "C" CHECK (name <> 'bad'), doc jsonb CHECK (doc <> '"bad"'), at int);
CALL make_source('s7');
SELECT sluice.create_merge('m7', 's7', 't7', '{key}', 'at', '{name,doc}', deep => '{doc}', delete_when => $$op = 'D'$$, on_error => 'reject');
INSERT INTO s7 (key, at, op, name, doc) SELECT key, 2147483647, 'U', 'bad', '{"a": {"never": "written"}}' FROM generate_series(0, 1990, 200) key;
CALL arrive('s7', 'md5(n::text)', 1, 1, 10);
INSERT INTO s7 (key, at, op, doc) SELECT key, 2147483647, 'U', '"bad"' FROM generate_series(100, 1990, 200) key;
CALL sluice.run('m7');
SELECT differences('t7', 10);
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'm7';

-- ---- nulls that clear, in columns and in documents

CALL ask_oracle(true);
CREATE FUNCTION patched_or_cleared(document jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT CASE WHEN patch IS NOT NULL THEN sluice.jsonb_merge_patch(document, patch) END $$;
CREATE AGGREGATE patched_or_cleared(jsonb) (SFUNC = patched_or_cleared, STYPE = jsonb);
SELECT count(*) FILTER (WHERE o.doc IS DISTINCT FROM i.doc) AS differences, count(*) > 800 AS many, count(*) FILTER (WHERE o.doc IS NULL) > 50 AS cleared
FROM oracle o JOIN (SELECT key, patched_or_cleared(nullif(doc, 'null') ORDER BY moment) AS doc FROM facts GROUP BY key) i USING (key) WHERE key < 1000;
CALL make_source('c1');
SELECT sluice.create_merge('c1', 'c1', 'tc1', '{key}', 'at', '{name,doc}', deep => '{doc}', nulls => 'clear', delete_when => $$op = 'D'$$);
CALL arrive('c1', 'md5(n::text)', 1, 1);
UPDATE c1 SET doc = NULL WHERE doc = 'null';
CALL sluice.run('c1');
SELECT differences('tc1');
CALL make_source('c2');
SELECT sluice.create_merge('c2', 'c2', 'tc2', '{key}', 'at', '{name,doc}', deep => '{doc}', nulls => 'clear', delete_when => $$op = 'D'$$, batch_size => 500);
CALL arrive('c2', 'md5(n::text)', 1, 1, 5);
UPDATE c2 SET doc = NULL WHERE doc = 'null';
CALL sluice.run('c2');
SELECT differences('tc2', 5);
CREATE TABLE c3 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, op text, document jsonb);
CREATE TABLE tc3 (key int PRIMARY KEY, at int, name text COLLATE "C", doc jsonb);
SELECT sluice.create_merge('c3', 'c3', 'tc3', '{key}', 'at', deep => '{doc}', document => 'document', delete_when => $$op = 'D'$$, batch_size => 2000);
INSERT INTO c3 (op, document) SELECT op, jsonb_build_object('key', key, 'at', at, 'name', name, 'doc', doc) FROM history ORDER BY md5(n::text);
CALL sluice.run('c3');
SELECT differences('tc3');

CALL make_source('s8');
SELECT sluice.create_merge('m8', 's8', 't8', '{key}', 'at', '{name,doc}', deep => '{doc}', nulls => 'clear', batch_size => 2);
INSERT INTO s8 (key, at, doc) VALUES
    (1, 2, NULL), (1, 1, '{"a": 1}'), (1, 3, '{"b": {"c": null}}'), (1, 2, '{"tie": 1}'), (1, 1, '{"late": 1}'),
    (2, 1, '{"a": 1}'), (2, 3, NULL), (2, 2, '{"late": 1}'), (2, 3, '{"tie": 1}'),
    (3, 2, '{"a": 1}'), (3, 1, '{"late": 1}'), (3, 3, NULL), (3, 2, '{"late": 2}'),
    (4, 1, NULL), (4, 0, '{"late": 1}');
CALL sluice.run('m8');
SELECT key, at, doc FROM t8 ORDER BY key;

CREATE TABLE s9 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE t9 (id int PRIMARY KEY, at int, name text, data jsonb, more jsonb);
SELECT sluice.create_merge('m9', 's9', 't9', '{id}', 'at', deep => '{data, more}', document => 'doc', batch_size => 3);
INSERT INTO s9 (doc) VALUES
    ('{"id": 1, "at": 5, "data": {"a": {"x": 1}, "b": 2}}'),
    ('{"id": 1, "at": 3, "data": {"a": {"x": 0, "y": 3}, "c": 3}, "more": {"m": 1}}'),
    ('{"id": 1, "at": 2, "data": null, "more": null}'),
    ('{"id": 1, "at": 1, "data": {"late": 1}, "more": {"late": 1}, "name": "n"}'),
    ('{"id": 1, "at": 4, "data": {"a": {"y": null}}}'),
    ('{"id": 2, "at": 2, "data": [1], "more": {"m": null}}'),
    ('{"id": 2, "at": 3, "data": null}'),
    ('{"id": 2, "at": 1, "data": {"late": 1}, "more": {"m": {"late": 1}, "n": 1}}'),
    ('{"id": 3, "at": 1, "name": "none"}');
CALL sluice.run('m9');
SELECT * FROM t9 ORDER BY id;

-- ---- keys that wait

CREATE TABLE s10 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, name text, doc jsonb);
CREATE TABLE t10 (key int PRIMARY KEY, name text NOT NULL, doc jsonb NOT NULL, at int);
SELECT sluice.create_merge('m10', 's10', 't10', '{key}', 'at', '{name,doc}', deep => '{doc}');
INSERT INTO s10 (key, at, doc) VALUES (1, 3, '{"a": {"x": null, "y": "\"é\\"}}'), (1, 5, '{"b": 1.50}');
INSERT INTO s10 (key, at, name) VALUES (2, 1, 'two');
CALL sluice.run('m10');
SELECT format('SELECT count(*) FROM t10 UNION ALL SELECT count(*) FROM sluice.merge_%s WHERE sluice_waiting IS NOT NULL', pipeline_id) AS written_and_waiting
FROM sluice.pipeline WHERE name = 'm10' \gset
:written_and_waiting;
INSERT INTO s10 (key, at, doc) VALUES (1, 2, '{"a": {"x": 1, "z": 2}, "b": 0}'), (1, 4, '{"a": {"y": null}}');
CALL sluice.run('m10');
:written_and_waiting;
INSERT INTO s10 (key, at, name, doc) VALUES (1, 1, 'one', '{"a": {"x": 0, "y": 0, "z": 0, "w": 0}}'), (2, 0, NULL, '{}');
CALL sluice.run('m10');
:written_and_waiting;
SELECT * FROM t10 ORDER BY key;

-- ---- rows that were there before, and changes by hand

CREATE TABLE s11 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, doc jsonb);
CREATE TABLE t11 (key int PRIMARY KEY, doc jsonb, at int);
INSERT INTO t11 VALUES (1, '{"old": 1, "both": 1, "null": null}', 10), (2, '"text"', 10);
SELECT sluice.create_merge('m11', 's11', 't11', '{key}', 'at', '{doc}', deep => '{doc}');
INSERT INTO s11 (key, at, doc) VALUES (1, 9, '{"both": 0, "late": {"x": 1}}'), (1, 11, '{"new": 1}'), (2, 9, '{"late": 1}'), (2, 11, '{"new": 1}');
CALL sluice.run('m11');
SELECT * FROM t11 ORDER BY key;
UPDATE t11 SET doc = '{"old": {"by": "hand"}, "late": 5, "new": 1, "hand": true, "null": null}' WHERE key = 1;
INSERT INTO s11 (key, at, doc) VALUES (1, 8, '{"old": {"late": 1}, "late": {"y": 1}}'), (1, 12, '{"old": {"newer": 1}, "null": {}}');
CALL sluice.run('m11');
SELECT * FROM t11 ORDER BY key;
-- a row deleted by hand starts anew
DELETE FROM t11 WHERE key = 1;
INSERT INTO s11 (key, at, doc) VALUES (1, 3, '{"anew": 1}');
CALL sluice.run('m11');
SELECT * FROM t11 ORDER BY key;

-- ---- what is remembered: nothing where one patch made the document; else little

CREATE TABLE s12 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at timestamptz, doc jsonb);
SELECT sluice.create_merge('m12', 's12', 't12', '{key}', 'at', '{doc}', deep => '{doc}');
INSERT INTO s12 (key, at, doc)
SELECT key, '2024-01-01', jsonb_object_agg('member ' || i, jsonb_build_object('x', i, 'y', repeat('long ', 100)))
FROM generate_series(1, 3) key, generate_series(1, 100) i GROUP BY key;
CALL sluice.run('m12');
SELECT format('SELECT count(*), max(length(sluice_deep)) FROM sluice.merge_%s', pipeline_id) AS remembered
FROM sluice.pipeline WHERE name = 'm12' \gset
:remembered;
INSERT INTO s12 (key, at, doc) VALUES (1, '2024-01-02', '{"member 7": {"x": 0}}'), (2, '2024-01-02', '{"new": {"a": {"b": {"c": 1}}}}');
CALL sluice.run('m12');
:remembered;
SELECT key, doc #>> '{member 7,x}' AS x, length(doc #>> '{member 7,y}') AS y, (SELECT count(*) FROM jsonb_object_keys(doc)) FROM t12 ORDER BY key;

-- damaged times are an error, not a crash
SELECT format($$UPDATE sluice.merge_%s SET sluice_deep = substr(sluice_deep, 1, 5) WHERE key = 1$$, pipeline_id) AS damage
FROM sluice.pipeline WHERE name = 'm12' \gset
:damage;
INSERT INTO s12 (key, at, doc) VALUES (1, '2024-01-03', '{}');
\set VERBOSITY terse
CALL sluice.run('m12');
\set VERBOSITY default

-- ---- many members, many patches of one key in one batch

CREATE TABLE s13 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, doc jsonb);
SELECT sluice.create_merge('m13', 's13', 't13', '{key}', 'at', '{doc}', deep => '{doc}');
INSERT INTO s13 (key, at, doc) SELECT 1, i % 7, jsonb_build_object('m' || i * 7919 % 20000, jsonb_build_object('v', i)) FROM generate_series(1, 20000) i;
CALL sluice.run('m13');
SELECT count(*), sum((value ->> 'v')::int) FROM t13, jsonb_each(doc);

-- ---- limits

-- deeper than the stack allows
\set VERBOSITY terse
CREATE TABLE s14 (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, doc jsonb);
SELECT sluice.create_merge('m14', 's14', 't14', '{key}', 'at', '{doc}', deep => '{doc}', on_error => 'reject');
INSERT INTO s14 (key, at, doc) VALUES (1, 1, '{"fine": 1}'), (1, 2, (repeat('{"a":', 1500) || '1' || repeat('}', 1500))::jsonb),
    (1, 3, (repeat('{"a":', 1400) || '1' || repeat('}', 1400))::jsonb);
SET max_stack_depth = '2MB';
CALL sluice.run('m14');
SET max_stack_depth = '1MB';
INSERT INTO s14 (key, at, doc) SELECT key, at + 3, doc || '{"more": {}}' FROM s14;
CALL sluice.run('m14');
RESET max_stack_depth;
SELECT row_number() OVER (ORDER BY sqlstate) AS number, sqlstate, message FROM sluice.rejects WHERE pipeline = 'm14';
SELECT at, length(doc::text) FROM t14;
SELECT sluice.create_merge('bad', 's1', 't1', '{key}', 'at', '{name,doc}', deep => '{name}');
SELECT sluice.create_merge('bad', 's1', 't1', '{key}', 'at', '{name,doc}', deep => '{docs}');
SELECT sluice.create_merge('bad', 's1', 't1', '{key}', 'at', '{name,doc}', deep => '{doc}', rules => '{"doc": "first"}');
