BEGIN;
INSERT INTO bench.orders (account_id, name, balance, since, active)
SELECT (doc->>'account_id')::int, doc->>'name', (doc->>'balance')::numeric, (doc->>'since')::date, (doc->>'active')::boolean
FROM bench.stage_orders
ON CONFLICT (account_id) DO UPDATE SET name = excluded.name, balance = excluded.balance, since = excluded.since, active = excluded.active;
DELETE FROM bench.lines USING bench.stage_orders WHERE account_id = (doc->>'account_id')::int;
INSERT INTO bench.lines (account_id, what, count)
SELECT (doc->>'account_id')::int, line->>'what', (line->>'count')::int
FROM bench.stage_orders, jsonb_array_elements(doc->'lines') AS line;
COMMIT;
