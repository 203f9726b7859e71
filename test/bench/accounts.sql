-- The target of the upserts: a row for each document, full, with values that every document changes.
CREATE TABLE IF NOT EXISTS bench.accounts (application_id bigint PRIMARY KEY, phone text, city text, total_sum numeric);
TRUNCATE bench.accounts;
INSERT INTO bench.accounts SELECT 1000000 + id, 'unknown', 'unknown', -1 FROM bench.stage;
