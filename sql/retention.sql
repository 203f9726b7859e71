-- Retention: new, returning and refunded customers of each period.

SET TIME ZONE 'UTC';

CREATE TABLE facts (
    date_id int NOT NULL, at timestamp NOT NULL, day date NOT NULL, customer_id int, amount numeric(10,2), orders int, refunds smallint);

-- By hand: a week of four customers, and the one after
INSERT INTO facts (date_id, at, day, customer_id, amount)
SELECT extract(epoch from at)::int, at, at, customer_id, amount
FROM (VALUES (timestamp '2024-01-01 00:00', 1, 10.00),                                    -- one order
             ('2024-01-02 10:00', 2, 20.00), ('2024-01-07 23:59', 2, 5.50),               -- two
             ('2024-01-03 10:00', 3, 30.00), ('2024-01-04 10:00', 3, -30.00),             -- one, given back
             ('2024-01-05 10:00', 4, -7.00), ('2024-01-05 11:00', 4, -1.00),              -- refunds alone, of earlier orders
             ('2024-01-08 00:00', 1, 0.00), ('2024-01-09 00:00', 1, NULL),                -- an order for nothing, and no amount
             ('2024-01-09 00:00', NULL, 99.00)) AS v(at, customer_id, amount);            -- nobody's
SELECT sluice.create_retention('weekly', 'facts', 'customer_id', 'amount', 'at');
SELECT * FROM weekly ORDER BY period_id;
SELECT obj_description('weekly'::regclass);

-- The periods, against an oracle that looks at one number at a time
CREATE FUNCTION begin_of(period text, d date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'day' THEN d
                       WHEN 'week' THEN d - (extract(isodow FROM d)::int - 1)
                       WHEN 'month' THEN make_date(extract(year FROM d)::int, extract(month FROM d)::int, 1)
                       WHEN 'quarter' THEN make_date(extract(year FROM d)::int, (extract(month FROM d)::int - 1) / 3 * 3 + 1, 1)
                       ELSE make_date(extract(year FROM d)::int, 1, 1) END $$;
CREATE FUNCTION oracle(period text)
RETURNS TABLE (period_id date, new_count bigint, new_revenue numeric, returning_count bigint, returning_revenue numeric,
               refunded bigint, refunds bigint) LANGUAGE sql AS $$
    WITH f AS (SELECT begin_of(period, day) AS p, * FROM facts WHERE customer_id IS NOT NULL)
    SELECT p,
           (SELECT count(*) FROM (SELECT customer_id FROM f WHERE p = d.p AND amount >= 0 GROUP BY 1 HAVING count(*) = 1) c),
           (SELECT coalesce(sum(amount), 0) FROM f WHERE p = d.p
            AND (SELECT count(*) FROM f g WHERE g.p = f.p AND g.customer_id = f.customer_id AND g.amount >= 0) = 1),
           (SELECT count(*) FROM (SELECT customer_id FROM f WHERE p = d.p AND amount >= 0 GROUP BY 1 HAVING count(*) > 1) c),
           (SELECT coalesce(sum(amount), 0) FROM f WHERE p = d.p
            AND (SELECT count(*) FROM f g WHERE g.p = f.p AND g.customer_id = f.customer_id AND g.amount >= 0) > 1),
           (SELECT count(DISTINCT customer_id) FROM f WHERE p = d.p AND amount < 0),
           (SELECT count(*) FROM f WHERE p = d.p AND amount < 0)
    FROM (SELECT DISTINCT p FROM f) d $$;

SELECT setseed(0.5);
INSERT INTO facts (date_id, at, day, customer_id, amount)
SELECT extract(epoch FROM at)::int, at, at, nullif((random() * 12)::int, 0), (random() * 100 - 20)::numeric(10,2)
FROM (SELECT date_trunc('second', timestamp '2023-11-20' + random() * interval '500 days') AS at FROM generate_series(1, 600)) t;
SELECT sluice.create_retention(period || 'ly', 'facts', 'customer_id', 'amount', at, period)
FROM (VALUES ('day', 'day'), ('week', $$to_timestamp(date_id) AT TIME ZONE 'UTC'$$), ('month', 'at'), ('quarter', 'at + interval ''0'''),
             ('year', 'to_timestamp(date_id)')) v(period, at) WHERE period <> 'week';
CREATE VIEW retention AS
SELECT 'day' AS period, * FROM dayly UNION ALL SELECT 'week', * FROM weekly UNION ALL SELECT 'month', * FROM monthly
UNION ALL SELECT 'quarter', * FROM quarterly UNION ALL SELECT 'year', * FROM yearly;
CREATE VIEW expected AS
SELECT period, o.* FROM (VALUES ('day'), ('week'), ('month'), ('quarter'), ('year')) v(period), oracle(period) o;
CREATE VIEW difference AS
SELECT 'wrong' AS what, d.* FROM (SELECT period, period_id, new_customers_count, new_customers_revenue, returning_customers_count,
    returning_customers_revenue, refunded_customer_count, customers_refunded FROM retention EXCEPT ALL TABLE expected) d
UNION ALL
SELECT 'missing', d.* FROM (TABLE expected EXCEPT ALL SELECT period, period_id, new_customers_count, new_customers_revenue,
    returning_customers_count, returning_customers_revenue, refunded_customer_count, customers_refunded FROM retention) d;
TABLE difference;
SELECT period, period_name, count(*), sum(new_customers_count + returning_customers_count) > 0 AS someone FROM retention GROUP BY 1, 2 ORDER BY 3 DESC;

-- Counts that the facts hold themselves: two orders may be one fact
CREATE TABLE daily_facts AS
SELECT day, customer_id, sum(amount) AS amount, count(*) FILTER (WHERE amount >= 0)::int AS orders,
       nullif(count(*) FILTER (WHERE amount < 0), 0)::smallint AS refunds
FROM facts GROUP BY 1, 2;
SELECT sluice.create_retention('counted', 'daily_facts', 'customer_id', 'amount', 'day', 'month', 'orders', 'refunds');
SELECT count(*) FROM ((TABLE counted EXCEPT ALL TABLE monthly) UNION ALL (TABLE monthly EXCEPT ALL TABLE counted)) d;
SELECT sluice.create_retention('uncounted', 'daily_facts', 'customer_id', 'amount', 'day', 'month');
SELECT count(*) > 0 AS others FROM (TABLE uncounted EXCEPT ALL TABLE monthly) d;

-- Money and intervals
CREATE TABLE paid (at timestamptz, customer text, price money, spent interval, half real);
INSERT INTO paid VALUES ('2024-05-31 23:30', 'a', '1.50', '1 hour', 1.5), ('2024-06-01 00:30', 'b', '2.25', '2 hours', 2.5),
                        ('2024-06-01 00:30', 'b', '-2.25', '-30 min', -0.5);
SELECT sluice.create_retention('in_money', 'paid', 'customer', 'price', 'at', 'month');
SELECT sluice.create_retention('in_time', 'paid', 'customer', 'spent', 'at', 'month');
SELECT sluice.create_retention('in_real', 'paid', 'customer', 'half', 'at', 'month');
TABLE in_money ORDER BY period_id;
TABLE in_time ORDER BY period_id;
TABLE in_real ORDER BY period_id;

-- Days begin where they began for its maker, whoever looks
SET TIME ZONE 'Europe/Paris';
SELECT sluice.create_retention('in_paris', 'paid', 'customer', 'price', 'at', 'month');
SET TIME ZONE 'America/Lima';
SELECT period_id, new_customers_count FROM in_paris ORDER BY 1;
SELECT period_id, new_customers_count FROM in_money ORDER BY 1;
SET TIME ZONE 'UTC';

-- Names of any kind
CREATE SCHEMA "Mart";
CREATE TABLE "Mart"."The Facts" ("At" date, "Customer" int, "Select" int);
INSERT INTO "Mart"."The Facts" VALUES ('2024-02-29', 1, 3);
SELECT sluice.create_retention('"Mart"."The Retention"', '"Mart"."The Facts"', 'Customer', 'Select', 'At', 'quarter');
TABLE "Mart"."The Retention";

-- What is refused
SELECT sluice.create_retention(NULL, 'facts', 'customer_id', 'amount', 'at');
SELECT sluice.create_retention('again', 'facts', 'custmer_id', 'amount', 'at');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'at', 'at');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'date_id');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'att');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'at) , (at');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'clock_timestamp()');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'at', 'weeks');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'at', 'week', 'day');
SELECT sluice.create_retention('again', 'facts', 'customer_id', 'amount', 'at', 'week', NULL, 'refund');
SELECT sluice.create_retention('a.b.c', 'facts', 'customer_id', 'amount', 'at');
SELECT sluice.create_retention('weekly', 'facts', 'customer_id', 'amount', 'at');

DROP VIEW difference, expected, retention;
DROP TABLE facts, daily_facts, paid, "Mart"."The Facts" CASCADE;
DROP SCHEMA "Mart";
DROP FUNCTION oracle, begin_of;
