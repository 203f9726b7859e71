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

-- As a table: the runs of the pipeline that writes the facts keep it up to date, only periods with new facts are written
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, customer int, item int, amount numeric(10,2), status text);
CREATE TABLE sale (day date, item int, customer int, amount numeric, orders int, refunds int, last_item int, UNIQUE (day, item, customer));
CREATE TABLE rebuilt (LIKE sale);
CREATE FUNCTION mapping(rest text) RETURNS json LANGUAGE sql AS $$
    SELECT format('{"grain": {"day": "at::date", "item": "item", "customer": "customer"}, "last": {"last_item": "item"},
        "measures": {"amount": "amount", "orders": {"count": "positive"}, "refunds": {"count": "negative"}},
        "sign": {"by": "status", "negative": ["refunded"], "ignore": ["cancelled"]} %s}', rest)::json $$;
SELECT sluice.create_retention('early', 'sale', 'customer', 'amount', 'day + last_item', materialized => true);
SELECT sluice.create_facts('sale', 'source', 'sale', mapping(''), 'at');
INSERT INTO source (at, customer, item, amount) VALUES ('2024-01-10', 1, 1, 5);
CALL sluice.run('sale');
DROP TABLE early;
SELECT sluice.create_retention('early', 'sale', 'customer', 'amount', 'day', materialized => true);
CALL sluice.run('sale');
SELECT period_id, new_customers_revenue FROM early;
DROP TABLE early;
SELECT sluice.create_facts('rebuilt', 'source', 'rebuilt', mapping(', "mode": "replace", "replace_by": ["day"]'), 'at');
SELECT sluice.create_retention('kept', 'sale', 'customer', 'amount', 'day', materialized => true);
CREATE INDEX ON sale ((date_trunc('week', day::timestamp)::date));
SELECT sluice.create_retention(format('%s_%s%s', facts, period, CASE WHEN kept THEN '_kept' END), facts, 'customer', 'amount', 'day', period,
                               'orders', 'refunds', kept)
FROM (VALUES ('sale'), ('rebuilt')) f(facts), (VALUES ('week'), ('month')) p(period), (VALUES (true), (false)) k(kept);
\d kept
SELECT count(*) FROM sluice.retention;
CREATE FUNCTION kept_differences() RETURNS TABLE (retention text, rows bigint) LANGUAGE sql AS $$
    SELECT 'sale_week', count(*) FROM ((TABLE sale_week EXCEPT ALL TABLE sale_week_kept) UNION ALL (TABLE sale_week_kept EXCEPT ALL TABLE sale_week)) d
    UNION ALL
    SELECT 'sale_month', count(*) FROM ((TABLE sale_month EXCEPT ALL TABLE sale_month_kept) UNION ALL (TABLE sale_month_kept EXCEPT ALL TABLE sale_month)) d
    UNION ALL
    SELECT 'rebuilt_week', count(*) FROM ((TABLE rebuilt_week EXCEPT ALL TABLE rebuilt_week_kept) UNION ALL (TABLE rebuilt_week_kept EXCEPT ALL TABLE rebuilt_week)) d
    UNION ALL
    SELECT 'rebuilt_month', count(*) FROM ((TABLE rebuilt_month EXCEPT ALL TABLE rebuilt_month_kept) UNION ALL (TABLE rebuilt_month_kept EXCEPT ALL TABLE rebuilt_month)) d $$;
CREATE PROCEDURE check_kept(increments int) LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    FOR i IN 1 .. increments LOOP
        INSERT INTO source (at, customer, item, amount, status)
        SELECT timestamp '2024-01-01' + random() * interval '100 days', (random() * 8)::int, (random() * 3)::int, (random() * 100)::numeric(10,2),
               (ARRAY['shipped', 'refunded', 'cancelled'])[ceil(random() * 3)]
        FROM generate_series(1, (random() * 20)::int);
        IF i % 5 = 0 THEN -- rows that go: a whole day may be rebuilt to nothing
            DELETE FROM source WHERE at::date = (SELECT at::date FROM source ORDER BY random() LIMIT 1) AND random() < 0.8;
            INSERT INTO source (at, customer, item, status) SELECT at, 0, 0, 'cancelled' FROM (SELECT min(at) AS at FROM source) m;
        END IF;
        COMMIT;
        CALL sluice.run('sale', batch_size => 1 + (random() * 30)::int);
        CALL sluice.run('rebuilt');
        SELECT string_agg(retention || ': ' || rows, ', ') INTO wrong FROM kept_differences() WHERE rows > 0;
        IF wrong IS NOT NULL THEN
            RAISE WARNING 'increment %: %', i, wrong;
        END IF;
    END LOOP;
END $$;
CALL check_kept(40);
SELECT * FROM kept_differences();
SELECT count(*) FROM kept k FULL JOIN sale_week w USING (period_id) WHERE k.customers_refunded IS NULL OR w.customers_refunded IS NULL;

-- Periods without new facts are left alone
SELECT ctid AS place, * INTO TEMP before FROM sale_month_kept;
INSERT INTO source (at, customer, item, amount, status) VALUES ('2024-02-10', 1, 1, 5, 'shipped');
CALL sluice.run('sale');
SELECT period_id FROM before b FULL JOIN sale_month_kept k USING (period_id) WHERE b.place IS DISTINCT FROM k.ctid;

-- A table that was dropped is forgotten; what cannot be kept up to date is refused
DROP TABLE kept;
INSERT INTO source (at, customer, item, amount, status) VALUES ('2024-02-11', 1, 1, 5, 'shipped');
CALL sluice.run('sale');
SELECT count(*) FROM sluice.retention;
SELECT sluice.create_retention('kept', 'sale', 'customer', 'amount', 'day + last_item', materialized => true);
CREATE ROLE retention_other;
ALTER TABLE sale_week_kept OWNER TO retention_other;
INSERT INTO source (at, customer, item, amount, status) VALUES ('2024-02-12', 1, 1, 5, 'shipped');
CALL sluice.run('sale');
DROP TABLE sale_week_kept;
CALL sluice.run('sale');
DROP ROLE retention_other;
SELECT sluice.drop_pipeline('sale'), sluice.drop_pipeline('rebuilt');
DROP FUNCTION kept_differences, mapping;
DROP PROCEDURE check_kept;
DROP TABLE source, sale, rebuilt, sale_month_kept, rebuilt_week_kept, rebuilt_month_kept CASCADE;

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
