-- Wide documents, each kind with a source bench.NAME, a target wide.NAME and a mapping in wide.mapping:
--   columns   50 scalars of five types into 50 columns                       :documents / 4
--   large     20 kB, 400 keys, of which 10 go into columns                   :documents / 20
--   arrays    an array of 1,000 objects into a child table                   :documents / 400
--   levels    ten levels of objects, a scalar of each into a column          :documents / 2
CREATE SCHEMA wide;
CREATE TABLE wide.mapping (kind text PRIMARY KEY, mapping json NOT NULL);
CREATE TABLE bench.columns (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb NOT NULL);
CREATE TABLE bench.large (LIKE bench.columns INCLUDING ALL);
CREATE TABLE bench.arrays (LIKE bench.columns INCLUDING ALL);
CREATE TABLE bench.levels (LIKE bench.columns INCLUDING ALL);

-- columns
SELECT format('CREATE TABLE wide.columns (%s)', string_agg(
           format('c%s %s', n, ('{int,text,numeric,boolean,date}'::text[])[1 + n % 5]), ', ' ORDER BY n))
FROM generate_series(1, 50) AS n
\gexec
INSERT INTO bench.columns (doc)
SELECT (SELECT jsonb_object_agg('c' || n, CASE n % 5
                   WHEN 0 THEN to_jsonb(bench.pick(d, salt + 300 + n, 1000000))
                   WHEN 1 THEN to_jsonb(md5((d + n)::text))
                   WHEN 2 THEN to_jsonb(bench.pick(d, salt + 300 + n, 100000000) / 100.0)
                   WHEN 3 THEN to_jsonb(bench.pick(d, salt + 300 + n, 2) = 0)
                   ELSE to_jsonb(date '1980-01-01' + bench.pick(d, salt + 300 + n, 15000)::int) END)
        FROM generate_series(1, 50) AS n)
FROM generate_series(1, greatest(:documents / 4, 1)) AS d, bench.seed ORDER BY d;
INSERT INTO wide.mapping
SELECT 'columns', json_build_object('wide.columns', json_build_object('columns', json_object_agg('c' || n, '$.c' || n ORDER BY n)))
FROM generate_series(1, 50) AS n;

-- large
SELECT format('CREATE TABLE wide.large (%s)', string_agg(format('k%s text', n), ', ' ORDER BY n)) FROM generate_series(20, 380, 40) AS n
\gexec
INSERT INTO bench.large (doc)
SELECT (SELECT jsonb_object_agg('k' || n, md5((salt + d * 1000 + n)::text) || lpad(n::text, 6, '0')) FROM generate_series(1, 400) AS n)
FROM generate_series(1, greatest(:documents / 20, 1)) AS d, bench.seed ORDER BY d;
INSERT INTO wide.mapping
SELECT 'large', json_build_object('wide.large', json_build_object('columns', json_object_agg('k' || n, '$.k' || n ORDER BY n)))
FROM generate_series(20, 380, 40) AS n;

-- arrays
CREATE TABLE wide.arrays (number bigint PRIMARY KEY, name text);
CREATE TABLE wide.items (number bigint NOT NULL, sku text, pieces int, price numeric);
INSERT INTO bench.arrays (doc)
SELECT jsonb_build_object('number', d, 'name', md5(d::text), 'items',
           (SELECT jsonb_agg(jsonb_build_object('sku', 'A' || bench.pick(d, salt + 800 + n, 1000000), 'pieces', bench.pick(d, salt + 1800 + n, 100),
                                                'price', bench.pick(d, salt + 2800 + n, 1000000) / 100.0) ORDER BY n)
            FROM generate_series(1, 1000) AS n))
FROM generate_series(1, greatest(:documents / 400, 1)) AS d, bench.seed ORDER BY d;
INSERT INTO wide.mapping VALUES ('arrays', '
    { "wide.arrays": { "columns": { "number": "$.number", "name": "$.name" } },
      "wide.items":  { "parent": "wide.arrays", "each": "$.items[*]",
                       "columns": { "number": "parent.number", "sku": "@.sku", "pieces": "@.pieces", "price": "@.price" } } }');

-- levels
CREATE TABLE wide.levels (v1 int, v2 int, v3 int, v4 int, v5 int, v6 int, v7 int, v8 int, v9 int, v10 int);
CREATE FUNCTION bench.level(d bigint, level bigint, salt bigint) RETURNS jsonb STABLE LANGUAGE plpgsql AS
$$ BEGIN
    RETURN jsonb_build_object('v', bench.pick(d, salt + 4000 + level, 1000000), 'name', md5((d + level)::text))
           || CASE WHEN level < 10 THEN jsonb_build_object('a', bench.level(d, level + 1, salt)) ELSE '{}' END;
END $$;
INSERT INTO bench.levels (doc) SELECT bench.level(d, 1, salt) FROM generate_series(1, greatest(:documents / 2, 1)) AS d, bench.seed ORDER BY d;
INSERT INTO wide.mapping
SELECT 'levels', json_build_object('wide.levels', json_build_object('columns',
           json_object_agg('v' || n, '$' || repeat('.a', n - 1) || '.v' ORDER BY n)))
FROM generate_series(1, 10) AS n;

DROP FUNCTION bench.level;
VACUUM ANALYZE bench.columns, bench.large, bench.arrays, bench.levels;
