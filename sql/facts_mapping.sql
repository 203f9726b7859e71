-- The mapping of facts: what is refused when a pipeline is created, with its place.

CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp, item_id int, name text, paid numeric(10,2), status text, doc json);
CREATE TABLE item (item_id int PRIMARY KEY, name text, code serial, valid_from timestamp, valid_to timestamp, is_current boolean);
CREATE TABLE day (day date PRIMARY KEY, year_actual int);
CREATE TABLE plain (day date PRIMARY KEY);
CREATE TABLE fact (id int GENERATED ALWAYS AS IDENTITY, day date, item_id int, paid numeric(10,2), n int, name text, doc json,
                   twice int GENERATED ALWAYS AS (n * 2) STORED, UNIQUE (day, item_id));
CREATE VIEW seen AS SELECT * FROM fact;
CREATE PROCEDURE refuse(mapping text, newest_by text DEFAULT 'at', target text DEFAULT 'fact') LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    state text;
BEGIN
    BEGIN
        PERFORM sluice.create_facts('refused', 'orders', target, mapping::json, newest_by);
        RAISE WARNING 'taken';
        PERFORM sluice.drop_pipeline('refused');
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
        RAISE WARNING '%: % (%)', state, SQLERRM, hint;
    END;
END $$;
CREATE FUNCTION with_(rest text) RETURNS text LANGUAGE sql AS
$$ SELECT '{"grain": {"day": "at::date", "item_id": "item_id"}, "measures": {"paid": "paid"}' || rest || '}' $$;
\set VERBOSITY terse

-- Words and values
CALL refuse('{}');
CALL refuse('[]');
CALL refuse('{"grain": {}}');
CALL refuse('{"grain": "day"}');
CALL refuse('{"grian": {"day": "at::date"}}');
CALL refuse('{"grain": {"day": 1}}');
CALL refuse('{"grain": {"day": "at::date", "day": "at"}}');
CALL refuse(with_(', "mode": "ad"'));
CALL refuse(with_(', "mode": "replace"'));
CALL refuse(with_(', "replace_by": ["day"]'));
CALL refuse(with_(', "mode": "replace", "replace_by": ["days"]'));
CALL refuse(with_(', "sign": {"negative": ["refunded"]}'));
CALL refuse(with_(', "sign": {"by": "status", "negativ": ["refunded"]}'));
CALL refuse(with_(', "sign": {"by": "status", "negative": "refunded"}'));
CALL refuse(with_(', "sign": {"by": "status", "negative": ["a", "b"], "ignore": ["b"]}'));
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"n": {"count": "positiv"}}}');
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"n": {"count": "all", "sum": "1"}}}');
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"n": {"count": "all", "signed": false}}}');
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"n": {"signed": true}}}');
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"n": {"average": "paid"}}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id"}, "last": {"day": "at::date"}}');
CALL refuse(with_(', "dimensions": {}'));
CALL refuse(with_(', "dimensions": [{"key": {"item_id": "item_id"}}]'));
CALL refuse(with_(', "dimensions": [{"table": "item"}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "colums": {}}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "history": "yes"}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "history": true}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "columns": {"item_id": "1"}}]'));

-- Names
CALL refuse(with_(''), target => 'facts');
CALL refuse(with_(''), target => 'a.b.c');
CALL refuse(with_(''), target => 'seen');
CALL refuse(with_(''), target => 'orders');
CALL refuse('{"grain": {"day": "at::date", "itm_id": "item_id"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "itm_id"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id)"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "(SELECT 1)"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "count(*)"}}');
CALL refuse('{"grain": {"day": "clock_timestamp()::date", "item_id": "item_id"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id", "id": "1"}}');
CALL refuse(with_(', "last": {"twice": "1"}'));
CALL refuse(with_(', "sign": {"by": "state", "negative": ["refunded"]}'));
CALL refuse(with_(''), newest_by => 'att');
CALL refuse(with_(', "dimensions": [{"table": "items", "key": {"item_id": "item_id"}}]'));
CALL refuse(with_(', "dimensions": [{"table": "orders", "key": {"item_id": "item_id"}}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "columns": {"nam": "name"}}]'));
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}}, {"table": "public.item", "key": {"item_id": "item_id"}}]'));
CALL refuse('{"grain": {"day": "at::date", "item_id": {"dimension": "itm", "column": "code"}},
             "dimensions": [{"table": "item", "key": {"item_id": "item_id"}}]}');
CALL refuse('{"grain": {"day": "at::date", "item_id": {"dimension": "item", "column": "cod"}},
             "dimensions": [{"table": "item", "key": {"item_id": "item_id"}}]}');
CALL refuse('{"grain": {"day": "at::date", "item_id": {"dimension": "item", "colum": "code"}}}');

-- Types
CALL refuse('{"grain": {"day": "item_id", "item_id": "item_id"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id"}, "measures": {"name": "name"}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id"}, "measures": {"name": {"max": "name", "signed": true}}, "sign": {"by": "status", "negative": ["refunded"]}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id"}, "measures": {"name": {"count": "all"}}}');
CALL refuse('{"grain": {"day": "at::date", "item_id": "item_id"}, "measures": {"doc": {"max": "doc"}}}');
CALL refuse(with_(', "last": {"name": "name"}'), newest_by => 'doc');
CALL refuse('{"grain": {"day": "at::date", "item_id": {"dimension": "item", "column": "name"}},
             "dimensions": [{"table": "item", "key": {"item_id": "item_id"}}]}');

-- Keys
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"paid": "paid"}}');
CALL refuse('{"grain": {"day": "at::date"}, "measures": {"paid": "paid"}, "mode": "replace", "replace_by": ["day"]}');
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"name": "name"}}]'));

-- Histories and calendars
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]'), newest_by => NULL);
CALL refuse(with_(', "dimensions": [{"table": "item", "key": {"item_id": "item_id"}, "columns": {"name": "name"}, "history": true}]'), newest_by => 'id');
CALL refuse(with_(', "dimensions": [{"table": "day", "key": {"day": "at::date"}, "columns": {"year_actual": "1"}, "history": true}]'));
CALL refuse(with_(', "dimensions": [{"table": "plain", "key": {"day": "at::date"}, "calendar": "at"}]'));
CALL refuse(with_(', "dimensions": [{"table": "day", "key": {"day": "at::date"}, "calendar": "name"}]'));
CALL refuse(with_(', "dimensions": [{"table": "day", "key": {"day": "at::date"}, "calendar": "at", "history": true}]'));
ALTER TABLE day ALTER year_actual TYPE boolean USING true;
CALL refuse(with_(', "dimensions": [{"table": "day", "key": {"day": "at::date"}, "calendar": "at"}]'));

-- Arguments
SELECT sluice.create_facts('refused', 'orders', NULL, '{}', 'at');
SELECT sluice.create_facts('refused', 'orders', 'fact', NULL, 'at');
SELECT sluice.create_facts('refused', 'orders', 'fact', with_('')::json, 'at', on_error => 'rejct');
SELECT sluice.create_facts('facts', 'orders', 'fact', with_('')::json, 'at');
SELECT sluice.alter_pipeline('facts', mapping => '{}');
SELECT sluice.alter_pipeline('facts', unknown => 'add');

-- Rights are those of the owner, and asked for at once
CREATE ROLE facts_clerk;
GRANT SELECT (id, at, item_id) ON orders TO facts_clerk;
SET ROLE facts_clerk;
SELECT sluice.create_facts('clerk', 'orders', 'fact', with_('')::json, 'at', cursor => 'sequence');
RESET ROLE;
GRANT SELECT ON orders TO facts_clerk;
GRANT SELECT, INSERT ON fact TO facts_clerk;
SET ROLE facts_clerk;
SELECT sluice.create_facts('clerk', 'orders', 'fact', with_('')::json, 'at', cursor => 'sequence');
RESET ROLE;
GRANT UPDATE ON fact TO facts_clerk;
SET ROLE facts_clerk;
SELECT sluice.create_facts('clerk', 'orders', 'fact', with_(', "dimensions": [{"table": "plain", "key": {"day": "at::date"}}]')::json, 'at', cursor => 'sequence');
SELECT sluice.create_facts('clerk', 'orders', 'fact', with_(', "last": {"name": "name"}')::json, 'at', cursor => 'sequence');
RESET ROLE;
SELECT c.relname ~ '^newest_\d+_0$' AS remembers FROM pg_class c WHERE relowner = 'facts_clerk'::regrole AND relname LIKE 'newest%' AND relkind = 'r';
INSERT INTO orders (at, item_id, paid, name) VALUES ('2024-01-01', 1, 2.50, 'a');
CALL sluice.run('clerk');
SELECT day, item_id, paid, name FROM fact;
SELECT sluice.drop_pipeline('clerk'), sluice.drop_pipeline('facts');
DROP VIEW seen;
DROP TABLE orders, item, day, plain, fact;
DROP OWNED BY facts_clerk;
DROP ROLE facts_clerk;
DROP FUNCTION with_;
DROP PROCEDURE refuse;
