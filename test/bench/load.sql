-- See test/bench/load.
\set VERBOSITY terse
CREATE EXTENSION sluice;
SELECT setseed(:seed / 1000.0) \g /dev/null
CREATE TABLE figure (number serial, name text, by text, ms numeric);

-- ---- Writers

CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, device int, value int);
CREATE TABLE tracked (LIKE plain INCLUDING ALL);
CREATE TABLE tracked_target (day date, n bigint);
SELECT sluice.create_load('writers', 'tracked', 'day', 'tracked_target', 'day', 'SELECT day, count(*) AS n FROM tracked WHERE day = $1 GROUP BY 1', track => 'trigger') \g /dev/null

-- write times one statement
CREATE FUNCTION write(relation regclass, days int, n int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
BEGIN
    began := clock_timestamp();
    EXECUTE format('INSERT INTO %s (day, device, value) SELECT date ''2024-01-01'' + (i * 7919 + $2) %% $1, i %% 100, i FROM generate_series(1, 1000) i', relation) USING days, n;
    RETURN extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;
CREATE PROCEDURE measure_writers(days int, statements int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN -10 .. statements LOOP
        IF n % 2 = 0 THEN
            INSERT INTO figure (name, by, ms) SELECT days || ' days', 'plain', write('plain', days, n) WHERE n > 0;
        END IF;
        INSERT INTO figure (name, by, ms) SELECT days || ' days', 'tracked', ms FROM write('tracked', days, n) ms WHERE n > 0;
        IF n % 2 <> 0 THEN
            INSERT INTO figure (name, by, ms) SELECT days || ' days', 'plain', write('plain', days, n) WHERE n > 0;
        END IF;
        COMMIT;
    END LOOP;
END $$;
CALL measure_writers(1, :statements);
CALL measure_writers(30, :statements);
DO $$
BEGIN
    IF (SELECT count(*) FROM sluice.late_partitions('writers')) <> 30 THEN
        RAISE EXCEPTION 'the triggers did not see all partitions';
    END IF;
END $$;

-- ---- Partitions

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, device int, value int);
INSERT INTO source (day, device, value)
SELECT date '2020-01-01' + (i / :rows)::int, i % 100, (random() * 1000)::int FROM generate_series(0::bigint, :partitions * :rows::bigint - 1) i;
CREATE INDEX ON source (day);
VACUUM ANALYZE source;
CREATE TABLE by_trigger (day date, device int, n bigint, value bigint);
CREATE INDEX ON by_trigger (day);
CREATE TABLE by_cursor (LIKE by_trigger INCLUDING ALL);
CREATE TABLE by_hand (LIKE by_trigger INCLUDING ALL);
\set query 'SELECT day, device, count(*) AS n, sum(value) AS value FROM source WHERE day = $1 GROUP BY 1, 2'
SELECT sluice.create_load('by_trigger', 'source', 'day', 'by_trigger', 'day', :'query', track => 'trigger') \g /dev/null
SELECT sluice.create_load('by_cursor', 'source', 'day', 'by_cursor', 'day', :'query') \g /dev/null
CHECKPOINT;

CREATE PROCEDURE timed(name text, by text, statement text) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz = clock_timestamp();
BEGIN
    EXECUTE statement;
    INSERT INTO figure (name, by, ms) VALUES (timed.name, timed.by, extract(epoch FROM clock_timestamp() - began) * 1000);
END $$;
-- A CALL inside a procedure commits only where it is written out.
CREATE PROCEDURE timed_run(name text, pipeline text) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz = clock_timestamp();
BEGIN
    CALL sluice.run(pipeline);
    INSERT INTO figure (name, by, ms) VALUES (timed_run.name, pipeline, extract(epoch FROM clock_timestamp() - began) * 1000);
END $$;

CALL timed('everything', 'by_hand', 'INSERT INTO by_hand SELECT day, device, count(*), sum(value) FROM source GROUP BY 1, 2');
CALL timed_run('everything', 'by_trigger');
CALL timed_run('everything', 'by_cursor');
ANALYZE by_hand, by_trigger, by_cursor;

CREATE PROCEDURE measure_runs(partitions int) LANGUAGE plpgsql AS $$
DECLARE
    late date[];
BEGIN
    FOR n IN 0 .. 9 LOOP -- the first warms up
        CALL timed_run('nothing new', 'by_trigger');
        CALL timed_run('nothing new', 'by_cursor');
        late := ARRAY(SELECT DISTINCT date '2020-01-01' + (n * 131 + i * 311) % partitions FROM generate_series(1, 3) i);
        INSERT INTO source (day, device, value) SELECT unnest(late), 1, 1;
        COMMIT;
        CALL timed('finding the late ones', 'by_trigger', $s$SELECT * FROM sluice.late_partitions('by_trigger')$s$);
        CALL timed('finding the late ones', 'by_cursor', $s$SELECT * FROM sluice.late_partitions('by_cursor')$s$);
        CALL timed('finding the late ones', 'by_hand', 'SELECT day FROM (SELECT day, sum(n) AS n FROM by_hand GROUP BY day) t FULL JOIN (SELECT day, count(*) AS n FROM source GROUP BY day) s USING (day) WHERE t.n IS DISTINCT FROM s.n');
        CALL timed('loading them again', 'by_hand', format('DELETE FROM by_hand WHERE day = ANY (%1$L); INSERT INTO by_hand SELECT day, device, count(*), sum(value) FROM source WHERE day = ANY (%1$L) GROUP BY 1, 2', late));
        COMMIT;
        CALL timed_run('loading them again', 'by_trigger');
        CALL timed_run('loading them again', 'by_cursor');
        IF n = 0 THEN
            DELETE FROM figure WHERE name IN ('nothing new', 'finding the late ones', 'loading them again');
        END IF;
        COMMIT;
    END LOOP;
END $$;
CALL measure_runs(:partitions);

DO $$
DECLARE
    relation text;
    wrong bigint;
BEGIN
    FOREACH relation IN ARRAY '{by_trigger, by_cursor, by_hand}'::text[] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT day, device, count(*), sum(value) FROM source GROUP BY 1, 2 EXCEPT ALL TABLE %s) x', relation) INTO wrong;
        IF wrong > 0 THEN
            RAISE EXCEPTION '% rows are missing from %', wrong, relation;
        END IF;
    END LOOP;
    IF (SELECT sum(batches) FROM sluice.runs WHERE pipeline = 'by_trigger') <> (SELECT count(DISTINCT day) FROM source) + 30 THEN
        RAISE EXCEPTION 'more was loaded than what was late';
    END IF;
END $$;

\pset footer off
\pset null ''
\echo INSERTs of 1,000 rows, ms a statement (median, and first decile: what other processes take is mostly not in it)
SELECT name, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'plain')::numeric, 3) AS "without trigger",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'tracked')::numeric, 3) AS "with trigger",
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'tracked')
              / percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'plain'))::numeric, 3) AS ratio,
       round(percentile_cont(0.1) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'plain')::numeric, 3) AS "decile without",
       round(percentile_cont(0.1) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'tracked')::numeric, 3) AS "with",
       round((percentile_cont(0.1) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'tracked')
              / percentile_cont(0.1) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'plain'))::numeric, 3) AS "ratio of deciles"
FROM figure WHERE by IN ('plain', 'tracked') GROUP BY name ORDER BY min(number);
\echo :partitions partitions of :rows rows, 3 of them late; ms (medians)
SELECT name, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'by_trigger')::numeric, 1) AS "track trigger",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'by_cursor')::numeric, 1) AS "track cursor",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE by = 'by_hand')::numeric, 1) AS "by hand"
FROM figure WHERE by LIKE 'by%' GROUP BY name ORDER BY min(number);
