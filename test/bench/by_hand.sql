-- The best hand-written SQL for the same: keys first, then a statement for each table. A temp table of keys alone, joined to the
-- stage, is faster than one with the documents in it.
BEGIN;
CREATE TEMP TABLE keyed ON COMMIT DROP AS
SELECT nextval(pg_get_serial_sequence(:'schema' || '.clients', 'client_id')) AS client_id, id FROM bench.stage;
ANALYZE keyed;

INSERT INTO :schema.clients (client_id, application_id)
SELECT client_id, (doc->>'application_id')::bigint FROM keyed JOIN bench.stage USING (id);

INSERT INTO :schema.phones (client_id, type, number)
SELECT client_id, entry.key, entry.value
FROM keyed JOIN bench.stage USING (id), jsonb_array_elements(doc->'phones') AS phone, jsonb_each_text(phone) AS entry;

INSERT INTO :schema.addresses (client_id, type, date, city, flat)
SELECT client_id, item->>'type', to_date(item->>'date', 'DD-MM-YYYY'), coalesce(item->'address'->>'city', ''),
       (item->'address'->>'flat')::int
FROM keyed JOIN bench.stage USING (id), jsonb_array_elements(doc->'addresses') AS item;

INSERT INTO :schema.products (client_id, product_name, count, cost, total_sum)
SELECT client_id, item.key, item.value::int, (doc->'products'->'product_cost'->>item.key)::numeric,
       (doc->'products'->>'total_sum')::numeric
FROM keyed JOIN bench.stage USING (id), jsonb_each_text(doc->'products'->'product_cnt') AS item;
COMMIT;
