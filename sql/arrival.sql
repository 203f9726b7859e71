-- The arrival index: what arrived is found however late it is in the order, and whatever is done to index and table meanwhile.
\set VERBOSITY default
SET client_min_messages = warning;
SET sluice.wait_for_writers = 0;

-- build makes source with its arrival index, target and pipeline p.
CREATE PROCEDURE build(arguments text DEFAULT '', indexed boolean DEFAULT true) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE source (id int, at int, doc jsonb);
    CREATE TABLE target (id int, doc jsonb);
    IF indexed THEN PERFORM sluice.add_arrival_index('source'); END IF;
    EXECUTE format('SELECT sluice.create_shred(''p'', ''source'', ''doc'', ''{"target": {"columns": {"id": "#source.id", "doc": "$"}}}'', cursor => ''hash'', order_by => ''at'' %s)', arguments);
END $$;
CREATE PROCEDURE remove() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sluice.drop_pipeline('p');
    DROP TABLE source, target CASCADE;
END $$;
CREATE FUNCTION arrive(first int, last int, at int DEFAULT NULL, into_table regclass DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (id, at, doc) SELECT g, coalesce($3, g), jsonb_build_object(''n'', g) FROM generate_series($1, $2) g', coalesce(into_table::text, 'source')) USING first, last, at;
END $$;
-- verdict compares with the oracle: each content once; the counts say how many rows were deliveries of known ones.
CREATE FUNCTION verdict(OUT loaded bigint, OUT lost bigint, OUT extra bigint, OUT duplicates numeric, OUT too_late numeric, OUT pending bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT count(*) FROM target' INTO loaded;
    EXECUTE 'SELECT count(*) FROM (SELECT DISTINCT doc FROM source EXCEPT ALL SELECT doc FROM target) x' INTO lost;
    EXECUTE 'SELECT count(*) - count(DISTINCT doc) FROM target' INTO extra;
    SELECT coalesce(sum(r.duplicates), 0), coalesce(sum(r.too_late), 0) INTO duplicates, too_late FROM sluice.runs r WHERE pipeline = 'p';
    pending := sluice.pending('p');
END $$;

-- ---- Making it

CREATE TABLE two (a jsonb, b json);
CREATE TABLE none (t text, n int);
CREATE TABLE "O dd" ("d oc" jsonb);
CREATE VIEW v AS TABLE two;
SELECT sluice.add_arrival_index('two');
SELECT sluice.add_arrival_index('none');
SELECT sluice.add_arrival_index('v');
SELECT sluice.add_arrival_index('none', 'x');
SELECT sluice.add_arrival_index('none', 'tt');
SELECT sluice.add_arrival_index(NULL);
SELECT sluice.add_arrival_index('two', 'b');
SELECT sluice.add_arrival_index('none', 't');
SELECT sluice.add_arrival_index('"O dd"');
SET client_min_messages = notice;
SELECT sluice.add_arrival_index('"O dd"');
SET client_min_messages = warning;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY tablename;
-- only who owns the table
CREATE ROLE regress_sluice_arrival;
SET ROLE regress_sluice_arrival;
SELECT sluice.add_arrival_index('two', 'a');
RESET ROLE;
DROP VIEW v;
DROP TABLE two, none, "O dd";

-- ---- Sweeps

CALL build(', batch_size => 7');
SELECT arrive(1, 100);
CALL sluice.run('p');
SELECT * FROM verdict();
-- late, lower, equal, null; deliveries of known documents, two of a new one
SELECT arrive(101, 110, -5), arrive(111, 115, 100), arrive(1, 20), arrive(120, 120), arrive(120, 120);
INSERT INTO source (id, doc) SELECT g, jsonb_build_object('n', g) FROM generate_series(130, 139) g;
CALL sluice.run('p');
SELECT * FROM verdict();
CALL sluice.run('p');
SELECT * FROM verdict();
-- an update of the document is a row to load, of other columns it is nothing; what rolls back never was
UPDATE source SET at = at + 1, id = id + 1000 WHERE id <= 50;
UPDATE source SET doc = doc || '{"x": 1}' WHERE id = 60;
BEGIN;
SELECT arrive(500, 510);
ROLLBACK;
CALL sluice.run('p');
SELECT * FROM verdict();
-- a prepared transaction is found when it is committed, with all that was committed before it and after it began
BEGIN;
SELECT arrive(200, 210);
SAVEPOINT s;
SELECT arrive(211, 215);
ROLLBACK TO s;
SELECT arrive(216, 220);
PREPARE TRANSACTION 'regress_sluice_arrival';
SELECT arrive(230, 240);
CALL sluice.run('p');
SELECT * FROM verdict();
COMMIT PREPARED 'regress_sluice_arrival';
CALL sluice.run('p');
SELECT * FROM verdict();
-- rows of the transaction that runs wait for its end
BEGIN;
SELECT arrive(300, 305);
SELECT source_rows FROM sluice.run_batch('p');
SELECT arrive(306, 310);
COMMIT;
CALL sluice.run('p');
SELECT * FROM verdict();
-- what stamps everything anew brings nothing up
REINDEX TABLE source;
CALL sluice.run('p');
VACUUM FULL source;
CALL sluice.run('p');
DO $$ BEGIN EXECUTE format('DROP INDEX %s', (SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'source'::regclass)); END $$;
SELECT sluice.add_arrival_index('source');
CALL sluice.run('p');
CREATE INDEX by_id ON source (id);
CLUSTER source USING by_id;
CALL sluice.run('p');
SELECT * FROM verdict();
ALTER TABLE source ALTER id TYPE bigint;
CALL sluice.run('p');
SELECT * FROM verdict();
SELECT arrive(400, 410, 0), arrive(400, 402);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- ---- In the middle of a sweep

CREATE TABLE tried (what text, loaded bigint, lost bigint, extra bigint, duplicates numeric, too_late numeric, pending bigint);
-- interrupt reads 10 of 200 rows in 2 transactions, does something, and runs to the end.
CREATE PROCEDURE interrupt(what text, statement text) LANGUAGE plpgsql AS $$
BEGIN
    CALL build();
    PERFORM arrive(1, 100);
    COMMIT;
    PERFORM arrive(101, 200), arrive(1, 10);
    COMMIT;
    CALL sluice.run('p', batch_size => 10, max_batches => 1);
    EXECUTE statement;
    COMMIT;
    CALL sluice.run('p', batch_size => 30);
    CALL sluice.run('p');
    INSERT INTO tried SELECT what, v.* FROM verdict() v;
    CALL remove();
    COMMIT;
END $$;
CALL interrupt('nothing', 'SELECT 1');
CALL interrupt('reindex', 'REINDEX TABLE source');
CALL interrupt('another index', 'DROP INDEX source_arrival_idx; SELECT sluice.add_arrival_index(''source'')');
CALL interrupt('no index any more', 'DROP INDEX source_arrival_idx');
CALL interrupt('rewritten', 'ALTER TABLE source ALTER id TYPE bigint');
CALL interrupt('clustered', 'CREATE INDEX by_id ON source (id); CLUSTER source USING by_id');
CALL interrupt('updated', 'UPDATE source SET at = at + 1 WHERE id > 10');
CALL interrupt('updated, indexed column', 'CREATE INDEX ON source (at); UPDATE source SET at = at + 1 WHERE id > 10');
SELECT * FROM tried ORDER BY ctid;
DROP PROCEDURE interrupt;
DROP TABLE tried;
-- VACUUM FULL runs in no procedure
CALL build();
SELECT arrive(1, 100);
CALL sluice.run('p', batch_size => 10, max_batches => 1);
VACUUM FULL source;
CALL sluice.run('p');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- a batch that fails
CALL build();
ALTER TABLE target ADD CHECK (id <> 250);
SELECT arrive(1, 1000);
\set VERBOSITY terse
CALL sluice.run('p', batch_size => 100);
\set VERBOSITY default
REINDEX TABLE source;
ALTER TABLE target DROP CONSTRAINT target_id_check;
CALL sluice.run('p', batch_size => 100);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- ---- Indexes of other shapes

-- Used or not: every row is loaded, over batches and runs.
CREATE TABLE tried (shape text, loaded bigint, lost bigint, extra bigint, duplicates numeric, too_late numeric, pending bigint);
CREATE PROCEDURE shape(definition text) LANGUAGE plpgsql AS $$
BEGIN
    CALL build('', false);
    EXECUTE 'CREATE INDEX ON source ' || definition;
    PERFORM arrive(1, 500);
    COMMIT;
    PERFORM arrive(501, 1000);
    COMMIT;
    FOR i IN 1..4 LOOP
        CALL sluice.run('p', batch_size => 300, max_batches => 1);
    END LOOP;
    CALL sluice.run('p');
    INSERT INTO tried SELECT definition, v.* FROM verdict() v;
    CALL remove();
    COMMIT;
END $$;
CALL shape('(sluice.arrival(doc))');
CALL shape('(sluice.arrival(doc) DESC)');
CALL shape('(sluice.arrival(doc) NULLS FIRST)');
CALL shape('(sluice.arrival(doc), at DESC)');
CALL shape('(sluice.arrival(doc), at)');
CALL shape('(sluice.arrival(doc)) INCLUDE (at)');
CALL shape('(at, sluice.arrival(doc))');
CALL shape('(sluice.arrival(doc)) WHERE at > 500');
CALL shape('(sluice.arrival(at))');
CALL shape('USING hash (sluice.arrival(doc))');
SELECT * FROM tried ORDER BY ctid;
DROP PROCEDURE shape;
DROP TABLE tried;
-- an index that comes later brings up no deliveries
CALL build('', false);
SELECT arrive(1, 50), arrive(1, 5);
CALL sluice.run('p');
SELECT sluice.add_arrival_index('source');
SELECT arrive(51, 60), arrive(50, 51);
CALL sluice.run('p');
SELECT * FROM verdict();
-- and one that goes leaves none
DROP INDEX source_arrival_idx;
CALL sluice.run('p');
SELECT arrive(61, 61, 0);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- ---- Partitions

CREATE TABLE source (id int, at int, doc jsonb) PARTITION BY RANGE (id);
CREATE TABLE source_1 (gone int, doc jsonb, x text, at int, id int);
ALTER TABLE source_1 DROP gone, DROP x;
ALTER TABLE source ATTACH PARTITION source_1 FOR VALUES FROM (0) TO (1000);
CREATE TABLE source_2 PARTITION OF source FOR VALUES FROM (1000) TO (2000) PARTITION BY RANGE (id);
CREATE TABLE source_2_1 PARTITION OF source_2 FOR VALUES FROM (1000) TO (1500);
CREATE TABLE target (id int, doc jsonb);
SELECT sluice.add_arrival_index('source');
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "doc": "$"}}}', cursor => 'hash', order_by => 'at', batch_size => 7);
SELECT arrive(1, 50), arrive(1001, 1050), arrive(2, 3);
CALL sluice.run('p');
SELECT * FROM verdict();
SELECT count(*) AS misplaced FROM target t WHERE NOT EXISTS (SELECT FROM source s WHERE s.id = t.id AND s.doc = t.doc);
-- straight into a leaf, late
SELECT arrive(51, 60, -1, 'source_1'), arrive(1051, 1060, -1, 'source_2_1');
CALL sluice.run('p');
SELECT * FROM verdict();
-- a new one, an attached one with old rows
CREATE TABLE source_2_2 PARTITION OF source_2 FOR VALUES FROM (1500) TO (2000);
CREATE TABLE source_3 (doc jsonb, at int, id int);
SELECT arrive(2001, 2050, NULL, 'source_3'), arrive(1501, 1510);
CALL sluice.run('p', max_batches => 1);
ALTER TABLE source ATTACH PARTITION source_3 FOR VALUES FROM (2000) TO (3000);
CALL sluice.run('p');
SELECT * FROM verdict();
-- detached, written to, attached again, with a run in between or without: its old rows are no deliveries
ALTER TABLE source DETACH PARTITION source_1;
SELECT arrive(61, 65, NULL, 'source_1');
ALTER TABLE source ATTACH PARTITION source_1 FOR VALUES FROM (0) TO (1000);
CALL sluice.run('p');
SELECT * FROM verdict();
ALTER TABLE source DETACH PARTITION source_1;
SELECT arrive(66, 70, NULL, 'source_1'), arrive(1061, 1062);
CALL sluice.run('p');
ALTER TABLE source ATTACH PARTITION source_1 FOR VALUES FROM (0) TO (1000);
CALL sluice.run('p');
SELECT * FROM verdict();
-- rows that move from leaf to leaf
UPDATE source SET id = id + 1000 WHERE id IN (10, 11);
CALL sluice.run('p');
SELECT * FROM verdict();
-- dropped: targets stay
DROP TABLE source_3;
CALL sluice.run('p');
SELECT count(*) FROM target;
CALL remove();

-- attached in the middle of a sweep, before and behind the place it has come to
CREATE TABLE early (id int, at int, doc jsonb);
CREATE TABLE source (id int, at int, doc jsonb) PARTITION BY RANGE (id);
CREATE TABLE source_1 PARTITION OF source FOR VALUES FROM (1000) TO (2000);
CREATE TABLE target (id int, doc jsonb);
SELECT sluice.add_arrival_index('source');
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "doc": "$"}}}', cursor => 'hash', order_by => 'at');
CREATE TABLE late (id int, at int, doc jsonb);
SELECT arrive(1, 50, NULL, 'early'), arrive(2001, 2050, NULL, 'late'), arrive(1001, 1050);
CALL sluice.run('p', batch_size => 10, max_batches => 1);
ALTER TABLE source ATTACH PARTITION early FOR VALUES FROM (0) TO (1000);
ALTER TABLE source ATTACH PARTITION late FOR VALUES FROM (2000) TO (3000);
CALL sluice.run('p', batch_size => 10, max_batches => 1);
CALL sluice.run('p', batch_size => 10);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- an inheritance child without the index: its rows are found all the same
CALL build();
CREATE TABLE child (more text) INHERITS (source);
SELECT arrive(1, 10), arrive(11, 20, NULL, 'child');
CALL sluice.run('p');
SELECT arrive(21, 25, 0), arrive(26, 30, 0, 'child');
CALL sluice.run('p');
SELECT * FROM verdict();
SELECT sluice.add_arrival_index('child');
CALL sluice.run('p');
SELECT arrive(31, 35, 0), arrive(36, 40, 0, 'child'), arrive(36, 37, 0);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- ---- Lookback: what is too late is counted once; the ledger forgets, and nothing that was read comes back

CALL build(', lookback => ''10''');
INSERT INTO source VALUES (1, 1, '{"n": 1}'), (2, NULL, '{"n": 2}');
CALL sluice.run('p');
SELECT arrive(100, 101);
CALL sluice.run('p');
SELECT arrive(102, 103), arrive(5, 6);
CALL sluice.run('p');
SELECT count(*) AS loaded, sluice.pending('p') FROM target;
SELECT missing, duplicated FROM sluice.verify('p');
SELECT sum(too_late) AS too_late FROM sluice.runs;
REINDEX TABLE source;
CALL sluice.run('p');
VACUUM FULL source;
CALL sluice.run('p');
SELECT count(*) AS loaded, count(DISTINCT doc), (SELECT sum(too_late) FROM sluice.runs) AS too_late FROM target;
-- delivered again: with an order value in time (what was forgotten is loaded again), without one
INSERT INTO source VALUES (201, 104, '{"n": 1}'), (202, NULL, '{"n": 2}');
CALL sluice.run('p');
SELECT count(*) AS loaded, count(DISTINCT doc), (SELECT sum(duplicates) FROM sluice.runs) AS duplicates FROM target;
CALL remove();
-- where the document says how late it is, the ledger need not know what is
CREATE TABLE source (id int, at int, doc jsonb);
CREATE TABLE target (id int, doc jsonb);
SELECT sluice.add_arrival_index('source');
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "doc": "$"}}}', cursor => 'hash', order_by => '(doc ->> ''n'')::int', lookback => '10');
SELECT arrive(1, 50);
CALL sluice.run('p');
SELECT arrive(101, 110);
CALL sluice.run('p');
SELECT arrive(111, 115);
CALL sluice.run('p');
SELECT pipeline_id FROM sluice.pipeline \gset
SELECT count(*) < 65 AS has_forgotten FROM sluice.ledger_:pipeline_id;
SELECT arrive(45, 50), arrive(114, 115);
CALL sluice.run('p');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- without the index
CALL build(', lookback => ''10''');
INSERT INTO source VALUES (1, 1, '{"n": 1}'), (2, NULL, '{"n": 2}');
CALL sluice.run('p');
SELECT arrive(100, 101);
CALL sluice.run('p');
SELECT arrive(102, 103);
CALL sluice.run('p');
DROP INDEX source_arrival_idx;
CALL sluice.run('p');
SELECT count(*) AS loaded, count(DISTINCT doc), (SELECT sum(too_late) FROM sluice.runs) AS too_late FROM target;
CALL remove();
-- after a rewrite
CALL build(', lookback => ''10''');
INSERT INTO source VALUES (1, 1, '{"n": 1}'), (2, NULL, '{"n": 2}');
CALL sluice.run('p');
SELECT arrive(100, 101);
CALL sluice.run('p');
SELECT arrive(102, 103);
CALL sluice.run('p');
ALTER TABLE source ALTER id TYPE bigint;
CALL sluice.run('p');
SELECT count(*) AS loaded, count(DISTINCT doc), (SELECT sum(too_late) FROM sluice.runs) AS too_late FROM target;
CALL remove();

-- ---- Rights: the index opens no way to what the owner may not read

CREATE SCHEMA house AUTHORIZATION regress_sluice_arrival;
CREATE TABLE source (id int, at int, doc jsonb);
SELECT sluice.add_arrival_index('source');
GRANT SELECT ON source TO regress_sluice_arrival;
SET ROLE regress_sluice_arrival;
CREATE TABLE house.target (id int, doc jsonb);
SELECT sluice.create_shred('p', 'source', 'doc', '{"house.target": {"columns": {"id": "#source.id", "doc": "$"}}}', cursor => 'hash', order_by => 'at');
RESET ROLE;
SELECT arrive(1, 5);
\set VERBOSITY terse
REVOKE SELECT ON source FROM regress_sluice_arrival;
CALL sluice.run('p');
SELECT count(*) FROM house.target;
GRANT SELECT (id, doc) ON source TO regress_sluice_arrival;
CALL sluice.run('p');
SELECT count(*) FROM house.target;
GRANT SELECT (at) ON source TO regress_sluice_arrival;
CALL sluice.run('p');
SELECT count(*) FROM house.target;
-- row-level security
ALTER TABLE source ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON source TO regress_sluice_arrival USING (id % 2 = 0);
SELECT arrive(6, 10, 0);
CALL sluice.run('p');
SELECT array_agg(id ORDER BY id) FROM house.target;
\set VERBOSITY default
SELECT sluice.drop_pipeline('p');
DROP TABLE source, house.target;
DROP SCHEMA house;
DROP ROLE regress_sluice_arrival;

DROP PROCEDURE build, remove;
DROP FUNCTION verdict, arrive;
