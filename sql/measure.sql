-- Measures: what facts sum and count, what does not fit, what is delivered again.

SET client_min_messages = warning;
SET DateStyle = 'ISO';

-- Sums of null, of statuses that nobody named, of more than fits
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, item_id int, quantity bigint, paid numeric, status text);
CREATE TABLE sale (day date, item_id int, quantity smallint, paid numeric(8,2), n bigint, UNIQUE (day, item_id)) PARTITION BY RANGE (day);
CREATE TABLE sale_2023 PARTITION OF sale FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE sale_2024 (n bigint, paid numeric(8,2), gone text, item_id int, quantity smallint, day date);
ALTER TABLE sale_2024 DROP COLUMN gone;
ALTER TABLE sale ATTACH PARTITION sale_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE FUNCTION mapping(rest text) RETURNS json LANGUAGE sql AS $$
    SELECT ('{"grain": {"day": "day", "item_id": "item_id"}, "measures": {"quantity": "quantity", "paid": "paid", "n": {"count": "positive"}},
             "sign": {"by": "status", "negative": ["refunded"], "ignore": ["cancelled"]}' || rest || '}')::json $$;
SELECT sluice.create_facts('sale', 'orders', 'sale', mapping(''));
INSERT INTO orders (day, item_id, quantity, paid, status) VALUES
    ('2024-01-01', 1, NULL, 1.5, NULL), ('2024-01-01', 1, NULL, NULL, 'what'), ('2024-01-01', 2, 7, 3, 'refunded'), ('2024-01-01', 3, 7, 3, 'cancelled'),
    ('2023-05-01', 1, 2, 999999.99, 'shipped');
CALL sluice.run('sale');
SELECT * FROM sale ORDER BY day, item_id;
INSERT INTO orders (day, item_id, quantity, paid, status) VALUES ('2024-01-01', 1, 4, NULL, 'refunded'), ('2024-01-01', 2, 7, NULL, 'back');
CALL sluice.run('sale');
SELECT tableoid::regclass, * FROM sale ORDER BY day, item_id;
INSERT INTO orders (day, item_id, quantity, paid) VALUES ('2023-05-01', 1, 1, 0.01);
CALL sluice.run('sale');
UPDATE orders SET paid = 0 WHERE paid = 0.01;
CALL sluice.run('sale');
INSERT INTO orders (day, item_id, quantity, paid) VALUES ('2023-05-01', 1, 32767, 0);
CALL sluice.run('sale');
DELETE FROM orders WHERE quantity = 32767;
INSERT INTO orders (day, item_id, quantity, paid) VALUES ('2023-05-01', 1, 1, 0.005);
CALL sluice.run('sale');
SELECT quantity, paid, n FROM sale WHERE day = '2023-05-01';

-- What the next rows would become: their facts and the rows of their dimensions
CREATE TABLE product (item_id int PRIMARY KEY, label text);
CREATE TABLE sold (item_id int PRIMARY KEY REFERENCES product, paid numeric);
SELECT sluice.create_facts('sold', 'orders', 'sold', '{"grain": {"item_id": "item_id"}, "measures": {"paid": "paid"},
    "dimensions": [{"table": "product", "key": {"item_id": "item_id"}, "columns": {"label": "''item '' || item_id"}}]}');
SELECT target, row, error FROM sluice.preview('sold') ORDER BY target, row;
SELECT count(*) FROM product;
SELECT sluice.drop_pipeline('sold');
DROP TABLE sold, product;

-- Rows that do not fit are set aside, and loaded again when they do
SELECT sluice.alter_pipeline('sale', on_error => 'reject');
INSERT INTO orders (day, item_id, quantity, paid) VALUES (NULL, 1, 1, 1), ('2023-05-01', NULL, 1, 1), ('2023-05-01', 2, 40000, 1), ('2023-05-01', 2, 2, 1);
CALL sluice.run('sale');
SELECT * FROM sale WHERE day = '2023-05-01' ORDER BY item_id;
SELECT source_row, sqlstate, message, detail, document::jsonb - 'id' - 'status' AS row FROM sluice.rejects ORDER BY source_row;
SELECT source_rows, inserted, updated, rejected FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
SELECT rejected, missing, duplicated FROM sluice.verify('sale');
ALTER TABLE sale ALTER quantity TYPE int;
CALL sluice.retry('sale');
SELECT source_row, message FROM sluice.rejects ORDER BY source_row;
SELECT quantity FROM sale WHERE day = '2023-05-01' AND item_id = 2;
SELECT rejected, retried FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
SELECT sluice.alter_pipeline('sale', max_rejects => 1);
INSERT INTO orders (day) VALUES (NULL), (NULL);
CALL sluice.run('sale');
DELETE FROM orders WHERE day IS NULL;
SELECT sluice.alter_pipeline('sale', max_rejects => 100);

-- A domain over a measure sees the sum
CREATE DOMAIN few AS int CHECK (VALUE < 10);
CREATE TABLE fewer (item_id int PRIMARY KEY, quantity few);
SELECT sluice.create_facts('fewer', 'orders', 'fewer', '{"grain": {"item_id": "coalesce(item_id, 0)"}, "measures": {"quantity": "6"}}', batch_size => 1);
DO $$ BEGIN CALL sluice.run('fewer', max_batches => 3); EXCEPTION WHEN check_violation THEN RAISE WARNING '%', SQLERRM; END $$;
SELECT sluice.drop_pipeline('fewer');
DROP TABLE fewer;
DROP DOMAIN few;

-- What was added cannot be taken back
DO $$ BEGIN CALL sluice.rewind('sale', 0); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE WARNING '%', SQLERRM; END $$;
DO $$ BEGIN PERFORM sluice.seek('sale', '{"cursor": "sequence", "order_value": 0}'); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE WARNING '%', SQLERRM; END $$;
SELECT sluice.drop_pipeline('sale');

-- The same order again: rows of their own (keep), unless they are deliveries of one (skip)
TRUNCATE orders, sale;
CREATE TABLE kept (LIKE sale INCLUDING ALL);
CREATE TABLE skipped (LIKE sale INCLUDING ALL);
CREATE TABLE staging (day date, item_id int, quantity bigint, paid numeric, status text);
SELECT sluice.create_facts('keep', 'staging', 'kept', mapping('')), sluice.create_facts('skip', 'staging', 'skipped', mapping(''), duplicates => 'skip');
INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 2, 1, 1, NULL);
CALL sluice.run('keep');
CALL sluice.run('skip');
INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL);
CALL sluice.run('keep');
CALL sluice.run('skip');
SELECT item_id, k.n AS kept, s.n AS skipped FROM kept k JOIN skipped s USING (item_id) ORDER BY 1;
SELECT sluice.drop_pipeline('keep'), sluice.drop_pipeline('skip');

-- Replace: the same file again, into a staging table that was truncated, changes nothing
CREATE TABLE rebuilt (id int GENERATED ALWAYS AS IDENTITY, day date, item_id int, quantity int, paid numeric(8,2), n bigint);
SELECT sluice.create_facts('rebuilt', 'staging', 'rebuilt', mapping(', "mode": "replace", "replace_by": ["day"]'));
CALL sluice.run('rebuilt');
TABLE rebuilt ORDER BY day, item_id;
BEGIN; TRUNCATE staging; INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 2, 1, 1, NULL); COMMIT;
CALL sluice.run('rebuilt');
-- a file of the next day, then the first day mended: a status that changes is a change of its day
BEGIN; TRUNCATE staging; INSERT INTO staging VALUES ('2024-01-02', 1, 5, 5, 'shipped'), ('2024-01-02', 2, 5, 5, 'shipped'); COMMIT;
CALL sluice.run('rebuilt');
BEGIN; TRUNCATE staging; INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, 'refunded'), ('2024-01-01', 3, 1, 1, 'cancelled'); COMMIT;
CALL sluice.run('rebuilt');
TABLE rebuilt ORDER BY day, item_id;
SELECT inserted, deleted FROM sluice.runs WHERE pipeline = 'rebuilt' ORDER BY run_id;
-- by more than one column
SELECT sluice.drop_pipeline('rebuilt');
TRUNCATE rebuilt, staging;
SELECT sluice.create_facts('rebuilt', 'staging', 'rebuilt', mapping(', "mode": "replace", "replace_by": ["item_id", "day"]'), on_error => 'reject');
INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 2, 1, 1, NULL), (NULL, 2, 1, 1, NULL), ('2024-01-01', 1, 1, 0.001, NULL);
CALL sluice.run('rebuilt');
DELETE FROM staging WHERE item_id = 2;
INSERT INTO staging VALUES ('2024-01-01', 1, 2, 1, NULL), ('2024-01-02', 2, 1, 1, NULL);
CALL sluice.run('rebuilt');
SELECT day, item_id, quantity, paid, n FROM rebuilt ORDER BY 1, 2;
SELECT message FROM sluice.rejects WHERE pipeline = 'rebuilt' ORDER BY 1;
CALL sluice.retry('rebuilt');
SELECT sluice.drop_pipeline('rebuilt');

-- What facts refer to is looked up once; where it is not there, the server says so as ever
CREATE TABLE item (item_id int PRIMARY KEY);
CREATE TABLE country (day date, item_id int, PRIMARY KEY (day, item_id));
INSERT INTO item SELECT generate_series(1, 3);
TRUNCATE staging;
CREATE TABLE referring (day date, item_id int REFERENCES item, quantity int, paid numeric, n int, UNIQUE (day, item_id),
                        FOREIGN KEY (day, item_id) REFERENCES country DEFERRABLE INITIALLY DEFERRED);
SELECT sluice.create_facts('referring', 'staging', 'referring', mapping(''));
INSERT INTO staging SELECT '2024-01-01', i % 3 + 1, 1, 1, NULL FROM generate_series(1, 10) i;
CALL sluice.run('referring');
INSERT INTO country SELECT '2024-01-01', generate_series(1, 3);
CALL sluice.run('referring');
TABLE referring ORDER BY item_id;
INSERT INTO country VALUES ('2024-01-01', 4);
INSERT INTO staging VALUES ('2024-01-01', 4, 1, 1, NULL);
CALL sluice.run('referring');
DELETE FROM item WHERE item_id = 2;
SELECT sluice.drop_pipeline('referring');

-- Triggers see what is written, and may change it
TRUNCATE staging;
CREATE TABLE triggered (day date, item_id int, quantity int, paid numeric, n int, doubled numeric GENERATED ALWAYS AS (paid * 2) STORED, UNIQUE (day, item_id));
CREATE FUNCTION raise_paid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.paid = NEW.paid + 100; RETURN NEW; END $$;
SELECT sluice.create_facts('triggered', 'staging', 'triggered', mapping(''));
INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL);
CALL sluice.run('triggered');
CREATE TRIGGER raise_paid BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION raise_paid();
INSERT INTO staging VALUES ('2024-01-01', 1, 1, 1, NULL), ('2024-01-01', 2, 1, 1, NULL);
CALL sluice.run('triggered');
TABLE triggered ORDER BY item_id;
SELECT sluice.drop_pipeline('triggered');

DROP TABLE orders, sale, kept, skipped, staging, rebuilt, referring, item, country, triggered;
DROP FUNCTION mapping, raise_paid;
