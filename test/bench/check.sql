-- What is in the targets, whatever their order and keys: for each table its rows, its rows with a client, and a checksum of these
-- with application_id in the place of client_id. (1.90 and 1.9 are the same number: a client may write either.)
SELECT 'clients', count(*), count(*), sum(hashtextextended(c.application_id::text, 0)) FROM :schema.clients c;
SELECT 'phones', (SELECT count(*) FROM :schema.phones), count(*), sum(hashtextextended(row(c.application_id, type, number)::text, 0))
FROM :schema.clients c JOIN :schema.phones USING (client_id);
SELECT 'addresses', (SELECT count(*) FROM :schema.addresses), count(*),
       sum(hashtextextended(row(c.application_id, type, date, city, flat)::text, 0))
FROM :schema.clients c JOIN :schema.addresses USING (client_id);
SELECT 'products', (SELECT count(*) FROM :schema.products), count(*),
       sum(hashtextextended(row(c.application_id, product_name, count, trim_scale(cost), trim_scale(total_sum))::text, 0))
FROM :schema.clients c JOIN :schema.products USING (client_id);
