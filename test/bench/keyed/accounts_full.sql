-- The target of the upserts, full: a row for each document, with values that every document changes.
TRUNCATE bench.accounts;
INSERT INTO bench.accounts SELECT n, 'unknown', -1, 'epoch', NULL FROM generate_series(1, (SELECT count(*) FROM bench.stage_accounts)) AS n;
VACUUM ANALYZE bench.accounts;
