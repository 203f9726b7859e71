-- Rejects: with on_error => 'reject' a document that does not fit goes to sluice.rejects with its reason, and the rest of its
-- batch loads. All rows of a document are there, or none.

SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SET client_min_messages = warning;
\pset footer off

-- what is wrong with a document is said beside it: "expected" is the SQLSTATE, null where it fits

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text, expected text);
-- rejected: the rejects, by the source's id, which all mappings here ask for first
CREATE VIEW rejected AS
    SELECT p.name AS pipeline, (r.source_columns[1][2])::bigint AS id, r.document, r.sqlstate, r.message, r.detail, r.run_id, r.tried_at FROM sluice.reject r JOIN sluice.pipeline p USING (pipeline_id);
-- judged: how many documents were loaded and rejected, and of how many that is wrong; a document's rows carry its id
CREATE FUNCTION judged(VARIADIC targets text[], OUT documents bigint, OUT loaded bigint, OUT rejected bigint, OUT wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE found (id bigint);
    FOR i IN 1..array_length(targets, 1) LOOP
        EXECUTE format('INSERT INTO found SELECT DISTINCT id FROM %s', targets[i]);
    END LOOP;
    SELECT count(*), count(*) FILTER (WHERE id IN (SELECT id FROM found)), count(*) FILTER (WHERE id IN (SELECT r.id FROM rejected r)),
           count(*) FILTER (WHERE (SELECT count(*) FROM found f WHERE f.id = s.id) <> CASE WHEN expected IS NULL AND doc IS NOT NULL THEN array_length(targets, 1) ELSE 0 END
                               OR (SELECT coalesce(string_agg(r.sqlstate, ' '), '') FROM rejected r WHERE r.id = s.id) <> coalesce(expected, ''))
    INTO documents, loaded, rejected, wrong FROM source s;
    DROP TABLE found;
END $$;

-- each kind of error that converting, NOT NULL and CHECK find, once: SQLSTATE, message and place

CREATE DOMAIN short AS text CHECK (length(VALUE) < 5);
CREATE DOMAIN present AS int NOT NULL;
CREATE TYPE color AS ENUM ('red', 'blue');
CREATE FUNCTION divide(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 60 / $1; END $$;
CREATE TABLE target (id bigint PRIMARY KEY, quantity int NOT NULL DEFAULT 0 CHECK (quantity < 100), name varchar(3), price numeric(10,2), day date, short short, present present,
    color color, part int, hourly int GENERATED ALWAYS AS (divide(part)) STORED, flags boolean[], at timestamptz, net inet, note text, extra jsonb,
    CONSTRAINT cheap CHECK (price < 1000 OR note IS NOT NULL));
CREATE TABLE child (id bigint NOT NULL REFERENCES target, place int, size smallint NOT NULL CHECK (size > 0), PRIMARY KEY (id, place));
\set mapping '{ "target": { "columns": { "id": "#source.id", "quantity": {"path": "$.quantity", "default": 1}, "name": "$.name", "price": "$.price", "day": {"path": "$.day", "format": "DD-MM-YYYY"}, "short": "$.short", "present": {"path": "$.present", "default": 1}, "color": "$.color", "part": {"path": "$.part", "default": 1}, "flags": "$.flags", "at": "$.at", "net": "$.net", "note": "$.note", "extra": "$.extra" } }, "child": { "parent": "target", "each": "$.box.sizes[*]", "columns": { "id": "parent.id", "place": "@index", "size": "@.size" } } }'
SELECT sluice.create_shred('errors', 'source', 'doc', :'mapping', on_error => 'reject');
INSERT INTO source (doc, expected) VALUES
    ('{"quantity": 3, "name": "pen", "box": {"sizes": [{"size": 1}, {"size": 2}]}}', NULL),
    ('{"quantity": 3, "name": "pen"', '22P02'),
    (E'{"quantity": 3,\n  "näme": "äöü", nonsense}', '22P02'),
    ('[1', '22P02'),
    ('{"quantity": 3} {}', '22P02'),
    ('{"quantity": 3000000000}', '22003'),
    ('{"quantity": 1.5}', '22003'),
    ('{"quantity": "many"}', '22P02'),
    ('{"quantity": {"pens": 3}}', '42804'),
    ('{"quantity": 100}', '23514'),
    ('{"name": "pencil"}', '22001'),
    ('{"price": 12.345}', '22003'),
    ('{"price": 1e10}', '22003'),
    ('{"price": 1e200000}', '22003'),
    ('{"price": 1000}', '23514'),
    ('{"day": "31-02-2020"}', '22008'),
    ('{"day": "2020-01-31"}', '22008'),
    ('{"day": "31-01-2020 noon"}', '22007'),
    ('{"short": "longer"}', '23514'),
    ('{"color": "green"}', '22P02'),
    ('{"part": 0}', '22012'),
    ('{"flags": [true, "perhaps"]}', '22P02'),
    ('{"flags": true}', '22P02'),
    ('{"at": "yesteryear"}', '22007'),
    ('{"at": "2020-13-01"}', '22008'),
    ('{"net": "10.0.0.256"}', '22P02'),
    ('{"note": "a\u0000b"}', '22P05'),
    ('{"extra": {"a\u0000b": 1}}', '22P05'),
    ('{"box": {"sizes": [{"size": 1}, {"size": 70000}]}}', '22003'),
    ('{"box": {"sizes": [{"size": 1}, {"size": 2}, {}]}}', '23502'),
    ('{"box": {"sizes": [{"size": 1}, {"size": 0}]}}', '23514'),
    ('{"box": {"sizes": [{"size": 1}, 7]}}', '23502'),
    ('{"box": {"sizes": {"size": 1}}}', '42804'),
    ('{"box": 5}', '42804'),
    ('{"box": {"sizes": [{"size": 1}, {"size": "' || repeat('long ', 500) || '"}]}}', '22P02'),
    ('{"box": {"sizes": null}}', NULL),
    ('{}', NULL),
    (NULL, NULL);
CALL sluice.run('errors');
\pset format unaligned
\pset fieldsep '\n    '
\pset tuples_only on
SELECT id || ' ' || left(document, 60), sqlstate || ': ' || left(message, 100), left(detail::text, 200) FROM rejected ORDER BY id;
\pset format aligned
\pset fieldsep '|'
\pset tuples_only off
-- those that fit are there, and nothing of the others; a null document is neither
SELECT * FROM judged('target');
SELECT * FROM child ORDER BY id, place;
SELECT status, batches, source_rows, inserted, rejected, retried, error FROM sluice.runs;
SELECT state, pending, rows_total, rejects FROM sluice.status;
SELECT * FROM sluice.verify('errors');
SELECT length(hash), count(*) FROM sluice.rejects GROUP BY 1;
-- a second run finds nothing
CALL sluice.run('errors');
SELECT count(*) FROM rejected;
SELECT sluice.drop_pipeline('errors');
SELECT count(*) FROM sluice.reject;

-- what only the rows can tell when they are written: unique and exclusion constraints, against the table and within a batch; rows
-- and index entries too big; foreign keys, at once and deferred; in the table's and in the children's rows

DROP TABLE target, child;
TRUNCATE source RESTART IDENTITY;
CREATE TABLE color_list (name text PRIMARY KEY);
INSERT INTO color_list VALUES ('red'), ('blue');
CREATE TABLE target (id bigint PRIMARY KEY, code int UNIQUE, span int4range, color text REFERENCES color_list, later text REFERENCES color_list DEFERRABLE INITIALLY DEFERRED, word text, big text, EXCLUDE USING gist (span WITH &&));
ALTER TABLE target ALTER big SET STORAGE PLAIN;
CREATE INDEX ON target (word);
CREATE TABLE child (id bigint REFERENCES target, code int UNIQUE, color text REFERENCES color_list);
INSERT INTO target (id, code, span) VALUES (-1, 10, '[10,20)');
INSERT INTO child (id, code) VALUES (-1, 1000);
\set mapping '{ "target": { "columns": { "id": "#source.id", "code": "$.code", "span": "$.span", "color": "$.color", "later": "$.later", "word": "$.word", "big": "$.big" } }, "child": { "parent": "target", "each": "$.children[*]", "columns": { "id": "parent.id", "code": "@.code", "color": "@.color" } } }'
INSERT INTO source (doc, expected) VALUES
    ('{"code": 1, "children": [{"code": 1001}, {"code": 1002}]}', NULL),
    ('{"code": 10}', '23505'),
    ('{"code": 2, "children": [{"code": 1003}, {"code": 1000}]}', '23505'),
    ('{"code": 3}', NULL),
    ('{"code": 3}', '23505'),
    ('{"code": 4, "children": [{"code": 1004}, {"code": 1004}]}', '23505'),
    ('{"code": 5, "children": [{"code": 1002}]}', '23505'),
    ('{"span": "[15,25)"}', '23P01'),
    ('{"span": "[30,40)"}', NULL),
    ('{"span": "[35,45)"}', '23P01'),
    ('{"span": "(,)"}', '23P01'),
    ('{"span": "[2,1)"}', '22000'),
    ('{"color": "red", "children": [{"color": "red"}, {"color": "blue"}]}', NULL),
    ('{"color": "green"}', '23503'),
    ('{"color": "red", "children": [{"color": "red"}, {"color": "green"}]}', '23503'),
    ('{"later": "green"}', '23503'),
    ('{"later": "blue"}', NULL),
    ('{"code": 7, "later": "green"}', '23503'),
    ('{"code": 7}', NULL),
    ('{"code": 8, "children": [{"code": 1008, "color": "green"}]}', '23503'),
    ('{"code": 8, "children": [{"code": 1008}]}', NULL);
INSERT INTO source (doc, expected) SELECT json_build_object('word', string_agg(md5(n::text), '')), '54000' FROM generate_series(1, 300) n;
INSERT INTO source (doc, expected) SELECT json_build_object('big', repeat('big', 3000)), '54000';
SELECT sluice.create_shred('writing', 'source', 'doc', :'mapping', on_error => 'reject');
CALL sluice.run('writing');
\pset format unaligned
\pset fieldsep '\n    '
\pset tuples_only on
SELECT id || ' ' || left(document, 60), sqlstate || ': ' || message, left(detail::text, 300) FROM rejected ORDER BY id;
\pset format aligned
\pset fieldsep '|'
\pset tuples_only off
SELECT * FROM judged('target');
SELECT id, doc, expected, (SELECT string_agg(sqlstate, ' ') FROM rejected r WHERE r.id = s.id) AS sqlstate, EXISTS (SELECT FROM target t WHERE t.id = s.id) AS loaded
FROM source s WHERE coalesce((SELECT string_agg(sqlstate, ' ') FROM rejected r WHERE r.id = s.id), '') <> coalesce(expected, '')
    OR (SELECT count(*) FROM target t WHERE t.id = s.id) <> (expected IS NULL AND doc IS NOT NULL)::int;
SELECT * FROM child ORDER BY code, color;
SELECT status, batches, source_rows, inserted, rejected, error FROM sluice.runs;
SELECT * FROM sluice.verify('writing');
SELECT sluice.drop_pipeline('writing');

-- the same rejects whatever the size of a batch, the cursor, the type of the documents, and the way in which rows are written

SELECT set_config('my.mapping', :'mapping', false) \g /dev/null
CREATE TABLE results (kind text, size int, query text, cursor text, documents bigint, loaded bigint, rejected bigint, wrong bigint, batches bigint);
CREATE PROCEDURE again(kind text, size int, by_query text, cursor text) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM child WHERE id > 0;
    DELETE FROM target WHERE id > 0;
    EXECUTE format('CREATE TABLE delivered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc %s, at xid8 NOT NULL DEFAULT pg_current_xact_id())', kind);
    EXECUTE format('INSERT INTO delivered (doc) SELECT doc::%s FROM source ORDER BY id', kind);
    PERFORM sluice.create_shred('again', 'delivered', 'doc', current_setting('my.mapping')::json, on_error => 'reject', batch_size => size,
                                cursor => again.cursor, duplicates => CASE cursor WHEN 'hash' THEN 'keep' END, order_by => CASE again.cursor WHEN 'snapshot' THEN 'at' ELSE 'id' END);
    COMMIT;
    PERFORM set_config('sluice.test_by_query', by_query, false);
    CALL sluice.run('again');
    PERFORM set_config('sluice.test_by_query', 'off', false);
    INSERT INTO results SELECT kind, size, by_query, cursor, j.*, r.batches FROM judged('target') j, sluice.runs r;
    PERFORM sluice.drop_pipeline('again');
    DROP TABLE delivered;
END $$;
CREATE PROCEDURE again_all() LANGUAGE plpgsql AS $$
DECLARE
    size int;
    query text;
    cursor text;
    kind text;
BEGIN
    FOREACH cursor IN ARRAY '{sequence, snapshot, hash}'::text[] LOOP
        FOREACH size IN ARRAY '{1, 7, 1000, 10000}'::int[] LOOP
            FOREACH query IN ARRAY '{off, on}'::text[] LOOP
                CALL again('jsonb', size, query, cursor);
            END LOOP;
        END LOOP;
    END LOOP;
    FOREACH kind IN ARRAY '{json, text}'::text[] LOOP CALL again(kind, 7, 'off', 'sequence'); END LOOP;
END $$;
CALL again_all();
SELECT kind, cursor, query, string_agg(size || ': ' || batches, ', ' ORDER BY size) AS batches, array_agg(DISTINCT documents) AS documents, array_agg(DISTINCT loaded) AS loaded, array_agg(DISTINCT rejected) AS rejected, sum(wrong) AS wrong
FROM results GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
DROP PROCEDURE again_all, again;
DROP TABLE target, child, color_list, results;

-- where code of the users decides: triggers of all kinds, policies, partitions, views; every seventh document is bad

TRUNCATE source RESTART IDENTITY;
INSERT INTO source (doc, expected) SELECT json_build_object('v', v, 'children', CASE WHEN n % 3 = 0 THEN json_build_array(v, 5) END), CASE WHEN v < 0 THEN 'some' END
FROM (SELECT n, CASE WHEN n % 7 = 0 THEN -n ELSE n END AS v FROM generate_series(1, 50) n) x;
CREATE TABLE results (number int GENERATED ALWAYS AS IDENTITY, what text, size int, rows bigint, loaded bigint, rejected bigint, wrong bigint, sqlstate text, message text, detail text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v < 0 THEN RAISE EXCEPTION 'not %', NEW.v USING ERRCODE = 'P0042', DETAIL = 'below zero', TABLE = 'here'; END IF; RETURN NEW; END $$;
CREATE FUNCTION refuse_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM new_rows WHERE v < 0) THEN RAISE EXCEPTION 'not these'; END IF; RETURN NULL; END $$;
CREATE ROLE sluice_reject_owner;
GRANT ALL ON SCHEMA public TO sluice_reject_owner;
GRANT ALL ON source TO sluice_reject_owner;
CREATE PROCEDURE refused_by(what text, expected text, ddl text, target text DEFAULT 'target') LANGUAGE plpgsql AS $$
DECLARE
    size int;
    context text;
    named text;
BEGIN
    UPDATE source SET expected = refused_by.expected WHERE source.expected IS NOT NULL;
    EXECUTE 'CREATE TABLE target (id bigint PRIMARY KEY, v int); CREATE TABLE child (id bigint REFERENCES target, v int); GRANT ALL ON target, child TO sluice_reject_owner';
    EXECUTE ddl;
    FOREACH size IN ARRAY '{1, 7, 1000}'::int[] LOOP
        SET LOCAL ROLE sluice_reject_owner;
        PERFORM sluice.create_shred('refused', 'source', 'doc', format('{"%s": {"columns": {"id": "#source.id", "v": "$.v"}}, "child": {"parent": "%1$s", "each": "$.children[*]", "columns": {"id": "parent.id", "v": "@"}}}', target)::json, on_error => 'reject', batch_size => size);
        RESET ROLE;
        COMMIT;
        CALL sluice.run('refused');
        INSERT INTO results (what, size, rows, loaded, rejected, wrong, sqlstate, message, detail)
        SELECT refused_by.what, size, r.inserted, j.loaded, j.rejected, j.wrong, e.sqlstate, e.message, e.detail FROM sluice.runs r, judged('target') j, (SELECT * FROM rejected ORDER BY id LIMIT 1) e;
        PERFORM sluice.drop_pipeline('refused');
        DELETE FROM child;
        DELETE FROM target;
    END LOOP;
    DROP TABLE target, child CASCADE;
END $$;
CALL refused_by('CHECK', '23514', 'ALTER TABLE target ADD CHECK (v > 0)');
CALL refused_by('CHECK of the child', '23514', 'ALTER TABLE child ADD CHECK (v > 0); UPDATE source SET doc = jsonb_set(doc::jsonb, ''{children}'', ''[1, -1]'') WHERE expected IS NOT NULL');
CALL refused_by('BEFORE trigger', 'P0042', 'CREATE TRIGGER t BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION refuse()');
CALL refused_by('BEFORE trigger of the child', 'P0042', 'CREATE TRIGGER t BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION refuse()');
CALL refused_by('AFTER trigger', 'P0042', 'CREATE TRIGGER t AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION refuse()');
CALL refused_by('AFTER trigger of the child', 'P0042', 'CREATE TRIGGER t AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION refuse()');
CALL refused_by('AFTER STATEMENT trigger', 'P0001', 'CREATE TRIGGER t AFTER INSERT ON target REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION refuse_all()');
CALL refused_by('deferred constraint trigger', 'P0042', 'CREATE CONSTRAINT TRIGGER t AFTER INSERT ON target DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()');
CALL refused_by('policy', '42501', 'ALTER TABLE target ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON target TO sluice_reject_owner USING (true) WITH CHECK (v > 0)');
CALL refused_by('restrictive policy of the child', '42501', 'ALTER TABLE child ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON child TO sluice_reject_owner USING (true); CREATE POLICY r ON child AS RESTRICTIVE TO sluice_reject_owner WITH CHECK (v > 0)');
CALL refused_by('no partition', '23514', 'DROP TABLE child, target; CREATE TABLE target (id bigint, v int) PARTITION BY RANGE (v); CREATE TABLE target_1 PARTITION OF target FOR VALUES FROM (0) TO (20); CREATE TABLE target_2 PARTITION OF target FOR VALUES FROM (20) TO (1000); CREATE TABLE child (id bigint, v int); GRANT ALL ON target, child TO sluice_reject_owner');
CALL refused_by('partition''s own CHECK', '23514', 'DROP TABLE child, target; CREATE TABLE target (id bigint, v int) PARTITION BY RANGE (v); CREATE TABLE target_1 PARTITION OF target FOR VALUES FROM (-1000) TO (20); CREATE TABLE target_2 PARTITION OF target DEFAULT; ALTER TABLE target_1 ADD CHECK (v > 0); CREATE TABLE child (id bigint, v int); GRANT ALL ON target, child TO sluice_reject_owner');
CALL refused_by('view WITH CHECK OPTION', '44000', 'CREATE VIEW above AS SELECT id, v FROM target WHERE v > 0 WITH CHECK OPTION; GRANT ALL ON above TO sluice_reject_owner; ALTER TABLE child DROP CONSTRAINT child_id_fkey', 'above');
CALL refused_by('INSTEAD OF trigger', 'P0042', 'CREATE VIEW above AS SELECT id, v FROM target; CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS ''BEGIN IF NEW.v < 0 THEN RAISE EXCEPTION $m$not %$m$, NEW.v USING ERRCODE = $m$P0042$m$; END IF; INSERT INTO target VALUES (NEW.*); RETURN NEW; END''; CREATE TRIGGER t INSTEAD OF INSERT ON above FOR EACH ROW EXECUTE FUNCTION instead(); GRANT ALL ON above TO sluice_reject_owner; ALTER TABLE child DROP CONSTRAINT child_id_fkey', 'above');
SELECT what, string_agg(size || ': ' || rows || '/' || loaded || '/' || rejected || '/' || wrong, ', ' ORDER BY size) AS "size: rows/loaded/rejected/wrong" FROM results GROUP BY what ORDER BY min(number);
\pset format unaligned
\pset fieldsep '\n    '
\pset tuples_only on
SELECT DISTINCT ON (what) what || ', ' || size, sqlstate || ': ' || message, detail FROM results ORDER BY what, size DESC;
\pset format aligned
\pset fieldsep '|'
\pset tuples_only off
DROP TABLE results;
DROP PROCEDURE refused_by;

-- thousands of child rows of which the last is bad, written in between or not: nothing of the document stays

TRUNCATE source RESTART IDENTITY;
CREATE TABLE target (id bigint PRIMARY KEY, v int);
CREATE TABLE child (id bigint REFERENCES target, place int, v int CHECK (v <> 13), u int UNIQUE);
INSERT INTO source (doc, expected) SELECT format('{"v": %s, "children": [%s]}', n, string_agg(CASE WHEN place = 30000 AND n % 3 = 2 THEN 'null, {"v": 13}' WHEN place = 30000 AND n = 6 THEN '{"u": 1}' ELSE format('{"v": %s}', place + 20) END, ', ' ORDER BY place)),
    CASE WHEN n % 3 = 2 THEN '23514' WHEN n = 6 THEN '23505' END
FROM generate_series(1, 8) n, generate_series(1, 30000) place GROUP BY n ORDER BY n;
INSERT INTO child (u) VALUES (1);
SELECT sluice.create_shred('large', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "v": "$.v"}}, "child": {"parent": "target", "each": "$.children[*]", "columns": {"id": "parent.id", "place": "@index", "v": "@.v", "u": "@.u"}}}', on_error => 'reject');
CALL sluice.run('large');
SELECT id, sqlstate, detail->>'path' AS path FROM rejected ORDER BY id;
SELECT * FROM judged('target', 'child');
SELECT id, count(*), count(DISTINCT place) FROM child GROUP BY id ORDER BY id;
DELETE FROM child WHERE id > 0;
DELETE FROM target;
SELECT sluice.drop_pipeline('large');
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER pass BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION pass();
SELECT sluice.create_shred('large', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "v": "$.v"}}, "child": {"parent": "target", "each": "$.children[*]", "columns": {"id": "parent.id", "place": "@index", "v": "@.v", "u": "@.u"}}}', on_error => 'reject');
CALL sluice.run('large');
SELECT id, sqlstate, detail->>'path' AS path FROM rejected ORDER BY id;
SELECT * FROM judged('target', 'child');
SELECT id, count(*), count(DISTINCT place) FROM child GROUP BY id ORDER BY id;
SELECT sluice.drop_pipeline('large');
DROP TABLE target, child;

-- retry: what fits now leaves, the rest stays with its new reason; by then the source may be gone, so its columns are kept, exactly

TRUNCATE source RESTART IDENTITY;
CREATE TABLE wide (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, at timestamptz, span interval, list text[], price float8, color color, raw bytea, day date, nothing int, "Odd name" numeric[]);
CREATE TABLE target (id bigint, v smallint, at timestamptz, span interval, list text[], price float8, color color, raw bytea, day date, nothing int, odd numeric[], hash bytea);
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -5;
SET datestyle = 'German';
SET timezone = 'Asia/Kathmandu';
SELECT sluice.create_shred('retried', 'wide', 'doc', '{"target": {"columns": {"id": "#source.id", "v": "$.v", "at": "#source.at", "span": "#source.span", "list": "#source.list", "price": "#source.price", "color": "#source.color", "raw": "#source.raw", "day": "#source.day", "nothing": "#source.nothing", "odd": "#source.Odd name", "hash": "#hash"}}}', on_error => 'reject');
INSERT INTO wide (doc, at, span, list, price, color, raw, day, "Odd name") VALUES
    ('{"v": 1}', '2020-01-31 12:00:00.123456+05:45', '-1 year -2 mons +3 days -04:05:06.7', '{"a,b", "NULL", NULL, "", "\"{"}', 0.1::float8 + 0.2, 'red', '\x00ff5c27', '0044-03-15 BC', '{1.00, NaN, -0.0}'),
    ('{"v": 100000}', '2020-01-31 12:00:00.123456+05:45', '-1 year -2 mons +3 days -04:05:06.7', '{"a,b", "NULL", NULL, "", "\"{"}', 0.1::float8 + 0.2, 'red', '\x00ff5c27', '0044-03-15 BC', '{1.00, NaN, -0.0}'),
    ('{"v": "x"}', 'infinity', '178000000 years', '[2:3]={a,b}', 'NaN', 'blue', '', '-infinity', '{{1},{2}}'),
    ('{"v": "999999999999"}', NULL, NULL, NULL, '-Infinity', NULL, NULL, NULL, NULL);
CALL sluice.run('retried');
SELECT id, sqlstate FROM rejected;
CREATE TABLE kept AS TABLE wide;
TRUNCATE wide;
RESET datestyle;
SET timezone = 'UTC';
RESET intervalstyle;
RESET extra_float_digits;
-- nothing has changed
CALL sluice.retry('retried');
SELECT id, sqlstate, tried_at IS NOT NULL AS tried FROM rejected;
ALTER TABLE target ALTER v TYPE int;
CALL sluice.retry('retried');
SELECT id, sqlstate, message FROM rejected;
ALTER TABLE target ALTER v TYPE text;
CALL sluice.retry('retried');
SELECT count(*) FROM rejected;
SELECT t.id, t.v = (k.doc->>'v') AS v, t.at IS NOT DISTINCT FROM k.at AS at, t.span IS NOT DISTINCT FROM k.span AS span, t.list IS NOT DISTINCT FROM k.list AS list, t.price IS NOT DISTINCT FROM k.price AS price, t.color IS NOT DISTINCT FROM k.color AS color,
    t.raw IS NOT DISTINCT FROM k.raw AS raw, t.day IS NOT DISTINCT FROM k.day AS day, t.odd::text IS NOT DISTINCT FROM k."Odd name"::text AS odd, t.hash = sluice.document_hash(k.doc) AS hash FROM target t JOIN kept k USING (id) ORDER BY id;
SELECT status, source_rows, inserted, rejected, retried FROM sluice.runs ORDER BY run_id;
SELECT * FROM sluice.verify('retried');
SELECT sluice.drop_pipeline('retried');
DROP TABLE target, wide, kept;
SET datestyle = 'ISO, MDY';

-- retry after the mapping is mended; within a transaction block it is undone with it; other pipelines' rejects stay

CREATE TABLE target (id bigint PRIMARY KEY, v int, day date);
\set mapping '{"target": {"columns": {"id": "#source.id", "v": "$.v", "day": "$.day"}}}'
SELECT sluice.create_shred('one', 'source', 'doc', :'mapping', on_error => 'reject');
CREATE TABLE other (id bigint, v int);
SELECT sluice.create_shred('other', 'source', 'doc', '{"other": {"columns": {"id": "#source.id", "v": "$.v"}}}', on_error => 'reject');
INSERT INTO source (doc) VALUES ('{"v": 1, "day": "2020-01-31"}'), ('{"v": 2, "day": "31.01.2020"}'), ('{"v": "three", "day": "31.01.2020"}'), ('{"v": "four"}'), ('{');
CALL sluice.run('one');
CALL sluice.run('other');
SELECT pipeline, id, sqlstate FROM rejected ORDER BY 1, 2;
SELECT sluice.alter_pipeline('one', mapping => '{"target": {"columns": {"id": "#source.id", "v": {"path": "$.v", "null_if": ["four"]}, "day": {"path": "$.day", "format": "DD.MM.YYYY"}}}}');
BEGIN;
CALL sluice.retry('one');
SELECT pipeline, id, sqlstate, message FROM rejected ORDER BY 1, 2;
SELECT * FROM target ORDER BY id;
ROLLBACK;
SELECT pipeline, id, sqlstate FROM rejected ORDER BY 1, 2;
CALL sluice.retry('one');
SELECT pipeline, id, sqlstate FROM rejected ORDER BY 1, 2;
SELECT * FROM target ORDER BY id;
-- the mapping asks for the columns in another order, and for one that was not kept: it is null
ALTER TABLE target ALTER v TYPE text, ADD expected text;
SELECT sluice.alter_pipeline('one', mapping => '{"target": {"columns": {"expected": "#source.expected", "v": "$.v", "id": "#source.id"}}}');
CALL sluice.retry('one');
SELECT pipeline, id, sqlstate FROM rejected ORDER BY 1, 2;
SELECT * FROM target ORDER BY id;
-- new rows are not read by a retry, and a retry that finds nothing leaves the run's row
INSERT INTO source (doc) VALUES ('{"v": 6}');
CALL sluice.retry('one');
SELECT sluice.pending('one');
SELECT pipeline, status, source_rows, inserted, rejected, retried FROM sluice.runs ORDER BY run_id;
CALL sluice.retry('nobody');
CALL sluice.retry(NULL);
-- a pipeline that is told to stop keeps its rejects and may retry them
SELECT sluice.alter_pipeline('other', on_error => 'stop');
CALL sluice.retry('other');
SELECT pipeline, id, sqlstate FROM rejected ORDER BY 1, 2;
UPDATE source SET doc = '{"v": "bad"}' WHERE id = 6;
CALL sluice.run('other');
SELECT pipeline, status, source_rows, inserted, rejected, retried, error IS NOT NULL AS has_error FROM sluice.runs ORDER BY run_id DESC LIMIT 2;
SELECT sluice.drop_pipeline('one');
SELECT sluice.drop_pipeline('other');
SELECT count(*) FROM sluice.reject;
DROP TABLE other;

-- max_rejects: a run that would pass it stops; its batch rolls back, those before it stay

TRUNCATE source, target RESTART IDENTITY;
ALTER TABLE target ALTER v TYPE int USING v::int;
INSERT INTO source (doc) SELECT format('{"v": %s}', CASE WHEN n % 10 = 0 THEN '"x"' ELSE n::text END) FROM generate_series(1, 50) n;
SELECT sluice.create_shred('most', 'source', 'doc', :'mapping', on_error => 'reject', max_rejects => 0, batch_size => 15);
CALL sluice.run('most');
SELECT count(*), count(DISTINCT v) FROM target;
SELECT count(*) FROM rejected;
SELECT sluice.alter_pipeline('most', max_rejects => 3);
CALL sluice.run('most');
SELECT count(*), max(id) FROM target;
SELECT array_agg(id ORDER BY id) FROM rejected;
SELECT status, batches, source_rows, inserted, rejected, error FROM sluice.runs ORDER BY run_id;
-- each run counts anew
CALL sluice.run('most');
SELECT count(*), max(id) FROM target;
SELECT array_agg(id ORDER BY id) FROM rejected;
-- retry is not limited
CALL sluice.retry('most');
BEGIN;
SELECT sluice.alter_pipeline('most', max_rejects => 0);
INSERT INTO source (doc) VALUES ('{"v": "x"}');
SAVEPOINT s;
SELECT rejected FROM sluice.run_batch('most');
ROLLBACK TO s;
SELECT sluice.alter_pipeline('most', max_rejects => 1);
SELECT source_rows, inserted, rejected FROM sluice.run_batch('most');
ROLLBACK;
SELECT sluice.alter_pipeline('most', max_rejects => -1);
SELECT sluice.alter_pipeline('most', on_error => 'ignore');
SELECT sluice.create_shred('bad', 'source', 'doc', :'mapping', on_error => 'rejects');
SELECT sluice.create_shred('bad', 'source', 'doc', :'mapping', max_rejects => -1);
SELECT sluice.drop_pipeline('most');

-- what is no fault of a document is no reject: the run fails, and nothing of its batch stays

TRUNCATE source, target RESTART IDENTITY;
INSERT INTO source (doc) VALUES ('{"v": 1}'), ('{"v": "x"}'), ('{"v": 3}');
SELECT sluice.create_shred('faults', 'source', 'doc', :'mapping', on_error => 'reject');
SELECT sluice.alter_pipeline('faults', max_failures => 0);
CREATE PROCEDURE no_reject(what text) LANGUAGE plpgsql AS $$
BEGIN
    RAISE INFO '%: % rows, % rejects, %', what, (SELECT count(*) FROM target), (SELECT count(*) FROM rejected), (SELECT status FROM sluice.runs ORDER BY run_id DESC LIMIT 1);
END $$;
\set SHOW_CONTEXT never
SET sluice.test_fault = 'bad_alloc';
CALL sluice.run('faults');
CALL no_reject('out of memory');
SET sluice.test_fault = 'exception';
CALL sluice.run('faults');
CALL no_reject('a C++ exception');
RESET sluice.test_fault;
ALTER TABLE target RENAME TO renamed;
CALL sluice.run('faults');
ALTER TABLE renamed RENAME TO target;
CALL no_reject('missing table');
ALTER TABLE target RENAME v TO w;
CALL sluice.run('faults');
ALTER TABLE target RENAME w TO v;
CALL no_reject('missing column');
CREATE FUNCTION no_table() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM not_there; RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION no_table();
CALL sluice.run('faults');
DROP TRIGGER t ON target;
CALL no_reject('a trigger that misses a table');
CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NEW; END $$;
CREATE TRIGGER t AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION cancel();
CALL sluice.run('faults');
DROP TRIGGER t ON target;
CALL no_reject('cancel');
SET statement_timeout = 300;
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(10); RETURN NEW; END $$;
CREATE TRIGGER t AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION sleep();
CALL sluice.run('faults');
RESET statement_timeout;
DROP TRIGGER t ON target;
CALL no_reject('timeout');
CREATE FUNCTION read_secret() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM secret; RETURN NEW; END $$;
CREATE TABLE secret (v int);
ALTER TABLE target OWNER TO sluice_reject_owner;
GRANT SELECT ON source TO sluice_reject_owner;
SELECT sluice.drop_pipeline('faults');
SET ROLE sluice_reject_owner;
SELECT sluice.create_shred('faults', 'source', 'doc', :'mapping', on_error => 'reject');
RESET ROLE;
CREATE TRIGGER t AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION read_secret();
CALL sluice.run('faults');
DROP TRIGGER t ON target;
CALL no_reject('a trigger without a right');
ALTER TABLE target OWNER TO postgres;
CALL sluice.run('faults');
CALL no_reject('no right to insert');
GRANT INSERT (id, v, day), SELECT ON target TO sluice_reject_owner;
CALL sluice.run('faults');
CALL no_reject('at last');
\set SHOW_CONTEXT errors

-- strangers see nothing and may not retry

CREATE ROLE sluice_reject_stranger;
SET ROLE sluice_reject_stranger;
SELECT count(*) FROM sluice.rejects;
SELECT count(*) FROM sluice.reject;
CALL sluice.retry('faults');
SET ROLE sluice_reject_owner;
SELECT count(*) FROM sluice.rejects;
RESET ROLE;
DROP ROLE sluice_reject_stranger;
SELECT sluice.drop_pipeline('faults');

-- hash cursor: a rejected document that is delivered again is a duplicate; verify counts rejects apart, by each way of verifying

DROP TABLE source CASCADE;
DROP TABLE target;
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, at int);
CREATE TABLE target (v int, hash bytea, run bigint);
SELECT sluice.create_shred('hash', 'source', 'doc', '{"target": {"columns": {"v": "$.v", "hash": "#hash", "run": "#run"}}}', cursor => 'hash', order_by => 'at', on_error => 'reject');
INSERT INTO source (doc, at) VALUES ('{"v": 1}', 1), ('{"v": "x"}', 2), ('{"v": "y"}', NULL), ('{"v": 4}', 4);
CALL sluice.run('hash');
INSERT INTO source (doc, at) VALUES ('{"v": "x"}', 5), ('{"v": "x"}', NULL), ('{"v": 1}', 1), ('{"v": 8}', 0);
CALL sluice.run('hash');
SELECT v FROM target ORDER BY v;
SELECT document, sqlstate, hash = sluice.document_hash(document::jsonb) AS hash FROM sluice.rejects ORDER BY 1;
SELECT source_rows, inserted, rejected, duplicates FROM sluice.runs ORDER BY run_id;
SELECT *, (SELECT count(DISTINCT doc) FROM source) AS documents FROM sluice.verify('hash');
SELECT sluice.pending('hash');
-- within one batch, too
INSERT INTO source (doc, at) VALUES ('{"v": "z"}', 5), ('{"v": "z"}', NULL), ('{"v": 12}', 1), ('{"v": 12}', 0);
CALL sluice.run('hash');
SELECT source_rows, inserted, rejected, duplicates FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
SELECT * FROM sluice.verify('hash');
-- a rejected document that is mended in the source is a new one; its reject stays until it is retried or dropped
UPDATE source SET doc = '{"v": 2}' WHERE doc = '{"v": "x"}';
CALL sluice.run('hash');
SELECT v FROM target ORDER BY v;
SELECT count(*) FROM sluice.rejects;
SELECT * FROM sluice.verify('hash');
-- a row that is lost is missing, whatever was rejected
DELETE FROM target WHERE v = 4;
SELECT * FROM sluice.verify('hash');
INSERT INTO target SELECT 4, sluice.document_hash('{"v": 4}'), min(run_id) FROM sluice.runs;
-- retried documents belong to the run that loaded them
ALTER TABLE target ALTER v TYPE text;
CALL sluice.retry('hash');
SELECT v, dense_rank() OVER (ORDER BY run) AS run FROM target ORDER BY run, v;
SELECT * FROM sluice.verify('hash');
SELECT sluice.drop_pipeline('hash');

-- rewind: what the runs after rejected is no reject any more, and is read again

CREATE FUNCTION state() RETURNS text LANGUAGE sql AS $$
SELECT format('%s rows, %s rejects, verify %s, %s pending', (SELECT count(*) FROM target), (SELECT count(*) FROM sluice.rejects), (SELECT v FROM sluice.verify('rewound') v), sluice.pending('rewound')) $$;
CREATE PROCEDURE rewound(cursor text, order_by text) LANGUAGE plpgsql AS $$
DECLARE
    runs bigint[];
    counts text;
BEGIN
    TRUNCATE source, target RESTART IDENTITY;
    ALTER TABLE target ALTER v TYPE int USING v::int;
    PERFORM sluice.create_shred('rewound', 'source', 'doc', '{"target": {"columns": {"v": "$.v", "hash": "#hash", "run": "#run"}}}', cursor => rewound.cursor, order_by => rewound.order_by, on_error => 'reject');
    COMMIT;
    FOR n IN 1..3 LOOP
        INSERT INTO source (doc, at) SELECT json_build_object('v', CASE WHEN i % 4 = 0 THEN to_json('x' || i) ELSE to_json(i) END), i FROM generate_series(n * 10, n * 10 + 9) i;
        COMMIT;
        CALL sluice.run('rewound');
    END LOOP;
    SELECT array_agg(run_id ORDER BY run_id) INTO runs FROM sluice.runs;
    RAISE INFO '% at first: %', cursor, state();
    CALL sluice.rewind('rewound', runs[1]);
    RAISE INFO '% rewound: %', cursor, state();
    COMMIT;
    CALL sluice.run('rewound');
    RAISE INFO '% run again: %', cursor, state();
    -- what a retry loaded was read by an earlier run: going back to before the retry would lose it
    ALTER TABLE target ALTER v TYPE text;
    COMMIT;
    CALL sluice.retry('rewound');
    RAISE INFO '% retried: %', cursor, state();
    -- to before the retry
    BEGIN
        SELECT array_agg(run_id ORDER BY run_id) INTO runs FROM sluice.runs WHERE retried = 0;
        CALL sluice.rewind('rewound', runs[array_length(runs, 1)]);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS counts = PG_EXCEPTION_DETAIL;
        RAISE INFO '% not back: %', cursor, counts;
    END;
    PERFORM sluice.drop_pipeline('rewound');
    COMMIT;
END $$;
CALL rewound('sequence', NULL);
CALL rewound('hash', 'at');
ALTER TABLE source ADD stamp xid8 NOT NULL DEFAULT pg_current_xact_id();
CALL rewound('snapshot', 'stamp');

-- verify by a column of the source: rejects whose source row is gone hide nothing; nor do those of before the mapping had it

DROP TABLE source, target;
CREATE TABLE source (at timestamptz PRIMARY KEY, id bigint GENERATED ALWAYS AS IDENTITY, doc jsonb);
CREATE UNIQUE INDEX ON source (id);
CREATE TABLE target (v int, at timestamptz);
SELECT sluice.create_shred('verify', 'source', 'doc', '{"target": {"columns": {"v": "$.v"}}}', order_by => 'id', cursor => 'sequence', on_error => 'reject');
INSERT INTO source (at, doc) VALUES ('2020-01-31 12:00+01', '{"v": "old"}');
CALL sluice.run('verify');
SELECT sluice.alter_pipeline('verify', mapping => '{"target": {"columns": {"v": "$.v", "at": "#source.at"}}}');
SET datestyle = 'German';
INSERT INTO source (at, doc) SELECT timestamptz '2020-03-01 12:00+01' + i * interval '1 day', json_build_object('v', CASE WHEN i < 3 THEN to_json('x' || i) ELSE to_json(i) END) FROM generate_series(1, 7) i;
CALL sluice.run('verify');
SELECT * FROM sluice.verify('verify');
DELETE FROM source WHERE doc = '{"v": "x1"}';
DELETE FROM target WHERE v = 5;
SELECT * FROM sluice.verify('verify');
SELECT sluice.drop_pipeline('verify');
SET datestyle = 'ISO, MDY';

-- thousands of documents, each with one of these faults or none; which of them load is told by SQL

DROP TABLE source, target;
DROP VIEW rejected;
CREATE TABLE color_list (name text PRIMARY KEY);
INSERT INTO color_list VALUES ('red'), ('blue'), ('white');
CREATE TABLE faults (fault int PRIMARY KEY, expected text, name text, doc text);
INSERT INTO faults VALUES
    (1, '22P02', 'no JSON', '{"code": %s, "name": "n", '),
    (2, '22003', 'out of range', '{"code": %s, "name": "n", "size": 40000}'),
    (3, '22003', 'lossy', '{"code": %s, "name": "n", "price": 1.005}'),
    (4, '22008', 'no such day', '{"code": %s, "name": "n", "day": "30-02-2024"}'),
    (5, '22001', 'too long', '{"code": %s, "name": "much too long"}'),
    (6, '42804', 'each of a wrong kind', '{"code": %s, "name": "n", "items": {"a": 1}}'),
    (7, '23502', 'null in a child', '{"code": %s, "name": "n", "items": [{"v": 1}, {"v": 2}, {}]}'),
    (8, '23514', 'CHECK', '{"code": %s, "name": "n", "size": -1, "items": [{"v": 1}]}'),
    (9, '23503', 'foreign key', '{"code": %s, "name": "n", "color": "green", "items": [{"v": 5}]}'),
    (10, '23503', 'foreign key of a child', '{"code": %s, "name": "n", "items": [{"v": 1, "color": "red"}, {"v": 2, "color": "green"}]}'),
    (11, '23505', 'unique in a child', '{"code": %s, "name": "n", "items": [{"v": 3, "u": 1}, {"v": 4, "u": 1}]}'),
    (12, '22P05', 'NUL', '{"code": %s, "name": "\u0000"}');
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text, code int, name text, items int, fault int);
-- random(n, for what, below): the same in each run
CREATE FUNCTION random(n int, what text, below int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT ('x' || substr(md5(n || what), 1, 7))::bit(28)::int % below $$;
INSERT INTO source (doc, code, name, items, fault)
SELECT coalesce(format(f.doc, code), format('{"code": %s, "name": "%s", "size": %s, "price": 1.05, "day": "29-02-2024", "color": "red", "items": [%s]}', code, r.name, n,
           (SELECT string_agg(format('{"v": %s, "color": "blue"}', i), ', ') FROM generate_series(1, items) i))), code, r.name, items, f.fault
FROM generate_series(1, 2000) n CROSS JOIN LATERAL (SELECT random(n, 'code', 1600) AS code, 'n' || n AS name, random(n, 'items', 6) AS items, random(n, 'fault', 30) AS fault) r LEFT JOIN faults f USING (fault) ORDER BY n;
CREATE TABLE target (id bigint PRIMARY KEY, code int UNIQUE, name varchar(5) NOT NULL, size smallint CHECK (size >= 0), price numeric(8,2), day date, color text REFERENCES color_list);
CREATE TABLE child (code int REFERENCES target (code), place int, v int NOT NULL, u int UNIQUE, color text REFERENCES color_list, PRIMARY KEY (code, place));
CREATE FUNCTION mapping(id text, options text, child_options text) RETURNS json LANGUAGE sql AS $$
SELECT format('{"target": {%s "columns": {%s "code": "$.code", "name": "$.name", "size": "$.size", "price": "$.price", "day": {"path": "$.day", "format": "DD-MM-YYYY"}, "color": "$.color"}},
    "child": {"parent": "target", "each": "$.items[*]", %s "columns": {"code": "parent.code", "place": "@index", "v": "@.v", "u": "@.u", "color": "@.color"}}}', options, id, child_options)::json $$;
CREATE TABLE results (number int GENERATED ALWAYS AS IDENTITY, what text, size int, loaded bigint, rejected bigint, neither bigint, wrong bigint, child_rows bigint, wrong_children bigint, wrong_reason bigint);

-- append: the first of a code that has no fault of its own is loaded, the others are not unique

CREATE VIEW wanted AS
    SELECT s.id, s.code, s.name, s.items, CASE WHEN s.fault IN (SELECT fault FROM faults) THEN f.expected WHEN row_number() OVER (PARTITION BY code, f.fault IS NULL ORDER BY id) > 1 THEN '23505' END AS sqlstate
    FROM source s LEFT JOIN faults f USING (fault);
SELECT sqlstate, count(*) FROM wanted GROUP BY 1 ORDER BY 1;
CREATE PROCEDURE append_all(what text, sizes int[], by_query text DEFAULT 'off') LANGUAGE plpgsql AS $$
DECLARE
    size int;
BEGIN
    FOREACH size IN ARRAY sizes LOOP
        TRUNCATE target, child;
        PERFORM sluice.create_shred('random', 'source', 'doc', mapping('"id": "#source.id",', '', ''), on_error => 'reject', batch_size => size);
        COMMIT;
        PERFORM set_config('sluice.test_by_query', by_query, false);
        CALL sluice.run('random');
        PERFORM set_config('sluice.test_by_query', 'off', false);
        INSERT INTO results (what, size, loaded, rejected, neither, wrong, child_rows, wrong_children, wrong_reason) SELECT append_all.what, size,
            (SELECT count(*) FROM target), (SELECT count(*) FROM sluice.rejects),
            (SELECT count(*) FROM source s WHERE (SELECT count(*) FROM target t WHERE t.id = s.id) + (SELECT count(*) FROM rejected r WHERE r.id = s.id) <> 1),
            (SELECT count(*) FROM wanted w WHERE (w.sqlstate IS NULL) <> EXISTS (SELECT FROM target t WHERE t.id = w.id AND t.code = w.code AND t.name = w.name)),
            (SELECT count(*) FROM child),
            (SELECT count(*) FROM (SELECT code, count(*) FROM child GROUP BY code) c FULL JOIN (SELECT code, items FROM wanted WHERE sqlstate IS NULL AND items > 0) w USING (code) WHERE c.count IS DISTINCT FROM w.items),
            (SELECT count(*) FROM rejected r JOIN wanted w USING (id) WHERE r.sqlstate IS DISTINCT FROM w.sqlstate
                AND NOT (r.sqlstate = '23505' AND EXISTS (SELECT FROM wanted e WHERE e.code = w.code AND e.id < w.id AND e.sqlstate IS NULL)));
        PERFORM sluice.drop_pipeline('random');
        COMMIT;
    END LOOP;
END $$;
CREATE VIEW rejected AS SELECT (source_columns[1][2])::bigint AS id, sqlstate FROM sluice.reject;
CALL append_all('append', '{1, 7, 1000, 10000}');
CALL append_all('append by query', '{100, 10000}', 'on');
CREATE TRIGGER pass BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION pass();
CALL append_all('append, triggers', '{100, 10000}');
DROP TRIGGER pass ON child;

-- upsert and replace: of each code the last that has no fault is there, with its children; only what another one of its batch
-- replaced need not have been tried

CREATE VIEW faulty AS SELECT s.*, f.expected AS sqlstate FROM source s LEFT JOIN faults f USING (fault);
CREATE PROCEDURE upsert_all(what text, sizes int[], by_query text DEFAULT 'off') LANGUAGE plpgsql AS $$
DECLARE
    size int;
BEGIN
    FOREACH size IN ARRAY sizes LOOP
        TRUNCATE target, child;
        PERFORM sluice.create_shred('random', 'source', 'doc', mapping('"id": "#source.id",', '"key": "code",', '"mode": "replace",'), on_error => 'reject', batch_size => size);
        COMMIT;
        PERFORM set_config('sluice.test_by_query', by_query, false);
        CALL sluice.run('random');
        PERFORM set_config('sluice.test_by_query', 'off', false);
        INSERT INTO results (what, size, loaded, rejected, neither, wrong, child_rows, wrong_children, wrong_reason) SELECT upsert_all.what, size,
            (SELECT count(*) FROM target), NULL,
            (SELECT count(*) FROM faulty w WHERE (SELECT count(*) FROM rejected r WHERE r.id = w.id) <> (w.sqlstate IS NOT NULL)::int
                AND NOT (w.sqlstate LIKE '23%' AND EXISTS (SELECT FROM source l WHERE l.code = w.code AND l.id > w.id))),
            (SELECT count(*) FROM (SELECT DISTINCT ON (code) * FROM faulty WHERE sqlstate IS NULL ORDER BY code, id DESC) w FULL JOIN target t USING (code) WHERE w.id IS DISTINCT FROM t.id OR w.name IS DISTINCT FROM t.name),
            (SELECT count(*) FROM child),
            (SELECT count(*) FROM (SELECT code, count(*) FROM child GROUP BY code) c FULL JOIN (SELECT code, items FROM faulty JOIN target USING (id, code) WHERE items > 0) w USING (code) WHERE c.count IS DISTINCT FROM w.items),
            (SELECT count(*) FROM rejected r JOIN faulty w USING (id) WHERE r.sqlstate IS DISTINCT FROM w.sqlstate);
        PERFORM sluice.drop_pipeline('random');
        COMMIT;
    END LOOP;
END $$;
UPDATE source SET code = code % 400, doc = regexp_replace(doc, '"code": \d+', '"code": ' || code % 400);
CALL upsert_all('upsert', '{1, 7, 1000, 10000}');
CALL upsert_all('upsert by query', '{100, 10000}', 'on');
SELECT what, size, loaded, rejected, neither, wrong, child_rows, wrong_children, wrong_reason FROM results ORDER BY number;
DROP OWNED BY sluice_reject_owner;
DROP ROLE sluice_reject_owner;
