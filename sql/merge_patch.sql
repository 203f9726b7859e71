-- Merge patches: RFC 7396, one at a time and many in their order.

\pset format unaligned
\pset fieldsep ' | '
\pset footer off

-- the test cases of the RFC, appendix A

SELECT target, patch, sluice.jsonb_merge_patch(target, patch) AS result, sluice.jsonb_merge_patch(target, patch) = wanted AS as_wanted,
       sluice.jsonb_merge_patch(target, patch)::text = wanted::text AS to_the_letter
FROM (VALUES
    (1, '{"a":"b"}'::jsonb, '{"a":"c"}'::jsonb, '{"a":"c"}'::jsonb),
    (2, '{"a":"b"}', '{"b":"c"}', '{"a":"b", "b":"c"}'),
    (3, '{"a":"b"}', '{"a":null}', '{}'),
    (4, '{"a":"b", "b":"c"}', '{"a":null}', '{"b":"c"}'),
    (5, '{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    (6, '{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    (7, '{"a": {"b": "c"}}', '{"a": {"b": "d", "c": null}}', '{"a": {"b": "d"}}'),
    (8, '{"a": [{"b":"c"}]}', '{"a": [1]}', '{"a": [1]}'),
    (9, '["a","b"]', '["c","d"]', '["c","d"]'),
    (10, '{"a":"b"}', '["c"]', '["c"]'),
    (11, '{"a":"foo"}', 'null', 'null'),
    (12, '{"a":"foo"}', '"bar"', '"bar"'),
    (13, '{"e":null}', '{"a":1}', '{"e":null, "a":1}'),
    (14, '[1,2]', '{"a":"b", "c":null}', '{"a":"b"}'),
    (15, '{}', '{"a": {"bb": {"ccc": null}}}', '{"a": {"bb": {}}}')) v (number, target, patch, wanted)
ORDER BY number;
-- and the example of its section 3
SELECT sluice.jsonb_merge_patch('{"title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"}, "tags": ["example", "sample"], "content": "This will be unchanged"}',
    '{"title": "Hello!", "phoneNumber": "+01-123-456-7890", "author": {"familyName": null}, "tags": ["example"]}');

-- nulls of SQL: an absent target, and no patch

SELECT sluice.jsonb_merge_patch(NULL, '{"a": 1, "b": null, "c": {"d": null}}') AS absent_target, sluice.jsonb_merge_patch(NULL, '[1, null]') AS absent_too, sluice.jsonb_merge_patch('{"a": null}', NULL) AS no_patch,
       sluice.jsonb_merge_patch(NULL, NULL) AS neither, sluice.jsonb_merge_patch('{"a": 1}', 'null') AS json_null;
-- nulls that are the target's own, or lie in arrays, stay
SELECT sluice.jsonb_merge_patch('{"a": null, "b": {"c": null}, "d": [null]}', '{"b": {"x": 1}, "e": [null, {"f": null}]}');
SELECT sluice.jsonb_merge_patch('1', '{}') AS scalar_target, sluice.jsonb_merge_patch('{"a": 1.50}', '{"b": 1e2}') AS digits, sluice.jsonb_merge_patch('{"a": {"b": 1}}', '{"a": {}}') AS empty_patch, sluice.jsonb_merge_patch('{"a": 1}', '{"a": {}}') AS becomes_object;

-- an oracle: the RFC's own words

CREATE FUNCTION oracle(target jsonb, patch jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE member record;
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN RETURN patch; END IF;
    IF target IS NULL OR jsonb_typeof(target) <> 'object' THEN target := '{}'; END IF;
    FOR member IN SELECT * FROM jsonb_each(patch) LOOP
        IF jsonb_typeof(member.value) = 'null' THEN
            target := target - member.key;
        ELSE
            target := target || jsonb_build_object(member.key, oracle(target -> member.key, member.value));
        END IF;
    END LOOP;
    RETURN target;
END $$;
-- documents of chance: few keys, so that they meet; null, scalars, arrays and objects
CREATE FUNCTION chance(seed int, depth int) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    h bigint := abs(hashint8(seed::bigint * 7919 + depth)::bigint);
    result jsonb := '{}';
BEGIN
    IF depth = 0 OR h % 10 < 4 THEN
        RETURN (ARRAY['null', 'null', '1', '1.0', '"x"', '[1, null]', '[]', '{}', 'true', '{"a": null}'])[1 + h / 10 % 10];
    END IF;
    FOR i IN 1..1 + h / 100 % 4 LOOP
        result := result || jsonb_build_object((ARRAY['a', 'b', 'cc', 'd', ''])[1 + abs(hashint8(h + i)::bigint) % 5], chance((h % 1000000)::int + i, depth - 1));
    END LOOP;
    RETURN result;
END $$;
CREATE TABLE documents AS SELECT i, chance(i, 4) AS doc FROM generate_series(1, 3000) i;
SELECT count(*) AS pairs, count(*) FILTER (WHERE sluice.jsonb_merge_patch(a.doc, b.doc)::text IS DISTINCT FROM oracle(a.doc, b.doc)::text) AS differences,
       count(DISTINCT oracle(a.doc, b.doc)) > 500 AS many, count(*) FILTER (WHERE jsonb_typeof(b.doc) = 'object') > 1000 AS objects
FROM documents a JOIN documents b ON b.i BETWEEN a.i + 1 AND a.i + 3;

-- the aggregate: patches in the order of at; null is the oldest; ties in the order of jsonb

SELECT sluice.jsonb_merge_patch_agg(patch, at) FROM (VALUES ('{"a": 1, "b": 1}'::jsonb, 1), ('{"a": null, "c": {"x": 1}}', 2), ('{"a": {"y": 1}}', 3), (NULL, 4), ('{"c": {"z": null}, "old": 1, "b": 0}', NULL)) v (patch, at);
SELECT sluice.jsonb_merge_patch_agg(patch, 1) FROM (VALUES ('{"a": 1}'::jsonb), ('{"a": 2}'), ('{"a": 1, "b": 2}')) v (patch);
SELECT sluice.jsonb_merge_patch_agg(patch, 1) FROM unnest(ARRAY['{"a": 1.00}', '{"a": 1.0}', '{"a": 1}']::jsonb[]) patch;
SELECT sluice.jsonb_merge_patch_agg(NULL, 1) AS no_patch, sluice.jsonb_merge_patch_agg('null', 1) AS json_null, sluice.jsonb_merge_patch_agg('"x"', 1) AS scalar, sluice.jsonb_merge_patch_agg('{"a": null}', 1) AS removed,
       sluice.jsonb_merge_patch_agg('{}', 1) FILTER (WHERE false) AS none;
SELECT sluice.jsonb_merge_patch_agg('{}', 1) AS none FROM generate_series(1, 0);
-- a removal outlives what is put in its place: an older patch that comes later does not shine through
SELECT sluice.jsonb_merge_patch_agg(patch, at ORDER BY arrival) FROM (VALUES (1, '{"a": {"new": 1}}'::jsonb, 3), (2, '{"a": null}', 2), (3, '{"a": {"old": 1}, "b": 1}', 1)) v (arrival, patch, at);
SELECT sluice.jsonb_merge_patch_agg(patch, at ORDER BY arrival) FROM (VALUES (1, '{"a": {"new": 1}}'::jsonb, 3), (2, '{"a": [1]}', 2), (3, '{"a": {"old": 1}, "b": 1}', 1)) v (arrival, patch, at);
SELECT sluice.jsonb_merge_patch_agg(patch, at ORDER BY arrival) FROM (VALUES (1, '{"a": {"new": 1}}'::jsonb, 3), (2, '5', 2), (3, '{"a": {"old": 1}, "b": 1}', 1)) v (arrival, patch, at);

-- the oracle's fold over groups of 1 to 1000 patches, whatever the order of arrival and the plan

CREATE FUNCTION fold_step(state jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE WHEN patch IS NULL THEN state ELSE oracle(state, patch) END;
CREATE AGGREGATE fold(jsonb) (SFUNC = fold_step, STYPE = jsonb);
CREATE TABLE patches AS
SELECT i, CASE WHEN i <= 2000 THEN i % 500 WHEN i <= 6000 THEN 500 + i % 40 ELSE 600 END AS grp, CASE WHEN i % 11 > 0 THEN abs(hashint8(i)::bigint) % 100 END AS at,
       CASE WHEN i % 17 > 0 THEN CASE WHEN jsonb_typeof(doc) = 'object' OR i % 40 = 0 THEN doc ELSE jsonb_build_object('k' || i % 7, doc) END END AS patch
FROM (SELECT i, chance(i, 3) AS doc FROM generate_series(1, 7000) i) s;
ALTER TABLE patches SET (parallel_workers = 2);
ANALYZE patches;
CREATE TABLE wanted AS SELECT grp, fold(patch ORDER BY at NULLS FIRST, patch) AS doc FROM patches GROUP BY grp;
SELECT count(*) AS groups, count(DISTINCT doc) > 300 AS many, max(length(doc::text)) > 60 AS large FROM wanted;
SET max_parallel_workers_per_gather = 0;
SELECT count(*) AS differences FROM wanted w FULL JOIN (SELECT grp, sluice.jsonb_merge_patch_agg(patch, at) AS doc FROM patches GROUP BY grp) f USING (grp) WHERE f.doc IS DISTINCT FROM w.doc;
-- to the digit: of 1 and 1.0, which are equal, always the same is taken
UPDATE wanted w SET doc = f.doc FROM (SELECT grp, sluice.jsonb_merge_patch_agg(patch, at) AS doc FROM patches GROUP BY grp) f WHERE f.grp = w.grp;
CREATE FUNCTION differing(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM wanted w LEFT JOIN (%s) f USING (grp) WHERE f.doc::text IS DISTINCT FROM w.doc::text', query) INTO result;
    RETURN result;
END $$;
SELECT differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at) AS doc FROM patches GROUP BY grp') AS hashed,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at ORDER BY i DESC) AS doc FROM patches GROUP BY grp') AS backwards,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at ORDER BY at) AS doc FROM patches GROUP BY grp') AS oldest_first,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at ORDER BY at DESC) AS doc FROM patches GROUP BY grp') AS newest_first,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at ORDER BY md5(i::text)) AS doc FROM patches GROUP BY grp') AS shuffled,
       differing('SELECT DISTINCT grp, sluice.jsonb_merge_patch_agg(patch, at) OVER (PARTITION BY grp) AS doc FROM patches') AS window;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE FUNCTION phases(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        result := concat_ws(', ', result, substring(line FROM 'Finalize|Gather|Append|Partial'));
    END LOOP;
    RETURN result;
END $$;
SELECT phases($$SELECT grp, sluice.jsonb_merge_patch_agg(patch, at) AS doc FROM patches GROUP BY grp$$);
SELECT differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, at) AS doc FROM patches GROUP BY grp') AS parallel;
SELECT sluice.jsonb_merge_patch_agg(patch, at) IS NULL AS none FROM patches WHERE i < 0;
-- by texts, timestamps, rows
SELECT differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, to_char(at, ''000'') COLLATE "C") AS doc FROM patches GROUP BY grp') AS text,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, timestamptz ''2024-01-01'' + at * interval ''1 day'') AS doc FROM patches GROUP BY grp') AS timestamptz,
       differing('SELECT grp, sluice.jsonb_merge_patch_agg(patch, CASE WHEN at IS NOT NULL THEN ARRAY[1, at] END) AS doc FROM patches GROUP BY grp') AS array;
SET max_parallel_workers_per_gather = 0;

-- windows: what was known at each moment

SELECT at, patch, sluice.jsonb_merge_patch_agg(patch, at) OVER (ORDER BY at) AS known, sluice.jsonb_merge_patch_agg(patch, at) OVER (ORDER BY at ROWS 1 PRECEDING) AS two
FROM (VALUES (1, '{"a": 1}'::jsonb), (2, '{"b": {"c": 1}}'), (3, '{"a": null}'), (4, '{"b": {"d": 2, "c": null}}')) v (at, patch);

-- the state is bounded by the document, not by the number of patches: 300 MB pass through it

CREATE FUNCTION memory_used() RETURNS bigint LANGUAGE sql RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
SELECT max(used) - min(used) < 10000000 AS bounded FROM (
    SELECT CASE WHEN n % 1000 = 0 THEN memory_used() + length((sluice.jsonb_merge_patch_agg(jsonb_build_object('k' || n % 5, n, 'filler', repeat('x', 30000)), n) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING))::text) * 0 END AS used
    FROM generate_series(1, 10000) n) s;

-- deep documents: an error, not a crash

CREATE FUNCTION deep(levels int, value text) RETURNS jsonb LANGUAGE sql RETURN (repeat('{"a":', levels) || value || repeat('}', levels))::jsonb;
SELECT sluice.jsonb_merge_patch(deep(1000, '{"x": 1}'), deep(1000, '{"y": 2, "x": null}')) = deep(1000, '{"y": 2}') AS deep;
SELECT sluice.jsonb_merge_patch_agg(patch, at) = deep(1000, '{"y": 2}') AS deep FROM (VALUES (deep(1000, '{"x": 1}'), 1), (deep(1000, '{"y": 2, "x": null}'), 2)) v (patch, at);
SET max_stack_depth = '100kB';
\set VERBOSITY terse
DO $$
DECLARE deepest jsonb; levels int := 50;
BEGIN
    LOOP -- the deepest that can be read
        BEGIN
            deepest := deep(levels, '1');
        EXCEPTION WHEN statement_too_complex THEN EXIT;
        END;
        levels := levels + 50;
    END LOOP;
    BEGIN
        PERFORM sluice.jsonb_merge_patch(deepest, deepest);
        PERFORM sluice.jsonb_merge_patch(NULL, deepest);
        PERFORM sluice.jsonb_merge_patch_agg(deepest, n) FROM generate_series(1, 3) n;
        RAISE NOTICE 'merged';
    EXCEPTION WHEN statement_too_complex THEN RAISE NOTICE 'too deep, and told so';
    END;
END $$;
RESET max_stack_depth;
\set VERBOSITY default

-- wide documents: 100,000 members

SELECT sluice.jsonb_merge_patch(a, b) = oracle AS wide FROM (
    SELECT jsonb_object_agg('k' || n, n) FILTER (WHERE n % 2 = 0) AS a, jsonb_object_agg('k' || n, CASE WHEN n % 5 > 0 THEN -n END) FILTER (WHERE n % 3 = 0) AS b,
           jsonb_object_agg('k' || n, CASE WHEN n % 3 = 0 THEN -n ELSE n END) FILTER (WHERE n % 3 = 0 AND n % 5 > 0 OR n % 3 > 0 AND n % 2 = 0) AS oracle FROM generate_series(1, 100000) n) s;
SELECT sluice.jsonb_merge_patch_agg(jsonb_build_object('k' || n % 50000, n), n) = (SELECT jsonb_object_agg('k' || n % 50000, n) FROM generate_series(1, 100000) n WHERE n > 50000) AS wide FROM generate_series(1, 100000) n;

-- limits

SELECT sluice.jsonb_merge_patch_agg('{}', '{}'::json);
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace AND proname LIKE 'jsonb_merge%' ORDER BY 1;
