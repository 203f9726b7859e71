-- A database with pipelines of every kind and cursor, some rows loaded and some pending: what a version leaves behind. It brings along
-- what it is checked with, kept.more(low, high), which writes rows to every source, and kept.difference, which is empty when each row
-- was loaded once. test/programs/versions makes its dumps of it; those of released versions stay as they are.

CREATE SCHEMA kept AUTHORIZATION sluice_keeper;
CREATE SCHEMA kept_letters AUTHORIZATION sluice_keeper;
SET ROLE sluice_keeper;
SET search_path = kept;
SET TimeZone = 'Asia/Tokyo';

-- shred: by sequence, with a key, children, rejects
CREATE TABLE stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE client (client int PRIMARY KEY, name text);
CREATE TABLE phone (client int NOT NULL REFERENCES client, number int);
CREATE INDEX ON phone (client);
SELECT sluice.create_shred('clients', source => 'stage', document => 'doc', on_error => 'reject', mapping => '{
    "client": {"key": "client", "columns": {"client": "$.client", "name": "$.name"}},
    "phone": {"parent": "client", "each": "$.phones[*]", "columns": {"client": "parent.client", "number": "@"}}}');

-- shred: by content, with a mapping that was inferred and grows
CREATE TABLE letter (doc json);
SELECT sluice.add_arrival_index('letter');
INSERT INTO letter VALUES ('{"letter": 0, "words": ["a", "b"]}');
SELECT sluice.create_shred('letters', source => 'letter', document => 'doc', target_schema => 'kept_letters');

-- shred: by snapshot
CREATE TABLE stamped (id int PRIMARY KEY, doc text);
CREATE TABLE stamped_target (id int, name text);
SELECT sluice.add_snapshot_column('stamped');
SELECT sluice.create_shred('stamped', source => 'stamped', document => 'doc', cursor => 'snapshot', mapping => '{
    "stamped_target": {"columns": {"id": "#source.id", "name": "$.name"}}}');

-- merge: what is known of each column and of each place of a document, keys that were deleted, keys that wait
CREATE TABLE part (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, name text, price int, extra jsonb, gone boolean);
CREATE TABLE whole (id int PRIMARY KEY, at int, name text NOT NULL, price int, extra jsonb);
SELECT sluice.create_merge('wholes', source => 'part', target => 'whole', key => '{id}', newest_by => 'at', deep => '{extra}', delete_when => 'gone',
    max_failures => 7, after => '{clients}', checks => '{id IS NOT NULL,"SELECT count(*) >= 0 FROM whole"}', lineage => true);
INSERT INTO part (id, at, name, gone) VALUES (99, 0, 'deleted', false), (99, 1, NULL, true);

-- facts: a dimension with history, one whose newest time is kept beside, a retention
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item int, item_name text, customer int, amount numeric, status text);
CREATE TABLE item (item int, item_name text, valid_from timestamp, valid_to timestamp, is_current boolean, UNIQUE (item, valid_from));
CREATE TABLE customer (customer int PRIMARY KEY, last_item int);
CREATE TABLE sale (day date, item int, customer int, amount numeric, orders int, UNIQUE (day, item, customer));
SELECT sluice.create_facts('sales', source => 'orders', target => 'sale', newest_by => 'at', mapping => '{
    "grain": {"day": "at::date", "item": "item", "customer": "customer"},
    "measures": {"amount": "amount", "orders": {"count": "positive"}},
    "sign": {"by": "status", "negative": ["refunded"]},
    "dimensions": [{"table": "item", "key": {"item": "item"}, "columns": {"item_name": "item_name"}, "history": true},
                   {"table": "customer", "key": {"customer": "customer"}, "columns": {"last_item": "item"}}]}');
SELECT sluice.create_retention('retention', 'sale', 'customer', 'amount', at => 'day', period => 'month', materialized => true);
SELECT sluice.create_retention('retention_view', 'sale', 'customer', 'amount', at => 'day', period => 'month');

-- load: tracked by triggers, and by a cursor
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, value int);
CREATE TABLE by_trigger (day date, events bigint, value bigint);
CREATE TABLE by_cursor (day date, events bigint, value bigint);
SELECT sluice.create_load('by_trigger', source => 'event', partition => 'day', target => 'by_trigger', target_partition => 'day', track => 'trigger', deletes => 'reload',
    query => 'SELECT day, count(*) AS events, sum(value) AS value FROM event WHERE day = $1 GROUP BY day');
SELECT sluice.create_load('by_cursor', source => 'event', partition => 'day', target => 'by_cursor', target_partition => 'day',
    query => 'SELECT day, count(*) AS events, sum(value) AS value FROM event WHERE day = $1 GROUP BY day');

CREATE PROCEDURE more(low int, high int) LANGUAGE plpgsql SET search_path = kept AS $$
BEGIN
    INSERT INTO stage (doc) SELECT jsonb_build_object('client', n % 7, 'name', 'n ' || n, 'phones', jsonb_build_array(n, n + 1)) FROM generate_series(low, high) n;
    INSERT INTO stage (doc) VALUES (jsonb_build_object('client', 'bad', 'name', low));
    INSERT INTO letter SELECT json_build_object('letter', n, 'words', json_build_array('a', 'b'), 'new' || low, n) FROM generate_series(low, high) n;
    INSERT INTO stamped SELECT n, json_build_object('name', 'n ' || n) FROM generate_series(low, high) n;
    INSERT INTO part (id, at, name, price, extra) SELECT n % 5, n, CASE WHEN n % 2 = 0 THEN 'n ' || n END, CASE WHEN n % 3 = 0 THEN n END,
        jsonb_build_object('k' || n % 4, n) FROM generate_series(low, high) n ORDER BY n % 3, n;
    INSERT INTO orders (at, item, item_name, customer, amount, status) SELECT timestamp '2024-01-01' + n * interval '7 hours', n % 3, 'n ' || n / 4, n % 6, n,
        CASE WHEN n % 4 = 0 THEN 'refunded' ELSE 'shipped' END FROM generate_series(low, high) n ORDER BY n % 2, n;
    INSERT INTO event (day, value) SELECT date '2024-01-01' + n % 9, n FROM generate_series(low, high) n;
END $$;

CREATE VIEW difference AS
WITH newest AS (SELECT DISTINCT ON (doc ->> 'client') doc FROM stage WHERE doc ->> 'client' <> 'bad' ORDER BY doc ->> 'client', id DESC),
wanted (pipeline, line) AS (
    SELECT 'clients', format('%s %s', doc ->> 'client', doc ->> 'name') FROM newest
    UNION ALL SELECT 'phones', format('%s %s', doc ->> 'client', number) FROM newest, jsonb_array_elements(doc -> 'phones') number
    UNION ALL SELECT 'letters', doc ->> 'letter' FROM letter
    UNION ALL SELECT 'stamped', format('%s %s', id, doc::json ->> 'name') FROM stamped
    UNION ALL SELECT 'wholes', format('%s %s %s %s %s', id, max(at), (array_agg(name ORDER BY at DESC) FILTER (WHERE name IS NOT NULL))[1],
                                      (array_agg(price ORDER BY at DESC) FILTER (WHERE price IS NOT NULL))[1],
                                      (SELECT jsonb_object_agg(key, value ORDER BY at) FROM part p, jsonb_each(p.extra) WHERE p.id = part.id))
              FROM part WHERE id <> 99 GROUP BY id
    UNION ALL SELECT 'sales', format('%s %s %s %s %s', at::date, item, customer, sum(CASE status WHEN 'refunded' THEN -amount ELSE amount END), count(*) FILTER (WHERE status <> 'refunded'))
              FROM orders GROUP BY at::date, item, customer
    UNION ALL SELECT 'customers', format('%s %s', customer, (array_agg(item ORDER BY at DESC))[1]) FROM orders GROUP BY customer
    UNION ALL SELECT 'items', format('%s %s', item, item_name)
              FROM (SELECT item, item_name, lag(item_name) OVER (PARTITION BY item ORDER BY at) AS before FROM orders) o WHERE item_name IS DISTINCT FROM before
    UNION ALL SELECT 'retention', r::text FROM retention_view r
    UNION ALL SELECT load, format('%s %s %s', day, count(*), sum(value)) FROM event, unnest('{by_trigger,by_cursor}'::text[]) load GROUP BY load, day
), loaded AS (
    SELECT 'clients', format('%s %s', client, name) FROM client
    UNION ALL SELECT 'phones', format('%s %s', client, number) FROM phone
    UNION ALL SELECT 'letters', letter::text FROM kept_letters.letters
    UNION ALL SELECT 'stamped', format('%s %s', id, name) FROM stamped_target
    UNION ALL SELECT 'wholes', format('%s %s %s %s %s', id, at, name, price, extra) FROM whole
    UNION ALL SELECT 'sales', format('%s %s %s %s %s', day, item, customer, amount, orders) FROM sale
    UNION ALL SELECT 'customers', format('%s %s', customer, last_item) FROM customer
    UNION ALL SELECT 'items', format('%s %s', item, item_name) FROM item
    UNION ALL SELECT 'retention', r::text FROM retention r
    UNION ALL SELECT 'by_trigger', format('%s %s %s', day, events, value) FROM by_trigger
    UNION ALL SELECT 'by_cursor', format('%s %s %s', day, events, value) FROM by_cursor
)
SELECT 'missing' AS what, * FROM (TABLE wanted EXCEPT ALL TABLE loaded) x
UNION ALL SELECT 'too many', * FROM (TABLE loaded EXCEPT ALL TABLE wanted) x
UNION ALL SELECT 'rejects', 'clients', bad::text FROM (SELECT (SELECT count(*) FROM sluice.rejects WHERE pipeline = 'clients')
                                                            - (SELECT count(*) FROM stage WHERE doc ->> 'client' = 'bad') AS bad) r WHERE bad <> 0;

CALL more(1, 40);
CALL sluice.run_all();
CALL more(41, 60);
