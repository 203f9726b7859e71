-- Dimensions: newest values, histories, calendars, surrogates.

SET client_min_messages = warning;
SET DateStyle = 'ISO';

-- The calendar fills whichever of the usual columns the table has
CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz);
CREATE TABLE visit (date_id int PRIMARY KEY, n int);
CREATE TABLE calendar (
    date_id int PRIMARY KEY, date_actual date NOT NULL, epoch bigint NOT NULL, day_suffix varchar(4) NOT NULL, day_name varchar(9) NOT NULL,
    day_of_week int NOT NULL, day_of_month int NOT NULL, day_of_quarter int NOT NULL, day_of_year int NOT NULL, week_of_month int NOT NULL,
    week_of_year int NOT NULL, week_of_year_iso char(10) NOT NULL, month_actual int NOT NULL, month_name varchar(9) NOT NULL,
    month_name_abbreviated char(3) NOT NULL, quarter_actual int NOT NULL, quarter_name varchar(9) NOT NULL, year_actual int NOT NULL,
    first_day_of_week date NOT NULL, last_day_of_week date NOT NULL, first_day_of_month date NOT NULL, last_day_of_month date NOT NULL,
    first_day_of_quarter date NOT NULL, last_day_of_quarter date NOT NULL, first_day_of_year date NOT NULL, last_day_of_year date NOT NULL,
    mmyyyy char(6) NOT NULL, mmddyyyy char(10) NOT NULL, weekend_indr boolean NOT NULL, holiday text DEFAULT 'unknown');
SET TIME ZONE 'America/Sao_Paulo'; -- where there were days without a midnight
SELECT sluice.create_facts('visits', 'visits', 'visit',
    '{"grain": {"date_id": "to_char(at, ''YYYYMMDD'')::int"}, "measures": {"n": {"count": "all"}},
      "dimensions": [{"table": "calendar", "key": {"date_id": "to_char(at, ''YYYYMMDD'')::int"}, "calendar": "at"}]}');
INSERT INTO visits (at) SELECT timestamptz '1999-12-15 23:30' + n * interval '8 hours' FROM generate_series(0, 23000) n;
SET TIME ZONE 'Asia/Tokyo'; -- the settings of the creation hold
CALL sluice.run('visits');
SELECT count(*) = (SELECT (max(at) AT TIME ZONE 'America/Sao_Paulo')::date - date '1999-12-15' + 1 FROM visits) AS all_days,
       sum(n) AS visits FROM visit JOIN calendar USING (date_id);
\x on
SELECT * FROM calendar WHERE date_id IN (20000101, 20200229, 20201231, 20181104) ORDER BY date_id;
\x off
-- What is wrong with any of them
CREATE VIEW by_arithmetic AS
SELECT extract(year FROM d)::int AS y, extract(month FROM d)::int AS m, extract(day FROM d)::int AS day, c.*
FROM (SELECT c.*, date '2000-01-01' + ((epoch - 946684800) / 86400)::int AS d FROM calendar c) c;
SELECT count(*) AS wrong FROM by_arithmetic
WHERE (date_actual, day_of_month, month_actual, year_actual, day_of_year, quarter_actual, day_of_quarter, date_id)
      IS DISTINCT FROM (d, day, m, y, d - make_date(y, 1, 1) + 1, (m + 2) / 3, d - make_date(y, (m - 1) / 3 * 3 + 1, 1) + 1, y * 10000 + m * 100 + day)
   OR (day_of_week, weekend_indr, first_day_of_week, last_day_of_week)
      IS DISTINCT FROM ((d - date '2000-01-03') % 7 + CASE WHEN d < '2000-01-03' AND (d - date '2000-01-03') % 7 <> 0 THEN 8 ELSE 1 END,
                        day_name IN ('Saturday', 'Sunday'), d - day_of_week + 1, d - day_of_week + 7)
   OR (first_day_of_month, last_day_of_month, first_day_of_quarter, first_day_of_year, last_day_of_year)
      IS DISTINCT FROM (make_date(y, m, 1), make_date(y + m / 12, m % 12 + 1, 1) - 1, make_date(y, (m - 1) / 3 * 3 + 1, 1), make_date(y, 1, 1), make_date(y, 12, 31))
   OR last_day_of_quarter <> make_date(y + quarter_actual / 4, quarter_actual % 4 * 3 + 1, 1) - 1
   OR (day_suffix, mmyyyy, mmddyyyy, week_of_month)
      IS DISTINCT FROM (day || CASE WHEN day IN (11, 12, 13) THEN 'th' WHEN day % 10 = 1 THEN 'st' WHEN day % 10 = 2 THEN 'nd' WHEN day % 10 = 3 THEN 'rd' ELSE 'th' END,
                        lpad(m::text, 2, '0') || y, lpad(m::text, 2, '0') || lpad(day::text, 2, '0') || y, (day - 1) / 7 + 1)
   OR day_name <> (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[day_of_week]
   OR month_name <> (ARRAY['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'])[m]
   OR month_name_abbreviated <> left(month_name, 3) OR quarter_name <> (ARRAY['First', 'Second', 'Third', 'Fourth'])[quarter_actual]
   OR (week_of_year_iso, week_of_year) IS DISTINCT FROM (to_char(d, 'IYYY"-W"IW-ID')::char(10), to_char(d, 'IW')::int) OR holiday <> 'unknown';
-- A row that is there stays
UPDATE calendar SET holiday = 'new year', day_name = 'a day' WHERE date_id = 20000101;
INSERT INTO visits (at) VALUES ('2000-01-01 12:00');
CALL sluice.run('visits');
SELECT holiday, day_name, n FROM calendar JOIN visit USING (date_id) WHERE date_id = 20000101;
INSERT INTO visits (at) VALUES (NULL);
CALL sluice.run('visits');
SELECT sluice.drop_pipeline('visits');
DROP VIEW by_arithmetic;
DROP TABLE visits, visit, calendar;
SET TIME ZONE 'UTC';

-- Without newest_by what comes later is newer
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item_id int, name text, price money);
CREATE TABLE item (item_id int PRIMARY KEY, name text DEFAULT 'x', note text DEFAULT 'by hand');
CREATE TABLE sale (item_id int PRIMARY KEY REFERENCES item, price money, last_name text);
INSERT INTO item VALUES (1, 'there before', 'kept');
CREATE FUNCTION mapping() RETURNS json LANGUAGE sql AS $$
    SELECT '{"grain": {"item_id": "item_id"}, "measures": {"price": "price"}, "last": {"last_name": "name"},
             "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "columns": {"name": "name"}}]}'::json $$;
SELECT sluice.create_facts('later', 'orders', 'sale', mapping());
SELECT count(*) FROM pg_class WHERE relname LIKE 'newest%' AND relkind = 'r';
INSERT INTO orders (at, item_id, name, price) VALUES ('2024-01-02', 1, 'first', 1), ('2024-01-01', 1, 'second', 2), ('2024-01-01', 2, NULL, 5);
CALL sluice.run('later');
TABLE item;
INSERT INTO orders (at, item_id, name, price) VALUES ('2023-01-01', 1, 'third', 1), ('2024-01-02', 2, 'fourth', NULL);
CALL sluice.run('later');
TABLE item ORDER BY 1;
TABLE sale ORDER BY 1;
SELECT sluice.drop_pipeline('later');

-- With it a row that was there before the pipeline is older than any; times that are null are the oldest
TRUNCATE orders, sale, item;
INSERT INTO item VALUES (1, 'there before', 'kept');
SELECT sluice.create_facts('newest', 'orders', 'sale', mapping(), newest_by => 'at');
INSERT INTO orders (at, item_id, name, price) VALUES (NULL, 1, 'no time', 1), (NULL, 2, 'no time', 1), (NULL, 2, 'a', 1);
CALL sluice.run('newest');
TABLE item ORDER BY 1;
INSERT INTO orders (at, item_id, name, price) VALUES ('2024-01-02', 1, 'new', 1), ('2024-01-01', 2, NULL, 1);
CALL sluice.run('newest');
INSERT INTO orders (at, item_id, name, price) VALUES ('2024-01-01', 1, 'old', 1), (NULL, 2, 'no time', 1);
CALL sluice.run('newest');
TABLE item ORDER BY 1;
TABLE sale ORDER BY 1;
-- what remembers can be taken away: the pipeline says so
BEGIN;
DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE %s', c.oid::regclass) FROM pg_class c WHERE relname LIKE 'newest%\_1' AND relkind = 'r'); END $$;
INSERT INTO orders (at, item_id, name, price) VALUES ('2024-01-01', 1, 'old', 1);
DO $$ BEGIN PERFORM sluice.run_batch('newest'); EXCEPTION WHEN undefined_table THEN RAISE WARNING '%', regexp_replace(SQLERRM, '\d+', 'N'); END $$;
ROLLBACK;
SELECT sluice.drop_pipeline('newest');
SELECT count(*) FROM pg_class WHERE relname LIKE 'newest%';

-- A history takes over what is there, and puts late rows in their place
TRUNCATE orders, sale, item;
CREATE TABLE name (id int GENERATED ALWAYS AS IDENTITY, item_id int, name text, valid_from timestamp, valid_to timestamp NOT NULL, is_current boolean);
INSERT INTO name (item_id, name, valid_from, valid_to, is_current) VALUES (1, 'a', '2024-01-01', '2024-02-01', false), (1, 'b', '2024-02-01', 'infinity', true);
SELECT sluice.create_facts('history', 'orders', 'sale',
    '{"grain": {"item_id": "item_id"}, "dimensions": [{"table": "item", "key": {"item_id": "item_id"}},
      {"table": "name", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]}', newest_by => 'at');
INSERT INTO orders (at, item_id, name) VALUES ('2024-03-01', 1, 'b'), ('2024-01-15', 1, 'a'), ('2024-04-01', 1, 'c');
CALL sluice.run('history');
TABLE name ORDER BY valid_from;
INSERT INTO orders (at, item_id, name) VALUES ('2024-02-15', 1, 'x'), ('2023-12-01', 1, 'a'), ('2024-03-15', 1, 'b');
CALL sluice.run('history');
TABLE name ORDER BY valid_from;
-- of one time the greatest value counts: a version may go again
INSERT INTO orders (at, item_id, name) VALUES ('2024-02-15', 1, 'y');
CALL sluice.run('history');
INSERT INTO orders (at, item_id, name) VALUES ('2024-02-15', 1, NULL), ('2024-02-15', 1, 'b');
CALL sluice.run('history');
TABLE name ORDER BY valid_from;
INSERT INTO orders (at, item_id, name) VALUES (NULL, 1, 'z');
CALL sluice.run('history');
SELECT sluice.drop_pipeline('history');

-- valid_from may be of a type that newest_by becomes without loss
TRUNCATE orders;
CREATE TABLE zoned (item_id int, name text, valid_from timestamptz, valid_to timestamptz, is_current boolean);
CREATE TABLE daily (item_id int, name text, valid_from date, valid_to date, is_current boolean);
SELECT sluice.create_facts('zoned', 'orders', 'sale',
    '{"grain": {"item_id": "item_id"}, "dimensions": [{"table": "item", "key": {"item_id": "item_id"}},
      {"table": "zoned", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]}', newest_by => 'at');
INSERT INTO orders (at, item_id, name) VALUES ('2024-03-01 10:00', 1, 'b'), ('2024-01-15', 1, 'a');
CALL sluice.run('zoned');
INSERT INTO orders (at, item_id, name) VALUES ('2024-02-01 10:00', 1, 'c');
CALL sluice.run('zoned');
TABLE zoned ORDER BY valid_from;
SELECT sluice.create_facts('daily', 'orders', 'sale',
    '{"grain": {"item_id": "item_id"}, "dimensions": [{"table": "daily", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]}', newest_by => 'at');
SELECT sluice.drop_pipeline('zoned');
DROP TABLE zoned, daily;

-- Facts hold the surrogate of the version that was valid at their time
TRUNCATE orders, name;
CREATE TABLE versioned (day date, name int, n int, UNIQUE (day, name));
SELECT sluice.create_facts('versioned', 'orders', 'versioned',
    '{"grain": {"day": "at::date", "name": {"dimension": "name", "column": "id"}}, "measures": {"n": {"count": "all"}},
      "dimensions": [{"table": "name", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]}', newest_by => 'at');
INSERT INTO orders (at, item_id, name) SELECT timestamp '2024-01-01' + n * interval '6 hours', n % 2, 'name ' || n / 5 % 2 FROM generate_series(1, 40) n;
CALL sluice.run('versioned', batch_size => 7);
SELECT count(*) AS wrong FROM (
    (SELECT o.at::date, n.id, count(*)::int FROM orders o JOIN name n ON n.item_id = o.item_id AND o.at >= n.valid_from AND o.at < n.valid_to GROUP BY 1, 2)
    EXCEPT ALL TABLE versioned) d;
SELECT count(*) AS facts, sum(n) AS orders, count(DISTINCT name) AS versions FROM versioned;
-- a dimension that refuses a row: no fact either
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER suppress BEFORE INSERT ON name FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO orders (at, item_id, name) VALUES ('2025-01-01', 9, 'q');
CALL sluice.run('versioned');
SELECT count(*) FROM versioned WHERE day = '2025-01-01';
SELECT sluice.drop_pipeline('versioned');
DROP TABLE orders, item, sale, name, versioned;
DROP FUNCTION mapping, suppress;
