-- Loads: partition by partition, late data found and loaded again.
\set VERBOSITY default
SET sluice.wait_for_writers = 0;

-- ---- Devices: three days, then late rows for the first

CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, device text, event_time date, value int);
CREATE TABLE devices (event_time date, device text, events bigint, value bigint);
-- wrong: how target and source differ
CREATE VIEW wrong AS
    WITH right_rows AS (SELECT event_time, device, count(*) AS events, sum(value) AS value FROM events GROUP BY 1, 2)
    SELECT 'missing' AS what, m.* FROM (TABLE right_rows EXCEPT ALL TABLE devices) m
    UNION ALL SELECT 'too much', m.* FROM (TABLE devices EXCEPT ALL TABLE right_rows) m;
CREATE VIEW states AS
    SELECT pipeline, partition, state, version, loaded_version, rows, split_part(error, E'\n', 1) AS error
    FROM sluice.partitions ORDER BY pipeline, partition;
CREATE VIEW history AS
    SELECT pipeline, status, batches, inserted, deleted, idle_runs, split_part(error, E'\n', 1) AS error FROM sluice.runs ORDER BY run_id;

SELECT sluice.create_load('devices', source => 'events', partition => 'event_time', target => 'devices', target_partition => 'event_time',
    query => 'SELECT event_time, device, count(*) AS events, sum(value) AS value FROM events WHERE event_time = $1 GROUP BY 1, 2',
    track => 'trigger');
CALL sluice.run('devices');
INSERT INTO events (device, event_time, value) VALUES ('a', '2024-01-01', 1), ('b', '2024-01-01', 2);
INSERT INTO events (device, event_time, value) VALUES ('a', '2024-01-02', 3), ('b', '2024-01-02', 4);
INSERT INTO events (device, event_time, value) VALUES ('a', '2024-01-03', 5), ('b', '2024-01-03', 6);
TABLE states;
CALL sluice.run('devices');
TABLE states;
TABLE wrong;
-- late rows for the first day
INSERT INTO events (device, event_time, value) VALUES ('a', '2024-01-01', 10), ('c', '2024-01-01', 20);
SELECT * FROM sluice.late_partitions('devices');
SELECT sluice.backfill_config('devices');
TABLE states;
CALL sluice.run('devices');
TABLE states;
TABLE wrong;
SELECT * FROM devices ORDER BY event_time, device;
CALL sluice.run('devices');
CALL sluice.run('devices');
TABLE history;
SELECT * FROM sluice.late_partitions('devices');
SELECT sluice.backfill_config('devices');
SELECT sluice.cursor_position('devices'), sluice.pending('devices');

-- the current day, and the late ones before it
INSERT INTO events (device, event_time, value) SELECT 'd', day, 1 FROM unnest('{2024-01-02, 2024-01-03, 2024-01-04, 2024-01-05}'::date[]) day;
SELECT * FROM sluice.late_partitions('devices', '2024-01-04');
SELECT * FROM sluice.late_partitions('devices', current => date '2024-01-03');
SELECT sluice.backfill_config('devices', '2024-01-04');
SELECT sluice.pending('devices');
CALL sluice.run('devices', upto => '2024-01-03');
TABLE states;
CALL sluice.run('devices', upto => date '2024-01-04', max_batches => 1);
CALL sluice.run('devices');
TABLE wrong;
CALL sluice.run('devices', upto => 'tomorrow or so');
CALL sluice.run('devices', upto => timestamp '2024-01-03 00:00');

-- load again, changed or not
UPDATE devices SET value = -1;
CALL sluice.backfill('devices', '2024-01-02', '2024-01-03');
SELECT event_time, sum(value) FROM devices GROUP BY 1 ORDER BY 1;
CALL sluice.backfill('devices', date '2024-01-05');
CALL sluice.backfill('devices', '2024-01-04', date '2025-01-01');
CALL sluice.backfill('devices', '-infinity', '2024-01-01');
TABLE wrong;
CALL sluice.backfill('devices', NULL);
CALL sluice.backfill('devices', 'x', 'y');
CALL sluice.backfill('nowhere', '2024-01-01');

-- inside a transaction block, and a batch of one's own
BEGIN;
INSERT INTO events (device, event_time, value) VALUES ('e', '2024-01-01', 1), ('e', '2024-01-02', 1);
SELECT source_rows, inserted, deleted FROM sluice.run_batch('devices');
SELECT partition, state FROM states;
CALL sluice.run('devices');
TABLE wrong;
ROLLBACK;
TABLE wrong;
SELECT partition, state FROM states;
SELECT source_rows, inserted, deleted FROM sluice.run_batch('devices');

-- what is not for loads
SELECT * FROM sluice.preview('devices');
SELECT sluice.purge_source('devices', '1 day');

-- an audit: what the query gives and the target lacks, what it has too many; partitions that are late are left out
SELECT * FROM sluice.verify('devices');
UPDATE devices SET value = value + 1 WHERE event_time = '2024-01-01' AND device = 'a';
DELETE FROM devices WHERE event_time = '2024-01-02' AND device = 'a';
INSERT INTO devices SELECT * FROM devices WHERE event_time = '2024-01-03' AND device = 'a';
SELECT * FROM sluice.verify('devices');
INSERT INTO events (device, event_time, value) VALUES ('a', '2024-01-01', 0);
SELECT * FROM sluice.verify('devices');
CALL sluice.run('devices');
CALL sluice.backfill('devices', '2024-01-02', '2024-01-03');
SELECT * FROM sluice.verify('devices');

SELECT sluice.seek('devices', '{}');
CALL sluice.retry('devices');
SELECT sluice.alter_pipeline('devices', mapping => '{}');

-- ---- A load that fails

CREATE TABLE ratios (day date, ratio numeric, loaded timestamptz DEFAULT now());
CREATE TABLE parts (day date, part int, whole int);
SELECT sluice.create_load('ratios', 'parts', 'day', 'ratios', 'day', 'SELECT day, sum(part)::numeric / sum(whole) AS ratio FROM parts WHERE day = $1 GROUP BY 1',
    track => 'trigger', back_off => 'loaded');
INSERT INTO parts VALUES ('2024-01-01', 1, 2), ('2024-01-02', 1, 0), ('2024-01-03', 2, 2);
CALL sluice.run('ratios');
SELECT partition, state, error FROM states WHERE pipeline = 'ratios';
SELECT state, split_part(last_error, E'\n', 1) AS last_error FROM sluice.status WHERE pipeline = 'ratios';
SELECT day, ratio FROM ratios ORDER BY day;
-- again, with nothing mended
CALL sluice.run('ratios');
-- a load by other means that fails half way leaves rows behind
INSERT INTO ratios (day, ratio) VALUES ('2024-01-02', 100), ('2024-01-04', 200);
SELECT day, ratio FROM ratios ORDER BY day;
-- mended: what it left is backed off, the rest is loaded
UPDATE parts SET whole = 4 WHERE whole = 0;
CALL sluice.run('ratios');
SELECT day, round(ratio, 2) FROM ratios ORDER BY day;
SELECT partition, state, error FROM states WHERE pipeline = 'ratios';
-- nothing to load: nothing is backed off
INSERT INTO ratios (day, ratio) VALUES ('2024-01-04', 200);
CALL sluice.run('ratios');
SELECT day, round(ratio, 2) FROM ratios ORDER BY day;
SELECT pipeline, status, batches, inserted, deleted FROM history WHERE pipeline = 'ratios';

-- with on_error => 'reject' the others are loaded all the same
SELECT sluice.alter_pipeline('ratios', on_error => 'reject');
INSERT INTO parts VALUES ('2024-01-01', 1, -2), ('2024-01-05', 1, 1), ('2024-01-06', 2, 0);
CALL sluice.run('ratios');
SELECT partition, state, error FROM states WHERE pipeline = 'ratios';
SELECT day, round(ratio, 2) FROM ratios ORDER BY day;
SELECT status, batches, inserted, deleted, rejected FROM sluice.runs WHERE pipeline = 'ratios' ORDER BY run_id DESC LIMIT 1;
UPDATE parts SET whole = 2 WHERE whole <= 0;
CALL sluice.run('ratios');
SELECT partition, state, error FROM states WHERE pipeline = 'ratios';

-- ---- A query that gives other rows than it should

CREATE TABLE other (day date, n int, d bigint GENERATED ALWAYS AS IDENTITY);
CREATE TABLE days (day date, n int);
INSERT INTO days VALUES ('2024-01-01', 1), ('2024-01-02', 2), (NULL, 3);
SELECT sluice.create_load('other', 'days', 'day', 'other', 'day', 'SELECT n, day FROM days WHERE day <= $1', track => 'trigger');
CALL sluice.run('other');
SELECT sluice.drop_pipeline('other');
TRUNCATE other;
SELECT sluice.create_load('other', 'days', 'day', 'other', 'day', 'SELECT n, day FROM days WHERE day = $1 OR day IS NULL', track => 'trigger');
CALL sluice.run('other');
SELECT sluice.drop_pipeline('other');
-- rows without a partition are told of and left alone; comments and semicolons do no harm
SELECT sluice.create_load('other', 'days', 'day', 'other', 'day', 'SELECT n, day FROM days WHERE day = $1; -- the day');
CALL sluice.run('other');
SELECT day, n FROM other ORDER BY day;
SELECT sluice.drop_pipeline('other');

-- ---- Modes

-- append: $2 is the last update of the partition in the target
CREATE TABLE orders (id int PRIMARY KEY, day date, amount int, updated timestamptz);
CREATE TABLE copies (id int, day date, amount int, updated timestamptz);
SELECT sluice.create_load('copies', 'orders', 'day', 'copies', 'day', 'SELECT * FROM orders WHERE day = $1 AND updated > $2',
    mode => 'append', track => 'trigger', back_off => 'updated');
INSERT INTO orders VALUES (1, '2024-01-01', 1, '2024-01-01 10:00'), (2, '2024-01-02', 2, '2024-01-02 10:00');
CALL sluice.run('copies');
SELECT sluice.last_update('copies', 'updated');
-- later in its day, but before the last update of the other day
INSERT INTO orders VALUES (3, '2024-01-01', 3, '2024-01-01 11:00'), (4, '2024-01-02', 4, '2024-01-02 11:00');
CALL sluice.run('copies');
SELECT * FROM copies ORDER BY id;
SELECT pipeline, status, batches, inserted, deleted FROM history WHERE pipeline = 'copies';
SELECT * FROM sluice.verify('copies');

-- settle: a partition is loaded when no row came for that long
CREATE TABLE calm (day date, n int);
SELECT sluice.create_load('calm', 'days', 'day', 'calm', 'day', 'SELECT n, day FROM days WHERE day = $1', track => 'trigger', settle => '1 hour');
CALL sluice.run('calm');
SELECT partition, state FROM states WHERE pipeline = 'calm';
UPDATE sluice.partition_state SET changed_at = changed_at - interval '61 min' WHERE partition = '2024-01-02';
CALL sluice.run('calm');
SELECT partition, state FROM states WHERE pipeline = 'calm';
INSERT INTO days VALUES ('2024-01-02', 5);
UPDATE sluice.partition_state SET changed_at = changed_at - interval '61 min';
CALL sluice.run('calm');
SELECT partition, state FROM states WHERE pipeline = 'calm';
TABLE calm;
SELECT sluice.drop_pipeline('calm');

-- reload_last: the newest are always loaded again
TRUNCATE calm;
SELECT sluice.create_load('calm', 'days', 'day', 'calm', 'day', 'SELECT n, day FROM days WHERE day = $1', track => 'trigger', reload_last => 1);
CALL sluice.run('calm');
UPDATE calm SET n = n + 100;
CALL sluice.run('calm');
SELECT * FROM calm ORDER BY day, n;
CALL sluice.run('calm', upto => '2024-01-01');
SELECT * FROM calm ORDER BY day, n;
SELECT sluice.drop_pipeline('calm');

-- partition_list: a query says which partitions to load
TRUNCATE calm;
CREATE TABLE released (day text);
INSERT INTO released VALUES ('2024-01-02'), (NULL), ('2024-01-02'), ('2024-03-03');
SELECT sluice.create_load('calm', 'days', 'day', 'calm', 'day', 'SELECT n, day FROM days WHERE day = $1', track => 'trigger',
    partition_list => 'SELECT day FROM released');
CALL sluice.run('calm');
SELECT * FROM calm ORDER BY day, n;
SELECT partition, state, rows FROM states WHERE pipeline = 'calm';
INSERT INTO released VALUES ('2024-01-01');
CALL sluice.run('calm', upto => '2024-01-01');
SELECT partition, state, rows FROM states WHERE pipeline = 'calm';
SELECT sluice.drop_pipeline('calm');

-- a query whose partition is computed
CREATE TABLE clicks (at timestamptz, n int);
CREATE TABLE hours (hour timestamptz PRIMARY KEY, n bigint);
SET TimeZone = 'Europe/Berlin';
SET DateStyle = 'German';
SELECT sluice.create_load('hours', 'clicks', $$date_trunc('hour', at)$$, 'hours', 'hour', $$SELECT $1 AS hour, sum(n) AS n FROM clicks WHERE at >= $1 AND at < $1 + interval '1 hour'$$, track => 'trigger');
INSERT INTO clicks VALUES ('2024-01-01 10:20+00', 1), ('2024-01-01 10:40+00', 1), ('2024-01-01 12:40+00', 1);
RESET TimeZone;
RESET DateStyle;
INSERT INTO clicks VALUES ('2024-01-01 10:50+00', 1);
CALL sluice.run('hours');
TABLE hours;
SELECT partition, state, rows FROM states WHERE pipeline = 'hours';

-- a load over the target of another: months over days
CREATE TABLE months (month date, value bigint);
SELECT sluice.create_load('months', 'devices', $$date_trunc('month', event_time)::date$$, 'months', 'month',
    $$SELECT $1 AS month, sum(value) AS value FROM devices WHERE event_time >= $1 AND event_time < $1 + interval '1 month'$$, track => 'trigger');
INSERT INTO events (device, event_time, value) VALUES ('g', '2024-02-01', 1), ('g', '2024-03-01', 1);
CALL sluice.run('devices');
CALL sluice.run('months');
INSERT INTO events (device, event_time, value) VALUES ('g', '2024-02-02', 10);
CALL sluice.run('devices');
CALL sluice.run('months');
TABLE months;
SELECT status, batches FROM history WHERE pipeline = 'months';
SELECT sluice.drop_pipeline('months');

-- ---- Values of any type

CREATE TABLE kinds (i int, n numeric, t text, f float8, u uuid, b boolean, ts timestamp);
INSERT INTO kinds SELECT i % 11, i % 3 + 0.50, chr(97 + i % 4) || ' "''\,', i % 2 / 3.0, ('00000000-0000-0000-0000-00000000000' || i % 2)::uuid, i % 2 = 0, '2024-01-01'::timestamp + i % 3 * interval '1 ms' FROM generate_series(1, 50) i;
INSERT INTO kinds VALUES (10, 1.5, 'x', 0, NULL, true, 'infinity'), (9, 1.500, 'x', 0, NULL, true, '-infinity');
DO $$
DECLARE
    kind record;
    wrong bigint;
BEGIN
    FOR kind IN SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0 ORDER BY attnum LOOP
        EXECUTE format('CREATE TABLE kind_%1$s (part %2$s, n bigint)', kind.name, kind.type);
        PERFORM sluice.create_load('kind', 'kinds', kind.name, ('kind_' || kind.name)::regclass, 'part', format('SELECT %1$I AS part, count(*) AS n FROM kinds WHERE %1$I = $1 GROUP BY 1', kind.name), track => 'trigger');
        CALL sluice.run('kind');
        EXECUTE format('INSERT INTO kinds (%1$I) SELECT max(%1$I::text)::%2$s FROM kinds', kind.name, kind.type);
        CALL sluice.run('kind');
        EXECUTE format('SELECT count(*) FROM (SELECT %1$I, count(*) FROM kinds WHERE %1$I IS NOT NULL GROUP BY 1 EXCEPT ALL TABLE kind_%1$s) x', kind.name) INTO wrong;
        RAISE NOTICE '%: % partitions, % wrong, again %', kind.type, (SELECT count(*) FROM states WHERE pipeline = 'kind'), wrong,
            (SELECT batches FROM sluice.runs ORDER BY run_id DESC LIMIT 1);
        PERFORM sluice.drop_pipeline('kind');
    END LOOP;
END $$;
-- long ones, up to a limit
CREATE TABLE long (part text, n bigint);
SELECT sluice.create_load('long', 'kinds', 't', 'long', 'part', 'SELECT t AS part, count(*) AS n FROM kinds WHERE t = $1 GROUP BY 1', track => 'trigger');
CALL sluice.run('long');
INSERT INTO kinds (t) VALUES (repeat('long ', 400));
CALL sluice.run('long');
SELECT length(part), n FROM long WHERE length(part) > 10;
INSERT INTO kinds (t) VALUES (repeat('long ', 401));
CALL sluice.run('long');
DELETE FROM kinds WHERE length(t) > 10;
CALL sluice.run('long');
SELECT sluice.drop_pipeline('long');
-- in their order, not in that of their texts
CREATE TABLE numbers (part int, at serial);
SELECT sluice.create_load('numbers', 'kinds', 'i', 'numbers', 'part', 'SELECT $1 AS part WHERE EXISTS (SELECT FROM kinds WHERE i = $1)', track => 'trigger');
CALL sluice.run('numbers');
SELECT string_agg(part::text, ' ' ORDER BY at) FROM numbers;

-- ---- By a cursor: new rows

CREATE TABLE by_number (event_time date, device text, events bigint, value bigint);
SELECT sluice.create_load('by_number', 'events', 'event_time', 'by_number', 'event_time',
    'SELECT event_time, device, count(*) AS events, sum(value) AS value FROM events WHERE event_time = $1 GROUP BY 1, 2');
SELECT cursor FROM sluice.pipeline WHERE name = 'by_number';
CALL sluice.run('by_number');
SELECT count(*) FROM (TABLE devices EXCEPT ALL TABLE by_number) x;
INSERT INTO events (device, event_time, value) VALUES ('f', '2024-01-02', 1);
SELECT * FROM sluice.late_partitions('by_number');
SELECT partition, state, version, loaded_version FROM states WHERE pipeline = 'by_number';
CALL sluice.run('by_number');
SELECT partition, state, version, loaded_version FROM states WHERE pipeline = 'by_number';
SELECT count(*) FROM (SELECT event_time, device, count(*), sum(value) FROM events GROUP BY 1, 2 EXCEPT ALL TABLE by_number) x;
-- not seen: updates
UPDATE events SET value = 2 WHERE device = 'f';
CALL sluice.run('by_number');
SELECT sluice.cursor_position('by_number');
SELECT rows_total FROM sluice.status WHERE pipeline = 'by_number';
-- by content
CREATE TABLE by_content (day date, n bigint);
SELECT sluice.create_load('by_content', 'days', 'day', 'by_content', 'day', 'SELECT day, sum(n) AS n FROM days WHERE day = $1 GROUP BY 1');
CALL sluice.run('by_content');
INSERT INTO days VALUES ('2024-01-02', 5), ('2024-01-07', 1);
SELECT * FROM sluice.late_partitions('by_content');
CALL sluice.run('by_content');
SELECT * FROM by_content ORDER BY day;
-- by the transaction
SELECT sluice.add_snapshot_column('orders');
CREATE TABLE by_stamp (day date, amount bigint);
SELECT sluice.create_load('by_stamp', 'orders', 'day', 'by_stamp', 'day', 'SELECT day, sum(amount) AS amount FROM orders WHERE day = $1 GROUP BY 1', cursor => 'snapshot');
CALL sluice.run('by_stamp');
INSERT INTO orders VALUES (5, '2024-01-02', 5), (6, '2024-01-09', 6);
SELECT * FROM sluice.late_partitions('by_stamp');
CALL sluice.run('by_stamp');
SELECT * FROM by_stamp ORDER BY day;

-- ---- Rewinding

CREATE TABLE undone (day date, n bigint);
CREATE TABLE doing (day date, n int);
SELECT sluice.create_load('undone', 'doing', 'day', 'undone', 'day', 'SELECT * FROM doing WHERE day = $1', track => 'trigger');
CALL sluice.rewind('undone', 0);
INSERT INTO doing VALUES ('2024-01-01', 1);
CALL sluice.run('undone');
SELECT max(run_id) AS first FROM sluice.runs WHERE pipeline = 'undone' \gset
INSERT INTO doing VALUES ('2024-01-02', 2), ('2024-01-02', 3);
CALL sluice.run('undone');
INSERT INTO doing VALUES ('2024-01-02', 4);
CALL sluice.run('undone');
CALL sluice.rewind('undone', :first);
SELECT partition, state, rows FROM states WHERE pipeline = 'undone';
TABLE undone;
CALL sluice.run('undone');
SELECT * FROM undone ORDER BY n;
-- what a partition held before is not known
INSERT INTO doing VALUES ('2024-01-01', 5);
CALL sluice.run('undone');
DO $$
DECLARE
    why text;
BEGIN
    EXECUTE format('CALL sluice.rewind(%L, %s)', 'undone', (SELECT min(run_id) FROM sluice.runs WHERE pipeline = 'undone' AND inserted > 0));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '%: %', regexp_replace(SQLERRM, '\d+', 'N'), why;
END $$;
-- somebody changed the target
DELETE FROM undone WHERE n = 4;
CALL sluice.rewind('undone', 0);
SELECT sluice.drop_pipeline('undone');
-- rows were there before the first load
INSERT INTO undone VALUES ('2024-01-01', 100);
SELECT sluice.create_load('undone', 'doing', 'day', 'undone', 'day', 'SELECT * FROM doing WHERE day = $1', track => 'trigger');
CALL sluice.run('undone');
CALL sluice.rewind('undone', 0);

-- ---- Arguments

\set VERBOSITY default
\set days 'source => ''days'', partition => ''day'', target => ''calm'', target_partition => ''day'''
\set query 'query => ''SELECT n, day FROM days WHERE day = $1'''
SELECT sluice.create_load('x', :days, query => NULL);
SELECT sluice.create_load('x', 'days', 'dai', 'calm', 'day', :query);
SELECT sluice.create_load('x', 'days', 'random()', 'calm', 'day', :query);
SELECT sluice.create_load('x', 'days', 'day', 'calm', 'dey', :query);
SELECT sluice.create_load('x', 'days', 'n', 'calm', 'day', :query);
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM dais WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days WHERE day = $1 AND n > $3');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days WHERE day = $1 AND now() > $2');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days WHERE day = $1 AND now() > $2', mode => 'append');
SELECT sluice.create_load('x', :days, query => 'SELECT n FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n AS m, day FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n, n, day FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n::text, day FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days WHERE day = $1; SELECT 1');
SELECT sluice.create_load('x', :days, query => 'DELETE FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day INTO z FROM days WHERE day = $1');
SELECT sluice.create_load('x', :days, query => 'SELECT n, day FROM days WHERE (day = $1');
SELECT sluice.create_load('x', :days, :query, mode => 'replaces');
SELECT sluice.create_load('x', :days, :query, track => 'triggers');
SELECT sluice.create_load('x', :days, :query, deletes => 'reload');
SELECT sluice.create_load('x', :days, :query, deletes => 'reload', track => 'trigger', mode => 'append');
SELECT sluice.create_load('x', :days, :query, track => 'trigger', cursor => 'hash');
SELECT sluice.create_load('x', :days, :query, settle => '-1 day');
SELECT sluice.create_load('x', :days, :query, reload_last => -1);
SELECT sluice.create_load('x', :days, :query, partition_list => 'SELECT 1, 2');
SELECT sluice.create_load('x', :days, :query, partition_list => 'SELECT true');
SELECT sluice.create_load('x', :days, :query, partition_list => 'SELECT $1');
SELECT sluice.create_load('x', :days, :query, back_off => 'loaded');
SELECT sluice.create_load('x', :days, :query, back_off => 'n');
SELECT sluice.create_load('x', :days, :query, batch_size => 5);
SELECT sluice.create_load('x', :days, :query, max_rejects => 5);
SELECT sluice.create_load('x', 'states', 'partition', 'calm', 'day', :query, track => 'trigger');
SELECT sluice.late_partitions('nowhere');
SELECT sluice.late_partitions('devices', 'x');
CREATE TABLE plain (id bigserial PRIMARY KEY, doc jsonb);
CREATE TABLE plain_target (id int);
SELECT sluice.create_shred('plain', 'plain', 'doc', '{"plain_target": {"columns": {"id": "$"}}}');
SELECT sluice.late_partitions('plain');
CALL sluice.run('plain', upto => 5);
CALL sluice.backfill('plain', 5);
-- nothing of these is left
SELECT count(*) FROM sluice.pipeline WHERE name = 'x';
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'sluice%' AND tgrelid IN ('days'::regclass);

-- ---- Altering

CREATE TABLE altered (day date, n bigint, at timestamptz DEFAULT '2024-01-01');
SELECT sluice.create_load('altered', 'days', 'day', 'altered', 'day', 'SELECT n, day FROM days WHERE day = $1', track => 'trigger');
CALL sluice.run('altered');
SELECT sluice.alter_pipeline('altered', query => 'SELECT 10 * n AS n, day FROM days WHERE day = $1', reload_last => 1, settle => '0', back_off => 'at');
CALL sluice.run('altered');
SELECT day, n FROM altered ORDER BY day, n;
SELECT sluice.alter_pipeline('altered', query => 'SELECT n, day FROM days');
SELECT sluice.alter_pipeline('altered', back_off => 'n');
SELECT sluice.alter_pipeline('altered', reload_last => -1);
SELECT sluice.alter_pipeline('altered', partition_list => 'SELECT 1, 2');
SELECT sluice.alter_pipeline('altered', batch_size => 1);
SELECT sluice.alter_pipeline('altered', max_rejects => 1);
SELECT sluice.alter_pipeline('plain', reload_last => 1);
SELECT sluice.drop_pipeline('altered');

-- ---- Dropped: its triggers and its table are gone, the target stays

SELECT pipeline_id AS id FROM sluice.pipeline WHERE name = 'devices' \gset
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'events'::regclass AND tgname LIKE format('sluice_%s_%%', :id);
SELECT sluice.drop_pipeline('devices');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'events'::regclass AND tgname LIKE format('sluice_%s_%%', :id);
SELECT to_regclass(format('sluice.track_%s', :id)), (SELECT count(*) FROM sluice.load WHERE pipeline_id = :id), (SELECT count(*) FROM sluice.partition_state WHERE pipeline_id = :id);
SELECT count(*) > 0 AS stays FROM devices;
