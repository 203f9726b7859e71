-- Lineage: which run wrote each row (trace), and undoing runs exactly (rewind).
SET client_min_messages = warning;
CREATE SCHEMA lineage;
SET search_path = lineage, public;
SELECT setseed(0.42);

-- What tables hold, but for some columns; copies of it.
CREATE TABLE saved (pipeline text, run_id bigint, target text, content jsonb);
CREATE FUNCTION content(target text, leaving text[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(r ORDER BY r::text), ''[]'') FROM (SELECT to_jsonb(row_of) - $1 AS r FROM %s row_of) x', target)
    INTO result USING leaving;
    RETURN result;
END $$;
CREATE FUNCTION save(pipeline text, targets text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO saved SELECT $1, (SELECT coalesce(max(r.run_id), 0) FROM sluice.runs r WHERE r.pipeline = $1 AND undone_at IS NULL), t, content(t)
    FROM unnest(targets) t
$$;
-- differences tells which targets do not hold what they held at the end of a run.
CREATE FUNCTION differences(pipeline text, run bigint, targets text[]) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(t) FROM unnest(targets) t
    WHERE content(t) IS DISTINCT FROM (SELECT s.content FROM saved s WHERE s.pipeline = $1 AND s.run_id = run AND s.target = t)
$$;

-- check makes changes (a statement with $1 = a number), run after run; then it rewinds to any of the earlier runs, and runs again: everything is read
-- again, and the targets become what they were, but for columns whose values differ each time.
CREATE PROCEDURE check_rewind(pipeline text, targets text[], change text, leaving text[] DEFAULT '{}', times int DEFAULT 6)
LANGUAGE plpgsql AS $$
DECLARE
    to_run bigint;
    last jsonb[];
    wrong text[];
    rewinds int := 0;
BEGIN
    PERFORM save(pipeline, targets);
    UPDATE saved s SET run_id = 0 WHERE s.pipeline = check_rewind.pipeline;
    FOR i IN 1 .. times LOOP
        EXECUTE change USING i;
        CALL sluice.run(pipeline);
        PERFORM save(pipeline, targets);
    END LOOP;
    last := (SELECT array_agg(content(t, leaving) ORDER BY n) FROM unnest(targets) WITH ORDINALITY u(t, n));
    FOR i IN 1 .. times LOOP
        SELECT run_id INTO to_run FROM (
            SELECT 0 AS run_id UNION ALL SELECT r.run_id FROM sluice.runs r WHERE r.pipeline = check_rewind.pipeline AND undone_at IS NULL
            AND source_rows + batches > 0 ORDER BY run_id DESC OFFSET 1) x ORDER BY random() LIMIT 1;
        CONTINUE WHEN to_run IS NULL;
        CALL sluice.rewind(pipeline, to_run);
        wrong := differences(pipeline, to_run, targets);
        IF wrong IS NOT NULL THEN RAISE EXCEPTION 'rewound to run %, these differ: %', to_run, wrong; END IF;
        CALL sluice.run(pipeline);
        PERFORM save(pipeline, targets);
        IF last <> (SELECT array_agg(content(t, leaving) ORDER BY n) FROM unnest(targets) WITH ORDINALITY u(t, n)) THEN
            RAISE EXCEPTION 'run again after a rewind to run %, something differs', to_run;
        END IF;
        rewinds := rewinds + 1;
    END LOOP;
    CALL sluice.rewind(pipeline, 0);
    wrong := differences(pipeline, 0, targets);
    IF wrong IS NOT NULL THEN RAISE EXCEPTION 'rewound to the very start, these differ: %', wrong; END IF;
    CALL sluice.run(pipeline);
    IF rewinds = 0 THEN RAISE EXCEPTION 'nothing was rewound'; END IF;
    RAISE WARNING '%: as it was', pipeline;
END $$;

-- Shred: append

CREATE TABLE plain_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app int, at timestamptz, amount float8, raw bytea);
CREATE TABLE plain_phone (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plain_id bigint REFERENCES plain, number text);
SELECT sluice.create_shred('plain', 'plain_stage', 'doc', '{
    "plain": {"columns": {"id": "#serial", "app": "$.app", "at": "$.at", "amount": "$.amount", "raw": "$.raw"}},
    "plain_phone": {"parent": "plain", "each": "$.phones[*]", "columns": {"plain_id": "parent.id", "number": "@"}}}', lineage => true);
CALL check_rewind('plain', '{plain,plain_phone}',
    $$INSERT INTO plain_stage (doc) SELECT jsonb_build_object('app', g, 'at', now() + g * interval '1 second', 'amount', random(), 'raw', '\x00ff'::bytea,
      'phones', jsonb_build_array(g::text, 'a"\b' || $1)) FROM generate_series(1, 20) g$$, '{id,plain_id}');
SELECT operation, source_row, before, batch, run_id = (SELECT max(run_id) FROM sluice.runs WHERE pipeline = 'plain') AS last
FROM sluice.trace('plain', (SELECT jsonb_build_object('id', max(id)) FROM plain));
SELECT operation, source_row, before FROM sluice.trace('plain_phone', (SELECT jsonb_build_object('id', max(id)) FROM plain_phone));

-- Shred: every mode; documents come again, with more, fewer and other children, and keys that are new

CREATE TABLE person_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE person (
    id bigint GENERATED ALWAYS AS IDENTITY, app int PRIMARY KEY, name text, n numeric, tags text[], extra jsonb,
    twice numeric GENERATED ALWAYS AS (n * 2) STORED, seen date DEFAULT '2020-01-01');
CREATE UNIQUE INDEX ON person (id);
CREATE TABLE person_phone (app int NOT NULL REFERENCES person ON DELETE CASCADE, position int NOT NULL, number text, UNIQUE (app, position));
CREATE TABLE person_note (note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app int REFERENCES person, t text);
CREATE TABLE person_word (word_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note_id bigint REFERENCES person_note, word text);
CREATE TABLE account (number int PRIMARY KEY, app int REFERENCES person, balance float8);
CREATE TABLE town (name text PRIMARY KEY, first_app int);
SELECT sluice.create_shred('person', 'person_stage', 'doc', '{
    "person": {"key": "app", "mode": "merge", "columns": {"app": "$.app", "name": "$.name", "n": "$.n", "tags": "$.tags", "extra": "#rest"}},
    "person_phone": {"parent": "person", "each": "$.phones[*]", "columns": {"app": "parent.app", "position": "@index", "number": "@"}},
    "person_note": {"parent": "person", "each": "$.notes[*]", "columns": {"app": "parent.app", "t": "@.t"}},
    "person_word": {"parent": "person_note", "each": "@.words[*]", "columns": {"note_id": "parent.note_id", "word": "@"}},
    "account": {"parent": "person", "each": "$.accounts[*]", "key": "number", "columns": {"number": "@.number", "app": "parent.app", "balance": "@.balance"}},
    "town": {"key": "name", "mode": "skip", "each": "$.town", "columns": {"name": "@", "first_app": "$.app"}}}', lineage => true);
CREATE FUNCTION person(i int) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('app', 1 + (random() * 15)::int, 'name', CASE WHEN random() < 0.7 THEN 'n' || i || random()::text END,
        'n', CASE WHEN random() < 0.5 THEN (random() * 100)::numeric(10, 3) END, 'other', CASE WHEN random() < 0.3 THEN i END,
        'tags', CASE WHEN random() < 0.5 THEN jsonb_build_array('a"', 'b,' || i) END, 'town', CASE WHEN random() < 0.5 THEN 't' || (random() * 9)::int END,
        'phones', CASE WHEN random() < 0.6 THEN (SELECT coalesce(jsonb_agg((random() * 99)::int::text), '[]') FROM generate_series(1, (random() * 3)::int)) END,
        'accounts', CASE WHEN random() < 0.6 THEN (SELECT coalesce(jsonb_agg(jsonb_build_object('number', (random() * 20)::int, 'balance', random())), '[]') FROM generate_series(1, (random() * 2)::int)) END,
        'notes', CASE WHEN random() < 0.6 THEN (SELECT coalesce(jsonb_agg(jsonb_build_object('t', random()::text, 'words', jsonb_build_array('x', random()))), '[]') FROM generate_series(1, (random() * 3)::int)) END))
$$;
INSERT INTO person (app, name) VALUES (1, 'was there'), (2, NULL); -- by somebody else, before the pipeline
CALL check_rewind('person', '{person,person_phone,person_note,person_word,account,town}',
    'INSERT INTO person_stage (doc) SELECT person(g) FROM generate_series(1, 12 + $1) g', '{id,note_id,word_id}', 8);
INSERT INTO person_stage (doc) VALUES ('{"app": 3, "name": "three"}'), ('{"app": 3, "n": 1.50}');
CALL sluice.run('person');
INSERT INTO person_stage (doc) VALUES ('{"app": 3, "name": "three again"}');
CALL sluice.run('person');
SELECT operation, batch, source_row LIKE 'id = %' AS of_a_row, before - '{id,extra,tags}'::text[] AS before FROM sluice.trace('person', '{"app": 3}') LIMIT 1;
SELECT count(*) > 0 AS several FROM sluice.trace('person', '{"app": 3}') WHERE operation = 'update' AND before ->> 'app' = '3' AND source_row LIKE 'id = %';

-- with the hash cursor, small batches and rejects
CREATE TABLE again_stage (id bigint PRIMARY KEY, doc jsonb);
CREATE TABLE again (app int PRIMARY KEY, n int CHECK (n < 90), note text);
SELECT sluice.create_shred('again', 'again_stage', 'doc', '{"again": {"key": "app", "columns": {"app": "$.app", "n": "$.n", "note": "$.note"}}}',
    cursor => 'hash', order_by => $$doc -> 'at'$$, on_error => 'reject', batch_size => 7, lineage => true);
CALL check_rewind('again', '{again}', $$
    INSERT INTO again_stage SELECT (random() * 1e9)::bigint, jsonb_build_object('app', (random() * 20)::int, 'n', (random() * 100)::int, 'note', $1, 'at', $1 * 1000 + g)
    FROM generate_series(1, 20) g$$);
SELECT count(*) > 0 AS rejects FROM sluice.rejects WHERE pipeline = 'again';

-- tables and columns that are added, and types that grow
CREATE TABLE grown_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO grown_stage (doc) VALUES ('{"a": 1}'), ('{"a": 2}');
SELECT sluice.create_shred('grown', 'grown_stage', 'doc', target_schema => 'lineage', lineage => true);
CALL sluice.run('grown');
CREATE TABLE grown_before AS SELECT content('grown') AS content, (SELECT max(run_id) FROM sluice.runs WHERE pipeline = 'grown') AS run_id;
INSERT INTO grown_stage (doc) VALUES ('{"a": 3000000000, "b": "new", "list": [1, 2]}'), ('{"a": 4, "objects": [{"x": 1}]}');
CALL sluice.run('grown');
SELECT content('grown', '{sluice_id}'), content('grown__list', '{sluice_id,sluice_parent_id}') AS list, content('grown__objects', '{sluice_id,sluice_parent_id}') AS objects;
SELECT run_id FROM grown_before \gset
CALL sluice.rewind('grown', :run_id);
SELECT content('grown') = content AS unlike, content('grown', '{b}') = content AS same, content('grown__list') AS list, content('grown__objects') AS objects FROM grown_before;
CALL sluice.run('grown');
SELECT content('grown', '{sluice_id}'), content('grown__list', '{sluice_id,sluice_parent_id}') AS list, content('grown__objects', '{sluice_id,sluice_parent_id}') AS objects;

-- Merge

CREATE TYPE place AS (city text, flat int);
CREATE TABLE change (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, name text, visits int, home place, profile jsonb, gone boolean, at timestamptz);
CREATE TABLE merged (id int PRIMARY KEY, name text NOT NULL, visits int, home place, profile jsonb, at timestamptz, remark text DEFAULT 'r');
SELECT sluice.create_merge('merged', 'change', 'merged', '{id}', 'at', columns => '{name,visits,home,profile}', deep => '{profile}',
    delete_when => 'gone', lineage => true);
DO $$ BEGIN EXECUTE format('CREATE VIEW merge_state AS SELECT * FROM sluice.merge_%s', (SELECT pipeline_id FROM sluice.pipeline WHERE name = 'merged')); END $$;
INSERT INTO merged (id, name, at) VALUES (1, 'was there', '2024-01-01');
CALL check_rewind('merged', '{merged,merge_state}', $$
    INSERT INTO change (id, name, visits, home, profile, gone, at)
    SELECT (random() * 30)::int, CASE WHEN random() < 0.6 THEN random()::text END, CASE WHEN random() < 0.5 THEN (random() * 100)::int END,
        CASE WHEN random() < 0.5 THEN ROW (CASE WHEN random() < 0.5 THEN 'c' || g END, g)::place END,
        CASE WHEN random() < 0.5 THEN jsonb_build_object('k' || (random() * 3)::int, CASE WHEN random() < 0.7 THEN g END) END, random() < 0.1,
        '2024-01-01'::timestamptz + random() * interval '100 days'
    FROM generate_series(1, 40) g$$, '{}', 8);
SELECT count(*) > 0 AS waiting FROM merge_state WHERE sluice_waiting IS NOT NULL;
-- without a deep column neighbours share what is remembered of them
CREATE TABLE paged (id int PRIMARY KEY, name text NOT NULL, visits int, home place, at timestamptz, remark text DEFAULT 'r');
SELECT sluice.create_merge('paged', 'change', 'paged', '{id}', 'at', columns => '{name,visits,home}', delete_when => 'gone', batch_size => 15, lineage => true);
DO $$ BEGIN EXECUTE format('CREATE VIEW page_state AS SELECT * FROM sluice.merge_%s', (SELECT pipeline_id FROM sluice.pipeline WHERE name = 'paged')); END $$;
CALL check_rewind('paged', '{paged,page_state}', $$
    INSERT INTO change (id, name, visits, home, gone, at)
    SELECT (random() * 60 - 30)::int, CASE WHEN random() < 0.3 THEN 'n' || g END, CASE WHEN random() < 0.5 THEN g END,
        CASE WHEN random() < 0.5 THEN ROW (CASE WHEN random() < 0.5 THEN 'c' || g END, g)::place END, random() < 0.1,
        '2024-01-01'::timestamptz + random() * interval '100 days'
    FROM generate_series(1, 40) g$$, '{}', 8);
SELECT count(*) > 0 AS waiting FROM page_state WHERE sluice_waiting IS NOT NULL;
INSERT INTO change (id, name, gone, at) VALUES (7, 'seven', NULL, '2025-01-01');
CALL sluice.run('merged');
INSERT INTO change (id, name, gone, at) VALUES (7, NULL, true, '2025-01-02');
CALL sluice.run('merged');
SELECT operation, source_row, before ->> 'name' AS name FROM sluice.trace('merged', '{"id": 7}') LIMIT 1;

-- Facts: added and replaced, with dimensions, history, surrogates, a calendar and a retention

CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item int, item_name text, customer int, last_name text, amount numeric(12, 2), status text);
CREATE TABLE d_item (item int PRIMARY KEY, item_name text);
CREATE TABLE d_customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int, last_name text, valid_from timestamp, valid_to timestamp, is_current boolean, UNIQUE (customer, valid_from));
CREATE TABLE d_day (day date PRIMARY KEY, day_name text);
CREATE TABLE f_sales (day date REFERENCES d_day, item int REFERENCES d_item, customer int, amount numeric(12, 2), orders int, largest numeric, last_customer text, UNIQUE (day, item, customer));
CREATE FUNCTION add_orders(i int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders (at, item, item_name, customer, last_name, amount, status)
    SELECT '2024-01-01'::timestamp + random() * interval '20 days', item, 'item ' || item || (random() * 2)::int, customer, 'name ' || customer || (random() * 2)::int,
        (random() * 100)::numeric(12, 2), CASE WHEN random() < 0.2 THEN 'refunded' ELSE 'ok' END
    FROM (SELECT (random() * 5)::int AS item, (random() * 6)::int AS customer FROM generate_series(1, 30)) x
$$;
SELECT sluice.create_facts('sales', 'orders', 'f_sales', '{
    "grain": {"day": "at::date", "item": "item", "customer": "customer"}, "last": {"last_customer": "last_name"},
    "measures": {"amount": "amount", "orders": {"count": "positive"}, "largest": {"max": "amount"}}, "sign": {"by": "status", "negative": ["refunded"]},
    "dimensions": [{"table": "d_item", "key": {"item": "item"}, "columns": {"item_name": "item_name"}},
                   {"table": "d_customer", "key": {"customer": "customer"}, "columns": {"last_name": "last_name"}, "history": true},
                   {"table": "d_day", "key": {"day": "at::date"}, "calendar": "at"}]}', newest_by => 'at', lineage => true);
ALTER TABLE f_sales ADD PRIMARY KEY (day, item, customer);
SELECT sluice.create_facts('sales', 'orders', 'f_sales', '{
    "grain": {"day": "at::date", "item": "item", "customer": "customer"}, "last": {"last_customer": "last_name"},
    "measures": {"amount": "amount", "orders": {"count": "positive"}, "largest": {"max": "amount"}}, "sign": {"by": "status", "negative": ["refunded"]},
    "dimensions": [{"table": "d_item", "key": {"item": "item"}, "columns": {"item_name": "item_name"}},
                   {"table": "d_customer", "key": {"customer": "customer"}, "columns": {"last_name": "last_name"}, "history": true},
                   {"table": "d_day", "key": {"day": "at::date"}, "calendar": "at"}]}', newest_by => 'at', lineage => true);
SELECT sluice.create_retention('retention', 'f_sales', 'customer', 'amount', at => 'day', orders => 'orders', materialized => true);
SELECT array_agg(oid::regclass ORDER BY relname) AS tables FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'r' AND relname ~ '^newest_' \gset
SELECT format('{f_sales,d_item,d_customer,d_day,retention,%s}', btrim(:'tables', '{}')) AS tables \gset
CALL check_rewind('sales', :'tables', 'SELECT add_orders($1)', '{id}', 8);
SELECT content('retention') = (SELECT jsonb_agg(to_jsonb(r) ORDER BY to_jsonb(r)::text) FROM retention r) AS retention, (SELECT count(*) FROM retention) > 0 AS rows;

CREATE TABLE f_day (day date, customer bigint, amount numeric(12, 2), PRIMARY KEY (day, customer));
CREATE TABLE d_person (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int UNIQUE, last_name text);
SELECT sluice.create_facts('days', 'orders', 'f_day', '{
    "grain": {"day": "at::date", "customer": {"dimension": "d_person", "column": "id"}}, "measures": {"amount": "amount"}, "mode": "replace", "replace_by": ["day"],
    "dimensions": [{"table": "d_person", "key": {"customer": "customer"}, "columns": {"last_name": "last_name"}}]}', newest_by => 'at', lineage => true);
CALL check_rewind('days', '{d_person}', 'SELECT add_orders($1)', '{id}', 5);
SELECT count(*) = 0 AS right FROM ((SELECT day, d.customer, amount FROM f_day f JOIN d_person d ON d.id = f.customer) EXCEPT SELECT at::date, customer, sum(amount) FROM orders GROUP BY 1, 2) x;

-- Loads: partitions that are loaded again, by either tracking

CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, device text, day date, value int);
CREATE TABLE device (day date, device text, events bigint, value bigint, PRIMARY KEY (day, device)) PARTITION BY RANGE (day);
CREATE TABLE device_1 PARTITION OF device FOR VALUES FROM (MINVALUE) TO ('2024-01-05');
CREATE TABLE device_2 (device text NOT NULL, value bigint, events bigint, day date NOT NULL);
ALTER TABLE device ATTACH PARTITION device_2 FOR VALUES FROM ('2024-01-05') TO (MAXVALUE);
SELECT sluice.create_load('device', 'event', 'day', 'device', 'day',
    'SELECT day, device, count(*) AS events, sum(value) AS value FROM event WHERE day = $1 GROUP BY 1, 2', track => 'trigger', lineage => true);
INSERT INTO event (device, day, value) VALUES ('a', '2024-01-01', 0), ('a', '2024-01-02', 0);
INSERT INTO device VALUES ('2024-01-02', 'z', 1, 1); -- somebody else's, replaced by the first load
CALL check_rewind('device', '{device,device_1}', $$INSERT INTO event (device, day, value) SELECT 'd' || (random() * 3)::int, '2024-01-01'::date + (random() * 8)::int, g FROM generate_series(1, 5) g$$, '{}', 8);
SELECT operation, source_row, before FROM sluice.trace('device', '{"day": "2024-01-02", "device": "z"}');
SELECT operation, source_row FROM sluice.trace('device_1', '{"day": "2024-01-01", "device": "a"}');
CREATE TABLE copied (id bigint PRIMARY KEY, device text, day date, loaded timestamptz DEFAULT now());
SELECT sluice.create_load('copied', 'event', 'day', 'copied', 'day', 'SELECT id, device, day FROM event WHERE day = $1', lineage => true);
CALL check_rewind('copied', '{copied}', $$INSERT INTO event (device, day, value) SELECT 'e', '2024-02-01'::date + (random() * 8)::int, g FROM generate_series(1, 3) g$$, '{loaded}', 6);

-- Changes by somebody else

ALTER SEQUENCE sluice.run_log_run_id_seq RESTART 10000; -- how many runs there were before is chance
CREATE TABLE item_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, amount numeric);
SELECT sluice.create_shred('item', 'item_stage', 'doc', '{"item": {"key": "id", "columns": {"id": "$.id", "name": "$.name", "amount": "$.amount"}}}', lineage => true);
INSERT INTO item_stage (doc) VALUES ('{"id": 1, "name": "a", "amount": 1}'), ('{"id": 2, "name": "b", "amount": 2}');
CALL sluice.run('item');
SELECT max(run_id) AS first FROM sluice.runs WHERE pipeline = 'item' \gset
INSERT INTO item_stage (doc) VALUES ('{"id": 1, "name": "a", "amount": 10}'), ('{"id": 3, "name": "c", "amount": 3}');
CALL sluice.run('item');
SELECT max(run_id) AS second FROM sluice.runs WHERE pipeline = 'item' \gset
UPDATE item SET amount = 20 WHERE id = 2; -- a row that the second run did not write
BEGIN;
SAVEPOINT a;
UPDATE item SET amount = 5 WHERE id = 1;
ROLLBACK TO a; -- it did not happen
SELECT operation, run_id = :second AS second FROM sluice.trace('item', '{"id": 1}');
COMMIT;
UPDATE item SET amount = 30 WHERE id = 3;
CALL sluice.rewind('item', :first);
SELECT operation, run_id = :second AS second, before FROM sluice.trace('item', '{"name": "c"}');
SET session_replication_role = replica;
UPDATE item SET id = 4 WHERE id = 3; -- seen all the same
RESET session_replication_role;
SELECT operation, run_id = :second AS second, before FROM sluice.trace('item', '{"id": 3}');
CALL sluice.rewind('item', :first);
CALL sluice.rewind('item', :second); -- nothing to undo
-- a name that a row to be put back needs was given to another row
INSERT INTO item_stage (doc) VALUES ('{"id": 1, "name": "other", "amount": 10}');
CALL sluice.run('item');
INSERT INTO item VALUES (9, 'a');
CALL sluice.rewind('item', :second);
DELETE FROM item WHERE id = 9;
CALL sluice.rewind('item', :second);
SELECT * FROM item ORDER BY id;
INSERT INTO item_stage (doc) VALUES ('{"id": 5, "name": "e", "amount": 5}');
CALL sluice.run('item');
-- what does not change the rows of later runs does no harm: renames, columns that are added
ALTER TABLE item RENAME TO thing;
ALTER TABLE thing ADD COLUMN more int DEFAULT 7;
ALTER TABLE thing RENAME TO item;
INSERT INTO item_stage (doc) VALUES ('{"id": 5, "name": "e", "amount": 50}');
CALL sluice.run('item');
SELECT max(run_id) AS third FROM sluice.runs WHERE pipeline = 'item' \gset
CALL sluice.rewind('item', :second);
SELECT * FROM item ORDER BY id;
CALL sluice.run('item');
-- triggers that would change what is put back, or other rows along
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.more := coalesce(new.more, 0) + 1; RETURN new; END $$;
INSERT INTO item_stage (doc) VALUES ('{"id": 1, "name": "a", "amount": 77}');
CALL sluice.run('item');
SELECT max(run_id) AS fourth FROM sluice.runs WHERE pipeline = 'item' AND run_id < (SELECT max(run_id) FROM sluice.runs WHERE pipeline = 'item') \gset
CREATE TRIGGER meddle BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION meddle();
CALL sluice.rewind('item', :fourth);
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE item SET amount = 0 WHERE id = 2; RETURN new; END $$;
ALTER TABLE item DISABLE TRIGGER meddle;
DROP TRIGGER meddle ON item;
CREATE TRIGGER meddle AFTER UPDATE ON item FOR EACH ROW WHEN (new.id = 1) EXECUTE FUNCTION meddle();
CALL sluice.rewind('item', :fourth);
DROP TRIGGER meddle ON item;
TRUNCATE item;
SELECT operation, run_id IS NULL AS by_others FROM sluice.trace('item', '{"id": 5}') LIMIT 1;
CALL sluice.rewind('item', :fourth);

-- A rebuild begins a new history

CREATE TABLE anew (id int PRIMARY KEY, amount numeric);
SELECT sluice.create_shred('anew', 'item_stage', 'doc', '{"anew": {"key": "id", "columns": {"id": "$.id", "amount": "$.amount"}}}', lineage => true);
CALL sluice.run('anew');
CALL sluice.run('anew', batch_size => 1);
CALL sluice.rebuild('anew');
SELECT operation, source_row FROM sluice.trace('anew', '{"id": 2}');
CALL sluice.rewind('anew', 0);
SELECT count(*) FROM anew;
CALL sluice.run('anew');
SELECT count(*) FROM anew;

-- Switching it off and on, dropping

SELECT sluice.definition('item') ->> 'lineage' AS lineage;
SELECT sluice.alter_pipeline('item', lineage => false);
SELECT * FROM sluice.trace('item', '{"id": 5}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass;
SELECT sluice.alter_pipeline('item', lineage => true);
INSERT INTO item_stage (doc) VALUES ('{"id": 6, "name": "f", "amount": 6}');
CALL sluice.run('item');
CALL sluice.rewind('item', :fourth); -- what ran without
SELECT max(run_id) AS last FROM sluice.runs WHERE pipeline = 'item' AND status = 'succeeded' AND run_id < (SELECT max(run_id) FROM sluice.runs WHERE pipeline = 'item') \gset
CALL sluice.rewind('item', :last);
SELECT count(*) FROM item;
SELECT sluice.create_merge('unknown', 'change', 'merged', '{id}', 'at', columns => '{name}');
CALL sluice.run('unknown');
CALL sluice.rewind('unknown', 0);
SELECT sluice.drop_pipeline('unknown');
SELECT pipeline_id AS item FROM sluice.pipeline WHERE name = 'item' \gset
SELECT sluice.drop_pipeline('item');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass;
SELECT count(*) FROM sluice.lineage WHERE pipeline_id = :item;

-- What is kept no longer than the history of runs: of each row the last entry

CREATE TABLE aged_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE aged (id int PRIMARY KEY, n int);
SELECT sluice.create_shred('aged', 'aged_stage', 'doc', '{"aged": {"key": "id", "columns": {"id": "$.id", "n": "$.n"}}}', lineage => true);
INSERT INTO aged_stage (doc) VALUES ('{"id": 1, "n": 1}'), ('{"id": 2, "n": 1}'), ('{"id": 3, "n": 1}');
CALL sluice.run('aged');
INSERT INTO aged_stage (doc) VALUES ('{"id": 1, "n": 2}');
CALL sluice.run('aged');
UPDATE aged SET n = 9 WHERE id = 2;
INSERT INTO aged_stage (doc) VALUES ('{"id": 3, "n": 3}');
CALL sluice.run('aged');
UPDATE sluice.run_log SET started_at = started_at - interval '100 days' WHERE pipeline_id = (SELECT pipeline_id FROM sluice.pipeline WHERE name = 'aged') AND NOT run_id IN (SELECT max(run_id) FROM sluice.run_log GROUP BY pipeline_id);
INSERT INTO aged_stage (doc) VALUES ('{"id": 4, "n": 4}');
CALL sluice.run('aged');
SELECT g AS id, array_agg(operation ORDER BY written_at) AS entries FROM generate_series(1, 4) g, sluice.trace('aged', jsonb_build_object('id', g)) GROUP BY g ORDER BY g;

-- Wrong use

SELECT * FROM sluice.trace(NULL, '{}');
SELECT * FROM sluice.trace('aged', NULL);
SELECT * FROM sluice.trace('aged', '[1]');
SELECT * FROM sluice.trace('aged', '{}');
SELECT * FROM sluice.trace('aged', '{"idd": 1}');
SELECT * FROM sluice.trace('aged', '{"id": "one"}');
SELECT * FROM sluice.trace('aged', '{"id": null}');
SELECT * FROM sluice.trace('aged', '{"n": 99}');
UPDATE aged SET n = 4;
SELECT * FROM sluice.trace('aged', '{"n": 4}');
SELECT * FROM sluice.trace('aged_stage', '{"id": 1}');
SELECT sluice.note_lineage();
CREATE TABLE keyless (a int, b int);
SELECT sluice.create_shred('keyless', 'aged_stage', 'doc', '{"keyless": {"columns": {"a": "$.id"}}}', lineage => true);
CREATE UNIQUE INDEX ON keyless (a);
SELECT sluice.create_shred('keyless', 'aged_stage', 'doc', '{"keyless": {"columns": {"a": "$.id"}}}', lineage => true);
CREATE VIEW aged_view AS SELECT * FROM aged;
SELECT sluice.create_shred('view', 'aged_stage', 'doc', '{"aged_view": {"columns": {"id": "$.id"}}}', lineage => true);
SELECT sluice.create_shred('more', 'aged_stage', 'doc', '{"aged": {"key": "id", "columns": {"id": "$.id", "n": "$.n"}}}', lineage => true);
SELECT sluice.alter_pipeline('more', mapping => '{"aged": {"key": "id", "columns": {"id": "$.id"}}, "keyless": {"columns": {"a": "$.id"}}}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL sluice.rewind('plain', 0);
ROLLBACK;

-- Another role: it needs the right TRIGGER, and sees lineage of its own pipelines alone

CREATE ROLE lineage_loader;
GRANT USAGE, CREATE ON SCHEMA lineage TO lineage_loader;
CREATE TABLE theirs (id int PRIMARY KEY, n int);
GRANT SELECT ON aged_stage TO lineage_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON theirs TO lineage_loader;
SET ROLE lineage_loader;
SELECT sluice.create_shred('theirs', 'aged_stage', 'doc', '{"theirs": {"key": "id", "columns": {"id": "$.id", "n": "$.n"}}}', lineage => true);
RESET ROLE;
GRANT TRIGGER ON theirs TO lineage_loader;
SET ROLE lineage_loader;
SELECT sluice.create_shred('theirs', 'aged_stage', 'doc', '{"theirs": {"key": "id", "columns": {"id": "$.id", "n": "$.n"}}}', lineage => true);
CALL sluice.run('theirs');
SELECT operation, source_row FROM sluice.trace('theirs', '{"id": 2}');
SELECT * FROM sluice.trace('aged', '{"id": 2}');
SELECT * FROM sluice.lineage;
CREATE TRIGGER forged AFTER INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION sluice.note_lineage('1', '1');
RESET ROLE;
CALL sluice.run('theirs');
INSERT INTO aged_stage (doc) VALUES ('{"id": 2, "n": 22}');
CALL sluice.run('theirs'); -- by a superuser, as its owner
SET ROLE lineage_loader;
SELECT operation, source_row, before FROM sluice.trace('theirs', '{"id": 2}');
CALL sluice.rewind('theirs', 0);
SELECT * FROM theirs;
RESET ROLE;
DROP OWNED BY lineage_loader;
INSERT INTO theirs VALUES (1, 1); -- the trigger that is left does nothing
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'theirs'::regclass;


-- ---- Entries of an outer level survive a subtransaction in which they had to be written
CREATE TABLE nested_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE nested (id numeric PRIMARY KEY, v int);
INSERT INTO nested_source (doc) SELECT jsonb_build_object('id', n, 'v', n) FROM generate_series(1, 3) n;
SELECT sluice.create_shred('nested', 'nested_source', 'doc', '{"nested": {"key": "id", "columns": {"id": "$.id", "v": "$.v"}}}', lineage => true);
CALL sluice.run('nested');
BEGIN;
UPDATE nested SET v = -1 WHERE id = 1;
SAVEPOINT outer_one;
UPDATE nested SET v = -2 WHERE id = 2;
SAVEPOINT inner_one;
SELECT count(*) FROM sluice.trace('nested', '{"id": 1.0}'); -- which is found as it is written there
ROLLBACK TO inner_one;
SELECT count(*) FROM sluice.trace('nested', '{"id": 2}');
RELEASE outer_one;
SAVEPOINT lost;
UPDATE nested SET v = -3 WHERE id = 3;
SELECT count(*) FROM sluice.trace('nested', '{"id": 3}');
ROLLBACK TO lost;
COMMIT;
SELECT row_key, operation, run_id IS NULL AS by_others, before FROM sluice.lineage l JOIN sluice.pipeline p USING (pipeline_id)
WHERE name = 'nested' ORDER BY entry;
-- a run in a block after a change of somebody else, which is rolled back to a savepoint
INSERT INTO nested_source (doc) VALUES ('{"id": 3, "v": 30}');
BEGIN;
UPDATE nested SET v = 31 WHERE id = 3;
SAVEPOINT before_run;
SELECT source_rows FROM sluice.run_batch('nested');
ROLLBACK TO before_run;
COMMIT;
CALL sluice.run('nested');
UPDATE nested SET v = 32 WHERE id = 3;
SELECT operation, run_id IS NULL AS by_others, before ->> 'v' AS v FROM sluice.trace('nested', '{"id": 3}');
SELECT min(run_id) AS first FROM sluice.runs WHERE pipeline = 'nested'
\gset
CALL sluice.rewind('nested', :first);
-- what a run truncates cannot be put back
CREATE TABLE truncated_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item int, amount int);
CREATE TABLE truncated_item (item int PRIMARY KEY);
CREATE TABLE truncated (item int PRIMARY KEY, amount int);
CREATE FUNCTION empty_truncated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE truncated; RETURN NULL; END $$;
CREATE TRIGGER empty_truncated AFTER INSERT ON truncated_item FOR EACH ROW WHEN (NEW.item = 9) EXECUTE FUNCTION empty_truncated();
SELECT sluice.create_facts('truncated', 'truncated_source', 'truncated', '{"grain": {"item": "item"}, "measures": {"amount": "amount"},
    "dimensions": [{"table": "truncated_item", "key": {"item": "item"}}]}', 'id', lineage => true);
INSERT INTO truncated_source (item, amount) VALUES (1, 1);
CALL sluice.run('truncated');
SELECT max(run_id) AS first FROM sluice.runs WHERE pipeline = 'truncated'
\gset
INSERT INTO truncated_source (item, amount) VALUES (9, 9);
CALL sluice.run('truncated');
TABLE truncated;
CALL sluice.rewind('truncated', :first);

SET client_min_messages = error;
DROP SCHEMA lineage CASCADE;
DROP ROLE lineage_loader;
