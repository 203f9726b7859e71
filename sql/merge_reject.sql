-- Merge: rows that do not fit, as errors and as rejects; documents; what else one may do with a pipeline.
\set VERBOSITY default
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';

-- ---- stop: the error names the source row, the table, the column, the key

CREATE TABLE lands (code text PRIMARY KEY);
INSERT INTO lands VALUES ('ge'), ('am');
CREATE TYPE spot AS (x int, y int);
CREATE TABLE people (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at timestamptz, name text, age bigint, land text, mail text, spot spot, op text);
CREATE TABLE members (id smallint PRIMARY KEY, at timestamptz, name varchar(5), age int CHECK (age < 150), land text REFERENCES lands, mail text UNIQUE, spot spot CHECK ((spot).x > 0), need text NOT NULL DEFAULT 'x');
SELECT sluice.create_merge('stop', 'people', 'members', '{id}', 'at', delete_when => 'op = ''D''');
SELECT sluice.alter_pipeline('stop', max_failures => 0);
INSERT INTO people (id, at, name, age, land, mail) VALUES (1, '2024-01-01', 'one', 20, 'ge', 'a'), (2, '2024-01-01', 'two', 30, 'am', 'b');
CALL sluice.run('stop');
-- bad rows, one after the other, each beside a good one
SELECT format('INSERT INTO people (id, at, name, age, land, mail, spot) VALUES (%L, ''2024-02-01'', %L, %L, %L, %L, %L), (3, ''2024-02-01'', ''good'', NULL, NULL, NULL, NULL)', id, name, age, land, mail, spot),
       'CALL sluice.run(''stop'')', 'DELETE FROM people WHERE at = ''2024-02-01'''
FROM (VALUES (NULL, NULL, NULL, NULL, NULL, NULL), (100000, NULL, NULL, NULL, NULL, NULL), (1, 'too long', NULL, NULL, NULL, NULL), (1, NULL, 3000000000, NULL, NULL, NULL), (1, NULL, 150, NULL, NULL, NULL),
             (1, NULL, NULL, 'xx', NULL, NULL), (2, NULL, NULL, NULL, 'a', NULL), (1, NULL, NULL, NULL, NULL, '(0,1)')) v (id, name, age, land, mail, spot) \gexec
SELECT id, at, name FROM members ORDER BY id;

-- ---- reject: the bad rows are set aside, the others load

SELECT sluice.alter_pipeline('stop', on_error => 'reject');
TRUNCATE people;
INSERT INTO people (id, at, name, age, land, mail, spot) VALUES
    (NULL, '2024-03-01', 'none', NULL, NULL, NULL, NULL), (100000, '2024-03-01', 'big', NULL, NULL, NULL, NULL), (1, '2024-03-01', 'too long', 21, NULL, NULL, NULL), (1, '2024-03-02', NULL, 22, NULL, NULL, NULL),
    (1, '2024-03-03', NULL, 3000000000, NULL, NULL, NULL), (1, '2024-03-04', 'uno', 150, NULL, NULL, NULL), (1, '2024-03-05', 'eins', NULL, 'xx', NULL, NULL), (2, '2024-03-01', 'dos', NULL, NULL, 'a', NULL),
    (2, '2024-03-02', 'zwei', NULL, NULL, NULL, NULL), (1, '2024-03-07', NULL, NULL, 'am', NULL, (0, 5)), (4, '2024-03-01', 'four', 40, 'ge', 'd', (4, 4)), (5, '2024-03-01', 'five', 200, 'ge', 'e', NULL), (1, '2024-03-06', NULL, NULL, NULL, NULL, (6, NULL));
CALL sluice.run('stop');
SELECT * FROM members ORDER BY id;
SELECT document::json->>'id' AS id, document::json->>'at' AS at, sqlstate, message, detail FROM sluice.rejects WHERE pipeline = 'stop' ORDER BY (document::json->>'seq')::int;
SELECT source_row FROM sluice.reject ORDER BY reject_id LIMIT 1;
SELECT batches, source_rows, inserted, updated, rejected FROM sluice.runs WHERE pipeline = 'stop' ORDER BY run_id DESC LIMIT 1;
SELECT sluice.verify('stop');
-- what is rejected and what loads does not depend on the order of rows, as long as each row is good or bad by itself, nor on batches
CREATE TABLE members_2 (LIKE members INCLUDING ALL, FOREIGN KEY (land) REFERENCES lands);
CREATE TABLE members_1 (LIKE members INCLUDING ALL, FOREIGN KEY (land) REFERENCES lands);
INSERT INTO members_2 SELECT id, '2024-01-01', CASE id WHEN 1 THEN 'one' ELSE 'two' END, id * 10 + 10, CASE id WHEN 1 THEN 'ge' ELSE 'am' END, CASE id WHEN 1 THEN 'a' ELSE 'b' END FROM members WHERE id < 3;
INSERT INTO members_1 TABLE members_2;
CREATE TABLE people_back (LIKE people INCLUDING ALL);
INSERT INTO people_back (id, at, name, age, land, mail, spot) SELECT id, at, name, age, land, mail, spot FROM people ORDER BY seq DESC;
SELECT sluice.create_merge('back', 'people_back', 'members_2', '{id}', 'at', delete_when => 'op = ''D''', on_error => 'reject', batch_size => 4);
SELECT sluice.create_merge('single', 'people', 'members_1', '{id}', 'at', delete_when => 'op = ''D''', on_error => 'reject', batch_size => 1);
CALL sluice.run('back');
CALL sluice.run('single');
SELECT count(*) FROM (TABLE members UNION TABLE members_2 UNION TABLE members_1) x;
SELECT pipeline, count(*), count(DISTINCT document::jsonb - 'seq') AS documents FROM sluice.rejects GROUP BY pipeline ORDER BY pipeline;
SELECT count(DISTINCT document::jsonb - 'seq') AS documents FROM sluice.rejects;
-- retry: what fits now leaves the rejects, and is as new as it says
INSERT INTO lands VALUES ('xx');
ALTER TABLE members ALTER name TYPE varchar(8), ALTER age TYPE bigint, DROP CONSTRAINT members_age_check;
CALL sluice.retry('stop');
SELECT * FROM members ORDER BY id;
SELECT document::json->>'id' AS id, sqlstate, message FROM sluice.rejects WHERE pipeline = 'stop' ORDER BY (document::json->>'seq')::int;
SELECT status, source_rows, inserted, updated, rejected, retried FROM sluice.runs WHERE pipeline = 'stop' ORDER BY run_id DESC LIMIT 1;
CALL sluice.retry('stop');
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'stop';
-- deletes can be bad, too; their retry deletes
CREATE TABLE badges (member int REFERENCES members (id));
INSERT INTO badges VALUES (4), (5);
INSERT INTO people (id, at, op) VALUES (4, '2024-04-01', 'D'), (5, '2024-02-01', 'D'), (2, '2024-04-01', 'D');
CALL sluice.run('stop');
SELECT id FROM members ORDER BY id;
DELETE FROM badges;
CALL sluice.retry('stop');
SELECT id FROM members ORDER BY id;
-- max_rejects: the run stops, its batch rolls back
SELECT sluice.alter_pipeline('stop', max_rejects => 2);
INSERT INTO people (id, at, name) VALUES (7, '2024-01-01', 'seven'), (NULL, '2024-01-01', NULL), (NULL, '2024-01-02', NULL), (NULL, '2024-01-03', NULL);
CALL sluice.run('stop');
SELECT count(*) FROM members WHERE id = 7;
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'stop';
SELECT sluice.alter_pipeline('stop', max_rejects => 3);
CALL sluice.run('stop');
SELECT count(*) FROM members WHERE id = 7;
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'stop';
-- rows of all types come back as they were
CREATE TABLE odd (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at timestamptz, f float8, n numeric, b bytea, j json, jb jsonb, a text[], d date, i interval, s spot, t text, r tstzrange, whole xid8, s_ text, "S s" text);
ALTER TABLE odd RENAME s_ TO s2;
SELECT sluice.create_merge('odd', 'odd', 'evens', '{id}', 'at', on_error => 'reject');
ALTER TABLE evens ADD CHECK (t = 'fits');
INSERT INTO odd (id, at, f, n, b, j, jb, a, d, i, s, t, r, whole, s2, "S s")
VALUES (1, '2024-01-01 00:00:00.123456+00', 0.1::float8 + 0.2, 1.00, '\x00ff', '{"b": 1,  "a":"\u00e9"}', '{"a": 1.50}', '{a,NULL,"b \"c\""}', 'infinity', '1 mon -3 days 04:05:06.789', (1, NULL), E'a\n"b"\\', '[2024-01-01,)', '42', 's', NULL),
       (2, '-infinity', 'NaN', 'NaN', '', 'null', 'null', '[0:1]={1,2}', '-infinity', '0', NULL, '', 'empty', '0', '', 'x');
CALL sluice.run('odd');
SELECT count(*) FROM evens;
ALTER TABLE evens DROP CONSTRAINT evens_t_check;
CALL sluice.retry('odd');
SELECT count(*) AS rows, count(*) FILTER (WHERE (SELECT s.*::text FROM (SELECT o.id, o.at, o.f, o.n, o.b, o.j, o.jb, o.a, o.d, o.i, o.s, o.t, o.r, o.whole, o.s2, o."S s") s)
                                             = (SELECT s.*::text FROM (SELECT e.id, e.at, e.f, e.n, e.b, e.j, e.jb, e.a, e.d, e.i, e.s, e.t, e.r, e.whole, e.s2, e."S s") s)) AS same
FROM odd o JOIN evens e USING (id);
-- a source column that has the name of what the reader calls its rows
CREATE TABLE named_s (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, s text, j text, document text);
SELECT sluice.create_merge('named_s', 'named_s', 'named_t', '{id}', 'at', on_error => 'reject');
ALTER TABLE named_t ADD CHECK (s <> 'bad');
INSERT INTO named_s (id, at, s, j, document) VALUES (1, 1, 'good', 'j', 'd'), (2, 2, 'bad', 'j', 'd');
CALL sluice.run('named_s');
ALTER TABLE named_t DROP CONSTRAINT named_t_s_check;
-- and that has other columns by now
ALTER TABLE named_s DROP j, ADD later int;
CALL sluice.retry('named_s');
SELECT * FROM named_t ORDER BY id;
-- with a hash cursor rejects are known by the content of their rows, whichever way they were found
CREATE TABLE hashed (id int, at int, name text);
CREATE TABLE hashed_target (id int PRIMARY KEY, at int, name varchar(6) CHECK (name <> 'bad'));
SELECT sluice.create_merge('hashed', 'hashed', 'hashed_target', '{id}', 'at', cursor => 'hash', on_error => 'reject');
INSERT INTO hashed VALUES (1, 1, 'one'), (2, 2, 'bad'), (3, 3, 'too long'), (NULL, 4, 'none'), (2, 1, 'two');
CALL sluice.run('hashed');
SELECT * FROM hashed_target ORDER BY id;
SELECT document, hash = (SELECT decode(replace(sluice.content(ROW(h.id, h.at, h.name))::text, '-', ''), 'hex') FROM hashed h WHERE to_json(h)::jsonb = document::jsonb) AS by_content FROM sluice.rejects WHERE pipeline = 'hashed' ORDER BY 1;
SELECT sluice.verify('hashed'), sluice.pending('hashed');
CALL sluice.run('hashed');
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'hashed';

-- ---- documents

CREATE TYPE address AS (city text, flat int);
CREATE TABLE docs (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_at timestamptz DEFAULT '2024-01-01', doc jsonb);
CREATE TABLE clients (id int PRIMARY KEY, changed timestamptz, name text, age int, address address, tags text[], extra jsonb, serial int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (age * 2) STORED);
SELECT sluice.create_merge('docs', 'docs', 'clients', '{id}', 'changed', document => 'doc', delete_when => $$doc->>'op' = 'D'$$);
SELECT sluice.alter_pipeline('docs', max_failures => 0);
INSERT INTO docs (doc) VALUES
    ('{"id": 1, "changed": "2024-01-01", "name": "a", "age": 5, "address": {"city": "c", "flat": 1}, "tags": ["x"], "extra": {"k": null}, "unknown": 1}'),
    ('{"id": 1, "changed": "2024-01-02", "name": null, "address": {"flat": null}}'),
    ('{"id": 2, "changed": "2024-01-02", "address": null, "tags": null, "extra": null, "name": "b"}'),
    ('{"id": 2, "changed": "2024-01-01", "address": {"city": "late", "flat": 2}, "tags": ["late"], "age": 7}'),
    ('{"id": 3, "name": "no time"}'), ('{"id": 4, "changed": "2024-01-01", "name": "d"}'), ('{"id": 4, "changed": "2024-01-02", "op": "D"}'), (NULL);
CALL sluice.run('docs');
INSERT INTO docs (doc) VALUES ('{"id": 1, "changed": "2024-01-03", "address": {"city": "d"}, "age": null}'), ('{"id": 2, "changed": "2024-01-01 12:00", "address": {"city": "late", "flat": 2}, "name": "late"}'), ('{"id": 4, "changed": "2024-01-01 12:00", "name": "late"}'),
    ('{"id": 3, "changed": "2024-01-01", "age": 1}');
CALL sluice.run('docs');
SELECT * FROM clients ORDER BY id;
SELECT source_rows, inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'docs' ORDER BY run_id;
-- each kind of bad document
SELECT format('INSERT INTO docs (doc) VALUES (%L)', doc), 'CALL sluice.run(''docs'')', format('DELETE FROM docs WHERE doc = %L', doc)
FROM unnest(ARRAY['{"changed": "2024-01-01"}', '{"id": null}', '{"id": 1.5}', '{"id": 1, "changed": "yesterday noon"}', '{"id": 1, "age": "old"}', '{"id": 1, "address": "street"}', '{"id": 1, "address": {"flat": "x"}}',
                  '[1]', 'null', '"text"']) doc \gexec
-- text and json documents; the time from a column of the source; the hash cursor
CREATE TABLE texts (received_at timestamptz, doc text);
SELECT sluice.create_merge('texts', 'texts', 'clients', '{id}', 'received_at', document => 'doc', cursor => 'hash', on_error => 'reject');
INSERT INTO texts VALUES ('2024-01-01', '{"id": 10, "name": "a", "name": "last wins"}'), ('2024-01-02', '{"id": 10, "age": 1'), ('2024-01-03', '[]'), ('2024-01-04', '{"id": 10, "age": 12345678901234567890}'), ('2024-01-05', '{"id": 10, "extra": [1.50, 1e2]}'),
    ('2024-01-06', '{"id": 11, "changed": "2030-01-01"}'), ('2024-01-07', ''), ('2024-01-08', NULL), (NULL, '{"id": 11, "age": 7}'), ('2024-01-01', '{"id": 10, "name": "a", "name": "last wins"}');
CALL sluice.run('texts');
SELECT * FROM clients WHERE id >= 10 ORDER BY id;
-- what the reader of JSON says is its own business: where is ours
SELECT document::json->>'doc' AS doc, sqlstate, message, regexp_replace(detail::text, '(column \d+): [^"]*', '\1') AS detail FROM sluice.rejects WHERE pipeline = 'texts' ORDER BY document::json->>'received_at';
SELECT source_rows, duplicates, rejected FROM sluice.runs WHERE pipeline = 'texts';
CREATE TABLE jsons (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc json);
SELECT sluice.create_merge('jsons', 'jsons', 'clients', '{id}', '(doc->>''v'')::int', document => 'doc', columns => '{name,age}');
INSERT INTO jsons (doc) VALUES ('{"id": 20, "v": 2, "name": "two", "tags": ["not merged"]}'), ('{"id": 20, "v": 1, "name": "one", "age": 1}');
CALL sluice.run('jsons');
SELECT * FROM clients WHERE id = 20;

-- ---- what one may do with a pipeline

SELECT sluice.cursor_position('docs') IS NOT NULL AS has_position, sluice.pending('docs');
SELECT sluice.pause('docs');
INSERT INTO docs (doc) VALUES ('{"id": 30, "changed": "2024-01-01"}');
SET client_min_messages = notice;
CALL sluice.run('docs');
SET client_min_messages = warning;
SELECT sluice.resume('docs');
CALL sluice.run('docs');
SELECT count(*) FROM clients WHERE id = 30;
CALL sluice.rewind('docs', 0);
SELECT sluice.seek('docs', '{"cursor": "sequence", "order_value": 1}');
INSERT INTO docs (doc) VALUES ('{"id": 31, "changed": "2024-01-01"}');
SELECT sluice.seek('docs', jsonb_build_object('cursor', 'sequence', 'order_value', (SELECT max(seq) FROM docs)));
CALL sluice.run('docs');
SELECT count(*) FROM clients WHERE id = 31;
SELECT sluice.alter_pipeline('docs', mapping => '{}');
SELECT sluice.create_merge('docs', 'docs', 'clients', '{id}', 'changed', document => 'doc');
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'docs' \gset
SELECT count(*) > 0 AS remembers FROM :states;
SELECT sluice.drop_pipeline('docs');
SELECT to_regclass(:'states') AS states;
SELECT count(*) > 0 AS targets_stay FROM clients;
-- the state is the owner's: another role neither runs the pipeline nor reads it, and it goes where its owner goes
CREATE ROLE merge_ann;
CREATE ROLE merge_bob;
GRANT CREATE, USAGE ON SCHEMA public TO merge_ann, merge_bob;
GRANT SELECT ON people TO merge_ann, merge_bob;
SET ROLE merge_ann;
CREATE TABLE ann_members (id int PRIMARY KEY, at timestamptz, name text NOT NULL, age bigint);
SELECT sluice.create_merge('ann', 'people', 'ann_members', '{id}', 'at', '{name,age}', delete_when => 'op = ''D''', on_error => 'reject');
CALL sluice.run('ann');
SELECT pipeline, waiting_keys FROM sluice.status;
RESET ROLE;
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'ann' \gset
SELECT tableowner FROM pg_tables WHERE schemaname || '.' || tablename = :'states';
SET ROLE merge_bob;
CALL sluice.run('ann');
SELECT count(*) AS pipelines FROM sluice.status;
SELECT has_table_privilege(:'states', 'SELECT') AS may_read;
RESET ROLE;
REASSIGN OWNED BY merge_ann TO merge_bob;
SELECT tableowner FROM pg_tables WHERE schemaname || '.' || tablename = :'states';
INSERT INTO people (id, at, name) VALUES (9, '2024-01-01', 'nine'), (9, '2024-01-02', NULL);
SET ROLE merge_bob;
CALL sluice.run('ann');
SELECT id, name FROM ann_members WHERE id = 9;
SELECT sluice.drop_pipeline('ann');
RESET ROLE;
SELECT to_regclass(:'states') AS states;
-- rights that will be needed are missed when the pipeline is created
REVOKE ALL ON ann_members FROM merge_bob;
ALTER TABLE ann_members OWNER TO CURRENT_USER;
GRANT SELECT, INSERT, UPDATE ON ann_members TO merge_ann;
CREATE PROCEDURE try_rights() LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE merge_ann;
    PERFORM sluice.create_merge('ann', 'people', 'ann_members', '{id}', 'at', '{name}', delete_when => 'op = ''D''');
    RESET ROLE;
    RAISE WARNING 'created';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING '%', SQLERRM;
END $$;
CALL try_rights();
GRANT DELETE ON ann_members TO merge_ann;
REVOKE UPDATE ON ann_members FROM merge_ann;
CALL try_rights();
GRANT UPDATE (id, at) ON ann_members TO merge_ann;
CALL try_rights();
GRANT UPDATE (name) ON ann_members TO merge_ann;
REVOKE INSERT ON ann_members FROM merge_ann;
CALL try_rights();
GRANT INSERT (id, at, name) ON ann_members TO merge_ann;
REVOKE SELECT ON ann_members FROM merge_ann;
CALL try_rights();
GRANT SELECT (id, at, name) ON ann_members TO merge_ann;
REVOKE SELECT ON people FROM merge_ann;
CALL try_rights();
GRANT SELECT (seq, id, at, name, op) ON people TO merge_ann;
CALL try_rights();
DELETE FROM people WHERE id IS NULL;
SET ROLE merge_ann;
CALL sluice.run('ann');
RESET ROLE;
SELECT count(*) > 0 AS runs FROM ann_members;
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'ann' \gset
DROP OWNED BY merge_ann, merge_bob;
SELECT to_regclass(:'states') AS states, count(*) FROM sluice.status WHERE pipeline = 'ann';
DROP ROLE merge_ann, merge_bob;

-- ---- wrong arguments

SELECT sluice.create_merge('bad', 'docs', 'clients', '{id}', 'changed', document => 'received_at');
SELECT sluice.create_merge('bad', 'docs', 'clients', '{id}', 'changed', document => 'dok');
SELECT sluice.create_merge('bad', 'docs', 'missing', '{id}', 'changed', document => 'doc');
SELECT sluice.create_merge('bad', 'docs', 'clients', '{id}', 'name', document => 'doc');
SELECT sluice.create_merge('bad', 'docs', 'clients', '{id}', 'changed', document => 'doc', columns => '{nam}');
SELECT sluice.create_merge('bad', 'docs', 'clients', '{id}', 'changed', document => 'doc', columns => '{twice}');
CALL sluice.retry('bad');
-- its state is gone
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'jsons' \gset
DROP TABLE :states;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'jsons';
INSERT INTO jsons (doc) VALUES ('{"id": 20, "v": 3}');
CREATE PROCEDURE say(statement text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN -- without the pipeline's number
    RAISE WARNING '% %', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N');
END $$;
CALL say($$CALL sluice.run('jsons')$$);
SELECT sluice.drop_pipeline('jsons');
