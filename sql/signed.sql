-- sluice.signed: an amount counts with the opposite sign where its status is one of the negative ones.

-- Every type keeps its own
SELECT status,
       sluice.signed(1::smallint, status) AS smallint, sluice.signed(2, status) AS int, sluice.signed(3::bigint, status) AS bigint,
       sluice.signed(1.5::real, status) AS real, sluice.signed(2.5::float8, status) AS float8,
       sluice.signed(12.30, status) AS numeric, sluice.signed('7.50'::money, status) AS money,
       sluice.signed('1 day 02:00'::interval, status) AS interval
FROM (VALUES ('shipped'), ('refunded'), ('Refunded'), ('refund'), (NULL), ('')) AS v(status);
SELECT DISTINCT pg_typeof(amount), pg_typeof(sluice.signed(amount, 'refunded'))
FROM (VALUES (1::smallint)) v(amount)
UNION ALL SELECT pg_typeof(1::bigint), pg_typeof(sluice.signed(1::bigint, 'refunded'))
UNION ALL SELECT pg_typeof(1::money), pg_typeof(sluice.signed(1::money, 'refunded')) ORDER BY 1;

-- Which statuses are negative can be said; nulls among them mean nothing
SELECT sluice.signed(5, 'lost', '{lost,refunded}') AS lost, sluice.signed(5, 'refunded', '{lost}') AS not_now,
       sluice.signed(5, 'refunded', '{}') AS none, sluice.signed(5, 'refunded', NULL) AS unknown,
       sluice.signed(5, NULL, '{NULL}') AS null_status, sluice.signed(5, 'x', '{NULL,x}') AS one_null,
       sluice.signed(NULL::int, 'refunded') AS null_amount, sluice.signed(5, 'x'::varchar, '{x}') AS varchar;
SELECT sluice.signed('NaN'::numeric, 'refunded'), sluice.signed('Infinity'::float8, 'refunded'), sluice.signed(0.00, 'refunded');

-- A status of an enum
CREATE TYPE order_status AS ENUM ('new', 'shipped', 'refunded');
SELECT status, sluice.signed(4, status) AS int, sluice.signed(4.00, status, '{new,shipped}') AS numeric
FROM unnest(enum_range(NULL::order_status)) status;

-- In a generated column
CREATE TABLE sales (
    quantity int, status text, paid numeric(10,2), state order_status,
    signed_quantity int GENERATED ALWAYS AS (sluice.signed(quantity, status)) STORED,
    signed_paid numeric(10,2) GENERATED ALWAYS AS (sluice.signed(paid, state, '{refunded,new}')) STORED);
INSERT INTO sales (quantity, status, paid, state) VALUES (1, 'shipped', 9.90, 'shipped'), (2, 'refunded', 19.80, 'refunded'),
    (NULL, 'refunded', 1, 'new'), (3, NULL, 1, NULL);
UPDATE sales SET status = 'refunded' WHERE quantity = 1;
SELECT * FROM sales ORDER BY quantity;

-- The least integers have no opposite, as with the server's own minus
SELECT sluice.signed((-32768)::smallint, 'shipped'), sluice.signed((-2147483648)::int, 'shipped');
SELECT sluice.signed((-32768)::smallint, 'refunded');
SELECT sluice.signed((-2147483648)::int, 'refunded');
SELECT sluice.signed((-9223372036854775808)::bigint, 'refunded');
SELECT sluice.signed('-92233720368547758.08'::money, 'refunded');
\set VERBOSITY sqlstate
SELECT sluice.signed('-92233720368547758.08'::money, 'refunded');
\set VERBOSITY default

-- The planner may count on it
SELECT DISTINCT provolatile, proparallel FROM pg_proc WHERE proname = 'signed' AND pronamespace = 'sluice'::regnamespace;

DROP TABLE sales;
DROP TYPE order_status;
