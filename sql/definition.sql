-- Definitions: pipelines as JSON that is kept in files; applying a file makes the same pipelines.
\set VERBOSITY default
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
SET IntervalStyle = 'postgres';

-- ---- pipelines of every kind, with and without each argument

CREATE SCHEMA "Groß-Klein";
CREATE TABLE stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, at timestamptz DEFAULT '2024-01-01');
SELECT sluice.add_snapshot_column('stage');
CREATE TABLE "Groß-Klein"."Der ""Eingang""" (nr int, "Das Dokument" text, "Wann" date);
CREATE TABLE "Groß-Klein"."Ziel" ("Nr" int PRIMARY KEY, rest jsonb);
CREATE TABLE target (id bigint, a int, rest jsonb);
CREATE SCHEMA grown;

SELECT sluice.create_shred('plain', source => 'stage', document => 'doc', mapping => '{"target": {"columns": {"id": "#source.id", "a": "$.a"}}}');
SELECT sluice.create_shred('all of shred', source => 'stage', document => 'doc', mapping => '{
    "target": {"columns": {"id": "#source.id", "rest": "#rest",
                           "a":  {"path": "$.a", "null_if": ["", "n/a"]}}}}',
    "unknown" => 'keep', cursor => 'hash', order_by => 'at', lookback => '3 days', duplicates => 'keep', recheck => '1 day 2 hours',
    batch_size => 7, on_error => 'reject', max_rejects => 100, max_failures => 0, after => '{plain}', checks => '{id > 0}');
SELECT sluice.create_shred('Größe "всё" ''так'' \', source => '"Groß-Klein"."Der ""Eingang"""', document => 'Das Dokument',
    mapping => '{"\"Groß-Klein\".\"Ziel\"": {"columns": {"Nr": "#source.nr", "rest": "#rest"}, "key": "Nr", "mode": "merge"}}');
INSERT INTO stage (doc) VALUES ('{"a": 1, "b": [{"c": 1}, {"c": 2}]}'), ('{"a": 2, "b": []}');
SELECT sluice.create_shred('inferred', source => 'stage', document => 'doc', target_schema => 'grown', cursor => 'snapshot');

CREATE TABLE partial (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Key" int, at timestamptz, visits int, first date, doc jsonb, op text, body json);
SELECT sluice.add_snapshot_column('partial');
SELECT sluice.create_merge('merged', source => 'partial', target => 'merged', key => '{Key}', newest_by => 'at');
SELECT sluice.create_merge('all of merge', source => 'partial', target => '"Groß-Klein"."All"', key => '{Key,op}', newest_by => 'at',
    columns => '{visits,first,doc}', nulls => 'clear', deep => '{doc}', rules => '{"visits": "sum", "first": "min"}',
    cursor => 'hash', order_by => 'at', lookback => '1 mon', duplicates => 'skip', recheck => '00:00', batch_size => 10, on_error => 'reject',
    max_rejects => 0, max_failures => 3, after => '{plain,merged}', checks => '{visits >= 0,SELECT true}');
SELECT sluice.create_merge('deleting merge', source => 'partial', target => '"Groß-Klein".deleting', key => '{Key}', newest_by => 'at',
    delete_when => 'op = ''it''''s gone''', cursor => 'snapshot', order_by => 'sluice_xid');
CREATE TABLE from_documents (id int PRIMARY KEY, name text, at timestamptz);
SELECT sluice.create_merge('merge of documents', source => 'partial', target => 'from_documents', key => '{id}', newest_by => 'at', document => 'body',
    cursor => 'hash');

CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item int, item_name text, paid numeric, status text);
CREATE TABLE item (id int PRIMARY KEY, name text, at timestamp);
CREATE TABLE item_name (id int, name text, valid_from timestamp, valid_to timestamp, is_current boolean, UNIQUE (id, valid_from));
CREATE TABLE day (day date PRIMARY KEY, year_actual int);
CREATE TABLE sale (day date, item int, paid numeric, sold int, least numeric, status text, UNIQUE (day, item));
SELECT sluice.create_facts('facts', source => 'orders', target => 'sale', mapping => '{
    "grain":    {"day": "at::date", "item": {"dimension": "item", "column": "id"}},
    "last":     {"status": "status"},
    "measures": {"paid": "paid", "sold": {"count": "positive"}, "least": {"min": "paid"}},
    "sign":     {"by": "status", "negative": ["refunded"], "ignore": ["cancelled"]},
    "dimensions": [{"table": "item", "key": {"id": "item"}, "columns": {"name": "item_name", "at": "at"}},
                   {"table": "item_name", "key": {"id": "item"}, "columns": {"name": "item_name"}, "history": true},
                   {"table": "day", "key": {"day": "at::date"}, "calendar": "at"}]}',
    newest_by => 'at', batch_size => 1000, on_error => 'reject');
SELECT sluice.create_facts('replaced facts', source => 'orders', target => 'sale', mapping => '{
    "grain": {"day": "at::date", "item": "item"}, "measures": {"paid": "paid"}, "mode": "replace", "replace_by": ["day"]}', cursor => 'hash');

CREATE TABLE days (day date, n bigint, loaded timestamptz DEFAULT now());
SELECT sluice.create_load('load', source => 'orders', partition => 'at::date', target => 'days', target_partition => 'day',
    query => 'SELECT at::date AS day, count(*) AS n FROM orders WHERE at::date = $1 GROUP BY 1');
SELECT sluice.create_load('tracked', source => 'orders', partition => 'at::date', target => 'days', target_partition => 'day',
    query => 'SELECT at::date AS day, count(*) AS n FROM orders WHERE at::date = $1 GROUP BY 1', track => 'trigger', deletes => 'reload');
SELECT sluice.create_load('all of load', source => 'orders', partition => 'at::date', target => 'days', target_partition => 'day',
    query => 'SELECT at::date AS day, count(*) AS n FROM orders WHERE at::date = $1 AND $2 IS NOT NULL GROUP BY 1', mode => 'append',
    settle => '90 minutes', reload_last => 2, partition_list => 'SELECT current_date', back_off => 'loaded', cursor => 'hash', order_by => 'at',
    lookback => '2 days', duplicates => 'skip', recheck => '1 hour', on_error => 'reject', max_failures => 1, after => '{load,tracked}',
    checks => '{SELECT true}');
-- under other settings
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET search_path = "Groß-Klein", public;
SELECT sluice.create_load('elsewhere', source => '"Der ""Eingang"""', partition => '"Wann"', target => 'days', target_partition => 'day',
    query => 'SELECT "Wann" AS day, count(*) AS n FROM "Der ""Eingang""" WHERE "Wann" = $1 GROUP BY 1', settle => 'P1DT2H');
RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET search_path;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY';

SELECT sluice.definition('plain');
SELECT sluice.definition('all of shred');
SELECT sluice.definition('inferred');
SELECT sluice.definition('all of merge');
SELECT sluice.definition('replaced facts');
SELECT sluice.definition('tracked');
SELECT sluice.definition('all of load');
SELECT sluice.definition('elsewhere');

-- ---- there and back again

CREATE TABLE file AS SELECT pipeline, sluice.definition(pipeline)::text AS definition FROM sluice.status ORDER BY pipeline COLLATE "C";
-- changed: pipelines that are not as the file has them
CREATE VIEW changed AS
    SELECT pipeline, definition AS as_was, sluice.definition(pipeline) AS now FROM file WHERE definition <> sluice.definition(pipeline)::text
    UNION ALL SELECT pipeline, 'none', sluice.definition(pipeline) FROM sluice.status WHERE pipeline NOT IN (SELECT pipeline FROM file);
CREATE FUNCTION there_and_back(name text) RETURNS TABLE (once text, again text) LANGUAGE plpgsql AS $$
DECLARE definition json := sluice.definition(name);
BEGIN
    PERFORM sluice.drop_pipeline(name);
    SELECT action INTO once FROM sluice.apply(definition);
    SELECT action INTO again FROM sluice.apply(definition);
    RETURN NEXT;
END $$;
SELECT pipeline, once, again FROM file, there_and_back(pipeline) WHERE NOT definition::jsonb ? 'after';
-- dropped ones are not in "after" any more: the file tells
SELECT a.* FROM sluice.apply((SELECT json_agg(definition::json ORDER BY pipeline COLLATE "C" DESC) FROM file)) a;
TABLE changed;
-- all at once, in an order in which "after" names what comes later
SELECT json_agg(sluice.definition(pipeline) ORDER BY pipeline COLLATE "C")::text AS everything FROM sluice.status \gset
SELECT count(sluice.drop_pipeline(pipeline)) FROM file;
SELECT * FROM sluice.apply(:'everything', dry_run => true) WHERE action <> 'created';
SELECT count(*) FROM sluice.status;
SELECT * FROM sluice.apply(:'everything');
TABLE changed;
SELECT action, count(*) FROM sluice.apply(:'everything') GROUP BY 1;
-- formatting and the order of members mean nothing, but for what a shred writes first
SELECT * FROM sluice.apply((SELECT json_agg(definition::jsonb ORDER BY pipeline COLLATE "C") FROM file)) WHERE action <> 'unchanged';
SELECT * FROM sluice.apply(:'everything') WHERE action <> 'unchanged';
TABLE changed;
-- whoever applies it under whatever settings
SET TimeZone = 'America/New_York'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'; SET search_path = pg_catalog;
SELECT action, count(*) FROM sluice.apply(:'everything') GROUP BY 1;
SELECT count(sluice.drop_pipeline(pipeline)) FROM public.file;
SELECT action, count(*) FROM sluice.apply(:'everything') GROUP BY 1;
TABLE public.changed;
RESET search_path; RESET IntervalStyle; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY';

-- ---- every argument that can be altered, and back

-- with_member writes a member of a definition over, or leaves it out
CREATE FUNCTION with_member(definition json, member text, value json) RETURNS json LANGUAGE sql AS $$
    SELECT ('{' || string_agg(to_json(key) || ':' || v, ',' ORDER BY number) || '}')::json
    FROM (SELECT key, CASE WHEN key = member THEN with_member.value ELSE e.value END AS v, number
          FROM json_each(definition) WITH ORDINALITY e (key, value, number)
          UNION ALL SELECT member, value, 1000 WHERE definition -> member IS NULL) x
    WHERE v IS NOT NULL $$;
CREATE FUNCTION file_of(name text) RETURNS json LANGUAGE sql AS 'SELECT definition::json FROM file WHERE pipeline = name';

CREATE FUNCTION alter_and_back(name text, member text, value json) RETURNS TABLE (changes text, stays boolean, back text, is_back boolean) LANGUAGE plpgsql AS $$
DECLARE before json := sluice.definition(name); wanted json := with_member(before, member, value);
BEGIN
    SELECT concat_ws(': ', action, a.changes) INTO changes FROM sluice.apply(wanted) a;
    stays := sluice.definition(name)::jsonb = wanted::jsonb AND (SELECT action = 'unchanged' FROM sluice.apply(wanted));
    SELECT concat_ws(': ', action, a.changes) INTO back FROM sluice.apply(before) a;
    is_back := sluice.definition(name)::text = before::text;
    RETURN NEXT;
END $$;
\x on
SELECT pipeline, a.* FROM (VALUES
    ('plain', 'batch_size', '5'), ('plain', 'on_error', '"reject"'), ('plain', 'max_rejects', '12'), ('plain', 'max_failures', '9'),
    ('plain', 'checks', '["id > 0", "SELECT true"]'), ('plain', 'after', '["load", "merged"]'), ('plain', 'unknown', '"reject"'),
    ('plain', 'mapping', '{"target": {"columns": {"a": "$.b", "id": "#source.id"}}}'),
    ('all of shred', 'lookback', '"1 day"'), ('all of shred', 'lookback', NULL), ('all of shred', 'recheck', '"02:00:00"'), ('all of shred', 'recheck', NULL),
    ('all of shred', 'batch_size', NULL), ('all of shred', 'on_error', NULL), ('all of shred', 'max_rejects', NULL), ('all of shred', 'max_failures', NULL),
    ('all of shred', 'checks', NULL), ('all of shred', 'after', NULL), ('all of shred', 'unknown', NULL),
    ('all of merge', 'lineage', 'true'), ('all of merge', 'max_rejects', NULL), ('facts', 'on_error', NULL),
    ('all of load', 'query', '"SELECT at::date AS day, 1 AS n FROM orders WHERE at::date = $1"'), ('all of load', 'settle', NULL),
    ('all of load', 'reload_last', NULL), ('all of load', 'partition_list', NULL), ('all of load', 'back_off', NULL),
    ('all of load', 'settle', '"1 day"'), ('all of load', 'reload_last', '1'), ('all of load', 'partition_list', '"SELECT date ''2024-01-01''"'))
    v (pipeline, member, value), alter_and_back(pipeline, member, value::json) a;
\x off
TABLE changed;
-- the defaults of those arguments, written out, are no change
SELECT action FROM sluice.apply('{"kind": "shred", "name": "plain", "source": "stage", "document": "doc", "mapping": {"target": {"columns": {"id": "#source.id", "a": "$.a"}}},
    "target_schema": null, "unknown": "ignore", "cursor": null, "lookback": null, "duplicates": null, "recheck": null, "batch_size": null, "on_error": "stop",
    "max_rejects": null, "max_failures": 5, "after": [], "checks": null, "schedule": null, "settings": {}}');
-- what is chosen at creation may be left open: it stays as it was chosen
SELECT action FROM sluice.apply('[{"kind": "shred", "name": "plain", "source": "stage", "document": "doc", "mapping": {"target": {"columns": {"id": "#source.id", "a": "$.a"}}}},
    {"kind": "shred", "name": "inferred", "source": "stage", "document": "doc", "target_schema": "grown"}]');

-- several at once, and mapping with unknown: what one needs of the other is looked at together
SELECT * FROM sluice.apply('[{"kind": "shred", "name": "plain", "source": "stage", "document": "doc",
    "mapping": {"target": {"columns": {"id": "#source.id", "rest": "#rest"}}}, "unknown": "keep", "batch_size": 1, "on_error": "reject"}]');
SELECT * FROM sluice.apply(file_of('plain'));
-- two change places in the order
SELECT a.* FROM sluice.apply((SELECT json_agg(with_member(file_of(p), 'after', s)) FROM (VALUES ('load', '["tracked"]'::json), ('tracked', '[]')) v (p, s))) a;
SELECT a.* FROM sluice.apply((SELECT json_agg(with_member(file_of(p), 'after', s)) FROM (VALUES ('load', NULL::json), ('tracked', '["load"]')) v (p, s))) a;
SELECT sluice.apply(json_agg(with_member(file_of(p), 'after', s))) FROM (VALUES ('load', '["tracked"]'::json), ('tracked', '["load"]')) v (p, s);
SELECT a.* FROM sluice.apply(file_of('tracked')) a;
TABLE changed;

-- ---- it holds in the next run

SELECT action FROM sluice.apply(with_member(with_member(file_of('plain'), 'batch_size', '1'), 'on_error', '"reject"'));
INSERT INTO stage (doc) VALUES ('{"a": "x"}'), ('{"a": 3}');
CALL sluice.run('plain');
SELECT batches, source_rows, rejected FROM sluice.runs WHERE pipeline = 'plain';
SELECT action FROM sluice.apply(file_of('plain'));
INSERT INTO stage (doc) VALUES ('{"a": "y"}');
CALL sluice.run('plain');
DELETE FROM stage WHERE doc = '{"a": "y"}';
CALL sluice.run('plain');
SELECT id, a FROM target ORDER BY id;
-- the position is that of the pipeline, not of the file
SELECT action FROM sluice.apply(file_of('plain'));
SELECT sluice.pending('plain');

-- ---- what cannot be altered

CREATE FUNCTION attempt(definitions json, dry_run boolean DEFAULT false) RETURNS TABLE (part text, line text) LANGUAGE plpgsql AS $$
DECLARE code text; message text; detail text; hint text; context text;
BEGIN
    PERFORM sluice.apply(definitions, dry_run);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN QUERY SELECT * FROM (SELECT 'error', code || ': ' || message UNION ALL SELECT 'detail', l FROM string_to_table(detail, E'\n') l
        UNION ALL SELECT 'hint', hint UNION ALL SELECT 'context', l FROM string_to_table(context, E'\n') l WHERE l LIKE 'definition%') x (a, b) WHERE b <> '';
END $$;

SELECT * FROM attempt(with_member(file_of('all of shred'), 'source', '"partial"'));
SELECT * FROM attempt(with_member(file_of('plain'), 'name', '"facts"'));
SELECT member, line FROM (VALUES
    ('all of shred', 'document', '"x"'), ('all of shred', 'cursor', '"snapshot"'), ('all of shred', 'order_by', '"id"'), ('all of shred', 'order_by', NULL),
    ('all of shred', 'duplicates', NULL), ('all of merge', 'target', '"merged"'), ('all of merge', 'key', '["Key"]'), ('all of merge', 'newest_by', '"first"'),
    ('all of merge', 'columns', NULL), ('all of merge', 'nulls', NULL), ('all of merge', 'deep', '[]'), ('all of merge', 'rules', '{"visits": "max"}'),
    ('deleting merge', 'delete_when', NULL), ('merge of documents', 'document', NULL), ('facts', 'newest_by', NULL),
    ('facts', 'mapping', '{"grain": {"day": "at::date", "item": "item"}, "measures": {"paid": "paid"}}'),
    ('all of load', 'partition', '"at"'), ('all of load', 'target', '"sale"'), ('all of load', 'target_partition', '"n"'), ('all of load', 'mode', NULL),
    ('all of load', 'track', '"trigger"'), ('tracked', 'deletes', NULL),
    ('elsewhere', 'settings', '{"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "search_path": "\"Groß-Klein\", public"}'))
    v (pipeline, member, value), attempt(with_member(file_of(pipeline), member, value::json)) WHERE part = 'detail';
-- what can be altered is refused as alter_pipeline refuses it
SELECT member, part, line FROM (VALUES
    ('plain', 'batch_size', '0'), ('plain', 'max_failures', '-1'), ('plain', 'on_error', '"rejct"'), ('plain', 'unknown', '"keep"'), ('plain', 'lookback', '"1 day"'),
    ('plain', 'mapping', '{"target": {"columns": {"b": "$.b"}}}'), ('load', 'batch_size', '5'), ('all of load', 'query', '"SELECT 1"'), ('plain', 'after', '["plian"]'))
    v (pipeline, member, value), attempt(json_build_array(with_member(file_of(pipeline), member, value::json)));
TABLE changed;

-- ---- all or nothing

SELECT * FROM attempt(json_build_array(with_member(file_of('facts'), 'on_error', '"stop"'), with_member(file_of('plain'), 'name', '"new"'),
    with_member(with_member(file_of('plain'), 'name', '"wrong"'), 'mapping', '{"target": {"columns": {"a": "@keys"}}}')));
TABLE changed;
-- what would be done is told, and not done
SELECT sluice.definition('merged') AS merged \gset
SELECT sluice.drop_pipeline('merged');
DROP TABLE merged;
SELECT a.* FROM sluice.apply(json_build_array(with_member(file_of('facts'), 'on_error', NULL), :'merged'::json, with_member(file_of('plain'), 'name', '"new"'),
    file_of('load'), with_member(file_of('tracked'), 'after', '["new"]')), dry_run => true) a;
SELECT to_regclass('merged') IS NULL AS not_there;
SELECT * FROM attempt(with_member(file_of('plain'), 'batch_size', '0'), true);
SELECT count(*) FROM sluice.status WHERE pipeline IN ('new', 'merged');
SELECT action FROM sluice.apply(:'merged');
SELECT a.* FROM sluice.apply(file_of('all of merge')) a; -- is after it again
TABLE changed;

-- ---- names that change

ALTER TABLE stage RENAME TO "Stage";
ALTER TABLE "Stage" SET SCHEMA "Groß-Klein";
ALTER TABLE days RENAME TO tage;
SELECT sluice.definition('plain') ->> 'source' AS source, sluice.definition('load') ->> 'target' AS target;
SELECT action, count(*) FROM sluice.apply((SELECT json_agg(sluice.definition(pipeline)) FROM sluice.status)) GROUP BY 1;
SELECT * FROM attempt(file_of('plain'));
ALTER TABLE tage RENAME TO days;
ALTER TABLE "Groß-Klein"."Stage" SET SCHEMA public;
ALTER TABLE "Stage" RENAME TO stage;
-- a source that is gone
CREATE TABLE passing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
SELECT sluice.create_shred('passing', source => 'passing', document => 'doc', mapping => '{"target": {"columns": {"id": "#source.id"}}}');
DROP TABLE passing;
SELECT sluice.definition('passing') ->> 'source' AS source;
SELECT * FROM attempt(sluice.definition('passing'));
SELECT line FROM attempt(with_member(sluice.definition('passing'), 'source', '"stage"')) WHERE part = 'detail';
SELECT sluice.drop_pipeline('passing');

-- ---- what a mapping grew by stays

INSERT INTO stage (doc) VALUES ('{"a": 3000000000, "b": [{"c": 3, "d": true}], "e": {"f": "x"}, "g": [1, 2]}');
CALL sluice.run('inferred');
SELECT target, "column" FROM sluice.changes WHERE pipeline = 'inferred' ORDER BY 1, 2;
SELECT sluice.definition('inferred') AS grown \gset
-- the older file: nothing to do
SELECT * FROM sluice.apply((SELECT file_of('inferred')));
-- the older file, with another change: what grew is still there
SELECT a.* FROM sluice.apply(replace(file_of('inferred')::text, '"$.a"', '"$.e.h"')::json) a;
SELECT sluice.definition('inferred') -> 'mapping';
SELECT a.* FROM sluice.apply(replace(file_of('inferred')::text, '"$.a"', '"$.e.h"')::json) a;
-- the newer file takes the change back
SELECT * FROM sluice.apply(:'grown');
SELECT sluice.definition('inferred')::text = :'grown' AS as_grown;
-- what was written by hand goes when the file says so, what grew goes by hand
SELECT a.* FROM sluice.apply(with_member(file_of('inferred'), 'mapping', '{"grown.inferred": {"columns": {"a": {"path": "$.a", "type": "int"}}}}')) a;
SELECT sluice.definition('inferred') -> 'mapping';
SELECT sluice.alter_pipeline('inferred', mapping => '{"grown.inferred": {"columns": {"a": {"path": "$.a", "type": "bigint"}}}}');
SELECT a.* FROM sluice.apply(with_member(file_of('inferred'), 'mapping', '{"grown.inferred": {"columns": {"a": {"path": "$.a", "type": "int"}}}}')) a;
CALL sluice.run('inferred');

-- ---- wrong files

SELECT file, part, regexp_replace(line, 'knows .*', 'knows ...') AS line FROM unnest(ARRAY[
    'null', '5', '"x"', '[5]', '{}', '[{"kind": "shred"}]', '[{"name": "x"}]', '{"kind": 5, "name": "x"}', '{"kind": "shread", "name": "x"}',
    '{"kind": "view", "name": "x"}', '{"kind": "shred", "name": "x"}', '{"kind": "shred", "name": "x", "source": "stage"}',
    '[{"kind": "shred", "name": "x", "source": "stage", "document": "doc", "batchsize": 5}]', '{"kind": "load", "name": "x", "zzz": 1}',
    '{"kind": "facts", "name": "x", "document": "doc"}', '{"kind": "shred", "name": "x", "paused": true}',
    '{"kind": "shred", "name": "x", "name": "y"}', '[{"kind": "shred", "name": "x", "mapping": {"t": {"a/b": 1, "a/b": 2}}}]',
    '{"kind": "shred", "name": "x", "source": 5}', '{"kind": "shred", "name": "x", "batch_size": "5"}', '{"kind": "shred", "name": "x", "on_error": true}',
    '{"kind": "shred", "name": "x", "after": "y"}', '{"kind": "shred", "name": "x", "after": ["y", 5]}', '{"kind": "shred", "name": "x", "mapping": "{}"}',
    '{"kind": "shred", "name": "x", "source": "a\u0000b"}', '{"kind": "shred", "name": "x", "settings": "UTC"}', '{"kind": "shred", "name": "x", "settings": {"timezone": "UTC"}}',
    '{"kind": "shred", "name": "x", "settings": {"TimeZone": 1}}', '{"kind": "shred", "name": "x", "schedule": 5}',
    '[{"kind": "shred", "name": "x", "source": "stage", "document": "doc"}, {"kind": "merge", "name": "x", "source": "partial", "target": "merged", "key": ["Key"], "newest_by": "at"}]',
    '{"kind": "shred", "name": "x", "source": "stage", "document": "doc", "target_schema": "s", "mapping": {"target": {"columns": {"id": "$.id"}}}}'])
    file, attempt(file::json) WHERE part <> 'context';
SELECT member, part, regexp_replace(line, '\d+-cron', 'NN-cron') AS line FROM (VALUES
    ('source', '"nowhere"'), ('source', '"a b"'), ('recheck', '"1 parsec"'), ('recheck', '"-1 day"'), ('batch_size', '1.5'), ('batch_size', '99999999999'), ('cursor', '"hsah"'),
    ('settings', '{"TimeZone": "Mars"}'), ('mapping', '{"target": {"columns": {"a": "$.a", "b": 5}}}'), ('name', '""'), ('schedule', '"* * * * *"'))
    v (member, value), attempt(json_build_array(with_member(with_member(file_of('plain'), 'name', '"new"'), member, value::json))) WHERE part <> 'detail';
SELECT * FROM sluice.apply(NULL);
SELECT * FROM sluice.apply('[]');
SELECT sluice.definition('plian');
SELECT sluice.definition(NULL);

-- ---- rights

CREATE ROLE regress_definition_one;
CREATE ROLE regress_definition_other;
GRANT SELECT ON stage TO regress_definition_one;
GRANT ALL ON target TO regress_definition_one;
SELECT with_member(file_of('plain'), 'name', '"mine"') AS mine, file_of('plain') AS theirs \gset
SET ROLE regress_definition_one;
SELECT * FROM sluice.apply(:'mine');
SELECT * FROM sluice.apply(:'mine');
SELECT pipeline, owner FROM sluice.status;
SELECT * FROM sluice.apply(:'theirs');
SELECT sluice.definition('plain');
SELECT * FROM sluice.apply('{"kind": "shred", "name": "x", "source": "partial", "document": "doc", "mapping": {"target": {"columns": {"id": "#source.id"}}}}');
SET ROLE regress_definition_other;
SELECT sluice.definition('mine');
SELECT * FROM sluice.apply(:'mine');
SELECT json_agg(sluice.definition(pipeline)) FROM sluice.status;
RESET ROLE;
-- whoever alters it, it stays its owner's
SELECT a.* FROM sluice.apply(with_member(:'mine'::json, 'batch_size', '3')) a;
SELECT pipeline, owner FROM sluice.status WHERE pipeline = 'mine';
-- an owner who is gone took his pipelines along: they are created again
DROP OWNED BY regress_definition_one;
DROP ROLE regress_definition_one;
SELECT action FROM sluice.apply(:'mine');
SELECT sluice.drop_pipeline('mine');
DROP ROLE regress_definition_other;
