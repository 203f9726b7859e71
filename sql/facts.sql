-- Facts: signed measures and dimensions, against oracles in plain SQL.

SET client_min_messages = warning;
CREATE SCHEMA mart;
CREATE TYPE mood AS ENUM ('bad', 'good');

-- Orders as they come: late, again with other names, of statuses that nobody knows
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item_id int, item_name text, customer_id bigint, customer_name text,
    mood mood, tags json, city text, quantity smallint, paid numeric(10,2), price money, spent interval, weight float8, status text);

-- One mart for each cursor
CREATE FUNCTION make_mart(mart text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', mart);
    EXECUTE format('CREATE TABLE %I.item (item_id int PRIMARY KEY, item_name text)', mart);
    EXECUTE format('CREATE TABLE %I.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint UNIQUE, name text,
                    mood mood, tags json, updated_at timestamp)', mart);
    EXECUTE format('CREATE TABLE %I.name (customer_id bigint, name text, mood mood, valid_from timestamp, valid_to timestamp, is_current boolean,
                    UNIQUE (customer_id, valid_from))', mart);
    EXECUTE format('CREATE TABLE %I.day (day date PRIMARY KEY, year_actual int, day_name varchar(9))', mart);
    EXECUTE format('CREATE TABLE %I.sale (day date NOT NULL REFERENCES %1$I.day, item_id int NOT NULL REFERENCES %1$I.item,
                    customer bigint NOT NULL REFERENCES %1$I.customer, city text, quantity int, paid numeric(12,2), price money, spent interval,
                    weight float8, orders int, refunds bigint, rows numeric, gross numeric, least numeric(10,2), latest timestamp,
                    UNIQUE (day, item_id, customer))', mart);
END $$;
CREATE FUNCTION sale_mapping(mart text, rest text) RETURNS json LANGUAGE sql AS $$
    SELECT format('{
        "grain":    {"day": "at::date", "item_id": "item_id", "customer": {"dimension": "%1$s.customer", "column": "id"}},
        "last":     {"city": "city"},
        "measures": {"quantity": "quantity", "paid": "paid", "price": "price", "spent": {"sum": "spent"}, "weight": "weight",
                     "orders": {"count": "positive"}, "refunds": {"count": "negative"}, "rows": {"count": "all"},
                     "gross": {"sum": "paid", "signed": false}, "least": {"min": "paid", "signed": true}, "latest": {"max": "at"}},
        "sign":     {"by": "status", "negative": ["refunded", "lost"], "ignore": ["cancelled"]}%2$s,
        "dimensions": [{"table": "%1$s.item", "key": {"item_id": "item_id"}, "columns": {"item_name": "item_name"}},
                       {"table": "%1$s.customer", "key": {"customer_id": "customer_id"},
                        "columns": {"name": "customer_name", "mood": "mood", "tags": "tags", "updated_at": "at"}},
                       {"table": "%1$s.name", "key": {"customer_id": "customer_id"}, "columns": {"name": "customer_name", "mood": "mood"},
                        "history": true},
                       {"table": "%1$s.day", "key": {"day": "at::date"}, "calendar": "at"}]}', mart, rest)::json $$;
SELECT sluice.add_snapshot_column('orders');
SELECT make_mart(mart), sluice.create_facts(mart, 'orders', mart || '.sale', sale_mapping(mart, rest), newest_by => 'at', cursor => cursor)
FROM (VALUES ('by_sequence', 'sequence', ''), ('by_hash', 'hash', ''), ('by_snapshot', 'snapshot', ''),
             ('replaced', 'sequence', ', "mode": "replace", "replace_by": ["day"]')) v(mart, cursor, rest);

-- The oracles: all orders at once
CREATE VIEW expected_item AS
SELECT DISTINCT ON (item_id) item_id, item_name FROM orders ORDER BY item_id, at DESC, item_name DESC;
CREATE VIEW expected_customer AS
SELECT DISTINCT ON (customer_id) customer_id, customer_name AS name, mood, tags::text, at FROM orders
ORDER BY customer_id, at DESC, customer_name DESC, mood DESC, tags::text DESC;
CREATE VIEW expected_name AS
WITH seen AS (SELECT DISTINCT ON (customer_id, at) customer_id, customer_name AS name, mood, at FROM orders
              ORDER BY customer_id, at, customer_name DESC, mood DESC),
     numbered AS (SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY at)
                            - row_number() OVER (PARTITION BY customer_id, name, mood ORDER BY at) AS island FROM seen),
     islands AS (SELECT customer_id, name, mood, min(at) AS valid_from FROM numbered GROUP BY customer_id, name, mood, island)
SELECT *, (SELECT min(n.valid_from) FROM islands n WHERE n.customer_id = i.customer_id AND n.valid_from > i.valid_from) AS valid_to
FROM islands i;
CREATE VIEW expected_sale AS
SELECT at::date AS day, item_id, customer_id, (array_agg(city ORDER BY at DESC, city DESC NULLS FIRST))[1] AS city,
       sum(quantity * sign)::int AS quantity, sum(paid * sign) AS paid, sum(price * sign) AS price, sum(spent * sign) AS spent,
       sum(weight * sign) AS weight, count(*) FILTER (WHERE sign = 1)::int AS orders, count(*) FILTER (WHERE sign = -1) AS refunds,
       count(*)::numeric AS rows, sum(paid) AS gross, min(paid * sign) AS least, max(at) AS latest
FROM (SELECT *, CASE WHEN status IN ('refunded', 'lost') THEN -1 ELSE 1 END AS sign FROM orders WHERE status IS DISTINCT FROM 'cancelled') o
GROUP BY 1, 2, 3;
CREATE FUNCTION differences(mart text) RETURNS TABLE (what text, rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ['item', 'SELECT item_id, item_name FROM %I.item', 'TABLE expected_item'],
        ['customer', 'SELECT customer_id, name, mood, tags::text, updated_at FROM %I.customer', 'TABLE expected_customer'],
        ['name', 'SELECT customer_id, name, mood, valid_from, valid_to, is_current FROM %I.name', 'SELECT *, valid_to IS NULL FROM expected_name'],
        ['day', 'TABLE %I.day', $q$SELECT DISTINCT at::date, extract(year FROM at)::int, trim(to_char(at, 'Day')) FROM orders$q$],
        ['sale', 'SELECT s.day, s.item_id, c.customer_id, s.city, s.quantity, s.paid, s.price, s.spent, round(s.weight::numeric, 6), s.orders,
                  s.refunds, s.rows, s.gross, s.least, s.latest FROM %I.sale s JOIN %1$I.customer c ON c.id = s.customer',
                 'SELECT day, item_id, customer_id, city, quantity, paid, price, spent, round(weight::numeric, 6), orders, refunds, rows, gross,
                  least, latest FROM expected_sale']]
    LOOP
        RETURN QUERY EXECUTE format('SELECT %L, count(*) FROM ((%s EXCEPT ALL %s) UNION ALL (%3$s EXCEPT ALL %2$s)) d',
                                    pair[1], format(pair[2], mart), pair[3]);
    END LOOP;
END $$;

-- Increments at random, and after each of them nothing differs
CREATE FUNCTION deliver(count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders (at, item_id, item_name, customer_id, customer_name, mood, tags, city, quantity, paid, price, spent, weight, status)
    SELECT timestamp '2024-01-01' + (random() * 20)::int * interval '13 hours', (random() * 5)::int, 'item ' || (random() * 4)::int,
           (random() * 6)::int, nullif('name ' || (random() * 3)::int, 'name 0'), (ARRAY['bad', 'good', NULL]::mood[])[ceil(random() * 3)],
           CASE WHEN random() < 0.5 THEN '[1]' WHEN random() < 0.5 THEN '[1, 2]' END::json,
           nullif('city ' || (random() * 3)::int, 'city 0'), nullif((random() * 9)::int, 0), nullif((random() * 100)::numeric(10,2), 50),
           (random() * 100)::numeric(10,2)::money, (random() * 9)::int * interval '1 hour', random(),
           (ARRAY['shipped', 'refunded', 'lost', 'cancelled', 'unheard of', NULL])[ceil(random() * 6)]
    FROM generate_series(1, count) $$;
CREATE PROCEDURE check_increments(increments int) LANGUAGE plpgsql AS $$
DECLARE
    mart text;
    wrong text;
BEGIN
    FOR i IN 1 .. increments LOOP
        PERFORM deliver((random() * 40)::int);
        COMMIT; -- rows of a transaction of its own wait for the next run of the snapshot cursor
        FOREACH mart IN ARRAY ARRAY['by_sequence', 'by_hash', 'by_snapshot', 'replaced'] LOOP
            EXECUTE format('CALL sluice.run(%L, batch_size => %s)', mart, 1 + (random() * random() * 60)::int);
            COMMIT;
            SELECT string_agg(what || ': ' || rows, ', ') INTO wrong FROM differences(mart) WHERE rows > 0;
            IF wrong IS NOT NULL THEN
                RAISE WARNING 'increment %, mart %: %', i, mart, wrong;
            END IF;
        END LOOP;
    END LOOP;
END $$;
SELECT setseed(0.7);
CALL check_increments(25);
SELECT count(*) > 300 AS many, (SELECT count(*) FROM by_hash.name) > 100 AS versions, (SELECT count(*) FROM by_hash.sale) > 100 AS facts FROM orders;
SELECT mart, what, rows FROM (VALUES ('by_sequence'), ('by_hash'), ('by_snapshot'), ('replaced')) v(mart), differences(mart) WHERE rows > 0;

-- The oracles see what is wrong
BEGIN;
UPDATE by_hash.item SET item_name = 'x' WHERE item_id = 1;
DELETE FROM by_hash.name WHERE is_current AND customer_id = 2;
UPDATE by_hash.sale SET paid = paid + 0.01 WHERE (day, item_id) = (SELECT day, item_id FROM by_hash.sale WHERE paid IS NOT NULL LIMIT 1);
SELECT what, rows > 0 AS wrong FROM differences('by_hash');
ROLLBACK;

-- Versions leave no gap and do not overlap
SELECT count(*) FROM (SELECT valid_to, lead(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from) AS next, is_current FROM by_sequence.name) n
WHERE valid_to IS DISTINCT FROM next OR is_current <> (next IS NULL);

-- Rows that do not change are not rewritten
CREATE TABLE before AS SELECT 'item' AS what, ctid::text AS place FROM by_sequence.item UNION ALL SELECT 'name', ctid::text FROM by_sequence.name
    UNION ALL SELECT 'replaced', ctid::text FROM replaced.sale;
INSERT INTO orders (at, item_id, item_name, customer_id, customer_name, mood, tags, status)
SELECT at, item_id, item_name, customer_id, customer_name, mood, tags, 'cancelled' FROM orders;
CALL sluice.run('by_sequence');
CALL sluice.run('replaced');
SELECT count(*) FROM (TABLE before EXCEPT (SELECT 'item', ctid::text FROM by_sequence.item UNION ALL SELECT 'name', ctid::text FROM by_sequence.name
    UNION ALL SELECT 'replaced', ctid::text FROM replaced.sale)) gone;
SELECT pipeline, inserted, updated, deleted FROM sluice.runs WHERE pipeline IN ('by_sequence', 'replaced') ORDER BY run_id DESC LIMIT 2;
DROP TABLE before;
SELECT what, rows FROM differences('by_sequence') WHERE rows > 0;

-- A column of the source may have the name by which statements know the source; rows that are rejected are whole all the same
CREATE TABLE named_s (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, amount numeric, s int);
CREATE TABLE named_f (id int PRIMARY KEY, amount numeric);
SELECT sluice.create_facts('named_s', 'named_s', 'named_f', '{"grain": {"id": "id"}, "measures": {"amount": "amount"}}', 'at', on_error => 'reject');
INSERT INTO named_s (id, at, amount, s) VALUES (2, 1, 10, 5), (NULL, 1, 10, 5);
CALL sluice.run('named_s');
SELECT document, sqlstate, message FROM sluice.rejects WHERE pipeline = 'named_s' ORDER BY document;
CALL sluice.retry('named_s');
SELECT id, amount::int FROM named_f ORDER BY id;
