-- Latest: the last value that is not null, by at; whatever the order of arrival, the plan and the type.

\pset format unaligned
\pset fieldsep ' | '
\pset footer off
SET intervalstyle = postgres;

-- null values do not count, a null at is the oldest, of equal ones the greatest value wins

SELECT name, sluice.latest(value, at) FROM (VALUES
    ('the last', 'a', 1), ('the last', 'c', 3), ('the last', 'b', 2),
    ('null value', 'a', 1), ('null value', NULL, 2),
    ('null at', 'b', NULL), ('null at', 'a', -5),
    ('only null at', 'a', NULL), ('only null at', 'b', NULL), ('only null at', NULL, 1),
    ('tie', 'a', 1), ('tie', 'b', 1), ('tie', 'ab', 1),
    ('none', NULL, 1)) v (name, value, at) GROUP BY name ORDER BY name;
SELECT sluice.latest(1, 1) AS none FROM generate_series(1, 0);
SELECT sluice.latest(1, 1) AS none FROM generate_series(1, 0) n GROUP BY n;
SELECT sluice.latest(NULL::int, 1) AS none, pg_typeof(sluice.latest(1::smallint, now())) AS type FROM generate_series(1, 2);

-- events: 20 groups with nulls and ties, and what a query without the aggregate says

CREATE TABLE events (id int, grp int, moment timestamptz, number numeric, word text, doc jsonb, list int[], flag boolean);
INSERT INTO events
SELECT i, h % 20, CASE WHEN h % 7 > 0 THEN timestamptz '2024-01-01' + h % 300 * interval '1 hour' END,
       CASE WHEN h % 5 > 0 THEN h % 100 + 0.5 END, CASE WHEN h % 4 > 0 THEN md5((h % 50)::text) END,
       CASE WHEN h % 3 > 0 THEN jsonb_build_object('n', h % 9) END, CASE WHEN h % 6 > 0 THEN ARRAY[h % 4, h % 11] END, h % 2 = 0
FROM generate_series(1, 20000) i, LATERAL (SELECT abs(hashint4(i)::bigint) AS h) hash;
ALTER TABLE events SET (parallel_workers = 2);
ANALYZE events;
CREATE TABLE oracle AS
SELECT grp,
       (SELECT e.number FROM events e WHERE e.grp = g.grp AND e.number IS NOT NULL ORDER BY e.moment DESC NULLS LAST, e.number DESC LIMIT 1) AS number,
       (SELECT e.word FROM events e WHERE e.grp = g.grp AND e.word IS NOT NULL ORDER BY e.moment DESC NULLS LAST, e.word DESC LIMIT 1) AS word,
       (SELECT e.doc FROM events e WHERE e.grp = g.grp AND e.doc IS NOT NULL ORDER BY e.moment DESC NULLS LAST, e.doc DESC LIMIT 1) AS doc,
       (SELECT e.list FROM events e WHERE e.grp = g.grp AND e.list IS NOT NULL ORDER BY e.moment DESC NULLS LAST, e.list DESC LIMIT 1) AS list,
       (SELECT e.flag FROM events e WHERE e.grp = g.grp AND e.flag IS NOT NULL ORDER BY e.moment DESC NULLS LAST, e.flag DESC LIMIT 1) AS flag,
       (SELECT e.id FROM events e WHERE e.grp = g.grp ORDER BY e.number DESC NULLS LAST, e.id DESC LIMIT 1) AS by_number,
       (SELECT e.id FROM events e WHERE e.grp = g.grp ORDER BY e.word DESC NULLS LAST, e.id DESC LIMIT 1) AS by_word,
       (SELECT e.id FROM events e WHERE e.grp = g.grp AND e.flag ORDER BY (e.word, e.number) DESC, e.id DESC LIMIT 1) AS by_row
FROM (SELECT DISTINCT grp FROM events) g;
CREATE VIEW aggregated AS
SELECT grp, sluice.latest(number, moment) AS number, sluice.latest(word, moment) AS word, sluice.latest(doc, moment) AS doc,
       sluice.latest(list, moment) AS list, sluice.latest(flag, moment) AS flag, sluice.latest(id, number) AS by_number,
       sluice.latest(id, word) AS by_word, sluice.latest(id, (word, number)) FILTER (WHERE flag) AS by_row
FROM events GROUP BY grp;
CREATE VIEW differences AS
SELECT (SELECT count(*) FROM oracle) AS groups, count(*) AS differences
FROM ((TABLE oracle EXCEPT TABLE aggregated) UNION ALL (TABLE aggregated EXCEPT TABLE oracle)) d;

-- grouped by hash, grouped by sorting

SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT grp, sluice.latest(word, moment) FROM events GROUP BY grp;
TABLE differences;
SET enable_hashagg = off;
EXPLAIN (COSTS OFF) SELECT grp, sluice.latest(word, moment) FROM events GROUP BY grp;
TABLE differences;
RESET enable_hashagg;

-- by hash with too little memory

SET work_mem = '64kB';
SELECT count(*) AS groups, count(*) FILTER (WHERE latest IS DISTINCT FROM wanted) AS differences
FROM (SELECT n % 5000 AS grp, sluice.latest(repeat('x', 100) || n, n) AS latest, repeat('x', 100) || max(n) AS wanted
      FROM generate_series(1, 15000) n GROUP BY 1) g;
RESET work_mem;

-- in parallel: the phases of the plan

CREATE FUNCTION phases(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        result := concat_ws(', ', result, substring(line FROM 'Finalize|Gather|Append|Partial'));
    END LOOP;
    RETURN result;
END $$;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT phases($$SELECT grp, sluice.latest(word, moment), sluice.latest(id, (word, number)) FILTER (WHERE flag) FROM events GROUP BY grp$$);
TABLE differences;
SELECT phases($$SELECT sluice.latest(word, moment) FROM events$$);
SELECT sluice.latest(word, moment) = (SELECT word FROM events WHERE word IS NOT NULL ORDER BY moment DESC NULLS LAST, word DESC LIMIT 1) AS same FROM events;
SET parallel_leader_participation = off;
TABLE differences;
SELECT sluice.latest(word, moment) AS none FROM events WHERE id < 0;
RESET parallel_leader_participation;

-- partition by partition, in parallel and not

CREATE TABLE parted (LIKE events) PARTITION BY LIST (flag);
CREATE TABLE parted_yes PARTITION OF parted FOR VALUES IN (true);
CREATE TABLE parted_no PARTITION OF parted FOR VALUES IN (false);
INSERT INTO parted TABLE events;
ANALYZE parted;
SET enable_partitionwise_aggregate = on;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SELECT phases($$SELECT grp, sluice.latest(word, moment) FROM parted GROUP BY grp$$);
SELECT count(*) AS differences FROM (SELECT grp, word, number FROM oracle EXCEPT SELECT grp, sluice.latest(word, moment), sluice.latest(number, moment) FROM parted GROUP BY grp) d;
RESET max_parallel_workers_per_gather;
SELECT count(*) AS differences FROM (SELECT grp, word, number FROM oracle EXCEPT SELECT grp, sluice.latest(word, moment), sluice.latest(number, moment) FROM parted GROUP BY grp) d;
RESET enable_partitionwise_aggregate;
RESET enable_sort;
SET max_parallel_workers_per_gather = 0;

-- DISTINCT, ORDER BY, FILTER, GROUPING SETS

SELECT sluice.latest(DISTINCT number, moment) = sluice.latest(number, moment) AS distinct_the_same,
       sluice.latest(word, moment ORDER BY id) = sluice.latest(word, moment ORDER BY id DESC) AS order_does_not_matter,
       sluice.latest(word, moment ORDER BY moment) = sluice.latest(word, moment) AS the_same,
       sluice.latest(word, moment) FILTER (WHERE false) AS none FROM events;
SELECT count(*) AS groups, count(*) FILTER (WHERE word IS DISTINCT FROM wanted) AS differences FROM (
    SELECT grp, flag, sluice.latest(word, moment) AS word,
           (SELECT e.word FROM events e WHERE e.grp = coalesce(events.grp, e.grp) AND e.flag = coalesce(events.flag, e.flag) AND e.word IS NOT NULL
            ORDER BY e.moment DESC NULLS LAST, e.word DESC LIMIT 1) AS wanted
    FROM events GROUP BY CUBE (grp, flag)) s;

-- windows: frames that grow, move and shrink

CREATE TABLE few AS SELECT row_number() OVER (ORDER BY id) AS id, grp % 3 AS grp, moment, word, list FROM events WHERE id <= 400;
CREATE VIEW frames AS
SELECT id, sluice.latest(word, moment) OVER growing AS growing, sluice.latest(word, moment) OVER moving AS moving, sluice.latest(word, moment) OVER shrinking AS shrinking,
       sluice.latest(word, moment) OVER others AS others, sluice.latest(list, moment) OVER later AS later, sluice.latest(word, moment) FILTER (WHERE word > '8') OVER moving AS filtered,
       sluice.latest(word, moment) OVER by_moment AS by_moment
FROM few
WINDOW growing AS (ORDER BY id), moving AS (ORDER BY id ROWS BETWEEN 5 PRECEDING AND 2 FOLLOWING),
       shrinking AS (PARTITION BY grp ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
       others AS (ORDER BY id ROWS BETWEEN 5 PRECEDING AND 5 FOLLOWING EXCLUDE CURRENT ROW),
       later AS (ORDER BY id ROWS BETWEEN 3 FOLLOWING AND 9 FOLLOWING),
       by_moment AS (ORDER BY moment, id ROWS 3 PRECEDING);
CREATE FUNCTION expected(condition text, value text) RETURNS text LANGUAGE sql RETURN
    format('(SELECT f.%1$s FROM few f WHERE f.%1$s IS NOT NULL AND %2$s ORDER BY f.moment DESC NULLS LAST, f.%1$s DESC LIMIT 1)', value, condition);
SELECT format($$
    CREATE VIEW wanted AS SELECT few.id, %s AS growing, %s AS moving, %s AS shrinking, %s AS others, %s AS later, %s AS filtered FROM few $$,
    expected('f.id <= few.id', 'word'), expected('f.id BETWEEN few.id - 5 AND few.id + 2', 'word'), expected('f.grp = few.grp AND f.id >= few.id', 'word'),
    expected('f.id BETWEEN few.id - 5 AND few.id + 5 AND f.id <> few.id', 'word'), expected('f.id BETWEEN few.id + 3 AND few.id + 9', 'list'),
    expected($$f.id BETWEEN few.id - 5 AND few.id + 2 AND f.word > '8'$$, 'word')) \gexec
SELECT count(*) AS rows, count(*) FILTER (WHERE f.growing IS DISTINCT FROM w.growing) AS growing, count(*) FILTER (WHERE f.moving IS DISTINCT FROM w.moving) AS moving,
       count(*) FILTER (WHERE f.shrinking IS DISTINCT FROM w.shrinking) AS shrinking, count(*) FILTER (WHERE f.others IS DISTINCT FROM w.others) AS others,
       count(*) FILTER (WHERE f.later IS DISTINCT FROM w.later) AS later, count(*) FILTER (WHERE f.filtered IS DISTINCT FROM w.filtered) AS filtered
FROM frames f JOIN wanted w USING (id);
SELECT count(*) AS by_moment FROM (
    SELECT id, by_moment FROM frames
    EXCEPT SELECT id, (SELECT w FROM unnest(words, moments) u (w, m) WHERE w IS NOT NULL ORDER BY m DESC NULLS LAST, w DESC LIMIT 1)
    FROM (SELECT id, array_agg(word) OVER f AS words, array_agg(moment) OVER f AS moments FROM few WINDOW f AS (ORDER BY moment, id ROWS 3 PRECEDING)) s) d;

-- any type: by value, fixed, of varying length, arrays, rows, domains, enums, ranges; with and without an order of its own

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE unsorted AS (a int, b json);
CREATE DOMAIN pair_domain AS pair;
CREATE TABLE typed (id int, at int, b boolean, c "char", i2 smallint, i8 bigint, f float8, n numeric, t text, bp char(5), na name, d date, iv interval,
    u uuid, m mood, p posint, pa pair, pd pair_domain, un unsorted, ar text[], aa pair[], ra int4range, js json, jb jsonb, pt point, ip inet, bi bit varying, by bytea);
INSERT INTO typed SELECT i, i % 5, i % 2 = 0, chr(65 + i % 26)::"char", i % 30, i % 70 * 10000000000, i % 17 / 7.0, i % 13 / 3.0, md5((i % 9)::text), (i % 19)::text, 'n' || i % 8,
    date '2024-01-01' + i % 40, i % 77 * interval '1 hour', md5((i % 21)::text)::uuid, (enum_range(NULL::mood))[1 + i % 3], 1 + i % 4, (i % 3, (i % 11)::text)::pair, (i % 5, 'x' || i % 7)::pair,
    (i % 3, json_build_object('k', i % 4))::unsorted, ARRAY[md5((i % 6)::text), NULL], ARRAY[(i % 2, 'y')::pair, (3, (i % 5)::text)::pair], int4range(i % 5, 10 + i % 6), json_build_object('j', i % 5),
    jsonb_build_object('j', i % 5), point(i % 4, i % 3), ('10.0.0.' || i % 50)::inet, (i % 16)::bit(4), decode(md5((i % 12)::text), 'hex')
FROM generate_series(1, 300) i;
-- each column: the aggregate over the rows forwards, backwards and in parallel; its order where it has one
CREATE FUNCTION compare_types() RETURNS TABLE (column_name text, type text, any_order boolean, parallel boolean, greatest_of_ties boolean) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    forwards text; backwards text; workers text; by_sort text;
BEGIN
    FOR c IN SELECT attname, atttypid::regtype AS t FROM pg_attribute WHERE attrelid = 'typed'::regclass AND attnum > 2 ORDER BY attnum LOOP
        column_name := c.attname; type := c.t;
        SET LOCAL max_parallel_workers_per_gather = 0;
        EXECUTE format('SELECT sluice.latest(%I, at ORDER BY id)::text FROM typed', c.attname) INTO forwards;
        EXECUTE format('SELECT sluice.latest(%I, at ORDER BY id DESC)::text FROM typed', c.attname) INTO backwards;
        SET LOCAL max_parallel_workers_per_gather = 2;
        EXECUTE format('SELECT sluice.latest(%I, at)::text FROM typed', c.attname) INTO workers;
        any_order := forwards = backwards;
        parallel := forwards = workers;
        BEGIN
            EXECUTE format('SELECT %1$I::text FROM typed ORDER BY at DESC, typed.%1$I DESC LIMIT 1', c.attname) INTO by_sort;
            greatest_of_ties := forwards = by_sort;
        EXCEPTION WHEN undefined_function THEN greatest_of_ties := NULL; -- no order
        END;
        RETURN NEXT;
    END LOOP;
END $$;
ALTER TABLE typed SET (parallel_workers = 2);
SELECT * FROM compare_types();
SELECT sluice.latest(typed, at) IS NOT NULL AS whole_row, (sluice.latest(pa, at)).a, sluice.latest(ROW(id, js), at) IS NOT NULL AS untyped FROM typed;
SELECT sluice.latest(v, 1) FROM unnest(ARRAY[1.0, 1.00, 1.000, 0.9999]) v;
SELECT sluice.latest(v, 1) FROM unnest(ARRAY[1.00, 0.9999, 1.000, 1.0]) v;

-- any at that can be sorted

SELECT sluice.latest(id, m) = sluice.latest(id, m::text::mood) AS enum, sluice.latest(id, n) = (SELECT id FROM typed ORDER BY n DESC, id DESC LIMIT 1) AS numeric,
       sluice.latest(id, pa) = (SELECT id FROM typed ORDER BY pa DESC, id DESC LIMIT 1) AS composite, sluice.latest(id, ar) = (SELECT id FROM typed ORDER BY ar DESC, id DESC LIMIT 1) AS array,
       sluice.latest(id, ra) = (SELECT id FROM typed ORDER BY ra DESC, id DESC LIMIT 1) AS range, sluice.latest(id, pd) = (SELECT id FROM typed ORDER BY pd DESC, id DESC LIMIT 1) AS domain FROM typed;
-- value and at have collations of their own; a window knows one for both
CREATE TEMP TABLE words (v text COLLATE "C", at text COLLATE "POSIX");
INSERT INTO words VALUES ('a', 'x'), ('B', 'x'), ('c', 'X'), (NULL, 'y');
SELECT sluice.latest(v, at), sluice.latest(at, v), sluice.latest(v, 1) FROM words;
SELECT sluice.latest(v, 1) OVER () FROM words LIMIT 1;
SELECT sluice.latest(v, at) OVER () FROM words;
DROP TABLE words;

-- what cannot be sorted

SELECT sluice.latest(1, '{}'::json);
SELECT sluice.latest(1, point(1, 2)), sluice.latest(1, ARRAY['{}'::json]);
SELECT sluice.latest(1, ROW(1, '{}'::json)) FROM generate_series(1, 2);
SELECT sluice.latest(1, un) FROM typed;

-- values that are stored out of line, compressed or expanded

CREATE TABLE stored (id int, at int, value text, list int[], made unsorted);
ALTER TABLE stored ALTER value SET STORAGE external;
INSERT INTO stored SELECT i, i % 10, repeat(md5(i::text), 200), array_fill(i, ARRAY[3000]), (i, to_json(repeat('z', i * 100)))::unsorted FROM generate_series(1, 100) i;
SELECT sluice.latest(value, at) = repeat(md5(wanted), 200) AS external FROM stored, (SELECT max(md5(id::text)) FROM stored WHERE at = 9) m (hash), LATERAL (SELECT id::text FROM stored WHERE md5(id::text) = hash) w (wanted) GROUP BY wanted;
SELECT sluice.latest(list, at) = array_fill(99, ARRAY[3000]) AS compressed, (sluice.latest(made, id)).a, length((sluice.latest(made, id)).b #>> '{}') FROM stored;
ALTER TABLE stored SET (parallel_workers = 2);
SET max_parallel_workers_per_gather = 2;
SELECT length(sluice.latest(value, id)), sluice.latest(value, id) = repeat(md5('100'), 200) AS external, (sluice.latest(list, id))[3000] AS compressed, length((sluice.latest(made, id)).b #>> '{}') FROM stored;
CREATE TABLE taken AS SELECT sluice.latest(value, id) AS value FROM stored;
SELECT value = repeat(md5('100'), 200) AS the_same FROM taken;
DO $$
DECLARE list int[] := '{}'; result int[];
BEGIN
    FOR i IN 1..100 LOOP list[i] := i; END LOOP;
    SELECT sluice.latest(list || n, n) INTO result FROM generate_series(1, 10) n;
    RAISE NOTICE 'expanded: % elements, the last is %', cardinality(result), result[101];
    SELECT sluice.latest(list, n) INTO result FROM generate_series(1, 10) n;
    RAISE NOTICE 'expanded: % elements, the last is %', cardinality(result), result[100];
END $$;

-- the state does not grow with the values that were replaced: 200 MB pass through it

CREATE FUNCTION memory_used() RETURNS bigint LANGUAGE sql RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
SET max_parallel_workers_per_gather = 0;
SELECT max(used) - min(used) < 2000000 AS bounded FROM (
    SELECT CASE WHEN n % 500 = 0 THEN memory_used() + length(sluice.latest(repeat('x', 90000 + n), n) OVER (ORDER BY n)) * 0 END AS used FROM generate_series(1, 2000) n) s;

SELECT aggkind, aggfinalmodify, aggmfinalmodify, proparallel, provolatile FROM pg_aggregate JOIN pg_proc ON oid = aggfnoid WHERE proname = 'latest' AND pronamespace = 'sluice'::regnamespace;
