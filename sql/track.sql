-- Tracking by triggers: whatever is written to the source, the partitions it belongs to are known, and no others.
\set VERBOSITY default

CREATE TABLE source (id int, day date, n int) PARTITION BY RANGE (day);
CREATE TABLE source_1 PARTITION OF source FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE source_2 PARTITION OF source FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (day);
CREATE TABLE source_2_default (note text, n int, id int, day date); -- other columns, in another order
ALTER TABLE source_2_default DROP note;
ALTER TABLE source_2 ATTACH PARTITION source_2_default DEFAULT;
CREATE TABLE target (day date, n bigint);
-- late: what is late now, without the year
CREATE VIEW late AS SELECT string_agg(substr(partition, 6), ' ' ORDER BY partition) AS late FROM sluice.late_partitions('p');
CREATE VIEW wrong AS
    WITH right_rows AS (SELECT day, sum(n) AS n FROM source GROUP BY 1)
    SELECT 'missing' AS what, m.* FROM (TABLE right_rows EXCEPT ALL TABLE target) m
    UNION ALL SELECT 'too much', m.* FROM (TABLE target EXCEPT ALL TABLE right_rows) m;
-- run: the partitions that a run loads, and what is wrong afterwards
CREATE FUNCTION run() RETURNS TABLE (partitions bigint, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
    before bigint = (SELECT coalesce(sum(batches), 0) FROM sluice.runs);
BEGIN
    CALL sluice.run('p');
    RETURN QUERY SELECT (SELECT sum(batches)::bigint FROM sluice.runs) - before, (SELECT count(*) FROM wrong);
END $$;
\set create 'SELECT sluice.create_load(''p'', ''source'', ''day'', ''target'', ''day'', ''SELECT day, sum(n) AS n FROM source WHERE day = $1 GROUP BY 1'', track => ''trigger'', deletes => ''reload'')'

-- what was there before
INSERT INTO source SELECT i, date '2024-01-01' + i, i FROM generate_series(1, 50) i;
:create;
SELECT count(*) FROM sluice.late_partitions('p');
SELECT * FROM run();

-- ---- Statements

INSERT INTO source VALUES (101, '2024-01-03', 1), (102, '2024-01-03', 2), (103, '2024-02-05', 3);
TABLE late;
INSERT INTO source_1 VALUES (1, '2024-01-04', 1);
INSERT INTO source_2 VALUES (1, '2024-02-06', 1);
INSERT INTO source_2_default (day, n) VALUES ('2024-02-07', 7);
TABLE late;
SELECT * FROM run();
COPY source FROM stdin;
1	2024-01-08	1
2	2024-02-08	1
\.
COPY source_1 (n, day) FROM stdin;
1	2024-01-09
\.
TABLE late;
SELECT * FROM run();
UPDATE source SET n = n + 1 WHERE day = '2024-01-10';
UPDATE source_1 SET n = n + 1 WHERE day = '2024-01-11';
-- into another day of the same table, of another table
UPDATE source SET day = '2024-01-13' WHERE day = '2024-01-12';
UPDATE source SET day = '2024-02-10' WHERE day = '2024-01-14';
UPDATE source_2_default SET day = '2024-02-12' WHERE day = '2024-02-11';
TABLE late;
SELECT * FROM run();
UPDATE source SET n = 0 WHERE false;
DELETE FROM source WHERE false;
INSERT INTO source SELECT * FROM source WHERE false;
TABLE late;
DELETE FROM source WHERE day = '2024-01-15';
DELETE FROM source_2 WHERE day = '2024-02-13';
DELETE FROM source_2_default WHERE day = '2024-02-14';
TABLE late;
SELECT * FROM run();
CREATE UNIQUE INDEX ON source_1 (id, day);
INSERT INTO source_1 VALUES (15, '2024-01-16', 100), (1000, '2024-01-17', 1) ON CONFLICT (id, day) DO UPDATE SET n = excluded.n, day = '2024-01-18';
TABLE late;
WITH moved AS (DELETE FROM source WHERE day = '2024-01-19' RETURNING *) INSERT INTO source SELECT id, '2024-02-20', n FROM moved;
TABLE late;
SELECT * FROM run();

-- what is rolled back is not late
BEGIN;
INSERT INTO source VALUES (1, '2024-01-20', 1);
SAVEPOINT a;
INSERT INTO source VALUES (1, '2024-01-21', 1);
TABLE late;
ROLLBACK TO a;
TABLE late;
ROLLBACK;
TABLE late;

-- sessions in replica role count
SET session_replication_role = replica;
INSERT INTO source VALUES (1, '2024-01-22', 1);
RESET session_replication_role;
TABLE late;
SELECT * FROM run();

-- TRUNCATE: of a partition, of all
TRUNCATE source_2_default;
TABLE late;
SELECT * FROM run();
TRUNCATE source;
SELECT count(*) FROM sluice.late_partitions('p');
SELECT * FROM run();
TABLE target;
SELECT state, sum(rows) FROM sluice.partitions GROUP BY 1;
INSERT INTO source SELECT i, date '2024-01-01' + i, i FROM generate_series(1, 20) i;
SELECT * FROM run();

-- ---- Tables that come and go

CREATE TABLE source_3 PARTITION OF source FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO source_3 VALUES (1, '2024-03-01', 1);
INSERT INTO source VALUES (1, '2024-03-02', 1);
SELECT * FROM run();
INSERT INTO source_3 VALUES (1, '2024-03-03', 1);
TABLE late;
SELECT * FROM run();
CREATE TABLE source_4 (n int, day date, id int);
INSERT INTO source_4 VALUES (1, '2024-04-01', 1), (2, '2024-04-02', 1);
ALTER TABLE source ATTACH PARTITION source_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
SELECT * FROM run();
ALTER TABLE source DETACH PARTITION source_4;
SELECT * FROM run();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'source_4'::regclass;
-- detached, written to and attached again, between two runs
ALTER TABLE source DETACH PARTITION source_3;
UPDATE source_3 SET n = 5 WHERE day = '2024-03-01';
ALTER TABLE source ATTACH PARTITION source_3 FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
SELECT wrong FROM run();
-- of a partition that is dropped nothing is known: everything is loaded again
DROP TABLE source_3;
SELECT wrong FROM run();
-- a trigger that somebody dropped or disabled is put back, and what that table holds is loaded again
DROP TRIGGER sluice_1_insert ON source_1;
INSERT INTO source_1 VALUES (1, '2024-01-25', 1);
SELECT wrong FROM run();
ALTER TABLE source_1 DISABLE TRIGGER ALL;
INSERT INTO source_1 VALUES (1, '2024-01-26', 1);
SELECT wrong FROM run();
INSERT INTO source_1 VALUES (1, '2024-01-27', 1);
TABLE late;
SELECT * FROM run();

-- ---- Deletes that are ignored

SELECT sluice.drop_pipeline('p');
SELECT count(*) FROM pg_trigger t WHERE tgname LIKE 'sluice%';
TRUNCATE target;
SELECT sluice.create_load('p', 'source', 'day', 'target', 'day', 'SELECT day, sum(n) AS n FROM source WHERE day = $1 GROUP BY 1', track => 'trigger');
SELECT * FROM run();
DELETE FROM source WHERE day < '2024-01-05';
TRUNCATE source_2_default;
TABLE late;
ALTER TABLE source DETACH PARTITION source_2;
SELECT * FROM run();
SELECT what, count(*) FROM wrong GROUP BY 1;
-- but a row that moves changes two days
UPDATE source SET day = '2024-01-08' WHERE day = '2024-01-07';
TABLE late;
SELECT sluice.drop_pipeline('p');
DROP VIEW wrong, late;
DROP TABLE source, target;

-- ---- Inheritance

CREATE TABLE source (id int, day date, n int);
CREATE TABLE child (more text) INHERITS (source);
CREATE TABLE target (day date, n bigint);
CREATE VIEW late AS SELECT string_agg(substr(partition, 6), ' ' ORDER BY partition) AS late FROM sluice.late_partitions('p');
CREATE VIEW wrong AS
    WITH right_rows AS (SELECT day, sum(n) AS n FROM source GROUP BY 1)
    SELECT 'missing' AS what, m.* FROM (TABLE right_rows EXCEPT ALL TABLE target) m
    UNION ALL SELECT 'too much', m.* FROM (TABLE target EXCEPT ALL TABLE right_rows) m;
INSERT INTO source VALUES (1, '2024-01-01', 1);
:create;
INSERT INTO child VALUES (1, '2024-01-02', 1, 'x');
SELECT * FROM run();
UPDATE source SET day = day + 10;
DELETE FROM child WHERE id = 2;
TABLE late;
SELECT * FROM run();
SELECT sluice.drop_pipeline('p');

-- ---- An expression that fails does not fail the writer

CREATE TABLE texts (day text, n int);
TRUNCATE target;
SELECT sluice.create_load('p', 'texts', 'day::date', 'target', 'day', 'SELECT day::date, sum(n) AS n FROM texts WHERE day::date = $1 GROUP BY 1', track => 'trigger');
INSERT INTO texts VALUES ('2024-01-01', 1);
CALL sluice.run('p');
INSERT INTO texts VALUES ('2024-01-02', 1), ('soon', 2);
CALL sluice.run('p');
TABLE late;
SELECT pipeline, partition, state FROM sluice.partitions;
UPDATE texts SET day = '2024-01-03' WHERE day = 'soon';
CALL sluice.run('p');
SELECT * FROM target ORDER BY day;
-- a column that is renamed
ALTER TABLE texts RENAME day TO dey;
INSERT INTO texts VALUES ('2024-01-04', 1);
CALL sluice.run('p');
ALTER TABLE texts RENAME dey TO day;
CALL sluice.run('p');
SELECT * FROM target ORDER BY day;
-- a column that is added or dropped in one session that writes
INSERT INTO texts VALUES ('2024-01-05', 1);
ALTER TABLE texts ADD more int, ADD first int DEFAULT 1;
INSERT INTO texts VALUES ('2024-01-06', 1);
ALTER TABLE texts DROP more;
INSERT INTO texts VALUES ('2024-01-07', 1);
TABLE late;
SELECT sluice.drop_pipeline('p');

-- ---- Rights

CREATE ROLE owner;
CREATE ROLE writer;
CREATE ROLE stranger;
CREATE TABLE guarded (day date, n int);
CREATE TABLE copied (day date, n int);
CREATE FUNCTION as_owner(day date) RETURNS date LANGUAGE sql STABLE AS $$ SELECT CASE WHEN current_user = 'owner' THEN day END $$;
GRANT INSERT, UPDATE ON guarded TO writer;
GRANT SELECT ON guarded TO owner;
GRANT USAGE, CREATE ON SCHEMA public TO owner;
GRANT ALL ON copied TO stranger;
SET ROLE owner;
SELECT sluice.create_load('p', 'guarded', 'day', 'copied', 'day', 'SELECT * FROM guarded WHERE day = $1', track => 'trigger');
RESET ROLE;
GRANT ALL ON copied TO owner;
SET ROLE owner;
SELECT sluice.create_load('p', 'guarded', 'day', 'copied', 'day', 'SELECT * FROM guarded WHERE day = $1', track => 'trigger');
RESET ROLE;
GRANT TRIGGER ON guarded TO owner;
SET ROLE owner;
SELECT sluice.create_load('p', 'guarded', 'day', 'copied', 'day', 'SELECT * FROM guarded WHERE day = $1', track => 'trigger');
-- the writer has no right on anything of the pipeline's
SET ROLE writer;
INSERT INTO guarded VALUES ('2024-01-01', 1);
SELECT * FROM sluice.late_partitions('p');
SELECT count(*) FROM sluice.partitions;
CALL sluice.run('p');
SET ROLE owner;
CALL sluice.run('p');
SELECT partition, state FROM sluice.partitions;
RESET ROLE;
INSERT INTO guarded VALUES ('2024-01-02', 1);
CALL sluice.run('p');
SELECT partition, state FROM sluice.partitions;
SELECT sluice.drop_pipeline('p');
-- nobody else may call the trigger
SET ROLE owner;
CREATE TABLE mine (day date);
CREATE TRIGGER t AFTER INSERT ON mine REFERENCING NEW TABLE AS sluice_new FOR EACH STATEMENT EXECUTE FUNCTION sluice.track('1');
-- the expression runs as the owner, whoever writes
SELECT sluice.create_load('p', 'guarded', 'as_owner(day)', 'copied', 'day', 'SELECT * FROM guarded WHERE day = $1', track => 'trigger');
CALL sluice.run('p');
SET ROLE writer;
INSERT INTO guarded VALUES ('2024-01-03', 1);
SELECT current_user;
RESET ROLE;
TABLE late;
-- dropped with all that the owner owns: the triggers that are left do nothing
DROP OWNED BY owner;
INSERT INTO guarded VALUES ('2024-01-04', 1);
SELECT count(*) FROM sluice.status;
DROP TABLE guarded, copied;
DROP FUNCTION as_owner;
DROP ROLE owner, writer, stranger;

-- ---- Sources that triggers cannot track

CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE TABLE far (day date, n int) PARTITION BY LIST (day);
CREATE FOREIGN TABLE far_1 PARTITION OF far DEFAULT SERVER nowhere;
SELECT sluice.create_load('p', 'far', 'day', 'target', 'day', 'SELECT day, n FROM far WHERE day = $1', track => 'trigger');
DROP TABLE far;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
