-- Merge: what a row is made of. Composite columns field by field, rules, columns and times of every type.
\set VERBOSITY default
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';

-- play fills a source like the history in some order and some runs, and merges it in batches
CREATE PROCEDURE play(name text, history regclass, in_order text, runs int, batch_size int, arguments text DEFAULT '') LANGUAGE plpgsql AS $$
DECLARE columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                         WHERE attrelid = history AND attnum > 0 AND attname <> 'n');
BEGIN
    EXECUTE format('CREATE TABLE source_%1$s AS SELECT %2$s FROM %3$s WHERE false', name, columns, history);
    EXECUTE format('ALTER TABLE source_%s ADD seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY', name);
    EXECUTE format('SELECT sluice.create_merge(%L, %L, %L, %L, %L, batch_size => %s%s)', name, 'source_' || name,
                   'target_' || name, '{id}', 'at', batch_size, arguments);
    FOR run IN 1..runs LOOP
        EXECUTE format('INSERT INTO source_%1$s (%2$s) SELECT %2$s FROM
                        (SELECT h.*, row_number() OVER (ORDER BY %3$s) AS place FROM %4$s h) x
                        WHERE place %% %5$s = %6$s - 1 ORDER BY place', name, columns, in_order, history, runs, run);
        CALL sluice.run(name);
    END LOOP;
END $$;
-- differences counts the keys that a target has otherwise than the oracle
CREATE FUNCTION differences(target regclass, oracle regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg('%1$s.' || quote_ident(attname) || '::text', ', ' ORDER BY attnum) FROM pg_attribute
                     WHERE attrelid = oracle AND attnum > 0);
    result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s o FULL JOIN %s t USING (id) WHERE (%s) IS DISTINCT FROM (%s)',
                   oracle, target, format(columns, 'o'), format(columns, 't')) INTO result;
    RETURN result;
END $$;

-- ---- composite columns: each field has its own newest value

CREATE TYPE place AS (city text, zip int);
CREATE TYPE person AS (name text, home place, tags int[]);
CREATE DOMAIN settled AS place CHECK ((VALUE).zip IS NULL OR (VALUE).zip > 0);
SELECT setseed(0.5);
-- 400 keys of 10 rows; ten moments, so that there are ties; half of the values, fields and composites are null
CREATE TABLE people (n int, id int NOT NULL, at int, who person, base settled, plain text COLLATE "C");
INSERT INTO people
SELECT n, n % 400, floor(random() * 10),
       CASE WHEN random() < 0.7 THEN
           ROW(CASE WHEN random() < 0.5 THEN 'n' || floor(random() * 9) END,
               CASE WHEN random() < 0.6 THEN ROW(CASE WHEN random() < 0.5 THEN 'c' || floor(random() * 9) END,
                                                 CASE WHEN random() < 0.5 THEN floor(random() * 9) END)::place END,
               CASE WHEN random() < 0.4 THEN ARRAY[floor(random() * 5), NULL, floor(random() * 5)] END)::person END,
       CASE WHEN random() < 0.4 THEN ROW(CASE WHEN random() < 0.5 THEN 'b' || floor(random() * 9) END,
                                         CASE WHEN random() < 0.5 THEN ceil(random() * 9) END)::place END,
       CASE WHEN random() < 0.3 THEN 'p' || floor(random() * 9) END
FROM generate_series(1, 4000) n;

CREATE VIEW people_fields AS
SELECT id, at, plain, (who).name COLLATE "C" AS name, (who).tags, ((who).home).city COLLATE "C" AS city, ((who).home).zip,
       (base::place).city COLLATE "C" AS base_city, (base::place).zip AS base_zip
FROM people;
CREATE VIEW people_newest AS
SELECT id, max(at) AS at,
       (array_agg(plain ORDER BY at DESC, plain DESC) FILTER (WHERE plain IS NOT NULL))[1] AS plain,
       (array_agg(name ORDER BY at DESC, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name,
       (array_agg(tags::text ORDER BY at DESC, tags DESC) FILTER (WHERE tags IS NOT NULL))[1]::int[] AS tags,
       (array_agg(city ORDER BY at DESC, city DESC) FILTER (WHERE city IS NOT NULL))[1] AS city,
       (array_agg(zip ORDER BY at DESC, zip DESC) FILTER (WHERE zip IS NOT NULL))[1] AS zip,
       (array_agg(base_city ORDER BY at DESC, base_city DESC) FILTER (WHERE base_city IS NOT NULL))[1] AS base_city,
       (array_agg(base_zip ORDER BY at DESC, base_zip DESC) FILTER (WHERE base_zip IS NOT NULL))[1] AS base_zip
FROM people_fields GROUP BY id;
-- a composite value of which no field is known is null
CREATE VIEW people_oracle AS
SELECT id, at,
       CASE WHEN (name, tags, city, zip) IS NOT DISTINCT FROM (NULL, NULL::int[], NULL, NULL::int) THEN NULL
            ELSE ROW(name, CASE WHEN city IS NOT NULL OR zip IS NOT NULL THEN ROW(city, zip)::place END, tags)::person END AS who,
       CASE WHEN base_city IS NOT NULL OR base_zip IS NOT NULL THEN ROW(base_city, base_zip)::place END AS base, plain
FROM people_newest;
CALL play('people_1', 'people', 'n', 1, 100000);
CALL play('people_2', 'people', 'at DESC, n', 1, 7);
CALL play('people_3', 'people', 'md5(n::text)', 6, 150);
CALL play('people_4', 'people', 'md5(n::text || ''x'')', 3, 1);
SELECT differences('target_people_1', 'people_oracle'), differences('target_people_2', 'people_oracle'),
       differences('target_people_3', 'people_oracle'), differences('target_people_4', 'people_oracle');

-- a NULL and a ROW of NULLs say the same; with nulls => 'clear' both clear all fields
CREATE TABLE homes (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, home place);
SELECT sluice.create_merge('homes', 'homes', 'kept', '{id}', 'at');
SELECT sluice.create_merge('homes_clear', 'homes', 'cleared', '{id}', 'at', nulls => 'clear');
INSERT INTO homes (id, at, home) VALUES
    (1, 1, ('a', 1)), (1, 2, NULL), (2, 1, ('a', 1)), (2, 2, ROW(NULL, NULL)), (3, 1, ('a', 1)), (3, 2, (NULL, 2)), (4, 1, ROW(NULL, NULL)), (5, 2, NULL);
CALL sluice.run('homes');
CALL sluice.run('homes_clear');
SELECT id, home, home IS NOT DISTINCT FROM NULL AS is_null FROM kept ORDER BY id;
SELECT id, home, home IS NOT DISTINCT FROM NULL AS is_null FROM cleared ORDER BY id;
-- what comes late fills only what nothing newer set or cleared
INSERT INTO homes (id, at, home) VALUES (1, 0, ('late', 9)), (2, 3, ('new', NULL)), (3, 1, ('tie', 0)), (5, 1, ('late', 9));
CALL sluice.run('homes');
CALL sluice.run('homes_clear');
SELECT id, at, home FROM kept ORDER BY id;
SELECT id, at, home FROM cleared ORDER BY id;
-- a field that somebody set by hand stays when another field gets news
UPDATE kept SET home.city = 'by hand' WHERE id = 4;
INSERT INTO homes (id, at, home) VALUES (4, 5, (NULL, 5));
CALL sluice.run('homes');
SELECT id, at, home FROM kept WHERE id = 4;
-- fields that are added get times of their own; fields that are dropped are gone
ALTER TYPE place ADD ATTRIBUTE street text CASCADE;
INSERT INTO homes (id, at, home) VALUES (4, 4, ('late', 4, 'street 4')), (4, 5, (NULL, NULL, 'street 5')), (6, 1, ('six', 6, 'street 6'));
CALL sluice.run('homes');
SELECT id, at, home FROM kept WHERE id IN (4, 6) ORDER BY id;
ALTER TYPE place DROP ATTRIBUTE zip CASCADE;
INSERT INTO homes (id, at, home) VALUES (4, 4, ('older', 'older')), (6, 2, (NULL, 'newer'));
CALL sluice.run('homes');
SELECT id, at, home FROM kept WHERE id IN (4, 6) ORDER BY id;

-- other composite types in source and target: by the names of their fields
CREATE TYPE given AS (zip bigint, city varchar(20));
CREATE TYPE wanted AS (city text, country text, zip int);
CREATE TABLE others (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, home given);
CREATE TABLE from_others (id int PRIMARY KEY, home wanted DEFAULT ('nowhere', 'XX', 0), at int);
SELECT sluice.create_merge('others', 'others', 'from_others', '{id}', 'at');
INSERT INTO others (id, at, home) VALUES (1, 2, (12, 'two')), (1, 1, (11, 'one')), (2, 1, ROW(NULL, NULL));
CALL sluice.run('others');
SELECT * FROM from_others ORDER BY id;
UPDATE from_others SET home.country = 'GE' WHERE id = 1;
INSERT INTO others (id, at, home) VALUES (1, 3, (NULL, 'three'));
CALL sluice.run('others');
SELECT * FROM from_others ORDER BY id;
INSERT INTO others (id, at, home) VALUES (1, 4, (10000000000, NULL));
CALL sluice.run('others');
ALTER TYPE given ADD ATTRIBUTE floor int CASCADE;
CALL sluice.run('others');

-- ---- rules

CREATE TABLE visits (n int, id int NOT NULL, at int, visits int, paid numeric, stay interval, first_seen date, last_seen date,
                     least text COLLATE "C", email text COLLATE "C", name text COLLATE "C");
INSERT INTO visits
SELECT n, n % 200, nullif(floor(random() * 12), 0),
       CASE WHEN random() < 0.6 THEN floor(random() * 10 - 3) END, CASE WHEN random() < 0.6 THEN round(random()::numeric * 10, floor(random() * 3)::int) END,
       CASE WHEN random() < 0.3 THEN make_interval(hours => floor(random() * 5)::int) END,
       CASE WHEN random() < 0.5 THEN date '2024-01-01' + floor(random() * 300)::int END, CASE WHEN random() < 0.5 THEN date '2024-01-01' + floor(random() * 300)::int END,
       CASE WHEN random() < 0.4 THEN 'l' || floor(random() * 99) END, CASE WHEN random() < 0.4 THEN 'e' || floor(random() * 99) END,
       CASE WHEN random() < 0.4 THEN 'n' || floor(random() * 99) END
FROM generate_series(1, 3000) n;
CREATE VIEW visits_oracle AS
SELECT id, max(at) AS at, sum(visits)::int AS visits, sum(paid) AS paid, sum(stay) AS stay, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       min(least) AS least, (array_agg(email ORDER BY at NULLS FIRST, email) FILTER (WHERE email IS NOT NULL))[1] AS email,
       (array_agg(name ORDER BY at DESC NULLS LAST, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name
FROM visits GROUP BY id;
\set rules ', rules => \'{"visits": "sum", "paid": "sum", "stay": "sum", "first_seen": "min", "last_seen": "max", "least": "min", "email": "first"}\''
CALL play('visits_1', 'visits', 'n', 1, 100000, :'rules');
CALL play('visits_2', 'visits', 'at DESC, n', 1, 7, :'rules');
CALL play('visits_3', 'visits', 'md5(n::text)', 6, 150, :'rules' || $$, nulls => 'clear', columns => '{visits,paid,stay,first_seen,last_seen,least,email}'$$);
CALL play('visits_4', 'visits', 'md5(n::text || ''x'')', 3, 1, :'rules' || $$, on_error => 'reject'$$);
SELECT differences('target_visits_1', 'visits_oracle'), differences('target_visits_2', 'visits_oracle'), differences('target_visits_4', 'visits_oracle');
-- with nulls => 'clear' the rules take no notice of nulls either
CREATE VIEW visits_oracle_3 AS SELECT id, at, visits, paid, stay, first_seen, last_seen, least, email FROM visits_oracle;
SELECT differences('target_visits_3', 'visits_oracle_3');
-- rows that were in the target before count as one row, and so do sums in them
CREATE TABLE counters (id int PRIMARY KEY, visits int, first_seen int, email text, at int);
INSERT INTO counters VALUES (1, 100, 5, 'old', 5), (2, 100, 5, 'old', 5), (3, NULL, NULL, NULL, NULL);
CREATE TABLE counts (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, visits int, first_seen int, email text);
SELECT sluice.create_merge('counts', 'counts', 'counters', '{id}', 'at', rules => '{"visits": "sum", "first_seen": "min", "email": "first"}');
INSERT INTO counts (id, at, visits, first_seen, email) VALUES (1, 4, 1, 4, 'older'), (2, 6, 1, 6, 'newer'), (3, 1, 1, 1, 'first'), (1, NULL, 1, NULL, NULL);
CALL sluice.run('counts');
SELECT * FROM counters ORDER BY id;
-- a sum that overflows: nothing of its row counts, within a batch and across batches
CREATE TABLE rejecting (LIKE counters INCLUDING ALL);
SELECT sluice.create_merge('counts_reject', 'counts', 'rejecting', '{id}', 'at', rules => '{"visits": "sum", "first_seen": "min"}', on_error => 'reject');
TRUNCATE counters;
INSERT INTO counts (id, at, visits, email) VALUES (10, 1, 2147483647, 'a'), (10, 3, 1, 'b'), (10, 2, -1, 'c'), (11, 1, 5, 'd');
CALL sluice.run('counts');
SELECT * FROM counters ORDER BY id;
CALL sluice.run('counts_reject');
SELECT * FROM rejecting WHERE id > 9 ORDER BY id;
INSERT INTO counts (id, at, visits, email) VALUES (11, 5, 2147483647, 'e'), (11, 4, 2, 'f');
CALL sluice.run('counts_reject');
SELECT * FROM rejecting WHERE id > 9 ORDER BY id;
SELECT document, sqlstate, message, detail FROM sluice.rejects WHERE pipeline = 'counts_reject' ORDER BY hash;

-- ---- columns of every type

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE literals (column_name text, type text, choices text[]);
INSERT INTO literals VALUES
    ('ints', 'int[]', '{"{1,2}","{}","[0:1]={1,2}","{{1},{NULL}}"}'), ('words', 'text[]', ARRAY['{a,"b c",NULL}', '{""}', '{NULL}']), ('mood', 'mood', '{sad,ok,happy}'),
    ('small', 'small', '{1,99,-5}'), ('range', 'int4range', '{"[1,5)",empty,"(,)"}'), ('multi', 'nummultirange', '{"{[1,2),[3.50,4)}","{}"}'),
    ('doc', 'jsonb', ARRAY['{"a": [1, null]}', 'null', '1.50', '"text"']), ('raw', 'json', ARRAY['{"b" : 1,  "a": 2}', '[null]', '[]']), ('bytes', 'bytea', ARRAY['\x00ff', '', '\xdead']),
    ('num', 'numeric', '{1.0,1.00,-5,NaN,Infinity}'), ('uuid', 'uuid', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,00000000-0000-0000-0000-000000000000}'),
    ('inet', 'inet', '{10.0.0.1/8,::1}'), ('stay', 'interval', '{"1 mon","30 days","720:00"}'), ('price', 'money', '{1.50,2}'), ('bits', 'bit varying', '{101,"",1}'),
    ('flag', 'boolean', '{t,f}'), ('chr', '"char"', '{a,b}'), ('nick', 'name', '{n,m}'), ('float8', 'float8', '{0,-0,NaN,-Infinity,0.1}'), ('float4', 'float4', '{0,-0,NaN,1.5}'),
    ('fixed', 'char(5)', '{a,"ab  ",abcde}'), ('time', 'timetz', '{10:00+02,08:00+00}'), ('mac', 'macaddr', '{08:00:2b:01:02:03}'), ('spot', 'point', '{"(1,2)","(0,-0)"}'),
    ('day', 'date', '{infinity,-infinity,2024-02-29}'), ('moment', 'timestamp', '{infinity,epoch}'), ('xid', 'xid8', '{1,2}'), ('search', 'tsvector', '{"a:1 b:2",""}'),
    ('homes', 'place[]', ARRAY['{"(a,b)",NULL}', '{}']), ('title', 'text', '{"",a,A,ä}');
SELECT 'CREATE TABLE things (n int, id int NOT NULL, at timestamptz, ' || string_agg(column_name || ' ' || type, ', ' ORDER BY column_name) || ')' AS statement FROM literals \gset
:statement;
-- half of the values are null; each moment of a key is another
SELECT 'INSERT INTO things SELECT n, n % 100, timestamptz ''2024-01-01 00:00+00'' + (n * 7919 % 1000) * interval ''1 hour'', '
       || string_agg(format('(%L::text[])[1 + floor(random() * %s)::int]::%s', choices, cardinality(choices) * 2, type), ', ' ORDER BY column_name)
       || ' FROM generate_series(0, 999) n' AS statement FROM literals \gset
:statement;
SELECT 'CREATE VIEW things_oracle AS SELECT id, max(at) AS at, '
       || string_agg(format('(SELECT t.%1$I FROM things t WHERE t.id = k.id AND t.%1$I IS NOT NULL ORDER BY t.at DESC LIMIT 1) AS %1$I', column_name), ', ' ORDER BY column_name)
       || ' FROM things k GROUP BY id' AS statement FROM literals \gset
:statement;
CALL play('things_1', 'things', 'n', 1, 100000);
CALL play('things_2', 'things', 'at DESC', 2, 7);
CALL play('things_3', 'things', 'md5(n::text)', 6, 30, ', cursor => ''hash''');
SELECT differences('target_things_1', 'things_oracle'), differences('target_things_2', 'things_oracle'), differences('target_things_3', 'things_oracle');
-- ties: the order of arrival makes no difference
UPDATE things SET at = '2024-01-01';
CALL play('ties_1', 'things', 'n', 1, 100000);
CALL play('ties_2', 'things', 'n DESC', 3, 7);
CALL play('ties_3', 'things', 'md5(n::text)', 6, 30, ', on_error => ''reject''');
SELECT differences('target_ties_1', 'target_ties_2'), differences('target_ties_1', 'target_ties_3');
-- values that are equal but not the same
CREATE TABLE scales (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, num numeric, stay interval, nums numeric[]);
SELECT sluice.create_merge('scales', 'scales', 'scaled', '{id}', 'at', batch_size => 1);
INSERT INTO scales (id, at, num, stay, nums) VALUES (1, 1, 1.0, '1 mon', '{1.0}'), (1, 1, 1.00, '30 days', '{1.00}'), (2, 1, 1.00, '30 days', '{1.00}'), (2, 1, 1.0, '1 mon', '{1.0}');
CALL sluice.run('scales');
SELECT count(*), count(DISTINCT (num::text, stay::text, nums::text)) AS outcomes FROM scaled;
-- long texts
CREATE TABLE longs (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, body text COLLATE "C", bodies text[], who person, note text);
ALTER TABLE longs ALTER body SET STORAGE EXTERNAL;
SELECT sluice.create_merge('longs', 'longs', 'longer', '{id}', 'at', batch_size => 2);
INSERT INTO longs (id, at, body, bodies, who)
SELECT n % 2, n, repeat(chr(97 + n), 100000), ARRAY[repeat(chr(98 + n), 100000), NULL], ROW(repeat(md5(n::text), 4000), NULL, NULL)::person FROM generate_series(1, 6) n;
CALL sluice.run('longs');
INSERT INTO longs (id, at, note, body, who) VALUES (0, 7, 'note', NULL, ROW(NULL, ('city', 'street'), NULL)), (1, 4, 'late', repeat('z', 100000), NULL), (1, 5, NULL, repeat('z', 100001), NULL);
CALL sluice.run('longs');
SELECT id, at, left(body, 1) AS body, length(body), left(bodies[1], 1) AS bodies, length(bodies[1]), (who).name = repeat(md5((6 - id)::text), 4000) AS name, (who).home, note FROM longer ORDER BY id;
-- texts that differ and are equal
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AND getdatabaseencoding() = 'UTF8' AS icu \gset
\if :icu
    CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
    CREATE COLLATION caseless FROM "C";
\endif
CREATE TABLE cases (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text COLLATE caseless, at int, name text COLLATE caseless);
SELECT sluice.create_merge('cases', 'cases', 'cased', '{id}', 'at', batch_size => 2);
INSERT INTO cases (id, at, name) VALUES ('a', 1, 'x'), ('A', 1, 'X'), ('B', 1, 'X'), ('a', 2, NULL), ('b', 1, 'x'), ('b', 2, NULL);
CALL sluice.run('cases');
SELECT NOT :'icu' OR (count(*) = 2 AND count(DISTINCT name COLLATE "C") = 1 AND min(at) = 2) AS well FROM cased;

-- ---- other types in the target

CREATE TABLE typed_source (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at timestamp, big int, note text, day timestamp, num numeric, days date, tags text[]);
CREATE TABLE typed (id bigint PRIMARY KEY, at timestamptz, big bigint, note varchar(5), day date, num int, days timestamp, tags varchar(3)[]);
SELECT sluice.create_merge('typed', 'typed_source', 'typed', '{id}', 'at', '{big,note,day,num,days,tags}');
SELECT sluice.alter_pipeline('typed', max_failures => 0);
INSERT INTO typed_source (id, at, big, note, day, num, days, tags) VALUES (1, '2024-01-01', 5, 'abcde', '2024-05-05', 7.0, '2024-01-02', '{abc,NULL}'), (2, 'infinity', NULL, 'ab   ', 'infinity', NULL, '-infinity', '{}');
CALL sluice.run('typed');
SELECT * FROM typed ORDER BY id;
-- each error names the row and the column
INSERT INTO typed_source (id, at, note) VALUES (1, '2024-01-02', 'abcdef');
CALL sluice.run('typed');
UPDATE typed_source SET note = NULL, day = '2024-05-05 10:00' WHERE note = 'abcdef';
CALL sluice.run('typed');
UPDATE typed_source SET day = NULL, num = 7.5 WHERE day = '2024-05-05 10:00';
CALL sluice.run('typed');
UPDATE typed_source SET num = 1e10 WHERE num = 7.5;
CALL sluice.run('typed');
UPDATE typed_source SET num = NULL, tags = '{abcd}' WHERE num = 1e10;
CALL sluice.run('typed');
-- of the key and of the time, too
CREATE TABLE short_keys (id smallint PRIMARY KEY, big int, at date);
SELECT sluice.create_merge('short_keys', 'typed_source', 'short_keys', '{id}', 'at');
UPDATE typed_source SET tags = NULL, id = 100000 WHERE tags = '{abcd}';
CALL sluice.run('short_keys');
UPDATE typed_source SET id = 3, at = '2024-01-02 10:00' WHERE id = 100000;
CALL sluice.run('short_keys');
UPDATE typed_source SET at = '2024-01-02' WHERE id = 3;
CALL sluice.run('short_keys');
SELECT * FROM short_keys ORDER BY id;

-- ---- newest_by

-- play_times merges rows with an older and a newer moment, late, together and apart: everywhere b is newer than c
CREATE TABLE times (type text, older text, newer text, outcome text, right_times bigint);
CREATE PROCEDURE play_times(type text, older text, newer text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE moments (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at %s, name text, other text)', type);
    PERFORM sluice.create_merge('moments', 'moments', 'latest_moments', '{id}', 'at');
    EXECUTE format('INSERT INTO moments (id, at, name, other) VALUES (1, %1$L, ''b'', NULL), (2, %2$L, ''c'', NULL), (2, %1$L, ''b'', NULL), (3, %1$L, ''b'', NULL), (3, %2$L, ''c'', ''a'')', newer, older);
    CALL sluice.run('moments');
    EXECUTE format('INSERT INTO moments (id, at, name, other) VALUES (1, %2$L, ''c'', ''a''), (4, %2$L, ''c'', NULL)', newer, older);
    CALL sluice.run('moments');
    EXECUTE format('INSERT INTO moments (id, at, name, other) VALUES (4, %1$L, ''b'', NULL), (4, %2$L, ''d'', NULL)', newer, older);
    CALL sluice.run('moments');
    EXECUTE format('INSERT INTO times SELECT %1$L, %2$L, %3$L, string_agg(name || coalesce(other, ''''), '','' ORDER BY id),
                                             count(*) FILTER (WHERE at::text IS NOT DISTINCT FROM (%3$L::%1$s)::text) FROM latest_moments', type, older, newer);
    PERFORM sluice.drop_pipeline('moments');
    DROP TABLE moments, latest_moments;
END $$;
SELECT format('CALL play_times(%L, %L, %L)', type, older, newer)
FROM (VALUES ('smallint', '-32768', '32767'), ('int', NULL, '-2147483648'), ('bigint', '-9223372036854775808', '-9223372036854775805'), ('bigint', NULL, '-9223372036854775808'),
    ('bigint', '0', '9223372036854775807'), ('date', '-infinity', '4713-01-01 BC'), ('date', '5874897-12-31', 'infinity'), ('date', NULL, '-infinity'),
    ('timestamp', '-infinity', '4713-01-01 00:00:00 BC'), ('timestamp', NULL, '-infinity'), ('timestamp', '2024-01-01 00:00:00.000001', '2024-01-01 00:00:00.000002'), ('timestamptz', '294276-12-31 23:59:59+00', 'infinity'),
    ('real', '-Infinity', '-3e38'), ('real', '0', '1e-45'), ('real', NULL, '-Infinity'), ('double precision', '-1', '-0.5'), ('double precision', '-5e-324', '0'), ('double precision', 'Infinity', 'NaN'),
    ('double precision', NULL, 'NaN'), ('small', '1', '2')) v (type, older, newer) \gexec
SELECT * FROM times WHERE outcome <> 'ba,b,ba,b' OR right_times <> 4;
SELECT count(*) FROM times;
-- 0 and -0 are a tie
CREATE TABLE zeros (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at float8, name text);
SELECT sluice.create_merge('zeros', 'zeros', 'zeroed', '{id}', 'at');
INSERT INTO zeros (id, at, name) VALUES (1, 0, 'a'), (1, '-0', 'b'), (2, 0, 'b'), (2, '-0', 'a');
CALL sluice.run('zeros');
SELECT * FROM zeroed ORDER BY id;
-- an expression; the columns in it are merged like others
CREATE TABLE dated (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, created_at timestamp, updated_at timestamp, name text, version text);
SELECT sluice.create_merge('dated', 'dated', 'dates', '{id}', 'coalesce(updated_at, created_at)', '{created_at,updated_at,name}');
SELECT sluice.create_merge('versions', 'dated', 'versions', '{id}', 'version::bigint');
INSERT INTO dated (id, created_at, updated_at, name, version) VALUES (1, '2024-01-01', '2024-03-01', 'c', '10'), (1, '2024-02-01', NULL, 'b', '9'), (2, '2024-01-01', NULL, 'a', '2');
CALL sluice.run('dated');
CALL sluice.run('versions');
INSERT INTO dated (id, created_at, updated_at, name, version) VALUES (2, '2023-12-01', '2024-01-02', 'b', '1'), (1, '2024-02-28', NULL, 'late', '11');
CALL sluice.run('dated');
CALL sluice.run('versions');
SELECT * FROM dates ORDER BY id;
SELECT id, name, version FROM versions ORDER BY id;
-- limits
INSERT INTO dated (id, version) VALUES (3, '-9223372036854775807');
CALL sluice.run('versions');
UPDATE dated SET version = 'x' WHERE id = 3;
CALL sluice.run('versions');

-- ---- wrong arguments

SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'version');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at::time');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'creatd_at');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'max(created_at)');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"visits": "total"}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"visit": "sum"}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"id": "sum"}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"at": "min"}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"visits": 1}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '["sum"]');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"name": "sum"}');
SELECT sluice.create_merge('bad', 'things', 'target_things_1', '{id}', 'at', rules => '{"float8": "sum"}');
SELECT sluice.create_merge('bad', 'things', 'target_things_1', '{id}', 'at', rules => '{"spot": "max"}');
SELECT sluice.create_merge('bad', 'visits', 'target_visits_1', '{id}', 'at', rules => '{"visits": "sum"}', delete_when => 'visits = 0');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', delete_when => 'name');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', delete_when => 'nme = ''x''');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', nulls => 'clean');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', columns => '{name,name}');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', columns => '{name,id}');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', columns => '{created_at}');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id}', 'created_at', columns => '{nam}');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{}', 'created_at');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id,id}', 'created_at');
SELECT sluice.create_merge('bad', 'dated', 'dates', NULL, 'created_at');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{id,NULL}', 'created_at');
SELECT sluice.create_merge('bad', 'dated', 'dates', '{ident}', 'created_at');
SELECT sluice.create_merge('bad', 'dated', 'dated', '{seq}', 'created_at');
-- types that cannot meet
CREATE TABLE wrong (id int PRIMARY KEY, name int[], updated_at timestamp);
SELECT sluice.create_merge('bad', 'dated', 'wrong', '{id}', 'created_at');
SELECT pipeline FROM sluice.status WHERE pipeline = 'bad';
