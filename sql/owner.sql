-- The owner: in every kind of pipeline all that a user gave (expressions, conditions, queries, defaults, checks, policies, triggers)
-- runs as the owner of the pipeline, in the search_path of its creation, whoever calls or writes. What runs otherwise warns.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE ROLE regress_sluice_owner;
CREATE ROLE regress_sluice_member IN ROLE regress_sluice_owner;
CREATE ROLE regress_sluice_writer;
CREATE SCHEMA house AUTHORIZATION regress_sluice_owner;

SET ROLE regress_sluice_owner;
SET search_path = house;
-- tell hands its value on and notes, in a sequence, since nothing else is written from an immutable function, that it ran.
CREATE FUNCTION tell(what text, value anyelement) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'regress_sluice_owner' THEN RAISE WARNING '% runs as %', what, CASE WHEN current_user = session_user THEN 'the caller' ELSE current_user END; END IF;
    IF current_setting('search_path') NOT IN ('house', 'house, pg_temp') THEN RAISE WARNING '% runs in the search_path %', what, current_setting('search_path'); END IF;
    PERFORM nextval('house.' || what);
    RETURN value;
END $$;
CREATE TABLE log (what text, event text, who text);
-- act is a trigger that tries to become somebody else.
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    attempt text;
BEGIN
    FOREACH attempt IN ARRAY string_to_array(coalesce(current_setting('house.attempts', true), ''), ',') LOOP
        BEGIN
            EXECUTE attempt;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    IF current_setting('search_path') NOT IN ('house', 'house, pg_temp') THEN RAISE WARNING '% runs in the search_path %', TG_NAME, current_setting('search_path'); END IF;
    INSERT INTO house.log VALUES (TG_NAME, TG_WHEN || ' ' || TG_LEVEL, current_user);
    RETURN CASE WHEN TG_LEVEL = 'ROW' THEN coalesce(NEW, OLD) END;
END $$;
CREATE PROCEDURE watch(target text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SEQUENCE %1$s_default; CREATE SEQUENCE %1$s_check;
        ALTER TABLE %1$s ADD filled text DEFAULT tell(''%1$s_default'', ''x''::text), ADD CHECK (tell(''%1$s_check'', true));
        CREATE TRIGGER %1$s_before BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION act();
        CREATE TRIGGER %1$s_after AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION act();
        CREATE TRIGGER %1$s_statement AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION act();
        CREATE CONSTRAINT TRIGGER %1$s_deferred AFTER INSERT OR UPDATE OR DELETE ON %1$s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION act()', target);
END $$;

CREATE SEQUENCE source_view;
CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb DEFAULT '{"a": 1}', day date, amount int, status text, at timestamptz DEFAULT '2024-01-01');
CREATE VIEW source AS SELECT id, doc, day, tell('source_view', amount) AS amount, status, at FROM rows;

CREATE SEQUENCE condition;
CREATE SEQUENCE condition_query;

-- shred
CREATE SEQUENCE shred_order;
CREATE SEQUENCE shred_policy;
CREATE TABLE shredded (id bigint, name text, run bigint);
CALL watch('shredded');
CREATE TABLE policed (id bigint);
ALTER TABLE policed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY policed ON policed USING (true) WITH CHECK (tell('shred_policy', id) > 0);
SELECT sluice.create_shred('shred', 'source', 'doc', cursor => 'hash', order_by => 'tell(''shred_order'', id)', duplicates => 'keep', checks => ARRAY['tell(''condition'', true)', 'SELECT tell(''condition_query'', count(*) > 0) FROM rows'], mapping => '
    {"shredded": {"columns": {"id": "#source.id", "name": "#source.amount", "run": "#run"}}, "policed": {"columns": {"id": "#source.id"}}}');

-- merge
CREATE SEQUENCE merge_newest;
CREATE SEQUENCE merge_delete;
CREATE TABLE merged (id bigint PRIMARY KEY, day date, amount int);
CALL watch('merged');
SELECT sluice.create_merge('merge', 'rows', 'merged', '{id}', 'tell(''merge_newest'', at)', columns => '{day,amount}', delete_when => 'tell(''merge_delete'', status) = ''gone''', checks => ARRAY['tell(''condition'', true)', 'SELECT tell(''condition_query'', count(*) > 0) FROM rows']);

-- facts
CREATE SEQUENCE facts_grain;
CREATE SEQUENCE facts_measure;
CREATE SEQUENCE facts_sign;
CREATE SEQUENCE facts_newest;
CREATE SEQUENCE facts_key;
CREATE SEQUENCE facts_column;
CREATE SEQUENCE retention_at;
CREATE TABLE fact (day date, customer int, amount int, UNIQUE (day, customer));
CREATE TABLE dimension (customer int PRIMARY KEY, status text);
CALL watch('fact');
CALL watch('dimension');
SELECT sluice.create_facts('facts', 'rows', 'fact', newest_by => 'tell(''facts_newest'', at)', checks => ARRAY['tell(''condition'', true)', 'SELECT tell(''condition_query'', count(*) > 0) FROM rows'], mapping => '{
    "grain": {"day": "tell(''facts_grain'', day)", "customer": "1"}, "measures": {"amount": "tell(''facts_measure'', amount)"},
    "sign": {"by": "tell(''facts_sign'', status)", "negative": ["refunded"]},
    "dimensions": [{"table": "dimension", "key": {"customer": "tell(''facts_key'', 1)"}, "columns": {"status": "tell(''facts_column'', status)"}}]}');
SELECT sluice.create_retention('retention', 'fact', 'customer', 'amount', at => 'tell(''retention_at'', day)', materialized => true);
CALL watch('retention');

-- loads: by triggers, by a list
CREATE SEQUENCE load_partition;
CREATE SEQUENCE load_query;
CREATE SEQUENCE load_list;
CREATE TABLE loaded (day date, amount bigint);
CALL watch('loaded');
SELECT sluice.create_load('load', 'rows', 'tell(''load_partition'', day)', 'loaded', 'day', track => 'trigger', deletes => 'reload', checks => ARRAY['SELECT tell(''condition_query'', count(*) > 0) FROM rows'],
    query => 'SELECT day, sum(tell(''load_query'', amount)) AS amount FROM rows WHERE day = $1 GROUP BY day');
CREATE TABLE listed (day date, amount bigint);
SELECT sluice.create_load('list', 'rows', 'day', 'listed', 'day', partition_list => 'SELECT DISTINCT tell(''load_list'', day) FROM rows',
    query => 'SELECT day, sum(amount) AS amount FROM rows WHERE day = $1 GROUP BY day');

-- what sluice keeps beside (ledgers, times) belongs to the owner, too: so he may lay something there
-- (but indexes: for these he lacks CREATE on the schema)
DO $$
DECLARE
    beside text;
    kind text;
BEGIN
    FOR beside IN SELECT relname FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'r' AND relowner = current_user::regrole LOOP
        kind := 'beside_' || regexp_replace(beside, '_.*', '');
        EXECUTE format('CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE ON sluice.%I FOR EACH ROW EXECUTE FUNCTION act()', kind, beside);
        CONTINUE WHEN kind = 'beside_track'; -- appended to without any of this
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %1$s; ALTER TABLE sluice.%2$I ADD CHECK (tell(%1$L, true))', kind, beside);
    END LOOP;
END $$;
SELECT tgname FROM pg_trigger WHERE tgname LIKE 'beside%' ORDER BY 1;
GRANT USAGE ON SCHEMA house TO regress_sluice_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON rows TO regress_sluice_writer;
RESET ROLE;
RESET search_path;

-- ---- The traps: names and operators that come before those of the owner and of the server

CREATE SCHEMA trap;
CREATE FUNCTION trap.tell(what text, value anyelement) RETURNS anyelement LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped: tell'; RETURN value; END $$;
CREATE FUNCTION trap.sum(int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped: sum'; RETURN 0; END $$;
CREATE PROCEDURE trap.lay(type regtype) LANGUAGE plpgsql AS $$
DECLARE
    operator text;
BEGIN
    FOREACH operator IN ARRAY '{=,<>,<,>,<=,>=}'::text[] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION trap.compare(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN RAISE WARNING ''trapped: %1$s''; RETURN true; END $f$', type);
        EXECUTE format('CREATE OPERATOR trap.%2$s (FUNCTION = trap.compare, LEFTARG = %1$s, RIGHTARG = %1$s)', type, operator);
    END LOOP;
END $$;
CALL trap.lay('bigint');
CALL trap.lay('int');
CALL trap.lay('text');
CALL trap.lay('date');
CALL trap.lay('uuid');
CALL trap.lay('timestamptz');
CREATE TABLE trap.rows (LIKE house.rows);
CREATE TABLE trap.loaded (LIKE house.loaded);
CREATE TABLE trap.fact (LIKE house.fact);
GRANT USAGE ON SCHEMA trap TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA trap TO PUBLIC;

-- forget what ran when the pipelines were created
CREATE PROCEDURE forget() LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM setval(format('house.%I', sequencename), 1, false) FROM pg_sequences WHERE schemaname = 'house' AND sequencename <> 'rows_id_seq';
    DELETE FROM house.log;
END $$;
CREATE FUNCTION never_ran() RETURNS TABLE (what name) LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT sequencename FROM pg_sequences WHERE schemaname = 'house' AND last_value IS NULL ORDER BY 1
$$;
CREATE FUNCTION acted() RETURNS TABLE (who text, triggers bigint, missing text) LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT who, count(DISTINCT what), (SELECT string_agg(t.tgname, ' ' ORDER BY t.tgname) FROM pg_trigger t WHERE t.tgfoid = 'house.act'::regproc AND tgname NOT IN (SELECT what FROM house.log))
    FROM house.log GROUP BY who
$$;

-- ---- Another role writes to the source: the partition is found by the owner

CALL forget();
SET ROLE regress_sluice_writer;
SET search_path = trap, pg_catalog;
INSERT INTO house.rows (day, amount, status) VALUES ('2024-01-01', 1, 'a'), ('2024-01-02', 2, 'refunded'), ('2024-01-03', 3, 'gone');
UPDATE house.rows SET amount = amount + 1 WHERE id OPERATOR(pg_catalog.=) 1;
RESET ROLE;
RESET search_path;
SELECT pg_sequence_last_value('house.load_partition') IS NOT NULL AS ran;

-- ---- A superuser calls

CALL forget();
SET search_path = trap, pg_catalog;
SELECT 1 = 1 AS the_trap_works;
SET house.attempts = 'RESET ROLE,SET SESSION AUTHORIZATION DEFAULT,SET ROLE NONE';
SELECT pipeline, sluice.pending(pipeline) > 0 AS pending FROM sluice.status ORDER BY pipeline COLLATE "C";
SELECT partition, state FROM sluice.partitions ORDER BY pipeline COLLATE "C", partition COLLATE "C";
SELECT count(*) FROM sluice.late_partitions('load');
SELECT target, count(*), min(error) FROM sluice.preview('shred') GROUP BY target ORDER BY target COLLATE "C";
CALL sluice.run('shred');
CALL sluice.run('merge');
CALL sluice.run('facts');
CALL sluice.run('load');
CALL sluice.run('list');
INSERT INTO house.rows (day, amount, status) VALUES ('2024-01-01', 5, 'b'), ('2024-01-04', 6, 'c');
BEGIN;
SELECT source_rows FROM sluice.run_batch('shred');
SELECT source_rows FROM sluice.run_batch('merge');
SELECT source_rows FROM sluice.run_batch('facts');
SELECT source_rows FROM sluice.run_batch('load');
SELECT source_rows FROM sluice.run_batch('list');
COMMIT;
SELECT sluice.cursor_position(pipeline) IS NULL AS nowhere FROM sluice.status WHERE kind OPERATOR(pg_catalog.<>) 'load';
SELECT pipeline, v.* FROM sluice.status, sluice.verify(pipeline) v WHERE pipeline OPERATOR(pg_catalog.<>) 'list' ORDER BY pipeline COLLATE "C";
CALL sluice.backfill('load', date '2024-01-02');
SELECT sluice.backfill_config('load', date '2024-01-03') IS NULL AS nothing;
SELECT sluice.alter_pipeline('load', query => 'SELECT day, sum(tell(''load_query'', amount)) AS amount FROM rows WHERE day = $1 GROUP BY day');
SELECT sluice.alter_pipeline('list', partition_list => 'SELECT tell(''load_list'', day) FROM rows');
SELECT sluice.alter_pipeline('shred', mapping => '{"shredded": {"columns": {"id": "#source.id", "name": "#source.amount", "run": "#run"}}, "policed": {"columns": {"id": "#source.id"}}}');
SELECT sluice.seek('merge', sluice.cursor_position('merge'));
CALL sluice.run_all();
RESET search_path;
SELECT * FROM never_ran();
SELECT * FROM acted();
SELECT * FROM house.loaded ORDER BY day;
SELECT * FROM house.listed ORDER BY day;
SELECT * FROM house.fact ORDER BY day;

-- ---- A member of the owning role calls

CALL forget();
SET ROLE regress_sluice_member;
SET search_path = trap, pg_catalog;
INSERT INTO house.rows (day, amount, status, at) VALUES ('2024-01-01', 7, 'b', '2024-01-02'), ('2024-01-05', 8, 'gone', '2024-01-03');
UPDATE house.rows SET amount = 9, at = '2024-01-02' WHERE id OPERATOR(pg_catalog.=) 2;
CALL sluice.run_all();
RESET ROLE;
RESET search_path;
SELECT * FROM never_ran();
SELECT * FROM acted();

-- ---- The owner calls: nothing is restricted, so he does not try

RESET house.attempts;
CALL forget();
SET ROLE regress_sluice_owner;
SET search_path = trap, pg_catalog;
INSERT INTO house.rows (day, amount, status) VALUES ('2024-01-01', 7, 'b'), ('2024-01-06', 8, 'x');
CALL sluice.run_all();
RESET ROLE;
RESET search_path;
SELECT * FROM acted();
SELECT count(*) AS trapped FROM (SELECT FROM trap.rows UNION ALL SELECT FROM trap.loaded UNION ALL SELECT FROM trap.fact) t;

SELECT sluice.drop_pipeline(pipeline) FROM sluice.status ORDER BY pipeline;
DROP FUNCTION never_ran, acted;
DROP PROCEDURE forget;
DROP SCHEMA house, trap CASCADE;
DROP ROLE regress_sluice_member, regress_sluice_writer, regress_sluice_owner;
