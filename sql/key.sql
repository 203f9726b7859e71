-- Keys: documents that come again, in the modes upsert, skip, merge and replace, with newest_by.
--
-- Documents wait in stage, with the number of the run that is to find them. compare() makes the tables of a kind in the schema oracle,
-- where plain SQL over all of stage says what must be there at the end; then in the schema loaded, once for each way (directly, by
-- query) and each batch size (1, 2, 7, 1000), where a pipeline loads them run by run. It notes in verdict how the relations shown
-- differ from the oracle's: "equal", or for which ways what is more and what is missing. Rows are compared as text.
\set VERBOSITY terse
\pset footer off
SET client_min_messages = warning;

CREATE TABLE stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run int NOT NULL DEFAULT 1, doc jsonb);
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE verdict (number int GENERATED ALWAYS AS IDENTITY, kind text, rows bigint, outcome text);
CREATE VIEW result AS SELECT kind, rows, outcome FROM verdict ORDER BY number;

CREATE FUNCTION content(way text, shown text[]) RETURNS TABLE (name text, row_ text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH name IN ARRAY shown LOOP
        RETURN QUERY EXECUTE format('SELECT %L, t::text FROM %I.%I t', name, way, name);
    END LOOP;
END $$;
CREATE PROCEDURE build(way text, tables text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', way);
    PERFORM set_config('search_path', way || ', public', true);
    EXECUTE tables;
END $$;
-- load runs a pipeline over stage, a run after the other
CREATE PROCEDURE load(tables text, mapping text, by_query boolean, batch_size int) LANGUAGE plpgsql AS $$
DECLARE
    number int;
BEGIN
    CALL build('loaded', tables);
    TRUNCATE source RESTART IDENTITY;
    PERFORM sluice.create_shred('compared', 'source', 'doc', mapping::json);
    COMMIT;
    PERFORM set_config('sluice.test_by_query', by_query::text, false);
    FOR number IN SELECT DISTINCT run FROM stage ORDER BY 1 LOOP
        INSERT INTO source (doc) SELECT doc FROM stage WHERE run = number ORDER BY id;
        CALL sluice.run('compared', batch_size => batch_size);
    END LOOP;
    SET sluice.test_by_query = off;
END $$;
CREATE PROCEDURE unload() LANGUAGE plpgsql AS $$
BEGIN
    SET sluice.test_by_query = off;
    PERFORM sluice.drop_pipeline('compared');
    DROP SCHEMA loaded CASCADE;
    COMMIT;
END $$;
CREATE FUNCTION difference(shown text[]) RETURNS text LANGUAGE sql AS $$
    WITH loaded AS MATERIALIZED (SELECT * FROM content('loaded', shown)), oracle AS MATERIALIZED (SELECT * FROM content('oracle', shown))
    SELECT coalesce(string_agg(format('%s %s %s', side, name, row_), '; ' ORDER BY side, name, row_ COLLATE "C"), 'equal')
    FROM (SELECT 'more' AS side, * FROM (TABLE loaded EXCEPT ALL TABLE oracle) more
          UNION ALL SELECT 'missing', * FROM (TABLE oracle EXCEPT ALL TABLE loaded) missing) s
$$;
CREATE PROCEDURE compare(kind text, tables text, mapping text, oracle text, shown text[] DEFAULT '{t}', sizes int[] DEFAULT '{1,2,7,1000}') LANGUAGE plpgsql AS $$
DECLARE
    size int;
    way boolean;
    outcomes text[];
BEGIN
    PERFORM sluice.drop_pipeline(pipeline) FROM sluice.status WHERE pipeline = 'compared';
    DROP SCHEMA IF EXISTS oracle, loaded CASCADE;
    CALL build('oracle', tables);
    EXECUTE oracle;
    COMMIT;
    FOREACH way IN ARRAY ARRAY[false, true] LOOP
        FOREACH size IN ARRAY sizes LOOP
            CALL load(tables, mapping, way, size);
            outcomes := outcomes || (CASE WHEN way THEN 'by query, ' ELSE '' END || 'batches of ' || size || ': ' || difference(shown));
            CALL unload();
        END LOOP;
    END LOOP;
    INSERT INTO verdict (kind, rows, outcome)
        SELECT kind, (SELECT count(*) FROM content('oracle', shown)),
               coalesce((SELECT string_agg(o, E'\n' ORDER BY n) FROM unnest(outcomes) WITH ORDINALITY u (o, n) WHERE o !~ ': equal$'), 'equal');
    DROP SCHEMA oracle CASCADE;
    COMMIT;
END $$;

-- take runs a pipeline over one more document and says what comes of it, if nothing good
CREATE PROCEDURE attempt(pipeline text) LANGUAGE plpgsql AS $$
DECLARE
    about text;
BEGIN
    CALL sluice.run(pipeline);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS about = CONSTRAINT_NAME;
    RAISE WARNING '%: % %', SQLSTATE, SQLERRM, about;
END $$;
CREATE PROCEDURE take(pipeline text, doc jsonb) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM source;
    INSERT INTO source (doc) VALUES (take.doc);
    COMMIT;
    CALL attempt(pipeline);
END $$;

-- ---- Modes: one table, many documents of few keys

INSERT INTO stage (run, doc)
    SELECT 1 + n / 25, jsonb_build_object('k', n * n % 11)
        || CASE n % 5 WHEN 0 THEN '{}' WHEN 1 THEN '{"v": null}' ELSE jsonb_build_object('v', n % 3) END
        || CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN '{"t": null}' WHEN 2 THEN '{"t": "none"}' ELSE jsonb_build_object('t', 't' || n) END
        || CASE n % 7 WHEN 0 THEN '{}' WHEN 1 THEN '{"at": null}' ELSE jsonb_build_object('at', '2024-01-' || 10 + n * 7 % 5) END
        || CASE n % 3 WHEN 0 THEN '{}' ELSE jsonb_build_object('d', n % 6 = 1, 'j', jsonb_build_array(n % 4)) END
    FROM generate_series(1, 90) n;
\set t 'CREATE TABLE t (k int PRIMARY KEY, v numeric DEFAULT 5.0, t text DEFAULT ''some'', at date, d boolean, j jsonb, n serial, twice numeric GENERATED ALWAYS AS (v * 2) STORED);'
CREATE FUNCTION mapping(more text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v", "t": "$.t", "at": "$.at", "d": "$.d", "j": "$.j"}' || more || '}}'
$$;
-- the serial of a key stays that of its first row; so its order is that in which keys came
\set shown 'CREATE VIEW shown AS SELECT k, v, t, at, d, j, twice, row_number() OVER (ORDER BY n) AS n FROM t;'
\set insert 'INSERT INTO t (k, v, t, at, d, j, n) SELECT k, (doc->>''v'')::numeric, doc->>''t'', (doc->>''at'')::date, (doc->>''d'')::boolean, doc->''j'', first'
\set last ' FROM (SELECT DISTINCT ON ((doc->>''k'')::int) (doc->>''k'')::int AS k, doc, first FROM stage, LATERAL (SELECT min(id) AS first FROM stage s WHERE s.doc->''k'' = stage.doc->''k'') f'
CALL compare('upsert', :'t' || :'shown', mapping(), :'insert' || :'last' || ' ORDER BY (doc->>''k'')::int, id DESC) s', '{shown}');
CALL compare('skip', :'t' || :'shown', mapping(', "mode": "skip"'), :'insert' || :'last' || ' ORDER BY (doc->>''k'')::int, id) s', '{shown}');
CALL compare('newest_by', :'t' || :'shown', mapping(', "newest_by": "at"'),
    :'insert' || :'last' || ' ORDER BY (doc->>''k'')::int, (doc->>''at'')::date DESC NULLS LAST, id DESC) s', '{shown}');
CALL compare('newest_by, text', :'t' || :'shown', mapping(', "newest_by": "t"'),
    :'insert' || :'last' || ' ORDER BY (doc->>''k'')::int, doc->>''t'' DESC NULLS LAST, id DESC) s', '{shown}');
-- merge: of each column what the last document said that said something
CREATE FUNCTION said(k int, member text, fallback jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN s.doc IS NULL THEN fallback #>> '{}' ELSE s.doc->>member END
    FROM (SELECT) d LEFT JOIN (SELECT doc FROM stage WHERE doc->'k' = to_jsonb(k) AND doc ? member ORDER BY id DESC LIMIT 1) s ON true
$$;
CALL compare('merge', :'t' || :'shown', mapping(', "mode": "merge"'), 'INSERT INTO t (k, v, t, at, d, j, n)
    SELECT k, said(k, ''v'', ''5.0'')::numeric, said(k, ''t'', ''"some"''), said(k, ''at'', NULL)::date, said(k, ''d'', NULL)::boolean, said(k, ''j'', NULL)::jsonb, min(id)
    FROM stage, LATERAL (SELECT (doc->>''k'')::int AS k) key GROUP BY k', '{shown}');
-- "default" and "null_if" of the mapping: an absent member is left alone, whatever "default" says; what null_if lists clears the column
CALL compare('merge, default and null_if', :'t', replace(replace(mapping(', "mode": "merge"'), '"$.v"', '{"path": "$.v", "default": -1}'), '"$.t"', '{"path": "$.t", "null_if": ["none"]}'),
    'INSERT INTO t (k, v, t, at, d, j, n)
    SELECT k, coalesce(said(k, ''v'', ''5.0'')::numeric, -1), nullif(said(k, ''t'', ''"some"''), ''none''), said(k, ''at'', NULL)::date, said(k, ''d'', NULL)::boolean, said(k, ''j'', NULL)::jsonb, 0
    FROM stage, LATERAL (SELECT (doc->>''k'')::int AS k) key GROUP BY k; ALTER TABLE t DROP n', '{t}');
TABLE result;
TRUNCATE verdict;

-- ---- Keys: of several columns, of all kinds of types

-- the columns of the index stand in another order than those of the mapping, with others beside them
CALL compare('three columns', 'CREATE TABLE t (x int, a int, gone int, b text, c date, d boolean, j jsonb); ALTER TABLE t DROP gone; CREATE UNIQUE INDEX ON t (c, a, b) INCLUDE (x);
    CREATE INDEX ON t (x); CREATE UNIQUE INDEX ON t (a, b, c) WHERE x > 1000; CREATE INDEX ON t USING hash (x)',
    '{"t": {"key": ["a", "b", "c"], "columns": {"a": {"path": "$.v", "default": -1}, "b": {"path": "$.t", "null_if": ["none"], "default": ""}, "c": {"path": "$.at", "default": "2000-01-01"}, "x": "#source.id", "d": "$.d"}}}',
    'INSERT INTO t (x, a, b, c, d) SELECT DISTINCT ON (2, 3, 4) id, coalesce((doc->>''v'')::int, -1), coalesce(nullif(doc->>''t'', ''none''), ''''),
         coalesce((doc->>''at'')::date, ''2000-01-01''), (doc->>''d'')::boolean FROM stage ORDER BY 2, 3, 4, id DESC');

-- one row for each of the values of `keys`, several documents each
CREATE PROCEDURE key_type(kind text, type text, keys text[], written text DEFAULT 'text') LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE kept AS TABLE stage;
    TRUNCATE stage;
    EXECUTE format('INSERT INTO stage (run, doc) SELECT n / 3, jsonb_build_object(''k'', k::%s, ''v'', n) FROM generate_series(1, 8) n, unnest(%L::text[]) WITH ORDINALITY u (k, o) ORDER BY n, o', written, keys);
    CALL compare(kind, format('CREATE TABLE t (v int, k %s PRIMARY KEY)', type), '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}}',
        'INSERT INTO t SELECT v, k FROM (SELECT DISTINCT ON (k) k, v, id FROM (SELECT id, (jsonb_populate_record(NULL::t, doc)).* FROM stage) s ORDER BY k, id DESC) s', sizes => '{2,1000}');
    DELETE FROM stage;
    INSERT INTO stage OVERRIDING SYSTEM VALUE TABLE kept;
    DROP TABLE kept;
    COMMIT;
END $$;
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CALL key_type('text', 'text', '{a,A,"",ä,"a "}');
CALL key_type('char', 'char(3)', '{a,abc,b}');
CALL key_type('varchar', 'varchar(10)', '{a,abc,b}');
CALL key_type('domain over text', 'code', '{a,A,b}');
CALL key_type('domain over int', 'positive', '{1,2,3}');
CALL key_type('enum', 'mood', '{happy,sad}');
CALL key_type('numeric', 'numeric', '{1,2.5,1000000000000000000000000,NaN}');
CALL key_type('double precision', 'double precision', '{0,1e300,NaN,-Infinity}');
CALL key_type('uuid', 'uuid', '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}');
CALL key_type('timestamptz', 'timestamptz', '{2024-01-01T00:00:00Z,2024-01-01T00:00:00+01:00}');
CALL key_type('interval', 'interval', '{1 day,1 month}');
CALL key_type('bytea', 'bytea', '{\\x01,\\x0102}');
CALL key_type('array', 'int[]', '{"[1,2]","[2,1]",[]}', 'jsonb');
CALL key_type('range', 'int4range', '{"[1,3)","[2,3)",empty}');
CALL key_type('jsonb', 'jsonb', '{1,"{\"a\": 1}"}');
CALL key_type('inet', 'inet', '{10.0.0.1,::1}');
TABLE result;
TRUNCATE verdict;

-- equal, though written otherwise: the key stays as it was first, whichever way the row is written
TRUNCATE stage RESTART IDENTITY;
INSERT INTO stage (run, doc) VALUES (1, '{"k": 1.0, "v": 1.0}'), (1, '{"k": 2.0, "v": 1}'), (2, '{"k": 1.00, "v": 1.00}'), (2, '{"k": 2, "v": 2}'), (2, '{"k": 3.0, "v": 1}'), (2, '{"k": 3, "v": 2}');
CALL compare('equal numbers', 'CREATE TABLE t (k numeric PRIMARY KEY, v numeric)', '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}}',
    'INSERT INTO t VALUES (1.0, 1.00), (2.0, 2), (3.0, 2)');
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AND getdatabaseencoding() = 'UTF8' AS icu \gset
\if :icu
    CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
    INSERT INTO verdict (kind, rows, outcome) VALUES ('equal texts', 3, 'equal');
\endif
UPDATE stage SET doc = jsonb_build_object('k', (ARRAY['a', 'b', 'A', 'B', 'c', 'C'])[id], 'v', id);
\if :icu
    CALL compare('equal texts', 'CREATE TABLE t (k text COLLATE caseless PRIMARY KEY, v numeric)', '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}}',
        'INSERT INTO t VALUES (''a'', 3), (''b'', 4), (''c'', 6)');
\endif
TABLE result;
TRUNCATE verdict;
-- a null in the key
SELECT sluice.drop_pipeline(pipeline) FROM sluice.status;
CREATE TABLE t (a int, b text, v int, UNIQUE (a, b));
SELECT sluice.create_shred('null', 'source', 'doc', '{"t": {"key": ["b", "a"], "columns": {"a": "$.a", "b": {"path": "$.b", "null_if": ["none"]}, "v": "$.v"}}}');
CALL take('null', '{"a": 1, "v": 1}');
CALL take('null', '{"a": 1, "b": "none"}');
CALL take('null', '{"b": "x"}');
SET sluice.test_by_query = on;
CALL take('null', '{"b": null, "a": 1}');
RESET sluice.test_by_query;
TABLE t;
SELECT sluice.drop_pipeline('null');
DROP TABLE t;

-- ---- Children: with a key, and replaced; those below them; links by serial and by mapped column

-- Orders with lines (a key of their own), parts of lines (replaced with the line), notes (replaced) and their words (replaced with
-- the notes), foreign keys between all of them. The oracle takes what the last document of an order says, and of its lines.
TRUNCATE stage RESTART IDENTITY;
INSERT INTO stage (run, doc)
    SELECT 1 + n / 20, jsonb_build_object('k', n * n % 11, 't', 'text ' || n % 3)
        || CASE n % 6 WHEN 0 THEN '{}' WHEN 1 THEN '{"lines": null}' ELSE jsonb_build_object('lines', (
               SELECT coalesce(jsonb_agg(jsonb_build_object('l', l, 'v', n * l % 5, 'parts', (SELECT coalesce(jsonb_agg(p * n), '[]') FROM generate_series(1, (n + l) % 3) p))), '[]')
               FROM generate_series(1, n % 4) l)) END
        || CASE n % 5 WHEN 0 THEN '{}' WHEN 1 THEN '{"notes": null}' ELSE jsonb_build_object('notes', (
               SELECT coalesce(jsonb_agg(jsonb_build_object('s', 'note ' || s * n, 'words', (SELECT coalesce(jsonb_agg('word ' || w), '[]') FROM generate_series(1, (n + s) % 3) w))), '[]')
               FROM generate_series(1, n % 4) s)) END
    FROM generate_series(1, 70) n;
-- what the last document of each key said of it, of its lines
CREATE VIEW orders AS SELECT DISTINCT ON (doc->'k') (doc->>'k')::int AS k, id, doc FROM stage ORDER BY doc->'k', id DESC;
CREATE VIEW order_lines AS
    SELECT DISTINCT ON (doc->'k', line->'l') (doc->>'k')::int AS k, (line->>'l')::int AS l, line
    FROM stage, jsonb_path_query(doc, '$.lines[*] ? (@ != null)') line ORDER BY doc->'k', line->'l', id DESC;
CREATE VIEW said_notes AS SELECT DISTINCT ON (doc->'k') (doc->>'k')::int AS k, doc FROM stage WHERE doc ? 'notes' ORDER BY doc->'k', id DESC;
CREATE VIEW first_orders AS SELECT DISTINCT ON (doc->'k') (doc->>'k')::int AS k, doc FROM stage ORDER BY doc->'k', id;
CREATE VIEW first_lines AS SELECT k, (line->>'l')::int AS l, line FROM first_orders, jsonb_path_query(doc, '$.lines[*] ? (@ != null)') line;
SELECT $$
    CREATE TABLE o (id serial PRIMARY KEY, k int UNIQUE, t text);
    CREATE TABLE line (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, o int NOT NULL REFERENCES o, l int, v int, UNIQUE (l, o));
    CREATE TABLE part (line int NOT NULL REFERENCES line, p int);
    CREATE TABLE note (id serial PRIMARY KEY, o int NOT NULL REFERENCES o, s text);
    CREATE TABLE word (note int REFERENCES note, w text);
    CREATE INDEX ON part (line); CREATE INDEX ON note (o); CREATE INDEX ON word (note);
    CREATE VIEW lines AS SELECT k, t, l, v FROM o LEFT JOIN line ON o.id = line.o; CREATE VIEW parts AS SELECT k, l, p FROM part JOIN line ON line.id = line JOIN o ON o.id = line.o;
    CREATE VIEW notes AS SELECT k, s FROM note JOIN o ON o.id = note.o; CREATE VIEW words AS SELECT k, s, w FROM word JOIN note ON note.id = note JOIN o ON o.id = note.o;
$$ AS by_serial \gset
CREATE FUNCTION order_mapping() RETURNS text LANGUAGE sql AS $$ SELECT '{
    "word": {"parent": "note", "each": "@.words[*]", "columns": {"note": "parent.id", "w": "@"}},
    "line": {"parent": "o", "each": "$.lines[*]", "key": ["o", "l"], "columns": {"o": "parent.id", "l": "@.l", "v": "@.v"}},
    "part": {"parent": "line", "each": "@.parts[*]", "columns": {"line": "parent.id", "p": "@"}},
    "o":    {"key": "k", "columns": {"k": "$.k", "t": "$.t"}},
    "note": {"parent": "o", "each": "$.notes[*]", "mode": "replace", "columns": {"o": "parent.id", "s": "@.s"}} }'
$$;
SELECT $$
    INSERT INTO o (k, t) SELECT k, doc->>'t' FROM orders;
    INSERT INTO line (o, l, v) SELECT o.id, l, (line->>'v')::int FROM order_lines JOIN o USING (k);
    INSERT INTO part SELECT line.id, p::int FROM order_lines JOIN o USING (k) JOIN line ON line.o = o.id AND line.l = order_lines.l, jsonb_array_elements_text(order_lines.line->'parts') p;
    INSERT INTO note (o, s) SELECT o.id, said->>'s' FROM orders JOIN o USING (k), jsonb_path_query(doc, '$.notes[*] ? (@ != null)') said;
    INSERT INTO word SELECT note.id, w FROM orders JOIN o USING (k), jsonb_path_query(doc, '$.notes[*] ? (@ != null)') said JOIN note ON note.s = said->>'s', jsonb_array_elements_text(said->'words') w WHERE note.o = o.id
$$ AS order_oracle \gset
CALL compare('links by serial', :'by_serial', order_mapping(), :'order_oracle', '{lines,parts,notes,words}');
CALL compare('links by mapped columns', 'CREATE TABLE o (k int PRIMARY KEY, t text);
    CREATE TABLE line (k int REFERENCES o, l int, v int, PRIMARY KEY (k, l)); CREATE TABLE part (k int, l int, p int, FOREIGN KEY (k, l) REFERENCES line);
    CREATE TABLE note (k int REFERENCES o, s text, UNIQUE (k, s)); CREATE TABLE word (k int, s text, w text, FOREIGN KEY (k, s) REFERENCES note (k, s));
    CREATE INDEX ON part (k, l); CREATE INDEX ON word (k, s)', '{
    "o":    {"key": "k", "columns": {"k": "$.k", "t": "$.t"}},
    "line": {"parent": "o", "each": "$.lines[*]", "key": ["k", "l"], "columns": {"k": "parent.k", "l": "@.l", "v": "@.v"}},
    "part": {"parent": "line", "each": "@.parts[*]", "columns": {"k": "parent.k", "l": "parent.l", "p": "@"}},
    "note": {"parent": "o", "each": "$.notes[*]", "columns": {"k": "parent.k", "s": "@.s"}},
    "word": {"parent": "note", "each": "@.words[*]", "columns": {"k": "parent.k", "s": "parent.s", "w": "@"}} }',
    'INSERT INTO o SELECT k, doc->>''t'' FROM orders; INSERT INTO line SELECT k, l, (line->>''v'')::int FROM order_lines;
     INSERT INTO part SELECT k, l, p::int FROM order_lines, jsonb_array_elements_text(line->''parts'') p;
     INSERT INTO note SELECT k, said->>''s'' FROM orders, jsonb_path_query(doc, ''$.notes[*] ? (@ != null)'') said;
     INSERT INTO word SELECT k, said->>''s'', w FROM orders, jsonb_path_query(doc, ''$.notes[*] ? (@ != null)'') said, jsonb_array_elements_text(said->''words'') w', '{o,line,part,note,word}');
-- merge: lines, parts and notes of which the document says nothing stay; null is something
CALL compare('merge', :'by_serial', replace(replace(order_mapping(), '"key": "k"', '"mode": "merge", "key": "k"'), '"key": ["o"', '"mode": "merge", "key": ["o"'),
    replace(:'order_oracle', 'FROM orders JOIN', 'FROM said_notes JOIN'),
    '{lines,parts,notes,words}');
-- skip: only the first document of an order
CALL compare('skip', :'by_serial', replace(order_mapping(), '"key": "k"', '"mode": "skip", "key": "k"'), replace(replace(:'order_oracle', 'orders', 'first_orders'), 'order_lines', 'first_lines'),
    '{lines,parts,notes,words}');
-- append: notes of each document stay
CALL compare('append', :'by_serial', replace(replace(order_mapping(), '"replace"', '"append"'), '"note", "each": "@.words', '"note", "mode": "append", "each": "@.words'),
    replace(:'order_oracle', 'FROM orders JOIN', 'FROM (SELECT (doc->>''k'')::int AS k, doc FROM stage) a JOIN'), '{lines,parts,notes}');
TABLE result;
CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := upper(NEW.t); RETURN NEW; END $$;
CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION is_fine(v int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN v > 0; END $$;
TRUNCATE verdict;

-- a line that goes from one order to another takes its parts along; a link that goes from one parent to another
TRUNCATE stage RESTART IDENTITY;
INSERT INTO stage (run, doc) VALUES
    (1, '{"k": 1, "link": "a", "lines": [{"l": 1, "parts": [1, 2]}, {"l": 2, "parts": [3]}], "notes": [{"s": "x", "words": ["x"]}]}'),
    (2, '{"k": 1, "link": "b", "lines": [{"l": 2, "parts": [4]}], "notes": [{"s": "y", "words": ["y"]}, {"s": "yy"}]}'),
    (2, '{"k": 2, "link": "a", "lines": [{"l": 1, "parts": [5]}], "notes": [{"s": "z", "words": ["z", "zz"]}]}'),
    (2, '{"k": 1, "link": "c", "lines": [{"l": 3}, {"l": 3, "parts": [6]}, {"l": 4, "parts": [7]}], "notes": [{"s": "u", "words": ["u"]}]}'),
    (2, '{"k": 3, "link": "b", "lines": [{"l": 4, "parts": [8]}]}');
CALL compare('lines that move', :'by_serial' || 'ALTER TABLE line DROP CONSTRAINT line_l_o_key, ADD UNIQUE (l)', replace(order_mapping(), '["o", "l"]', '"l"'),
    'INSERT INTO o (k) VALUES (1), (2), (3); INSERT INTO line (o, l) VALUES (2, 1), (1, 2), (1, 3), (3, 4); INSERT INTO part VALUES (1, 5), (2, 4), (3, 6), (4, 8);
     INSERT INTO note (o, s) VALUES (1, ''u''), (2, ''z''); INSERT INTO word VALUES (1, ''u''), (2, ''z''), (2, ''zz'')', '{lines,parts,notes,words}');
CALL compare('links that move', 'CREATE TABLE o (k int PRIMARY KEY, link text UNIQUE DEFERRABLE); CREATE TABLE note (link text, s text); CREATE TABLE word (s text, w text); CREATE INDEX ON note (link); CREATE INDEX ON word (s)', '{
    "note": {"parent": "o", "each": "$.notes[*]", "columns": {"link": "parent.link", "s": "@.s"}},
    "word": {"parent": "note", "each": "@.words[*]", "columns": {"s": "parent.s", "w": "@"}},
    "o":    {"key": "k", "columns": {"k": "$.k", "link": "$.link"}}}',
    'INSERT INTO o VALUES (1, ''c''), (2, ''a''), (3, ''b''); INSERT INTO note VALUES (''c'', ''u''), (''a'', ''z''); INSERT INTO word VALUES (''u'', ''u''), (''z'', ''z''), (''z'', ''zz'')', '{o,note,word}');
-- a link that is null finds nothing
UPDATE stage SET doc = doc - 'link', run = id WHERE id < 4;
UPDATE stage SET run = 4 WHERE id > 3;
CALL compare('links that come and go', 'CREATE TABLE o (k int PRIMARY KEY, link text); CREATE TABLE note (link text, s text); CREATE INDEX ON note (link)', '{
    "note": {"parent": "o", "each": "$.notes[*]", "columns": {"link": "parent.link", "s": "@.s"}},
    "o":    {"key": "k", "columns": {"k": "$.k", "link": "$.link"}}}',
    'INSERT INTO o VALUES (1, ''c''), (2, NULL), (3, ''b''); INSERT INTO note VALUES (NULL, ''x''), (NULL, ''y''), (NULL, ''yy''), (NULL, ''z''), (''c'', ''u'')', '{o,note}');
-- documents so large that a batch writes its rows half-way, several times
TRUNCATE stage RESTART IDENTITY;
INSERT INTO stage (doc) SELECT jsonb_build_object('k', n % 3, 't', repeat('x', 3000000) || n, 'notes', jsonb_build_array(jsonb_build_object('s', 'n' || n, 'words', '["w"]'::jsonb))) FROM generate_series(1, 30) n;
CALL compare('large', :'by_serial', order_mapping(), 'INSERT INTO o (k, t) SELECT k, doc->>''t'' FROM orders; INSERT INTO note (o, s) SELECT id, ''n'' || 27 + CASE k WHEN 0 THEN 3 ELSE k END FROM o; INSERT INTO word SELECT id, ''w'' FROM note', '{lines,notes,words}', '{1000}');
TABLE result;
TRUNCATE verdict;

-- ---- Tables of all kinds

TRUNCATE stage RESTART IDENTITY;
INSERT INTO stage (run, doc) SELECT 1 + n / 20, jsonb_build_object('k', n * n % 13, 'v', n, 't', 't' || n % 3, 'notes', jsonb_build_array(n, n + 1)) FROM generate_series(1, 60) n;
CREATE FUNCTION kinds() RETURNS text LANGUAGE sql AS $$ SELECT '{
    "t": {"key": "k", "columns": {"k": "$.k", "v": "$.v", "t": "$.t"}}, "note": {"parent": "t", "each": "$.notes[*]", "columns": {"k": "parent.k", "s": "@"}}}' $$;
\set kinds 'INSERT INTO t (k, v, t) SELECT k, (doc->>''v'')::int, doc->>''t'' FROM orders; INSERT INTO note (k, s) SELECT k, n::text FROM orders, jsonb_array_elements_text(doc->''notes'') n;'
\set note 'CREATE TABLE note (s text, k int); CREATE INDEX ON note (k);'
\set parts 'CREATE TABLE t (v int, k int PRIMARY KEY, t text, more int DEFAULT 3, up text GENERATED ALWAYS AS (upper(t)) STORED) PARTITION BY RANGE (k); CREATE TABLE t_0 PARTITION OF t DEFAULT; CREATE TABLE t_1 (up text GENERATED ALWAYS AS (upper(t)) STORED, more int DEFAULT 3, gone int, t text, k int NOT NULL, v int); ALTER TABLE t_1 DROP gone; CREATE UNIQUE INDEX ON t_1 (k); ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES FROM (3) TO (6); CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (6) TO (9) PARTITION BY LIST (k); CREATE TABLE t_2_0 PARTITION OF t_2 FOR VALUES IN (6, 7); CREATE TABLE t_2_1 PARTITION OF t_2 DEFAULT; CREATE VIEW rows AS SELECT (SELECT relname FROM pg_class c WHERE c.oid = t.tableoid) AS leaf, k, v, t, more, up FROM t;'
CALL compare('partitions', :'parts' || :'note', kinds(), :'kinds', '{rows,note}');
CALL compare('partitioned by another column of the key', 'CREATE TABLE t (k int, t text, v int, PRIMARY KEY (t, k)) PARTITION BY LIST (t); CREATE TABLE t_0 PARTITION OF t FOR VALUES IN (''t0''); CREATE TABLE t_1 (v int, t text NOT NULL, k int NOT NULL); ALTER TABLE t ATTACH PARTITION t_1 DEFAULT;',
    '{"t": {"key": ["k", "t"], "columns": {"k": "$.k", "v": "$.v", "t": "$.t"}}}', 'INSERT INTO t (k, t, v) SELECT (doc->>''k'')::int, doc->>''t'', max((doc->>''v'')::int) FROM stage GROUP BY 1, 2', '{t_0,t_1}');
CALL compare('replaced in partitions', 'CREATE TABLE t (k int PRIMARY KEY, v int, t text); CREATE TABLE note (k int, s text) PARTITION BY HASH (s); CREATE TABLE note_0 PARTITION OF note FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE note_1 (s text, k int); ALTER TABLE note ATTACH PARTITION note_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1); CREATE INDEX ON note (k);',
    kinds(), :'kinds', '{t,note_0,note_1}');
CALL compare('a row trigger of one partition', :'parts' || :'note' || 'CREATE TRIGGER louder BEFORE INSERT OR UPDATE ON t_1 FOR EACH ROW EXECUTE FUNCTION public.louder();', kinds(), :'kinds', '{rows,note}');
CALL compare('triggers before each row', 'CREATE TABLE t (k int PRIMARY KEY, v int, t text); CREATE TRIGGER louder BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION public.louder();',
    regexp_replace(kinds(), ', "note": .*', '}'), split_part(:'kinds', ';', 1));
CALL compare('triggers before each update, and before each note', 'CREATE TABLE t (k int PRIMARY KEY, v int, t text);' || :'note' || 'CREATE TRIGGER same BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); CREATE TRIGGER same BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION public.same();', kinds(), :'kinds', '{t,note}');
CALL compare('functions in checks', 'CREATE TABLE t (k int PRIMARY KEY, v int CHECK (public.is_fine(v)), t text);' || :'note', kinds(), :'kinds', '{t,note}');
CALL compare('a view takes what is replaced', 'CREATE TABLE t (k int PRIMARY KEY, v int, t text); CREATE TABLE notes (k int, s text, on_ date DEFAULT ''2000-01-01''); CREATE VIEW note AS SELECT s, k FROM notes;', kinds(), :'kinds', '{t,note,notes}');
CALL compare('domains', 'CREATE TABLE t (k int PRIMARY KEY, v public.positive, t public.code DEFAULT ''none'', d public.code NOT NULL DEFAULT ''d'');' || :'note', kinds(), :'kinds', '{t,note}');
CALL compare('unlogged', 'CREATE UNLOGGED TABLE t (k int PRIMARY KEY, v int, t text);' || :'note', kinds(), :'kinds', '{t,note}');
TABLE result;
TRUNCATE verdict;

-- ---- What is written, and what is not

-- load_now runs a pipeline over these documents
CREATE PROCEDURE load_now(pipeline text, VARIADIC docs jsonb[]) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO source (doc) SELECT d FROM unnest(docs) WITH ORDINALITY u (d, n) ORDER BY n;
    COMMIT;
    CALL sluice.run(pipeline);
END $$;
CREATE VIEW counts AS SELECT batches, source_rows, inserted, updated, deleted FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
CREATE TABLE t (k int PRIMARY KEY, v numeric, t text);
CREATE TABLE note (k int REFERENCES t, s text);
SELECT sluice.create_shred('p', 'source', 'doc', kinds()::json);
CREATE INDEX ON note (k);
CALL load_now('p', '{"k": 1, "v": 1, "t": "a", "notes": [1, 2]}', '{"k": 2, "v": 2, "notes": [3]}', '{"k": 1, "v": 1, "t": "b", "notes": [4]}');
TABLE counts;
SELECT k, xmin AS x1 FROM t WHERE k = 1 \gset
-- rows that stay as they are, rows that change in what is no equality: 2 and 2.0; notes come again
CALL load_now('p', '{"k": 1, "v": 1, "t": "b", "notes": [4]}', '{"k": 2, "v": 2.0}', '{"k": 3}', '{"k": 3, "v": 1, "notes": [5, 6]}', '{"k": 3, "v": 1, "notes": [7]}');
TABLE counts;
SELECT k, xmin = :x1::text::xid AS same, v, t, (SELECT string_agg(s, ',' ORDER BY s) FROM note WHERE note.k = t.k) AS notes FROM t ORDER BY k;
CALL load_now('p', '{"k": 2, "v": 3}', '{"k": 1}', '{"k": 1, "v": 1, "t": "c"}', '{"k": 1, "v": 1, "t": "d"}');
TABLE counts;
SELECT sluice.drop_pipeline('p');
SELECT sluice.create_shred('p', 'source', 'doc', (replace(kinds(), '"key"', '"mode": "skip", "key"'))::json);
CALL sluice.run('p');
TABLE counts;
SELECT sluice.drop_pipeline('p');
TRUNCATE t, note;
-- the same by query
SELECT sluice.create_shred('p', 'source', 'doc', (replace(kinds(), '"key"', '"mode": "merge", "key"'))::json);
SET sluice.test_by_query = on;
CALL sluice.run('p');
TABLE counts;
SELECT sum(xmin::text::bigint) AS x1 FROM t \gset
CALL load_now('p', '{"k": 1, "v": 1}', '{"k": 2}', '{"k": 3, "notes": [8]}');
TABLE counts;
RESET sluice.test_by_query;
SELECT sum(xmin::text::bigint) = :x1 AS same FROM t;
SELECT k, v, t, (SELECT string_agg(s, ',' ORDER BY s) FROM note WHERE note.k = t.k) AS notes FROM t ORDER BY k;
SELECT sluice.drop_pipeline('p');
DROP TABLE t, note;
TRUNCATE source RESTART IDENTITY;

-- ---- Triggers: what fires is what INSERT ... ON CONFLICT DO UPDATE fires

CREATE TABLE log (way text, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line text := concat_ws(' ', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP);
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        line := concat_ws(' ', line, CASE WHEN TG_OP <> 'INSERT' THEN 'old ' || OLD::text END, 'new ' || NEW::text, TG_TABLE_NAME);
    ELSIF TG_NAME = 'old_new' THEN
        line := concat_ws(' ', line, 'old', (SELECT string_agg(o::text, ' ' ORDER BY k) FROM olds o), 'new', (SELECT string_agg(n::text, ' ' ORDER BY k) FROM news n));
    ELSIF TG_NAME = 'new' THEN
        line := concat_ws(' ', line, (SELECT string_agg(n::text, ' ' ORDER BY k) FROM news n));
    END IF;
    INSERT INTO public.log VALUES (TG_TABLE_SCHEMA, line);
    RETURN CASE WHEN TG_LEVEL = 'ROW' THEN NEW END;
END $$;
CREATE PROCEDURE fire(kind text, tables text, mapping text DEFAULT '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}}', conflict text DEFAULT 'UPDATE SET v = excluded.v') LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    TRUNCATE stage, log, source RESTART IDENTITY;
    INSERT INTO stage (run, doc) SELECT run, jsonb_build_object('k', k, 'v', run * 100 + k) FROM generate_series(1, 2) run, generate_series(run, run * 3) k;
    CALL build('oracle', tables);
    FOR run IN 1..2 LOOP
        EXECUTE format('INSERT INTO t (k, v) SELECT (doc->>''k'')::int, (doc->>''v'')::int FROM public.stage WHERE run = %s ORDER BY id ON CONFLICT (k) DO %s', run, conflict);
    END LOOP;
    PERFORM set_config('search_path', 'public', true);
    COMMIT;
    CALL load(tables, mapping, false, 1000);
    SELECT coalesce(string_agg(format('%s %s', side, line), E'\n' ORDER BY side, line), 'equal') INTO outcome
    FROM (SELECT 'more' AS side, * FROM (SELECT line FROM log WHERE way = 'loaded' EXCEPT ALL SELECT line FROM log WHERE way = 'oracle') more
          UNION ALL SELECT 'missing', * FROM (SELECT line FROM log WHERE way = 'oracle' EXCEPT ALL SELECT line FROM log WHERE way = 'loaded') missing) s;
    INSERT INTO verdict (kind, rows, outcome) SELECT kind, (SELECT count(*) FROM log WHERE way = 'oracle'), concat_ws(E'\n', outcome, nullif(difference('{t}'), 'equal'));
    CALL unload();
    DROP SCHEMA oracle CASCADE;
    COMMIT;
END $$;
\set plain 'CREATE TABLE t (k int PRIMARY KEY, v int);'
\set leafs 'CREATE TABLE t (k int PRIMARY KEY, v int) PARTITION BY RANGE (k); CREATE TABLE t_0 PARTITION OF t DEFAULT; CREATE TABLE t_1 (v int, k int NOT NULL); ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES FROM (2) TO (4);'
\set after_row 'CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION public.note();'
\set before_row 'CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION public.note();'
\set statement 'CREATE TRIGGER before BEFORE INSERT OR UPDATE ON t EXECUTE FUNCTION public.note(); CREATE TRIGGER after AFTER INSERT OR UPDATE ON t EXECUTE FUNCTION public.note();'
\set tables 'CREATE TRIGGER old_new AFTER UPDATE ON t REFERENCING OLD TABLE olds NEW TABLE news EXECUTE FUNCTION public.note(); CREATE TRIGGER new AFTER INSERT ON t REFERENCING NEW TABLE news EXECUTE FUNCTION public.note();'
\set of_column 'CREATE TRIGGER of_v AFTER UPDATE OF v ON t FOR EACH ROW EXECUTE FUNCTION public.note(); CREATE TRIGGER of_k AFTER UPDATE OF k ON t FOR EACH ROW EXECUTE FUNCTION public.note(); CREATE TRIGGER statement_of_v AFTER UPDATE OF v ON t EXECUTE FUNCTION public.note(); CREATE TRIGGER statement_of_k AFTER UPDATE OF k ON t EXECUTE FUNCTION public.note();'
\set conditions 'CREATE TRIGGER old_less AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.v < NEW.v AND OLD.k <> 2) EXECUTE FUNCTION public.note(); CREATE TRIGGER odd AFTER INSERT ON t FOR EACH ROW WHEN (NEW.k % 2 = 1) EXECUTE FUNCTION public.note();'
CALL fire('after each row', :'plain' || :'after_row');
CALL fire('before each row', :'plain' || :'before_row');
CALL fire('statement', :'plain' || :'statement');
CALL fire('transition tables', :'plain' || :'tables');
CALL fire('of columns', :'plain' || :'of_column');
CALL fire('conditions', :'plain' || :'conditions');
CALL fire('all', :'plain' || :'after_row' || :'before_row' || :'statement' || :'tables' || :'of_column' || :'conditions');
CALL fire('all but those before each row', :'plain' || :'after_row' || :'statement' || :'tables' || :'of_column' || :'conditions');
CALL fire('all, skip', :'plain' || :'after_row' || :'statement' || :'tables' || :'conditions', '{"t": {"key": "k", "mode": "skip", "columns": {"k": "$.k", "v": "$.v"}}}', 'NOTHING');
CALL fire('partitions, after each row', :'leafs' || :'after_row');
CALL fire('partitions, all', :'leafs' || :'after_row' || :'statement' || :'tables' || :'of_column' || :'conditions');
CALL fire('partitions, all, before each row', :'leafs' || :'after_row' || :'before_row' || :'statement' || :'tables' || :'of_column' || :'conditions');
TABLE result;
TRUNCATE verdict;

-- ---- Errors of an update are those of INSERT ... ON CONFLICT DO UPDATE, and leave nothing behind

CREATE TABLE t (k int PRIMARY KEY, v int CHECK (v < 100), t text NOT NULL DEFAULT 'a', u int UNIQUE, d positive, f int REFERENCES t DEFERRABLE, g int GENERATED ALWAYS AS (1000 / v) STORED);
CREATE TABLE note (k int REFERENCES t, s text CHECK (s <> ''), n int);
INSERT INTO t VALUES (1, 1, 'a', 1), (2, 2, 'a', 2);
INSERT INTO note VALUES (1, 'first');
CREATE INDEX ON note (k);
SELECT sluice.create_shred('p', 'source', 'doc', '{"t": {"key": "k", "mode": "merge", "columns": {"k": "$.k", "v": "$.v", "t": "$.t", "u": "$.u", "d": "$.d", "f": "$.f"}},
    "note": {"parent": "t", "each": "$.notes[*]", "columns": {"k": "parent.k", "s": "@.s", "n": "@.n"}}}');
CREATE PROCEDURE both_ways(doc jsonb) LANGUAGE plpgsql AS $$
BEGIN
    CALL take('p', doc);
    SET sluice.test_by_query = on;
    CALL take('p', doc);
    RESET sluice.test_by_query;
END $$;
CREATE PROCEDURE fails(statement text) LANGUAGE plpgsql AS $$
DECLARE
    about text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS about = CONSTRAINT_NAME;
    RAISE WARNING '%: % %', SQLSTATE, SQLERRM, about;
END $$;
CALL both_ways('{"k": 1, "v": 100}');
CALL fails('UPDATE t SET v = 100 WHERE k = 1');
CALL both_ways('{"k": 1, "t": null}');
CALL fails('UPDATE t SET t = NULL WHERE k = 1');
CALL both_ways('{"k": 1, "u": 2}');
CALL fails('UPDATE t SET u = 2 WHERE k = 1');
CALL both_ways('{"k": 1, "d": 0}');
CALL fails('UPDATE t SET d = 0 WHERE k = 1');
CALL both_ways('{"k": 1, "f": 5}');
CALL fails('UPDATE t SET f = 5 WHERE k = 1; SET CONSTRAINTS ALL IMMEDIATE');
CALL both_ways('{"k": 1, "v": 0}');
CALL fails('UPDATE t SET v = 0 WHERE k = 1');
CALL both_ways('{"k": 1, "notes": [{"s": "x", "n": 1}, {"s": ""}]}');
CALL both_ways('{"k": 1, "notes": [{"s": "x", "n": "y"}]}');
TABLE t ORDER BY k;
TABLE note;
SELECT sluice.drop_pipeline('p');
-- rows that refer to a replaced one keep it
ALTER TABLE note ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
CREATE TABLE reader (note int REFERENCES note);
INSERT INTO reader SELECT id FROM note;
SELECT sluice.create_shred('p', 'source', 'doc', '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}, "note": {"parent": "t", "each": "$.notes[*]", "columns": {"k": "parent.k", "s": "@"}}}');
CALL both_ways('{"k": 1, "v": 1, "notes": ["x"]}');
TABLE note;
ALTER TABLE reader DROP CONSTRAINT reader_note_fkey, ADD FOREIGN KEY (note) REFERENCES note ON DELETE CASCADE;
CALL take('p', '{"k": 1, "v": 1, "notes": ["x"]}');
SELECT k, s, (SELECT count(*) FROM reader) AS readers FROM note;
SELECT sluice.drop_pipeline('p');
DROP TABLE reader, note, t;

-- ---- Sources: text and json, where the last of duplicate members wins; documents delivered again

CREATE TABLE t (k int PRIMARY KEY, v text, j jsonb);
CREATE TABLE lines (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text, json json);
INSERT INTO lines (doc) VALUES ('{"k": 1, "v": "a", "v": "b", "j": {"x": 1.0}}'), ('{"k": 2, "v": "c"}'), ('{"v": "d", "k": 1, "j": {"x":1.0}}'), (NULL), ('{"k": 2, "k": 3, "v": null}'), ('{"j": [], "k": 2}');
UPDATE lines SET json = doc::json;
CREATE TABLE seen (source text, mode text, found text);
CREATE PROCEDURE read_lines(document text, mode text) LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE t;
    PERFORM sluice.create_shred('p', 'lines', document, format('{"t": {"key": "k", "mode": "%s", "columns": {"k": "$.k", "v": "$.v", "j": "$.j"}}}', mode)::json);
    COMMIT;
    CALL sluice.run('p');
    INSERT INTO seen SELECT document, mode, string_agg(t::text, ' ' ORDER BY k) FROM t;
    PERFORM sluice.drop_pipeline('p');
END $$;
CALL read_lines('doc', 'upsert');
CALL read_lines('json', 'upsert');
CALL read_lines('doc', 'merge');
CALL read_lines('json', 'merge');
CALL read_lines('json', 'skip');
SELECT found, string_agg(DISTINCT mode || ' ' || source, ', ') FROM seen GROUP BY 1 ORDER BY 2;
TRUNCATE t;
SELECT sluice.create_shred('p', 'lines', 'json', '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v", "j": "$.j"}}}', cursor => 'hash', order_by => 'id');
CALL sluice.run('p', batch_size => 2);
SELECT string_agg(t::text, ' ' ORDER BY k) FROM t;
-- the same documents again are no news; one that is changed is
INSERT INTO lines (json) SELECT json FROM lines WHERE id = 1;
CALL sluice.run('p');
UPDATE lines SET json = '{"k": 3, "v": "changed"}' WHERE id = 5;
CALL sluice.run('p');
SELECT string_agg(t::text, ' ' ORDER BY k) FROM t;
SELECT source_rows, inserted, updated, duplicates FROM sluice.runs ORDER BY run_id DESC LIMIT 3;
SELECT sluice.drop_pipeline('p');
DROP TABLE seen, lines;

-- in the caller's transaction, and undone with it
SELECT sluice.create_shred('p', 'source', 'doc', '{"t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}}');
TRUNCATE t;
DELETE FROM source;
INSERT INTO source (doc) VALUES ('{"k": 1, "v": "a"}'), ('{"k": 1, "v": "b"}'), ('{"k": 2, "v": "c"}');
BEGIN;
SELECT source_rows, inserted, updated FROM sluice.run_batch('p', 1);
SAVEPOINT one;
SELECT source_rows, inserted, updated FROM sluice.run_batch('p', 1);
UPDATE t SET v = 'of the caller', k = 3;
SELECT source_rows, inserted, updated FROM sluice.run_batch('p', 1);
TABLE t ORDER BY k;
ROLLBACK TO one;
UPDATE t SET v = 'of the caller';
SELECT source_rows, inserted, updated FROM sluice.run_batch('p', 2);
COMMIT;
TABLE t ORDER BY k;
SELECT sluice.drop_pipeline('p');
DROP TABLE t;

-- ---- Rights and row-level security of the owner

CREATE ROLE regress_sluice_key;
GRANT SELECT ON source TO regress_sluice_key;
CREATE SCHEMA mine;
GRANT ALL ON SCHEMA mine TO regress_sluice_key;
CREATE TABLE mine.t (k int PRIMARY KEY, v int, n text DEFAULT current_user);
CREATE TABLE mine.note (k int, s text);
CREATE INDEX ON mine.note (k);
DELETE FROM source;
CREATE FUNCTION rights() RETURNS text LANGUAGE sql AS $$ SELECT '{"mine.t": {"key": "k", "columns": {"k": "$.k", "v": "$.v"}}, "mine.note": {"parent": "mine.t", "each": "$.notes[*]", "columns": {"k": "parent.k", "s": "@"}}}' $$;
-- without_right: at the creation, and in runs of a pipeline that was created with it
CREATE PROCEDURE without_right(what text) LANGUAGE plpgsql AS $$
BEGIN
    GRANT INSERT, SELECT (k, v), UPDATE (v) ON mine.t TO regress_sluice_key;
    GRANT INSERT, SELECT (k), DELETE ON mine.note TO regress_sluice_key;
    SET LOCAL ROLE regress_sluice_key;
    PERFORM sluice.create_shred('p', 'source', 'doc', rights()::json);
    RESET ROLE;
    EXECUTE 'REVOKE ' || what || ' FROM regress_sluice_key';
    COMMIT;
    SET LOCAL ROLE regress_sluice_key;
    CALL fails('SELECT sluice.create_shred(''again'', ''source'', ''doc'', rights()::json)');
    RESET ROLE;
    CALL attempt('p');
    SET sluice.test_by_query = on;
    CALL attempt('p');
    RESET sluice.test_by_query;
    PERFORM sluice.drop_pipeline(pipeline) FROM sluice.status;
    EXECUTE 'GRANT ' || what || ' TO regress_sluice_key';
END $$;
INSERT INTO mine.t (k, v) VALUES (1, 0);
INSERT INTO source (doc) VALUES ('{"k": 1, "v": 1, "notes": ["a"]}'), ('{"k": 1, "v": 2, "notes": ["b"]}');
CALL without_right('UPDATE (v) ON mine.t');
CALL without_right('INSERT ON mine.t');
CALL without_right('SELECT (k) ON mine.t');
CALL without_right('DELETE ON mine.note');
CALL without_right('SELECT (k) ON mine.note');
TABLE mine.t;
TABLE mine.note;
SET ROLE regress_sluice_key;
SELECT sluice.create_shred('p', 'source', 'doc', rights()::json);
RESET ROLE;
CALL take('p', '{"k": 1, "v": 3, "notes": ["c"]}');
TABLE mine.t;
TABLE mine.note;
-- row-level security: what the owner does not see is not his to replace, nor to write over
ALTER TABLE mine.t ENABLE ROW LEVEL SECURITY;
ALTER TABLE mine.note ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mine.t USING (k < 10) WITH CHECK (v < 100);
CREATE POLICY own ON mine.note USING (s <> 'kept');
GRANT SELECT ON mine.t, mine.note TO regress_sluice_key;
INSERT INTO mine.t VALUES (20, 20, 'hidden');
INSERT INTO mine.note VALUES (1, 'kept');
CALL take('p', '{"k": 1, "v": 4, "notes": ["d", "e"]}');
CALL take('p', '{"k": 1, "v": 100}');
CALL take('p', '{"k": 20, "v": 5}');
CALL take('p', '{"k": 1, "v": 5, "notes": ["kept"]}');
TABLE mine.t ORDER BY k;
TABLE mine.note ORDER BY s;
SELECT sluice.drop_pipeline('p');
DROP SCHEMA mine CASCADE;
REVOKE ALL ON source FROM regress_sluice_key;
DROP ROLE regress_sluice_key;

-- ---- Refused when the pipeline is created

CREATE TABLE t (a int, b int, c jsonb, p point, s serial, link int);
CREATE TABLE child (a int, b int);
CREATE UNIQUE INDEX unique_index ON t (a) WHERE b > 0;
CREATE UNIQUE INDEX ON t ((a + 1));
CREATE UNIQUE INDEX ON t (a, b);
ALTER TABLE t ADD CONSTRAINT later UNIQUE (b) DEFERRABLE;
CREATE UNIQUE INDEX ON t (link);
ALTER TABLE t ADD EXCLUDE USING btree (s WITH =);
CREATE VIEW v AS SELECT * FROM t;
CREATE FOREIGN DATA WRAPPER regress_key;
CREATE SERVER regress_key FOREIGN DATA WRAPPER regress_key;
CREATE FOREIGN TABLE f (a int, b int) SERVER regress_key;
CREATE TABLE ruled (a int PRIMARY KEY, b int);
CREATE RULE r AS ON UPDATE TO ruled DO ALSO NOTHING;
CREATE TABLE leafs (a int, b int) PARTITION BY LIST (a);
CREATE TABLE leaf PARTITION OF leafs DEFAULT;
CREATE UNIQUE INDEX ON leaf (b);
CREATE PROCEDURE refuse(mapping text) LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM sluice.create_shred('refused', 'source', 'doc', mapping::json);
    RAISE WARNING 'not refused: %', mapping;
    PERFORM sluice.drop_pipeline('refused');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE WARNING '%: % (%)', SQLSTATE, SQLERRM, hint;
END $$;
CREATE FUNCTION of_t(words text, tab text DEFAULT 't', columns text DEFAULT '"a": "$.a", "b": "$.b"') RETURNS text LANGUAGE sql AS $$
    SELECT format('{"%s": {%s, "columns": {%s}}}', tab, words, columns) $$;
-- indexes
CALL refuse(of_t('"key": "a"'));
CALL refuse(of_t('"key": "b"'));
CALL refuse(of_t('"key": "s"', columns => '"s": "$.s"'));
CALL refuse(of_t('"key": ["a", "b", "link"]', columns => '"a": "$.a", "b": "$.b", "link": "$.link"'));
CALL refuse(of_t('"key": "b"', 'leafs'));
-- targets
CALL refuse(of_t('"key": "a"', 'v'));
CALL refuse(of_t('"key": "a"', 'f'));
CALL refuse(of_t('"key": "a"', 'ruled'));
-- the key
CALL refuse(of_t('"key": "s"', columns => '"s": "#serial"'));
CALL refuse(of_t('"key": "a"', columns => '"a": "#default"'));
CALL refuse(of_t('"key": "c"'));
CALL refuse(of_t('"key": ["a", "a"]'));
CALL refuse(of_t('"key": []'));
CALL refuse(of_t('"key": 1'));
-- words that do not go together
CALL refuse(of_t('"mode": "upsert"'));
CALL refuse(of_t('"mode": "merge"'));
CALL refuse(of_t('"mode": "skip"'));
CALL refuse(of_t('"mode": "append", "key": ["a", "b"]'));
CALL refuse(of_t('"mode": "replace", "key": ["a", "b"]'));
CALL refuse(of_t('"mode": "replace"'));
CALL refuse(of_t('"mode": "upsrt", "key": ["a", "b"]'));
CALL refuse(of_t('"newest_by": "b"'));
CALL refuse(of_t('"newest_by": "c", "key": ["a", "b"]'));
CALL refuse(of_t('"newest_by": "s", "key": ["a", "b"]', columns => '"a": "$.a", "b": "$.b", "s": "#serial"'));
CALL refuse(of_t('"newest_by": "p", "key": ["a", "b"]', columns => '"a": "$.a", "b": "$.b", "p": "$.p"'));
CALL refuse(of_t('"newest_by": "b", "mode": "skip", "key": ["a", "b"]'));
-- children
CREATE FUNCTION with_child(parent text, child text, more text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT format('{"t": {%s "columns": {"a": "$.a", "b": "$.b", "link": "$.link"}}, "child": {"parent": "t", "each": "$.x[*]", %s}%s}', parent, child, more) $$;
CALL refuse(with_child('', '"mode": "replace", "columns": {"a": "parent.a"}'));
CALL refuse(with_child('"key": ["b", "a"],', '"columns": {"a": "@.a"}'));
CALL refuse(with_child('"key": ["b", "a"],', '"columns": {"a": "parent.a"}', ', "leafs": {"parent": "child", "key": "a", "each": "@.y[*]", "columns": {"a": "parent.a"}}'));
CALL refuse(with_child('"key": ["b", "a"],', '"columns": {"a": "parent.a"}', ', "leafs": {"parent": "child", "mode": "append", "each": "@.y[*]", "columns": {"a": "parent.a"}}'));
CALL refuse(with_child('"key": ["b", "a"],', '"columns": {"a": "parent.a"}', ', "leafs": {"parent": "child", "each": "@.y[*]", "columns": {"a": "@.a"}}'));
-- twice
CALL refuse(with_child('"key": ["b", "a"],', '"columns": {"a": "parent.a"}', ', "\"t\"": {"columns": {"a": "$.a"}}'));
DROP FOREIGN DATA WRAPPER regress_key CASCADE;
DROP TABLE t, child, ruled, leafs CASCADE;

-- ---- Random histories
--
-- Documents of few keys, with keyed children (item), rows below these (sub), replaced children (tag) and rows below those (note).
-- The oracle takes them one by one, by plain SQL; what it makes is in the schema oracle, what the runs make in loaded.

CREATE PROCEDURE history_tables(way text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', way);
    PERFORM set_config('search_path', way || ', public', true);
    CREATE TABLE root (id serial PRIMARY KEY, k int UNIQUE, v int DEFAULT 5, t text DEFAULT 'none', at int, twice int GENERATED ALWAYS AS (v * 2) STORED, made int DEFAULT 7);
    CREATE TABLE item (id serial PRIMARY KEY, root_id int REFERENCES root, k int, n int, x text DEFAULT 'x');
    CREATE TABLE sub (item_id int REFERENCES item, y int);
    CREATE TABLE tag (id serial PRIMARY KEY, root_id int NOT NULL REFERENCES root, w text);
    CREATE TABLE note (tag_id int REFERENCES tag, z text);
    CREATE INDEX ON sub (item_id);
    CREATE INDEX ON tag (root_id);
    CREATE INDEX ON note (tag_id);
    -- what they hold, without the numbers that are drawn
    CREATE VIEW content AS
        SELECT 'root' AS name, concat_ws('|', k, v, coalesce(t, '-'), 'at' || at, twice, made) AS row_ FROM root
        UNION ALL SELECT 'item', concat_ws('|', root.k, item.k, n, x) FROM item LEFT JOIN root ON root.id = root_id
        UNION ALL SELECT 'sub', concat_ws('|', k, n, y) FROM sub LEFT JOIN item ON item.id = item_id
        UNION ALL SELECT 'tag', concat_ws('|', k, w) FROM tag LEFT JOIN root ON root.id = root_id
        UNION ALL SELECT 'note', concat_ws('|', k, w, z) FROM note LEFT JOIN tag ON tag.id = tag_id LEFT JOIN root ON root.id = root_id;
    CREATE VIEW drawn AS SELECT 'root' AS name, k::text AS key, id FROM root UNION ALL SELECT 'item', k || '|' || n, id FROM item;
END $$;

-- maybe gives a member one time in `of` with a value, seldom with null
CREATE FUNCTION maybe(name text, value jsonb) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN d < 0.6 THEN jsonb_build_object(name, value) WHEN d < 0.75 THEN jsonb_build_object(name, NULL) ELSE '{}' END FROM random() d
$$;
CREATE FUNCTION up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * (most + 1))::int $$;
CREATE FUNCTION random_subs() RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(up_to(9)), '[]') FROM generate_series(1, up_to(2)) $$;
CREATE FUNCTION random_item() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('n', up_to(3)) || maybe('x', to_jsonb('x' || up_to(3))) || maybe('subs', random_subs())
$$;
CREATE FUNCTION random_items() RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(random_item()), '[]') FROM generate_series(1, up_to(3)) $$;
CREATE FUNCTION random_tag() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT maybe('w', to_jsonb('w' || up_to(5))) || maybe('notes', (SELECT coalesce(jsonb_agg('z' || up_to(9)), '[]') FROM generate_series(1, up_to(2))))
$$;
CREATE FUNCTION random_tags() RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(random_tag()), '[]') FROM generate_series(1, up_to(3)) $$;
CREATE FUNCTION random_document(keys int) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('k', up_to(keys)) || maybe('v', to_jsonb(up_to(2))) || maybe('t', to_jsonb('t' || up_to(2))) || maybe('at', to_jsonb(up_to(20)))
        || maybe('items', random_items()) || maybe('tags', random_tags())
$$;

-- take_document does with one document what a run must do: kind says how
CREATE FUNCTION has(doc jsonb, member text, mode text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT mode <> 'merge' OR doc ? member $$;
CREATE FUNCTION list(doc jsonb, member text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(doc->member) WHEN 'array' THEN doc->member ELSE '[]' END
$$;
CREATE PROCEDURE take_item(parent record, i jsonb, mode text, item_key text) LANGUAGE plpgsql AS $$
DECLARE
    known record;
BEGIN
    SELECT * INTO known FROM item WHERE n = (i->>'n')::int AND (item_key = 'n' OR k = parent.k);
    IF NOT FOUND THEN
        INSERT INTO item (root_id, k, n, x)
            VALUES (parent.id, parent.k, (i->>'n')::int, CASE WHEN has(i, 'x', mode) THEN i->>'x' ELSE 'x' END) RETURNING * INTO known;
    ELSIF mode = 'skip' THEN
        RETURN;
    ELSE
        UPDATE item SET root_id = parent.id, k = parent.k, x = CASE WHEN has(i, 'x', mode) THEN i->>'x' ELSE x END WHERE id = known.id;
    END IF;
    IF has(i, 'subs', mode) THEN
        DELETE FROM sub WHERE item_id = known.id;
        INSERT INTO sub SELECT known.id, y::int FROM jsonb_array_elements_text(list(i, 'subs')) y;
    END IF;
END $$;
CREATE PROCEDURE take_document(doc jsonb, mode text, newest_by boolean, item_mode text, item_key text) LANGUAGE plpgsql AS $$
DECLARE
    known record;
    i jsonb;
    tag_id int;
BEGIN
    SELECT * INTO known FROM root WHERE k = (doc->>'k')::int;
    IF NOT FOUND THEN
        INSERT INTO root (k, v, t, at) VALUES ((doc->>'k')::int, CASE WHEN has(doc, 'v', mode) THEN (doc->>'v')::int ELSE 5 END,
            CASE WHEN has(doc, 't', mode) THEN doc->>'t' ELSE 'none' END, (doc->>'at')::int) RETURNING * INTO known;
    ELSIF mode = 'skip' OR (newest_by AND known.at IS NOT NULL AND coalesce((doc->>'at')::int, -1) < known.at) THEN
        RETURN;
    ELSE
        UPDATE root SET v = CASE WHEN has(doc, 'v', mode) THEN (doc->>'v')::int ELSE v END, t = CASE WHEN has(doc, 't', mode) THEN doc->>'t' ELSE t END,
            at = CASE WHEN has(doc, 'at', mode) THEN (doc->>'at')::int ELSE at END WHERE id = known.id;
    END IF;
    IF has(doc, 'tags', mode) THEN
        DELETE FROM note WHERE note.tag_id IN (SELECT id FROM tag WHERE root_id = known.id);
        DELETE FROM tag WHERE root_id = known.id;
        FOR i IN SELECT value FROM jsonb_array_elements(list(doc, 'tags')) LOOP
            INSERT INTO tag (root_id, w) VALUES (known.id, i->>'w') RETURNING id INTO tag_id;
            INSERT INTO note SELECT tag_id, z FROM jsonb_array_elements_text(list(i, 'notes')) z;
        END LOOP;
    END IF;
    FOR i IN SELECT value FROM jsonb_array_elements(list(doc, 'items')) LOOP
        CALL take_item(known, i, item_mode, item_key);
    END LOOP;
END $$;

CREATE TABLE outcome (history int, mode text, newest_by boolean, item_mode text, item_key text, run int, documents bigint, batch_size int, by_query boolean, seed float8, difference text);

CREATE PROCEDURE history(number int, mode text, newest_by boolean, item_mode text, item_key text, keys int, runs int, most int) LANGUAGE plpgsql AS $$
DECLARE
    run int;
    size int;
    by_query boolean;
    doc jsonb;
    seen bigint;
    difference text;
BEGIN
    CALL history_tables('loaded');
    EXECUTE format('CREATE UNIQUE INDEX ON loaded.item (%s)', CASE item_key WHEN 'n' THEN 'n' ELSE 'n, k' END);
    CALL history_tables('oracle');
    PERFORM set_config('search_path', 'loaded, public', true);
    PERFORM setseed(number / 10000.0);
    TRUNCATE source;
    PERFORM sluice.create_shred('history', 'public.source', 'doc', json_build_object(
        'root', jsonb_build_object('key', 'k', 'mode', mode, 'columns', '{"k": "$.k", "v": "$.v", "t": "$.t", "at": "$.at"}'::jsonb)
            || CASE WHEN newest_by THEN '{"newest_by": "at"}' ELSE '{}' END::jsonb,
        'note', '{"parent": "tag", "each": "@.notes[*]", "columns": {"tag_id": "parent.id", "z": "@"}}'::jsonb,
        'item', jsonb_build_object('parent', 'root', 'each', '$.items[*]', 'key', string_to_array(item_key, ','), 'mode', item_mode,
            'columns', '{"root_id": "parent.id", "k": "parent.k", "n": "@.n", "x": "@.x"}'::jsonb),
        'sub', '{"parent": "item", "each": "@.subs[*]", "columns": {"item_id": "parent.id", "y": "@"}}'::jsonb,
        'tag', '{"parent": "root", "each": "$.tags[*]", "columns": {"root_id": "parent.id", "w": "@.w"}}'::jsonb));
    COMMIT;
    FOR run IN 1..runs LOOP
        size := (ARRAY[1, 2, 7, 1000])[1 + up_to(3)];
        by_query := random() < 0.3;
        CREATE TEMP TABLE known AS SELECT * FROM loaded.drawn;
        SELECT coalesce(max(id), 0) INTO seen FROM source;
        INSERT INTO source (doc) SELECT random_document(keys) FROM generate_series(1, 1 + up_to(most));
        PERFORM set_config('search_path', 'oracle, public', true);
        FOR doc IN SELECT source.doc FROM source WHERE id > seen ORDER BY id LOOP
            CALL take_document(doc, mode, newest_by, item_mode, item_key);
        END LOOP;
        COMMIT;
        PERFORM set_config('sluice.test_by_query', by_query::text, false);
        CALL sluice.run('history', batch_size => size);
        PERFORM set_config('sluice.test_by_query', 'off', false);
        SELECT string_agg(format('%s %s %s', side, name, row_), '; ' ORDER BY side, name, row_) INTO difference
        FROM ((SELECT 'more' AS side, * FROM (TABLE loaded.content EXCEPT ALL TABLE oracle.content) more)
              UNION ALL (SELECT 'missing', * FROM (TABLE oracle.content EXCEPT ALL TABLE loaded.content) missing)
              UNION ALL SELECT 'another id', name, key FROM known JOIN loaded.drawn USING (name, key) WHERE known.id <> drawn.id AND item_key <> 'n') s;
        INSERT INTO outcome VALUES (number, mode, newest_by, item_mode, item_key, run, (SELECT count(*) FROM source WHERE id > seen), size, by_query, number / 10000.0, difference);
        DROP TABLE known;
        COMMIT;
    END LOOP;
    PERFORM sluice.drop_pipeline('history');
    DROP SCHEMA loaded, oracle CASCADE;
    COMMIT;
END $$;

CREATE PROCEDURE histories(first int, count int, keys int DEFAULT 4, runs int DEFAULT 4, most int DEFAULT 25) LANGUAGE plpgsql AS $$
DECLARE
    number int;
    modes text[] := '{upsert,skip,merge}';
BEGIN
    FOR number IN first..first + count - 1 LOOP
        CALL history(number, modes[1 + number % 3], number / 3 % 2 = 1 AND number % 3 <> 1, modes[1 + number / 6 % 3], CASE number / 18 % 2 WHEN 0 THEN 'k,n' ELSE 'n' END, keys, runs, most);
    END LOOP;
END $$;

CALL histories(1, 72);
SELECT mode, newest_by, item_mode, item_key, count(*) AS runs, count(difference) AS differ FROM outcome GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
SELECT history, run, batch_size, by_query, left(difference, 300) AS difference FROM outcome WHERE difference IS NOT NULL ORDER BY history, run LIMIT 10;
-- one with thousands of documents
TRUNCATE outcome;
CALL history(1000, 'upsert', false, 'merge', 'n', 300, 2, 2000);
CALL history(1001, 'merge', true, 'upsert', 'k,n', 300, 2, 2000);
SELECT mode, newest_by, item_mode, item_key, run, left(difference, 300) AS difference FROM outcome ORDER BY history, run;

-- drop

SET client_min_messages = error;
DROP VIEW result, orders, order_lines, said_notes, first_orders, first_lines;
DROP TABLE stage, source, verdict, outcome;
