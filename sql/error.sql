-- Errors while running: they name the document, the path, the table and the column; the batch rolls back, the run says
-- why it failed, and after the mending the next run loads everything once.

SET datestyle = 'ISO, MDY';
\pset footer off

-- create: five documents, the third one bad deep inside

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE orders (order_id int PRIMARY KEY, customer varchar(5), placed date);
CREATE TABLE items (order_id int NOT NULL REFERENCES orders, name text, quantity int CHECK (quantity < 100), gift boolean);
SELECT sluice.create_shred('orders', 'source', 'doc', '
    { "orders": { "each": "$.orders[*]", "columns": { "order_id": "@.id", "customer": "@.customer", "placed": {"path": "@.placed", "format": "DD-MM-YYYY"} } },
      "items":  { "parent": "orders", "each": "@.items.*", "columns": { "order_id": "parent.order_id", "name": "@key", "quantity": "@.quantity", "gift": "$.gift" } } }', batch_size => 2);
INSERT INTO source (doc) VALUES
    ('{"orders": [{"id": 1, "items": {"pen": {"quantity": 1}, "ink": {"quantity": 2}}}]}'), ('{"orders": []}'),
    ('{"orders": [{"id": 2, "items": {"pen": {"quantity": 3}}}, {"id": 3, "items": {"a.b c": {"quantity": 4}, "red \"ink\"": {"quantity": "many"}}}], "gift": true}'),
    ('{"orders": [{"id": 4, "customer": "Ada", "placed": "31-01-2020"}]}'), ('{"orders": null}');

-- act

CALL sluice.run('orders');
\echo :LAST_ERROR_SQLSTATE
\echo :LAST_ERROR_MESSAGE

-- select: the first batch stays, the second left nothing

SELECT * FROM orders ORDER BY order_id;
SELECT * FROM items ORDER BY order_id, name;
SELECT sluice.cursor_position('orders'), sluice.pending('orders');
SELECT status, finished_at >= started_at AS finished, batches, source_rows, inserted, error FROM sluice.runs;
SELECT state, rows_total, last_success, last_error FROM sluice.status;

-- again, and once the document is mended

CALL sluice.run('orders');
UPDATE source SET doc = jsonb_set(doc, '{orders,1,items,"red \"ink\"",quantity}', '5') WHERE id = 3;
CALL sluice.run('orders');
SELECT * FROM orders ORDER BY order_id;
SELECT * FROM items ORDER BY order_id, name;
SELECT status, batches, source_rows, inserted, left(error, 5) AS error FROM sluice.runs ORDER BY run_id;
SELECT state, rows_total, last_success IS NOT NULL AS has_success, last_error FROM sluice.status;
SELECT sluice.drop_pipeline('orders');
TRUNCATE source, orders, items RESTART IDENTITY;

-- where an error is told: for each kind of error in one document, the place that its context names

CREATE TABLE places (number bigint GENERATED ALWAYS AS IDENTITY, doc text, sqlstate text, message text, place text);
CREATE FUNCTION divide(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 60 / $1; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'refused' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'P0042', DETAIL = 'the detail', HINT = 'the hint'; END IF; RETURN NEW; END $$;
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE TABLE tried (id int, name short, quantity int NOT NULL DEFAULT 0 CHECK (quantity < 100), part smallint,
    hourly int GENERATED ALWAYS AS (divide(part)) STORED, doc_id bigint, key text, index int, parts int[], day date);
CREATE TRIGGER refuse BEFORE INSERT ON tried FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE tried_child (id smallint, v int);

CREATE FUNCTION try(place places) RETURNS places LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    DELETE FROM source WHERE (doc->>'number')::bigint <> place.number;
    PERFORM sluice.create_shred('tried', 'source', 'doc', '
        {"tried": {"each": "$.rows[*].*", "columns": {"id": "$.id", "name": {"path": "@.name", "default": "none"}, "quantity": {"path": "@.quantity",
        "default": 1}, "part": "@.part", "doc_id": "#source.id",
                                                   "key": "@key", "index": "@index", "parts": "@.parts", "day": {"path": "@.day", "format": "DD-MM-YYYY"}}},
         "tried_child": {"parent": "tried", "each": "@.\"the children\"[*].v", "columns": {"id": "parent.id", "v": "@"}}}');
    PERFORM sluice.run_batch('tried');
    RAISE EXCEPTION 'loaded' USING ERRCODE = 'SL000'; -- undoes it all
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS place.message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
    place.sqlstate := SQLSTATE;
    SELECT regexp_replace(line, 'id = \d+', 'id = N') INTO place.place FROM regexp_split_to_table(context,
    '\n') line WHERE line ~ 'document of|writing the rows';
    RETURN place;
END $$;

INSERT INTO places (doc) VALUES
    ('{"rows": [{"a": {"name": "good", "part": 1, "the children": [{"v": 1}]}}], "id": 1}'),
    ('{"rows": {"a": {}}}'),
    ('{"rows": [{}, 5]}'),
    ('{"rows": [{"a": {}}], "id": "x"}'),
    ('{"rows": [{"a": {}, "b": {"name": "much too long"}}]}'),
    ('{"rows": [{"a": {"quantity": 1.5}}]}'),
    ('{"rows": [{"a": {"quantity": {}}}]}'),
    ('{"rows": [{"a": {"quantity": 3000000000}}]}'),
    ('{"rows": [{}, {"": {"quantity": 100}}]}'),
    ('{"rows": [{"a": {"part": 0}}]}'),
    ('{"rows": [{"a": {"name": "refused"}}]}'),
    ('{"rows": [{"the key": {"parts": [1, [2]]}}]}'),
    ('{"rows": [{"a": {"day": "31-02-2020"}}]}'),
    ('{"rows": [{"a": {"part": 1, "the children": [{"v": 1}, {"v": "x"}]}}]}'),
    ('{"rows": [{"a": {"part": 1, "the children": [{}, {"v": 1}, 7]}}]}'),
    ('{"rows": [{"a": {"part": 1, "the children": [{"v": 1}]}}], "id": 70000}');
UPDATE places SET doc = jsonb_set(doc::jsonb, '{number}', to_jsonb(number));
INSERT INTO source (doc) SELECT doc::jsonb FROM places ORDER BY number;
\pset format unaligned
\pset fieldsep '\n    '
\pset tuples_only on
SELECT places.doc, t.sqlstate || ': ' || t.message, t.place FROM places, try(places) t ORDER BY places.number;
\pset format aligned
\pset tuples_only off
TRUNCATE places, source RESTART IDENTITY;

-- errors that are no document's: found when the rows of the batch are written, or at its end

CREATE TABLE uniques (v int UNIQUE);
INSERT INTO source (doc) VALUES ('{"v": 1}'), ('{"v": 2}'), ('{"v": 1}');
SELECT sluice.create_shred('uniques', 'source', 'doc', '{"uniques": {"columns": {"v": "$.v"}}}');
CALL sluice.run('uniques');
SELECT error FROM sluice.runs;
SELECT sluice.drop_pipeline('uniques');
DROP TABLE uniques;
TRUNCATE source;

-- text that is no JSON: line and column, in characters

CREATE TABLE text_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);
CREATE TABLE texts (number bigint GENERATED ALWAYS AS IDENTITY, doc text, sqlstate text, message text, detail text, place text);
CREATE FUNCTION try_text(t texts) RETURNS texts LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    DELETE FROM text_source WHERE doc <> t.doc;
    PERFORM sluice.create_shred('tried', 'text_source', 'doc', '{"tried_child": {"each": "$.a.*", "columns": {"v": "@"}}}');
    PERFORM sluice.run_batch('tried');
    RAISE EXCEPTION 'loaded' USING ERRCODE = 'SL000'; -- undoes it all
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS t.message = MESSAGE_TEXT, t.detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
    t.sqlstate := SQLSTATE;
    SELECT regexp_replace(line, 'id = \d+', 'id = N') INTO t.place FROM regexp_split_to_table(context, '\n') line WHERE line ~ 'document of';
    RETURN t;
END $$;
INSERT INTO texts (doc) VALUES (''), (' '), ('{'), ('{"a": }'), ('{"a": 1,}'), ('{"a" 1}'), ('[1 2]'), ('[1,'), ('nul'), ('TRUE'), ('NaN'), ('"abc'),
    ('"\x"'), ('"\u12"'), ('"\ud800"'), ('"\udc00\ud800"'), (E'"tab\there"'), ('01'), ('1.'), ('.5'), ('+1'), ('1e'), ('0x10'),
    ('{} {}'), ('{"a": 1} x'), ('{''a'': 1}'), ('{a: 1}'), ('// comment'), (E'{"a":\n {"b": 1,\n  "c": ?}}'), (E'\uFEFF{}'),
    ('{"ключ": "東京", "x": ?}'), ('{"a": {"\u0000": 1}}'), ('{"a": {"b": 1}}');
INSERT INTO text_source (doc) SELECT doc FROM texts ORDER BY number;
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on
SELECT replace(texts.doc, E'\uFEFF', '<BOM>'), t.sqlstate, t.message, substring(t.detail FROM '^Line \d+, column \d+'), t.place FROM texts,
    try_text(texts) t ORDER BY texts.number;
\pset format aligned
\pset tuples_only off

-- the place is that of the document, not of the one before it

TRUNCATE texts, text_source, tried_child RESTART IDENTITY;
INSERT INTO text_source (doc) VALUES ('{"a": {"the first key": 1}}'), ('{"a": {"k": ');
SELECT sluice.create_shred('text', 'text_source', 'doc', '{"tried_child": {"each": "$.a.*", "columns": {"v": "@"}}}');
CALL sluice.run('text');
SELECT count(*) FROM tried_child;
SELECT error FROM sluice.runs \g (format=unaligned tuples_only=on)
UPDATE text_source SET doc = '{"a": {"k": 2}}' WHERE doc = '{"a": {"k": ';
CALL sluice.run('text');
SELECT v FROM tried_child ORDER BY v;
SELECT sluice.drop_pipeline('text');

-- what is told of a long text is cut between its characters, and the rest of the error is not lost

TRUNCATE text_source, tried_child RESTART IDENTITY;
INSERT INTO text_source (doc) VALUES ('"x' || repeat('ж', 1000));
SELECT sluice.create_shred('text', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}');
\set VERBOSITY sqlstate
CALL sluice.run('text');
SELECT upper(error) LIKE '22P02: DOCUMENT IS NO VALID JSON%CONTEXT: DOCUMENT OF PUBLIC.TEXT_SOURCE WITH ID = %' AS whole,
    length(error) < 1000 AS short FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
UPDATE text_source SET doc = format('{"v": "%s"}', repeat('ж', 1000000));
CALL sluice.run('text');
SELECT upper(error) LIKE '22P02: %CONTEXT: DOCUMENT OF PUBLIC.TEXT_SOURCE WITH ID = %, PATH $.V, COLUMN PUBLIC.TRIED_CHILD.V' AS whole,
    length(error) <= 8000 AS short FROM sluice.runs ORDER BY run_id DESC LIMIT 1;
UPDATE text_source SET doc = '{"v": 1e130000}';
CALL sluice.run('text');
SELECT upper(error) LIKE '22003: %CONTEXT: DOCUMENT OF PUBLIC.TEXT_SOURCE WITH ID = %, PATH $.V, COLUMN PUBLIC.TRIED_CHILD.V' AS whole,
    length(error) <= 8000 AS short FROM sluice.runs ORDER BY run_id DESC LIMIT 1;

-- deep nesting: harmless where nothing is taken from it, an error where it is

UPDATE text_source SET doc = format('{"v": 1, "deep": %s}', repeat('[', 300000) || repeat(']', 300000));
CALL sluice.run('text');
SELECT v FROM tried_child;
SELECT sluice.drop_pipeline('text');
CREATE TABLE deep (v jsonb, w json);
SELECT sluice.create_shred('text', 'text_source', 'doc', '{"deep": {"columns": {"v": "$.deep"}}}');
CALL sluice.run('text');
SELECT sluice.alter_pipeline('text', mapping => '{"deep": {"columns": {"w": "$.deep"}}}');
CALL sluice.run('text');
UPDATE text_source SET doc = repeat('[', 1000000);
CALL sluice.run('text');
\set VERBOSITY default
SELECT sluice.drop_pipeline('text');
DROP TABLE deep;

-- C++ exceptions: the bridge makes them errors, the session lives, the next run loads all

TRUNCATE text_source, tried_child RESTART IDENTITY;
INSERT INTO text_source (doc) SELECT format('{"v": %s}', v) FROM generate_series(1, 5) v;
SELECT sluice.create_shred('fault', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}');
SELECT pg_backend_pid() AS pid \gset
SET sluice.test_fault = 'bad_alloc';
CALL sluice.run('fault');
\echo :LAST_ERROR_SQLSTATE
SET sluice.test_fault = 'exception';
CALL sluice.run('fault');
\echo :LAST_ERROR_SQLSTATE
SET sluice.test_fault = 'unknown';
CALL sluice.run('fault');
\echo :LAST_ERROR_SQLSTATE
SELECT sluice.create_shred('fault2', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}');
SELECT sluice.alter_pipeline('fault', mapping => '{"tried_child": {"columns": {"v": "$.v"}}}');
SELECT sluice.run_batch('fault');
RESET sluice.test_fault;
SELECT pg_backend_pid() = :pid AS the_same_session;
CALL sluice.run('fault');
SELECT v FROM tried_child ORDER BY v;
SELECT status, source_rows, left(error, 5) AS error FROM sluice.runs ORDER BY run_id;
SET sluice.test_fault = 'something';
CREATE ROLE regress_sluice_user;
SET ROLE regress_sluice_user;
SET sluice.test_fault = 'unknown';
RESET ROLE;
DROP ROLE regress_sluice_user;

-- the fault strikes in the middle of a batch, after documents were read

CREATE FUNCTION set_fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('sluice.test_fault', CASE NEW.v WHEN 7 THEN 'exception' ELSE 'none' END, false); RETURN NEW; END $$;
CREATE TRIGGER set_fault BEFORE INSERT ON tried_child FOR EACH ROW EXECUTE FUNCTION set_fault();
INSERT INTO text_source (doc) SELECT format('{"v": %s}', v) FROM generate_series(6, 10) v;
CALL sluice.run('fault');
SHOW sluice.test_fault;
SELECT max(v) FROM tried_child;
DROP TRIGGER set_fault ON tried_child;
CALL sluice.run('fault');
SELECT count(*), max(v) FROM tried_child;
SELECT sluice.drop_pipeline('fault');
DROP FUNCTION set_fault;

-- a cancel: the run is canceled, and the next one goes on

CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v = 4 THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$;
CREATE TRIGGER sleep BEFORE INSERT ON tried_child FOR EACH ROW EXECUTE FUNCTION sleep();
TRUNCATE tried_child;
SELECT sluice.create_shred('cancel', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}', batch_size => 2);
SET statement_timeout = '1s';
\set VERBOSITY terse
CALL sluice.run('cancel');
\set VERBOSITY default
RESET statement_timeout;
SELECT status, batches, source_rows, left(error, 53) AS error FROM sluice.runs;
SELECT state, left(last_error, 5) AS last_error FROM sluice.status;
DROP TRIGGER sleep ON tried_child;
CALL sluice.run('cancel');
SELECT count(*), count(DISTINCT v) FROM tried_child;
SELECT status, batches, source_rows FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('cancel');
DROP FUNCTION sleep;

-- inside a transaction block: the error ends the transaction, and no run is recorded

TRUNCATE text_source, tried_child RESTART IDENTITY;
INSERT INTO text_source (doc) VALUES ('{"v": 1}'), ('{"v": "x"}');
SELECT sluice.create_shred('block', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}', batch_size => 1);
BEGIN;
CALL sluice.run('block');
SELECT count(*) FROM tried_child;
ROLLBACK;
-- after a rollback to a savepoint the transaction goes on, the pipeline where it was
BEGIN;
SAVEPOINT before;
CALL sluice.run('block', max_batches => 1);
SELECT v, sluice.cursor_position('block')->'order_value' IS NOT NULL AS moved FROM tried_child;
CALL sluice.run('block');
ROLLBACK TO before;
SELECT count(*), (SELECT count(*) FROM sluice.runs) AS runs FROM tried_child;
COMMIT;
SELECT sluice.pending('block'), count(*) AS runs FROM sluice.runs;
UPDATE text_source SET doc = '{"v": 2}' WHERE doc = '{"v": "x"}';
CALL sluice.run('block');
SELECT v FROM tried_child ORDER BY v;
SELECT sluice.drop_pipeline('block');

-- what changed since the pipeline was created: told with the remedy

TRUNCATE text_source, tried_child RESTART IDENTITY;
ALTER TABLE text_source ADD extra int;
INSERT INTO text_source (doc) VALUES ('{"v": 1}');
SELECT sluice.create_shred('changed', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v", "id": "#source.extra"}}}');
SELECT sluice.alter_pipeline('changed', max_failures => 0);
ALTER TABLE tried_child RENAME v TO renamed;
CALL sluice.run('changed');
ALTER TABLE tried_child RENAME renamed TO v;
ALTER TABLE tried_child RENAME TO renamed_child;
CALL sluice.run('changed');
ALTER TABLE renamed_child RENAME TO tried_child;
ALTER TABLE tried_child ALTER v TYPE date USING NULL;
CALL sluice.run('changed');
ALTER TABLE tried_child ALTER v TYPE int USING NULL;
ALTER TABLE text_source RENAME extra TO more;
CALL sluice.run('changed');
ALTER TABLE text_source RENAME more TO extra;
ALTER TABLE text_source RENAME doc TO document;
CALL sluice.run('changed');
ALTER TABLE text_source RENAME document TO doc;
ALTER TABLE text_source ALTER doc TYPE jsonb USING doc::jsonb;
CALL sluice.run('changed');
SELECT v FROM tried_child;
ALTER TABLE text_source RENAME TO renamed_source;
INSERT INTO renamed_source (doc) VALUES ('{"v": 2}');
CALL sluice.run('changed');
SELECT v FROM tried_child ORDER BY v;
ALTER TABLE renamed_source ALTER id DROP IDENTITY;
CALL sluice.run('changed');
DROP TABLE renamed_source;
CALL sluice.run('changed');
SELECT state, source, pending, left(last_error, 5) AS last_error FROM sluice.status;
SELECT sluice.pending('changed');
CREATE TABLE text_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text);
CALL sluice.run('changed');
SELECT sluice.drop_pipeline('changed');

-- in a transaction that reads only, or whose snapshot is older than the position

SELECT sluice.create_shred('mode', 'text_source', 'doc', '{"tried_child": {"columns": {"v": "$.v"}}}');
INSERT INTO text_source (doc) VALUES ('{"v": 1}');
\set VERBOSITY sqlstate
BEGIN READ ONLY;
CALL sluice.run('mode');
ROLLBACK;
\set VERBOSITY default
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL sluice.run('mode');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
CALL sluice.run('mode');
ROLLBACK;

-- paused pipelines say so

SELECT sluice.pause('mode');
CALL sluice.run('mode');
SELECT state, pending FROM sluice.status;
SELECT sluice.resume('mode');
CALL sluice.run('mode');
SELECT state, pending FROM sluice.status;
SELECT sluice.drop_pipeline('mode');

-- drop

DROP FUNCTION try, try_text;
DROP TABLE source, text_source, orders, items, places, texts, tried, tried_child;
DROP FUNCTION divide, refuse;
DROP DOMAIN short;
