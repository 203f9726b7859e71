-- Checks: conditions over the source row and queries of one boolean. A false one stops the batch, or rejects the row.

SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SET client_min_messages = warning;
SET sluice.wait_for_writers = 0;
\pset footer off

CREATE TABLE stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, amount numeric, active boolean);
CREATE TABLE target (id bigint, name text, amount numeric);
\set mapping '{"target": {"columns": {"id": "#source.id", "name": "$.name", "amount": "$.amount"}}}'
-- tried runs a statement and tells its error
CREATE FUNCTION tried(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || message || CASE WHEN detail <> '' THEN E'\n' || detail ELSE '' END || CASE WHEN hint <> '' THEN E'\n' || hint ELSE '' END;
END $$;
-- create_stage makes pipeline p over stage with these checks
CREATE FUNCTION create_stage(checks text[], on_error text DEFAULT 'stop') RETURNS void LANGUAGE sql AS $$
    SELECT sluice.create_shred('p', source => 'stage', document => 'doc', on_error => on_error, checks => checks,
        mapping => '{"target": {"columns": {"id": "#source.id", "name": "$.name", "amount": "$.amount"}}}');
$$;

-- ---- A condition stops the batch

SELECT create_stage('{amount >= 0, doc ? ''name''}');
INSERT INTO stage (doc, amount) VALUES ('{"name": "a"}', 1), ('{"name": "b"}', NULL), (NULL, 3); -- null holds
CALL sluice.run('p');
SELECT id, name FROM target ORDER BY id;
INSERT INTO stage (doc, amount) VALUES ('{"name": "c"}', 4), ('{"name": "d"}', -5), ('{}', -6);
CALL sluice.run('p');
SELECT id, name FROM target ORDER BY id;
SELECT status, source_rows, error FROM sluice.runs ORDER BY run_id;
UPDATE stage SET amount = 5 WHERE amount = -5;
CALL sluice.run('p');
UPDATE stage SET amount = 6 WHERE amount = -6;
CALL sluice.run('p');
-- batches before it stay
CALL sluice.run('p', batch_size => 1);
SELECT id, name FROM target ORDER BY id;
SELECT sluice.pending('p');
-- without checks, as before
SELECT sluice.alter_pipeline('p', checks => NULL);
SELECT checks FROM sluice.pipeline;
SELECT sluice.alter_pipeline('p', checks => '{}');
SELECT checks FROM sluice.pipeline;
CALL sluice.run('p');
SELECT id, name FROM target ORDER BY id;
-- in a transaction block
SELECT sluice.alter_pipeline('p', checks => '{amount > 5}');
INSERT INTO stage (doc, amount) VALUES ('{"name": "e"}', 7);
BEGIN;
CALL sluice.run('p');
COMMIT;
INSERT INTO stage (doc, amount) VALUES ('{"name": "f"}', 5);
BEGIN;
CALL sluice.run('p');
ROLLBACK;
SELECT * FROM sluice.run_batch('p');
SELECT id, name FROM target WHERE id > 6 ORDER BY id;

-- ---- A condition rejects the row

SELECT sluice.alter_pipeline('p', on_error => 'reject', checks => '{amount > 5,active,doc IS NOT NULL}');
INSERT INTO stage (doc, amount, active) VALUES ('{"name": "g"}', 8, true), ('{"name": "h"}', 8, false), (NULL, 8, true), ('{"name": "i", "amount": "x"}', 8, true), ('{"name": "j"}', 1, false);
CALL sluice.run('p');
SELECT id, name FROM target WHERE id > 6 ORDER BY id;
SELECT source_row, document, sqlstate, message, detail FROM sluice.rejects ORDER BY source_row;
SELECT * FROM sluice.verify('p');
-- they are tried again by the conditions of that time, over what was kept of the row
CALL sluice.retry('p');
SELECT source_row, message FROM sluice.rejects ORDER BY source_row;
SELECT sluice.alter_pipeline('p', checks => '{amount > 1}');
CALL sluice.retry('p');
SELECT source_row, message FROM sluice.rejects ORDER BY source_row;
SELECT sluice.alter_pipeline('p', checks => '{}');
CALL sluice.retry('p');
SELECT source_row, message FROM sluice.rejects ORDER BY source_row;
SELECT id, name FROM target WHERE id > 6 ORDER BY id;
-- columns that were not kept are null
SELECT sluice.alter_pipeline('p', checks => '{amount > 100}', mapping => '{"target": {"columns": {"id": "#source.id", "name": "$.name", "amount": {"path": "$.amount", "null_if": ["x"]}}}}');
CALL sluice.retry('p');
SELECT source_row, message FROM sluice.rejects ORDER BY source_row;
-- max_rejects
SELECT sluice.alter_pipeline('p', max_rejects => 1);
INSERT INTO stage (doc, amount) VALUES ('{"name": "k"}', 1), ('{"name": "l"}', 2);
CALL sluice.run('p');
SELECT count(*) FROM sluice.rejects;
-- preview
SELECT * FROM sluice.preview('p');
SELECT sluice.drop_pipeline('p');

-- ---- Every cursor, every kind: what is loaded and rejected is what the condition says

CREATE TABLE many (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, k int, n int, at timestamp);
CREATE TABLE loaded (id bigint, k int);
CREATE TABLE merged (id bigint PRIMARY KEY, n int, at timestamp);
CREATE TABLE counted (k int UNIQUE, rows int, total bigint);
CREATE FUNCTION arrive(count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO many (doc, k, n, at)
    SELECT jsonb_build_object('i', i, 'k', i % 10), i % 10, i % 7 - 1, '2024-01-01'::timestamp + make_interval(secs => i) FROM generate_series(1, count) i;
$$;
-- judged compares the targets with what the condition n >= 0 leaves; wrong is to be 0
CREATE FUNCTION judged(kind text, OUT wrong bigint, OUT rejects bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO rejects FROM sluice.rejects r;
    wrong := abs(rejects - (SELECT count(*) FROM many WHERE n < 0)) + (SELECT count(*) FROM sluice.rejects r WHERE detail <> '{"check": "n >= 0"}');
    IF kind = 'shred' THEN
        wrong := wrong + (SELECT count(*) FROM (SELECT id FROM many WHERE n >= 0 OR n IS NULL) s FULL JOIN loaded t USING (id) WHERE s.id IS NULL OR t.id IS NULL);
    ELSIF kind = 'merge' THEN
        wrong := wrong + (SELECT count(*) FROM (SELECT id FROM many WHERE n >= 0 OR n IS NULL) s FULL JOIN merged t USING (id) WHERE s.id IS NULL OR t.id IS NULL);
    ELSE
        wrong := wrong + (SELECT count(*) FROM (SELECT k, count(*) AS rows, sum(n) AS total FROM many WHERE n >= 0 OR n IS NULL GROUP BY k) s FULL JOIN counted t USING (k)
                          WHERE s.rows IS DISTINCT FROM t.rows OR s.total IS DISTINCT FROM t.total);
    END IF;
    TRUNCATE loaded, merged, counted;
    PERFORM sluice.drop_pipeline('q');
END $$;
CREATE FUNCTION create_many(kind text, cursor text, order_by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF kind = 'shred' THEN
        PERFORM sluice.create_shred('q', 'many', 'doc', '{"loaded": {"columns": {"id": "#source.id", "k": "$.k"}}}', cursor => cursor, order_by => order_by, batch_size => 300, on_error => 'reject', checks => '{n >= 0}');
    ELSIF kind = 'merge' THEN
        PERFORM sluice.create_merge('q', 'many', 'merged', '{id}', 'at', cursor => cursor, order_by => order_by, batch_size => 300, on_error => 'reject', checks => '{n >= 0}');
    ELSE
        PERFORM sluice.create_facts('q', 'many', 'counted', '{"grain": {"k": "k"}, "measures": {"rows": {"count": "all"}, "total": "n"}}', cursor => cursor, order_by => order_by, batch_size => 300, on_error => 'reject', checks => '{n >= 0}');
    END IF;
END $$;
SELECT arrive(1000);
INSERT INTO many (doc, k, n, at) VALUES ('{"i": 0, "k": 1}', 1, NULL, '2024-01-01');

-- sequence
SELECT create_many('shred', 'sequence', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('shred');
SELECT create_many('merge', 'sequence', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('merge');
SELECT create_many('facts', 'sequence', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('facts');
-- hash, as the rows lie, in an order, by a compare; of equal documents the first alone is loaded
UPDATE many SET doc = doc || jsonb_build_object('id', id);
CREATE FUNCTION arrive_more(count int) RETURNS void LANGUAGE sql AS $$ SELECT arrive(count); UPDATE many SET doc = doc || jsonb_build_object('id', id) WHERE NOT doc ? 'id' $$;
SELECT create_many('shred', 'hash', NULL); CALL sluice.run('q'); SELECT arrive_more(100); CALL sluice.run('q'); SELECT * FROM judged('shred');
SELECT create_many('shred', 'hash', 'at'); CALL sluice.run('q'); SELECT arrive_more(100); CALL sluice.run('q'); SELECT * FROM judged('shred');
SELECT create_many('merge', 'hash', NULL); CALL sluice.run('q'); SELECT arrive_more(100); CALL sluice.run('q'); SELECT * FROM judged('merge');
SELECT create_many('facts', 'hash', 'at'); CALL sluice.run('q'); SELECT arrive_more(100); CALL sluice.run('q'); SELECT * FROM judged('facts');
-- hash, by the arrival index
SELECT sluice.add_arrival_index('many', 'doc');
SELECT create_many('shred', 'hash', 'at'); CALL sluice.run('q'); BEGIN; SELECT arrive_more(400); COMMIT; CALL sluice.run('q'); CALL sluice.run('q'); SELECT * FROM judged('shred');
DO $$ BEGIN EXECUTE format('DROP INDEX %s', (SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'many'::regclass AND indkey = '0')); END $$;
-- snapshot, and hash by the snapshot column
SELECT sluice.add_snapshot_column('many');
SELECT create_many('shred', 'snapshot', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('shred');
SELECT create_many('merge', 'snapshot', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('merge');
UPDATE many SET doc = doc || jsonb_build_object('id', id);
SELECT create_many('shred', 'hash', NULL); CALL sluice.run('q'); SELECT arrive_more(100); CALL sluice.run('q'); SELECT * FROM judged('shred');
SELECT create_many('facts', 'hash', NULL); CALL sluice.run('q'); SELECT arrive(100); CALL sluice.run('q'); SELECT * FROM judged('facts');
-- and a partitioned source, whose partitions have other columns before and after, by the arrival index
CREATE TABLE parted (doc jsonb, n int, at timestamp) PARTITION BY RANGE (n);
CREATE TABLE parted_low (extra text, n int, at timestamp, doc jsonb);
ALTER TABLE parted_low DROP extra;
ALTER TABLE parted ATTACH PARTITION parted_low FOR VALUES FROM (MINVALUE) TO (3);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (3) TO (MAXVALUE);
SELECT sluice.add_arrival_index('parted', 'doc');
SELECT sluice.create_shred('q', 'parted', 'doc', '{"loaded": {"columns": {"id": "$.i"}}}', on_error => 'reject', checks => ARRAY['n >= 0', 'n < 5', $$doc ->> 'i' <> '4'$$]);
CALL sluice.run('q');
INSERT INTO parted SELECT jsonb_build_object('i', i), i % 7 - 1, now() FROM generate_series(1, 14) i;
CALL sluice.run('q');
SELECT array_agg(id ORDER BY id) FROM loaded;
SELECT document, detail FROM sluice.rejects ORDER BY document COLLATE "C";
SELECT sluice.drop_pipeline('q');
TRUNCATE loaded;

-- a run that stops, by kind
\set VERBOSITY default
SELECT sluice.create_merge('q', 'many', 'merged', '{id}', 'at', cursor => 'sequence', checks => '{n >= 0}');
CALL sluice.run('q');
SELECT target, error FROM sluice.preview('q', 10);
SELECT sluice.drop_pipeline('q');
SELECT sluice.create_facts('q', 'many', 'counted', '{"grain": {"k": "k"}, "measures": {"rows": {"count": "all"}, "total": "n"}}', cursor => 'hash', order_by => 'at', checks => '{n < 5}');
-- (what a row is known by depends on the machine)
SELECT regexp_replace(tried($$CALL sluice.run('q')$$), 'hash = \w+', 'hash = ...');
SELECT target, regexp_replace(error, 'hash = \w+', 'hash = ...') AS error FROM sluice.preview('q', 10);
SELECT sluice.drop_pipeline('q');
SELECT (SELECT count(*) FROM merged) AS merged, (SELECT count(*) FROM counted) AS counted;

-- what is rejected by a condition and what does not fit for other reasons, in one batch; all of it loads in the end
ALTER TABLE merged ADD CONSTRAINT small CHECK (n < 5);
SELECT create_many('merge', 'sequence', NULL);
CALL sluice.run('q');
SELECT message, count(*) = (SELECT count(*) FROM many WHERE n = CASE WHEN message LIKE 'check%' THEN -1 ELSE 5 END) AS right FROM sluice.rejects GROUP BY message ORDER BY message;
CALL sluice.retry('q');
SELECT count(*) = (SELECT count(*) FROM many WHERE n NOT BETWEEN 0 AND 4) AS right FROM sluice.rejects;
ALTER TABLE merged DROP CONSTRAINT small;
SELECT sluice.alter_pipeline('q', checks => '{}');
CALL sluice.retry('q');
SELECT (SELECT count(*) FROM sluice.rejects) AS rejects, (SELECT count(*) FROM merged) = (SELECT count(*) FROM many) AS all;
SELECT sluice.drop_pipeline('q');
TRUNCATE merged;
SELECT create_many('shred', 'snapshot', NULL);
CALL sluice.run('q');
CALL sluice.retry('q');
SELECT count(*) = (SELECT count(*) FROM many WHERE n < 0) AS right FROM sluice.rejects;
SELECT sluice.alter_pipeline('q', checks => '{n < 5}');
CALL sluice.retry('q');
SELECT (SELECT count(*) FROM sluice.rejects) AS rejects, (SELECT count(*) FROM loaded) = (SELECT count(*) FROM many) AS all;
SELECT sluice.drop_pipeline('q');
TRUNCATE loaded;

-- documents as text that are none
CREATE TABLE texts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text, n int);
SELECT sluice.create_shred('q', 'texts', 'doc', '{"loaded": {"columns": {"id": "$.id"}}}', on_error => 'reject', checks => '{n > 0,length(doc) < 20}');
INSERT INTO texts (doc, n) VALUES ('{"id": 1}', 1), ('{"id": 2', 2), ('{"id": 3', -3), ('{"id":            4}', 4);
CALL sluice.run('q');
CALL sluice.retry('q');
SELECT source_row, sqlstate, detail ->> 'check' AS "check" FROM sluice.rejects ORDER BY source_row;
SELECT sluice.drop_pipeline('q');
TRUNCATE loaded;

-- a condition that fails for a row is that row's fault
INSERT INTO texts (doc, n) VALUES ('{"id": 5}', 1), ('{"id": 6}', 7), ('{"id": 7}', 0);
SELECT sluice.create_shred('q', 'texts', 'doc', '{"loaded": {"columns": {"id": "$.id"}}}', checks => '{n >= 0,1 / (n - 1) < 9}');
CALL sluice.run('q');
SELECT * FROM sluice.preview('q');
SELECT sluice.alter_pipeline('q', on_error => 'reject');
CALL sluice.run('q');
SELECT array_agg(id ORDER BY id) FROM loaded;
SELECT source_row, sqlstate, message, detail FROM sluice.rejects ORDER BY source_row;
CALL sluice.retry('q');
SELECT source_row, sqlstate FROM sluice.rejects ORDER BY source_row;
SELECT sluice.alter_pipeline('q', checks => '{n >= 0,1 / n <= 9}');
CALL sluice.retry('q');
SELECT array_agg(id ORDER BY id) FROM loaded;
SELECT source_row, sqlstate FROM sluice.rejects ORDER BY source_row;
INSERT INTO texts (doc, n) VALUES ('{"id": 8}', 0), ('{"id": 9}', 9);
SELECT source_rows, inserted, rejected FROM sluice.run_batch('q');
SELECT sluice.drop_pipeline('q');
TRUNCATE loaded;
CREATE TABLE parts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, whole int, part int, at timestamp DEFAULT '2024-01-01');
CREATE TABLE newest (day date PRIMARY KEY, whole int);
CREATE TABLE added (day date UNIQUE, whole int);
CREATE TABLE made (day date, whole int);
SELECT sluice.create_merge('m', 'parts', 'newest', '{day}', 'id', on_error => 'reject', checks => '{whole / part > 1}');
SELECT sluice.create_facts('a', 'parts', 'added', '{"grain": {"day": "day"}, "measures": {"whole": "whole"}}', on_error => 'reject', checks => '{whole / part > 1}');
SELECT sluice.create_facts('r', 'parts', 'made', '{"grain": {"day": "day"}, "measures": {"whole": "whole"}, "mode": "replace", "replace_by": ["day"]}', on_error => 'reject', checks => '{whole / part > 1}');
INSERT INTO parts (day, whole, part) VALUES ('2024-05-01', 6, 2), ('2024-05-02', 7, 0), ('2024-05-01', 8, 8), ('2024-05-02', 9, 3);
CALL sluice.run_all();
INSERT INTO parts (day, whole, part) VALUES ('2024-05-01', 4, 1), ('2024-05-02', 9, 0);
CALL sluice.run_all();
SELECT * FROM newest ORDER BY day;
SELECT * FROM added ORDER BY day;
SELECT * FROM made ORDER BY day;
SELECT pipeline, source_row, sqlstate, message, detail FROM sluice.rejects ORDER BY pipeline, source_row;
INSERT INTO parts (day, whole, part) VALUES ('2024-05-02', 5, 1);
SELECT sluice.alter_pipeline(name, on_error => 'stop') FROM sluice.pipeline;
CALL sluice.run('r');
INSERT INTO parts (day, whole, part) VALUES ('2024-05-02', 5, 0);
CALL sluice.run('m');
CALL sluice.run('a');
SELECT sluice.drop_pipeline(name) FROM sluice.pipeline;

-- a view
CREATE VIEW seen AS SELECT doc, n FROM many WHERE id < 20;
SELECT sluice.create_shred('q', 'seen', 'doc', '{"loaded": {"columns": {"id": "$.id"}}}', on_error => 'reject', checks => '{n >= 0}');
CALL sluice.run('q');
SELECT (SELECT count(*) FROM sluice.rejects) AS rejects, (SELECT count(*) FROM loaded) AS loaded;
SELECT sluice.drop_pipeline('q');
TRUNCATE loaded;

-- merge of documents
CREATE TABLE patches (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, at timestamp DEFAULT '2024-01-01');
CREATE TABLE people (key int PRIMARY KEY, name text, age int);
SELECT sluice.create_merge('q', 'patches', 'people', '{key}', 'at', document => 'doc', on_error => 'reject', checks => ARRAY[$$jsonb_typeof(doc -> 'age') = 'number'$$]);
INSERT INTO patches (doc) VALUES ('{"key": 1, "name": "Ann", "age": 30}'), ('{"key": 2, "age": "old"}'), (NULL), ('{"key": 2, "name": "Bob"}');
CALL sluice.run('q');
SELECT * FROM people ORDER BY key;
SELECT document::json -> 'doc' AS doc, message FROM sluice.rejects;
CALL sluice.retry('q');
SELECT document::json -> 'doc' AS doc, message FROM sluice.rejects;
SELECT sluice.alter_pipeline('q', checks => '{}');
CALL sluice.retry('q');
SELECT document::json -> 'doc' AS doc, message FROM sluice.rejects;
SELECT sluice.drop_pipeline('q');

-- facts that are made anew: what a condition rejects does not come in again with the others
CREATE TABLE days (day date, n int);
CREATE TABLE sums (day date, total bigint);
SELECT sluice.create_facts('q', 'days', 'sums', '{"grain": {"day": "day"}, "measures": {"total": "n"}, "mode": "replace", "replace_by": ["day"]}', cursor => 'hash', on_error => 'reject', checks => '{n < 100}');
INSERT INTO days VALUES ('2024-05-01', 1), ('2024-05-01', 200), ('2024-05-02', 2);
CALL sluice.run('q');
INSERT INTO days VALUES ('2024-05-01', 3);
CALL sluice.run('q');
SELECT * FROM sums ORDER BY day;
SELECT document FROM sluice.rejects;
SELECT sluice.alter_pipeline('q', on_error => 'stop');
INSERT INTO days VALUES ('2024-05-01', 4);
CALL sluice.run('q');
SELECT * FROM sums ORDER BY day;
SELECT sluice.drop_pipeline('q');

-- ---- Loads: of each partition

CREATE TABLE per_day (day date, total bigint);
TRUNCATE days;
SELECT sluice.create_load('l', 'days', 'day', 'per_day', 'day', 'SELECT day, sum(n) AS total FROM days WHERE day = $1 GROUP BY day', track => 'trigger',
    checks => ARRAY['n >= 0', 'SELECT bool_and(total < 1000) FROM per_day']);
INSERT INTO days VALUES ('2024-05-01', 1), ('2024-05-02', -2), ('2024-05-02', -3), ('2024-05-02', 4), ('2024-05-03', 3);
CALL sluice.run('l');
SELECT * FROM per_day ORDER BY day;
SELECT partition, state, split_part(error, E'\n', 1) AS error FROM sluice.partitions ORDER BY partition;
SELECT sluice.alter_pipeline('l', on_error => 'reject');
CALL sluice.run('l');
SELECT * FROM per_day ORDER BY day;
UPDATE days SET n = 2 WHERE n < 0;
INSERT INTO days VALUES ('2024-05-03', 5000);
CALL sluice.run('l');
SELECT * FROM per_day ORDER BY day;
SELECT partition, state, split_part(error, E'\n', 1) AS error FROM sluice.partitions ORDER BY partition;
SELECT sluice.alter_pipeline('l', checks => '{}');
CALL sluice.run('l');
SELECT * FROM per_day ORDER BY day;
SELECT sluice.drop_pipeline('l');
-- with a cursor
SELECT sluice.create_load('l', 'days', 'day', 'per_day', 'day', 'SELECT day, sum(n) AS total FROM days WHERE day = $1 GROUP BY day', cursor => 'hash', checks => '{n < 1000}');
CALL sluice.run('l');
SELECT partition, state FROM sluice.partitions ORDER BY partition;
SELECT sluice.drop_pipeline('l');

-- ---- Queries: asked when the rows of a batch are written

TRUNCATE stage, target RESTART IDENTITY;
SELECT create_stage(ARRAY['SELECT count(*) = 0 FROM target WHERE amount IS NULL', '(SELECT sum(amount) FROM target) <= 100']); -- the second is no query: a condition
SELECT create_stage(ARRAY['SELECT count(*) = 0 FROM target WHERE amount IS NULL', 'SELECT sum(amount) <= 100 FROM target;']);
INSERT INTO stage (doc) VALUES ('{"name": "a", "amount": 50}'), ('{"name": "b", "amount": 50}');
CALL sluice.run('p');
INSERT INTO stage (doc) VALUES ('{"name": "c", "amount": 1}');
CALL sluice.run('p');
SELECT error FROM sluice.runs WHERE status = 'failed';
DELETE FROM target WHERE name = 'a';
CALL sluice.run('p');
INSERT INTO stage (doc) VALUES ('{"name": "d"}');
CALL sluice.run('p');
-- whatever on_error says
SELECT sluice.alter_pipeline('p', on_error => 'reject');
CALL sluice.run('p');
SELECT count(*) FROM sluice.rejects;
SELECT name, amount FROM target ORDER BY id;
-- null holds, and no row; a query without a source; VALUES, TABLE and WITH are queries
CREATE VIEW answers AS SELECT true AS answer WHERE false;
SELECT sluice.alter_pipeline('p', checks => '{SELECT NULL::boolean,SELECT true WHERE false,VALUES (true),TABLE answers,WITH x AS (SELECT count(*) AS n FROM target) SELECT n > 0 FROM x}');
CALL sluice.run('p');
SELECT name, amount FROM target ORDER BY id;
-- what a query asks is what the batch left, batch after batch
SELECT sluice.alter_pipeline('p', checks => '{SELECT count(*) <= 6 FROM target}');
INSERT INTO stage (doc) SELECT jsonb_build_object('name', i) FROM generate_series(1, 5) i;
CALL sluice.run('p', batch_size => 2);
SELECT count(*) FROM target;
SELECT sluice.alter_pipeline('p', checks => '{SELECT count(*) <= 8 FROM target}');
CALL sluice.run('p', batch_size => 2);
SELECT count(*) FROM target;
-- more than one row; an error of its own
SELECT sluice.alter_pipeline('p', checks => '{SELECT name IS NOT NULL FROM target}');
INSERT INTO stage (doc) VALUES ('{"name": "x"}');
CALL sluice.run('p');
SELECT sluice.alter_pipeline('p', checks => '{SELECT 1 / count(*) = 0 FROM target WHERE false}');
CALL sluice.run('p');
-- deferred triggers have had their say
SELECT sluice.alter_pipeline('p', checks => '{SELECT bool_and(amount = 7) FROM target WHERE name = ''x''}');
CREATE FUNCTION seven() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE target SET amount = 7 WHERE id = new.id AND amount IS DISTINCT FROM 7; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER seven AFTER INSERT ON target DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION seven();
CALL sluice.run('p');
SELECT name, amount FROM target WHERE name = 'x';
-- nothing new: nothing is asked
SELECT sluice.alter_pipeline('p', checks => '{SELECT false}');
CALL sluice.run('p');
SELECT sluice.drop_pipeline('p');
DROP TRIGGER seven ON target;
-- a keyed target, whose batches are done again when something is wrong with a row: not for a check
CREATE TABLE keyed (id int PRIMARY KEY, name text);
CREATE FUNCTION ask() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'asked'; RETURN false; END $$;
SELECT sluice.create_shred('p', 'stage', 'doc', '{"keyed": {"key": "id", "columns": {"id": "#source.id", "name": "$.name"}}}', checks => '{SELECT ask()}');
CALL sluice.run('p');
SELECT sluice.drop_pipeline('p');
SELECT sluice.create_merge('p', 'many', 'merged', '{id}', 'at', cursor => 'sequence', checks => '{SELECT ask()}');
CALL sluice.run('p');
SELECT sluice.alter_pipeline('p', on_error => 'reject');
CALL sluice.run('p');
SELECT sluice.drop_pipeline('p');
SELECT (SELECT count(*) FROM keyed) AS keyed, (SELECT count(*) FROM merged) AS merged;

-- ---- Wrong use

SELECT checks, tried(format('SELECT create_stage(%L)', checks))
FROM unnest(ARRAY[
    '{NULL}',
    '{""}',
    '{amount >=}',
    '{amount}',
    '{true,amount + 1}',
    '{amont > 0}',
    '{amont}',
    '{random() < 2}',
    '{count(*) > 0}',
    '{"EXISTS (SELECT FROM target)"}',
    '{ctid IS NOT NULL}',
    '{"amount > 0, amount < 5"}',
    '{"amount > 0; DROP TABLE target"}',
    '{SELECT}',
    '{SELEC true}',
    '{SELECT 1}',
    '{"SELECT true, true"}',
    '{SELECT true FROM targt}',
    '{SELECT amount > 0}',
    '{SELECT $1}',
    '{SELECT true; SELECT true}',
    '{SELECT true INTO answer}',
    '{SELECT true FROM target FOR UPDATE}',
    '{SELECT count(*) = 0 FROM (SELECT FROM target FOR SHARE) x}',
    '{WITH x AS (DELETE FROM target RETURNING *) SELECT count(*) = 0 FROM x}',
    '{SELECT EXISTS (WITH x AS (INSERT INTO target VALUES (1) RETURNING *) SELECT FROM x)}',
    '{DELETE FROM target}',
    '{TRUNCATE target}',
    '{EXPLAIN SELECT true}']) WITH ORDINALITY c (checks, number) ORDER BY number;
SELECT count(*) FROM sluice.status;
-- of the other kinds, and when they are altered
SELECT tried($$SELECT sluice.create_merge('q', 'many', 'merged', '{id}', 'at', checks => '{n > }')$$);
SELECT tried($$SELECT sluice.create_facts('q', 'many', 'counted', '{"grain": {"k": "k"}, "measures": {"total": "n"}}', checks => '{n}')$$);
SELECT tried($$SELECT sluice.create_load('q', 'days', 'day', 'per_day', 'day', 'SELECT day, 1 AS total FROM days WHERE day = $1', checks => '{nn > 0}')$$);
SELECT create_stage('{amount > 0}');
SELECT tried($$SELECT sluice.alter_pipeline('p', checks => '{amount > 0,amount}')$$);
SELECT checks FROM sluice.pipeline;
-- a column of that name needs no quotes
ALTER TABLE stage ADD "end" boolean, ADD "is it?" boolean;
SELECT sluice.alter_pipeline('p', checks => '{end,is it?}');
SELECT checks FROM sluice.pipeline;

-- ---- What a check looks at goes away

TRUNCATE stage RESTART IDENTITY;
SELECT sluice.drop_pipeline('p');
SELECT create_stage(ARRAY['amount > 0', 'SELECT count(*) >= 0 FROM answers']);
ALTER TABLE stage RENAME amount TO sum;
INSERT INTO stage (doc, sum) VALUES ('{}', 5);
CALL sluice.run('p');
SELECT last_error FROM sluice.status;
ALTER TABLE stage RENAME sum TO amount;
DROP VIEW answers;
CALL sluice.run('p');
SELECT sluice.alter_pipeline('p', checks => '{amount > 0}');
CALL sluice.run('p');
ALTER TABLE stage DROP amount;
INSERT INTO stage (doc) VALUES ('{}');
CALL sluice.run('p');
SELECT sluice.alter_pipeline('p', checks => '{}');
CALL sluice.run('p');
SELECT sluice.drop_pipeline('p');
ALTER TABLE stage ADD amount numeric;

-- ---- Whose rights: the owner's, and his search_path

CREATE ROLE regress_sluice_checker;
CREATE SCHEMA own AUTHORIZATION regress_sluice_checker;
GRANT USAGE ON SCHEMA public TO regress_sluice_checker;
GRANT SELECT ON stage TO regress_sluice_checker;
CREATE TABLE secret (n int);
CREATE TABLE own.target (id bigint);
ALTER TABLE own.target OWNER TO regress_sluice_checker;
SET ROLE regress_sluice_checker;
SET search_path = own, public;
CREATE FUNCTION own.whoever() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE WARNING '% asks', current_user; RETURN true; END $$;
SELECT sluice.create_shred('r', 'stage', 'doc', '{"target": {"columns": {"id": "#source.id"}}}', checks => '{SELECT count(*) = 0 FROM secret}');
SELECT sluice.create_shred('r', 'stage', 'doc', '{"target": {"columns": {"id": "#source.id"}}}', checks => '{whoever(),SELECT whoever() FROM target LIMIT 1}');
RESET ROLE;
RESET search_path;
CALL sluice.run('r');
SELECT count(*) FROM own.target;
-- the superuser who alters it gives it no rights; nor does one who owns what it asks
SELECT sluice.alter_pipeline('r', checks => '{SELECT count(*) = 0 FROM secret}');
GRANT SELECT ON secret TO regress_sluice_checker;
SELECT sluice.alter_pipeline('r', checks => '{SELECT count(*) = 0 FROM secret}');
REVOKE SELECT ON secret FROM regress_sluice_checker;
INSERT INTO stage (doc) VALUES ('{}');
CALL sluice.run('r');
-- columns of the source
SELECT sluice.alter_pipeline('r', checks => '{}');
REVOKE SELECT ON stage FROM regress_sluice_checker;
GRANT SELECT (id, doc) ON stage TO regress_sluice_checker;
SELECT sluice.alter_pipeline('r', checks => '{amount > 0}');
CALL sluice.run('r');
SELECT sluice.drop_pipeline('r');
DROP OWNED BY regress_sluice_checker;
DROP ROLE regress_sluice_checker;
