-- Backing off by hand: how far a target has been loaded, and deleting what is later.
\set VERBOSITY default
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';

CREATE TABLE loads (id int, load_datetime timestamptz);
SELECT sluice.last_update('loads');
INSERT INTO loads SELECT i, '2024-01-01'::timestamptz + i * interval '1 hour' FROM generate_series(1, 10) i;
INSERT INTO loads VALUES (0, NULL);
SELECT sluice.last_update('loads');
SELECT sluice.last_update('loads', condition => 'id < 4 -- the first ones');
SELECT sluice.last_update('loads', condition => 'false');

-- later than, up to and including
CALL sluice.back_off('loads', 'load_datetime', '2024-01-01 06:00', '2024-01-01 08:00');
SELECT array_agg(id ORDER BY id) FROM loads;
CALL sluice.back_off('loads', 'load_datetime', '2024-01-01 05:00');
SELECT array_agg(id ORDER BY id) FROM loads;
CALL sluice.back_off('loads', 'load_datetime', sluice.last_update('loads'));
CALL sluice.back_off('loads', 'load_datetime', '2024-01-01 05:00', '2024-01-01 04:00');
CALL sluice.back_off('loads', 'load_datetime', '-infinity');
SELECT array_agg(id ORDER BY id) FROM loads;

-- in a transaction block
BEGIN;
INSERT INTO loads VALUES (1, now());
CALL sluice.back_off('loads', 'load_datetime', '2024-01-01');
ROLLBACK;

-- columns of other types
CREATE TABLE dated (d date, t timestamp);
INSERT INTO dated SELECT date '2024-01-01' + i, timestamp '2024-01-01' + i * interval '1 day' FROM generate_series(0, 9) i;
SELECT sluice.last_update('dated', 'd'), sluice.last_update('dated', 't');
CALL sluice.back_off('dated', 'd', '2024-01-08 12:00');
SELECT sluice.last_update('dated', 'd');
CALL sluice.back_off('dated', 't', '2024-01-05 12:00', '2024-01-06 12:00');
SELECT array_agg(t ORDER BY t) FROM dated;

-- a partitioned target: one by one, and those that cannot hold such rows are not even looked at
CREATE TABLE parted (id int, at timestamptz, part int) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-01-02');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2024-01-02') TO ('2024-01-03') PARTITION BY LIST (part);
CREATE TABLE parted_2_1 PARTITION OF parted_2 FOR VALUES IN (1);
CREATE TABLE parted_2_2 PARTITION OF parted_2 DEFAULT;
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM ('2024-01-03') TO ('2024-01-04');
INSERT INTO parted SELECT i, '2024-01-01'::timestamptz + i * interval '1 hour', i % 2 FROM generate_series(0, 71) i;
BEGIN;
CALL sluice.back_off('parted', 'at', '2024-01-02 12:00');
SELECT relname, seq_scan > 0 AS scanned, n_tup_del AS deleted FROM pg_stat_xact_user_tables WHERE relname LIKE 'parted%' AND relname NOT IN ('parted', 'parted_2') ORDER BY 1;
COMMIT;
SELECT sluice.last_update('parted', 'at'), sluice.last_update('parted', 'at', $$at < '2024-01-02'$$), count(*) FROM parted;
CALL sluice.back_off('parted', 'at', '2023-12-31', '2024-01-01');
SELECT count(*) FROM parted;

-- who may
CREATE ROLE clerk;
GRANT SELECT, DELETE ON parted TO clerk;
SET ROLE clerk;
CALL sluice.back_off('loads', 'load_datetime', '2024-01-01');
SELECT sluice.last_update('loads');
-- the right on the whole is enough
CALL sluice.back_off('parted', 'at', '2024-01-02 10:00');
RESET ROLE;
REVOKE ALL ON parted FROM clerk;
DROP ROLE clerk;

-- arguments
SELECT sluice.last_update(NULL);
SELECT sluice.last_update('nowhere');
SELECT sluice.last_update('parted');
SELECT sluice.last_update('parted', 'id');
SELECT sluice.last_update('parted', 'at', 'idd = 1');
SELECT sluice.last_update('parted', 'at', 'true); DELETE FROM parted; SELECT now() WHERE (true');
CALL sluice.back_off('parted', 'ad', '2024-01-01');
CALL sluice.back_off('parted', 'at', NULL);
CALL sluice.back_off(NULL, 'at', '2024-01-01');
CALL sluice.back_off('parted', NULL, '2024-01-01');
SELECT count(*) > 0 AS still_there FROM parted;
