-- Orders and two lines of each, all of which the documents replace.
TRUNCATE bench.orders, bench.lines;
INSERT INTO bench.orders SELECT n, 'unknown', -1, 'epoch', NULL FROM generate_series(1, (SELECT count(*) FROM bench.stage_orders)) AS n;
INSERT INTO bench.lines SELECT account_id, 'old ' || n, n FROM bench.orders, generate_series(1, 2) AS n ORDER BY account_id;
VACUUM ANALYZE bench.orders, bench.lines;
