-- Merge: what is remembered of keys that are numbers lies on pages, that of others in rows of their own.
\set VERBOSITY default
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SELECT setseed(0.7);

-- ---- histories of keys of every type, against one fold in plain SQL

-- Keys that lie close together, far from each other, and at the limits of their types.
CREATE TABLE keys AS
    SELECT 'smallint' AS type, k::text AS key FROM (SELECT generate_series(-40, 40) UNION SELECT generate_series(-32768, -32750) UNION SELECT generate_series(32750, 32767)) x (k)
    UNION ALL
    SELECT 'integer', k::text FROM (SELECT generate_series(-20::bigint, 20) UNION SELECT generate_series(-2147483648, -2147483630) UNION SELECT generate_series(2147483630, 2147483647)
        UNION SELECT i * 1009 FROM generate_series(1, 30) i) x (k)
    UNION ALL
    SELECT 'bigint', k::text FROM (SELECT generate_series(-20::numeric, 20) UNION SELECT generate_series(-9223372036854775808, -9223372036854775790)
        UNION SELECT generate_series(9223372036854775790, 9223372036854775807) UNION SELECT i * 123456789012 FROM generate_series(1, 30) i) x (k)
    UNION ALL
    SELECT 'date', k::text FROM (SELECT date '1999-12-01' + generate_series(1, 60) UNION SELECT unnest('{-infinity,infinity,4713-01-01 BC,5874897-12-31,0001-01-01}'::date[])) x (k)
    UNION ALL
    SELECT 'timestamp', k::text FROM (SELECT timestamp '2000-01-01' + generate_series(-20, 20) * interval '1 microsecond'
        UNION SELECT unnest('{-infinity,infinity,4713-01-01 BC,294276-12-31 23:59:59.999999}'::timestamp[]) UNION SELECT timestamp '2024-01-01' + generate_series(1, 20) * interval '1 hour') x (k)
    UNION ALL
    SELECT 'timestamptz', k::text FROM (SELECT timestamptz '2000-01-01' + generate_series(-40, 40) * interval '1 microsecond') x (k)
    UNION ALL
    SELECT 'whole', generate_series(-40, 40)::text
    UNION ALL
    SELECT 'text', 'k' || generate_series(1, 60)
    UNION ALL
    SELECT 'numeric', generate_series(1, 60)::text;
CREATE DOMAIN whole AS bigint CHECK (VALUE < 1000);

-- Moments that are close together, and as far apart as can be; some rows delete; of a third a column comes only later; a key without a name waits.
CREATE TABLE history AS
SELECT row_number() OVER () AS n, type, key, i % 3 AS part,
       CASE WHEN random() < 0.05 THEN NULL WHEN random() < 0.1 THEN -9223372036854775805 WHEN random() < 0.1 THEN 9223372036854775807
            WHEN random() < 0.2 THEN floor((random() - 0.5) * 1.8e19)::numeric::bigint ELSE floor(random() * 10)::bigint END AS at,
       CASE WHEN random() < 0.12 THEN 'D' ELSE 'U' END AS op,
       CASE WHEN random() < 0.15 THEN (chr(97 + floor(random() * 4)::int) || floor(random() * 10)) COLLATE "C" END AS name,
       CASE WHEN random() < 0.5 THEN floor(random() * 100)::int END AS age,
       CASE WHEN random() < 0.5 THEN round((random() * 100)::numeric, 1) END AS paid,
       CASE WHEN i % 3 > 0 AND random() < 0.5 THEN floor(random() * 100)::int END AS late
FROM keys, generate_series(1, 12) i;
CREATE VIEW oracle AS
SELECT type, key, nullif(max(moment), -9223372036854775807) AS at,
       (array_agg(name ORDER BY moment DESC, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name,
       (array_agg(age ORDER BY moment DESC, age DESC) FILTER (WHERE age IS NOT NULL))[1] AS age,
       (array_agg(paid ORDER BY moment DESC, paid DESC) FILTER (WHERE paid IS NOT NULL))[1] AS paid,
       (array_agg(late ORDER BY moment DESC, late DESC) FILTER (WHERE late IS NOT NULL))[1] AS late
FROM (SELECT h.*, coalesce(at, -9223372036854775807) AS moment,
             max(coalesce(at, -9223372036854775807)) FILTER (WHERE op = 'D') OVER (PARTITION BY type, key) AS deleted
      FROM history h) x
WHERE op <> 'D' AND (deleted IS NULL OR moment > deleted)
GROUP BY type, key;
SELECT type, count(*) FILTER (WHERE name IS NOT NULL) > 20 AS written, count(*) FILTER (WHERE name IS NULL) > 4 AS waiting,
       (SELECT count(*) FROM keys k WHERE k.type = o.type) > count(*) AS deleted
FROM oracle o GROUP BY type ORDER BY type;

CREATE PROCEDURE begin_play(name text, type text, batch_size int, arguments text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE source_%s (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key %s, at bigint, op text, name text COLLATE "C", age int, paid numeric)', name, type);
    EXECUTE format('CREATE TABLE target_%s (key %s PRIMARY KEY, at bigint, name text COLLATE "C" NOT NULL, age int, paid numeric)', name, type);
    EXECUTE format('SELECT sluice.create_merge(%L, %L, %L, %L, %L, delete_when => %L, batch_size => %s%s)', name, 'source_' || name, 'target_' || name,
                   '{key}', 'at', 'op = ''D''', batch_size, arguments);
END $$;
CREATE PROCEDURE play_on(name text, type text, in_order text DEFAULT 'md5(n::text)') LANGUAGE plpgsql AS $$
BEGIN
    FOR part IN 0..2 LOOP
        EXECUTE format('INSERT INTO source_%1$s (key, at, op, name, age, paid%2$s) SELECT key::%3$s, at, op, name, age, paid%2$s FROM history WHERE type = %3$L AND part = %4$s ORDER BY %5$s',
                       name, CASE WHEN part > 0 THEN ', late' ELSE '' END, type, part, in_order);
        CALL sluice.run(name);
        IF part = 0 THEN
            EXECUTE format('ALTER TABLE source_%s ADD late int', name);
            EXECUTE format('ALTER TABLE target_%s ADD late int', name);
        END IF;
    END LOOP;
END $$;
CREATE PROCEDURE play(name text, type text, batch_size int, in_order text DEFAULT 'md5(n::text)') LANGUAGE plpgsql AS $$
BEGIN
    CALL begin_play(name, type, batch_size);
    CALL play_on(name, type, in_order);
END $$;
-- differences tells how many keys a target has wrong, missing or too many, and whether as many wait as shall
CREATE FUNCTION differences(name text, of_type text, OUT wrong bigint, OUT waiting boolean) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT key::%2$s AS key, at, name, age, paid, late FROM oracle WHERE type = %2$L AND name IS NOT NULL) o FULL JOIN target_%1$s t USING (key)
                    WHERE (o.at, o.name, o.age, o.paid, o.late) IS DISTINCT FROM (t.at, t.name, t.age, t.paid, t.late)', name, of_type) INTO wrong;
    waiting := (SELECT waiting_keys FROM sluice.status WHERE pipeline = differences.name) = (SELECT count(*) FROM oracle o WHERE o.type = of_type AND o.name IS NULL);
END $$;
CALL play('small_1000', 'smallint', 1000);
CALL play('small_7', 'smallint', 7);
CALL play('small_1', 'smallint', 1, 'n DESC');
CALL play('integer_1000', 'integer', 1000);
CALL play('integer_7', 'integer', 7, 'at DESC, n');
CALL play('big_1000', 'bigint', 1000);
CALL play('big_7', 'bigint', 7);
CALL play('big_1', 'bigint', 1);
CALL play('date_1000', 'date', 1000, 'at, n');
CALL play('date_7', 'date', 7);
CALL play('timestamp_1000', 'timestamp', 1000);
CALL play('timestamp_7', 'timestamp', 7);
CALL play('timestamptz_100', 'timestamptz', 100);
CALL play('whole_50', 'whole', 50);
CALL play('text_7', 'text', 7);
CALL play('numeric_100', 'numeric', 100);
SELECT 'small_1000' AS name, * FROM differences('small_1000', 'smallint') UNION ALL SELECT 'small_7', * FROM differences('small_7', 'smallint')
UNION ALL SELECT 'small_1', * FROM differences('small_1', 'smallint') UNION ALL SELECT 'integer_1000', * FROM differences('integer_1000', 'integer')
UNION ALL SELECT 'integer_7', * FROM differences('integer_7', 'integer') UNION ALL SELECT 'big_1000', * FROM differences('big_1000', 'bigint')
UNION ALL SELECT 'big_7', * FROM differences('big_7', 'bigint') UNION ALL SELECT 'big_1', * FROM differences('big_1', 'bigint')
UNION ALL SELECT 'date_1000', * FROM differences('date_1000', 'date') UNION ALL SELECT 'date_7', * FROM differences('date_7', 'date')
UNION ALL SELECT 'timestamp_1000', * FROM differences('timestamp_1000', 'timestamp') UNION ALL SELECT 'timestamp_7', * FROM differences('timestamp_7', 'timestamp')
UNION ALL SELECT 'timestamptz_100', * FROM differences('timestamptz_100', 'timestamptz') UNION ALL SELECT 'whole_50', * FROM differences('whole_50', 'whole')
UNION ALL SELECT 'text_7', * FROM differences('text_7', 'text') UNION ALL SELECT 'numeric_100', * FROM differences('numeric_100', 'numeric');
-- which have pages
SELECT name, string_agg(attname, ', ' ORDER BY attnum) AS columns
FROM sluice.pipeline, pg_attribute
WHERE attrelid = to_regclass('sluice.merge_' || pipeline_id) AND attnum > 0 GROUP BY name ORDER BY name;
-- by the executor; with rejects that make batches be done again, key by key
CALL begin_play('executor', 'bigint', 50);
SET sluice.test_by_query = on;
CALL play_on('executor', 'bigint');
RESET sluice.test_by_query;
SELECT * FROM differences('executor', 'bigint');
CALL begin_play('rejecting', 'bigint', 100, ', on_error => ''reject'', max_rejects => NULL');
ALTER TABLE target_rejecting ADD CHECK (key <> 7 AND key NOT BETWEEN -9 AND -5);
CALL play_on('rejecting', 'bigint');
SELECT wrong = (SELECT count(*) FROM oracle WHERE type = 'bigint' AND name IS NOT NULL AND (key::bigint = 7 OR key::bigint BETWEEN -9 AND -5)) AS those_that_were_rejected
FROM differences('rejecting', 'bigint');
SELECT count(*) > 0 AS rejects FROM sluice.rejects WHERE pipeline = 'rejecting';

-- ---- a table of before there were pages

CREATE PROCEDURE make_rows(of_pipeline text, type text) LANGUAGE plpgsql AS $$
DECLARE id int := (SELECT pipeline_id FROM sluice.pipeline WHERE name = of_pipeline);
BEGIN
    EXECUTE format('DROP TABLE sluice.merge_%s', id);
    EXECUTE format('CREATE TABLE sluice.merge_%s (key %s NOT NULL, sluice_times bytea NOT NULL, sluice_waiting text[], sluice_deep bytea, PRIMARY KEY (key)) WITH (fillfactor = 50)', id, type);
    EXECUTE format('CREATE INDEX merge_%1$s_waiting ON sluice.merge_%1$s ((true)) WHERE sluice_waiting IS NOT NULL', id);
END $$;
CALL begin_play('old', 'bigint', 7);
CALL make_rows('old', 'bigint');
CALL play_on('old', 'bigint');
SELECT * FROM differences('old', 'bigint');
CALL begin_play('old_dates', 'date', 1000);
CALL make_rows('old_dates', 'date');
CALL play_on('old_dates', 'date');
SELECT * FROM differences('old_dates', 'date');
-- a rebuild leaves it as it is
CALL sluice.rebuild('old', discard => true);
SELECT * FROM differences('old', 'bigint');
SELECT string_agg(attname, ', ' ORDER BY attnum) AS columns FROM pg_attribute
WHERE attrelid = to_regclass('sluice.merge_' || (SELECT pipeline_id FROM sluice.pipeline WHERE name = 'old')) AND attnum > 0;

-- ---- the key gets another type

CREATE PROCEDURE say(statement text) LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN -- without the pipeline's number
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE WARNING '%: %', SQLSTATE, regexp_replace(SQLERRM, 'merge_\d+', 'merge_N')
        USING DETAIL = regexp_replace(detail, 'merge_\d+', 'merge_N'), HINT = regexp_replace(hint, 'merge_\d+', 'merge_N');
END $$;
-- a wider one has the same numbers
ALTER TABLE target_small_7 ALTER key TYPE bigint;
ALTER TABLE source_small_7 ALTER key TYPE bigint;
INSERT INTO source_small_7 (key, at, op, name, age) VALUES (3, 9223372036854775807, 'D', NULL, NULL);
CALL sluice.run('small_7');
INSERT INTO source_small_7 (key, at, op, name, age) VALUES (3, 100, 'U', 'late', 1), (1000000, 1, 'U', 'new', 2), (1000001, 1, 'U', NULL, 2);
CALL sluice.run('small_7');
INSERT INTO source_small_7 (key, at, op, name, age) VALUES (1000001, 0, 'U', 'late', 9), (1000000, 0, 'U', 'late', 9);
CALL sluice.run('small_7');
SELECT key, at, name, age FROM target_small_7 WHERE key IN (3, 1000000, 1000001) ORDER BY key;
DELETE FROM target_small_7 WHERE key >= 1000000;
SELECT wrong <= 1 AS as_before FROM differences('small_7', 'smallint');
-- others have not; a rebuild makes the table anew
ALTER TABLE target_timestamp_7 ALTER key TYPE timestamptz;
CALL say($$CALL sluice.run('timestamp_7')$$);
CALL sluice.rebuild('timestamp_7', discard => true);
SELECT * FROM differences('timestamp_7', 'timestamp');
ALTER TABLE target_integer_7 ALTER key TYPE text;
CALL say($$CALL sluice.run('integer_7')$$);
CALL sluice.rebuild('integer_7', discard => true);
ALTER TABLE target_integer_7 ALTER key TYPE int USING key::int;
CALL say($$CALL sluice.run('integer_7')$$);
CALL sluice.rebuild('integer_7', discard => true);
SELECT * FROM differences('integer_7', 'integer');
SELECT name, string_agg(attname, ', ' ORDER BY attnum) AS columns
FROM sluice.pipeline, pg_attribute
WHERE attrelid = to_regclass('sluice.merge_' || pipeline_id) AND attnum > 0 AND name IN ('timestamp_7', 'integer_7') GROUP BY name ORDER BY name;

-- ---- many columns: rows that are long, but lie where they are

CREATE TABLE source_wide (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at timestamptz);
DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('ALTER TABLE source_wide ADD c%s int', i); END LOOP; END $$;
CREATE TABLE wide_history AS
SELECT n, floor(random() * 40 - 20)::int AS key, 'c' || ceil(random() * 60) AS c, timestamptz '2020-01-01' + random() * interval '1000 days' AS at, floor(random() * 1000)::int AS v
FROM generate_series(1, 4000) n;
SELECT sluice.create_merge('wide', 'source_wide', 'target_wide', '{key}', 'at', batch_size => 700);
DO $$ BEGIN
    FOR i IN 1..60 LOOP
        EXECUTE format('INSERT INTO source_wide (key, at, c%1$s) SELECT key, at, v FROM wide_history WHERE c = %2$L ORDER BY n', i, 'c' || i);
        IF i IN (20, 21, 59, 60) THEN CALL sluice.run('wide'); END IF;
    END LOOP;
END $$;
SELECT count(*) AS wrong FROM
    (SELECT key, c, v FROM target_wide t, LATERAL (SELECT key AS c, value::int AS v FROM jsonb_each_text(to_jsonb(t)) WHERE key ~ '^c\d') x WHERE v IS NOT NULL) t
    FULL JOIN (SELECT DISTINCT ON (key, c) key, c, v FROM wide_history ORDER BY key, c, at DESC) o USING (key, c)
WHERE t.v IS DISTINCT FROM o.v;
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'wide' \gset
SELECT count(*) AS pages, max(pg_column_size(sluice_times)) BETWEEN 3000 AND 8000 AS long, pg_relation_size(reltoastrelid) AS elsewhere
FROM :states, pg_class WHERE oid = :'states'::regclass GROUP BY reltoastrelid;

-- ---- damaged pages are an error, not a crash

CREATE TABLE source_hurt (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at bigint, name text, age int);
CREATE TABLE target_hurt (key int PRIMARY KEY, at bigint, name text NOT NULL, age int);
SELECT sluice.create_merge('hurt', 'source_hurt', 'target_hurt', '{key}', 'at');
INSERT INTO source_hurt (key, at, name, age)
SELECT i / 3, CASE i % 3 WHEN 0 THEN 1 WHEN 1 THEN i WHEN 2 THEN 9223372036854775807 END, CASE WHEN i % 3 = 1 AND i < 20 THEN 'n' END, i FROM generate_series(0, 30) i;
CALL sluice.run('hurt');
SELECT * FROM target_hurt ORDER BY key;
INSERT INTO source_hurt (key, at, name, age) SELECT i, 5, 'n', i FROM generate_series(0, 15) i;
SELECT 'sluice.merge_' || pipeline_id AS states FROM sluice.pipeline WHERE name = 'hurt' \gset
CREATE VIEW hurt_states AS SELECT * FROM :states;
CREATE TABLE outcomes (what text, outcome text);
CREATE PROCEDURE hurt(what text, times bytea, waiting text[]) LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    BEGIN
        UPDATE hurt_states SET sluice_times = times, sluice_waiting = waiting;
        CALL sluice.run('hurt');
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN data_corrupted THEN result := 'damaged';
        WHEN raise_exception THEN result := 'goes on';
        WHEN others THEN result := SQLERRM;
    END;
    INSERT INTO outcomes VALUES (what, result);
END $$;
SELECT sluice_times AS times, sluice_waiting AS waiting FROM hurt_states \gset
DO $$
DECLARE times bytea; waiting text[]; result text;
BEGIN
    SELECT sluice_times, sluice_waiting INTO times, waiting FROM hurt_states;
    FOR i IN 0..length(times) - 1 LOOP
        CALL hurt('cut', substr(times, 1, i), waiting);
        CALL hurt('changed', set_byte(times, i, floor(random() * 256)::int), waiting);
        CALL hurt('changed', set_byte(times, i, (ARRAY[0, 1, 2, 3, 127, 128, 255])[ceil(random() * 7)]), waiting);
    END LOOP;
END $$;
SELECT outcome, count(*) > 5 AS several FROM outcomes GROUP BY outcome ORDER BY outcome;
TRUNCATE outcomes;
CALL hurt('nothing waits', :'times', '{}');
CALL hurt('no pairs', :'times', '{1,name}');
CALL hurt('no such place', :'times', '{{16,name,x}}');
CALL hurt('no such place', :'times', '{{-1,name,x}}');
CALL hurt('no place', :'times', '{{one,name,x}}');
CALL hurt('no place', :'times', '{{NULL,name,x}}');
CALL hurt('no such leaf', :'times', '{{9,nome,x}}');
CALL hurt('twice', :'times'::bytea || :'times'::bytea, NULL);
SELECT * FROM outcomes;
UPDATE hurt_states SET sluice_times = '\x0105';
CALL say($$CALL sluice.run('hurt')$$);
CALL sluice.rebuild('hurt', discard => true);
SELECT count(*) FROM target_hurt;
DROP VIEW hurt_states CASCADE;
-- so are damaged rows of single keys
CREATE TABLE source_hurt_rows (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text, at bigint, name text);
CREATE TABLE target_hurt_rows (key text PRIMARY KEY, at bigint, name text NOT NULL);
SELECT sluice.create_merge('hurt_rows', 'source_hurt_rows', 'target_hurt_rows', '{key}', 'at');
INSERT INTO source_hurt_rows (key, at, name) VALUES ('a', 1, NULL);
CALL sluice.run('hurt_rows');
INSERT INTO source_hurt_rows (key, at, name) VALUES ('a', 2, 'n');
SELECT 'sluice.merge_' || pipeline_id AS rows_of_keys FROM sluice.pipeline WHERE name = 'hurt_rows' \gset
CREATE PROCEDURE alter_and_run(statement text, name text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE format(statement, 'sluice.merge_' || (SELECT pipeline_id FROM sluice.pipeline p WHERE p.name = alter_and_run.name));
        CALL say(format('CALL sluice.run(%L)', name));
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
END $$;
CALL alter_and_run($$UPDATE %s SET sluice_waiting = '{NULL,x}'$$, 'hurt_rows');
CALL alter_and_run('ALTER TABLE %1$s ALTER sluice_times DROP NOT NULL; UPDATE %1$s SET sluice_times = NULL', 'hurt_rows');
INSERT INTO source_hurt (key, at, name, age) SELECT i, 6, 'n', i FROM generate_series(0, 15) i;
-- and tables that somebody altered
CALL alter_and_run('ALTER TABLE %s ALTER sluice_times TYPE bigint USING 4096', 'hurt_rows');
CALL alter_and_run('ALTER TABLE %s DROP sluice_deep', 'hurt_rows');
CALL alter_and_run('ALTER TABLE %s DROP CONSTRAINT ' || replace(:'rows_of_keys', 'sluice.', '') || '_pkey', 'hurt_rows');
CALL alter_and_run('ALTER TABLE %1$s ALTER sluice_times DROP NOT NULL; UPDATE %1$s SET sluice_times = NULL', 'hurt');
CALL alter_and_run('ALTER TABLE %s ALTER sluice_waiting TYPE text', 'hurt');
CALL alter_and_run('ALTER TABLE %s RENAME sluice_integer_page TO sluice_date_page', 'hurt');
CALL alter_and_run('ALTER TABLE %s ADD sluice_deep text', 'hurt'); -- does no harm
ALTER TABLE :rows_of_keys DROP sluice_deep;
CALL sluice.rebuild('hurt_rows');
TABLE target_hurt_rows;
SELECT count(sluice.drop_pipeline(name)) > 10 AS dropped FROM sluice.pipeline;
SELECT count(*) AS left_over FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relname ~ '^merge_\d';
