-- Objects that change under a pipeline: dropped, renamed, moved, altered, given to another role. Each operation then works, or says
-- what is wrong and what to do; views and other pipelines are never harmed.
SET client_min_messages = warning;
SET sluice.wait_for_writers = 0;
SET timezone = 'UTC';

CREATE ROLE objects_owner;
CREATE ROLE objects_heir;
CREATE SCHEMA w AUTHORIZATION objects_owner;
CREATE SCHEMA elsewhere AUTHORIZATION objects_owner;

-- probe tries everything with a pipeline, each operation in a subtransaction of its own that is rolled back, and tells what came of
-- it: operations with the same outcome share a row. Internal errors, and errors of classes that no user should see, are marked.
CREATE FUNCTION probe(name text) RETURNS TABLE (operations text, outcome text, hint text) LANGUAGE plpgsql AS $$
DECLARE
    kind text;
    op text[];
    state text;
    says text;
    tip text;
BEGIN
    SELECT p.kind INTO kind FROM sluice.pipeline p WHERE p.name = probe.name;
    CREATE TEMP TABLE IF NOT EXISTS outcomes (n int, operation text, outcome text, hint text);
    DELETE FROM outcomes;
    FOREACH op SLICE 1 IN ARRAY ARRAY[
        ['status', 'SELECT count(*) FROM sluice.status'], ['views', 'SELECT (SELECT count(*) FROM sluice.runs), (SELECT count(*) FROM sluice.rejects), (SELECT count(*) FROM sluice.partitions)'],
        ['report', 'SELECT length(sluice.report())'], ['position', 'SELECT sluice.cursor_position($1)'], ['pending', 'SELECT sluice.pending($1)'],
        ['verify', 'SELECT * FROM sluice.verify($1)'], ['late', 'SELECT count(*) FROM sluice.late_partitions($1)'], ['preview', 'SELECT count(*) FROM sluice.preview($1)'],
        ['run', 'CALL sluice.run($1)'], ['retry', 'CALL sluice.retry($1)'], ['rewind', 'CALL sluice.rewind($1, 0)'],
        ['purge', 'SELECT sluice.purge_source($1, ''0'')'], ['rebuild', 'CALL sluice.rebuild($1, true)'],
        ['alter', 'SELECT sluice.alter_pipeline($1, max_failures => 3)'], ['pause', 'SELECT sluice.pause($1)'], ['drop', 'SELECT sluice.drop_pipeline($1)']] LOOP
        CONTINUE WHEN op[1] = 'late' AND kind <> 'load' OR op[1] = 'preview' AND kind = 'load'
            OR op[1] IN ('rewind', 'purge') AND kind <> 'shred';
        tip := NULL;
        BEGIN
            EXECUTE replace(op[2], '$1', quote_literal(name));
            RAISE SQLSTATE 'ZZ999';
        EXCEPTION
            WHEN SQLSTATE 'ZZ999' THEN
                says := 'ok';
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, says = MESSAGE_TEXT, tip = PG_EXCEPTION_HINT;
                says := CASE WHEN state LIKE 'XX%' OR state IN ('P0001') THEN '!!! ' ELSE '' END || state || ': ' || says;
        END;
        INSERT INTO outcomes SELECT count(*), op[1], regexp_replace(says, '(merge|ledger|newest|track|pipeline)_[0-9]+', '\1_N', 'g'),
            CASE WHEN tip LIKE 'No % matches%' THEN 'the server''s' ELSE regexp_replace(tip, '(merge|ledger|newest|track|pipeline)_[0-9]+', '\1_N', 'g') END FROM outcomes;
    END LOOP;
    RETURN QUERY SELECT string_agg(o.operation, ' ' ORDER BY o.n), o.outcome, nullif(o.hint, '') FROM outcomes o GROUP BY o.outcome, o.hint ORDER BY o.outcome <> 'ok', min(o.n);
END $$;

SET ROLE objects_owner;
CREATE TYPE w.mood AS ENUM ('sad', 'happy');
CREATE FUNCTION w.half(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
CREATE TABLE w.source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, k int, name text, mood w.mood, at timestamp, day date);
CREATE TABLE w.plain (doc jsonb, k int, name text, mood w.mood, at timestamp, day date);
INSERT INTO w.source (doc, k, name, mood, at, day) SELECT jsonb_build_object('k', i, 'name', 'n' || i, 'mood', 'sad', 'items', jsonb_build_array(i, i + 1)), i, 'n' || i, 'sad',
    '2024-01-01'::timestamp + i * interval '9 hours', '2024-01-01'::date + i / 3 FROM generate_series(1, 6) i;
INSERT INTO w.plain SELECT doc, k, name, mood, at, day FROM w.source;
CREATE TABLE w.parent (k int, name text, mood w.mood, run bigint, id bigint) PARTITION BY RANGE (k);
CREATE TABLE w.parent_low PARTITION OF w.parent FOR VALUES FROM (0) TO (4);
CREATE TABLE w.parent_high PARTITION OF w.parent FOR VALUES FROM (4) TO (100);
CREATE TABLE w.item (k int, value int, run bigint);
CREATE TABLE w.piece (k int, value int);
CREATE TABLE w.whole (k int PRIMARY KEY, name text, mood w.mood, at timestamp);
CREATE TABLE w.whole_by_hash (LIKE w.whole INCLUDING ALL);
CREATE TABLE w.sale (day date, k int, mood w.mood, n bigint, last text, PRIMARY KEY (day, k));
CREATE TABLE w.thing (k int PRIMARY KEY, name text);
CREATE TABLE w.past (k int, mood w.mood, valid_from timestamp, valid_to timestamp, is_current boolean, UNIQUE (k, valid_from));
CREATE TABLE w.daily (day date, mood w.mood, n bigint);
CREATE TABLE w.daily_by_trigger (LIKE w.daily);
CREATE FUNCTION w.make() RETURNS void LANGUAGE sql AS $$
    SELECT sluice.create_shred('shred', 'w.source', 'doc', '{"w.parent": {"columns": {"k": "$.k", "name": "$.name", "mood": "$.mood", "run": "#run", "id": "#source.id"}},
        "w.item": {"parent": "w.parent", "each": "$.items[*]", "columns": {"k": "parent.k", "value": "@", "run": "#run"}}}', batch_size => 4);
    SELECT sluice.create_shred('shred_hash', 'w.plain', 'doc', '{"w.piece": {"each": "$.items[*]", "columns": {"k": "$.k", "value": "@"}}}');
    SELECT sluice.create_merge('merge_hash', 'w.plain', 'w.whole_by_hash', '{k}', 'at');
    SELECT sluice.create_merge('merge', 'w.source', 'w.whole', '{k}', 'at');
    SELECT sluice.create_facts('facts', 'w.source', 'w.sale', '{"grain": {"day": "day", "k": "w.half(k)"}, "measures": {"n": {"count": "all"}}, "last": {"last": "name", "mood": "mood"},
        "dimensions": [{"table": "w.thing", "key": {"k": "k"}, "columns": {"name": "name"}}, {"table": "w.past", "key": {"k": "k"}, "columns": {"mood": "mood"}, "history": true}]}',
        newest_by => 'at');
    SELECT sluice.create_load('load', 'w.source', 'day', 'w.daily', 'day', 'SELECT day, mood, count(*) AS n FROM w.source WHERE day = $1 AND w.half(k) >= 0 GROUP BY 1, 2');
    SELECT sluice.create_load('load_by_trigger', 'w.source', 'day', 'w.daily_by_trigger', 'day', 'SELECT day, mood, count(*) AS n FROM w.source WHERE day = $1 GROUP BY 1, 2', track => 'trigger');
$$;
SELECT w.make();
CALL sluice.run_all();
INSERT INTO w.source (doc, k, name, mood, at, day) VALUES ('{"k": 7, "name": "n7", "items": [7]}', 7, 'n7', 'happy', '2024-02-01', '2024-02-01');
INSERT INTO w.plain SELECT doc, k, name, mood, at, day FROM w.source WHERE k = 7;

-- try makes a change, probes a pipeline, and undoes the change. The check at the end: another pipeline still runs.
RESET ROLE;
CREATE TABLE tries (n int GENERATED ALWAYS AS IDENTITY, change text, pipeline text, operations text, outcome text, hint text);
CREATE PROCEDURE try(change text, VARIADIC pipelines text[]) LANGUAGE plpgsql AS $$
DECLARE
    p text;
    found tries[] := '{}';
BEGIN
    BEGIN
        SET LOCAL ROLE objects_owner;
        EXECUTE change;
        RESET ROLE;
        FOREACH p IN ARRAY pipelines LOOP
            found := found || array(SELECT ROW(0, change, p, x.operations, x.outcome, x.hint)::tries FROM probe(p) x);
        END LOOP;
        RAISE SQLSTATE 'ZZ998';
    EXCEPTION
        WHEN SQLSTATE 'ZZ998' THEN
            INSERT INTO tries (change, pipeline, operations, outcome, hint) SELECT f.change, f.pipeline, f.operations, f.outcome, f.hint FROM unnest(found) f;
    END;
END $$;
CREATE FUNCTION show() RETURNS TABLE (pipeline text, operations text, outcome text, hint text) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM tries RETURNING *) SELECT pipeline, operations, outcome, hint FROM gone ORDER BY n
$$;
SET client_min_messages = error;
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '

-- Nothing is changed
CALL try('SELECT 1', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();

-- The source is dropped; made again; replaced by a view, dropped before or renamed
CALL try('DROP TABLE w.source, w.plain', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('CREATE TABLE w.s (LIKE w.source INCLUDING ALL); DROP TABLE w.source; ALTER TABLE w.s RENAME TO source', 'shred', 'merge', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('CREATE TABLE w.s AS TABLE w.source; DROP TABLE w.source; CREATE VIEW w.source AS TABLE w.s; CREATE TABLE w.p AS TABLE w.plain; DROP TABLE w.plain; CREATE VIEW w.plain AS TABLE w.p',
    'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('ALTER TABLE w.source RENAME TO fountain; CREATE VIEW w.source AS TABLE w.fountain', 'shred', 'merge', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
-- renamed, moved
CALL try('ALTER TABLE w.source RENAME TO fountain', 'shred', 'merge', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('ALTER TABLE w.source SET SCHEMA elsewhere; ALTER TABLE w.plain SET SCHEMA elsewhere', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();

-- Columns of the source: renamed, dropped, of another type
CALL try('ALTER TABLE w.source RENAME id TO number', 'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.source RENAME doc TO document; ALTER TABLE w.plain RENAME doc TO document', 'shred', 'shred_hash');
SELECT * FROM show();
CALL try('ALTER TABLE w.source DROP doc; ALTER TABLE w.plain DROP doc', 'shred', 'shred_hash');
SELECT * FROM show();
CALL try('ALTER TABLE w.source RENAME at TO moment', 'merge', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.source DROP at', 'merge', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.source RENAME k TO key', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.source DROP name; ALTER TABLE w.plain DROP name', 'merge', 'merge_hash', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.source RENAME day TO date', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('ALTER TABLE w.source DROP day', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('ALTER TABLE w.source ALTER day TYPE text', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('ALTER TABLE w.source ALTER k TYPE text, ALTER at TYPE text', 'merge', 'facts');
SELECT * FROM show();

-- A target is dropped; made again; renamed; moved; replaced by a view; its schema is dropped
CALL try('DROP TABLE w.parent, w.whole, w.sale, w.daily, w.daily_by_trigger', 'shred', 'merge', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('DROP TABLE w.item, w.thing', 'shred', 'shred_hash', 'facts');
SELECT * FROM show();
CALL try('DROP TABLE w.past', 'facts');
SELECT * FROM show();
CALL try('CREATE TABLE w.x (LIKE w.whole INCLUDING ALL); DROP TABLE w.whole; ALTER TABLE w.x RENAME TO whole; CREATE TABLE w.y (LIKE w.daily); DROP TABLE w.daily; ALTER TABLE w.y RENAME TO daily',
    'merge', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.parent RENAME TO folks; ALTER TABLE w.whole RENAME TO hole; ALTER TABLE w.sale RENAME TO sales; ALTER TABLE w.daily RENAME TO days', 'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.item SET SCHEMA elsewhere; ALTER TABLE w.whole SET SCHEMA elsewhere; ALTER TABLE w.thing SET SCHEMA elsewhere; ALTER TABLE w.daily SET SCHEMA elsewhere',
    'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.whole RENAME TO t1; CREATE VIEW w.whole AS TABLE w.t1; ALTER TABLE w.sale RENAME TO t2; CREATE VIEW w.sale AS TABLE w.t2; ALTER TABLE w.item RENAME TO t3; CREATE VIEW w.item AS TABLE w.t3',
    'shred', 'merge', 'facts');
SELECT * FROM show();
CALL try('DROP SCHEMA w CASCADE',
    'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();

-- A target: columns renamed, dropped, of another type; its key; a partition detached; a type dropped with its columns; a function
CALL try('ALTER TABLE w.parent RENAME name TO nam; ALTER TABLE w.whole RENAME k TO key; ALTER TABLE w.sale RENAME n TO number; ALTER TABLE w.daily RENAME mood TO moods', 'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.whole DROP name; ALTER TABLE w.sale DROP last; ALTER TABLE w.daily DROP day', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.item DROP k; ALTER TABLE w.past DROP valid_to; ALTER TABLE w.whole DROP at', 'shred', 'merge', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.item ALTER value TYPE date USING NULL; ALTER TABLE w.whole ALTER k TYPE text; ALTER TABLE w.thing ALTER k TYPE text; ALTER TABLE w.daily ALTER day TYPE text',
    'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER TABLE w.whole DROP CONSTRAINT whole_pkey; ALTER TABLE w.sale DROP CONSTRAINT sale_pkey', 'merge', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.thing DROP CONSTRAINT thing_pkey', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.parent DETACH PARTITION w.parent_high', 'shred');
SELECT * FROM show();
CALL try('DROP TYPE w.mood CASCADE', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('DROP FUNCTION w.half', 'facts', 'load');
SELECT * FROM show();
CALL try('ALTER FUNCTION w.half SET SCHEMA elsewhere', 'facts', 'load');
SELECT * FROM show();

-- The tables beside: dropped, given away
RESET ROLE;
CREATE FUNCTION beside(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT string_agg(format(statement, c.oid::regclass), '; ' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = 'sluice'::regnamespace AND c.relkind = 'r'
        AND c.relname ~ '^(merge|ledger|newest|track)_[0-9]');
END $$;
CALL try('SELECT beside(''DROP TABLE %s'')', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('RESET ROLE; SELECT beside(''ALTER TABLE %s OWNER TO objects_heir'')', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();

-- The owner: another role by ALTER TYPE (the tables beside follow with the next run), REASSIGN OWNED, DROP OWNED, and the role itself
CREATE FUNCTION anchors(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT string_agg(format(statement, 'sluice.pipeline_' || pipeline_id), '; ' ORDER BY pipeline_id) FROM sluice.pipeline);
END $$;
CALL try('RESET ROLE; SELECT anchors(''ALTER TYPE %s OWNER TO objects_heir'')', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('RESET ROLE; SELECT anchors(''ALTER TYPE %s OWNER TO objects_heir''); GRANT USAGE ON SCHEMA w TO objects_heir; GRANT ALL ON ALL TABLES IN SCHEMA w TO objects_heir; GRANT ALL ON ALL SEQUENCES IN SCHEMA w TO objects_heir',
    'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('RESET ROLE; REASSIGN OWNED BY objects_owner TO objects_heir', 'shred', 'shred_hash', 'merge', 'merge_hash', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('REVOKE ALL ON w.source, w.plain FROM objects_owner', 'shred', 'shred_hash', 'merge', 'facts', 'load', 'load_by_trigger');
SELECT * FROM show();
CALL try('REVOKE ALL ON w.parent, w.whole, w.sale, w.daily FROM objects_owner', 'shred', 'merge', 'facts', 'load');
SELECT * FROM show();
\set VERBOSITY terse
DROP ROLE objects_owner;
\set VERBOSITY default
CALL try('RESET ROLE; DROP OWNED BY objects_owner CASCADE; CREATE SCHEMA w', 'shred', 'merge', 'load_by_trigger');
SELECT * FROM show();
-- the anchors are gone with what he owned; the names are free
BEGIN;
DROP OWNED BY objects_owner CASCADE;
SELECT count(*) FROM sluice.status;
CREATE TABLE again (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE target (doc jsonb);
INSERT INTO again (doc) VALUES ('{}');
SELECT sluice.create_shred('shred', 'again', 'doc', '{"target": {"columns": {"doc": "$"}}}');
CALL sluice.run('shred');
CALL sluice.run_all();
SELECT (SELECT count(*) FROM sluice.status), (SELECT count(*) FROM sluice.runs), length(sluice.report()) > 0;
DROP ROLE objects_owner;
ROLLBACK;
-- Retentions: dropped, their facts renamed or dropped
SELECT sluice.create_retention('w.weekly', 'w.sale', 'k', 'n', 'day', materialized => true);
ALTER TABLE w.weekly OWNER TO objects_owner;
UPDATE sluice.retention SET creator = 'objects_owner';
CALL try('SELECT 1', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.weekly RENAME TO by_week; ALTER TABLE w.by_week SET SCHEMA elsewhere', 'facts');
SELECT * FROM show();
CALL try('ALTER TABLE w.weekly DROP new_customers_count', 'facts');
SELECT * FROM show();
CALL try('DROP TABLE w.weekly', 'facts');
SELECT * FROM show();
CALL try('DROP TABLE w.sale', 'facts');
SELECT * FROM show();
-- One that is broken harms no other; a column that is merged no more is told of
SET client_min_messages = warning;
ALTER TABLE w.plain RENAME name TO nam;
ALTER TABLE w.source RENAME name TO nam;
CALL sluice.run('merge');
ALTER TABLE w.source RENAME nam TO name;
ALTER TABLE w.plain RENAME nam TO name;
ALTER TABLE w.whole RENAME TO hole;
CALL sluice.run_all();
\pset format aligned
\pset tuples_only off
SELECT pipeline, state, pending, split_part(last_error, E'\n', 1) AS last_error FROM sluice.status ORDER BY pipeline;
-- The extension
\set VERBOSITY terse
DROP EXTENSION sluice;
\set VERBOSITY default
DROP EXTENSION sluice CASCADE;
SELECT count(*) FROM w.parent;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'w.source'::regclass AND NOT tgisinternal;
INSERT INTO w.source (k) VALUES (9);
CREATE EXTENSION sluice;
SELECT count(*) FROM sluice.status;
DROP OWNED BY objects_owner, objects_heir CASCADE;
DROP ROLE objects_owner, objects_heir;
