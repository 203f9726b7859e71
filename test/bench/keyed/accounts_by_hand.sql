INSERT INTO bench.accounts (account_id, name, balance, since, active)
SELECT (doc->>'account_id')::int, doc->>'name', (doc->>'balance')::numeric, (doc->>'since')::date, (doc->>'active')::boolean
FROM bench.stage_accounts
ON CONFLICT (account_id) DO UPDATE SET name = excluded.name, balance = excluded.balance, since = excluded.since, active = excluded.active;
