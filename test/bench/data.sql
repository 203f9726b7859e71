-- The documents: bench.stage(id, doc), :documents of them, and the schemas crm and bare into which they go.
--
-- Documents have the shape of the README's example: 1 to 4 phones as one-key objects, 1 to 4 addresses (the date and the nested
-- address are sometimes null), 1 to 5 products as two maps from name to count and from name to cost; on average 8 child rows and
-- about 560 bytes of JSON text. Every choice is a hash of the document's number and :seed, so the same data come out on every
-- machine. application_id is 1,000,000 + id.
CREATE EXTENSION IF NOT EXISTS sluice;
CREATE SCHEMA bench;

CREATE FUNCTION bench.pick(document bigint, choice bigint, choices bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN (hashint8extended(document, choice) & 9007199254740991) % choices;

CREATE TABLE bench.seed AS SELECT :seed::bigint * 1000 AS salt;

CREATE TABLE bench.goods AS
SELECT place - 1 AS place, name, CASE WHEN place % 5 = 0 THEN place * 37 + 0.95 ELSE place * 41 END AS cost
FROM unnest('{pen,pencil,book,notebook,eraser,ruler,paper A4,stapler,desk lamp,monitor 24in,usb-c cable,keyboard,mouse,headphones,
              ручка,тетрадь,ноутбук,чай зелёный,Käse,crème brûlée,jalapeño,緑茶,c++ book,9v battery,tape,glue stick,marker,backpack,
              printer,toner,chair,webcam,router,ssd 1TB,charger,phone case,tripod,calendar,globe}'::text[])
     WITH ORDINALITY AS goods (name, place);

CREATE FUNCTION bench.phones(d bigint, salt bigint) RETURNS jsonb STABLE LANGUAGE sql
RETURN (SELECT jsonb_agg(jsonb_build_object(('{mobile,work,home,fax}'::text[])[n],
                                            lpad(bench.pick(d, salt + 10 + n, 10000000000)::text, 10, '7')) ORDER BY n)
        FROM generate_series(1, 1 + bench.pick(d, salt + 1, 4)::int) AS n);

CREATE FUNCTION bench.address(d bigint, salt bigint) RETURNS jsonb STABLE LANGUAGE sql
RETURN CASE WHEN bench.pick(d, salt + 1, 8) > 0 THEN jsonb_build_object(
    'city', ('{Moscow,Kazan,Berlin,Москва,Санкт-Петербург,Łódź,Rio de Janeiro,Val-d''Or,Toshkent,Reykjavík,東京都,New York,Samara,Oslo}'::text[])
            [1 + bench.pick(d, salt + 2, 14)],
    'street', ('{Main Street,ул. 8 Марта,Rue de l''Église,Straße des 17. Juni,Calle 5 #12-34,Broadway,Lenin Avenue,Kirkegata}'::text[])
              [1 + bench.pick(d, salt + 3, 8)],
    'flat', 1 + bench.pick(d, salt + 5, 400)) END;

CREATE FUNCTION bench.addresses(d bigint, salt bigint) RETURNS jsonb STABLE LANGUAGE sql
RETURN (SELECT jsonb_agg(jsonb_build_object(
            'type', ('{registration,residential,work,dacha}'::text[])[n],
            'date', CASE WHEN bench.pick(d, salt + 100 + n, 10) > 0
                         THEN to_char(date '1950-01-01' + bench.pick(d, salt + 110 + n, 27000)::int, 'DD-MM-YYYY') END,
            'address', bench.address(d, salt + 120 + 10 * n)) ORDER BY n)
        FROM generate_series(1, 1 + bench.pick(d, salt + 2, 4)::int) AS n);

CREATE FUNCTION bench.products(d bigint, salt bigint) RETURNS jsonb STABLE LANGUAGE sql
RETURN (SELECT jsonb_build_object('product_cnt', jsonb_object_agg(name, pieces), 'product_cost', jsonb_object_agg(name, cost),
                                  'total_sum', sum(pieces * cost))
        FROM generate_series(1, 1 + bench.pick(d, salt + 3, 5)::int) AS n,
             LATERAL (SELECT 1 + bench.pick(d, salt + 200 + n, 9) AS pieces) AS p,
             bench.goods
        WHERE place = (bench.pick(d, salt + 4, 39) + 7 * n) % 39);

CREATE TABLE bench.stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb NOT NULL);
INSERT INTO bench.stage (doc)
SELECT jsonb_build_object('application_id', 1000000 + d, 'phones', bench.phones(d, salt), 'addresses', bench.addresses(d, salt),
                          'products', bench.products(d, salt))
FROM generate_series(1, :documents::bigint) AS d, bench.seed
ORDER BY d;
VACUUM ANALYZE bench.stage;

\set schema crm
\set references 'REFERENCES crm.clients'
\ir targets.sql
\set schema bare
\set references ''
\ir targets.sql
