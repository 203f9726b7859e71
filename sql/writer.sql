-- Writer: every kind of target, written directly and by query, gets the rows that plain INSERTs give it.
--
-- compare() makes the tables of a kind three times, in the schemas oracle, directly and by_query, fills the first by INSERT ...
-- SELECT, the others by a pipeline each, batch by batch, and notes in the table verdict how their tables differ from the
-- oracle's: rows that they have more, rows that are missing. Rows are compared as text, with the name of the leaf table they
-- are in. "counted" is how many rows the runs say they inserted. refuse() is for what must fail: the same error everywhere
-- (SQLSTATE, table, column, constraint), and nothing left.
\set VERBOSITY terse
\pset footer off
SET client_min_messages = warning;

-- the source: thirty documents with up to three items each

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE FUNCTION fill(documents int, times int) RETURNS void LANGUAGE sql AS $$
    TRUNCATE source RESTART IDENTITY;
    INSERT INTO source (doc)
        SELECT jsonb_build_object('name', 'n' || n, 'size', n % 7, 'items', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('what', chr(97 + (n * i) % 5), 'count', n * 10 + i) ORDER BY i), '[]')
            FROM generate_series(1, n % 4 * times) i))
        FROM generate_series(1, documents) n;
$$;
SELECT fill(30, 1);
SELECT count(*), sum(jsonb_array_length(doc->'items')) FROM source;
-- what the oracle reads: the source rows of one batch
CREATE VIEW batch AS
    SELECT * FROM source WHERE id > current_setting('test.after')::bigint AND id <= current_setting('test.upto')::bigint;

-- The mapping fills parent (number, name, size) and child (number, item, what, count); with a key also child.parent_id, from that
-- column of the parent's row. The oracle does the same.

CREATE FUNCTION mapping(key text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT format('{ "parent": { "columns": { "number": "#source.id", "name": "$.name", "size": "$.size" } },
                     "child":  { "parent": "parent", "each": "$.items[*]",
                                 "columns": { "number": "#source.id", "item": "@index", "what": "@.what", "count": "@.count"%s } } }',
                  ', "parent_id": "parent.' || key || '"')
$$;
CREATE FUNCTION inserts(key text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT 'INSERT INTO parent (number, name, size) SELECT id, doc->>''name'', (doc->>''size'')::int FROM batch ORDER BY id;'
        || format('INSERT INTO child (number, item, what, count%s)
                       SELECT batch.id, item.n - 1, item.value->>''what'', (item.value->>''count'')::int%s
                       FROM batch, jsonb_array_elements(doc->''items'') WITH ORDINALITY item (value, n) ORDER BY batch.id, n;',
                  CASE WHEN key <> '' THEN ', parent_id' END,
                  ', (SELECT ' || key || ' FROM parent WHERE parent.number = batch.id)')
$$;

CREATE TABLE verdict (number int GENERATED ALWAYS AS IDENTITY, kind text, oracle text, directly text, by_query text, counted text);
CREATE VIEW result AS SELECT kind, oracle, directly, by_query, counted FROM verdict ORDER BY number;

CREATE PROCEDURE in_schema(way text, script text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', way || ', public', true);
    EXECUTE script;
    PERFORM set_config('search_path', 'public', true);
END $$;

CREATE PROCEDURE build(tables text, mapping text) LANGUAGE plpgsql AS $$
DECLARE
    way text;
BEGIN
    PERFORM sluice.drop_pipeline(pipeline) FROM sluice.status;
    DROP SCHEMA IF EXISTS oracle, directly, by_query CASCADE;
    FOREACH way IN ARRAY ARRAY['oracle', 'directly', 'by_query'] LOOP
        EXECUTE format('CREATE SCHEMA %I', way);
        CALL in_schema(way, tables);
        IF way <> 'oracle' THEN
            CALL in_schema(way, format('SELECT sluice.create_shred(%L, ''source'', ''doc'', %L)', way, mapping));
        END IF;
    END LOOP;
END $$;

CREATE PROCEDURE write(way text, inserts text, batch_size int, commits boolean DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
    upto int;
BEGIN
    IF way = 'oracle' THEN
        FOR upto IN SELECT n + batch_size FROM generate_series(0, (SELECT max(id) - 1 FROM source), batch_size) n LOOP
            PERFORM set_config('test.after', (upto - batch_size)::text, true), set_config('test.upto', upto::text, true);
            CALL in_schema(way, inserts || '; SET CONSTRAINTS ALL IMMEDIATE');
            IF commits THEN
                COMMIT;
            END IF;
        END LOOP;
    ELSE
        PERFORM set_config('sluice.test_by_query', (way = 'by_query')::text, false);
        CALL sluice.run(way, batch_size => batch_size);
        SET sluice.test_by_query = off;
    END IF;
END $$;

CREATE FUNCTION content(way text, relation name) RETURNS TABLE (leaf name, row_ text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT (SELECT relname FROM pg_class WHERE oid = t.tableoid), t::text FROM %I.%I t', way, relation);
END $$;
CREATE VIEW tables AS
    SELECT n.nspname AS way, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('oracle', 'directly', 'by_query') AND c.relkind IN ('r', 'p') AND NOT c.relispartition;
CREATE FUNCTION difference(way text, relation name) RETURNS text LANGUAGE sql AS $$
    WITH a AS MATERIALIZED (SELECT * FROM content(way, relation)), b AS MATERIALIZED (SELECT * FROM content('oracle', relation)),
         d AS (SELECT (SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) s) AS more, (SELECT count(*) FROM (TABLE b EXCEPT ALL TABLE a) s) AS missing)
    SELECT format('%s: %s more, %s missing', relation, more, missing) FROM d WHERE more > 0 OR missing > 0
$$;
CREATE FUNCTION differences(way text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(difference(differences.way, name), '; ' ORDER BY name COLLATE "C"), 'equal') FROM tables WHERE tables.way = 'oracle'
$$;

CREATE PROCEDURE compare(kind text, tables text, key text DEFAULT NULL, mapping text DEFAULT NULL, inserts text DEFAULT NULL, batch_size int DEFAULT 7)
LANGUAGE plpgsql AS $$
BEGIN
    CALL build(tables, coalesce(mapping, mapping(key)));
    COMMIT;
    CALL write('oracle', coalesce(inserts, inserts(key)), batch_size, commits => true);
    CALL write('directly', NULL, batch_size);
    CALL write('by_query', NULL, batch_size);
    INSERT INTO verdict (kind, oracle, directly, by_query, counted)
        SELECT kind, (SELECT string_agg(name || ' ' || (SELECT count(*) FROM content('oracle', name)), ', ' ORDER BY name COLLATE "C")
                      FROM tables WHERE way = 'oracle'), differences('directly'), differences('by_query'),
               (SELECT string_agg(DISTINCT counted::text, ' or ')
                FROM (SELECT sum(inserted) AS counted FROM sluice.runs WHERE pipeline IN ('directly', 'by_query') GROUP BY pipeline) s);
    COMMIT;
END $$;

CREATE FUNCTION attempt(way text, inserts text, batch_size int, OUT error text, OUT rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    about_table text;
    about_column text;
    about_constraint text;
BEGIN
    BEGIN
        CALL write(way, inserts, batch_size);
        CALL in_schema(way, 'SET CONSTRAINTS ALL IMMEDIATE');
        error := 'none';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS about_table = TABLE_NAME, about_column = COLUMN_NAME, about_constraint = CONSTRAINT_NAME;
        error := concat_ws(' ', SQLSTATE, nullif(about_table, ''), nullif(about_column, ''), nullif(about_constraint, ''));
    END;
    SELECT sum((SELECT count(*) FROM content(tables.way, name))) INTO rows FROM tables
    WHERE tables.way = attempt.way AND name IN ('parent', 'child', 'root', 'base');
END $$;

CREATE PROCEDURE refuse(kind text, tables text, mapping text DEFAULT mapping(), inserts text DEFAULT inserts(), batch_size int DEFAULT 7)
LANGUAGE plpgsql AS $$
DECLARE
    outcomes text[];
    way text;
    seen record;
BEGIN
    CALL build(tables, mapping);
    COMMIT;
    FOREACH way IN ARRAY ARRAY['oracle', 'directly', 'by_query'] LOOP
        seen := attempt(way, inserts, batch_size);
        outcomes := outcomes || format('%s, %s rows', seen.error, seen.rows);
    END LOOP;
    INSERT INTO verdict (kind, oracle, directly, by_query)
        VALUES (kind, outcomes[1], coalesce(nullif(outcomes[2], outcomes[1]), 'equal'), coalesce(nullif(outcomes[3], outcomes[1]), 'equal'));
    COMMIT;
END $$;

-- ---- Tables

\set parent 'CREATE TABLE parent (number bigint, name text, size int);'
\set keyed  'CREATE TABLE parent (id serial PRIMARY KEY, number bigint, name text, size int);'
\set child  'CREATE TABLE child (number bigint, item int, what text, count int, parent_id int);'

-- how it looks when something differs
CALL compare('(another mapping)', :'parent' || :'child', mapping => replace(mapping(), '$.size', '$.no'));
CALL compare('plain', :'parent' || :'child');
CALL compare('key by serial', :'keyed' || :'child', key => 'id');
CALL compare('key by identity', $$
    CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint, name text, size int);
    CREATE TABLE child (id int GENERATED BY DEFAULT AS IDENTITY (START 7 INCREMENT 3), number bigint, item int, what text, count int, parent_id int) $$, key => 'id');
CALL compare('one document a batch', :'keyed' || :'child', key => 'id', batch_size => 1);
CALL compare('all in one batch', :'keyed' || :'child', key => 'id', batch_size => 100);
CALL compare('foreign key', :'keyed' || :'child' || 'ALTER TABLE child ADD FOREIGN KEY (parent_id) REFERENCES parent', key => 'id');
-- named in the other order
CALL compare('child first', :'keyed' || :'child' || 'ALTER TABLE child ADD FOREIGN KEY (parent_id) REFERENCES parent', mapping => '{
    "child":  { "parent": "parent", "each": "$.items[*]",
                "columns": { "number": "#source.id", "item": "@index", "what": "@.what", "count": "@.count", "parent_id": "parent.id" } },
    "parent": { "columns": { "number": "#source.id", "name": "$.name", "size": "$.size" } } }', inserts => inserts('id'));
CALL compare('dropped and added columns', $$
    CREATE TABLE parent (gone text DEFAULT 'gone', id serial PRIMARY KEY, number bigint, away int NOT NULL DEFAULT 4, name text, size int, last text);
    ALTER TABLE parent DROP gone, DROP away, DROP last, ADD added int DEFAULT 7;
    CREATE TABLE child (x int, parent_id int, item int, what text, y int, count int, number bigint);
    ALTER TABLE child DROP x, DROP y $$, key => 'id');
CALL compare('unlogged', replace(:'keyed' || :'child', 'CREATE TABLE', 'CREATE UNLOGGED TABLE'), key => 'id');
CALL compare('inheritance', $$
    CREATE TABLE grandparent (id serial PRIMARY KEY, number bigint, name text, extra text DEFAULT 'above');
    CREATE TABLE parent (size int, extra text DEFAULT 'here') INHERITS (grandparent);
    CREATE TABLE heir (more int DEFAULT 1) INHERITS (parent);
    CREATE TABLE child (parent_id int, item int, what text, count int, number bigint);
    CREATE TABLE grandchild () INHERITS (child) $$, key => 'id');
CREATE ACCESS METHOD regress_sluice_heap TYPE TABLE HANDLER heap_tableam_handler;
CALL compare('access method', replace(:'keyed' || :'child', ');', ') USING regress_sluice_heap;'), key => 'id');
CALL compare('indexes', $$
    CREATE TABLE parent (id serial PRIMARY KEY, number bigint UNIQUE, name text, size int);
    CREATE UNIQUE INDEX ON parent (lower(name)) WHERE size > 2;
    CREATE INDEX ON parent USING hash (name);
    CREATE INDEX ON parent USING brin (size);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE INDEX ON child USING gin (to_tsvector('simple', what));
    CREATE INDEX ON child USING gist (point(item, count)) $$);
CALL compare('one table twice', :'keyed' || :'child', mapping => '{
    "parent":      { "columns": { "number": "#source.id", "name": "$.name", "size": "$.size" } },
    "child":       { "parent": "parent", "each": "$.items[*]", "columns": { "number": "#source.id", "item": "@index", "parent_id": "parent.id" } },
    "\"child\"":   { "parent": "parent", "each": "$.items[*]", "columns": { "what": "@.what", "count": "@.count" } } }', inserts => $$
    INSERT INTO parent (number, name, size) SELECT id, doc->>'name', (doc->>'size')::int FROM batch ORDER BY id;
    INSERT INTO child (number, item, parent_id) SELECT batch.id, n - 1, batch.id FROM batch, generate_series(1, jsonb_array_length(doc->'items')) n;
    INSERT INTO child (what, count)
        SELECT item->>'what', (item->>'count')::int FROM batch, jsonb_array_elements(doc->'items') item $$);
TABLE result;
TRUNCATE verdict;

-- Temporary tables are of one session: the pipeline of the same session writes them.
CREATE TEMP TABLE parent (id serial PRIMARY KEY, number bigint, name text, size int);
CREATE TEMP TABLE child (number bigint, item int, what text, count int, parent_id int REFERENCES parent);
SELECT sluice.create_shred('temporary', 'source', 'doc', mapping('id')::json);
CALL sluice.run('temporary', batch_size => 20);
SELECT count(*), count(DISTINCT id) FROM parent;
SELECT count(*), sum(count) FROM child JOIN parent ON id = parent_id AND child.number = parent.number;
TRUNCATE parent, child;
SELECT sluice.drop_pipeline('temporary');
SELECT sluice.create_shred('temporary', 'source', 'doc', mapping('id')::json);
SET sluice.test_by_query = on;
CALL sluice.run('temporary', batch_size => 20);
RESET sluice.test_by_query;
SELECT count(*), count(DISTINCT id) FROM parent;
SELECT count(*), sum(count) FROM child JOIN parent ON id = parent_id AND child.number = parent.number;
DROP TABLE parent, child CASCADE;

-- ---- Columns that the mapping leaves out

CALL compare('defaults', $$
    CREATE TABLE parent (number bigint, name text, size int, note text DEFAULT 'noted', day date DEFAULT '2020-02-02', made int DEFAULT 6 * 7,
                         list int[] DEFAULT '{1,2}', nothing text DEFAULT NULL, id text DEFAULT 'key ' || 1 + 1);
    CREATE TABLE child (number bigint, item int, what text, count int, flag boolean DEFAULT true, parent_id text, n serial) $$, key => 'id');
CALL compare('only defaults', 'CREATE TABLE parent (id serial, note text DEFAULT ''noted'')',
    mapping => '{"parent": {"columns": {"note": "#default"}}}', inserts => 'INSERT INTO parent SELECT FROM batch');
CALL compare('generated columns', $$
    CREATE TABLE parent (number bigint, name text, size int, title text GENERATED ALWAYS AS (upper(name) || ' of size ' || size) STORED);
    CREATE TABLE child (twice int GENERATED ALWAYS AS (count * 2) STORED, number bigint, item int, what text, count int) $$);
CALL compare('domains', $$
    CREATE DOMAIN positive AS int CHECK (value > 0) DEFAULT 5;
    CREATE DOMAIN filled AS text NOT NULL DEFAULT 'filled';
    CREATE DOMAIN small AS int CHECK (value < 1000);
    CREATE TYPE pair AS (a small, b filled);
    CREATE TABLE parent (number positive, name filled, size int, more filled, other positive, odd small, both_ pair);
    CREATE TABLE child (number bigint, item int, what filled, count small, list small[]) $$);
-- A function that looks at the table sees the rows put before, as in an INSERT.
CALL compare('volatile defaults', $$
    CREATE TABLE parent (number bigint, name text, size int);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION rows_of(name regclass) RETURNS bigint LANGUAGE plpgsql AS 'DECLARE n bigint; BEGIN EXECUTE ''SELECT count(*) FROM '' || name INTO n; RETURN n; END';
    ALTER TABLE parent ADD before bigint DEFAULT rows_of('parent');
    ALTER TABLE child ADD before bigint DEFAULT rows_of('child') $$);
TABLE result;
TRUNCATE verdict;

-- What a generated column or a BEFORE trigger made of a value is what children get, directly; by query it cannot be read back.
CREATE TABLE parent (number bigint, name text, size int, id text GENERATED ALWAYS AS (upper(name)) STORED PRIMARY KEY);
CREATE TABLE child (number bigint, item int, what text, count int, parent_id text REFERENCES parent);
SELECT sluice.create_shred('stored', 'source', 'doc', mapping('id')::json);
CALL sluice.run('stored', batch_size => 20);
SELECT count(*) FROM parent JOIN child ON id = parent_id WHERE id = 'N' || child.number;
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$;
CREATE TRIGGER change BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION change();
TRUNCATE parent, child;
SELECT sluice.drop_pipeline('stored');
SELECT sluice.create_shred('stored', 'source', 'doc', mapping('id')::json);
CALL sluice.run('stored', batch_size => 20);
SELECT count(*) FROM parent JOIN child ON id = parent_id WHERE id = 'N' || child.number || '!';
INSERT INTO source (doc) SELECT doc FROM source WHERE id = 1;
SET sluice.test_by_query = on;
CALL sluice.run('stored');
RESET sluice.test_by_query;
SELECT sluice.drop_pipeline('stored');
DROP TABLE parent, child;
DROP FUNCTION change;
SELECT fill(30, 1);

-- ---- Constraints that hold

CALL compare('constraints', $$
    CREATE TABLE parent (number bigint NOT NULL UNIQUE, name text NOT NULL CHECK (name LIKE 'n%'), size int CHECK (size < 7),
                         EXCLUDE USING gist (int8range(number, number, '[]') WITH &&));
    CREATE TABLE child (number bigint NOT NULL REFERENCES parent (number), item int, what text, count int CHECK (count > number), UNIQUE (number, item),
                        EXCLUDE USING btree (count WITH =) DEFERRABLE INITIALLY DEFERRED, CHECK (item < count)) $$);
-- A function in a CHECK sees the rows put before, too.
CALL compare('CHECK looks at the parent', $$
    CREATE TABLE parent (number bigint UNIQUE, name text, size int);
    CREATE FUNCTION has_parent(n bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM parent WHERE number = n); END';
    CREATE TABLE child (number bigint CHECK (has_parent(number)), item int, what text, count int) $$);
CALL compare('CHECK of a leaf looks at the parent', $$
    CREATE TABLE parent (number bigint UNIQUE, name text, size int);
    CREATE FUNCTION has_parent(n bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM parent WHERE number = n); END';
    CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child (CHECK (has_parent(number))) FOR VALUES IN ('a');
    CREATE TABLE child_rest PARTITION OF child DEFAULT $$);
-- violated within a batch, repaired before they are checked
CALL compare('unique at the end of the statement', $$
    CREATE TABLE parent (number bigint, name text, size int UNIQUE DEFERRABLE);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION repair() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM parent WHERE size = NEW.size AND number <> NEW.number; RETURN NULL; END';
    CREATE TRIGGER "A repair" AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION repair() $$, batch_size => 20);
CALL compare('unique at the end of the batch', $$
    CREATE TABLE parent (number bigint, name text, size int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION repair() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE parent SET size = 1000 + number WHERE size < 1000; RETURN NULL; END';
    CREATE TRIGGER repair AFTER INSERT ON child EXECUTE FUNCTION repair() $$, batch_size => 20);
CALL compare('exclusion at the end of the batch', $$
    CREATE TABLE parent (number bigint, name text, size int, EXCLUDE (size WITH =) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION repair() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM parent WHERE size = NEW.size AND number < NEW.number; RETURN NULL; END';
    CREATE TRIGGER repair AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION repair() $$, batch_size => 20);
CALL compare('unique, a trigger makes room', $$
    CREATE TABLE parent (number bigint, name text, size int UNIQUE);
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION make_room() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM parent WHERE size = NEW.size; RETURN NEW; END';
    CREATE TRIGGER make_room BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION make_room() $$, batch_size => 20);
TABLE result;
TRUNCATE verdict;

-- ---- Triggers

CALL compare('before row', $$
    CREATE TABLE parent (number bigint, name text, size int, seen bigint);
    CREATE TABLE child (number bigint, item int, what text, count int, seen text);
    CREATE FUNCTION change_parent() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        IF NEW.size = 3 THEN RETURN NULL; END IF;
        NEW.name := upper(NEW.name);
        NEW.seen := (SELECT count(*) FROM parent);
        RETURN NEW; END';
    CREATE TRIGGER change BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION change_parent();
    -- it finds the row of its parent, and the children before it
    CREATE FUNCTION change_child() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        NEW.seen := (SELECT name FROM parent WHERE number = NEW.number) || (SELECT count(*) FROM child);
        RETURN CASE WHEN NEW.item < 2 THEN NEW END; END';
    CREATE TRIGGER change BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION change_child() $$);
CALL compare('before row, of the child only', $$
    CREATE TABLE parent (id serial PRIMARY KEY, number bigint, name text, size int);
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id int REFERENCES parent);
    CREATE FUNCTION change_child() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        NEW.what := (SELECT name FROM parent WHERE id = NEW.parent_id) || (SELECT count(*) FROM child);
        RETURN CASE WHEN NEW.item < 2 THEN NEW END; END';
    CREATE TRIGGER change BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION change_child() $$, key => 'id');

-- the log says in which order triggers of one table fired, for which row, and how many rows they saw
SELECT $$
    CREATE TABLE log_parent (n serial, line text);
    CREATE TABLE log_child (n serial, line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        EXECUTE format('INSERT INTO log_%1$s (line) SELECT concat_ws('' '', $1, count(*)) FROM %1$s', TG_ARGV[0])
            USING concat_ws(' ', TG_TABLE_NAME, TG_NAME, TG_WHEN, TG_LEVEL, CASE WHEN TG_LEVEL = 'ROW' THEN NEW::text END);
        RETURN NEW; END $f$;
    CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        EXECUTE format('INSERT INTO log_%1$s (line) SELECT concat_ws('' '', $1, count(*)) FROM %1$s', TG_ARGV[0])
            USING concat_ws(' ', TG_TABLE_NAME, TG_NAME, (SELECT string_agg(added::text, ' ' ORDER BY added::text) FROM added));
        RETURN NULL; END $f$;
$$ AS log \gset
SELECT $$
    CREATE TRIGGER a_statement BEFORE INSERT ON parent EXECUTE FUNCTION note('parent');
    CREATE TRIGGER b_row AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION note('parent');
    CREATE TRIGGER c_some AFTER INSERT ON parent FOR EACH ROW WHEN (NEW.size > 4) EXECUTE FUNCTION note('parent');
    CREATE TRIGGER e_statement AFTER INSERT ON parent EXECUTE FUNCTION note('parent');
    CREATE TRIGGER a_statement BEFORE INSERT ON child EXECUTE FUNCTION note('child');
    CREATE TRIGGER b_row AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION note('child');
    CREATE TRIGGER e_statement AFTER INSERT ON child EXECUTE FUNCTION note('child');
$$ AS after \gset
SELECT $$
    CREATE TRIGGER f_rows AFTER INSERT ON parent REFERENCING NEW TABLE AS added EXECUTE FUNCTION note_rows('parent');
    CREATE TRIGGER f_rows AFTER INSERT ON child REFERENCING NEW TABLE AS added EXECUTE FUNCTION note_rows('child');
$$ AS transition \gset
CALL compare('after', :'parent' || :'child' || :'log' || :'after');
CALL compare('after, transition tables', :'parent' || :'child' || :'log' || :'after' || :'transition' || $$
    CREATE TRIGGER d_row AFTER INSERT ON parent REFERENCING NEW TABLE AS added FOR EACH ROW EXECUTE FUNCTION note_rows('parent') $$);
CALL compare('after, deferred', :'parent' || :'child' || :'log' || $$
    CREATE CONSTRAINT TRIGGER row_ AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note('parent');
    CREATE CONSTRAINT TRIGGER row_ AFTER INSERT ON child DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note('child') $$);
CALL compare('before and after', :'parent' || :'child' || :'log' || :'after' || :'transition' || $$
    CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''changed''; RETURN CASE WHEN NEW.size <> 3 THEN NEW END; END';
    CREATE TRIGGER few BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION few() $$);
CALL compare('statement triggers, no rows', :'parent' || :'child' || :'log' || $$
    CREATE TRIGGER a_statement BEFORE INSERT ON child EXECUTE FUNCTION note('child');
    CREATE TRIGGER e_statement AFTER INSERT ON child EXECUTE FUNCTION note('child') $$,
    mapping => replace(mapping(), 'items', 'none'), inserts => replace(inserts(), 'items', 'none'));
-- a trigger that writes into the targets and looks at them
CALL compare('a trigger writes targets', :'parent' || :'child' || $$
    CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        INSERT INTO child (number, what) VALUES (NEW.number, ''more '' || NEW.name);
        INSERT INTO child (number, what) SELECT NEW.number, ''found '' || name FROM parent WHERE number = NEW.number - 1;
        RETURN NEW; END';
    CREATE TRIGGER more BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION more() $$, batch_size => 30);
TABLE result;
TRUNCATE verdict;

-- A trigger that runs another pipeline, in the middle of a batch, into the same table.
CREATE TABLE parent (number bigint, name text, size int);
CREATE TABLE child (number bigint, item int, what text, count int);
SELECT sluice.create_shred('outer', 'source', 'doc', mapping()::json);
SELECT sluice.create_shred('inner', 'source', 'doc', '{"child": {"columns": {"number": "#source.id", "what": "$.name"}}}');
CREATE FUNCTION run_inner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number % 10 = 0 THEN
        PERFORM sluice.run_batch('inner', 4);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER run_inner BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION run_inner();
CALL sluice.run('outer', batch_size => 15);
SELECT count(*) FROM parent;
SELECT count(*) FILTER (WHERE item IS NOT NULL) AS "by outer", count(*) FILTER (WHERE item IS NULL) AS "by inner", count(DISTINCT number) FILTER (WHERE item IS NULL) FROM child;
SELECT pipeline, status, batches, source_rows, inserted FROM sluice.runs WHERE pipeline IN ('outer', 'inner') ORDER BY run_id;
DROP TABLE parent, child;
DROP FUNCTION run_inner;

-- ---- Partitions

CALL compare('list, range, hash', $$
    CREATE TABLE parent (number bigint, name text, size int) PARTITION BY LIST (size);
    CREATE TABLE parent_low PARTITION OF parent FOR VALUES IN (0, 1, 2);
    CREATE TABLE parent_high PARTITION OF parent FOR VALUES IN (4, 5, 6);
    CREATE TABLE parent_rest PARTITION OF parent DEFAULT;
    CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN ('a');
    CREATE TABLE child_bc PARTITION OF child FOR VALUES IN ('b', 'c') PARTITION BY RANGE (count);
    CREATE TABLE child_bc_low PARTITION OF child_bc FOR VALUES FROM (MINVALUE) TO (100);
    CREATE TABLE child_bc_high PARTITION OF child_bc FOR VALUES FROM (100) TO (MAXVALUE) PARTITION BY HASH (item);
    CREATE TABLE child_bc_high_0 PARTITION OF child_bc_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE child_bc_high_1 PARTITION OF child_bc_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE child_rest PARTITION OF child DEFAULT $$);
-- leaves with other columns; the root's defaults count
CALL compare('other columns', $$
    CREATE TABLE parent (gone int, number bigint, name text, size int, note text DEFAULT 'root') PARTITION BY RANGE (size);
    ALTER TABLE parent DROP gone;
    CREATE TABLE parent_low (size int, x text, note text DEFAULT 'leaf', name text DEFAULT 'leaf', number bigint, y int);
    ALTER TABLE parent_low DROP x, DROP y;
    ALTER TABLE parent ATTACH PARTITION parent_low FOR VALUES FROM (0) TO (4);
    CREATE TABLE parent_rest PARTITION OF parent (note DEFAULT 'rest') DEFAULT;
    CREATE TABLE child (number bigint, item int, what text, count int, twice int GENERATED ALWAYS AS (count * 2) STORED, n serial, parent_id text) PARTITION BY HASH (what);
    CREATE TABLE child_0 (twice int GENERATED ALWAYS AS (count * 2) STORED, n int NOT NULL DEFAULT 77, what text, parent_id text, number bigint, item int, count int);
    ALTER TABLE child ATTACH PARTITION child_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE child_1 PARTITION OF child FOR VALUES WITH (MODULUS 2, REMAINDER 1) $$, key => 'name');
CALL compare('constraints and indexes of leaves', $$
    CREATE TABLE parent (number bigint, name text, size int, PRIMARY KEY (number, size)) PARTITION BY LIST (size);
    CREATE TABLE parent_low PARTITION OF parent (CHECK (number < 1000), EXCLUDE (name WITH =)) FOR VALUES IN (0, 1, 2);
    CREATE TABLE parent_rest (size int NOT NULL, name text, number bigint NOT NULL);
    ALTER TABLE parent ATTACH PARTITION parent_rest DEFAULT;
    CREATE INDEX ON parent_rest (lower(name));
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id int,
                        FOREIGN KEY (number, parent_id) REFERENCES parent (number, size)) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN ('a');
    CREATE TABLE child_rest (number bigint, what text, item int, count int, parent_id int, UNIQUE (number, item));
    ALTER TABLE child ATTACH PARTITION child_rest DEFAULT $$, key => 'size');
SELECT $$
    CREATE TABLE parent (number bigint, name text, size int) PARTITION BY LIST (size);
    CREATE TABLE parent_low (name text, x int, size int, number bigint);
    ALTER TABLE parent_low DROP x;
    ALTER TABLE parent ATTACH PARTITION parent_low FOR VALUES IN (0, 1, 2);
    CREATE TABLE parent_high PARTITION OF parent FOR VALUES IN (4, 5, 6);
    CREATE TABLE parent_rest PARTITION OF parent DEFAULT;
    CREATE TABLE child (number bigint, item int, what text, count int);
    CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        NEW.name := (SELECT count(*) FROM parent);
        RETURN CASE WHEN NEW.size <> 1 THEN NEW END; END';
$$ AS listed \gset
CALL compare('before row, of a leaf', :'listed' || :'log' || $$
    CREATE TRIGGER change BEFORE INSERT ON parent_low FOR EACH ROW EXECUTE FUNCTION change();
    CREATE TRIGGER b_row AFTER INSERT ON parent_low FOR EACH ROW EXECUTE FUNCTION note('parent');
    CREATE TRIGGER b_row AFTER INSERT ON parent_high FOR EACH ROW EXECUTE FUNCTION note('parent');
    CREATE TRIGGER c_statement AFTER INSERT ON parent_high EXECUTE FUNCTION note('parent') $$);
CALL compare('before row, of the root', :'listed' || 'CREATE TRIGGER change BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION change()');
CALL compare('transition table of the root', :'listed' || :'log' || $$
    CREATE TRIGGER f_rows AFTER INSERT ON parent REFERENCING NEW TABLE AS added EXECUTE FUNCTION note_rows('parent') $$);
CALL compare('transition table, before row of a leaf', :'listed' || :'log' || $$
    CREATE TRIGGER change BEFORE INSERT ON parent_low FOR EACH ROW EXECUTE FUNCTION change();
    CREATE TRIGGER f_rows AFTER INSERT ON parent REFERENCING NEW TABLE AS added EXECUTE FUNCTION note_rows('parent') $$);
CALL compare('volatile default of the root', :'listed' || $$
    CREATE FUNCTION rows_so_far() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM parent); END';
    ALTER TABLE parent ADD before bigint DEFAULT rows_so_far() $$);
CALL compare('straight into a leaf', $$
    CREATE TABLE root (name text, number bigint, size int) PARTITION BY RANGE (number);
    CREATE TABLE parent (id serial, size int, gone int, name text, number bigint);
    ALTER TABLE parent DROP gone, DROP id;
    ALTER TABLE root ATTACH PARTITION parent FOR VALUES FROM (1) TO (31);
    CREATE TABLE child (number bigint, item int, what text, count int) $$);
CALL compare('straight into a middle level', $$
    CREATE TABLE root (number bigint, name text, size int) PARTITION BY RANGE (number);
    CREATE TABLE parent (name text, size int, number bigint) PARTITION BY LIST (size);
    ALTER TABLE root ATTACH PARTITION parent FOR VALUES FROM (1) TO (31);
    CREATE TABLE parent_rest (number bigint, size int, name text);
    ALTER TABLE parent ATTACH PARTITION parent_rest DEFAULT;
    CREATE TABLE child (number bigint, item int, what text, count int) $$);
-- root and leaf in one mapping
CALL compare('root and leaf', $$
    CREATE TABLE parent (number bigint, name text, size int, note text DEFAULT 'root') PARTITION BY LIST (size);
    CREATE TABLE child (note text DEFAULT 'leaf', size int, number bigint, name text);
    ALTER TABLE parent ATTACH PARTITION child FOR VALUES IN (0, 1, 2, 100);
    CREATE TABLE rest PARTITION OF parent DEFAULT $$,
    mapping => '{ "parent": { "columns": { "number": "#source.id", "name": "$.name", "size": "$.size" } },
                  "child": { "parent": "parent", "each": "$.items[*]", "columns": { "number": "parent.number", "name": "@.what", "size": {"path": "@.no", "default": 100} } } }',
    inserts => $$ INSERT INTO parent (number, name, size) SELECT id, doc->>'name', (doc->>'size')::int FROM batch ORDER BY id;
                  INSERT INTO child (number, name, size) SELECT id, item->>'what', 100 FROM batch, jsonb_array_elements(doc->'items') item; $$);
-- as many leaves as rows
CALL compare('two hundred leaves', $$
    CREATE TABLE parent (number bigint, name text, size int) PARTITION BY LIST (number);
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id text) PARTITION BY RANGE (count);
    DO $d$ BEGIN
        FOR i IN 1..30 LOOP
            EXECUTE format('CREATE TABLE parent_%1$s PARTITION OF parent FOR VALUES IN (%1$s)', i);
        END LOOP;
        FOR i IN 0..199 LOOP
            EXECUTE format('CREATE TABLE child_%s PARTITION OF child FOR VALUES FROM (%s) TO (%s)', i, i * 2, i * 2 + 2);
        END LOOP;
    END $d$ $$, key => 'name', batch_size => 30);
TABLE result;
TRUNCATE verdict;

-- ---- Many rows: more than a buffer holds, than all buffers hold, than there are buffers; large ones

SELECT fill(3000, 4);
SELECT count(*), sum(jsonb_array_length(doc->'items')) FROM source;
CALL compare('thousands', $$
    CREATE SEQUENCE keys;
    CREATE TABLE parent (id text DEFAULT 'key ' || nextval('keys') PRIMARY KEY, number bigint, name text, size int);
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id text REFERENCES parent) $$, key => 'id', batch_size => 2500);
CALL compare('thousands, partitioned', $$
    CREATE TABLE parent (number bigint PRIMARY KEY, name text, size int) PARTITION BY HASH (number);
    CREATE TABLE child (parent_id bigint REFERENCES parent, item int, what text, count int, number bigint) PARTITION BY HASH (count);
    DO $d$ BEGIN
        FOR i IN 0..29 LOOP
            EXECUTE format('CREATE TABLE child_%1$s PARTITION OF child FOR VALUES WITH (MODULUS 30, REMAINDER %1$s)', i);
        END LOOP;
        FOR i IN 0..49 LOOP
            EXECUTE format('CREATE TABLE parent_%1$s PARTITION OF parent FOR VALUES WITH (MODULUS 50, REMAINDER %1$s)', i);
        END LOOP;
    END $d$ $$, key => 'number', batch_size => 2500);
SELECT fill(30, 1);
-- values of 20 kB that do not compress are stored out of line
CALL compare('large values', $$
    CREATE FUNCTION noise(seed bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT string_agg(md5(seed || ''-'' || n), '''') FROM generate_series(1, 625) n';
    CREATE TABLE parent (number bigint, name text, size int, noise text GENERATED ALWAYS AS (noise(number)) STORED, zeros text DEFAULT repeat('0', 20000));
    CREATE TABLE child (number bigint, item int, what text, count int, noise text GENERATED ALWAYS AS (noise(count)) STORED);
    ALTER TABLE child ALTER noise SET STORAGE EXTERNAL $$, batch_size => 30);
SELECT count(*), min(length(noise)), max(length(noise)) FROM directly.child;
UPDATE source SET doc = doc || jsonb_build_object('noise', (SELECT string_agg(md5(id || '-' || n), '') FROM generate_series(1, 625) n));
CALL compare('large keys', $$
    CREATE TABLE parent (id text, number bigint, size int);
    CREATE TABLE child (parent_id text, item int) $$,
    mapping => '{ "parent": { "columns": { "id": "$.noise", "number": "#source.id", "size": "$.size" } },
                  "child": { "parent": "parent", "each": "$.items[*]", "columns": { "parent_id": "parent.id", "item": "@index" } } }',
    inserts => $$ INSERT INTO parent SELECT doc->>'noise', id, (doc->>'size')::int FROM batch;
                  INSERT INTO child SELECT doc->>'noise', n FROM batch, generate_series(0, jsonb_array_length(doc->'items') - 1) n $$, batch_size => 30);
SELECT fill(30, 1);
TABLE result;
TRUNCATE verdict;

-- ---- Views, rules

CALL compare('updatable view', $$
    CREATE TABLE base (id serial, number bigint, title text DEFAULT 'base', size int, note text DEFAULT 'base');
    CREATE VIEW parent AS SELECT size, title AS name, number, note FROM base WHERE size < 7 WITH CHECK OPTION;
    ALTER VIEW parent ALTER note SET DEFAULT 'view';
    CREATE TABLE child_base (number bigint, item int, what text, count int, extra text DEFAULT 'base', parent_id text);
    CREATE VIEW child AS TABLE child_base $$, key => 'name');
CALL compare('updatable view, only defaults', $$
    CREATE TABLE base (note text DEFAULT 'base', id serial, size int DEFAULT 1);
    CREATE VIEW parent AS SELECT note, size, id FROM base;
    ALTER VIEW parent ALTER size SET DEFAULT 2 $$,
    mapping => '{"parent": {"columns": {"id": "#default"}}}', inserts => 'INSERT INTO parent SELECT FROM batch');
CALL compare('INSTEAD OF', $$
    CREATE TABLE base (n serial, number bigint, title text, size int);
    CREATE VIEW parent AS SELECT number, title AS name, count(*)::int AS size FROM base GROUP BY 1, 2;
    CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
        INSERT INTO base (number, title, size) VALUES (NEW.number, upper(NEW.name), (SELECT count(*) FROM base)); RETURN NEW; END';
    CREATE TRIGGER put INSTEAD OF INSERT ON parent FOR EACH ROW EXECUTE FUNCTION put();
    CREATE TABLE child (number bigint, item int, what text, count int) $$);
CALL compare('DO ALSO', :'parent' || :'child' || $$
    CREATE TABLE log (number bigint, name text);
    CREATE RULE also AS ON INSERT TO parent DO ALSO INSERT INTO log VALUES (NEW.number, NEW.name) $$);
CALL compare('DO INSTEAD', :'parent' || :'child' || $$
    CREATE TABLE log (number bigint, name text);
    CREATE RULE aside AS ON INSERT TO parent WHERE NEW.size = 3 DO INSTEAD INSERT INTO log VALUES (NEW.number, NEW.name);
    CREATE RULE nothing AS ON INSERT TO child DO INSTEAD NOTHING $$);
TABLE result;
TRUNCATE verdict;

-- ---- Row-level security, forced on the owner of tables and pipelines

CREATE ROLE regress_sluice_owner;
GRANT SELECT ON source, batch TO regress_sluice_owner;
CREATE SCHEMA secured AUTHORIZATION regress_sluice_owner;
SET ROLE regress_sluice_owner;
SET search_path = secured, public;
CREATE TABLE parent (id serial PRIMARY KEY, number bigint, name text, size int);
CREATE TABLE child (number bigint, item int, what text, count int, parent_id int REFERENCES parent);
CREATE TABLE child_inserted (LIKE child);
ALTER TABLE parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE child ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY put ON parent FOR INSERT WITH CHECK (size < 6 AND name LIKE 'n%');
CREATE POLICY get ON parent FOR SELECT USING (size <> 3);
CREATE POLICY put ON child FOR INSERT WITH CHECK (count < 250);
SELECT sluice.create_shred('secured', 'source', 'doc', mapping('id')::json);
-- the sixth document has size 6
CALL sluice.run('secured', batch_size => 5);
SELECT count(*) FROM parent;
RESET ROLE;
SELECT count(*) FROM parent;
ALTER POLICY put ON parent WITH CHECK (current_user = 'regress_sluice_owner');
-- the twenty-fifth one has an item above 250
CALL sluice.run('secured', batch_size => 5);
SELECT count(*) FROM parent;
ALTER POLICY put ON child WITH CHECK (count < 1000);
SET ROLE regress_sluice_owner;
CALL sluice.run('secured', batch_size => 5);
RESET ROLE;
SELECT set_config('test.after', '0', false), set_config('test.upto', '30', false);
INSERT INTO child_inserted SELECT number, item, what, count, id FROM (SELECT batch.id AS number, n - 1 AS item, value->>'what' AS what, (value->>'count')::int AS count
    FROM batch, jsonb_array_elements(doc->'items') WITH ORDINALITY item (value, n)) s JOIN parent USING (number);
SELECT count(*), (SELECT count(*) FROM (TABLE child EXCEPT ALL TABLE child_inserted) s) AS surplus,
       (SELECT count(*) FROM (TABLE child_inserted EXCEPT ALL TABLE child) s) AS missing FROM child;
SELECT sluice.drop_pipeline('secured');
RESET search_path;
DROP SCHEMA secured CASCADE;
DROP OWNED BY regress_sluice_owner;
DROP ROLE regress_sluice_owner;

-- ---- Foreign tables and partitions, by a connection back into this database; where postgres_fdw is missing, the same is written down

SELECT count(*) > 0 AS has_postgres_fdw FROM pg_available_extensions WHERE name = 'postgres_fdw' \gset
\if :has_postgres_fdw
CREATE EXTENSION postgres_fdw;
SELECT format('CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
              split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database()) AS create_server \gset
:create_server;
CREATE USER MAPPING FOR CURRENT_USER SERVER loopback;
-- foreign_table() makes one over a table of the same schema
CREATE PROCEDURE foreign_table(name text, columns text, base text, options text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE %I (%s) SERVER loopback OPTIONS (schema_name %L, table_name %L%s)', name, columns, current_schema, base, options);
END $$;
CALL compare('foreign tables', $$
    CREATE TABLE parent_base (number bigint, name text, size int, note text DEFAULT 'there');
    CREATE TABLE child_base (number bigint, item int, what text, count int, parent_id text);
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
    CREATE TRIGGER shout BEFORE INSERT ON parent_base FOR EACH ROW EXECUTE FUNCTION shout();
    CALL foreign_table('parent', 'number bigint, name text, size int, note text DEFAULT ''here''', 'parent_base');
    CALL foreign_table('child', 'number bigint, item int, what text, count int, parent_id text', 'child_base', ', batch_size ''10''') $$,
    key => 'number');
CALL compare('foreign table, triggers', $$
    CREATE TABLE parent_base (number bigint, name text, size int);
    CALL foreign_table('parent', 'number bigint, name text, size int', 'parent_base');
    CREATE TABLE child (number bigint, item int, what text, count int); $$ || :'log' || $$
    CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
    CREATE TRIGGER a_change BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION change();
    CREATE FUNCTION line() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log_parent (line) VALUES (concat_ws('' '', TG_NAME, TG_WHEN, NEW)); RETURN NULL; END';
    CREATE TRIGGER b_row AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION line();
    CREATE TRIGGER c_statement AFTER INSERT ON parent EXECUTE FUNCTION line() $$);
CALL compare('foreign partitions', $$
    CREATE TABLE parent (number bigint, name text, size int, note text DEFAULT 'root') PARTITION BY LIST (size);
    CREATE TABLE near PARTITION OF parent FOR VALUES IN (0, 1, 2);
    CREATE TABLE far_base (size int, name text, number bigint, note text);
    CALL foreign_table('far', 'size int, name text, number bigint, note text', 'far_base');
    ALTER TABLE parent ATTACH PARTITION far DEFAULT;
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id bigint) PARTITION BY LIST (what);
    CREATE TABLE child_near PARTITION OF child DEFAULT;
    CREATE TABLE child_base (count int, what text, number bigint, item int, parent_id bigint);
    CALL foreign_table('child_far', 'count int, what text, number bigint, item int, parent_id bigint', 'child_base', ', batch_size ''10''');
    ALTER TABLE child ATTACH PARTITION child_far FOR VALUES IN ('a', 'c') $$, key => 'number');
CALL build('CREATE TABLE parent (number bigint, name text, size int); CREATE TABLE child (number bigint, item int, what text, count int)', mapping());
DROP PROCEDURE foreign_table;
DROP EXTENSION postgres_fdw CASCADE;
\else
INSERT INTO verdict (kind, oracle, directly, by_query, counted) VALUES
    ('foreign tables', 'child_base 45, parent_base 30', 'equal', 'equal', '75'),
    ('foreign table, triggers', 'child 45, log_child 0, log_parent 35, parent_base 30', 'equal', 'equal', '75'),
    ('foreign partitions', 'child 45, child_base 18, far_base 16, parent 30', 'equal', 'equal', '75');
\endif
TABLE result;
TRUNCATE verdict;

-- ---- Logical decoding: every row arrives, whole; where wal_level is less than logical, the same is written down

CALL build($$
    CREATE TABLE parent (id serial PRIMARY KEY, number bigint, name text, size int, large text DEFAULT repeat('0123456789', 2000));
    ALTER TABLE parent ALTER large SET STORAGE EXTERNAL;
    CREATE TABLE child (number bigint, item int, what text, count int, parent_id int REFERENCES parent);
    ALTER TABLE child REPLICA IDENTITY FULL $$, mapping('id'));
SELECT current_setting('wal_level') = 'logical' AS is_logical \gset
\if :is_logical
SELECT 'regress_sluice' AS slot FROM pg_create_logical_replication_slot('regress_sluice', 'test_decoding') \gset
CALL write('oracle', inserts('id'), 7);
CALL write('directly', NULL, 7);
CALL write('by_query', NULL, 7);
CREATE TABLE decoded AS SELECT data FROM pg_logical_slot_get_changes('regress_sluice', NULL, NULL, 'include-xids', '0');
SELECT 'dropped' AS slot FROM pg_drop_replication_slot('regress_sluice') \gset
INSERT INTO verdict (kind, oracle, directly, by_query)
    SELECT 'decoded ' || t, (SELECT count(*) FROM decoded WHERE data LIKE 'table oracle.' || t || ': INSERT%') || ' rows', w[1], w[2]
    FROM unnest(ARRAY['child', 'parent']) t, LATERAL (
        SELECT array_agg((SELECT count(*) FROM (SELECT replace(data, 'table oracle.', '') FROM decoded WHERE data LIKE 'table oracle.' || t || ':%'
                                                EXCEPT ALL SELECT replace(data, 'table ' || way || '.', '') FROM decoded) s) || ' missing' ORDER BY n)
        FROM unnest(ARRAY['directly', 'by_query']) WITH ORDINALITY u (way, n)) v (w);
DROP TABLE decoded;
\else
INSERT INTO verdict (kind, oracle, directly, by_query)
    VALUES ('decoded child', '45 rows', '0 missing', '0 missing'), ('decoded parent', '30 rows', '0 missing', '0 missing');
\endif
TABLE result;
TRUNCATE verdict;

-- ---- Errors

CALL refuse('NOT NULL', :'parent' || :'child' || 'ALTER TABLE child ALTER what SET NOT NULL', mapping => replace(mapping(), '@.what', '@.no'),
    inserts => replace(inserts(), '''what''', '''no'''));
CALL refuse('NOT NULL, not mapped', :'parent' || :'child' || 'ALTER TABLE child ADD more int NOT NULL');
CALL refuse('CHECK', :'parent' || :'child' || 'ALTER TABLE child ADD CONSTRAINT low CHECK (count < 200)');
CALL refuse('CHECK that counts', :'parent' || :'child' || 'CREATE FUNCTION few() RETURNS boolean LANGUAGE plpgsql AS ''BEGIN RETURN (SELECT count(*) < 20 FROM child); END'';
    ALTER TABLE child ADD CONSTRAINT few CHECK (few())', batch_size => 30);
CALL refuse('CHECK of a generated column', :'parent' || :'child' || 'ALTER TABLE child ADD twice int GENERATED ALWAYS AS (count * 2) STORED CHECK (twice < 400)');
CALL refuse('generated column', :'parent' || :'child' || 'ALTER TABLE child ADD part int GENERATED ALWAYS AS (1 / (211 - count)) STORED');
CALL refuse('default', :'parent' || :'child' || 'ALTER TABLE child ADD part int DEFAULT 1 / (random() * 0)::int');
CALL refuse('domain, CHECK', :'parent' || :'child' || 'CREATE DOMAIN low AS int CHECK (value < 200); ALTER TABLE child ALTER count TYPE low');
CALL refuse('domain, NOT NULL', :'parent' || :'child' || 'CREATE DOMAIN given AS text NOT NULL; ALTER TABLE child ALTER what TYPE given',
    mapping => replace(mapping(), '@.what', '@.no'), inserts => replace(inserts(), '''what''', '''no'''));
CALL refuse('domain, NOT NULL, not mapped', :'parent' || :'child' || 'CREATE DOMAIN given AS text NOT NULL; ALTER TABLE child ADD more given');
CALL refuse('PRIMARY KEY', :'parent' || :'child' || 'ALTER TABLE parent ADD PRIMARY KEY (size)');
CALL refuse('UNIQUE', :'parent' || :'child' || 'ALTER TABLE child ADD UNIQUE (what)');
CALL refuse('UNIQUE, deferrable', :'parent' || :'child' || 'ALTER TABLE child ADD UNIQUE (what) DEFERRABLE');
CALL refuse('UNIQUE, deferred', :'parent' || :'child' || 'ALTER TABLE child ADD UNIQUE (what) DEFERRABLE INITIALLY DEFERRED');
CALL refuse('unique index', :'parent' || :'child' || 'CREATE UNIQUE INDEX upper_what ON child (upper(what)) WHERE item > 0');
CALL refuse('EXCLUDE', :'parent' || :'child' || 'ALTER TABLE child ADD EXCLUDE (what WITH =)');
CALL refuse('EXCLUDE, deferred', :'parent' || :'child' || 'ALTER TABLE child ADD EXCLUDE (what WITH =) DEFERRABLE INITIALLY DEFERRED');
CALL refuse('FOREIGN KEY', :'parent' || :'child' || 'CREATE TABLE known (what text PRIMARY KEY); INSERT INTO known VALUES (''a''), (''b''), (''c'');
    ALTER TABLE child ADD FOREIGN KEY (what) REFERENCES known');
CALL refuse('FOREIGN KEY, deferred', :'parent' || :'child' || 'CREATE TABLE known (what text PRIMARY KEY); INSERT INTO known VALUES (''a''), (''b''), (''c'');
    ALTER TABLE child ADD FOREIGN KEY (what) REFERENCES known DEFERRABLE INITIALLY DEFERRED');
CALL refuse('index entry too large', :'parent' || :'child' || 'ALTER TABLE parent ADD large text GENERATED ALWAYS AS (repeat(name, 1000000)) STORED; CREATE INDEX large ON parent (large)');
CALL refuse('no partition', :'parent' || 'CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN (''a'', ''b'')');
CALL refuse('no partition on the second level', :'parent' || 'CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_rest PARTITION OF child DEFAULT PARTITION BY RANGE (count);
    CREATE TABLE child_low PARTITION OF child_rest FOR VALUES FROM (0) TO (200)');
CALL refuse('CHECK of a leaf', :'parent' || 'CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_rest PARTITION OF child (CONSTRAINT low CHECK (count < 200)) DEFAULT');
CALL refuse('outside of a leaf', :'parent' || 'CREATE TABLE root (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child PARTITION OF root FOR VALUES IN (''a'')');
CALL refuse('outside of a middle level', :'parent' || 'CREATE TABLE root (number bigint, item int, what text, count int) PARTITION BY RANGE (count);
    CREATE TABLE child PARTITION OF root FOR VALUES FROM (0) TO (200) PARTITION BY LIST (what);
    CREATE TABLE child_rest PARTITION OF child DEFAULT');
CALL refuse('moved by a trigger of its leaf', :'parent' || 'CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN (''a'');
    CREATE TABLE child_rest PARTITION OF child DEFAULT;
    CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN NEW.what := ''''b''''; RETURN NEW; END'';
    CREATE TRIGGER move BEFORE INSERT ON child_a FOR EACH ROW EXECUTE FUNCTION move()');
CALL refuse('moved by a trigger of the root', :'parent' || 'CREATE TABLE child (number bigint, item int, what text, count int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN (''a'');
    CREATE TABLE child_rest PARTITION OF child DEFAULT;
    CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN NEW.what := ''''b''''; RETURN NEW; END'';
    CREATE TRIGGER move BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION move()');
\set raise 'CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN IF (SELECT count(*) > 20 FROM child) THEN RAISE SQLSTATE ''''ZZ001''''; END IF; RETURN NEW; END'';'
CALL refuse('BEFORE ROW', :'parent' || :'child' || :'raise' || 'CREATE TRIGGER stop BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION stop()');
CALL refuse('BEFORE STATEMENT', :'parent' || :'child' || :'raise' || 'CREATE TRIGGER stop BEFORE INSERT ON child EXECUTE FUNCTION stop()');
CALL refuse('AFTER ROW', :'parent' || :'child' || :'raise' || 'CREATE TRIGGER stop AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION stop()');
CALL refuse('AFTER STATEMENT', :'parent' || :'child' || :'raise' || 'CREATE TRIGGER stop AFTER INSERT ON child EXECUTE FUNCTION stop()');
CALL refuse('deferred trigger', :'parent' || :'child' || :'raise' || 'CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON child DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop()');
CALL refuse('CHECK OPTION', 'CREATE TABLE base (number bigint, name text, size int); CREATE VIEW parent AS SELECT * FROM base WHERE size < 5 WITH CHECK OPTION;' || :'child');
CALL refuse('a view that takes no rows', 'CREATE TABLE base (number bigint, name text, size int); CREATE VIEW parent AS SELECT DISTINCT * FROM base;' || :'child');
CALL refuse('a trigger alters the target', :'parent' || :'child' || 'CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN ALTER TABLE child ADD more int; RETURN NULL; END'';
    CREATE TRIGGER alter_it AFTER INSERT ON child EXECUTE FUNCTION alter_it()');
TABLE result;
TRUNCATE verdict;

-- Outside a transaction block: batches before the failing one stay, nothing of it does; the next run goes on, also the other way.
CALL build('CREATE TABLE parent (number bigint PRIMARY KEY, name text, size int); CREATE TABLE child (number bigint, item int, what text, count int, UNIQUE (number, item))', mapping());
INSERT INTO directly.child VALUES (18, 1);
CALL sluice.run('directly', batch_size => 7);
SELECT (SELECT max(number) FROM directly.parent) AS parent, (SELECT max(number) FROM directly.child WHERE what IS NOT NULL) AS child, sluice.pending('directly');
SET sluice.test_by_query = on;
CALL sluice.run('directly', batch_size => 2);
RESET sluice.test_by_query;
SELECT (SELECT max(number) FROM directly.parent) AS parent, (SELECT max(number) FROM directly.child WHERE what IS NOT NULL) AS child, sluice.pending('directly');
CALL sluice.run('directly', batch_size => 7);
DELETE FROM directly.child WHERE what IS NULL;
CALL sluice.run('directly', batch_size => 3);
CALL write('oracle', inserts(), 7);
SELECT differences('directly');
SELECT status, batches, source_rows, inserted FROM sluice.runs ORDER BY run_id;

-- drop

SELECT count(*) FROM (SELECT sluice.drop_pipeline(pipeline) FROM sluice.status) s;
DROP SCHEMA oracle, directly, by_query CASCADE;
DROP ACCESS METHOD regress_sluice_heap;
DROP PROCEDURE compare, refuse, write, build, in_schema;
DROP FUNCTION attempt, differences, difference, content, mapping, inserts, fill;
DROP VIEW tables;
DROP TABLE source, verdict CASCADE;
