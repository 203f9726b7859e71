-- Targets: whatever a target is and has, its rows are those of an INSERT of the same values.

-- create: five documents, the same as rows, and a function that compares what two queries give

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO source (doc) VALUES ('{"v": 1, "w": "a"}'), ('{"v": 2, "w": null}'), ('{"v": 3}'), ('{"v": 4, "w": "dd"}'), ('{"v": 5, "w": "e"}');
CREATE VIEW source_rows AS SELECT (doc->>'v')::int AS v, doc->>'w' AS w FROM source ORDER BY id;

CREATE FUNCTION compare(query text, with_query text) RETURNS TABLE (rows bigint, surplus bigint, missing bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('WITH a AS (%s), b AS (%s)
        SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) s), (SELECT count(*) FROM (TABLE b EXCEPT ALL TABLE a) m)', query, with_query);
END $$;

CREATE FUNCTION create_pipeline(target text) RETURNS void LANGUAGE sql AS $$
    SELECT sluice.create_shred(target, 'source', 'doc', json_build_object(target, '{"columns": {"v": "$.v", "w": "$.w"}}'::json))
$$;

\pset footer off

-- defaults (constant, of a domain, volatile, of a sequence), identity, generated columns, dropped and added columns

CREATE DOMAIN grade AS text DEFAULT 'domain';
CREATE TABLE defaults (gone int, v int, constant text DEFAULT 'c', none text, grade grade, volatile double precision DEFAULT random(), serial serial,
    identity bigint GENERATED ALWAYS AS IDENTITY (START 10),
                       doubled int GENERATED ALWAYS AS (v * 2) STORED, w text, stamped timestamptz DEFAULT clock_timestamp());
ALTER TABLE defaults DROP COLUMN gone, ADD added int DEFAULT 7;
CREATE TABLE defaults_inserted (LIKE defaults INCLUDING ALL);
ALTER TABLE defaults_inserted ALTER serial SET DEFAULT nextval('defaults_serial_seq') - 5;
SELECT create_pipeline('defaults');
CALL sluice.run('defaults', batch_size => 2);
INSERT INTO defaults_inserted (v, w) SELECT * FROM source_rows;
SELECT v, w, constant, none, grade, serial, identity, doubled, added FROM defaults ORDER BY v;
SELECT * FROM compare('SELECT v, w, constant, none, grade, serial, identity, doubled, added FROM defaults',
    'SELECT v, w, constant, none, grade, serial, identity, doubled, added FROM defaults_inserted');
SELECT count(DISTINCT volatile) AS volatile, count(DISTINCT stamped) AS stamped FROM defaults;
SELECT sluice.drop_pipeline('defaults');
DROP TABLE defaults_inserted, defaults;
DROP DOMAIN grade;

-- indexes: unique, partial, on an expression, hash, gin, gist, brin; values out of line

CREATE TABLE indexed (v int PRIMARY KEY, w text, r int4range GENERATED ALWAYS AS (int4range(v, v + 1)) STORED, words text[], long text);
CREATE UNIQUE INDEX ON indexed (lower(w)) WHERE w IS NOT NULL;
CREATE INDEX ON indexed USING hash (w);
CREATE INDEX ON indexed USING gin (words);
CREATE INDEX ON indexed USING gist (r);
CREATE INDEX ON indexed USING brin (v);
INSERT INTO source (doc) SELECT json_build_object('v', v, 'w', 'w' || v, 'words', ARRAY['every', 'w' || v % 10], 'long',
    (SELECT string_agg(encode(sha256((v * n)::text::bytea), 'hex'), '') FROM generate_series(1, v) n)) FROM generate_series(6, 400) v;
SELECT sluice.create_shred('indexed', 'source', 'doc', '{"indexed": {"columns": {"v": "$.v", "w": "$.w", "words": "$.words", "long": "$.long"}}}');
CALL sluice.run('indexed', batch_size => 150);
SELECT * FROM compare('SELECT v, w FROM indexed', 'TABLE source_rows');
SELECT * FROM compare('SELECT long FROM indexed', 'SELECT doc->>''long'' FROM source');
SET enable_seqscan = off;
SELECT (SELECT count(*) FROM indexed WHERE v = 77) AS btree, (SELECT count(*) FROM indexed WHERE lower(w) = 'dd' AND w IS NOT NULL) AS expression,
    (SELECT count(*) FROM indexed WHERE w = 'e') AS hash,
       (SELECT count(*) FROM indexed WHERE words @> '{w7}') AS gin, (SELECT count(*) FROM indexed WHERE r && '[100,110)') AS gist,
       (SELECT count(*) FROM indexed WHERE v BETWEEN 50 AND 59) AS brin;
RESET enable_seqscan;
SELECT sluice.drop_pipeline('indexed');
DROP TABLE indexed;
DELETE FROM source WHERE id > 5;

-- constraints: one violated in the middle of a batch rolls the batch back; the batches before it stay, the position too;
-- the next run after the mending loads what is left, once

CREATE TABLE constrained (v int NOT NULL CHECK (v <> 4), w text);
SELECT create_pipeline('constrained');
CALL sluice.run('constrained', batch_size => 2);
SELECT * FROM constrained ORDER BY v;
SELECT sluice.cursor_position('constrained'), sluice.pending('constrained');
SELECT status, batches, source_rows, inserted, error FROM sluice.runs;
SELECT state, rows_total, last_error IS NOT NULL AS has_error FROM sluice.status;
CALL sluice.run('constrained', batch_size => 2);
ALTER TABLE constrained DROP CONSTRAINT constrained_v_check;
CALL sluice.run('constrained', batch_size => 2);
SELECT * FROM compare('TABLE constrained', 'TABLE source_rows');
SELECT status, batches, source_rows, inserted, left(error, 5) AS error FROM sluice.runs ORDER BY run_id;
SELECT state, rows_total, last_error FROM sluice.status;
SELECT sluice.drop_pipeline('constrained');
DROP TABLE constrained;

-- NOT NULL

CREATE TABLE not_null (v int, w text NOT NULL);
SELECT create_pipeline('not_null');
CALL sluice.run('not_null');
SELECT count(*) FROM not_null;
ALTER TABLE not_null ALTER w DROP NOT NULL;
CALL sluice.run('not_null');
SELECT * FROM compare('TABLE not_null', 'TABLE source_rows');
SELECT sluice.drop_pipeline('not_null');
DROP TABLE not_null;
CREATE DOMAIN known AS text NOT NULL;
CREATE TABLE not_null (v int, w text, unmapped known);
SELECT create_pipeline('not_null');
CALL sluice.run('not_null');
ALTER TABLE not_null ALTER unmapped SET DEFAULT 'default';
CALL sluice.run('not_null');
SELECT * FROM compare('TABLE not_null', 'SELECT *, ''default''::known FROM source_rows');
SELECT sluice.drop_pipeline('not_null');
DROP TABLE not_null;
DROP DOMAIN known;

-- UNIQUE, with a row that was there before, and within a batch

CREATE TABLE uniques (v int UNIQUE, w text);
INSERT INTO uniques VALUES (4, 'before');
SELECT create_pipeline('uniques');
CALL sluice.run('uniques', batch_size => 2);
SELECT * FROM uniques ORDER BY v, w;
SELECT status, batches, source_rows, inserted, error FROM sluice.runs;
DELETE FROM uniques WHERE w = 'before';
CALL sluice.run('uniques', batch_size => 2);
SELECT * FROM compare('TABLE uniques', 'TABLE source_rows');
INSERT INTO source (doc) VALUES ('{"v": 6}'), ('{"v": 7}'), ('{"v": 6}');
CALL sluice.run('uniques');
DELETE FROM source WHERE id = (SELECT max(id) FROM source);
CALL sluice.run('uniques');
SELECT * FROM compare('TABLE uniques', 'TABLE source_rows');
SELECT sluice.drop_pipeline('uniques');
DROP TABLE uniques;
DELETE FROM source WHERE doc->>'v' >= '6';

-- deferred: UNIQUE, and a foreign key; their errors end the batch, not the commit

CREATE TABLE referenced (v int PRIMARY KEY);
INSERT INTO referenced SELECT generate_series(1, 4);
CREATE TABLE deferred (v int UNIQUE DEFERRABLE INITIALLY DEFERRED REFERENCES referenced DEFERRABLE INITIALLY DEFERRED, w text);
SELECT create_pipeline('deferred');
CALL sluice.run('deferred', batch_size => 4);
SELECT * FROM deferred ORDER BY v;
SELECT status, batches, source_rows, error FROM sluice.runs;
-- inside a transaction block they wait for its end
BEGIN;
CALL sluice.run('deferred');
INSERT INTO referenced VALUES (5);
COMMIT;
SELECT * FROM compare('TABLE deferred', 'TABLE source_rows');
INSERT INTO source (doc) VALUES ('{"v": 3, "w": "again"}');
CALL sluice.run('deferred');
DELETE FROM source WHERE doc->>'w' = 'again';
CALL sluice.run('deferred');
SELECT status, source_rows, left(error, 5) AS error FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('deferred');
DROP TABLE deferred, referenced;

-- foreign keys: to a table that has not the row; between the mapping's own tables, named in either order

CREATE TABLE referenced (v int PRIMARY KEY);
CREATE TABLE referring (v int REFERENCES referenced, w text);
SELECT create_pipeline('referring');
CALL sluice.run('referring');
INSERT INTO referenced SELECT generate_series(1, 5);
CALL sluice.run('referring');
SELECT * FROM compare('TABLE referring', 'TABLE source_rows');
SELECT sluice.drop_pipeline('referring');
TRUNCATE referenced, referring;
SELECT sluice.create_shred('both', 'source', 'doc',
    '{"referring": {"parent": "referenced", "columns": {"v": "parent.v", "w": "$.w"}}, "referenced": {"columns": {"v": "$.v"}}}');
CALL sluice.run('both', batch_size => 2);
SELECT * FROM compare('TABLE referring', 'TABLE source_rows');
SELECT sluice.drop_pipeline('both');
DROP TABLE referring, referenced;

-- an exclusion constraint

CREATE TABLE excluding (v int, w text, EXCLUDE USING gist (int4range(v, v + 1) WITH &&));
INSERT INTO excluding VALUES (3, 'before');
SELECT create_pipeline('excluding');
CALL sluice.run('excluding');
SELECT count(*) FROM excluding;
DELETE FROM excluding;
CALL sluice.run('excluding');
SELECT * FROM compare('TABLE excluding', 'TABLE source_rows');
SELECT sluice.drop_pipeline('excluding');
DROP TABLE excluding;

-- triggers: before and after, for each row and statement, with transition tables; they see what an INSERT's would see

CREATE TABLE log (number bigint GENERATED ALWAYS AS IDENTITY, of regclass, trigger name, row_ text, seen bigint);
CREATE FUNCTION log_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seen bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', TG_RELID::regclass) INTO seen;
    IF TG_NAME = 'c_after_statement' THEN
        INSERT INTO log (of, trigger, row_, seen) SELECT TG_RELID, TG_NAME, string_agg(new_rows::text, ' ' ORDER BY v), seen FROM new_rows;
    ELSE
        INSERT INTO log (of, trigger, row_, seen) VALUES (TG_RELID, TG_NAME, CASE WHEN TG_LEVEL = 'ROW' THEN NEW::text END, seen);
    END IF;
    RETURN CASE WHEN TG_LEVEL = 'ROW' THEN NEW END;
END $$;
CREATE FUNCTION change_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.v = 2 THEN RETURN NULL; END IF;
    NEW.w := coalesce(NEW.w, 'none') || '!';
    RETURN NEW;
END $$;
CREATE TABLE triggered (v int, w text, upper text GENERATED ALWAYS AS (upper(w)) STORED);
CREATE TABLE triggered_inserted (LIKE triggered INCLUDING ALL);
SELECT format('CREATE TRIGGER a_before_statement BEFORE INSERT ON %1$s EXECUTE FUNCTION log_trigger()', t),
       format('CREATE TRIGGER a_before_row BEFORE INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION log_trigger()', t),
       format('CREATE TRIGGER b_change BEFORE INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION change_row()', t),
       format('CREATE TRIGGER c_after_row AFTER INSERT ON %1$s FOR EACH ROW WHEN (NEW.v > 1) EXECUTE FUNCTION log_trigger()', t),
       format('CREATE TRIGGER c_after_statement AFTER INSERT ON %1$s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_trigger()', t)
FROM unnest(ARRAY['triggered', 'triggered_inserted']) t \gexec
SELECT create_pipeline('triggered');
CALL sluice.run('triggered');
INSERT INTO triggered_inserted SELECT * FROM source_rows;
SELECT * FROM triggered ORDER BY v;
SELECT * FROM compare('TABLE triggered', 'TABLE triggered_inserted');
SELECT trigger, row_, seen FROM log WHERE of = 'triggered'::regclass ORDER BY number;
SELECT * FROM compare('SELECT rank() OVER (ORDER BY number), trigger, row_, seen FROM log WHERE of = ''triggered''::regclass',
                      'SELECT rank() OVER (ORDER BY number), trigger, row_, seen FROM log WHERE of = ''triggered_inserted''::regclass');
SELECT source_rows, inserted FROM sluice.runs;
-- without the BEFORE ROW triggers, rows are written in bundles
DROP TRIGGER a_before_row ON triggered;
DROP TRIGGER a_before_row ON triggered_inserted;
DROP TRIGGER b_change ON triggered;
DROP TRIGGER b_change ON triggered_inserted;
TRUNCATE triggered, triggered_inserted, log;
SELECT sluice.drop_pipeline('triggered');
SELECT create_pipeline('triggered');
CALL sluice.run('triggered');
INSERT INTO triggered_inserted SELECT * FROM source_rows;
SELECT * FROM compare('SELECT rank() OVER (ORDER BY number), trigger, row_, seen FROM log WHERE of = ''triggered''::regclass',
                      'SELECT rank() OVER (ORDER BY number), trigger, row_, seen FROM log WHERE of = ''triggered_inserted''::regclass');
SELECT sluice.drop_pipeline('triggered');
DROP TABLE triggered, triggered_inserted;

-- partitions: by list, with other column orders, a default of its own, and triggers of their own

CREATE TABLE listed (v int, w text DEFAULT 'root', doubled int GENERATED ALWAYS AS (v * 2) STORED, extra text DEFAULT 'extra') PARTITION BY LIST (v);
CREATE TABLE listed_1 PARTITION OF listed FOR VALUES IN (1, 2);
CREATE TABLE listed_2 (extra text, gone int, w text DEFAULT 'leaf', doubled int GENERATED ALWAYS AS (v * 2) STORED, v int);
ALTER TABLE listed_2 DROP COLUMN gone;
ALTER TABLE listed ATTACH PARTITION listed_2 FOR VALUES IN (3);
CREATE TABLE listed_3 PARTITION OF listed FOR VALUES IN (4) PARTITION BY RANGE (w);
CREATE TABLE listed_3_d (w text, extra text, v int, doubled int GENERATED ALWAYS AS (v * 2) STORED);
ALTER TABLE listed_3 ATTACH PARTITION listed_3_d FOR VALUES FROM ('d') TO ('e');
CREATE TRIGGER b_change BEFORE INSERT ON listed_1 FOR EACH ROW EXECUTE FUNCTION change_row();
CREATE TRIGGER c_after_row AFTER INSERT ON listed FOR EACH ROW EXECUTE FUNCTION log_trigger();
TRUNCATE log RESTART IDENTITY;
SELECT create_pipeline('listed');
-- no partition for a value: the batch rolls back
CALL sluice.run('listed');
SELECT count(*) FROM listed;
CREATE TABLE listed_4 PARTITION OF listed DEFAULT;
CALL sluice.run('listed');
SELECT tableoid::regclass AS partition, v, w, doubled, extra FROM listed ORDER BY v;
SELECT of, row_ FROM log ORDER BY of::text;
SELECT source_rows, inserted FROM sluice.runs ORDER BY run_id;
-- straight into a partition: its constraint holds
SELECT create_pipeline('listed_2');
CALL sluice.run('listed_2');
SELECT sluice.drop_pipeline('listed'), sluice.drop_pipeline('listed_2');
DROP TABLE listed;

-- by hash and by range, more partitions than are written at once, more rows than are held back

CREATE TABLE hashed (v int, w text) PARTITION BY HASH (v);
CREATE TABLE hashed_inserted (LIKE hashed) PARTITION BY HASH (v);
CREATE TABLE ranged (v int, w text, PRIMARY KEY (v)) PARTITION BY RANGE (v);
DO $$
BEGIN
    FOR n IN 0..49 LOOP
        EXECUTE format('CREATE TABLE hashed_%s PARTITION OF hashed FOR VALUES WITH (MODULUS 50, REMAINDER %s)', n, n);
        EXECUTE format('CREATE TABLE hashed_inserted_%s PARTITION OF hashed_inserted FOR VALUES WITH (MODULUS 50, REMAINDER %s)', n, n);
        EXECUTE format('CREATE TABLE ranged_%s PARTITION OF ranged FOR VALUES FROM (%s) TO (%s)', n, n * 100, n * 100 + 100);
    END LOOP;
END $$;
INSERT INTO source (doc) SELECT json_build_object('v', v, 'w', repeat('w', v % 1000)) FROM (SELECT v * 1777 % 5000 AS v FROM generate_series(1,
    4999) v) s WHERE v > 5;
SELECT create_pipeline('hashed');
SELECT create_pipeline('ranged');
CALL sluice.run('hashed');
CALL sluice.run('ranged', batch_size => 2000);
INSERT INTO hashed_inserted SELECT * FROM source_rows;
SELECT * FROM compare('SELECT tableoid::regclass::text, * FROM hashed',
    'SELECT replace(tableoid::regclass::text, ''_inserted'', ''''), * FROM hashed_inserted');
SELECT * FROM compare('TABLE ranged', 'TABLE source_rows');
SELECT pipeline, batches, source_rows, inserted FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('hashed'), sluice.drop_pipeline('ranged');
DROP TABLE hashed, hashed_inserted, ranged;
DELETE FROM source WHERE id NOT IN (SELECT min(id) FROM source GROUP BY (doc->>'v')::int HAVING (doc->>'v')::int <= 5);

-- inheritance: into the child, and into the parent only

CREATE TABLE ancestor (v int, w text);
CREATE TABLE heir (extra text DEFAULT 'x') INHERITS (ancestor);
SELECT create_pipeline('ancestor');
SELECT create_pipeline('heir');
CALL sluice.run('heir');
SELECT * FROM heir ORDER BY v;
CALL sluice.run('ancestor');
SELECT tableoid::regclass, count(*) FROM ancestor GROUP BY 1 ORDER BY 1;
SELECT sluice.drop_pipeline('ancestor'), sluice.drop_pipeline('heir');
DROP TABLE heir, ancestor;

-- unlogged and temporary tables

CREATE UNLOGGED TABLE unlogged (v int, w text);
CREATE TEMP TABLE temporary (v int, w text);
CREATE TEMP TABLE emptied (v int, w text) ON COMMIT DELETE ROWS;
SELECT create_pipeline('unlogged');
SELECT create_pipeline('temporary');
SELECT create_pipeline('emptied');
CALL sluice.run('unlogged', batch_size => 2);
CALL sluice.run('temporary', batch_size => 2);
SELECT * FROM compare('TABLE unlogged', 'TABLE source_rows');
SELECT * FROM compare('TABLE temporary', 'TABLE source_rows');
BEGIN;
CALL sluice.run('emptied', batch_size => 2);
SELECT * FROM compare('TABLE emptied', 'TABLE source_rows');
COMMIT;
-- a target that is gone
DROP TABLE temporary;
INSERT INTO source (doc) VALUES ('{"v": 6}');
CALL sluice.run('temporary');
DELETE FROM source WHERE doc->>'v' = '6';
SELECT sluice.drop_pipeline('unlogged'), sluice.drop_pipeline('temporary'), sluice.drop_pipeline('emptied');
DROP TABLE unlogged, emptied;

-- views: simply updatable ones, with defaults and a check option of their own; with an INSTEAD OF trigger; others

CREATE TABLE base (v int, w text DEFAULT 'table', hidden text DEFAULT 'table', number serial);
CREATE TABLE base_inserted (LIKE base INCLUDING ALL);
CREATE VIEW updatable AS SELECT w, v, hidden FROM base WHERE v < 5 WITH LOCAL CHECK OPTION;
CREATE VIEW updatable_inserted AS SELECT w, v, hidden FROM base_inserted;
ALTER VIEW updatable ALTER hidden SET DEFAULT 'view';
ALTER VIEW updatable_inserted ALTER hidden SET DEFAULT 'view';
SELECT create_pipeline('updatable');
CALL sluice.run('updatable');
SELECT count(*) FROM base;
CREATE OR REPLACE VIEW updatable AS SELECT w, v, hidden FROM base;
CALL sluice.run('updatable', batch_size => 2);
INSERT INTO updatable_inserted (v, w) SELECT * FROM source_rows;
SELECT v, w, hidden FROM base ORDER BY v;
SELECT * FROM compare('SELECT v, w, hidden FROM base', 'SELECT v, w, hidden FROM base_inserted');
SELECT status, source_rows, inserted FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('updatable');
DROP VIEW updatable, updatable_inserted;
TRUNCATE base;
CREATE VIEW instead AS SELECT v, count(*) AS w FROM base GROUP BY v;
SELECT create_pipeline('instead');
CALL sluice.run('instead');
CREATE FUNCTION insert_instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.v = 2 THEN RETURN NULL; END IF;
    INSERT INTO base (v, w) VALUES (NEW.v, 'instead ' || coalesce(NEW.w::text, 'null'));
    RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION insert_instead();
SELECT sluice.alter_pipeline('instead', mapping => '{"instead": {"columns": {"v": "$.v", "w": "$.v"}}}');
CALL sluice.run('instead', batch_size => 2);
SELECT v, w FROM base ORDER BY v;
SELECT status, source_rows, inserted FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('instead');
DROP VIEW instead;
DROP TABLE base, base_inserted;

-- rules ON INSERT: in addition, instead, on a condition

CREATE TABLE ruled (v int, w text, number serial);
CREATE TABLE by_rule (v int, w text);
CREATE RULE also AS ON INSERT TO ruled WHERE NEW.v > 3 DO ALSO INSERT INTO by_rule VALUES (NEW.v, 'also ' || NEW.w);
SELECT create_pipeline('ruled');
CALL sluice.run('ruled', batch_size => 2);
SELECT * FROM compare('SELECT v, w FROM ruled', 'TABLE source_rows');
SELECT * FROM by_rule ORDER BY v;
DROP RULE also ON ruled;
CREATE RULE instead AS ON INSERT TO ruled DO INSTEAD INSERT INTO by_rule VALUES (NEW.v, 'instead');
INSERT INTO source (doc) VALUES ('{"v": 6}');
CALL sluice.run('ruled');
SELECT max(v) FROM ruled;
SELECT * FROM by_rule ORDER BY v;
DELETE FROM source WHERE doc->>'v' = '6';
SELECT sluice.drop_pipeline('ruled');
DROP TABLE ruled, by_rule;

-- row-level security: it holds for the owner of the pipeline as for any INSERT of his, whoever runs it

CREATE ROLE regress_sluice_owner;
GRANT CREATE ON SCHEMA public TO regress_sluice_owner;
GRANT SELECT ON source, source_rows TO regress_sluice_owner;
SET ROLE regress_sluice_owner;
CREATE TABLE secured (v int, w text DEFAULT 'd', number int GENERATED ALWAYS AS IDENTITY, doubled int GENERATED ALWAYS AS (v * 2) STORED);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY small ON secured FOR INSERT WITH CHECK (v < 5);
SELECT create_pipeline('secured');
CALL sluice.run('secured', batch_size => 2);
SELECT status, batches, source_rows, inserted, left(error, 5) AS error FROM sluice.runs;
RESET ROLE;
SELECT v, w, number > 0 AS number, doubled FROM secured ORDER BY v;
CALL sluice.run('secured');
SELECT count(*) FROM secured;
ALTER POLICY small ON secured WITH CHECK (v < 6 AND current_user = 'regress_sluice_owner');
CALL sluice.run('secured');
SELECT v, w, number > 0 AS number, doubled FROM secured ORDER BY v;
SELECT sluice.drop_pipeline('secured');
DROP TABLE secured;

-- without FORCE, and for owners who bypass it, it does not apply

SET ROLE regress_sluice_owner;
CREATE TABLE secured (v int, w text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
SELECT create_pipeline('secured');
CALL sluice.run('secured');
SELECT * FROM compare('TABLE secured', 'TABLE source_rows');
SELECT sluice.drop_pipeline('secured');
RESET ROLE;
DROP TABLE secured;
REVOKE ALL ON SCHEMA public FROM regress_sluice_owner;
DROP OWNED BY regress_sluice_owner;
DROP ROLE regress_sluice_owner;

-- foreign tables: one that takes rows (in this server, through a loop; a view where postgres_fdw is not there)

CREATE TABLE landing (v int, w text, number serial);
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw') AND current_setting('unix_socket_directories') <> '' THEN
        CREATE EXTENSION postgres_fdw;
        EXECUTE format('CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
                       split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
        CREATE USER MAPPING FOR CURRENT_USER SERVER loopback;
        CREATE FOREIGN TABLE foreign_landing (v int, w text) SERVER loopback OPTIONS (table_name 'landing');
        CREATE FOREIGN TABLE foreign_part (w text, v int) SERVER loopback OPTIONS (table_name 'landing');
    ELSE
        CREATE VIEW foreign_landing AS SELECT v, w FROM landing;
        CREATE TABLE foreign_part (w text, v int);
    END IF;
END $$;
SELECT create_pipeline('foreign_landing');
CALL sluice.run('foreign_landing', batch_size => 2);
SELECT * FROM compare('SELECT v, w FROM landing', 'TABLE source_rows');
SELECT status, batches, source_rows, inserted FROM sluice.runs;
-- as a partition, beside one that is not foreign
TRUNCATE landing;
CREATE TABLE mixed (v int, w text) PARTITION BY LIST (v);
ALTER TABLE mixed ATTACH PARTITION foreign_part FOR VALUES IN (2, 4);
CREATE TABLE mixed_here PARTITION OF mixed DEFAULT;
SELECT create_pipeline('mixed');
CALL sluice.run('mixed');
SELECT * FROM compare('TABLE mixed_here', 'SELECT * FROM source_rows WHERE v NOT IN (2, 4)');
SELECT * FROM compare('SELECT v, w FROM foreign_part', 'SELECT * FROM source_rows WHERE v IN (2, 4)');
SELECT sluice.drop_pipeline('foreign_landing'), sluice.drop_pipeline('mixed');
DROP TABLE mixed;
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS postgres_fdw CASCADE;
DROP TABLE landing CASCADE;
RESET client_min_messages;
-- one that takes none
CREATE FOREIGN DATA WRAPPER handless;
CREATE SERVER nowhere FOREIGN DATA WRAPPER handless;
CREATE FOREIGN TABLE foreign_nowhere (v int, w text) SERVER nowhere;
SELECT create_pipeline('foreign_nowhere');
CALL sluice.run('foreign_nowhere');
INSERT INTO foreign_nowhere SELECT * FROM source_rows;
SELECT sluice.drop_pipeline('foreign_nowhere');
DROP FOREIGN TABLE foreign_nowhere;
DROP SERVER nowhere;
DROP FOREIGN DATA WRAPPER handless;

-- children of views and of tables with rules know their parents: no child without one, and no wrong one

CREATE TABLE parent_base (id int GENERATED ALWAYS AS IDENTITY (START 100), v int);
CREATE VIEW parent_view AS SELECT id, v FROM parent_base;
CREATE FUNCTION insert_parent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO parent_base (v) VALUES (NEW.v) RETURNING id INTO NEW.id; RETURN NEW; END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON parent_view FOR EACH ROW EXECUTE FUNCTION insert_parent();
CREATE TABLE parent_ruled (id int, v int);
CREATE FUNCTION change_id() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id + 1000; RETURN NEW; END $$;
CREATE TRIGGER change_id BEFORE INSERT ON parent_ruled FOR EACH ROW EXECUTE FUNCTION change_id();
CREATE TABLE by_rule (v int);
CREATE RULE also AS ON INSERT TO parent_ruled DO ALSO INSERT INTO by_rule VALUES (NEW.v);
CREATE TABLE child (parent_id int, v int);
-- either it is refused when it is created, or it is right
CREATE PROCEDURE run_unless_refused(name text, mapping json) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM sluice.create_shred(name, 'source', 'doc', mapping);
    EXCEPTION WHEN OTHERS THEN
        RETURN;
    END;
    CALL sluice.run(name);
    PERFORM sluice.drop_pipeline(name);
END $$;
CALL run_unless_refused('view',
    '{"parent_view": {"columns": {"v": "$.v"}}, "child": {"parent": "parent_view", "each": "$.v", "columns": {"parent_id": "parent.id", "v": "@"}}}');
SELECT count(*) AS wrong FROM child LEFT JOIN parent_view USING (v) WHERE parent_id IS DISTINCT FROM id;
TRUNCATE child;
CALL run_unless_refused('rule',
    '{"parent_ruled": {"columns": {"id": "$.v", "v": "$.v"}}, "child": {"parent": "parent_ruled", "each": "$.v", "columns": {"parent_id": "parent.id", "v": "@"}}}');
SELECT count(*) AS wrong FROM child LEFT JOIN parent_ruled USING (v) WHERE parent_id IS DISTINCT FROM id;
DROP PROCEDURE run_unless_refused;
DROP VIEW parent_view;
DROP TABLE child, parent_ruled, by_rule, parent_base;
-- parents before children, whichever stands first in the mapping
CREATE TABLE parent (v int PRIMARY KEY);
CREATE TABLE child (parent_v int REFERENCES parent, w text);
CREATE TABLE by_rule (v int);
CREATE RULE also AS ON INSERT TO parent DO ALSO INSERT INTO by_rule VALUES (NEW.v);
CREATE RULE also AS ON INSERT TO child DO ALSO INSERT INTO by_rule VALUES (NEW.parent_v);
SELECT sluice.create_shred('order', 'source', 'doc',
    '{"child": {"parent": "parent", "columns": {"parent_v": "parent.v", "w": "$.w"}}, "parent": {"columns": {"v": "$.v"}}}');
CALL sluice.run('order');
SELECT * FROM compare('TABLE child', 'TABLE source_rows');
SELECT sluice.drop_pipeline('order');
DROP TABLE child, parent, by_rule;

-- one table twice in a mapping: rows of both

CREATE TABLE twice (v int PRIMARY KEY, w text);
SELECT sluice.create_shred('twice', 'source', 'doc',
    '{"twice": {"columns": {"v": "$.v"}}, "public.twice": {"each": "$.w", "columns": {"v": "#source.id", "w": "@"}}}');
CALL sluice.run('twice', batch_size => 1);
TRUNCATE twice;
SELECT sluice.alter_pipeline('twice',
    mapping => '{"twice": {"columns": {"v": "$.v"}}, "public.twice": {"each": "$.w", "columns": {"v": "$.times", "w": "@"}}}');
ALTER TABLE twice DROP CONSTRAINT twice_pkey;
ALTER TABLE twice ALTER v DROP NOT NULL;
CALL sluice.run('twice');
SELECT * FROM twice ORDER BY v, w;
SELECT sluice.drop_pipeline('twice');

-- drop

DROP VIEW source_rows;
DROP TABLE source, log, twice;
DROP FUNCTION compare, create_pipeline, log_trigger, change_row, insert_instead, insert_parent, change_id;
