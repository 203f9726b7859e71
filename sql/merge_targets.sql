-- Merge: what a target may be, and what other hands do to it meanwhile.
\set VERBOSITY default
SET client_min_messages = warning;

-- ---- targets of all kinds

CREATE TABLE updates (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, name text, age int, op text);
INSERT INTO updates (id, at, name, age) VALUES (1, 1, 'a', NULL), (1, 2, NULL, 20), (2, 1, 'b', 30);
-- other order, columns of its own, dropped, generated, defaults, identity
CREATE TABLE wide (extra text DEFAULT 'extra', gone int, age bigint CHECK (age < 200), serial bigint GENERATED ALWAYS AS IDENTITY, double int GENERATED ALWAYS AS (id * 2) STORED,
                   name varchar DEFAULT 'nobody', at int, id int UNIQUE NOT NULL, touched timestamptz NOT NULL DEFAULT now(), later int, op text GENERATED ALWAYS AS (name || age) STORED);
ALTER TABLE wide DROP gone;
SELECT sluice.create_merge('wide', 'updates', 'wide', '{id}', 'at');
CALL sluice.run('wide');
INSERT INTO updates (id, at, name, age) VALUES (3, 3, NULL, NULL), (2, 0, 'late', NULL), (2, 3, 'c', NULL);
UPDATE wide SET extra = 'by hand', touched = 'epoch' WHERE id = 2;
CALL sluice.run('wide');
SELECT id, at, name, age, extra, serial, double, op, touched = 'epoch' AS touched FROM wide ORDER BY id;
-- an identity column that the source fills
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at int, name text);
SELECT sluice.create_merge('numbered', 'updates', 'numbered', '{id}', 'at');
CALL sluice.run('numbered');
SELECT * FROM numbered ORDER BY id;
-- partitions by a part of the key, one of them with its columns in another order
CREATE TABLE parted (region text, id int, at int, name text, age int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b (age int, gone int, name text, at int, id int NOT NULL, region text NOT NULL);
ALTER TABLE parted_b DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES IN ('b');
CREATE TABLE regional (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, region text, id int, at int, name text, age int, op text);
SELECT sluice.create_merge('parted', 'regional', 'parted', '{region,id}', 'at', delete_when => 'op = ''D''');
INSERT INTO regional (region, id, at, name, age, op) VALUES ('b', 1, 1, 'b1', NULL, NULL), ('a', 1, 2, 'a1', 5, NULL), ('b', 1, 2, NULL, 7, NULL), ('b', 2, 1, 'b2', 1, NULL), ('a', 2, 1, 'a2', 1, NULL), ('b', 2, 2, NULL, NULL, 'D');
CALL sluice.run('parted');
INSERT INTO regional (region, id, at, name, age, op) VALUES ('b', 1, 3, 'b3', NULL, NULL), ('b', 1, 0, 'late', 0, NULL), ('a', 1, 3, NULL, NULL, 'D'), ('b', 2, 1, 'late', NULL, NULL);
CALL sluice.run('parted');
SELECT tableoid::regclass, * FROM parted ORDER BY region, id;
INSERT INTO regional (region, id, at) VALUES ('c', 1, 1);
CALL sluice.run('parted');
DELETE FROM regional WHERE region = 'c';
CALL sluice.run('parted');
-- triggers see each key once a batch
CREATE TABLE watched (id int PRIMARY KEY, at int, name text, age int);
CREATE TABLE seen (n serial, event text, id int, name text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (event, id, name) VALUES (TG_WHEN || ' ' || TG_OP, coalesce(NEW.id, OLD.id), NEW.name);
    IF NEW.name = 'keep out' THEN RETURN NULL; END IF;
    IF TG_WHEN = 'BEFORE' AND TG_OP <> 'DELETE' THEN NEW.name := upper(NEW.name); END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER after AFTER INSERT OR UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION see();
SELECT sluice.create_merge('watched', 'updates', 'watched', '{id}', 'at', '{name,age}', delete_when => 'op = ''D''');
CALL sluice.run('watched');
INSERT INTO updates (id, at, name, age, op) VALUES (1, 5, 'x', NULL, NULL), (1, 5, 'y', NULL, NULL), (2, 9, NULL, NULL, 'D'), (3, 1, 'late', 5, NULL), (4, 0, NULL, NULL, 'D');
CALL sluice.run('watched');
SELECT * FROM watched ORDER BY id;
SELECT event, id, name FROM seen ORDER BY n;
TRUNCATE seen;
CREATE TRIGGER before BEFORE INSERT OR UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION see();
INSERT INTO updates (id, at, name, age, op) VALUES (1, 6, NULL, 61, NULL), (5, 1, 'five', NULL, NULL), (3, 4, NULL, NULL, 'D'), (6, 1, 'keep out', NULL, NULL);
CALL sluice.run('watched');
SELECT * FROM watched ORDER BY id;
SELECT event, id, name FROM seen ORDER BY n;
-- what a trigger kept out is not there: its key starts anew
INSERT INTO updates (id, at, age) VALUES (6, 0, 60), (5, 0, 50);
CALL sluice.run('watched');
SELECT * FROM watched ORDER BY id;
-- row-level security of the owner: rows that he does not see, and may not write
CREATE ROLE merge_clerk;
GRANT CREATE, USAGE ON SCHEMA public TO merge_clerk;
CREATE TABLE secured (id int PRIMARY KEY, at int, name text, age int, tenant text DEFAULT 'clerk');
INSERT INTO secured VALUES (2, 0, 'of others', NULL, 'others');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON secured USING (tenant = 'clerk') WITH CHECK (tenant = 'clerk' AND name <> 'forbidden');
GRANT SELECT, INSERT, UPDATE, DELETE ON secured TO merge_clerk;
GRANT SELECT ON updates TO merge_clerk;
SET ROLE merge_clerk;
SELECT sluice.create_merge('secured', 'updates', 'secured', '{id}', 'at', '{name,age}', delete_when => 'op = ''D''', on_error => 'reject');
CALL sluice.run('secured');
RESET ROLE;
SELECT * FROM secured ORDER BY id;
INSERT INTO updates (id, at, name) VALUES (2, 10, 'b'), (2, 11, 'c'), (1, 7, 'forbidden'), (7, 1, 'seven');
CALL sluice.run('secured');
SELECT * FROM secured ORDER BY id;
SELECT document::json->>'id' AS id, document::json->>'name' AS name, sqlstate, message FROM sluice.rejects WHERE pipeline = 'secured' ORDER BY 1, 2;
-- a missing target is made like the source; what is not to be merged stays away
SELECT sluice.create_merge('made', 'updates', 'made_table', '{id}', 'at', '{name}');
SELECT sluice.create_merge('made_all', 'updates', 'public."Made All"', '{id,op}', 'at');
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name IN ('made_table', 'Made All') ORDER BY table_name, ordinal_position;

-- ---- keys

-- several columns of several types, in another order than the index; a uuid; a domain; an enum; numbers that are equal and look otherwise
CREATE TYPE state AS ENUM ('new', 'old');
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TABLE keyed_source (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code code, state state, uuid uuid, num numeric, day date, at int, v int, w int);
CREATE TABLE keyed (v int, num numeric, uuid uuid, day date, state state, w int, code code, at int);
CREATE UNIQUE INDEX ON keyed (state DESC, day, code text_pattern_ops, uuid, num NULLS FIRST) INCLUDE (v);
SELECT sluice.create_merge('keyed', 'keyed_source', 'keyed', '{code,state,uuid,num,day}', 'at', batch_size => 50);
INSERT INTO keyed_source (code, state, uuid, num, day, at, v, w)
SELECT 'k' || n % 3, (ARRAY['new', 'old'])[1 + n % 2]::state, md5((n % 5)::text)::uuid, CASE WHEN n % 4 < 2 THEN 1.0 ELSE 1.00 END, date '2024-01-01' + n % 2, n,
       CASE WHEN n % 7 < 3 THEN n END, CASE WHEN n % 7 >= 3 THEN n END
FROM generate_series(1, 300) n;
CALL sluice.run('keyed');
SELECT count(*) AS differences FROM keyed t FULL JOIN
    (SELECT code, state, uuid, num, day, max(at) AS at, max(v) AS v, max(w) AS w FROM keyed_source GROUP BY code, state, uuid, num, day) o USING (code, state, uuid, num, day)
WHERE (t.at, t.v, t.w) IS DISTINCT FROM (o.at, o.v, o.w);
-- an index that is missing, or of no use
CREATE TABLE unkeyed (id int, at int, name text);
SELECT sluice.create_merge('unkeyed', 'updates', 'unkeyed', '{id}', 'at');
CREATE UNIQUE INDEX ON unkeyed (id) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX ON unkeyed ((id + 0));
CREATE UNIQUE INDEX ON unkeyed (id, name);
ALTER TABLE unkeyed ADD UNIQUE (id) DEFERRABLE;
SELECT sluice.create_merge('unkeyed', 'updates', 'unkeyed', '{id}', 'at');
CREATE UNIQUE INDEX unkeyed_id ON unkeyed (id);
SELECT sluice.create_merge('unkeyed', 'updates', 'unkeyed', '{id}', 'at');
DROP INDEX unkeyed_id;
CALL sluice.run('unkeyed');

-- ---- keys that wait

CREATE TABLE parts (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, name text, price numeric, note text, op text);
CREATE TABLE wholes (id int PRIMARY KEY, at int, name text NOT NULL, price numeric NOT NULL, note text);
SELECT sluice.create_merge('wholes', 'parts', 'wholes', '{id}', 'at', delete_when => 'op = ''D''');
INSERT INTO parts (id, at, name, price, note) VALUES (1, 5, 'one', NULL, NULL), (2, 5, 'two', 2, NULL), (3, 5, NULL, NULL, 'three'), (4, 5, NULL, 4, NULL);
CALL sluice.run('wholes');
SELECT * FROM wholes ORDER BY id;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'wholes';
INSERT INTO parts (id, at, name, price, note, op) VALUES (1, 4, 'late', NULL, 'note', NULL), (3, 4, NULL, 3, 'late', NULL), (4, 6, NULL, NULL, NULL, 'D');
CALL sluice.run('wholes');
SELECT * FROM wholes ORDER BY id;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'wholes';
-- a delete that is older than some of what waits takes the rest
INSERT INTO parts (id, at, name, price, note, op) VALUES (3, 7, 'three', NULL, NULL, NULL), (4, 5, 'late', 4.5, NULL, NULL), (1, 4, NULL, NULL, NULL, 'D');
CALL sluice.run('wholes');
INSERT INTO parts (id, at, name, price, note, op) VALUES (1, 3, NULL, 1, 'before the delete', NULL), (1, 6, NULL, 1.5, NULL, NULL), (4, 8, 'four', 4.8, NULL, NULL);
CALL sluice.run('wholes');
SELECT * FROM wholes ORDER BY id;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'wholes';
-- a row put there by hand while its key waits counts as a source row with its newest_by
INSERT INTO parts (id, at, name) VALUES (10, 5, 'ten'), (11, 5, 'eleven'), (12, 5, 'twelve'), (13, 5, 'thirteen');
CALL sluice.run('wholes');
INSERT INTO wholes VALUES (10, 3, 'hand', 10, 'hand'), (11, 7, 'hand', 11, NULL), (12, 7, 'hand', 12, NULL), (13, 3, 'hand', 13, NULL);
INSERT INTO parts (id, at, note) VALUES (10, 2, 'late'), (11, 6, 'news');
INSERT INTO parts (id, at, op) VALUES (12, 6, 'D'), (13, 6, 'D');
CALL sluice.run('wholes');
SELECT * FROM wholes WHERE id >= 10 ORDER BY id;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'wholes';
-- many keys, many runs: values of many types wait, and are written when the last one comes
CREATE TYPE pair AS (a int, b text);
CREATE TABLE shards (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at timestamptz, a numeric, b jsonb, c timestamptz, d text[], e pair, f float8, g bytea);
CREATE TABLE vases (id int PRIMARY KEY, at timestamptz, a numeric NOT NULL, b jsonb NOT NULL, c timestamptz NOT NULL, d text[] NOT NULL, e pair NOT NULL, f float8 NOT NULL, g bytea NOT NULL);
SELECT sluice.create_merge('vases', 'shards', 'vases', '{id}', 'at', batch_size => 200);
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
SET extra_float_digits = -5;
CREATE PROCEDURE send_shards(part int) LANGUAGE sql AS $$
    INSERT INTO shards (id, at, a, b, c, d, e, f, g)
    SELECT n, timestamptz '2024-01-01 00:00+00' + interval '1 day' * (n + $1),
           CASE $1 WHEN 1 THEN n * 1.10 END, CASE $1 WHEN 2 THEN jsonb_build_object('n', n) END, CASE $1 WHEN 3 THEN timestamptz '2024-01-01 00:00:00.123456+00' + interval '1 hour' * n END,
           CASE $1 WHEN 4 THEN ARRAY['a "b"', NULL, n::text] END, CASE $1 WHEN 5 THEN ROW(n, NULL)::pair WHEN 1 THEN ROW(NULL, 'b,' || n)::pair END,
           CASE $1 WHEN 6 THEN 0.1 + n END, CASE $1 WHEN 0 THEN decode(md5(n::text), 'hex') END
    FROM generate_series(1, 300) n
$$;
SELECT format('CALL send_shards(%s); CALL sluice.run(''vases'')', part) FROM unnest('{3,1,6,0,5,2}'::int[]) part \gexec
SELECT (SELECT count(*) FROM vases) AS written, waiting_keys FROM sluice.status WHERE pipeline = 'vases';
CALL send_shards(4);
CALL sluice.run('vases');
SELECT count(*) AS written, count(*) FILTER (WHERE a = id * 1.10 AND b = jsonb_build_object('n', id) AND c = timestamptz '2024-01-01 00:00:00.123456+00' + interval '1 hour' * id
       AND d = ARRAY['a "b"', NULL, id::text] AND e = ROW(id, 'b,' || id)::pair AND f = 0.1::float8 + id AND g = decode(md5(id::text), 'hex') AND at = timestamptz '2024-01-01 00:00+00' + interval '1 day' * (id + 6)) AS well FROM vases;
SELECT waiting_keys FROM sluice.status WHERE pipeline = 'vases';
RESET timezone;
RESET datestyle;
RESET extra_float_digits;
-- deep columns wait with the times of their members
CREATE TABLE deep_parts (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, name text, extra jsonb);
CREATE TABLE deep_wholes (id int PRIMARY KEY, at int, name text NOT NULL, extra jsonb);
SELECT sluice.create_merge('deep_wholes', 'deep_parts', 'deep_wholes', '{id}', 'at', deep => '{extra}');
INSERT INTO deep_parts (id, at, extra) VALUES (1, 5, '{"a": 5, "b": {"c": 5}}'), (1, 4, '{"a": 4, "d": 4}'), (2, 5, '{"a": 5, "b": {"c": 5}}'), (2, 4, '{"a": 4, "d": 4}'), (3, 5, NULL);
CALL sluice.run('deep_wholes');
INSERT INTO deep_wholes VALUES (1, 3, 'hand', '{"a": 3, "e": 3}');
INSERT INTO deep_parts (id, at, name, extra) VALUES (1, 2, NULL, '{"e": 2, "f": 2}'), (2, 3, 'name', '{"d": 3, "e": 3}'), (3, 1, 'name', '{"x": 1}');
CALL sluice.run('deep_wholes');
SELECT * FROM deep_wholes ORDER BY id;
-- a null that clears what must not be null is an error of its row, whether the key is there, waits or is new
CREATE TABLE clears (id int PRIMARY KEY, at int, name text NOT NULL, price numeric NOT NULL DEFAULT 5, note text);
SELECT sluice.create_merge('clears', 'parts', 'clears', '{id}', 'at', nulls => 'clear', on_error => 'reject', batch_size => 1);
SELECT sluice.create_merge('clears_at_once', 'parts', 'clears_at_once', '{id}', 'at', nulls => 'clear', on_error => 'reject');
ALTER TABLE clears_at_once ALTER name SET NOT NULL, ALTER price SET NOT NULL, ALTER price SET DEFAULT 5;
TRUNCATE parts;
INSERT INTO parts (id, at, name, price, note) VALUES (1, 1, 'one', 1, 'x'), (1, 2, NULL, 2, NULL), (1, 3, 'three', 3, NULL), (2, 1, NULL, 1, 'x'), (2, 0, 'two', 0, NULL), (3, 1, 'one', NULL, NULL);
CALL sluice.run('clears');
CALL sluice.run('clears_at_once');
SELECT * FROM clears ORDER BY id;
SELECT count(*) FROM (TABLE clears UNION SELECT id, at, name, price, note FROM clears_at_once) x;
SELECT pipeline, document, sqlstate, message FROM sluice.rejects WHERE pipeline LIKE 'clears%' ORDER BY pipeline, (document::json->>'seq')::int;
-- a column that must not be null and that nothing fills is refused at once
CREATE TABLE unfilled (id int PRIMARY KEY, at int, name text, missing text NOT NULL);
SELECT sluice.create_merge('unfilled', 'parts', 'unfilled', '{id}', 'at');

-- ---- other hands

CREATE TABLE facts (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, a text, b text, op text);
CREATE TABLE hands (id int PRIMARY KEY, at int, a text, b text, c text);
-- rows that were there before count as one source row with its newest_by
INSERT INTO hands VALUES (1, 5, 'a5', NULL, 'c'), (2, 5, 'a5', 'b5', 'c'), (3, NULL, 'a', NULL, 'c'), (4, 5, 'a5', 'b5', 'c'), (5, 5, 'a5', 'b5', 'c'), (6, NULL, 'a', 'b', 'c');
SELECT sluice.create_merge('hands', 'facts', 'hands', '{id}', 'at', delete_when => 'op = ''D''');
INSERT INTO facts (id, at, a, b, op) VALUES (1, 4, 'a4', 'b4', NULL), (2, 6, NULL, 'b6', NULL), (3, 1, 'a1', NULL, NULL), (4, 4, NULL, NULL, 'D'), (5, 5, NULL, NULL, 'D'), (6, NULL, NULL, NULL, 'D');
CALL sluice.run('hands');
SELECT * FROM hands ORDER BY id;
-- a row that somebody deleted starts anew; a value that somebody changed stays until something newer comes
DELETE FROM hands WHERE id = 1;
UPDATE hands SET b = 'hand' WHERE id = 2;
UPDATE hands SET b = NULL WHERE id = 4;
INSERT INTO facts (id, at, a, b) VALUES (1, 3, NULL, 'b3'), (2, 5, NULL, 'b5'), (4, 5, 'a4', 'b1');
CALL sluice.run('hands');
SELECT * FROM hands ORDER BY id;
INSERT INTO facts (id, at, a, b) VALUES (2, 7, NULL, 'b7');
CALL sluice.run('hands');
SELECT * FROM hands WHERE id = 2;
-- a row put where a deleted one was
INSERT INTO facts (id, at, op) VALUES (1, 9, 'D');
CALL sluice.run('hands');
INSERT INTO hands VALUES (1, 8, 'hand', NULL, 'hand'), (5, 20, 'hand', NULL, 'hand');
INSERT INTO facts (id, at, a, b, op) VALUES (1, 9, NULL, 'b9', NULL), (1, 10, NULL, 'b10', NULL), (5, 10, NULL, NULL, 'D');
CALL sluice.run('hands');
SELECT * FROM hands WHERE id IN (1, 5) ORDER BY id;
-- a late delete: the row is deleted and inserted again with what is newer
INSERT INTO facts (id, at, a, b) VALUES (7, 5, 'a5', NULL), (7, 7, NULL, 'b7'), (8, 5, 'a5', 'b5');
CALL sluice.run('hands');
UPDATE hands SET c = 'hand' WHERE id IN (7, 8);
INSERT INTO facts (id, at, op) VALUES (7, 6, 'D'), (8, 4, 'D');
CALL sluice.run('hands');
SELECT * FROM hands WHERE id IN (7, 8) ORDER BY id;
INSERT INTO facts (id, at, a, b) VALUES (7, 5, 'late', 'late'), (7, 6, 'tie', 'tie');
CALL sluice.run('hands');
SELECT * FROM hands WHERE id = 7;
SELECT inserted, updated, deleted FROM sluice.runs WHERE pipeline = 'hands' ORDER BY run_id;

-- ---- columns that come and go

ALTER TABLE facts ADD d text;
ALTER TABLE hands ADD d text DEFAULT 'default';
INSERT INTO facts (id, at, d) VALUES (2, 1, 'd1'), (7, 8, 'd8'), (9, 1, NULL);
CALL sluice.run('hands');
SELECT id, at, a, b, d FROM hands WHERE id IN (2, 7, 9) ORDER BY id;
INSERT INTO facts (id, at, b, d) VALUES (7, 7, 'tie', 'late'), (9, 0, 'b0', 'd0');
CALL sluice.run('hands');
SELECT id, at, a, b, d FROM hands WHERE id IN (2, 7, 9) ORDER BY id;
ALTER TABLE hands DROP b;
INSERT INTO facts (id, at, a, b, d) VALUES (7, 9, 'a9', 'nowhere', NULL);
CALL sluice.run('hands');
SELECT * FROM hands WHERE id = 7;
-- a column that is dropped and added again knows nothing of its values' times but that they are as old as can be
ALTER TABLE hands ADD b text;
INSERT INTO facts (id, at, b) VALUES (9, -1, 'older');
CALL sluice.run('hands');
SELECT * FROM hands WHERE id = 9;
-- columns that were asked for by name are missed
SELECT sluice.create_merge('named', 'facts', 'named', '{id}', 'at', '{a,b}');
CALL sluice.run('named');
ALTER TABLE named RENAME b TO bb;
INSERT INTO facts (id, at, b) VALUES (7, 1, 'b1');
CALL sluice.run('named');
ALTER TABLE named RENAME bb TO b;
ALTER TABLE facts RENAME b TO bb;
CALL sluice.run('named');
ALTER TABLE facts RENAME bb TO b;
ALTER TABLE named RENAME id TO ident;
CALL sluice.run('named');
ALTER TABLE named RENAME ident TO id;
-- source and target are renamed
ALTER TABLE facts RENAME TO facts_renamed;
ALTER TABLE named RENAME TO named_renamed;
CALL sluice.run('named');
ALTER TABLE named_renamed RENAME TO named;
CALL sluice.run('named');
ALTER TABLE facts_renamed RENAME TO facts;
-- the key gets another type: of the same numbers (others: merge_pages)
ALTER TABLE named ALTER id TYPE bigint;
CALL sluice.run('named');
SELECT id, at, b FROM named WHERE id = 7;
-- a column gets another type
ALTER TABLE named ALTER a TYPE varchar(3);
INSERT INTO facts (id, at, a) VALUES (7, 20, 'abcd');
CALL sluice.run('named');

-- ---- other unique columns: a value that goes from one key to another

CREATE TABLE mails (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, mail text, op text);
CREATE TABLE accounts (id int PRIMARY KEY, at int, mail text UNIQUE);
SELECT sluice.create_merge('accounts', 'mails', 'accounts', '{id}', 'at', delete_when => 'op = ''D''');
INSERT INTO mails (id, at, mail) VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 1, 'c'), (4, 1, 'd');
CALL sluice.run('accounts');
-- along a chain up and down the order of keys, from a key that is deleted, to a key that is new
INSERT INTO mails (id, at, mail) VALUES (2, 2, 'e'), (1, 2, 'b'), (5, 2, 'a');
CALL sluice.run('accounts');
INSERT INTO mails (id, at, mail, op) VALUES (5, 3, 'f', NULL), (4, 3, 'a', NULL), (0, 3, 'd', NULL), (3, 3, NULL, 'D'), (6, 3, 'c', NULL);
CALL sluice.run('accounts');
SELECT * FROM accounts ORDER BY id;
-- in a circle, by way of another value
INSERT INTO mails (id, at, mail) VALUES (1, 4, 'parked'), (2, 4, 'b'), (1, 5, 'e');
CALL sluice.run('accounts');
SELECT * FROM accounts ORDER BY id;
-- within one batch and across batches nothing else comes out
SELECT sluice.create_merge('accounts_' || size, 'mails', 'accounts_' || size, '{id}', 'at', delete_when => 'op = ''D''', batch_size => size) FROM unnest('{1,3,1000}'::int[]) size;
ALTER TABLE accounts_1 ADD UNIQUE (mail);
ALTER TABLE accounts_3 ADD UNIQUE (mail);
ALTER TABLE accounts_1000 ADD UNIQUE (mail);
CALL sluice.run('accounts_1');
CALL sluice.run('accounts_3');
CALL sluice.run('accounts_1000');
SELECT count(*) FROM (TABLE accounts UNION SELECT id, at, mail FROM accounts_1 UNION SELECT id, at, mail FROM accounts_3 UNION SELECT id, at, mail FROM accounts_1000) x;
SELECT count(*) FROM accounts;
-- all values one on, and back
CREATE TABLE places (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, place int);
CREATE TABLE ranks (id int PRIMARY KEY, at int, place int NOT NULL UNIQUE);
SELECT sluice.create_merge('ranks', 'places', 'ranks', '{id}', 'at');
INSERT INTO places (id, at, place) SELECT n, 1, n FROM generate_series(1, 500) n;
CALL sluice.run('ranks');
INSERT INTO places (id, at, place) SELECT n, 2, n + 1 FROM generate_series(1, 500) n;
CALL sluice.run('ranks');
INSERT INTO places (id, at, place) SELECT n, 3, n - 1 FROM generate_series(1, 500) n;
CALL sluice.run('ranks');
SELECT count(*), count(*) FILTER (WHERE place = id - 1) AS well FROM ranks;
-- a value that two keys have is an error
INSERT INTO mails (id, at, mail) VALUES (7, 1, 'new'), (8, 1, 'e');
CALL sluice.run('accounts');
SELECT count(*) FROM accounts WHERE id >= 7;
-- or a reject
SELECT sluice.alter_pipeline('accounts', on_error => 'reject');
CALL sluice.run('accounts');
SELECT * FROM accounts WHERE id >= 7;
SELECT document, message, detail FROM sluice.rejects WHERE pipeline = 'accounts';
INSERT INTO mails (id, at, mail) VALUES (1, 9, 'free again');
CALL sluice.run('accounts');
CALL sluice.retry('accounts');
SELECT * FROM accounts WHERE id IN (1, 7, 8) ORDER BY id;

-- ---- foreign keys

CREATE TABLE lands (id int PRIMARY KEY);
INSERT INTO lands VALUES (1), (2);
CREATE TABLE towns (id int PRIMARY KEY, at int, land int REFERENCES lands, name text);
CREATE TABLE houses (id int PRIMARY KEY, town int REFERENCES towns);
CREATE TABLE gazetteer (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, land int, name text, op text);
SELECT sluice.create_merge('towns', 'gazetteer', 'towns', '{id}', 'at', delete_when => 'op = ''D''');
INSERT INTO gazetteer (id, at, land, name) VALUES (1, 1, 1, 'one'), (2, 1, 2, 'two'), (3, 1, NULL, 'three');
CALL sluice.run('towns');
INSERT INTO houses VALUES (1, 1), (2, 2);
-- to a row that is missing
INSERT INTO gazetteer (id, at, land) VALUES (3, 2, 3), (1, 2, 2);
CALL sluice.run('towns');
INSERT INTO lands VALUES (3);
CALL sluice.run('towns');
SELECT * FROM towns ORDER BY id;
-- a row that others refer to cannot be deleted, nor be deleted and inserted again when a delete comes late
INSERT INTO gazetteer (id, at, op) VALUES (1, 3, 'D');
CALL sluice.run('towns');
DELETE FROM houses WHERE town = 1;
CALL sluice.run('towns');
SELECT * FROM towns ORDER BY id;
SELECT sluice.alter_pipeline('towns', on_error => 'reject');
INSERT INTO gazetteer (id, at, name, op) VALUES (2, 3, 'new', NULL), (3, 5, NULL, 'D');
CALL sluice.run('towns');
INSERT INTO gazetteer (id, at, op) VALUES (2, 2, 'D');
CALL sluice.run('towns');
SELECT * FROM towns ORDER BY id;
SELECT document, sqlstate, message, detail::jsonb->>'table' AS "table" FROM sluice.rejects WHERE pipeline = 'towns';
DELETE FROM houses;
CALL sluice.retry('towns');
SELECT * FROM towns ORDER BY id;
-- deferred constraints are checked within the batch
ALTER TABLE towns ALTER CONSTRAINT towns_land_fkey DEFERRABLE INITIALLY DEFERRED;
INSERT INTO gazetteer (id, at, land) VALUES (4, 1, 4), (5, 1, 1);
CALL sluice.run('towns');
SELECT id, land FROM towns WHERE id > 3;
SELECT document, message FROM sluice.rejects WHERE pipeline = 'towns';

-- a partition whose part of the key's index is checked at the end only: also by rows that are written over others
CREATE TABLE counties (id int, part int, at int, name text, UNIQUE (id, part)) PARTITION BY LIST (part);
CREATE TABLE counties_1 (id int, part int, at int, name text, UNIQUE (id, part) DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE counties ATTACH PARTITION counties_1 FOR VALUES IN (1);
CREATE TABLE counts (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, part int DEFAULT 1, at int, name text);
SELECT sluice.create_merge('counties', 'counts', 'counties', '{id,part}', 'at');
INSERT INTO counts (id, at, name) SELECT n, 1, 'first' FROM generate_series(1, 500) n;
CALL sluice.run('counties');
BEGIN;
INSERT INTO counties_1 VALUES (7, 1, 0, 'another');
INSERT INTO counts (id, at, name) SELECT n, 2, 'second' FROM generate_series(1, 500) n;
SELECT updated FROM sluice.run_batch('counties');
COMMIT;
SELECT count(*), count(DISTINCT id), min(name) FROM counties;

-- a key whose index goes the other way, or by an order of its own
CREATE FUNCTION backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS backwards FOR TYPE int USING btree AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 backwards(int, int);
CREATE TABLE falls (id int NOT NULL, at int, name text);
CREATE UNIQUE INDEX ON falls (id DESC);
CREATE TABLE turned (id int NOT NULL, at int, name text);
CREATE UNIQUE INDEX ON turned (id backwards);
CREATE TABLE drops (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, at int, name text);
INSERT INTO drops (id, at, name) SELECT n % 500, n, 'first ' || n FROM generate_series(1, 1000) n;
SELECT sluice.create_merge(t, 'drops', t, '{id}', 'at') FROM unnest('{falls,turned}'::text[]) t;
CALL sluice.run('falls');
CALL sluice.run('turned');
INSERT INTO drops (id, at, name) SELECT n % 600 - 50, 1000 + n, 'second ' || n FROM generate_series(1, 1000) n;
CALL sluice.run('falls');
CALL sluice.run('turned');
SELECT count(*) AS differences
FROM (SELECT DISTINCT ON (id) id, at, name FROM drops ORDER BY id, at DESC) d FULL JOIN falls f USING (id) FULL JOIN turned t USING (id)
WHERE (d.at, d.name, d.at, d.name) IS DISTINCT FROM (f.at, f.name, t.at, t.name);
SELECT pipeline, inserted, updated FROM sluice.runs WHERE pipeline IN ('falls', 'turned') AND source_rows > 0 ORDER BY pipeline, run_id;

-- ---- targets that cannot be

CREATE VIEW town_view AS SELECT * FROM towns;
SELECT sluice.create_merge('bad', 'gazetteer', 'town_view', '{id}', 'at');
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int, at int, name text) SERVER nowhere;
SELECT sluice.create_merge('bad', 'gazetteer', 'far', '{id}', 'at');
CREATE TABLE ruled (id int PRIMARY KEY, at int, name text);
CREATE RULE ruled AS ON INSERT TO ruled DO INSTEAD NOTHING;
SELECT sluice.create_merge('bad', 'gazetteer', 'ruled', '{id}', 'at');
SELECT sluice.create_merge('bad', 'gazetteer', 'towns_pkey', '{id}', 'at');
SELECT sluice.create_merge('bad', 'gazetteer', 'nowhere.towns', '{id}', 'at');
SELECT sluice.create_merge('bad', 'gazetteer', 'a.b.c.d', '{id}', 'at');
SELECT sluice.create_merge('bad', 'gazetteer', 'new_table', '{ident}', 'at');
SELECT sluice.create_merge('bad', 'gazetteer', 'wide', '{id}', 'at', '{op}');
CREATE TABLE computed (id int GENERATED ALWAYS AS (land % 10) STORED NOT NULL UNIQUE, at int, land int);
SELECT sluice.create_merge('bad', 'gazetteer', 'computed', '{id}', 'at');
CREATE TABLE boxes (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id point, at int);
SELECT sluice.create_merge('bad', 'boxes', 'new_boxes', '{id}', 'at');
CREATE TABLE strangers (id int PRIMARY KEY, other int);
SELECT sluice.create_merge('bad', 'gazetteer', 'strangers', '{id}', 'at + 1');
SELECT count(*) FROM sluice.status WHERE pipeline = 'bad';
DROP OWNED BY merge_clerk;
DROP ROLE merge_clerk;
