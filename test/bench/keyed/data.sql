-- The documents that come again: bench.stage_accounts, a handful of columns each, and bench.stage_orders, the same with one to four
-- lines. They come in an order that has nothing to do with that of the rows they write over.
CREATE TABLE bench.stage_accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb NOT NULL);
INSERT INTO bench.stage_accounts (doc)
SELECT jsonb_build_object('account_id', d, 'name', 'customer ' || bench.pick(d, salt + 1, 1000000), 'balance', bench.pick(d, salt + 2, 10000000) / 100.0,
                          'since', date '1990-01-01' + bench.pick(d, salt + 3, 12000)::int, 'active', bench.pick(d, salt + 4, 2) = 1)
FROM generate_series(1, :documents::bigint) AS d, bench.seed
ORDER BY bench.pick(d, salt + 5, 1000000000), d;
CREATE TABLE bench.stage_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb NOT NULL);
INSERT INTO bench.stage_orders (doc)
SELECT doc || jsonb_build_object('lines', (SELECT jsonb_agg(jsonb_build_object('what', 'thing ' || bench.pick(id, salt + 20 + n, 1000), 'count', 1 + bench.pick(id, salt + 30 + n, 9)))
                                           FROM generate_series(1, 1 + bench.pick(id, salt + 10, 4)) AS n))
FROM bench.stage_accounts, bench.seed
ORDER BY id;

CREATE TABLE bench.accounts (account_id int PRIMARY KEY, name text NOT NULL, balance numeric, since date, active boolean);
CREATE TABLE bench.orders (LIKE bench.accounts INCLUDING ALL);
CREATE TABLE bench.lines (account_id int NOT NULL REFERENCES bench.orders, what text, count int);
CREATE INDEX ON bench.lines (account_id);
