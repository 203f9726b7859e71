-- The hash cursor: documents known by their content, whatever their order values are and whenever they come.
\set VERBOSITY default
SET client_min_messages = warning;
SET sluice.wait_for_writers = 0;

-- build makes source, target and pipeline p; `way` is how arrivals are told: compare, arrivals or stamps.
CREATE PROCEDURE build(way text, arguments text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE source (id int, at int, doc jsonb);
    CREATE TABLE target (id int, doc jsonb, h uuid, run bigint);
    IF way = 'stamps' THEN PERFORM sluice.add_snapshot_column('source'); END IF;
    IF way = 'arrivals' THEN PERFORM sluice.add_arrival_index('source'); END IF;
    EXECUTE format('SELECT sluice.create_shred(''p'', ''source'', ''doc'', %L, cursor => ''hash'', %s)',
                   '{"target": {"columns": {"id": "#source.id", "doc": "$", "h": "#hash", "run": "#run"}}}',
                   'order_by => ''at''' || arguments);
END $$;
CREATE PROCEDURE remove() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sluice.drop_pipeline('p');
    DROP TABLE source, target CASCADE;
END $$;
-- verdict compares target and counts with the oracle: each content once ('skip'), each row once ('keep').
CREATE FUNCTION verdict(OUT loaded bigint, OUT lost bigint, OUT extra bigint, OUT miscounted bigint, OUT too_late bigint, OUT pending bigint)
LANGUAGE plpgsql AS $$
DECLARE
    keep boolean := (SELECT duplicates = 'keep' FROM sluice.pipeline WHERE name = 'p');
    expected text := 'SELECT ' || CASE WHEN keep THEN '' ELSE 'DISTINCT ' END || 'doc FROM source WHERE doc IS NOT NULL';
BEGIN
    EXECUTE 'SELECT count(*) FROM target' INTO loaded;
    EXECUTE format('SELECT count(*) FROM (%s EXCEPT ALL SELECT doc FROM target) x', expected) INTO lost;
    EXECUTE format('SELECT count(*) FROM (SELECT doc FROM target EXCEPT ALL (%s)) x', expected) INTO extra;
    EXECUTE 'SELECT CASE WHEN $1 THEN 0 ELSE count(*) - count(DISTINCT coalesce(doc, ''"no document"'')) END FROM source' INTO miscounted USING keep;
    SELECT coalesce(sum(r.duplicates), 0) - miscounted, coalesce(sum(r.too_late), 0) INTO miscounted, too_late FROM sluice.runs r WHERE pipeline = 'p';
    pending := sluice.pending('p');
END $$;
CREATE VIEW history AS
    SELECT status, batches, source_rows, inserted, duplicates, too_late FROM sluice.runs WHERE pipeline = 'p' ORDER BY run_id;
-- arrive(id, at): documents that differ by id alone
CREATE FUNCTION arrive(first int, last int, at int DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'INSERT INTO source (id, at, doc) SELECT g, coalesce($3, g), jsonb_build_object(''n'', g) FROM generate_series($1, $2) g' USING first, last, at;
END $$;

-- ---- Every way, every size of a batch

-- 600 rows, 512 contents; order values null, tied, lower, equal; then all contents again (the first 100 twice) and 300 new ones.
CREATE TABLE tried (way text, duplicates text, size int, step int, loaded bigint, lost bigint, extra bigint, miscounted bigint, too_late bigint, pending bigint);
CREATE PROCEDURE try(way text, duplicates text, size int) LANGUAGE plpgsql AS $$
BEGIN
    CALL build(way, format(', duplicates => %L, batch_size => %s', duplicates, size));
    EXECUTE 'INSERT INTO source (id, at, doc) SELECT g, nullif(g % 50, 7), jsonb_build_object(''n'', g % 512) FROM generate_series(1, 600) g';
    COMMIT;
    CALL sluice.run('p');
    INSERT INTO tried SELECT way, duplicates, size, 1, v.* FROM verdict() v;
    COMMIT;
    EXECUTE 'INSERT INTO source (id, at, doc) SELECT g, nullif(g % 60, 7) - 5, jsonb_build_object(''n'', g % 512) FROM generate_series(1000, 1511) g';
    EXECUTE 'INSERT INTO source (id, at, doc) SELECT g, NULL, jsonb_build_object(''n'', g) FROM generate_series(0, 99) g';
    EXECUTE 'INSERT INTO source (id, at, doc) SELECT g, g - 2200, jsonb_build_object(''n'', g) FROM generate_series(2000, 2299) g';
    COMMIT;
    CALL sluice.run('p');
    INSERT INTO tried SELECT way, duplicates, size, 2, v.* FROM verdict() v;
    COMMIT;
    CALL sluice.run('p', size);
    INSERT INTO tried SELECT way, duplicates, size, 3, v.* FROM verdict() v;
    COMMIT;
    CALL remove();
END $$;
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM unnest('{compare,arrivals,stamps}'::text[]) way, unnest('{skip,keep}'::text[]) duplicates,
                           unnest('{1,7,255,256,257,300,512,600,1000}'::int[]) size WHERE NOT (way = 'arrivals' AND duplicates = 'keep') LOOP
        CALL try(c.way, c.duplicates, c.size);
        COMMIT;
    END LOOP;
END $$;
SELECT way, duplicates, count(*), array_agg(DISTINCT loaded) FROM tried GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM tried WHERE lost <> 0 OR extra <> 0 OR miscounted <> 0 OR too_late <> 0 OR pending <> 0 ORDER BY 1, 2, 3, 4;
DROP TABLE tried;
DROP PROCEDURE try;

-- ---- What becomes of rows that were read

CREATE PROCEDURE changes(way text, more text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
    CALL build(way, more);
    PERFORM arrive(1, 10);
    COMMIT;
    CALL sluice.run('p');
    EXECUTE 'UPDATE source SET doc = ''{"n": 1000}'' WHERE id = 3'; -- loaded again
    EXECUTE 'UPDATE source SET at = 50, id = -1 WHERE id = 4';      -- not
    EXECUTE 'DELETE FROM source WHERE id > 8';                      -- not seen
    COMMIT;
    CALL sluice.run('p');
END $$;
CALL changes('compare');
SELECT * FROM history;
SELECT (SELECT count(*) FROM target), (SELECT count(*) FROM target WHERE doc = '{"n": 1000}') AS updated, sluice.pending('p');
-- the same file again: nothing is loaded
TRUNCATE source;
SELECT arrive(1, 10);
CALL sluice.run('p');
SELECT count(*), count(DISTINCT doc), sluice.pending('p') FROM target;
CALL remove();
CALL changes('arrivals');
SELECT * FROM history;
SELECT (SELECT count(*) FROM target), (SELECT count(*) FROM target WHERE doc = '{"n": 1000}') AS updated, sluice.pending('p');
TRUNCATE source;
SELECT arrive(1, 10);
CALL sluice.run('p');
SELECT count(*), count(DISTINCT doc), sluice.pending('p') FROM target;
CALL remove();
-- a snapshot column does not tell updates: where compares are asked for, they are found all the same
CALL changes('stamps');
SELECT (SELECT count(*) FROM target), (SELECT count(*) FROM target WHERE doc = '{"n": 1000}') AS updated, sluice.pending('p');
CALL remove();
CALL changes('stamps', ', recheck => ''0''');
SELECT (SELECT count(*) FROM target), (SELECT count(*) FROM target WHERE doc = '{"n": 1000}') AS updated, sluice.pending('p');
CALL remove();
DROP PROCEDURE changes;

-- ---- Documents: types, NULL, and their hash

CREATE TABLE kind (kind text, position int);
INSERT INTO kind VALUES ('jsonb', 1), ('json', 2), ('text', 3), ('varchar', 4);
CREATE TABLE answer (kind text, loaded bigint, jsonb_contents bigint, texts bigint, hashes bigint, source_rows bigint, duplicates bigint);
DO $$
DECLARE
    k text;
BEGIN
    FOR k IN SELECT kind FROM kind ORDER BY position LOOP
        EXECUTE format('CREATE TABLE typed (doc %s)', k);
        CREATE TABLE typed_target (n numeric, b bytea, u uuid, t text);
        PERFORM sluice.create_shred('typed', 'typed', 'doc',
            '{"typed_target": {"columns": {"n": "$.n", "b": "#hash", "u": "#hash", "t": "#hash"}}}', cursor => 'hash');
        EXECUTE format($i$INSERT INTO typed SELECT d::%s FROM unnest(ARRAY['{"n": 1, "m": 2}', '{"m":2,"n":1}', '{"n": 1, "m": 2}', '{"n": 1.0}', '{"n": 1}', '{"n":1}', NULL, NULL]) d$i$, k);
        COMMIT;
        CALL sluice.run('typed');
        INSERT INTO answer SELECT k, count(*), 0, 0, count(*) FILTER (WHERE b = decode(replace(u::text, '-', ''), 'hex') AND t IN (u::text, encode(b, 'hex'), b::text)),
            (SELECT r.source_rows FROM sluice.runs r WHERE pipeline = 'typed'), (SELECT r.duplicates FROM sluice.runs r WHERE pipeline = 'typed') FROM typed_target;
        EXECUTE 'UPDATE answer SET texts = (SELECT count(DISTINCT doc::text) FROM typed) WHERE kind = $1' USING k;
        IF k = 'jsonb' THEN
            EXECUTE 'UPDATE answer SET jsonb_contents = (SELECT count(*) FROM typed_target t WHERE EXISTS (SELECT FROM typed s WHERE sluice.document_hash(s.doc) = t.b)) WHERE kind = $1' USING k;
        END IF;
        PERFORM sluice.drop_pipeline('typed');
        DROP TABLE typed, typed_target;
        COMMIT;
    END LOOP;
END $$;
-- loaded = texts; rows read: one more, for NULL; all others are duplicates
SELECT answer.*, loaded = texts AS right, source_rows = texts + 1 AND duplicates = 8 - texts - 1 AS counted FROM answer JOIN kind USING (kind) ORDER BY position;
DROP TABLE kind, answer;

-- ---- Sources

-- dropped and made again under its name
CALL build('compare');
SELECT arrive(1, 10);
CALL sluice.run('p');
DROP TABLE source;
CREATE TABLE source (doc jsonb, extra text, at int, id int);
SELECT arrive(6, 15);
CALL sluice.run('p');
SELECT count(*), count(DISTINCT doc), sluice.pending('p') FROM target;
-- its order may have another type by now
ALTER TABLE source ALTER at TYPE date USING date '2024-01-01' + at;
INSERT INTO source (id, at, doc) VALUES (16, '2025-01-01', '{"n": 16}');
CALL sluice.run('p');
SELECT count(*), count(DISTINCT doc), sluice.pending('p') FROM target;
CALL remove();

-- views, materialized views, partitioned tables whose leaves have other columns, inheritance children, foreign tables
CREATE TABLE base (id int, at int, doc jsonb);
CREATE VIEW v AS SELECT doc, at, id FROM base WHERE id % 2 = 0;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM base;
CREATE TABLE part (id int, at int, doc jsonb) PARTITION BY LIST (id);
CREATE TABLE part_1 (x int, doc jsonb, y text, id int, at int);
ALTER TABLE part_1 DROP x, DROP y;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
CREATE TABLE parent (id int, at int, doc jsonb);
CREATE TABLE child (more text) INHERITS (parent);
DO $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY '{v,mv,part,parent}'::text[] LOOP
        EXECUTE format('CREATE TABLE %s_t (id int, at int, n int, h uuid)', s);
        PERFORM sluice.create_shred(s, s::regclass, 'doc', format('{"%s_t": {"columns": {"id": "#source.id", "at": "#source.at", "n": "$.n", "h": "#hash"}}}', s)::json,
            cursor => 'hash', batch_size => 7, order_by => CASE s WHEN 'mv' THEN NULL ELSE 'at' END);
    END LOOP;
END $$;
INSERT INTO base SELECT g, g, jsonb_build_object('n', g) FROM generate_series(1, 40) g;
REFRESH MATERIALIZED VIEW mv;
INSERT INTO part SELECT 1 + g % 2, g, jsonb_build_object('n', g) FROM generate_series(1, 40) g;
INSERT INTO parent SELECT g, g, jsonb_build_object('n', g) FROM generate_series(1, 20) g;
INSERT INTO child SELECT g, g, jsonb_build_object('n', g), 'x' FROM generate_series(15, 40) g;
CALL sluice.run('v');
CALL sluice.run('mv');
CALL sluice.run('part');
CALL sluice.run('parent');
INSERT INTO base SELECT g, -g, jsonb_build_object('n', g) FROM generate_series(35, 50) g;
REFRESH MATERIALIZED VIEW mv;
INSERT INTO part_1 (id, at, doc) SELECT 1, -g, jsonb_build_object('n', g) FROM generate_series(35, 50) g;
INSERT INTO child SELECT g, -g, jsonb_build_object('n', g), 'x' FROM generate_series(35, 50) g;
CALL sluice.run('v');
CALL sluice.run('mv');
CALL sluice.run('part');
CALL sluice.run('parent');
SELECT pipeline, sum(source_rows) AS rows, sum(duplicates) AS duplicates FROM sluice.runs GROUP BY 1 ORDER BY 1;
SELECT (SELECT count(*) FROM (SELECT DISTINCT (doc ->> 'n')::int FROM v EXCEPT ALL SELECT n FROM v_t) x) AS v,
       (SELECT count(*) FROM (SELECT n FROM v_t EXCEPT ALL SELECT DISTINCT (doc ->> 'n')::int FROM v) x) AS v_more,
       (SELECT count(*) FROM (SELECT DISTINCT (doc ->> 'n')::int FROM mv EXCEPT ALL SELECT n FROM mv_t) x) AS mv,
       (SELECT count(*) FROM (SELECT n FROM mv_t EXCEPT ALL SELECT DISTINCT (doc ->> 'n')::int FROM mv) x) AS mv_more,
       (SELECT count(*) FROM (SELECT DISTINCT (doc ->> 'n')::int FROM part EXCEPT ALL SELECT n FROM part_t) x) AS part,
       (SELECT count(*) FROM (SELECT n FROM part_t EXCEPT ALL SELECT DISTINCT (doc ->> 'n')::int FROM part) x) AS part_more,
       (SELECT count(*) FROM (SELECT DISTINCT (doc ->> 'n')::int FROM parent EXCEPT ALL SELECT n FROM parent_t) x) AS parent,
       (SELECT count(*) FROM (SELECT n FROM parent_t EXCEPT ALL SELECT DISTINCT (doc ->> 'n')::int FROM parent) x) AS parent_more;
SELECT count(*) AS misplaced FROM part_t t WHERE NOT EXISTS (SELECT FROM part s WHERE s.id = t.id AND s.at = t.at AND s.doc = jsonb_build_object('n', t.n));
SELECT sluice.drop_pipeline(p) FROM unnest('{v,mv,part,parent}'::text[]) p;
DROP TABLE v_t, mv_t, part_t, parent_t, part, child, parent;
DROP MATERIALIZED VIEW mv;
DROP VIEW v;
DROP TABLE base;

-- Asserts, not output: not every server has file_fdw.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'file_fdw') THEN
        RETURN;
    END IF;
    CREATE EXTENSION file_fdw;
    CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE source (at int, doc jsonb) SERVER files OPTIONS (format 'csv', delimiter ';', quote '''', program 'printf "1;{\"n\":1}\n2;{\"n\":2}\n2;{\"n\":2}\n"');
    CREATE TABLE target (doc jsonb);
    PERFORM sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"doc": "$"}}}', cursor => 'hash', order_by => 'at');
    COMMIT;
    CALL sluice.run('p');
    ASSERT (SELECT array_agg((doc ->> 'n')::int ORDER BY 1) FROM target) = '{1,2}', 'first run';
    ALTER FOREIGN TABLE source OPTIONS (SET program 'printf "0;{\"n\":3}\n1;{\"n\":1}\n2;{\"n\":2}\n2;{\"n\":2}\n2;{\"n\":2}\n"');
    COMMIT;
    CALL sluice.run('p');
    ASSERT (SELECT array_agg((doc ->> 'n')::int ORDER BY 1) FROM target) = '{1,2,3}', 'second run';
    ASSERT (SELECT sum(duplicates) FROM sluice.runs) = 2, 'duplicates';
    ASSERT sluice.pending('p') = 0, 'pending';
    PERFORM sluice.drop_pipeline('p');
    DROP TABLE target;
    DROP FOREIGN TABLE source;
    DROP EXTENSION file_fdw CASCADE;
END $$;

-- ---- The order

-- rows come in the order asked for, null last; late ones are found: the target's ctid tells the order of loading
CREATE TABLE ordered (type text, descending_pairs bigint, loaded bigint, position text);
DO $$
DECLARE
    o record;
BEGIN
    FOR o IN SELECT * FROM (VALUES ('date', 'date ''2024-01-01'' + g'), ('timestamp', 'timestamp ''2024-01-01'' + g * interval ''1 hour'''),
        ('timestamptz', 'timestamptz ''2024-01-01 00:00+00'' + g * interval ''1 hour'''), ('int', 'g'), ('bigint', 'g'), ('smallint', 'g'), ('numeric', 'g / 7.0'), ('float8', 'g / 7.0'),
        ('text', 'chr(64 + g % 26) || g'), ('text COLLATE "C"', 'g::text'), ('varchar(20)', 'g::text'), ('char(9)', 'g::text'), ('uuid', 'md5(g::text)::uuid'), ('bytea', 'decode(md5(g::text), ''hex'')'),
        ('interval', 'make_interval(mins => g)'), ('time', 'time ''00:00'' + make_interval(mins => g)'), ('inet', '(''10.0.0.'' || g)::inet'), ('int[]', 'ARRAY[g % 3, g]'), ('int4range', 'int4range(g, g + 1)'), ('jsonb', 'to_jsonb(g)'), ('boolean', 'g > 50')) v(type, value) LOOP
        EXECUTE format('CREATE TABLE source (id int, at %s, doc jsonb)', o.type);
        EXECUTE format('CREATE TABLE target (id int, at %s)', o.type);
        PERFORM sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"id": "#source.id", "at": "#source.at"}}}', cursor => 'hash', order_by => 'at', batch_size => 30, recheck => '1 hour');
        EXECUTE format('INSERT INTO source SELECT g, %s, jsonb_build_object(''n'', g) FROM generate_series(100, 1, -1) g', o.value);
        INSERT INTO source (id, doc) SELECT g, jsonb_build_object('n', g) FROM generate_series(101, 105) g;
        COMMIT;
        CALL sluice.run('p');
        EXECUTE 'INSERT INTO ordered SELECT $1, count(*) FILTER (WHERE at < before OR before IS NULL AND at IS NOT NULL AND number > 1), count(*) FROM
            (SELECT at, lag(at) OVER (ORDER BY ctid) AS before, row_number() OVER (ORDER BY ctid) AS number FROM target) x' USING o.type;
        EXECUTE format('UPDATE ordered SET position = ((sluice.cursor_position(''p'') ->> ''order_value'')::%s = (SELECT at FROM source WHERE at IS NOT NULL ORDER BY at DESC LIMIT 1))::text WHERE type = $1', o.type) USING o.type;
        -- at the position: found between compares
        EXECUTE 'INSERT INTO source SELECT 200, at, ''{"n": 200}'' FROM source WHERE at IS NOT NULL ORDER BY at DESC LIMIT 1';
        COMMIT;
        CALL sluice.run('p');
        UPDATE ordered SET loaded = (SELECT count(*) FROM target) WHERE type = o.type;
        PERFORM sluice.drop_pipeline('p');
        DROP TABLE source, target;
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM ordered WHERE descending_pairs <> 0 OR loaded <> 106 OR position <> 'true';
SELECT count(*) FROM ordered;
DROP TABLE ordered;

-- expressions, and columns of odd names
CREATE TABLE odd ("Order Id" int, h text, more int, n int, s int, run int, known boolean, news int, sluice_more int, sluice_place int, sluice_h int, counted int, c int, l int, r int, doc jsonb);
CREATE TABLE odd_target ("Order Id" int, h text, more int, n int, s int, run int, known boolean, news int, doc jsonb);
CREATE TABLE tried (order_by text, duplicates text, loaded bigint, expected bigint, pending bigint);
DO $$
DECLARE
    o record;
BEGIN
    FOR o IN SELECT * FROM unnest(ARRAY['Order Id', '"Order Id"', 'h', 'more', 'n', 's', 's.s', 'run', 'known', 'news', 'h || n', '-n', 'n -- the number', 'n /* more */', '(doc ->> ''n'')::int', 'sluice.parse_date(doc ->> ''at'', ''DD-MM-YYYY'')', 'CASE WHEN n > 5 THEN n END', 'NULL']) order_by,
                           unnest('{skip,keep}'::text[]) duplicates LOOP
        TRUNCATE odd, odd_target;
        PERFORM sluice.create_shred('p', 'odd', 'doc', '{"odd_target": {"columns": {"Order Id": "#source.Order Id", "h": "#source.h", "more": "#source.more", "n": "#source.n", "s": "#source.s", "run": "#source.run", "known": "#source.known", "news": "#source.news", "doc": "$"}}}',
            cursor => 'hash', order_by => o.order_by, duplicates => o.duplicates);
        FOR i IN 1..2 LOOP
            INSERT INTO odd SELECT g, g, g, g, g, g, true, g, g, g, g, g, g, g, g, jsonb_build_object('n', g % 5 + i, 'at', '0' || g || '-01-2024') FROM generate_series(1, 9) g;
            COMMIT;
            CALL sluice.run('p', batch_size => 4);
        END LOOP;
        INSERT INTO tried SELECT o.order_by, o.duplicates, count(*), (SELECT CASE o.duplicates WHEN 'keep' THEN count(*) ELSE count(DISTINCT doc) END FROM odd), sluice.pending('p') FROM odd_target;
        PERFORM sluice.drop_pipeline('p');
        COMMIT;
    END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE loaded = expected AND pending = 0) AS right FROM tried;
SELECT * FROM tried WHERE loaded <> expected OR pending <> 0;
DROP TABLE odd, odd_target, tried;

-- ---- Bad arguments: refused at once, with the argument's name

CREATE FUNCTION refusal(statement text, OUT state text, OUT argument text, OUT message text) LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    EXECUTE statement;
    state := 'accepted';
    PERFORM sluice.drop_pipeline('p');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
    argument := coalesce(substring(message FROM '^(order_by|lookback|recheck|duplicates|batch_size)'), substring(context FROM '(?m)^(order_by|lookback)'));
END $$;
CREATE TABLE source (id int, at int, day date, name text, j json, p point, x xid, doc jsonb);
CREATE TABLE target (id int);
CREATE FUNCTION creation(arguments text) RETURNS text LANGUAGE sql RETURN
    'SELECT sluice.create_shred(''p'', ''source'', ''doc'', ''{"target": {"columns": {"id": "#source.id"}}}'', cursor => ''hash'', ' || arguments || ')';
CREATE FUNCTION moody(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1';
SELECT a AS order_by, r.*
FROM unnest(ARRAY['ordr', 'random()', 'moody(id)', 'clock_timestamp()', '(SELECT 1)', 'EXISTS (SELECT FROM source)', 'count(*)', 'max(id)', 'row_number() OVER ()', 'generate_series(1, 2)',
                  '1) FROM source --', '1) FROM source /*', '1), (2', 'id) AS a, (at', '1); DROP TABLE source; SELECT (2', '1) UNION SELECT (2', 'id /* x', 'id +', '', ' ', '--', 'ctid', 'xmin', 'tableoid', 'j', 'p', 'x', '$1', 'DEFAULT', 'id ASC', 'id DESC', 'id COLLATE "C"', 's.*', '*', 'nosuch(id)', 'source.id']) WITH ORDINALITY u(a, i),
     refusal(creation('order_by => ' || quote_literal(a))) r ORDER BY i;
-- two expressions: such a value could not be read back
SELECT a AS order_by, r.state, r.argument FROM unnest(ARRAY['id, at', '(id, at)', 'ROW(id)']) a, refusal(creation('order_by => ' || quote_literal(a))) r;
SELECT a AS arguments, r.state ~ '^22' AS refused, r.argument
FROM unnest(ARRAY['order_by => ''at'', lookback => ''3 days''', 'order_by => ''at'', lookback => ''ten''', 'order_by => ''at'', lookback => ''''', 'order_by => ''at'', lookback => ''NaN''', 'order_by => ''at'', lookback => ''-10''',
                  'order_by => ''day'', lookback => ''-3 days''', 'order_by => ''day'', lookback => ''soon''', 'order_by => ''name'', lookback => ''1''', 'lookback => ''1''', 'recheck => ''-1 hour''', 'duplicates => ''skipp''', 'duplicates => ''''', 'batch_size => 0']) WITH ORDINALITY u(a, i), refusal(creation(a)) r ORDER BY i;
SELECT count(*) AS left FROM sluice.pipeline;
SELECT sluice.drop_pipeline(name) FROM sluice.pipeline;
SELECT count(*) AS ledgers FROM pg_class WHERE relname LIKE 'ledger%' AND relnamespace = 'sluice'::regnamespace;
DROP TABLE source, target;
DROP FUNCTION refusal, creation, moody;

-- ---- Lookback

-- 90 is the last value in time once 100 has been reached; null is never late; what is too late is counted once
CALL build('compare', ', lookback => ''10''');
SELECT arrive(1, 100);
CALL sluice.run('p');
SELECT arrive(201, 201, 90), arrive(202, 202, 89), arrive(203, 203, -5), arrive(204, 204, 120);
INSERT INTO source (id, doc) VALUES (205, '{"n": 205}');
CALL sluice.run('p');
CALL sluice.run('p');
SELECT * FROM history;
SELECT id FROM target WHERE id > 200 ORDER BY id;
-- now 110
SELECT arrive(206, 206, 110), arrive(207, 207, 109);
CALL sluice.run('p');
SELECT * FROM history OFFSET 3;
SELECT id FROM target WHERE id > 205 ORDER BY id;
CALL remove();
-- a batch that is full to the brim reaches as far as any other
CALL build('compare', ', lookback => ''10'', batch_size => 10');
SELECT arrive(1, 10);
CALL sluice.run('p');
SELECT arrive(31, 40);
CALL sluice.run('p');
SELECT sluice.cursor_position('p') ->> 'order_value' AS order_value;
SELECT arrive(50, 50, 29);
CALL sluice.run('p');
SELECT sum(too_late) AS too_late, sum(source_rows) AS rows FROM history;
CALL remove();
-- at the end of a type
CALL build('compare', ', lookback => ''10''');
SELECT arrive(1, 1, -2147483645);
CALL sluice.run('p');
SELECT arrive(2, 2, -2147483644);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- days, in the DateStyle of the creation
CREATE TABLE source (id int, day date, doc jsonb);
CREATE TABLE target (id int);
SET DateStyle = 'SQL, DMY';
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"id": "#source.id"}}}', cursor => 'hash', order_by => 'day', lookback => '3 days');
RESET DateStyle;
INSERT INTO source VALUES (1, '2024-02-11', '1'), (2, '2024-02-12', '2');
CALL sluice.run('p');
INSERT INTO source VALUES (3, '2024-02-09', '3'), (4, '2024-02-08', '4'), (5, '2024-12-25', '5');
CALL sluice.run('p');
INSERT INTO source VALUES (6, '2024-12-22', '6'), (7, '2024-12-21', '7');
CALL sluice.run('p');
SELECT * FROM history;
SELECT array_agg(id ORDER BY id) FROM target;
CALL remove();

-- ---- Recheck

-- pass lets time pass since the last compare. The row says which transaction wrote it, or it would look like one of a dump.
CREATE FUNCTION pass(passed interval) RETURNS void LANGUAGE sql AS $$
    UPDATE sluice.arrival_position SET compared_at = compared_at - passed, stored = pg_current_xact_id()::text::bigint % 4294967296
$$;

CALL build('compare', ', recheck => ''1 hour'', batch_size => 3');
SELECT arrive(1, 10);
CALL sluice.run('p');
SELECT arrive(11, 15), arrive(20, 20, 10), arrive(21, 21, 2), arrive(5, 5), arrive(12, 12);
INSERT INTO source (id, doc) VALUES (22, '{"n": 22}');
CALL sluice.run('p');
-- at and behind the position, no others, and no count of what may have been read before
SELECT array_agg(id ORDER BY id) FROM target WHERE id > 10;
SELECT sum(duplicates) AS duplicates FROM history;
SELECT sluice.pending('p');
SELECT pass('59 minutes');
CALL sluice.run('p');
SELECT sluice.pending('p');
SELECT pass('2 minutes');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- with lookback: the stretch is read again, and nothing is loaded again, with 'keep' neither
CALL build('compare', ', recheck => ''1 hour'', lookback => ''50''');
SELECT arrive(1, 100);
CALL sluice.run('p');
SELECT arrive(101, 110), arrive(201, 201, 60);
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
CALL build('compare', ', recheck => ''1 hour'', lookback => ''50'', duplicates => ''keep''');
SELECT arrive(1, 100);
CALL sluice.run('p');
SELECT arrive(101, 110);
CALL sluice.run('p');
SELECT pass('2 hours');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

DROP FUNCTION pass;

-- ---- Keep

CALL build('compare', ', duplicates => ''keep''');
INSERT INTO source SELECT g, g, '{"n": 1}' FROM generate_series(1, 3) g;
CALL sluice.run('p');
INSERT INTO source SELECT g, 0, '{"n": 1}' FROM generate_series(4, 5) g;
CALL sluice.run('p', max_batches => 1, batch_size => 1);
SELECT count(*), sluice.pending('p') FROM target;
CALL sluice.run('p');
SELECT * FROM verdict();
-- a snapshot column that comes later
SELECT sluice.add_snapshot_column('source');
CALL sluice.run('p');
INSERT INTO source (id, at, doc) VALUES (6, 6, '{"n": 1}');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- the same with 'skip': rows that were read are no deliveries
CALL build('compare');
SELECT arrive(1, 10), arrive(1, 2);
CALL sluice.run('p');
SELECT sluice.add_snapshot_column('source');
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();
-- seek passes rows over, once and for all
CALL build('stamps', ', duplicates => ''keep''');
SELECT arrive(1, 100);
SELECT sluice.seek('p', '{"cursor": "hash", "order_value": "90"}');
SELECT sluice.pending('p');
CALL sluice.run('p');
SELECT count(*), min(id), sluice.pending('p') FROM target;
CALL remove();
-- rewind: which of equal rows a run has read is not kept
CALL build('compare', ', duplicates => ''keep''');
INSERT INTO source VALUES (1, 1, '{"n": 1}');
CALL sluice.run('p');
SELECT max(run_id) AS first FROM sluice.runs WHERE pipeline = 'p' \gset
INSERT INTO source VALUES (2, 2, '{"n": 1}'), (3, 3, '{"n": 1}');
CALL sluice.run('p');
\set VERBOSITY sqlstate
CALL sluice.rewind('p', :first);
\set VERBOSITY default
SELECT count(*), sluice.pending('p') FROM target;
CALL sluice.run('p');
SELECT * FROM verdict();
CALL remove();

-- ---- Batch by batch

CALL build('compare');
SELECT arrive(1, 100), arrive(1, 30);
SELECT source_rows, inserted, duplicates FROM sluice.run_batch('p', 40);
CALL sluice.run('p', batch_size => 25, max_batches => 1);
SELECT count(*), sluice.pending('p') FROM target;
BEGIN;
SELECT source_rows FROM sluice.run_batch('p', 10);
ROLLBACK;
CALL sluice.run('p', batch_size => 25, max_batches => 1);
CALL sluice.run('p', batch_size => 25, max_batches => 1);
CALL sluice.run('p');
SELECT * FROM verdict();
SELECT source_rows, duplicates FROM sluice.run_batch('p');
CALL remove();

-- ---- Position, seek, verify

CALL build('compare', ', batch_size => 4');
SELECT sluice.cursor_position('p');
SELECT arrive(1, 10);
CALL sluice.run('p', max_batches => 1);
SELECT sluice.cursor_position('p') - 'hash' - 'seen' AS position, sluice.cursor_position('p') ->> 'hash' = encode(sluice.document_hash('{"n": 4}'), 'hex') AS hash;
CALL sluice.run('p');
SELECT sluice.cursor_position('p') - 'hash' - 'seen' AS position, sluice.cursor_position('p') ->> 'hash' = encode(sluice.document_hash('{"n": 10}'), 'hex') AS hash;
SELECT arrive(11, 20), arrive(100, 100, 15);
SELECT sluice.seek('p', '{"cursor": "hash", "order_value": "15"}');
SELECT sluice.pending('p');
CALL sluice.run('p');
SELECT array_agg(id ORDER BY id) FROM target WHERE id > 10;
SELECT sluice.seek('p', '{"cursor": "hash", "order_value": "5"}');
SELECT sluice.seek('p', '{"cursor": "sequence", "position": 5}');
SELECT sluice.seek('p', '{"cursor": "hash"}');
SELECT sluice.seek('p', '[]');
-- the audit: nothing; a content that the ledger lost; a target row too many
SELECT * FROM sluice.verify('p');
SELECT pipeline_id FROM sluice.pipeline \gset
BEGIN;
DELETE FROM sluice.ledger_:pipeline_id WHERE h = sluice.content('{"n": 3}'::jsonb);
INSERT INTO target SELECT * FROM target WHERE id IN (1, 2);
SELECT * FROM sluice.verify('p');
ROLLBACK;
SELECT sluice.drop_pipeline('p');
SELECT to_regclass('sluice.ledger_' || :pipeline_id) IS NULL AS dropped;
DROP TABLE source, target;

-- ---- Rights

CREATE ROLE regress_sluice_hash_owner;
CREATE ROLE regress_sluice_hash_heir;
CREATE ROLE regress_sluice_hash_stranger;
CREATE SCHEMA house AUTHORIZATION regress_sluice_hash_owner;
CREATE TABLE source (id int, at int, doc jsonb);
GRANT SELECT ON source TO regress_sluice_hash_owner, regress_sluice_hash_heir;
SET ROLE regress_sluice_hash_owner;
CREATE TABLE house.target (id int, by text DEFAULT current_user);
SELECT sluice.create_shred('p', 'source', 'doc', '{"house.target": {"columns": {"id": "#source.id"}}}', cursor => 'hash', order_by => 'at');
RESET ROLE;
SELECT pipeline_id FROM sluice.pipeline \gset
SELECT tableowner FROM pg_tables WHERE tablename = 'ledger_' || :pipeline_id;
SELECT arrive(1, 3);
CALL sluice.run('p');
SELECT * FROM house.target ORDER BY id;
\set VERBOSITY sqlstate
SET ROLE regress_sluice_hash_stranger;
SELECT * FROM sluice.ledger_:pipeline_id;
INSERT INTO sluice.ledger_:pipeline_id VALUES (1, gen_random_uuid());
SELECT sluice.pending('p');
SELECT sluice.seek('p', '{"order_value": "1"}');
SELECT * FROM sluice.verify('p');
RESET ROLE;
\set VERBOSITY terse
-- no right to read the source
REVOKE SELECT ON source FROM regress_sluice_hash_owner;
CALL sluice.run('p');
SELECT sluice.pending('p');
GRANT SELECT (id, doc) ON source TO regress_sluice_hash_owner;
SELECT arrive(4, 4);
CALL sluice.run('p');
GRANT SELECT ON source TO regress_sluice_hash_owner;
CALL sluice.run('p');
SELECT count(*) FROM house.target;
-- row-level security: what is hidden is not loaded, and the run says so
ALTER TABLE source ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON source TO regress_sluice_hash_owner USING (id % 2 = 0);
SELECT arrive(5, 8);
CALL sluice.run('p');
SELECT array_agg(id ORDER BY id) FROM house.target;
DROP POLICY visible ON source;
ALTER TABLE source DISABLE ROW LEVEL SECURITY;
CALL sluice.run('p');
SELECT array_agg(id ORDER BY id) FROM house.target;
-- the ledger goes where the pipeline goes
GRANT USAGE ON SCHEMA house TO regress_sluice_hash_heir;
REASSIGN OWNED BY regress_sluice_hash_owner TO regress_sluice_hash_heir;
SELECT tableowner FROM pg_tables WHERE tablename = 'ledger_' || :pipeline_id;
SELECT arrive(9, 9);
CALL sluice.run('p');
SELECT count(*) FROM house.target;
-- also when the anchor alone is given away
GRANT ALL ON SCHEMA house TO regress_sluice_hash_owner;
GRANT ALL ON house.target TO regress_sluice_hash_owner;
ALTER TYPE sluice.pipeline_:pipeline_id OWNER TO regress_sluice_hash_owner;
SELECT arrive(10, 10);
CALL sluice.run('p');
SELECT count(*) FROM house.target;
REASSIGN OWNED BY regress_sluice_hash_owner TO regress_sluice_hash_heir;
-- a ledger that its owner dropped
SET ROLE regress_sluice_hash_heir;
DROP TABLE sluice.ledger_:pipeline_id;
\set VERBOSITY sqlstate
CALL sluice.run('p');
SELECT sluice.pending('p');
SELECT * FROM sluice.verify('p');
\set VERBOSITY terse
SELECT state FROM sluice.status;
SELECT sluice.drop_pipeline('p');
-- drop owned
SELECT sluice.create_shred('p', 'source', 'doc', '{"house.target": {"columns": {"id": "#source.id"}}}', cursor => 'hash', order_by => 'at');
RESET ROLE;
DROP OWNED BY regress_sluice_hash_heir, regress_sluice_hash_owner;
SELECT count(*) AS ledgers FROM pg_class WHERE relname LIKE 'ledger%' AND relnamespace = 'sluice'::regnamespace;
SELECT count(*) AS pipelines FROM sluice.status;
DROP TABLE source;
DROP ROLE regress_sluice_hash_owner, regress_sluice_hash_heir, regress_sluice_hash_stranger;

-- ---- Errors: the document is named by order value and hash, and a run goes on where the last one ended

\set VERBOSITY default
CREATE TABLE source (id int, at date, doc jsonb);
CREATE TABLE target (n int);
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"n": "$.n"}}}', cursor => 'hash', order_by => 'at', batch_size => 100);
INSERT INTO source SELECT g, date '2024-01-01' + g, jsonb_build_object('n', g) FROM generate_series(1, 1000) g;
UPDATE source SET doc = '{"n": "x"}' WHERE id = 250;
SELECT at, encode(sluice.document_hash(doc), 'hex') AS hash FROM source WHERE id = 250;
CALL sluice.run('p');
SELECT count(*) FROM target;
INSERT INTO source VALUES (1001, NULL, '{"n": "y"}');
UPDATE source SET doc = '{"n": 250}' WHERE id = 250;
CALL sluice.run('p');
DELETE FROM source WHERE id = 1001;
CALL sluice.run('p');
SELECT count(*), count(DISTINCT n), sluice.pending('p') FROM target;
SELECT status, batches, source_rows, inserted FROM history;
CALL remove();

-- ---- A work list on disk, a trigger that raises, a cancel in the middle

CALL build('compare', ', batch_size => 1000');
INSERT INTO source SELECT g, g, jsonb_build_object('n', g, 'x', repeat('x', 100)) FROM generate_series(1, 20000) g;
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('test.stumble', true) = 'raise' THEN
        RAISE EXCEPTION 'stumbled';
    ELSIF current_setting('test.stumble', true) = 'sleep' THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stumble BEFORE INSERT ON target FOR EACH ROW WHEN (NEW.id = 12345) EXECUTE FUNCTION stumble();
SET work_mem = '64kB';
SET maintenance_work_mem = '1MB';
SET test.stumble = 'raise';
\set VERBOSITY terse
CALL sluice.run('p');
SELECT count(*) FROM target;
SET test.stumble = 'sleep';
SET statement_timeout = '2s';
CALL sluice.run('p');
RESET statement_timeout;
SELECT count(*) FROM target;
SET test.stumble = '';
CALL sluice.run('p');
SELECT * FROM verdict();
SELECT status, batches, source_rows FROM history;
RESET work_mem;
RESET maintenance_work_mem;
CALL remove();
DROP FUNCTION stumble;

-- Large documents wait in the work list, too: what happens to their rows meanwhile is no error.
CALL build('compare', ', batch_size => 2');
ALTER TABLE source ALTER doc SET STORAGE EXTERNAL;
INSERT INTO source SELECT g, g, jsonb_build_object('n', g, 'x', repeat('x', 5000)) FROM generate_series(1, 8) g;
CREATE FUNCTION empty_source() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE source; RETURN NULL; END $$;
CREATE TRIGGER empty_source AFTER INSERT ON target FOR EACH ROW WHEN (NEW.id = 4) EXECUTE FUNCTION empty_source();
CALL sluice.run('p');
SELECT count(*) >= 4 AS loaded FROM target;
CALL remove();
DROP FUNCTION empty_source;

DROP VIEW history;
DROP PROCEDURE build, remove;
DROP FUNCTION verdict, arrive;

-- ---- a snapshot column with stamps of another cluster, which lie ahead
CREATE TABLE brought (id int PRIMARY KEY, doc jsonb, "Stamp" xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE INDEX ON brought ("Stamp", id);
INSERT INTO brought SELECT n, jsonb_build_object('n', n), '900000000000' FROM generate_series(1, 3) n;
INSERT INTO brought SELECT n, jsonb_build_object('n', n) FROM generate_series(4, 5) n;
CREATE TABLE brought_to (n int);
CREATE TABLE brought_all_to (n int);
SELECT sluice.create_shred('brought', 'brought', 'doc', '{"brought_to": {"columns": {"n": "$.n"}}}', cursor => 'hash');
SELECT sluice.create_shred('brought all', 'brought', 'doc', '{"brought_all_to": {"columns": {"n": "$.n"}}}', cursor => 'hash', duplicates => 'keep');
CALL sluice.run('brought');
SELECT array_agg(n ORDER BY n) FROM brought_to;
SELECT missing, loaded FROM sluice.verify('brought');
INSERT INTO brought VALUES (6, '{"n": 6}');
CALL sluice.run('brought');
SELECT array_agg(n ORDER BY n) FROM brought_to;
-- of equal rows nothing but the stamp says which are new: these wait, which is told
\set VERBOSITY terse
DO $$
BEGIN
    SET LOCAL client_min_messages = error; -- the message has the number of a transaction
    CALL sluice.run('brought all');
END $$;
\set VERBOSITY default
SELECT array_agg(n ORDER BY n) FROM brought_all_to;
