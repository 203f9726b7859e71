-- Rows that are read as they lie in their table: whatever they lie among, by a scan of the table and by one of the index.
\set VERBOSITY default
SET client_min_messages = warning;
SET jit = off; -- it has debug messages of its own

-- 40,000 rows of 2,500 keys with unused columns before, among and behind those that are read, one dropped and some added since;
-- many rows were written again, some are gone, one that nobody ever saw lies between them
CREATE TABLE history (
    gone text, unused int, name text COLLATE "C", seq serial PRIMARY KEY, dropped numeric, at timestamp, flag boolean, key int, paid numeric, long text COLLATE "C", letter "char", pair point
);
INSERT INTO history (gone, unused, name, dropped, at, flag, key, paid, long, letter, pair)
SELECT 'gone', n, CASE WHEN n % 3 = 0 THEN 'name ' || n END, n, timestamp '2024-01-01' + n * 7919 % 40000 * interval '1 s',
       CASE WHEN n % 4 = 0 THEN n % 8 = 0 END, n * 31 % 2500, CASE WHEN n % 5 = 0 THEN n / 100.0 END,
       CASE WHEN n % 500 = 0 THEN (SELECT string_agg(md5(n || 'x' || i), '') FROM generate_series(1, 100) i) WHEN n % 300 = 0 THEN repeat('long ', 1000) || n END,
       CASE WHEN n % 6 = 0 THEN chr(97 + n % 26) END, CASE WHEN n % 7 = 0 THEN point(n, -n) END
FROM generate_series(1, 20000) n;
ALTER TABLE history DROP gone, DROP dropped, ADD later text COLLATE "C" DEFAULT 'from the start', ADD number smallint DEFAULT 7;
INSERT INTO history (unused, name, at, key, later, number)
SELECT n, 'second ' || n, timestamp '2024-01-01' + n * 7919 % 40000 * interval '1 s', n * 31 % 2500, CASE WHEN n % 2 = 0 THEN 'later ' || n END, n % 100
FROM generate_series(20001, 40000) n;
UPDATE history SET paid = seq WHERE seq % 9 = 0;
UPDATE history SET name = 'again ' || seq WHERE seq % 11 = 0;
DELETE FROM history WHERE seq % 13 = 0;
BEGIN;
INSERT INTO history (key, at, name) VALUES (1, '2030-01-01', 'never');
ROLLBACK;

CREATE VIEW oracle AS
SELECT key, max(at) AS at,
       (array_agg(name ORDER BY at DESC, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name,
       (array_agg(flag ORDER BY at DESC, flag DESC) FILTER (WHERE flag IS NOT NULL))[1] AS flag,
       (array_agg(paid ORDER BY at DESC, paid DESC, scale(paid) DESC) FILTER (WHERE paid IS NOT NULL))[1] AS paid,
       (array_agg(long ORDER BY at DESC, long DESC) FILTER (WHERE long IS NOT NULL))[1] AS long,
       (array_agg(letter ORDER BY at DESC, letter DESC) FILTER (WHERE letter IS NOT NULL))[1] AS letter,
       (array_agg(pair ORDER BY at DESC) FILTER (WHERE pair IS NOT NULL))[1] AS pair,
       (array_agg(later ORDER BY at DESC, later DESC) FILTER (WHERE later IS NOT NULL))[1] AS later,
       (array_agg(number ORDER BY at DESC, number DESC) FILTER (WHERE number IS NOT NULL))[1] AS number
FROM history GROUP BY key;
CREATE FUNCTION differences(target regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM oracle o FULL JOIN %s t USING (key)
                    WHERE (o.at, o.name, o.flag, o.paid, o.long, o.letter, o.pair::text, o.later, o.number)
                          IS DISTINCT FROM (t.at, t.name, t.flag, t.paid, t.long, t.letter, t.pair::text, t.later, t.number)', target) INTO result;
    RETURN result;
END $$;
SELECT count(*) AS keys, count(long) > 10 AS some_long, count(*) FILTER (WHERE later = 'from the start') > 0 AS some_from_the_start, count(pair) > 100 AS some_pairs FROM oracle;

-- as the planner likes it, and by each kind of scan
SELECT sluice.create_merge('any', 'history', 't1', '{key}', 'at', '{name,flag,paid,long,letter,pair,later,number}');
CALL sluice.run('any');
SELECT differences('t1');
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT sluice.create_merge('table', 'history', 't2', '{key}', 'at', '{name,flag,paid,long,letter,pair,later,number}');
SET client_min_messages = debug1;
CALL sluice.run('table');
SET client_min_messages = warning;
SELECT differences('t2');
RESET enable_indexscan;
SET enable_seqscan = off;
SELECT sluice.create_merge('index', 'history', 't3', '{key}', 'at', '{name,flag,paid,long,letter,pair,later,number}', batch_size => 12000);
SET client_min_messages = debug1;
CALL sluice.run('index');
SET client_min_messages = warning;
SELECT differences('t3');
RESET enable_seqscan;
SELECT pipeline, batches, source_rows = (SELECT count(*) FROM history) AS all_rows FROM sluice.runs ORDER BY 1;

-- rows that follow, beside those that were written again meanwhile
UPDATE history SET unused = -unused WHERE seq % 3 = 0;
INSERT INTO history (name, at, key, paid, long, later, number)
SELECT 'third ' || n, timestamp '2024-06-01' + n * 7919 % 12000 * interval '1 s', n % 3000, n, CASE WHEN n % 100 = 0 THEN repeat(md5(n::text), 200) END, NULL, NULL
FROM generate_series(1, 12000) n;
ANALYZE history;
CALL sluice.run('any');
SELECT differences('t1');
SET enable_seqscan = off;
CALL sluice.run('index');
SELECT differences('t3');
RESET enable_seqscan;

-- all numbers that a sequence gives, in tables that are not logged, too
CREATE UNLOGGED TABLE small (seq smallserial PRIMARY KEY, key bigint, at date, name text COLLATE "C");
INSERT INTO small (key, at, name) SELECT n % 700, date '2024-01-01' + n * 7919 % 15000, 'small ' || n FROM generate_series(1, 15000) n;
CREATE TABLE big (seq bigserial PRIMARY KEY, key bigint, at date, name text COLLATE "C");
SELECT setval('big_seq_seq', 5000000000) > 0 AS far;
INSERT INTO big (key, at, name) SELECT key, at, name FROM small ORDER BY seq;
CREATE VIEW newest AS SELECT DISTINCT ON (key) key, at, name FROM small ORDER BY key, at DESC, name DESC;
SELECT sluice.create_merge(source || '_' || way, source, source || '_' || way, '{key}', 'at') FROM (VALUES ('small'), ('big')) s(source), (VALUES ('table'), ('index')) w(way);
SET client_min_messages = debug1;
SET enable_indexscan = off;
CALL sluice.run('small_table');
CALL sluice.run('big_table');
RESET enable_indexscan;
SET enable_seqscan = off;
CALL sluice.run('small_index');
CALL sluice.run('big_index');
SET client_min_messages = warning;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) AS differences
FROM newest n FULL JOIN small_table st USING (key) FULL JOIN small_index si USING (key) FULL JOIN big_table bt USING (key) FULL JOIN big_index bi USING (key)
WHERE (n.at, n.name, n.at, n.name, n.at, n.name, n.at, n.name) IS DISTINCT FROM (st.at, st.name, si.at, si.name, bt.at, bt.name, bi.at, bi.name);

-- numbers in an order that goes to and fro between the pages; one partition of several, its columns in another order; a scan that
-- is measured is left alone
CREATE TABLE strewn (seq bigserial PRIMARY KEY, key bigint, at date, name text COLLATE "C");
INSERT INTO strewn SELECT seq, key, at, name FROM small ORDER BY seq % 97, seq;
SELECT setval('strewn_seq_seq', 15000) > 0 AS set;
CREATE TABLE parts (seq bigint NOT NULL, key bigint, at date, name text COLLATE "C", PRIMARY KEY (seq)) PARTITION BY RANGE (seq);
CREATE TABLE part_0 PARTITION OF parts FOR VALUES FROM (0) TO (2000000);
CREATE TABLE part_1 (name text COLLATE "C", gone int, at date, seq bigint NOT NULL, key bigint);
ALTER TABLE part_1 DROP gone;
ALTER TABLE parts ATTACH PARTITION part_1 FOR VALUES FROM (2000000) TO (9000000);
CREATE SEQUENCE parts_seq START 1990000 OWNED BY parts.seq;
ALTER TABLE parts ALTER seq SET DEFAULT nextval('parts_seq');
INSERT INTO parts (key, at, name) SELECT -1, '2020-01-01', 'before' FROM generate_series(1, 10000);
SELECT sluice.create_merge(source, source, source || '_rows', '{key}', 'at', cursor => 'sequence', order_by => 'seq') FROM (VALUES ('strewn'), ('parts')) s(source);
CALL sluice.run('parts');
INSERT INTO parts (key, at, name) SELECT key, at, name FROM small ORDER BY seq;
SET enable_bitmapscan = off;
SET enable_seqscan = off;
SET client_min_messages = debug1;
CALL sluice.run('strewn');
CALL sluice.run('parts');
SET client_min_messages = warning;
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_level = debug5;
SELECT sluice.create_merge('measured', 'strewn', 'measured_rows', '{key}', 'at');
SET client_min_messages = debug1;
CALL sluice.run('measured');
SET client_min_messages = warning;
RESET auto_explain.log_min_duration;
SELECT count(*) AS differences
FROM newest n FULL JOIN strewn_rows s USING (key) FULL JOIN measured_rows m USING (key) FULL JOIN (SELECT * FROM parts_rows WHERE key >= 0) p USING (key)
WHERE (n.at, n.name, n.at, n.name, n.at, n.name) IS DISTINCT FROM (s.at, s.name, m.at, m.name, p.at, p.name);

-- an error in the middle of a scan, and the next one in the same session
SELECT sluice.create_merge('stops', 'strewn', 'stops_rows', '{key}', 'at');
UPDATE strewn SET key = NULL WHERE seq = 11111;
CALL sluice.run('stops');
DELETE FROM strewn WHERE seq = 11111;
CALL sluice.run('stops');
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) AS differences
FROM (SELECT DISTINCT ON (key) key, at, name FROM strewn ORDER BY key, at DESC, name DESC) n FULL JOIN stops_rows s USING (key)
WHERE (n.at, n.name) IS DISTINCT FROM (s.at, s.name);

-- policies hold
CREATE ROLE regress_sluice_reader;
GRANT CREATE ON SCHEMA public TO regress_sluice_reader;
SET ROLE regress_sluice_reader;
CREATE TABLE hidden (seq serial PRIMARY KEY, key int, at int, name text);
INSERT INTO hidden (key, at, name) SELECT n % 500, n, CASE WHEN n % 3 = 0 THEN 'hidden ' ELSE 'seen ' END || n FROM generate_series(1, 15000) n;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TABLE secrets (key int);
INSERT INTO secrets VALUES (7), (77), (177);
CREATE POLICY seen ON hidden USING (name LIKE 'seen%' AND at > (SELECT min(key) FROM secrets) AND key NOT IN (SELECT s.key FROM secrets s));
SET client_min_messages = error;
SELECT sluice.create_merge('hidden_table', 'hidden', 'hidden_table', '{key}', 'at');
SELECT sluice.create_merge('hidden_index', 'hidden', 'hidden_index', '{key}', 'at');
SET client_min_messages = debug1;
SET enable_bitmapscan = off;
SET enable_indexscan = off;
CALL sluice.run('hidden_table');
RESET enable_indexscan;
SET enable_seqscan = off;
CALL sluice.run('hidden_index');
SET client_min_messages = warning;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT pipeline, source_rows FROM sluice.runs ORDER BY 1;
RESET ROLE;
SELECT count(*) AS differences
FROM (SELECT DISTINCT ON (key) key, at, name FROM hidden WHERE name LIKE 'seen%' AND at > 7 AND key NOT IN (7, 77, 177) ORDER BY key, at DESC) n
FULL JOIN hidden_table t USING (key) FULL JOIN hidden_index i USING (key)
WHERE (n.at, n.name, n.at, n.name) IS DISTINCT FROM (t.at, t.name, i.at, i.name);
DROP TABLE hidden, hidden_table, hidden_index, secrets CASCADE;
DROP OWNED BY regress_sluice_reader CASCADE;
DROP ROLE regress_sluice_reader;
