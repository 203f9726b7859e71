-- The orders: :rows of them over 365 days, 20,001 customers, 501 items and 50 cities, one in ten refunded; and :increment more, of the
-- last week, in a table beside it.
SELECT setseed(1.0 / (1 + :seed));
CREATE SCHEMA bench;
CREATE TABLE bench.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, date_time timestamp NOT NULL, item_id int NOT NULL, item_name text NOT NULL,
    customer_id int NOT NULL, last_name text NOT NULL, city_id int NOT NULL, city_name text NOT NULL, quantity int NOT NULL,
    payment_amount numeric(10,2) NOT NULL, status text NOT NULL);
CREATE FUNCTION bench.make(count int, first timestamp, days int) RETURNS TABLE (
    date_time timestamp, item_id int, item_name text, customer_id int, last_name text, city_id int, city_name text, quantity int,
    payment_amount numeric, status text) LANGUAGE sql AS $$
    SELECT first + (random() * (days - 1))::int * interval '1 day', i, 'item ' || i, c, 'customer ' || c, c % 50, 'city ' || c % 50,
           1 + (random() * 5)::int, (random() * 1000)::numeric(10,2), CASE WHEN random() < 0.1 THEN 'refunded' ELSE 'shipped' END
    FROM (SELECT (random() * 500)::int AS i, (random() * 20000)::int AS c FROM generate_series(1, count)) r $$;
INSERT INTO bench.orders (date_time, item_id, item_name, customer_id, last_name, city_id, city_name, quantity, payment_amount, status)
SELECT * FROM bench.make(:rows, timestamp '2024-01-01', 365);
CREATE TABLE bench.increment AS SELECT * FROM bench.make(:increment, timestamp '2024-12-23', 7);
VACUUM ANALYZE bench.orders;
