-- SQL expressions that fail for some rows of a source: the row is rejected, or the error names it.
SET client_min_messages = warning;
CREATE VIEW rejected AS
SELECT pipeline, count(*), min(source_row) FILTER (WHERE source_row LIKE 'seq%') AS source_row, min(sqlstate) AS sqlstate, min(message) AS message
FROM sluice.rejects GROUP BY pipeline ORDER BY pipeline;

-- ---- a merge, with each cursor
CREATE TABLE partial (
    seq   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id    int,
    at    text, -- when, as text that may be no time
    name  text,
    stamp xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX ON partial (stamp);
CREATE TABLE people_sequence (id int PRIMARY KEY, name text);
CREATE TABLE people_snapshot (LIKE people_sequence INCLUDING ALL);
CREATE TABLE people_hash (LIKE people_sequence INCLUDING ALL);
SELECT sluice.create_merge('by ' || cursor, 'partial', 'people_' || cursor, '{id}',
                           $$sluice.parse_timestamp(at, 'YYYY-MM-DD HH24:MI')$$,
                           columns => '{name}', cursor => cursor,
                           order_by => CASE cursor WHEN 'sequence' THEN 'seq' WHEN 'snapshot' THEN 'stamp' END)
FROM unnest('{sequence,snapshot,hash}'::text[]) cursor;
INSERT INTO partial (id, at, name)
SELECT n % 500, CASE WHEN n % 997 = 5 AND n > 10000 THEN 'yesterday'
                     ELSE to_char(timestamp '2024-01-01' + n * interval '1 minute', 'YYYY-MM-DD HH24:MI') END,
       CASE WHEN n % 3 > 0 THEN 'name ' || n END
FROM generate_series(1, 30000) n;

-- stop: which row it is, and what was before it stays
\set VERBOSITY verbose
CALL sluice.run('by sequence');
\set VERBOSITY default
SELECT status, batches, source_rows, split_part(error, E'\n', 1) AS error FROM sluice.runs WHERE pipeline = 'by sequence';

-- reject: these rows, and all others load
SELECT sluice.alter_pipeline('by ' || cursor, on_error => 'reject') FROM unnest('{sequence,snapshot,hash}'::text[]) cursor;
CALL sluice.run('by sequence');
CALL sluice.run('by snapshot', batch_size => 7000);
CALL sluice.run('by hash');
TABLE rejected;
CREATE VIEW oracle AS
SELECT id, (array_agg(name ORDER BY at::timestamp DESC) FILTER (WHERE name IS NOT NULL))[1] AS name
FROM partial WHERE at <> 'yesterday' GROUP BY id;
SELECT count(*) FROM oracle;
(TABLE oracle EXCEPT TABLE people_sequence) UNION ALL (TABLE people_sequence EXCEPT TABLE oracle);
(TABLE oracle EXCEPT TABLE people_snapshot) UNION ALL (TABLE people_snapshot EXCEPT TABLE oracle);
(TABLE oracle EXCEPT TABLE people_hash) UNION ALL (TABLE people_hash EXCEPT TABLE oracle);
SELECT * FROM sluice.verify('by sequence');
SELECT * FROM sluice.verify('by hash');

-- beside rows that only writing shows not to fit
CREATE TABLE people_checked (LIKE people_sequence INCLUDING ALL, CHECK (name NOT LIKE '%77'));
SELECT sluice.create_merge('checked', 'partial', 'people_checked', '{id}', $$sluice.parse_timestamp(at, 'YYYY-MM-DD HH24:MI')$$,
                           columns => '{name}', on_error => 'reject');
CALL sluice.run('checked', batch_size => 1200);
CREATE VIEW checked AS
SELECT id, (array_agg(name ORDER BY at::timestamp DESC) FILTER (WHERE name IS NOT NULL AND name NOT LIKE '%77'))[1] AS name
FROM partial WHERE at <> 'yesterday' GROUP BY id;
(TABLE checked EXCEPT TABLE people_checked) UNION ALL (TABLE people_checked EXCEPT TABLE checked);
SELECT sqlstate, count(*) > 0 AS some FROM sluice.rejects WHERE pipeline = 'checked' GROUP BY 1 ORDER BY 1;

-- inside a transaction block, too
INSERT INTO partial (id, at, name) VALUES (1, '2025-01-01 00:00', 'newest'), (2, 'tomorrow', 'nobody');
BEGIN;
SELECT source_rows, updated, rejected FROM sluice.run_batch('by hash');
COMMIT;
SELECT id, name FROM people_hash WHERE id = 1 OR name = 'nobody';
-- a preview tells of which row it is
SELECT target, "row", error, detail FROM sluice.preview('by sequence');
-- rejects are tried one by one: those that fit now leave
CALL sluice.retry('by hash');
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'by hash';
UPDATE sluice.reject r
SET source_columns = (SELECT array_agg(ARRAY[c[1], CASE WHEN c[2] = 'tomorrow' THEN '2026-01-01 00:00' ELSE c[2] END])
                      FROM (SELECT ARRAY[source_columns[i][1], source_columns[i][2]] FROM generate_subscripts(source_columns, 1) i) x (c))
WHERE 'tomorrow' = ANY (source_columns);
CALL sluice.retry('by hash');
SELECT count(*) FROM sluice.rejects WHERE pipeline = 'by hash';
SELECT id, name FROM people_hash WHERE id = 2;

-- max_rejects counts them
SELECT sluice.alter_pipeline('by sequence', max_rejects => 0);
CALL sluice.run('by sequence');

-- ---- facts
CREATE TABLE orders (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day    text,
    item   text,
    amount text,
    parts  int
);
CREATE TABLE facts_add (day date, item text, amount numeric, each numeric, PRIMARY KEY (day, item));
CREATE TABLE facts_replace (LIKE facts_add INCLUDING ALL);
INSERT INTO orders (day, item, amount, parts)
SELECT '2024-01-0' || 1 + n % 5, 'item ' || n % 7, CASE WHEN n % 400 = 0 THEN 'much' ELSE n::text END, CASE WHEN n % 500 = 0 THEN 0 ELSE 2 END
FROM generate_series(1, 6000) n;
SELECT sluice.create_facts(mode, 'orders', 'facts_' || mode, format($$
  {"grain": {"day": "sluice.parse_date(day, 'YYYY-MM-DD')", "item": "item"},
   "measures": {"amount": "amount::numeric", "each": "amount::numeric / parts"},
   "mode": "%s" %s}$$, mode, CASE mode WHEN 'add' THEN '' ELSE ', "replace_by": ["day"]' END)::json,
  'seq')
FROM unnest('{add,replace}'::text[]) mode;
CALL sluice.run('add');
CALL sluice.run('replace');
SELECT sluice.alter_pipeline(mode, on_error => 'reject') FROM unnest('{add,replace}'::text[]) mode;
CALL sluice.run('add');
CALL sluice.run('replace');
TABLE rejected;
CREATE VIEW fits AS
SELECT day::date AS day, item, sum(amount::numeric) AS amount, sum(amount::numeric / parts) AS each
FROM (SELECT * FROM orders WHERE amount <> 'much' AND parts > 0 AND day <> 'someday' OFFSET 0) o GROUP BY 1, 2;
SELECT count(*) FROM fits;
(TABLE fits EXCEPT TABLE facts_add) UNION ALL (TABLE facts_add EXCEPT TABLE fits);
(TABLE fits EXCEPT TABLE facts_replace) UNION ALL (TABLE facts_replace EXCEPT TABLE fits);
-- rows of a day that holds bad ones: the day is made again without these
INSERT INTO orders (day, item, amount, parts) VALUES ('2024-01-01', 'item 1', '1000', 4), ('2024-01-01', 'item 1', '1000', 0);
CALL sluice.run('add');
CALL sluice.run('replace');
(TABLE fits EXCEPT TABLE facts_add) UNION ALL (TABLE facts_add EXCEPT TABLE fits);
(TABLE fits EXCEPT TABLE facts_replace) UNION ALL (TABLE facts_replace EXCEPT TABLE fits);
TABLE rejected;
-- rows that do not even say which day they belong to, now and with a later run
INSERT INTO orders (day, item, amount, parts) VALUES ('someday', 'item 1', '1', 1), ('2024-01-02', 'item 2', '500', 1);
CALL sluice.run('replace');
CALL sluice.run('add');
(TABLE fits EXCEPT TABLE facts_replace) UNION ALL (TABLE facts_replace EXCEPT TABLE fits);
INSERT INTO orders (day, item, amount, parts) VALUES ('2024-01-03', 'item 9', '7', 1);
CALL sluice.run('replace');
CALL sluice.run('add');
(TABLE fits EXCEPT TABLE facts_add) UNION ALL (TABLE facts_add EXCEPT TABLE fits);
(TABLE fits EXCEPT TABLE facts_replace) UNION ALL (TABLE facts_replace EXCEPT TABLE fits);
CALL sluice.retry('add');
SELECT pipeline, count(*), min(detail ->> 'expression'), max(detail ->> 'expression') FROM sluice.rejects WHERE pipeline = 'add' GROUP BY 1;
