-- Strangers see nothing and do nothing. The functions and views are found in the catalog, so one that is added later is tested, too:
-- each function is called for each pipeline by a stranger, a member of the owning role and the owner.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE ROLE regress_sluice_owner;
CREATE ROLE regress_sluice_member IN ROLE regress_sluice_owner;
CREATE ROLE regress_sluice_stranger;
CREATE SCHEMA house AUTHORIZATION regress_sluice_owner;

-- ---- Pipelines of each kind

SET ROLE regress_sluice_owner;
SET search_path = house;
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, day date DEFAULT '2024-01-01', amount int DEFAULT 1);
SELECT sluice.add_snapshot_column('source');
CREATE TABLE shredded (id bigint, name text, run bigint);
CREATE TABLE merged (amount int PRIMARY KEY, id bigint, day date);
CREATE TABLE fact (day date UNIQUE, amount int);
CREATE TABLE loaded (day date, count bigint, at timestamptz, load_datetime timestamptz);
SELECT sluice.create_shred('shred', 'source', 'doc', cursor => 'sequence', on_error => 'reject',
    mapping => '{"shredded": {"columns": {"id": "#source.id", "name": "$.name", "run": "#run"}}}');
SELECT sluice.create_shred('hash', 'source', 'doc', cursor => 'hash', mapping => '{"shredded": {"columns": {"id": "#source.id", "run": "#run"}}}');
SELECT sluice.create_shred('snapshot', 'source', 'doc', cursor => 'snapshot', mapping => '{"shredded": {"columns": {"id": "#source.id", "run": "#run"}}}');
SELECT sluice.create_merge('merge', 'source', 'merged', '{amount}', 'id');
SELECT sluice.create_facts('facts', 'source', 'fact', '{"grain": {"day": "day"}, "measures": {"amount": "amount"}}');
SELECT sluice.create_load('load', 'source', 'day', 'loaded', 'day', 'SELECT day, count(*) AS count FROM source WHERE day = $1 GROUP BY day', track => 'trigger');
SELECT sluice.create_retention('retention', 'fact', 'amount', 'amount', 'day');
INSERT INTO source (doc) VALUES ('{"name": "a"}'), ('{"name": ["no text"]}');
CALL sluice.run_all();
INSERT INTO source (doc) VALUES ('{"name": "b"}');
RESET ROLE;
RESET search_path;
SELECT pipeline, state FROM sluice.status ORDER BY pipeline;

-- ---- What there is to call: the arguments that have no default get values by their names

CREATE FUNCTION argument(function text, name text, type oid, pipeline text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN name = 'name' THEN quote_literal(pipeline)
        WHEN name = 'definitions' THEN quote_literal(sluice.definition(pipeline))
        WHEN name = 'pipeline_id' THEN (SELECT pipeline_id::text FROM sluice.pipeline p WHERE p.name = pipeline)
        WHEN name = 'cron' THEN quote_literal('* * * * *')
        WHEN name IN ('source', 'facts') AND type = 'regclass'::regtype THEN 'house.source'::regclass::oid || '::regclass'
        WHEN name = 'target' AND type = 'regclass'::regtype THEN 'house.loaded'::regclass::oid || '::regclass'
        WHEN name = 'target' AND type = 'text'::regtype THEN quote_literal('house.merged')
        WHEN name = 'mapping' AND function = 'create_facts' THEN quote_literal('{"grain": {"day": "day"}, "measures": {"amount": "amount"}}')
        WHEN name = 'mapping' THEN quote_literal('{"house.shredded": {"columns": {"id": "#source.id"}}}')
        WHEN name = 'document' THEN quote_literal('doc')
        WHEN name = 'key' AND type = 'jsonb'::regtype THEN quote_literal('{"amount": 1}')
        WHEN name = 'key' THEN quote_literal('{amount}')
        WHEN name IN ('customer', 'amount') THEN quote_literal('amount')
        WHEN name IN ('partition', 'target_partition', 'at') THEN quote_literal('day')
        WHEN name = 'newest_by' THEN quote_literal('id')
        WHEN name = 'query' THEN quote_literal('SELECT day FROM house.source WHERE day = $1')
        WHEN name = 'time_column' THEN quote_literal('at')
        WHEN name = 'since' THEN 'timestamptz ''2024-01-01'''
        WHEN name IN ('keep', 'period') THEN quote_literal('1 day')
        WHEN type = 'jsonb'::regtype THEN quote_literal('{}') || '::jsonb'
        WHEN type = '"any"'::regtype THEN 'date ''2024-01-01'''
        WHEN type IN ('int'::regtype, 'bigint'::regtype) THEN '1'
        ELSE 'NULL::' || type::regtype END
$$;

CREATE VIEW public.callable AS
SELECT p.oid, p.proname AS function, coalesce(x.names[1], '') AS first, p.provolatile = 'i' AS immutable,
       coalesce(x.names[1] IN ('pipeline_id', 'partition_id'), false) AS internal, p.prokind = 'p' AS procedure, x.names
FROM pg_proc p
CROSS JOIN LATERAL (SELECT coalesce(array_agg(name ORDER BY n), '{}') AS names
                    FROM unnest(p.proargnames, coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs::int]))) WITH ORDINALITY a (name, mode, n)
                    WHERE mode IN ('i', 'b', 'v')) x
WHERE p.pronamespace = 'sluice'::regnamespace AND p.prokind IN ('f', 'p') AND p.prorettype <> 'trigger'::regtype
  AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]);

CREATE FUNCTION call_of(callable public.callable, pipeline text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN callable.procedure THEN 'CALL ' ELSE 'SELECT ' END || 'sluice.' || callable.function || '('
        || coalesce(string_agg(format('%I => %s', name, argument(callable.function, name, proargtypes[n - 1], pipeline)), ', ' ORDER BY n), '') || ')'
    FROM pg_proc p, unnest(callable.names) WITH ORDINALITY a (name, n)
    WHERE p.oid = callable.oid AND n <= pronargs - pronargdefaults
$$;

-- outcome calls as somebody, in a subtransaction that is rolled back: the SQLSTATE, or what is returned.
CREATE FUNCTION outcome(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('role');
    result text;
BEGIN
    BEGIN
        PERFORM set_config('role', who, true);
        EXECUTE statement INTO result;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN OTHERS THEN
        IF SQLSTATE <> 'ZZ000' THEN result := SQLSTATE; END IF;
    END;
    PERFORM set_config('role', before, true);
    RETURN coalesce(result, 'null');
END $$;

-- ---- A stranger

CREATE TABLE pipeline AS SELECT name, pipeline_id FROM sluice.pipeline;
-- functions of a pipeline's name: refused, all of them
SELECT count(DISTINCT function) > 20 AS many, count(*) FILTER (WHERE o <> '42501') AS not_refused
FROM callable c, pipeline p, outcome('regress_sluice_stranger', call_of(c, p.name)) o
WHERE first = 'name' AND function <> 'create_table';
SELECT function, p.name, o, call_of(c, p.name)
FROM callable c, pipeline p, outcome('regress_sluice_stranger', call_of(c, p.name)) o
WHERE first = 'name' AND function <> 'create_table' AND o <> '42501' ORDER BY 1, 2;
SELECT function, count(*) FILTER (WHERE o <> '42501') AS not_refused
FROM callable c, pipeline p, outcome('regress_sluice_stranger', call_of(c, p.name)) o WHERE first = 'definitions' GROUP BY 1;
-- a name that nobody has: as if it were not there
SELECT function, o FROM callable c, outcome('regress_sluice_stranger', call_of(c, 'shre')) o
WHERE first = 'name' AND function NOT LIKE 'create_%' AND o <> '42704' ORDER BY 1;
-- functions of a source or target that is not his, which work with the caller's rights
SELECT function, o FROM callable c, outcome('regress_sluice_stranger', call_of(c, 'shred')) o
WHERE first IN ('source', 'target') ORDER BY 1;
-- functions of the views, by number: they tell nothing but whether it is running, and whose it is (as pg_locks and pg_type do)
SELECT function, string_agg(DISTINCT replace(o, 'regress_sluice_owner'::regrole::oid::text, 'the owner'), ' ') AS outcomes
FROM callable c, pipeline p, outcome('regress_sluice_stranger', call_of(c, p.name)) o
WHERE internal GROUP BY 1 ORDER BY 1;
-- all that is left: it has nothing to do with anybody's pipelines
SELECT string_agg(DISTINCT function, ' ' ORDER BY function) AS others FROM callable
WHERE NOT internal AND NOT immutable AND first NOT IN ('name', 'definitions', 'source', 'target') AND function NOT LIKE 'report_%';
SET ROLE regress_sluice_stranger;
CALL sluice.run_all();
SELECT sluice.report() ~ 'shred|house' AS shown;
RESET ROLE;
-- views show nothing; of tables, sequences and types no use at all, those that belong to pipelines included
SELECT relname, outcome('regress_sluice_stranger', format('SELECT count(*) FROM sluice.%I', relname)) AS rows,
       outcome('regress_sluice_stranger', format('DELETE FROM sluice.%I', relname)) AS deleted
FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'v' ORDER BY 1;
SELECT relname FROM pg_class
WHERE relnamespace = 'sluice'::regnamespace AND relkind IN ('r', 'p', 'S', 'm', 'f')
  AND CASE relkind WHEN 'S' THEN has_sequence_privilege('regress_sluice_stranger', oid, 'USAGE,SELECT,UPDATE')
      ELSE has_table_privilege('regress_sluice_stranger', oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER')
           OR has_any_column_privilege('regress_sluice_stranger', oid, 'SELECT,INSERT,UPDATE,REFERENCES') END;
SELECT typname FROM pg_type t
WHERE typnamespace = 'sluice'::regnamespace AND typrelid = 0 AND typelem = 0 AND has_type_privilege('regress_sluice_stranger', oid, 'USAGE');
SELECT count(*) FROM pg_type WHERE typname ~ '^pipeline_\d+$' AND has_type_privilege('regress_sluice_stranger', oid, 'USAGE');
SELECT has_schema_privilege('regress_sluice_stranger', 'sluice', 'CREATE') AS creates,
       has_function_privilege('regress_sluice_stranger', 'sluice.track()', 'EXECUTE') AS tracks;
-- nothing of it runs with other rights than the caller's, but what the C code sees to
SELECT proname FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace AND prosecdef;

-- ---- The owner and a member of the owning role: refused for lack of rights is nothing

SELECT who, function, p.name, o
FROM unnest('{regress_sluice_owner,regress_sluice_member}'::text[]) who, callable c, pipeline p, outcome(who, call_of(c, p.name)) o
WHERE (first IN ('name', 'definitions') AND function NOT LIKE 'create_%' OR internal) AND o IN ('42501', '42704') ORDER BY 1, 2, 3;

-- ---- None of all these calls left anything behind

SELECT pipeline, state, rejects, last_error FROM sluice.status ORDER BY pipeline;
CALL sluice.run_all();
SELECT count(*), count(DISTINCT id) FROM house.shredded;

DROP VIEW public.callable CASCADE;
DROP FUNCTION argument, outcome;
DROP TABLE pipeline;
SELECT sluice.drop_pipeline(pipeline) FROM sluice.status ORDER BY pipeline;
DROP SCHEMA house CASCADE;
DROP ROLE regress_sluice_member, regress_sluice_stranger, regress_sluice_owner;
