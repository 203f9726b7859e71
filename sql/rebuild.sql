-- Rebuild: everything is loaded again, in one transaction.
\set VERBOSITY default
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA live;
CREATE SCHEMA fresh;

-- differences counts the rows by which two tables differ, but for columns that are numbered anew.
CREATE FUNCTION differences(a regclass, b regclass, apart text DEFAULT '') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    columns text;
    n bigint;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
    WHERE attrelid = a AND attnum > 0 AND NOT attisdropped AND attname <> ALL (string_to_array(apart, ','));
    EXECUTE format('SELECT count(*) FROM ((SELECT %1$s FROM %2$s EXCEPT ALL SELECT %1$s FROM %3$s) UNION ALL '
                   '(SELECT %1$s FROM %3$s EXCEPT ALL SELECT %1$s FROM %2$s)) d', columns, a, b) INTO n;
    RETURN n;
END $$;

-- last_run shows the newest run of a pipeline, and how many before it are undone.
CREATE VIEW last_run AS
SELECT pipeline, status, batches, source_rows, inserted, updated, deleted, duplicates, rejected, left(error, 60) AS error,
       (SELECT count(*) FROM sluice.runs o WHERE o.pipeline = r.pipeline AND o.undone_at IS NOT NULL) AS undone
FROM sluice.runs r WHERE run_id = (SELECT max(run_id) FROM sluice.runs n WHERE n.pipeline = r.pipeline) AND pipeline NOT LIKE 'fresh%' ORDER BY pipeline;

-- Shred, append: three cursors, parents and children with foreign keys
CREATE TABLE stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
SELECT sluice.add_snapshot_column('stage');
CREATE FUNCTION tables_in(target name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %1$I.client (client_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app int, run bigint);
        CREATE TABLE %1$I.phone (client_id bigint NOT NULL REFERENCES %1$I.client, number text);
        CREATE TABLE %1$I.person (app int PRIMARY KEY, name text, at int);
        CREATE TABLE %1$I.pet (app int REFERENCES %1$I.person ON DELETE CASCADE, name text);
        CREATE INDEX ON %1$I.pet (app)', target);
END $$;
SELECT tables_in('live'), tables_in('fresh');
CREATE FUNCTION mapping(target text, keyed boolean) RETURNS json LANGUAGE sql AS $$
    SELECT CASE WHEN keyed THEN format('{"%1$s.person": {"key": "app", "newest_by": "at", "columns": {"app": "$.app", "name": "$.name", "at": "$.at"}},
        "%1$s.pet": {"parent": "%1$s.person", "each": "$.pets[*]", "columns": {"app": "parent.app", "name": "@"}}}', target)::json
    ELSE format('{"%1$s.client": {"columns": {"client_id": "#serial", "app": "$.app"}},
        "%1$s.phone": {"parent": "%1$s.client", "each": "$.phones[*]", "columns": {"client_id": "parent.client_id", "number": "@"}}}', target)::json END
$$;
CREATE PROCEDURE deliver(a int, b int) LANGUAGE sql AS $$
    INSERT INTO stage (doc) SELECT jsonb_build_object('app', i % 40, 'name', 'n' || i, 'at', i % 7, 'phones', jsonb_build_array(i::text, (i * 2)::text),
        'pets', jsonb_build_array('cat' || i)) FROM generate_series(a, b) i
$$;
CALL deliver(1, 100);

-- damage the targets, deliver more, rebuild: the content is that of a new pipeline
CREATE PROCEDURE try_append(cursor_name text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sluice.create_shred('live', 'stage', 'doc', mapping('live', false), cursor => cursor_name, batch_size => 30);
    COMMIT;
    CALL sluice.run('live');
    DELETE FROM live.phone WHERE number LIKE '1%';
    UPDATE live.client SET app = -1 WHERE client_id % 3 = 0;
    COMMIT;
    CALL deliver(101, 120);
    COMMIT;
    CALL sluice.rebuild('live');
    PERFORM sluice.create_shred('fresh', 'stage', 'doc', mapping('fresh', false), cursor => cursor_name);
    COMMIT;
    CALL sluice.run('fresh');
END $$;
CREATE VIEW shown AS SELECT differences('live.client', 'fresh.client', 'client_id'),
    (SELECT count(*) FROM ((SELECT c.app, p.number FROM live.client c JOIN live.phone p USING (client_id) EXCEPT ALL
                            SELECT c.app, p.number FROM fresh.client c JOIN fresh.phone p USING (client_id))) d) AS joined,
    (SELECT count(*) FROM live.phone) AS phones,
    (SELECT pending FROM (SELECT sluice.pending('live')) p (pending)) AS pending, v.* FROM sluice.verify('live') v;
CREATE PROCEDURE tidy() LANGUAGE sql AS $$
    SELECT sluice.drop_pipeline(p.pipeline) FROM (SELECT pipeline FROM sluice.status ORDER BY pipeline) p;
    TRUNCATE live.client, live.phone, live.person, live.pet, fresh.client, fresh.phone, fresh.person, fresh.pet;
$$;
CALL try_append('sequence');
SELECT * FROM shown;
SELECT * FROM last_run;
CALL sluice.run('live');
SELECT count(*) FROM live.client;
CALL tidy();
CALL try_append('snapshot');
SELECT * FROM shown;
SELECT * FROM last_run;
CALL tidy();
CALL try_append('hash');
SELECT * FROM shown;
SELECT * FROM last_run;
-- again, and in a transaction block
BEGIN;
CALL sluice.rebuild('live');
SELECT * FROM shown;
COMMIT;
SELECT * FROM last_run;
CALL tidy();

-- Shred, by key: documents that came again, children replaced by cascade; the runs' numbers still tell what is there
CREATE PROCEDURE try_keyed(cursor_name text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sluice.create_shred('live', 'stage', 'doc', mapping('live', true), cursor => cursor_name, batch_size => 30);
    COMMIT;
    FOR i IN 1..3 LOOP
        CALL deliver(i * 11, i * 11 + 30);
        COMMIT;
        CALL sluice.run('live', max_batches => 1);
    END LOOP;
    UPDATE live.person SET name = 'hand', at = 99 WHERE app % 5 = 0;
    DELETE FROM live.person WHERE app % 7 = 0;
    COMMIT;
    CALL sluice.rebuild('live');
    PERFORM sluice.create_shred('fresh', 'stage', 'doc', mapping('fresh', true), cursor => cursor_name);
    COMMIT;
    CALL sluice.run('fresh');
END $$;
CREATE VIEW shown_keyed AS SELECT differences('live.person', 'fresh.person') AS persons, differences('live.pet', 'fresh.pet') AS pets,
    (SELECT count(*) FROM live.person) AS count, sluice.pending('live') AS pending;
CALL try_keyed('sequence');
SELECT * FROM shown_keyed;
CALL tidy();
CALL try_keyed('hash');
SELECT * FROM shown_keyed;
CALL tidy();

-- Rejects: they are tried again, and those that do not fit are rejected anew
SELECT sluice.create_shred('live', 'stage', 'doc', mapping('live', false), on_error => 'reject');
INSERT INTO stage (doc) VALUES ('{"app": "x"}'), ('{"app": 5000}');
ALTER TABLE live.client ADD CONSTRAINT small CHECK (app < 5000);
CALL sluice.run('live');
SELECT count(*), (SELECT count(*) FROM live.client) AS loaded FROM sluice.rejects;
ALTER TABLE live.client DROP CONSTRAINT small;
CALL sluice.rebuild('live');
SELECT count(*), min(message), (SELECT count(*) FROM live.client WHERE app = 5000) AS loaded FROM sluice.rejects;
CALL tidy();
DELETE FROM stage WHERE doc = '{"app": "x"}';

-- Merge: what each key remembers goes, also where the table of it is gone
CREATE TABLE part (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, a text, b text, n int, gone boolean, at timestamptz);
CREATE FUNCTION parts(a int, b int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO part (id, a, b, n, gone, at) SELECT i % 20, CASE WHEN i % 2 = 0 THEN 'a' || i END, CASE WHEN i % 3 = 0 THEN 'b' || i END, i, i % 13 = 0,
        '2024-01-01'::timestamptz + (i * 7 % 50) * interval '1 hour' FROM generate_series(a, b) i
$$;
SELECT parts(1, 60);
CREATE TABLE live.whole (id int PRIMARY KEY, a text, b text, n int, at timestamptz);
CREATE TABLE fresh.whole (LIKE live.whole INCLUDING ALL);
CREATE TABLE live.sums (id int PRIMARY KEY, n bigint);
CREATE TABLE fresh.sums (LIKE live.sums INCLUDING ALL);
SELECT sluice.create_merge('live', 'part', 'live.whole', '{id}', 'at', delete_when => 'gone', cursor => 'hash'),
       sluice.create_merge('live_sums', 'part', 'live.sums', '{id}', 'at', rules => '{"n": "sum"}');
CALL sluice.run('live');
CALL sluice.run('live_sums');
SELECT parts(61, 80);
UPDATE live.whole SET a = 'hand' WHERE id % 4 = 0;
UPDATE live.sums SET n = n + 1000;
DELETE FROM live.whole WHERE id % 5 = 1;
CALL sluice.run('live');
CALL sluice.rebuild('live', progress => false);
CALL sluice.rebuild('live_sums');
SELECT sluice.create_merge('fresh', 'part', 'fresh.whole', '{id}', 'at', delete_when => 'gone', cursor => 'hash'),
       sluice.create_merge('fresh_sums', 'part', 'fresh.sums', '{id}', 'at', rules => '{"n": "sum"}');
CALL sluice.run('fresh');
CALL sluice.run('fresh_sums');
SELECT differences('live.whole', 'fresh.whole'), differences('live.sums', 'fresh.sums') AS sums, (SELECT sum(n) FROM live.sums) = (SELECT sum(n) FROM part) AS same;
SELECT * FROM last_run;
-- a late row fills only what nothing newer has set, as before
INSERT INTO part (id, a, b, at) VALUES (3, 'late', 'late', '2023-01-01');
CALL sluice.run_all();
SELECT differences('live.whole', 'fresh.whole');
-- the tables beside the target are made anew where somebody dropped them
DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE sluice.merge_%s, sluice.ledger_%1$s', pipeline_id) FROM sluice.pipeline WHERE name = 'live'); END $$;
CALL sluice.run('live');
CALL sluice.rebuild('live');
CALL sluice.run('live');
SELECT differences('live.whole', 'fresh.whole');
DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE sluice.merge_%s', pipeline_id) FROM sluice.pipeline WHERE name = 'live'); END $$;
CALL sluice.run('live');
CALL sluice.rebuild('live');
SELECT differences('live.whole', 'fresh.whole');
CALL tidy();

-- Facts: added, with dimensions, a history and retentions
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, day date, item_id int, item text, customer_id int, customer text,
                     amount numeric, status text);
CREATE FUNCTION order_rows(a int, b int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders (at, day, item_id, item, customer_id, customer, amount, status)
    SELECT at, at::date, i % 5, 'item ' || i % 3, i % 7, 'c' || i % 4, i, CASE WHEN i % 9 = 0 THEN 'refunded' END
    FROM (SELECT i, '2024-01-01'::timestamp + (i * 5 % 40) * interval '11 hours' AS at FROM generate_series(a, b) i) x
$$;
SELECT order_rows(1, 100);
CREATE FUNCTION mart_in(target name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %1$I.item (item_id int PRIMARY KEY, item text);
        CREATE TABLE %1$I.customer (customer_id int, customer text, valid_from timestamp, valid_to timestamp, is_current boolean, UNIQUE (customer_id, valid_from));
        CREATE TABLE %1$I.calendar (day date PRIMARY KEY, day_name text);
        CREATE TABLE %1$I.sale (day date REFERENCES %1$I.calendar, item_id int REFERENCES %1$I.item, customer_id int, amount numeric, orders int, last_status text,
                                UNIQUE (day, item_id, customer_id))', target);
END $$;
SELECT mart_in('live'), mart_in('fresh');
SELECT sluice.create_retention(m || '.weekly', (m || '.sale')::regclass, 'customer_id', 'amount', 'day', materialized => true) FROM unnest('{live,fresh}'::text[]) m;
CREATE FUNCTION sale_mapping(target text, replaces boolean) RETURNS json LANGUAGE sql AS $$
    SELECT format('{"grain": {"day": "day", "item_id": "item_id", "customer_id": "customer_id"}, "last": {"last_status": "status"},
        "measures": {"amount": "amount", "orders": {"count": "all"}}, "sign": {"by": "status", "negative": ["refunded"]}%2$s,
        "dimensions": [{"table": "%1$s.item", "key": {"item_id": "item_id"}, "columns": {"item": "item"}},
                       {"table": "%1$s.customer", "key": {"customer_id": "customer_id"}, "columns": {"customer": "customer"}, "history": true},
                       {"table": "%1$s.calendar", "key": {"day": "day"}, "calendar": "day"}]}', target,
        CASE WHEN replaces THEN ', "mode": "replace", "replace_by": ["day"]' ELSE '' END)::json
$$;
CREATE VIEW shown_facts AS SELECT differences('live.sale', 'fresh.sale') AS sales, differences('live.item', 'fresh.item') AS items,
    differences('live.customer', 'fresh.customer') AS customers, differences('live.weekly', 'fresh.weekly') AS weeks, (SELECT count(*) FROM live.sale) AS count;
CREATE PROCEDURE try_facts(cursor_name text, replaces boolean) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO live.calendar SELECT d, 'filled before' FROM generate_series('2023-01-01'::timestamp, '2023-12-31', '1 day') d ON CONFLICT DO NOTHING;
    PERFORM sluice.create_facts('live', 'orders', 'live.sale', sale_mapping('live', replaces), newest_by => 'at', cursor => cursor_name);
    COMMIT;
    CALL sluice.run('live');
    UPDATE live.sale SET amount = 0 WHERE item_id = 1;
    DELETE FROM live.sale WHERE item_id = 2;
    UPDATE live.item SET item = 'hand';
    UPDATE live.customer SET customer = 'hand' WHERE customer_id = 3;
    INSERT INTO live.weekly VALUES ('weekly', '1999-01-04', 1, 1, 1, 1, 1, 1);
    PERFORM order_rows(101, 130);
    COMMIT;
    CALL sluice.rebuild('live');
    PERFORM sluice.create_facts('fresh', 'orders', 'fresh.sale', sale_mapping('fresh', replaces), newest_by => 'at', cursor => cursor_name);
    COMMIT;
    CALL sluice.run('fresh');
END $$;
CREATE PROCEDURE tidy_facts() LANGUAGE sql AS $$
    CALL tidy();
    TRUNCATE live.weekly, fresh.weekly, live.sale, live.item, live.customer, live.calendar, fresh.sale, fresh.item, fresh.customer, fresh.calendar;
$$;
CALL try_facts('sequence', false);
SELECT * FROM shown_facts;
SELECT count(*) FROM live.calendar WHERE day < '2024-01-01';
SELECT * FROM last_run;
-- what was already there of a calendar is as it was; the rest is that of a new pipeline
SELECT differences('live.calendar', 'fresh.calendar');
CALL tidy_facts();
CALL try_facts('hash', true);
SELECT * FROM shown_facts;
CALL sluice.rebuild('live');
SELECT * FROM shown_facts;
CALL tidy_facts();

-- Load: replaced, by cursor and by trigger; appended; a list of partitions; partitions that were never loaded stay
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, device int, n int);
INSERT INTO event (day, device, n) SELECT '2024-01-01'::date + i % 6, i % 4, i FROM generate_series(1, 60) i;
CREATE TABLE live.daily (day date, device int, n bigint, loaded_at timestamptz DEFAULT '2024-02-01');
CREATE TABLE fresh.daily (LIKE live.daily INCLUDING ALL);
CREATE PROCEDURE try_load(mode_name text, track_name text, deletes_name text, list text) LANGUAGE plpgsql AS $$
DECLARE
    query text := 'SELECT day, device, sum(n) AS n FROM event WHERE day = $1 GROUP BY 1, 2';
BEGIN
    INSERT INTO live.daily VALUES ('1999-01-01', 1, 1);
    PERFORM sluice.create_load('live', 'event', 'day', 'live.daily', 'day', query, mode_name, track_name, deletes_name, settle => '0', partition_list => list);
    COMMIT;
    CALL sluice.run('live');
    UPDATE live.daily SET n = -1 WHERE device = 2 AND (track_name = 'cursor' OR deletes_name = 'reload');
    DELETE FROM live.daily WHERE day = '2024-01-02' AND device = 1;
    COMMIT;
    INSERT INTO event (day, device, n) VALUES ('2024-01-20', 1, 1), ('2024-01-01', 1, 1);
    CALL sluice.rebuild('live');
    PERFORM sluice.create_load('fresh', 'event', 'day', 'fresh.daily', 'day', query, mode_name, track_name, deletes_name, partition_list => list);
    COMMIT;
    CALL sluice.run('fresh');
END $$;
CREATE VIEW shown_load AS SELECT differences('live.daily', 'fresh.daily') AS apart, (SELECT count(*) FROM live.daily WHERE day = '1999-01-01') AS other,
    (SELECT count(*) FROM live.daily), (SELECT string_agg(DISTINCT state, ', ') FROM sluice.partitions WHERE pipeline = 'live') AS states;
CREATE PROCEDURE tidy_load() LANGUAGE sql AS $$ CALL tidy(); TRUNCATE live.daily, fresh.daily; $$;
CALL try_load('replace', 'cursor', 'ignore', NULL);
SELECT * FROM shown_load;
SELECT * FROM last_run;
CALL sluice.run('live');
SELECT * FROM last_run;
CALL tidy_load();
CALL try_load('replace', 'trigger', 'ignore', NULL);
SELECT * FROM shown_load;
CALL tidy_load();
CALL try_load('replace', 'trigger', 'reload', NULL);
SELECT * FROM shown_load;
-- deletes go on being followed, also by a rebuild
DELETE FROM event WHERE day = '2024-01-20';
CALL sluice.rebuild('live');
SELECT count(*) FROM live.daily WHERE day = '2024-01-20';
CALL tidy_load();
CALL try_load('append', 'cursor', 'ignore', NULL);
SELECT * FROM shown_load;
CALL tidy_load();
CALL try_load('replace', 'cursor', 'ignore', $$SELECT date '2024-01-02' UNION SELECT '2024-01-20'$$);
SELECT * FROM shown_load;
-- what is listed no more, and was loaded, is loaded again
SELECT sluice.alter_pipeline('live', partition_list => $$SELECT date '2024-01-20'$$);
UPDATE live.daily SET n = 0 WHERE day = '2024-01-02';
CALL sluice.rebuild('live');
SELECT * FROM shown_load;
-- a partition that cannot be loaded stays as it was where that is no error
SELECT sluice.alter_pipeline('live', on_error => 'reject');
ALTER TABLE live.daily ADD CONSTRAINT few CHECK (n < 30 OR day < '2000-01-01') NOT VALID;
CALL sluice.rebuild('live');
SELECT * FROM shown_load;
ALTER TABLE live.daily DROP CONSTRAINT few;
CALL sluice.rebuild('live');
SELECT * FROM shown_load;
CALL tidy_load();
-- settle holds nothing back that was there
SELECT sluice.create_load('live', 'event', 'day', 'live.daily', 'day', 'SELECT day, device, sum(n) AS n FROM event WHERE day = $1 GROUP BY 1, 2');
CALL sluice.run('live');
SELECT sluice.alter_pipeline('live', settle => '1 day');
SELECT count(*) FROM live.daily;
CALL sluice.rebuild('live');
SELECT count(*) FROM live.daily;
CALL tidy_load();

-- ---- what is refused, each with its remedy
SELECT sluice.create_shred('live', 'stage', 'doc', mapping('live', false));
CALL sluice.run('live');
-- rows that others wrote
INSERT INTO live.client (app) VALUES (77);
CALL sluice.rebuild('live');
SELECT count(*) FROM live.client WHERE app = 77;
CALL sluice.rebuild('live', discard => true);
SELECT count(*) FROM live.client WHERE app = 77;
SELECT * FROM last_run;
-- rows that the source holds no more, by number
DELETE FROM stage WHERE id % 10 = 0;
CALL sluice.rebuild('live');
CALL sluice.rebuild('live', discard => true);
SELECT (SELECT count(*) FROM live.client) = (SELECT count(*) FROM stage) AS same, sluice.pending('live');
-- numbers that were started anew; a source that was made again
CREATE TABLE few (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO few (doc) SELECT jsonb_build_object('app', i) FROM generate_series(1, 5) i;
CREATE TABLE live.few (app int);
SELECT sluice.create_shred('few', 'few', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}');
CALL sluice.run('few');
TRUNCATE few RESTART IDENTITY;
INSERT INTO few (doc) VALUES ('{"app": 8}'), ('{"app": 9}');
CALL sluice.run('few');
CALL sluice.rebuild('few');
CALL sluice.rebuild('few', discard => true);
SELECT * FROM live.few ORDER BY 1;
DROP TABLE few;
CREATE TABLE few (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO few (doc) VALUES ('{"app": 10}'), ('{"app": 11}'), ('{"app": 12}');
CALL sluice.run('few');
CALL sluice.rebuild('few');
CALL sluice.rebuild('few', discard => true);
SELECT * FROM live.few ORDER BY 1;
INSERT INTO few (doc) VALUES ('{"app": 13}');
CALL sluice.run('few');
SELECT * FROM live.few ORDER BY 1;
DROP TABLE few;
CALL sluice.rebuild('few', discard => true);
SELECT sluice.drop_pipeline('few');
-- by content: what was deleted, and what was updated since
CREATE TABLE few (doc jsonb);
INSERT INTO few SELECT jsonb_build_object('app', i % 3) FROM generate_series(1, 6) i;
TRUNCATE live.few;
SELECT sluice.create_shred('few', 'few', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}');
CALL sluice.run('few');
DELETE FROM few WHERE ctid IN (SELECT min(ctid) FROM few GROUP BY doc);
CALL sluice.rebuild('few');
UPDATE few SET doc = '{"app": 100}' WHERE doc = '{"app": 1}';
CALL sluice.rebuild('few');
SELECT sluice.drop_pipeline('few');
TRUNCATE live.few;
SELECT sluice.create_shred('few', 'few', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}', duplicates => 'keep');
INSERT INTO few VALUES ('{"app": 100}'), ('{"app": 100}');
CALL sluice.run('few');
CALL sluice.rebuild('few');
DELETE FROM few WHERE ctid = (SELECT min(ctid) FROM few WHERE doc = '{"app": 100}');
CALL sluice.rebuild('few');
CALL sluice.rebuild('few', true);
SELECT count(*) FROM live.few;
-- a ledger that has forgotten: the number of contents tells
SELECT sluice.drop_pipeline('few');
TRUNCATE live.few, few;
ALTER TABLE few ADD at date;
SELECT sluice.add_arrival_index('few', 'doc');
SELECT sluice.create_shred('few', 'few', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}', order_by => 'at', lookback => '3 days');
INSERT INTO few SELECT jsonb_build_object('app', i), '2024-01-01'::date + i FROM generate_series(1, 5) i;
CALL sluice.run('few');
INSERT INTO few VALUES ('{"app": 30}', '2024-02-01');
CALL sluice.run('few');
INSERT INTO few VALUES ('{"app": 31}', '2024-02-01'), ('{"app": 32}', '2024-01-01');
CALL sluice.run('few');
SELECT forgotten > 0 AS forgets, (SELECT count(*) FROM live.few) FROM sluice.arrival_position WHERE pipeline_id = (SELECT pipeline_id FROM sluice.pipeline WHERE name = 'few');
CALL sluice.rebuild('few');
SELECT count(*) FROM live.few; -- with what came too late then
DELETE FROM few WHERE doc = '{"app": 3}';
CALL sluice.rebuild('few');
-- what a seek passed over is loaded as well: everything is
SELECT sluice.drop_pipeline('few');
TRUNCATE live.few;
CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO numbered (doc) SELECT jsonb_build_object('app', i) FROM generate_series(1, 6) i;
SELECT sluice.create_shred('few', 'numbered', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}');
SELECT sluice.seek('few', '{"order_value": 4}');
CALL sluice.run('few');
SELECT count(*) FROM live.few;
CALL sluice.rebuild('few');
SELECT count(*) FROM live.few;
-- rewind undoes a rebuild as a run, where it can
CALL sluice.rewind('few', 0);
CREATE TABLE live.runs (app int, run bigint);
SELECT sluice.create_shred('runs', 'numbered', 'doc', '{"live.runs": {"columns": {"app": "$.app", "run": "#run"}}}');
CALL sluice.run('runs', batch_size => 2, max_batches => 1);
CALL sluice.run('runs');
CALL sluice.rebuild('runs');
SELECT count(*), count(DISTINCT run) FROM live.runs;
CALL sluice.rewind('runs', 0);
SELECT count(*), sluice.pending('runs') FROM live.runs;
CALL sluice.run('runs');
SELECT count(*), sluice.pending('runs') FROM live.runs;
CALL sluice.rebuild('runs');
SELECT sluice.drop_pipeline('runs');
-- the number of rows is known although the history was pruned
SET sluice.keep_runs = 0;
INSERT INTO numbered (doc) VALUES ('{"app": 7}');
CALL sluice.run('few');
INSERT INTO numbered (doc) VALUES ('{"app": 8}');
CALL sluice.run('few');
CALL sluice.run('few');
RESET sluice.keep_runs;
SELECT (SELECT count(*) FROM sluice.runs WHERE pipeline = 'few' AND source_rows > 0) AS runs, pruned_rows FROM sluice.pipeline WHERE name = 'few';
CALL sluice.rebuild('few');
INSERT INTO live.few VALUES (1);
CALL sluice.rebuild('few');
DELETE FROM live.few WHERE ctid = (SELECT max(ctid) FROM live.few);
-- another pipeline that writes the table, or reads it
SELECT sluice.create_shred('other', 'numbered', 'doc', '{"live.few": {"columns": {"app": "$.app"}}}');
CALL sluice.rebuild('few');
SELECT sluice.drop_pipeline('other');
ALTER TABLE live.few ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
CREATE TABLE live.sum (app int PRIMARY KEY, n bigint);
SELECT sluice.create_facts('other', 'live.few', 'live.sum', '{"grain": {"app": "app"}, "measures": {"n": {"count": "all"}}}');
CALL sluice.rebuild('few');
SELECT sluice.pause('other');
CALL sluice.rebuild('few');
CALL sluice.run('other');
CALL sluice.rebuild('other', true);
SELECT sluice.resume('other');
CALL sluice.run('other');
SELECT count(*), sum(n) FROM live.sum;
SELECT sluice.drop_pipeline('other');
-- foreign keys that would take rows of others along, or stand in the way
CREATE TABLE note (few bigint CONSTRAINT note_few REFERENCES live.few ON DELETE SET NULL, text text);
CALL sluice.rebuild('few', true);
ALTER TABLE note DROP CONSTRAINT note_few, ADD CONSTRAINT note_few FOREIGN KEY (few) REFERENCES live.few;
CALL sluice.rebuild('few', true);
INSERT INTO note SELECT min(id) FROM live.few;
CALL sluice.rebuild('few', true);
SELECT * FROM last_run WHERE pipeline = 'few';
SELECT pipeline, state, left(last_error, 70) AS last_error FROM sluice.status WHERE pipeline = 'few';
SELECT count(*), sluice.pending('few') FROM live.few;
BEGIN;
CALL sluice.rebuild('few', true);
ROLLBACK;
DROP TABLE note;
-- a trigger that keeps rows
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE DELETE ON live.few FOR EACH ROW WHEN (old.app = 3) EXECUTE FUNCTION keep();
CALL sluice.rebuild('few');
DROP TRIGGER keep ON live.few;
-- paused: it stays so; in a transaction that has a snapshot of its own, unknown, null
SELECT sluice.pause('few');
CALL sluice.rebuild('few');
SELECT pipeline, state, (SELECT status FROM last_run r WHERE r.pipeline = 'few') FROM sluice.status WHERE pipeline = 'few';
SELECT sluice.resume('few');
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL sluice.rebuild('few');
ROLLBACK;
CALL sluice.rebuild('fewer');
CALL sluice.rebuild(NULL);
-- an empty source
TRUNCATE numbered;
CALL sluice.rebuild('few', discard => true);
SELECT * FROM last_run WHERE pipeline = 'few';
SELECT count(*) FROM live.few;
CALL tidy();
-- a merge whose target had rows; facts of which the source holds nothing any more; a load's
INSERT INTO live.whole VALUES (500, 'before', 'before', 1, '2020-01-01') ON CONFLICT DO NOTHING;
TRUNCATE fresh.whole;
INSERT INTO fresh.whole VALUES (500, 'before', 'before', 1, '2020-01-01');
SELECT sluice.create_merge('live', 'part', 'fresh.whole', '{id}', 'at');
CALL sluice.run('live');
CALL sluice.rebuild('live');
SELECT sluice.drop_pipeline('live');
SELECT sluice.create_facts('live', 'orders', 'live.sale', sale_mapping('live', true), newest_by => 'at', cursor => 'hash');
CALL sluice.run('live');
UPDATE orders SET status = 'refunded' WHERE id % 4 = 0;
CALL sluice.rebuild('live');
SELECT (SELECT sum(amount) FROM live.sale) = (SELECT sum(sluice.signed(amount, status)) FROM orders) AS same;
DELETE FROM orders WHERE day = '2024-01-01';
CALL sluice.rebuild('live');
SELECT sluice.create_facts('other', 'orders', 'fresh.sale', replace(sale_mapping('fresh', false)::text, 'fresh.customer', 'live.customer')::json, newest_by => 'at');
CALL sluice.rebuild('live', discard => true);
SELECT sluice.drop_pipeline('other');
-- a dimension that others write, too, and that does not tell of which time its rows are
CREATE TABLE live.other (item_id int PRIMARY KEY, n bigint);
SELECT sluice.create_facts('other', 'orders', 'live.other', '{"grain": {"item_id": "item_id"}, "measures": {"n": {"count": "all"}},
    "dimensions": [{"table": "live.item", "key": {"item_id": "item_id"}, "columns": {"item": "item"}}]}', newest_by => 'at');
CALL sluice.rebuild('live', discard => true);
CALL tidy_facts();
-- columns that are added as documents need them
CREATE TABLE grown (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO grown (doc) VALUES ('{"a": 1, "b": [{"c": 1}]}');
SELECT sluice.create_shred('live', 'grown', 'doc', target_schema => 'live');
CALL sluice.run('live');
INSERT INTO grown (doc) VALUES ('{"a": 2, "d": "x", "b": [{"c": 2, "e": [1]}]}');
CALL sluice.rebuild('live');
SELECT a, d FROM live.live ORDER BY a;
SELECT count(*) FROM live.live__b__e;
CALL tidy();
SELECT sluice.create_load('live', 'event', 'day', 'live.daily', 'day', 'SELECT day, device, sum(n) AS n FROM event WHERE day = $1 GROUP BY 1, 2', track => 'trigger');
CALL sluice.run('live');
INSERT INTO live.daily VALUES ('2024-01-02', 9, 9);
CALL sluice.rebuild('live');
DELETE FROM live.daily WHERE device = 9;
DELETE FROM event WHERE day = '2024-01-02' AND n < 10;
CALL sluice.rebuild('live');
CALL sluice.rebuild('live', discard => true);
SELECT (SELECT sum(n) FROM live.daily) = (SELECT sum(n) FROM event) AS same;
CALL tidy_load();

-- ---- rights: the owner and members of his role; everything with his rights
CREATE ROLE rebuild_owner;
CREATE ROLE rebuild_other;
CREATE SCHEMA his AUTHORIZATION rebuild_owner;
GRANT SELECT ON stage TO rebuild_owner;
SET ROLE rebuild_owner;
CREATE TABLE his.client (app int, by name DEFAULT current_user);
SELECT sluice.create_shred('his', 'stage', 'doc', '{"his.client": {"columns": {"app": "$.app"}}}');
CALL sluice.run('his');
SET ROLE rebuild_other;
CALL sluice.rebuild('his');
RESET ROLE;
CREATE FUNCTION his.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF current_user <> ''rebuild_owner'' THEN RAISE ''%'', current_user; END IF; RETURN old; END';
CREATE TRIGGER who BEFORE DELETE ON his.client FOR EACH ROW EXECUTE FUNCTION his.who();
CALL sluice.rebuild('his');
SELECT count(*) = (SELECT count(*) FROM stage) AS all, min(by) AS by FROM his.client;
SET ROLE rebuild_owner;
CALL sluice.rebuild('his');
REVOKE DELETE ON his.client FROM rebuild_owner;
CALL sluice.rebuild('his');
GRANT DELETE ON his.client TO rebuild_owner;
ALTER TABLE his.client ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CALL sluice.rebuild('his');
RESET ROLE;
DROP OWNED BY rebuild_owner CASCADE;
DROP ROLE rebuild_owner, rebuild_other;

-- ---- A target that is a partition: foreign keys refer to what it is a part of
CREATE TABLE whole (n int PRIMARY KEY) PARTITION BY RANGE (n);
CREATE TABLE piece PARTITION OF whole FOR VALUES FROM (0) TO (1000);
CREATE TABLE depends (n int REFERENCES whole ON DELETE CASCADE);
CREATE TABLE of_piece (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO of_piece (doc) SELECT jsonb_build_object('n', n) FROM generate_series(1, 3) n;
SELECT sluice.create_shred('piece', 'of_piece', 'doc', '{"piece": {"columns": {"n": "$.n"}}}');
CALL sluice.run('piece');
INSERT INTO depends VALUES (2);
CALL sluice.rebuild('piece');
SELECT count(*) FROM depends;
DROP TABLE depends;
-- deferred foreign keys of others wait until all is there again
CREATE TABLE waits (n int REFERENCES piece DEFERRABLE INITIALLY DEFERRED);
INSERT INTO waits VALUES (1), (2);
SELECT sluice.alter_pipeline('piece', batch_size => 1);
CALL sluice.rebuild('piece');
SELECT count(*) FROM piece;
INSERT INTO of_piece (doc) VALUES ('{"n": 7}');
DELETE FROM of_piece WHERE id = 1;
CALL sluice.rebuild('piece', discard => true);
SELECT n FROM piece ORDER BY 1;

-- ---- Facts that replace, of a source with a row of which it is not known which facts it belongs to
CREATE TABLE days (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day text, amount int);
CREATE TABLE day_facts (day date PRIMARY KEY, amount bigint);
INSERT INTO days (day, amount) VALUES ('2024-01-01', 1), ('2024-01-01', 2), ('someday', 3);
SELECT sluice.create_facts('days', 'days', 'day_facts', '{"grain": {"day": "sluice.parse_date(day, ''YYYY-MM-DD'')"}, "measures": {"amount": "amount"},
                           "mode": "replace", "replace_by": ["day"]}', 'id', on_error => 'reject');
CALL sluice.run('days');
CALL sluice.rebuild('days');
TABLE day_facts;
SELECT source_row, message FROM sluice.rejects WHERE pipeline = 'days';
