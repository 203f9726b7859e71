-- Merge: partial rows into one full row for each key.
\set VERBOSITY default
SET client_min_messages = warning;

-- ---- thousands of histories, each in another order, against one fold in plain SQL

CREATE TABLE history (
    n    int PRIMARY KEY,
    key  int NOT NULL,
    at   int,
    op   text NOT NULL,
    name text COLLATE "C",
    age  int,
    paid numeric
);
SELECT setseed(0.42);
-- 3,000 histories of 12 rows; few moments, so that there are ties; some rows delete, some have no moment
INSERT INTO history
SELECT n, n % 3000, CASE WHEN random() < 0.04 THEN NULL ELSE floor(random() * 12)::int END,
       CASE WHEN random() < 0.12 THEN 'D' ELSE 'U' END,
       CASE WHEN random() < 0.5 THEN chr(97 + floor(random() * 4)::int) || floor(random() * 10) END,
       CASE WHEN random() < 0.4 THEN floor(random() * 100)::int END,
       CASE WHEN random() < 0.3 THEN round((random() * 100)::numeric, floor(random() * 3)::int) END
FROM generate_series(1, 36000) n;

-- the oracle: what a key is when its whole history is looked at at once
CREATE VIEW facts AS
SELECT h.*, coalesce(at, -1) AS moment,
       max(coalesce(at, -1)) FILTER (WHERE op = 'D') OVER (PARTITION BY key) AS deleted
FROM history h;
CREATE VIEW oracle AS
SELECT key,
       (array_agg(name ORDER BY moment DESC, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name,
       (array_agg(age ORDER BY moment DESC, age DESC) FILTER (WHERE age IS NOT NULL))[1] AS age,
       (array_agg(paid ORDER BY moment DESC, paid DESC, scale(paid) DESC) FILTER (WHERE paid IS NOT NULL))[1] AS paid,
       nullif(max(moment), -1) AS at
FROM facts
WHERE op <> 'D' AND (deleted IS NULL OR moment > deleted)
GROUP BY key;
SELECT count(*) > 2000 AS many, count(*) < 3000 AS some_deleted FROM oracle;

-- differences tells how many keys a target has wrong, missing or too many
CREATE FUNCTION differences(target regclass, keys int DEFAULT 3000) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT key, name, age, paid, at FROM oracle WHERE key < %2$s) o
                    FULL JOIN %1$s t USING (key)
                    WHERE (o.name, o.age, o.paid, o.at) IS DISTINCT FROM (t.name, t.age, t.paid, t.at)
                       OR o.key IS NULL OR t.key IS NULL', target, keys) INTO result;
    RETURN result;
END $$;

-- a source like the history, which is filled in this or that order
CREATE PROCEDURE arrive(source regclass, in_order text, parts int, part int, keys int DEFAULT 3000) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (key, at, op, name, age, paid) SELECT key, at, op, name, age, paid FROM
                    (SELECT h.*, row_number() OVER (ORDER BY %s) AS place FROM history h WHERE key < %s) x
                    WHERE place %% %s = %s - 1 ORDER BY place', source, in_order, keys, parts, part);
END $$;
CREATE PROCEDURE make_source(name text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int, at int, op text,
                    name text COLLATE "C", age int, paid numeric)', name);
END $$;

-- in order, all at once
CALL make_source('s1');
SELECT sluice.create_merge('m1', 's1', 't1', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$);
CALL arrive('s1', 'n', 1, 1);
CALL sluice.run('m1');
SELECT differences('t1');
SELECT batches, source_rows, inserted = (SELECT count(*) FROM t1) AS all_new, updated, deleted FROM sluice.runs WHERE pipeline = 'm1';

-- backwards, in batches of 7
CALL make_source('s2');
SELECT sluice.create_merge('m2', 's2', 't2', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$, batch_size => 7);
CALL arrive('s2', 'n DESC', 1, 1, 300);
CALL sluice.run('m2');
SELECT differences('t2', 300);

-- shuffled, in five runs, in batches of 1,000
CALL make_source('s3');
SELECT sluice.create_merge('m3', 's3', 't3', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$, batch_size => 1000);
CALL arrive('s3', 'md5(n::text)', 5, 1);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 2);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 3);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 4);
CALL sluice.run('m3');
CALL arrive('s3', 'md5(n::text)', 5, 5);
CALL sluice.run('m3');
SELECT differences('t3');

-- shuffled, one by one
CALL make_source('s4');
SELECT sluice.create_merge('m4', 's4', 't4', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$, batch_size => 1);
CALL arrive('s4', 'md5(n::text || ''x'')', 1, 1, 150);
CALL sluice.run('m4');
SELECT differences('t4', 150);

-- the newest first, so that everything is late; by the executor; the same rows once more change nothing
CALL make_source('s5');
SELECT sluice.create_merge('m5', 's5', 't5', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$, batch_size => 5000);
CALL arrive('s5', 'at DESC NULLS LAST, n', 1, 1);
SET sluice.test_by_query = on;
CALL sluice.run('m5');
RESET sluice.test_by_query;
SELECT differences('t5');
CALL arrive('s5', 'md5(n::text)', 1, 1);
CALL sluice.run('m5');
SELECT differences('t5');
SELECT inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'm5' ORDER BY run_id DESC LIMIT 1;

-- with a hash cursor over rows, which knows them by their content
CREATE TABLE s6 (key int, at int, op text, name text COLLATE "C", age int, paid numeric);
SELECT sluice.create_merge('m6', 's6', 't6', '{key}', 'at', '{name,age,paid}', delete_when => $$op = 'D'$$, cursor => 'hash', batch_size => 10000);
CALL arrive('s6', 'md5(n::text)', 2, 1);
CALL sluice.run('m6');
CALL arrive('s6', 'md5(n::text)', 2, 2);
CALL sluice.run('m6');
SELECT differences('t6');
SELECT sum(source_rows) = 36000 AS each_row_once, sum(duplicates) AS duplicates FROM sluice.runs WHERE pipeline = 'm6';
SELECT missing FROM sluice.verify('m6');
