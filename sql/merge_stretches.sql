-- Merge: long stretches of a source, which are read as they lie.
\set VERBOSITY default
SET client_min_messages = warning;

-- 60,000 rows of 7,000 keys; few moments, so that there are ties; some delete
CREATE TABLE history (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key  text COLLATE "C" NOT NULL,
    part date NOT NULL,
    at   timestamptz,
    op   text NOT NULL,
    name text COLLATE "C",
    paid numeric,
    span interval,
    tags int[],
    long text COLLATE "C"
);
SELECT setseed(0.42);
INSERT INTO history (key, part, at, op, name, paid, span, tags, long)
SELECT 'k' || n * 7919 % 3500, date '2024-01-01' + n % 2, CASE WHEN random() > 0.04 THEN timestamptz '2024-01-01 00:00:00Z' + floor(random() * 12) * interval '1 h' END,
       CASE WHEN random() < 0.1 THEN 'D' ELSE 'U' END,
       CASE WHEN random() < 0.5 THEN chr(97 + floor(random() * 4)::int) || floor(random() * 10) END,
       CASE WHEN random() < 0.3 THEN round((random() * 100)::numeric, floor(random() * 3)::int) END,
       CASE WHEN random() < 0.3 THEN floor(random() * 100) * interval '1 min' END,
       CASE WHEN random() < 0.3 THEN ARRAY[floor(random() * 5), NULL, floor(random() * 5)] END,
       CASE WHEN random() < 0.01 THEN repeat(md5(n::text), 100) || n END
FROM generate_series(1, 60000) n;
ANALYZE history;

CREATE VIEW seen AS
SELECT h.*, coalesce(at, '-infinity') AS moment,
       max(coalesce(at, '-infinity')) FILTER (WHERE op = 'D') OVER (PARTITION BY key, part) AS deleted
FROM history h;
CREATE VIEW oracle AS
SELECT key, part, nullif(max(moment), '-infinity') AS at,
       (array_agg(name ORDER BY moment DESC, name DESC) FILTER (WHERE name IS NOT NULL))[1] AS name,
       (array_agg(paid ORDER BY moment DESC, paid DESC, scale(paid) DESC) FILTER (WHERE paid IS NOT NULL))[1] AS paid,
       (array_agg(span ORDER BY moment DESC, span DESC) FILTER (WHERE span IS NOT NULL))[1] AS span,
       (array_agg(tags::text ORDER BY moment DESC, tags DESC) FILTER (WHERE tags IS NOT NULL))[1]::int[] AS tags,
       (array_agg(long ORDER BY moment DESC, long DESC) FILTER (WHERE long IS NOT NULL))[1] AS long
FROM seen
WHERE op <> 'D' AND (deleted IS NULL OR moment > deleted)
GROUP BY key, part;
CREATE FUNCTION differences(target regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM oracle o FULL JOIN (SELECT key, part, at, name, paid, span, tags, long FROM %s) t USING (key, part)
                    WHERE (o.at, o.name, o.paid, o.span, o.tags::text, o.long) IS DISTINCT FROM (t.at, t.name, t.paid, t.span, t.tags::text, t.long)
                       OR o.key IS NULL OR t.key IS NULL', target) INTO result;
    RETURN result;
END $$;
SELECT count(*) > 5000 AS many, count(*) < 7000 AS some_deleted, count(long) > 100 AS some_long FROM oracle;

SELECT sluice.create_merge('m1', 'history', 't1', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$op = 'D'$$);
CALL sluice.run('m1');
SELECT differences('t1');
SELECT batches, source_rows FROM sluice.runs WHERE pipeline = 'm1';

-- in little memory; in batches
SET sluice.fold_memory = '2MB';
SELECT sluice.create_merge('m2', 'history', 't2', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$op = 'D'$$);
CALL sluice.run('m2');
SELECT differences('t2');
RESET sluice.fold_memory;
SELECT sluice.create_merge('m3', 'history', 't3', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$op = 'D'$$, batch_size => 25000);
CALL sluice.run('m3');
SELECT differences('t3');
SELECT batches, source_rows FROM sluice.runs WHERE pipeline = 'm3';
SELECT sum((sluice.verify(name)).missing) AS missing FROM (VALUES ('m1'), ('m2'), ('m3')) p(name);

-- of partitions
CREATE TABLE parted (LIKE history) PARTITION BY LIST (part);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN ('2024-01-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN ('2024-01-02');
ALTER TABLE parted ALTER seq SET NOT NULL;
CREATE SEQUENCE parted_seq OWNED BY parted.seq;
ALTER TABLE parted ALTER seq SET DEFAULT nextval('parted_seq');
CREATE INDEX ON parted (seq);
INSERT INTO parted (key, part, at, op, name, paid, span, tags, long) SELECT key, part, at, op, name, paid, span, tags, long FROM history;
SELECT sluice.create_merge('m4', 'parted', 't4', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$op = 'D'$$, cursor => 'sequence', order_by => 'seq');
CALL sluice.run('m4');
SELECT differences('t4');

-- numbers without rows, in the middle and in most places
CREATE TABLE sparse (LIKE history INCLUDING ALL);
INSERT INTO sparse OVERRIDING SYSTEM VALUE
SELECT CASE WHEN seq <= 25000 THEN seq WHEN seq <= 50000 THEN seq + 1000000000000 ELSE 2000000000000 + seq * 1000000 END, key, part, at, op, name, paid, span, tags, long
FROM history;
SELECT setval('sparse_seq_seq', (SELECT max(seq) FROM sparse)) > 0 AS set;
SELECT sluice.create_merge('m5', 'sparse', 't5', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$op = 'D'$$);
CALL sluice.run('m5');
SELECT differences('t5');
SELECT source_rows FROM sluice.runs WHERE pipeline = 'm5';
CALL sluice.run('m5');
SELECT source_rows FROM sluice.runs WHERE pipeline = 'm5' AND source_rows > 0;

-- ---- rows that do not fit

-- far behind where reading began
CREATE TABLE worse (LIKE history INCLUDING ALL);
ALTER TABLE worse ALTER key DROP NOT NULL;
INSERT INTO worse (key, part, at, op, name, paid, span, tags, long) SELECT key, part, at, op, name, paid, span, tags, long FROM history;
INSERT INTO worse (key, part, op, name) VALUES (NULL, '2024-01-01', 'U', 'nobody');
INSERT INTO worse (key, part, op, name) VALUES ('zero', '2024-01-01', '', 'nobody');
ANALYZE worse;
SELECT sluice.create_merge('stops', 'worse', 't6', '{key,part}', 'at', '{name,paid,span,tags,long}', delete_when => $$length(op) / length(op) > 0 AND op = 'D'$$);
CALL sluice.run('stops');
SELECT sluice.alter_pipeline('stops', on_error => 'reject');
CALL sluice.run('stops');
SELECT differences('t6');
SELECT source_row, sqlstate, message, detail FROM sluice.rejects WHERE pipeline = 'stops' ORDER BY 1;
