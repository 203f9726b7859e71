-- The snapshot cursor: source rows are known by the transaction that wrote them.
\set VERBOSITY default
SET sluice.wait_for_writers = 0;
SET client_min_messages = warning;
\setenv SLUICE_DATABASE :DBNAME

-- difference: the oracle. Rows of the source that are not in the target, and rows of the target that are too many.
CREATE FUNCTION difference(source regclass, target regclass, OUT missing bigint, OUT too_many bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('WITH wanted AS (SELECT (doc ->> ''n'')::int AS n FROM %s), loaded AS (SELECT n FROM %s)
        SELECT (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE loaded) x),
               (SELECT count(*) FROM (TABLE loaded EXCEPT ALL TABLE wanted) x)', source, target) INTO missing, too_many;
END $$;
CREATE FUNCTION create_snapshot(name text, source regclass, target text, order_by text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT sluice.create_shred(name, source => source, document => 'doc', cursor => 'snapshot', order_by => order_by,
        mapping => format('{"%s": {"columns": {"n": "$.n"}}}', target)::json)
$$;
CREATE FUNCTION documents(low int, high int) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('n', n) FROM generate_series(low, high) n
$$;
CREATE VIEW columns AS
    SELECT attrelid::regclass::text AS relation, attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS not_null,
           pg_get_expr(adbin, adrelid) AS default
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE atttypid = 'xid8'::regtype AND attrelid >= 16384 AND (SELECT relkind IN ('r', 'p') FROM pg_class WHERE oid = attrelid)
      AND attrelid <> 'sluice.arrival_position'::regclass;
CREATE VIEW keys AS
    SELECT indrelid::regclass::text AS relation, regexp_replace(pg_get_indexdef(indexrelid), '^.*USING ', '') AS key
    FROM pg_index WHERE indrelid >= 16384 AND indrelid::regclass::text !~ '^(sluice\.|pg_toast)' AND NOT indisprimary;

-- ---- The column

CREATE TABLE plain (id int PRIMARY KEY, doc jsonb);
CREATE TABLE without_key (doc jsonb);
CREATE TABLE "Com""posite" (a text, "B b" int, doc jsonb, PRIMARY KEY ("B b", a));
CREATE TABLE parted (id int, doc jsonb, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (1000) PARTITION BY LIST (id);
CREATE TABLE parted_2_default PARTITION OF parted_2 DEFAULT;
CREATE VIEW some_view AS TABLE plain;
SELECT sluice.add_snapshot_column('plain');
SELECT sluice.add_snapshot_column('without_key');
SELECT sluice.add_snapshot_column('"Com""posite"', 'arrived in');
SELECT sluice.add_snapshot_column('parted');
SELECT * FROM columns ORDER BY 1;
SELECT * FROM keys ORDER BY 1, 2;
-- again: nothing changes
SELECT sluice.add_snapshot_column('plain');
SELECT sluice.add_snapshot_column('"Com""posite"', 'arrived in');
SELECT sluice.add_snapshot_column('parted');
SELECT count(*) FROM columns;
SELECT count(*) FROM keys;
-- a column that is there gets its index; one that does not fit is refused
CREATE TABLE existing (id int PRIMARY KEY, doc jsonb, x xid8 NOT NULL DEFAULT pg_current_xact_id(), nullable xid8 DEFAULT pg_current_xact_id());
SELECT sluice.add_snapshot_column('existing', 'x');
SELECT key FROM keys WHERE relation = 'existing';
SELECT sluice.add_snapshot_column('existing', 'nullable');
SELECT sluice.add_snapshot_column('existing', 'doc');
SELECT sluice.add_snapshot_column('existing', 'id');
SELECT sluice.add_snapshot_column('existing', NULL);
SELECT sluice.add_snapshot_column(NULL);
SELECT sluice.add_snapshot_column('some_view');
SELECT sluice.add_snapshot_column('pg_class_oid_index');
-- rows that were there share a stamp
INSERT INTO without_key (doc) SELECT documents(1, 3);
SELECT sluice.add_snapshot_column('without_key', 'second');
SELECT count(DISTINCT sluice_xid) AS first, count(DISTINCT second) AS second, min(second::text::bigint) > min(sluice_xid::text::bigint) AS later FROM without_key;
DROP VIEW some_view;
DROP TABLE plain, without_key, "Com""posite", parted, existing;

-- ---- Which sources

CREATE TABLE target (n int);
CREATE TABLE source (id int PRIMARY KEY, doc jsonb);
-- no column at all
SELECT create_snapshot('p', 'source', 'target');
SELECT create_snapshot('p', 'source', 'target', 'sluice_xid');
SELECT create_snapshot('p', 'source', 'target', 'id');
ALTER TABLE source ADD COLUMN x xid8;
SELECT create_snapshot('p', 'source', 'target', 'x');
ALTER TABLE source ALTER COLUMN x SET DEFAULT '42';
SELECT create_snapshot('p', 'source', 'target', 'x');
ALTER TABLE source ALTER COLUMN x SET DEFAULT pg_current_xact_id_if_assigned();
SELECT create_snapshot('p', 'source', 'target', 'x');
ALTER TABLE source ALTER COLUMN x SET DEFAULT pg_current_xact_id();
SELECT create_snapshot('p', 'source', 'target', 'x');
UPDATE source SET x = DEFAULT;
ALTER TABLE source ALTER COLUMN x SET NOT NULL;
SELECT sluice.create_shred('p', source => 'source', document => 'doc', cursor => 'snapshot', order_by => 'x', lookback => '1', mapping => '{"target": {"columns": {"n": "$.n"}}}');
SELECT sluice.create_shred('p', source => 'source', document => 'doc', cursor => 'snapshot', order_by => 'x', duplicates => 'keep', mapping => '{"target": {"columns": {"n": "$.n"}}}');
SELECT sluice.create_shred('p', source => 'source', document => 'doc', cursor => 'snapshot', order_by => 'x', recheck => '1 h', mapping => '{"target": {"columns": {"n": "$.n"}}}');
-- no index: a notice with the statement to run. Without order_by the column is found.
SET client_min_messages = notice;
SELECT create_snapshot('p', 'source', 'target');
SELECT sluice.drop_pipeline('p');
CREATE INDEX ON source (x);
SELECT create_snapshot('p', 'source', 'target');
SET client_min_messages = warning;
SELECT order_by FROM sluice.pipeline;
SELECT sluice.cursor_position('p');
-- what becomes unsafe later is refused by the next run, and the run after the remedy goes on
INSERT INTO source (id, doc) SELECT n, jsonb_build_object('n', n) FROM generate_series(1, 3) n;
ALTER TABLE source ALTER COLUMN x DROP DEFAULT;
CALL sluice.run('p');
ALTER TABLE source ALTER COLUMN x SET DEFAULT pg_current_xact_id(), ALTER COLUMN x DROP NOT NULL;
CALL sluice.run('p');
ALTER TABLE source ALTER COLUMN x SET NOT NULL;
ALTER TABLE source RENAME COLUMN x TO y;
\set VERBOSITY terse
CALL sluice.run('p');
\set VERBOSITY default
ALTER TABLE source RENAME COLUMN y TO x;
CALL sluice.run('p');
SELECT * FROM difference('source', 'target');
-- another column under the name of the one that it went by: its stamps say nothing of what was read. Refused or not, no row
-- is loaded again.
ALTER TABLE source DROP COLUMN x;
SELECT sluice.add_snapshot_column('source', 'x');
DO $$ BEGIN CALL sluice.run('p'); EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END $$;
SELECT * FROM difference('source', 'target');
SELECT sluice.drop_pipeline('p');
CREATE VIEW some_view AS TABLE source;
SELECT create_snapshot('p', 'some_view', 'target', 'x');
SELECT create_snapshot('p', 'some_view', 'target');
DROP VIEW some_view;
DROP TABLE source;
-- partitions
CREATE TABLE source (id int, doc jsonb, x xid8 NOT NULL DEFAULT pg_current_xact_id()) PARTITION BY RANGE (id);
CREATE TABLE source_1 (id int, doc jsonb, x xid8 NOT NULL);
ALTER TABLE source ATTACH PARTITION source_1 FOR VALUES FROM (0) TO (100);
SELECT create_snapshot('p', 'source', 'target');
ALTER TABLE source_1 ALTER COLUMN x SET DEFAULT pg_current_xact_id();
SELECT create_snapshot('p', 'source', 'target');
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE source_2 PARTITION OF source FOR VALUES FROM (100) TO (200) SERVER nowhere;
CALL sluice.run('p');
SELECT create_snapshot('q', 'source', 'target');
SELECT sluice.drop_pipeline('p');
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP TABLE source;
TRUNCATE target;

-- ---- A backlog of one transaction in batches, by keys of all kinds

-- backlog fills a source with 1,000 rows in one transaction and reads it in batches of 1, 7 and 1,000. A run that would read rows
-- again and again ends after as many batches as it could need.
CREATE PROCEDURE backlog(kind text, columns text, key text, value text) LANGUAGE plpgsql AS $$
DECLARE
    size int;
    verdict text := '';
    batches bigint;
    rows bigint;
    missing bigint;
    too_many bigint;
BEGIN
    EXECUTE format('CREATE TABLE backlog_source (%s, doc jsonb, PRIMARY KEY (%s))', columns, key);
    PERFORM sluice.add_snapshot_column('backlog_source');
    EXECUTE format('INSERT INTO backlog_source SELECT %s, jsonb_build_object(''n'', n) FROM generate_series(1, 1000) n', value);
    FOREACH size IN ARRAY '{1,7,1000}'::int[] LOOP
        CREATE TABLE backlog_target (n int);
        PERFORM create_snapshot('backlog', 'backlog_source', 'backlog_target');
        COMMIT;
        CALL sluice.run('backlog', batch_size => size, max_batches => 1001);
        SELECT r.batches, r.source_rows INTO batches, rows FROM sluice.runs r WHERE pipeline = 'backlog' ORDER BY run_id LIMIT 1;
        SELECT * FROM difference('backlog_source', 'backlog_target') INTO missing, too_many;
        IF batches <> ceil(1000.0 / size) OR rows <> 1000 OR missing <> 0 OR too_many <> 0 OR sluice.pending('backlog') <> 0 THEN
            verdict := verdict || format(' by %s: %s batches, %s missing, %s too many;', size, batches, missing, too_many);
        END IF;
        PERFORM sluice.drop_pipeline('backlog');
        DROP TABLE backlog_target;
        COMMIT;
    END LOOP;
    DROP TABLE backlog_source;
    RAISE WARNING '% key: %', kind, CASE WHEN verdict = '' THEN 'each row once' ELSE verdict END;
END $$;
\set VERBOSITY terse
CALL backlog('int', 'k int', 'k', 'n');
CALL backlog('descending int', 'k int', 'k', '-n');
CALL backlog('numeric', 'k numeric', 'k', 'n / 7.0');
CALL backlog('float8', 'k float8', 'k', 'sqrt(n)');
CALL backlog('float4', 'k float4', 'k', 'sqrt(n)');
CALL backlog('text in C', 'k text COLLATE "C"', 'k', '(ARRAY[''a'', ''B'', ''ä'', ''Ö'', '''', ''"\''])[1 + n % 6] || n');
CALL backlog('text in the default collation', 'k text', 'k', '(ARRAY[''a'', ''B'', ''ä'', ''Ö'', '' '', ''{,}'', ''NULL''])[1 + n % 7] || n');
CALL backlog('varchar', 'k varchar(20)', 'k', '''x'' || n % 10 || ''-'' || n');
CALL backlog('char', 'k char(10)', 'k', 'n::text');
CALL backlog('uuid', 'k uuid', 'k', 'md5(n::text)::uuid');
CALL backlog('bytea', 'k bytea', 'k', 'decode(md5(n::text), ''hex'')');
CALL backlog('boolean and int', 'a boolean, b int', 'a, b', 'n % 2 = 0, n');
CALL backlog('text, date and int', 'a text, b date, c int', 'c, a, b', '''a'' || n % 3, date ''2024-01-01'' + n % 5, n');
CALL backlog('timestamptz', 'k timestamptz', 'k', 'timestamptz ''2024-03-31 00:00+00'' + n * interval ''1.000001 min''');
CALL backlog('interval', 'k interval', 'k', 'n * interval ''1.5 h''');
CALL backlog('array', 'k int[]', 'k', 'ARRAY[n % 10, n]');
CREATE TYPE mood AS ENUM ('z', 'a', 'm');
CALL backlog('enum and int', 'a mood, b int', 'a, b', '(ARRAY[''z'', ''a'', ''m''])[1 + n % 3]::mood, n');
CREATE DOMAIN number AS int CHECK (VALUE > 0);
CALL backlog('domain', 'k number', 'k', 'n');
CREATE TYPE pair AS (a int, b text);
CALL backlog('composite', 'k pair', 'k', 'ROW(n % 10, ''x,"'' || n)::pair');
-- settings of the session that calls
SET extra_float_digits = 0;
CALL backlog('float8, few digits shown', 'k float8', 'k', 'sqrt(n)');
CALL backlog('float4, few digits shown', 'k float4', 'k', 'sqrt(n)');
RESET extra_float_digits;
SET bytea_output = 'escape';
CALL backlog('bytea, escaped', 'k bytea', 'k', 'decode(md5(n::text), ''hex'')');
RESET bytea_output;
-- settings kept from the creation: an abbreviation that is read as another zone, a time that comes twice
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kolkata';
CALL backlog('timestamptz in India', 'k timestamptz', 'k', 'timestamptz ''2024-01-02 00:00+00'' + n * interval ''10 min''');
SET TimeZone = 'America/New_York';
CALL backlog('timestamptz as clocks go back', 'k timestamptz', 'k', 'timestamptz ''2024-11-03 00:00+00'' + n * interval ''1 min''');
SET DateStyle = 'German';
SET IntervalStyle = 'sql_standard';
CALL backlog('date and interval', 'a date, b interval', 'a, b', 'date ''2024-01-30'' + n % 7, n * interval ''1 month 1 day -1 s''');
RESET DateStyle;
RESET TimeZone;
RESET IntervalStyle;
-- a type with an order of its own
CREATE EXTENSION IF NOT EXISTS citext;
CALL backlog('citext', 'k citext', 'k', '(ARRAY[''a'', ''B''])[1 + n % 2] || n');
DROP EXTENSION citext;
-- only the stamp is indexed, or nothing, or there is no key
CREATE PROCEDURE by_index(kind text, key text, columns text, batch_size int) LANGUAGE plpgsql AS $$
DECLARE
    batches bigint;
    verdict text;
BEGIN
    EXECUTE format('CREATE TABLE backlog_source (k int NOT NULL%s, doc jsonb, x xid8 NOT NULL DEFAULT pg_current_xact_id())', key);
    IF columns <> '' THEN
        EXECUTE format('CREATE INDEX ON backlog_source (%s)', columns);
    END IF;
    INSERT INTO backlog_source (k, doc) SELECT n, jsonb_build_object('n', n) FROM generate_series(1, 100) n;
    CREATE TABLE backlog_target (n int);
    PERFORM create_snapshot('backlog', 'backlog_source', 'backlog_target');
    COMMIT;
    INSERT INTO backlog_source (k, doc) SELECT n, jsonb_build_object('n', n) FROM generate_series(101, 110) n;
    COMMIT;
    CALL sluice.run('backlog', batch_size => batch_size);
    SELECT r.batches INTO batches FROM sluice.runs r WHERE pipeline = 'backlog' ORDER BY run_id LIMIT 1;
    SELECT format('%s missing, %s too many', missing, too_many) INTO verdict FROM difference('backlog_source', 'backlog_target');
    PERFORM sluice.drop_pipeline('backlog');
    DROP TABLE backlog_source, backlog_target;
    RAISE WARNING '%: % batches, %', kind, batches, verdict;
END $$;
CALL by_index('primary key, no index', ' PRIMARY KEY', '', 25);
CALL by_index('primary key, index of both', ' PRIMARY KEY', 'x, k', 25);
CALL by_index('primary key, index of the stamp', ' PRIMARY KEY', 'x', 25);
CALL by_index('no key, no index', '', '', 25);
CALL by_index('no key, index of the stamp', '', 'x', 25);
CALL by_index('no key, index of both', '', 'x, k', 25);
CALL by_index('primary key, index with an expression', ' PRIMARY KEY', 'x, abs(k)', 25);
CALL by_index('primary key, index the other way round', ' PRIMARY KEY', 'x, k DESC', 25);
CALL by_index('primary key, index of another order', ' PRIMARY KEY', 'x DESC, k DESC', 25);
\set VERBOSITY default
DROP PROCEDURE backlog;
DROP PROCEDURE by_index;

-- ---- Rows change, indexes change, errors come in the middle of a backlog

CREATE TABLE source (k int PRIMARY KEY, other int NOT NULL UNIQUE, doc jsonb);
SELECT sluice.add_snapshot_column('source');
SELECT create_snapshot('p', 'source', 'target');
CREATE VIEW state AS SELECT d.*, sluice.pending('p') AS pending FROM difference('source', 'target') d;
CREATE PROCEDURE arrive(low int, high int) LANGUAGE sql AS $$
    INSERT INTO source SELECT n, -n, jsonb_build_object('n', n) FROM generate_series(low, high) n
$$;
CALL arrive(1, 3000);
-- one batch at a time
CALL sluice.run('p', batch_size => 400, max_batches => 1);
SELECT * FROM state;
SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(sluice.cursor_position('p')) key;
SELECT sluice.cursor_position('p') -> 'key' AS key;
SELECT source_rows, inserted FROM sluice.run_batch('p', batch_size => 400);
-- a batch that is rolled back
BEGIN;
SELECT source_rows FROM sluice.run_batch('p', batch_size => 400);
ROLLBACK;
BEGIN;
SAVEPOINT before;
SELECT source_rows FROM sluice.run_batch('p', batch_size => 400);
ROLLBACK TO before;
SELECT source_rows FROM sluice.run_batch('p', batch_size => 100);
SELECT source_rows FROM sluice.run_batch('p', batch_size => 100);
COMMIT;
SELECT * FROM state;
-- another transaction comes between
CALL arrive(3001, 3100);
-- an error in the middle: what was committed before it stays, then it goes on
ALTER TABLE target ADD CONSTRAINT good CHECK (n <> 1700);
CALL sluice.run('p', batch_size => 300);
SELECT * FROM state;
ALTER TABLE target DROP CONSTRAINT good;
CALL sluice.run('p', batch_size => 300, max_batches => 1);
SELECT * FROM state;
-- settings of the session
SET DateStyle = 'German';
SET TimeZone = 'Asia/Tokyo';
SET search_path = pg_catalog;
CALL sluice.run('p', batch_size => 50, max_batches => 2);
RESET search_path;
RESET TimeZone;
RESET DateStyle;
SELECT * FROM state;
-- the index goes and comes, in another shape
DROP INDEX source_sluice_xid_k_idx;
CALL sluice.run('p', batch_size => 50, max_batches => 1);
SELECT * FROM state;
CREATE INDEX ON source (sluice_xid, other);
CALL sluice.run('p', batch_size => 50, max_batches => 1);
SELECT * FROM state;
ALTER TABLE source DROP CONSTRAINT source_pkey, ADD PRIMARY KEY (other);
CALL sluice.run('p', batch_size => 50, max_batches => 2);
SELECT * FROM state;
ALTER TABLE source ALTER COLUMN k TYPE bigint;
CALL sluice.run('p', batch_size => 50, max_batches => 1);
SELECT * FROM state;
-- the column that it goes by is gone
ALTER TABLE source RENAME COLUMN k TO kk;
CALL sluice.run('p', batch_size => 50);
ALTER TABLE source RENAME COLUMN kk TO k;
-- rows are updated (as they are when they are read) and deleted; rows that were read are neither read again nor missed
UPDATE source SET doc = '{"n": 2900000}' WHERE k = 2900;
DELETE FROM source WHERE k BETWEEN 2950 AND 2960;
SELECT * FROM state;
CALL sluice.run('p', batch_size => 200, max_batches => 1);
CALL sluice.run('p', batch_size => 200);
SELECT * FROM state;
-- the next backlog goes by the new index
CALL arrive(4001, 4100);
CALL sluice.run('p', batch_size => 30, max_batches => 1);
SELECT sluice.cursor_position('p') -> 'key' AS key;
CALL sluice.run('p', batch_size => 30);
SELECT * FROM state;
SELECT rows_total, pending FROM sluice.status;
UPDATE source SET doc = '{"n": -1}' WHERE k = 1;
DELETE FROM source WHERE k = 2;
CALL sluice.run('p');
SELECT * FROM state;

TRUNCATE source, target;

-- batches that are full to the brim, to the last one: what comes afterwards is read
CALL arrive(5001, 5010);
CALL sluice.run('p', batch_size => 5);
CALL arrive(5011, 5011);
CALL sluice.run('p');
SELECT * FROM state;
CALL arrive(5012, 5014);
CALL sluice.run('p', batch_size => 3, max_batches => 1);
CALL arrive(5015, 5015);
CALL sluice.run('p');
SELECT * FROM state;
SELECT source_rows FROM sluice.run_batch('p');
TRUNCATE source, target;

-- ---- Own rows in a transaction block

BEGIN;
CALL arrive(1, 2);
CALL sluice.run('p');
SELECT * FROM state;
CALL arrive(3, 4);
CALL sluice.run('p');
COMMIT;
SELECT * FROM state;
CALL sluice.run('p');
SELECT * FROM state;
-- of a subtransaction, of one that is rolled back; with a number drawn before the run, and after it
BEGIN;
SELECT source_rows FROM sluice.run_batch('p');
SAVEPOINT one;
CALL arrive(5, 6);
SELECT source_rows FROM sluice.run_batch('p');
RELEASE one;
SAVEPOINT two;
CALL arrive(7, 8);
SELECT source_rows FROM sluice.run_batch('p');
ROLLBACK TO two;
CALL arrive(9, 9);
SELECT source_rows FROM sluice.run_batch('p');
COMMIT;
CALL sluice.run('p');
SELECT * FROM state;
BEGIN;
CALL arrive(100, 110);
ROLLBACK;
BEGIN;
CALL arrive(10, 11);
PREPARE TRANSACTION 'snapshot';
CALL arrive(12, 13);
CALL sluice.run('p');
SELECT * FROM state;
CALL arrive(14, 14);
COMMIT PREPARED 'snapshot';
CALL sluice.run('p', batch_size => 1, max_batches => 1);
-- the prepared transaction's number is lower: its rows come first
SELECT array_agg(n ORDER BY n) FROM target WHERE n BETWEEN 10 AND 14;
CALL sluice.run('p', batch_size => 1);
SELECT * FROM state;
-- not in a transaction with an old snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL sluice.run('p');
ROLLBACK;

-- ---- Stamps given by hand

-- ahead: told, and not read before their time. Behind: not seen.
CALL arrive(20, 21);
INSERT INTO source (k, other, doc, sluice_xid) VALUES (22, -22, '{"n": 22}', '4000000000000');
SET client_min_messages = error;
CALL sluice.run('p');
RESET client_min_messages;
SELECT * FROM state;
\! psql -X -q -d "$SLUICE_DATABASE" -c "CALL sluice.run('p')" 2>&1 | sed 's/transaction [0-9]*/transaction N/'
INSERT INTO source (k, other, doc) VALUES (23, -23, '{"n": 23}');
\! psql -X -q -d "$SLUICE_DATABASE" -c "CALL sluice.run('p')" 2>&1 | sed 's/transaction [0-9]*/transaction N/'
SET client_min_messages = warning;
-- the remedy of the hint
UPDATE source SET sluice_xid = pg_current_xact_id() WHERE k = 22;
CALL sluice.run('p');
SELECT * FROM state;
INSERT INTO source (k, other, doc, sluice_xid) VALUES (24, -24, '{"n": 24}', '3');
CALL sluice.run('p');
SELECT * FROM state;
DELETE FROM source WHERE k = 24;

-- ---- Seek

SELECT sluice.cursor_position('p') AS here \gset
SELECT sluice.seek('p', :'here');
CALL sluice.run('p');
SELECT * FROM state;
-- forward: to a position that another pipeline has reached. What lies between is skipped.
CREATE TABLE other_target (n int);
SELECT create_snapshot('other', 'source', 'other_target');
CALL arrive(30, 34);
CALL sluice.run('other');
SELECT sluice.cursor_position('other') AS ahead \gset
SELECT sluice.seek('p', :'ahead');
CALL arrive(35, 36);
CALL sluice.run('p');
SELECT * FROM state;
SELECT array_agg(n ORDER BY n) FROM target WHERE n >= 30;
-- back
SELECT sluice.seek('p', :'here');
SELECT sluice.seek('other', :'here');
SELECT sluice.seek('other', '{}');
SELECT sluice.seek('other', '{"cursor": "sequence", "order_value": 3}');
SELECT sluice.seek('other', '{"seen": "no snapshot"}');
SELECT sluice.seek('other', '[]');
SELECT sluice.seek('other', NULL);
-- where nothing would be read twice, back is no matter: the rows between are gone, the pipeline has read nothing
CREATE TABLE third_target (n int);
SELECT create_snapshot('third', 'source', 'third_target');
SELECT sluice.seek('third', :'ahead');
CALL sluice.run('third');
SELECT array_agg(n ORDER BY n) FROM third_target;
TRUNCATE source, third_target;
SELECT sluice.seek('third', :'here');
CALL arrive(40, 42);
CALL sluice.run('third');
SELECT * FROM difference('source', 'third_target');
-- into the middle of a sweep, and from there
CALL arrive(50, 59);
CALL sluice.run('third', batch_size => 4, max_batches => 1);
SELECT sluice.cursor_position('third') AS middle \gset
SELECT sluice.seek('third', :'middle');
CALL sluice.run('third', batch_size => 4);
SELECT * FROM difference('source', 'third_target');
SELECT sluice.seek('third', :'middle');
SELECT sluice.drop_pipeline('third');
SELECT sluice.drop_pipeline('other');

-- ---- Writers that go straight to a partition; a partition that is emptied, or dropped

SELECT sluice.drop_pipeline('p');
DROP VIEW state;
DROP TABLE source, target, other_target, third_target;
CREATE TABLE target (n int);
CREATE TABLE source (k int, doc jsonb, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE source_1 PARTITION OF source FOR VALUES FROM (0) TO (100);
CREATE TABLE source_2 PARTITION OF source FOR VALUES FROM (100) TO (200);
SELECT sluice.add_snapshot_column('source');
SELECT create_snapshot('p', 'source', 'target');
INSERT INTO source (k, doc) SELECT n, jsonb_build_object('n', n) FROM generate_series(90, 110) n;
INSERT INTO source_2 (k, doc) SELECT n, jsonb_build_object('n', n) FROM generate_series(150, 160) n;
CALL sluice.run('p', batch_size => 4);
SELECT * FROM difference('source', 'target');
-- a row that moves to another partition keeps its stamp
UPDATE source SET k = 120 WHERE k = 95;
CALL sluice.run('p');
SELECT * FROM difference('source', 'target');
DROP TABLE source_1;
TRUNCATE source_2;
INSERT INTO source_2 (k, doc) VALUES (100, '{"n": 1000}');
CALL sluice.run('p');
SELECT count(*) FROM target WHERE n = 1000;
SELECT sluice.drop_pipeline('p');
DROP TABLE source, target;
DROP PROCEDURE IF EXISTS arrive;
DROP VIEW IF EXISTS columns, keys;
DROP FUNCTION IF EXISTS create_snapshot, difference, documents;
DROP TYPE IF EXISTS mood, pair;
DROP DOMAIN IF EXISTS number;
