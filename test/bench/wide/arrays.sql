-- By hand: OFFSET 0 keeps doc->>'number' from being taken anew, out of the whole document, for each item (some 40 times slower).
BEGIN;
INSERT INTO wide.arrays SELECT r.* FROM bench.arrays, jsonb_populate_record(NULL::wide.arrays, doc) AS r;
INSERT INTO wide.items
SELECT number, r.sku, r.pieces, r.price
FROM (SELECT (doc->>'number')::bigint AS number, doc->'items' AS items FROM bench.arrays OFFSET 0) AS a,
     jsonb_to_recordset(items) AS r (sku text, pieces int, price numeric);
COMMIT;
