INSERT INTO bench.accounts (application_id, phone, city, total_sum)
SELECT (doc->>'application_id')::bigint, doc->'phones'->0->>'mobile', doc->'addresses'->0->'address'->>'city',
       (doc->'products'->>'total_sum')::numeric
FROM bench.stage
ON CONFLICT (application_id) DO UPDATE SET phone = excluded.phone, city = excluded.city, total_sum = excluded.total_sum;
