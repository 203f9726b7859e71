-- Content: a document is known by the first half of the SHA-256 of its bytes, however it is stored.

\pset format unaligned
\pset fieldsep ' | '
\pset footer off

-- text and json: the hash of the text as it stands, of any length

SELECT sluice.content('abc'::text) AS known, sluice.content(''::text) AS empty, sluice.content(NULL::text) AS no_document;
SELECT type, bool_and(replace(hash::text, '-', '') = encode(substring(sha256(convert_to(value, 'UTF8')) FOR 16), 'hex')) AS as_sha256, count(DISTINCT hash) AS hashes
FROM (SELECT '"' || repeat('ж', length / 2) || repeat('x', length % 2) || '"' FROM generate_series(0, 300) length
      UNION ALL SELECT '"' || repeat('x', length) || '"' FROM unnest(ARRAY[8000, 1048573, 1048574, 1048575, 3000000]) length) v (value),
    LATERAL (VALUES ('text', sluice.content(value)), ('varchar', sluice.content(value::varchar)), ('json', sluice.content(value::json))) h (type, hash)
GROUP BY type ORDER BY type;

-- jsonb: the same for the same values however they were written

SELECT sluice.document_hash(a::jsonb) = sluice.document_hash(b::jsonb) AS same, a, b
FROM (VALUES
    (1, '{"a": 1, "b": [true, null]}', '{ "b":[true,null],   "a":1 }'),
    (2, '{"a": 2, "a": 1}', '{"a": 1}'),
    (3, '"\u0041"', '"A"'),
    (4, '1e2', '100'),
    (5, '{"a": 1}', '{"a": 1.0}'),
    (6, '{"a": 1}', '{"a": "1"}'),
    (7, '{"a": 1}', '{"A": 1}'),
    (8, '[1, 2]', '[2, 1]'),
    (9, '[]', '{}'),
    (10, 'null', '[]'),
    (11, '{"a": null}', '{}')
) v (number, a, b) ORDER BY number;

-- equal jsonb values have equal hashes whatever made them

SELECT bool_and(sluice.document_hash(made) = sluice.document_hash(made::text::jsonb)) AS same, count(DISTINCT sluice.document_hash(made)) AS hashes
FROM generate_series(1, 500) n,
    LATERAL (VALUES (jsonb_build_object('n', n, 'list', to_jsonb(ARRAY[n, n * 1000000]), 'text', repeat('x', n % 7))),
        (jsonb_set('{"b": 0, "a": {"deep": []}}', '{a,deep}', to_jsonb(n / 8.0))),
        ('{"a": 1}' || jsonb_build_object('key ' || n, NULL)),
        (jsonb_build_array(n, 'x', '{}', n / 8.0) - 1)) v (made);

-- content is document_hash as a uuid; null is no document, and not strict

SELECT replace(sluice.content(doc)::text, '-', '') = encode(sluice.document_hash(doc), 'hex') AS the_same, length(sluice.document_hash(doc)) AS bytes
FROM (SELECT '{"a": [1, 2.50, "x"]}'::jsonb) d (doc);
SELECT sluice.document_hash(NULL) IS NULL AS strict, sluice.content(NULL::jsonb) = sluice.content(NULL::json) AS fixed, sluice.content(NULL::jsonb) = sluice.content('null'::jsonb) AS is_json_null;
SELECT proname, provolatile, proisstrict, proparallel, procost FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace AND proname IN ('content', 'document_hash') ORDER BY proname;

-- however it is stored: inline, compressed, out of line

CREATE TABLE stored (id int, way text, doc jsonb, written text);
ALTER TABLE stored ALTER doc SET STORAGE plain, ALTER written SET STORAGE plain;
INSERT INTO stored SELECT n, 'plain', doc, doc::text FROM generate_series(0, 99) n,
    LATERAL (SELECT jsonb_build_object('id', n, 'text', repeat('text ' || n, n * 5)) AS doc OFFSET 0) d;
ALTER TABLE stored ALTER doc SET STORAGE main, ALTER written SET STORAGE main;
INSERT INTO stored SELECT id, 'main', (doc::text)::jsonb, written || '' FROM stored WHERE way = 'plain';
ALTER TABLE stored ALTER doc SET STORAGE external, ALTER written SET STORAGE external;
INSERT INTO stored SELECT id, 'external', (doc::text)::jsonb, written || '' FROM stored WHERE way = 'plain';
ALTER TABLE stored ALTER doc SET STORAGE extended, ALTER written SET STORAGE extended;
INSERT INTO stored SELECT id, 'extended', (doc::text)::jsonb, written || '' FROM stored WHERE way = 'plain';
SELECT stored.way, count(*), count(*) FILTER (WHERE pg_column_size(stored.doc) < pg_column_size(plain.doc) / 2) > 0 AS compressed,
    bool_and(sluice.document_hash(stored.doc) = sluice.document_hash(plain.doc) AND sluice.content(stored.doc) = sluice.content(plain.doc)) AS jsonb_the_same,
    bool_and(sluice.content(stored.written) = sluice.content(plain.written)) AS text_the_same
FROM stored JOIN stored plain USING (id) WHERE plain.way = 'plain' GROUP BY stored.way ORDER BY stored.way;
SELECT count(DISTINCT sluice.content(doc)), count(DISTINCT sluice.content(written)), count(DISTINCT doc) FROM stored;
SELECT pg_relation_size(reltoastrelid) > 0 AS out_of_line FROM pg_class WHERE oid = 'stored'::regclass;

-- in an index

CREATE INDEX ON stored (sluice.content(doc));
ANALYZE stored;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT FROM stored WHERE sluice.content(doc) = sluice.content('{"id": 0, "text": ""}'::jsonb);
SELECT id, way FROM stored WHERE sluice.content(doc) = sluice.content('{"id": 0, "text": ""}'::jsonb) ORDER BY way;
RESET enable_seqscan;
DROP TABLE stored;

-- a hasher outlives transactions: those that fail, and those within

BEGIN;
SELECT sluice.content('a'::text);
SAVEPOINT s;
SELECT sluice.content('a'::text), 1 / (sluice.content('b'::text) IS NULL)::int;
ROLLBACK TO s;
SELECT sluice.content('a'::text);
ROLLBACK;
SELECT sluice.content('a'::text);

-- a domain over documents is one; other types are not

CREATE DOMAIN some_json AS jsonb;
CREATE TABLE other (domain some_json, string text);
INSERT INTO other VALUES ('{"a": 1}', '{"a": 1}');
SELECT sluice.content(domain) = sluice.content('{"a": 1}'::jsonb) AS of_domain, sluice.content(domain) = sluice.content(string) AS as_text FROM other;
SELECT sluice.content(5);
SELECT sluice.content('abc');
SELECT sluice.content(NULL);
SELECT sluice.content('abc'::char(3));
SELECT sluice.content(ARRAY['{}'::jsonb]);
SELECT sluice.content(other) FROM other;
DROP TABLE other;
DROP DOMAIN some_json;
