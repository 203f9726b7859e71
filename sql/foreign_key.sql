-- Foreign keys by construction: a key that was copied from the row of the parent needs no lookup, every other one is looked up.
--
-- A lookup locks the row of the parent that it finds. So "locked", the number of parents locked after a run that wrote directly,
-- tells whether keys were looked up: 0 when the check was left out. attempt() tries a kind of key twice, directly and by query,
-- and notes what came of it: the rows there are, or the error (SQLSTATE and constraint; then all is rolled back). "orphans" counts
-- rows of both attempts whose key is in no row of the table it refers to; there must be none, whatever happens.
\set VERBOSITY terse
\pset footer off
SET client_min_messages = warning;

-- the source: five documents with three items each, and a value so large that the row that takes it is written at once, while the
-- rows of its children still wait

CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
INSERT INTO source (doc)
    SELECT jsonb_build_object('number', 100 + n, 'large', repeat('x', 70000), 'range', '[a,b]', 'list', '["a"]'::jsonb,
                              'items', (SELECT jsonb_agg(jsonb_build_object('what', chr(96 + i), 'of', 100 + n, 'number', 1000 * n + i)) FROM generate_series(1, 3) i))
    FROM generate_series(1, 5) n;

CREATE FUNCTION mapping(of text DEFAULT '@.of', number text DEFAULT '$.number', more text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT format('{ "parent": { "columns": { "number": "%s", "large": "$.large" } },
                     "child":  { "parent": "parent", "each": "$.items[*]", "columns": { "parent_id": "parent.id", "what": "@.what", "of": "%s" } }%s }',
                  number, of, more)
$$;

CREATE TABLE verdict (number int GENERATED ALWAYS AS IDENTITY, kind text, way text, outcome text, locked bigint, lookups bigint, orphans bigint);
CREATE VIEW result AS
    SELECT d.kind, d.outcome AS directly, CASE WHEN d.outcome ~ 'children' THEN d.locked END AS locked,
           CASE q.outcome WHEN d.outcome THEN 'equal' ELSE q.outcome END AS by_query, d.orphans + coalesce(q.orphans, 0) AS orphans
    FROM verdict d LEFT JOIN verdict q ON q.kind = d.kind AND q.way = 'by query'
    WHERE d.way = 'directly' ORDER BY d.number;

-- leaves: the tables that hold the rows of a table
CREATE FUNCTION leaves(name text) RETURNS SETOF regclass LANGUAGE sql AS $$
    SELECT to_regclass(name) WHERE (SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass(name))
    UNION SELECT relid FROM pg_partition_tree(to_regclass(name)) WHERE isleaf
$$;
-- locked: how many rows of the table parent are locked
CREATE FUNCTION locked() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    leaf regclass;
    here bigint;
    total bigint := 0;
BEGIN
    FOR leaf IN SELECT leaves('parent') LOOP
        EXECUTE format('SELECT count(*) FROM %s WHERE xmax <> 0', leaf) INTO here;
        total := total + here;
    END LOOP;
    RETURN total;
END $$;
-- lookups: how often the table parent, or an index of it, has been searched
CREATE FUNCTION lookups() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_numscans(relation))::bigint
    FROM (SELECT leaf AS relation FROM leaves('parent') leaf
          UNION SELECT indexrelid FROM leaves('parent') leaf JOIN pg_index ON indrelid = leaf) s
$$;
-- orphans: over all foreign keys of a schema
CREATE FUNCTION orphans() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    query text;
    here bigint;
    total bigint := 0;
BEGIN
    FOR query IN
        SELECT format('SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', conrelid::regclass,
                      string_agg(format('c.%I IS NOT NULL', c.attname), ' AND '), confrelid::regclass, string_agg(format('c.%I = p.%I', c.attname, p.attname), ' AND '))
        FROM pg_constraint, unnest(conkey, confkey) key (child, parent)
        JOIN pg_attribute c ON c.attnum = child JOIN pg_attribute p ON p.attnum = parent
        WHERE contype = 'f' AND connamespace = 'keys'::regnamespace AND c.attrelid = conrelid AND p.attrelid = confrelid
          AND (conparentid = 0 OR NOT EXISTS (SELECT FROM pg_class WHERE oid = confrelid AND relispartition))
        GROUP BY pg_constraint.oid, conrelid, confrelid
    LOOP
        EXECUTE query INTO here;
        total := total + here;
    END LOOP;
    RETURN total;
END $$;

CREATE PROCEDURE attempt_one(kind text, way text, tables text, mapping text, batch_size int) LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    about text;
    seen verdict;
BEGIN
    CREATE SCHEMA keys;
    SET LOCAL search_path = keys, public;
    EXECUTE tables;
    PERFORM sluice.create_shred('p', 'source', 'doc', mapping::json);
    before := lookups();
    BEGIN
        PERFORM set_config('sluice.test_by_query', (way = 'by query')::text, true);
        EXECUTE format('CALL sluice.run(''p'', batch_size => %s)', batch_size);
        SET CONSTRAINTS ALL IMMEDIATE;
        seen.lookups := lookups() - before;
        EXECUTE 'SELECT format(''%s parents, %s children'', (SELECT count(*) FROM parent), (SELECT count(*) FROM child))' INTO seen.outcome;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS about = CONSTRAINT_NAME;
        -- since PostgreSQL 18 RESTRICT has a code of its own
        seen.outcome := concat_ws(' ', replace(SQLSTATE, '23001', '23503'), nullif(about, ''));
    END;
    INSERT INTO verdict (kind, way, outcome, locked, lookups, orphans) VALUES (kind, way, seen.outcome, locked(), seen.lookups, orphans());
    PERFORM sluice.drop_pipeline('p');
    SET LOCAL session_replication_role = origin;
    SET LOCAL search_path = public;
    DROP SCHEMA keys CASCADE;
    COMMIT;
END $$;
CREATE PROCEDURE attempt(kind text, tables text, mapping text DEFAULT mapping(), batch_size int DEFAULT 3) LANGUAGE plpgsql AS $$
BEGIN
    CALL attempt_one(kind, 'directly', tables, mapping, batch_size);
    CALL attempt_one(kind, 'by query', tables, mapping, batch_size);
END $$;

\set parent 'CREATE TABLE parent (id serial PRIMARY KEY, number int UNIQUE, large text);'
\set free   'CREATE TABLE child (parent_id int, what text, of int);'
\set child  'CREATE TABLE child (parent_id int REFERENCES parent, what text, of int);'

-- ---- By construction: no lookup where an INSERT makes one for each row

CALL attempt('one column', :'parent' || :'child');
CALL attempt('two columns', 'CREATE TABLE parent (id serial, number int, large text, PRIMARY KEY (id, number));
    CREATE TABLE child (parent_id int, what text, of int, FOREIGN KEY (parent_id, of) REFERENCES parent)', mapping => mapping(of => 'parent.number'));
CALL attempt('two keys', :'parent' || 'CREATE TABLE child (parent_id int REFERENCES parent, what text, of int REFERENCES parent (number))',
    mapping => mapping(of => 'parent.number'));
CALL attempt('text', 'CREATE SEQUENCE keys; CREATE TABLE parent (id text COLLATE "C" DEFAULT ''key '' || nextval(''keys'') PRIMARY KEY, number int, large text);
    CREATE TABLE child (parent_id text COLLATE "C" REFERENCES parent, what text, of int)');
CALL attempt_one('generated', 'directly', 'CREATE TABLE parent (id int GENERATED ALWAYS AS (number * 2) STORED UNIQUE, number int, large text);
    CREATE TABLE child (parent_id int REFERENCES parent (id), what text, of int)', mapping(), 3);
SELECT kind, way, outcome, lookups, locked, orphans FROM verdict ORDER BY number;
-- the same by plain INSERTs
BEGIN;
CREATE SCHEMA keys;
SET LOCAL search_path = keys, public;
CREATE TABLE parent (id serial PRIMARY KEY, number int);
CREATE TABLE child (parent_id int REFERENCES parent, what text);
INSERT INTO parent (number) SELECT (doc->>'number')::int FROM source;
SELECT lookups() AS before \gset
INSERT INTO child SELECT parent.id, item->>'what' FROM source CROSS JOIN jsonb_array_elements(doc->'items') item, LATERAL (SELECT source.id) parent;
SELECT lookups() - :before AS lookups, locked();
ROLLBACK;
TRUNCATE verdict;

-- ---- Looked up: keys that are not copied from the parent's row, or not from the row that they refer to

\set known 'CREATE TABLE known (what text PRIMARY KEY); INSERT INTO known VALUES (''a''), (''b''), (''c''); ALTER TABLE child ADD FOREIGN KEY (what) REFERENCES known;'
CALL attempt('another table', :'parent' || :'child' || :'known');
CALL attempt('another table, missing', :'parent' || :'child' || :'known' || 'DELETE FROM known WHERE what = ''c''');
\set number 'CREATE TABLE child (parent_id int, what text, of int REFERENCES parent (number));'
CALL attempt('parent, by a value of the document', :'parent' || :'number');
CALL attempt('parent, by a value of the document, missing', :'parent' || :'number', mapping => mapping(of => '@index'));
CALL attempt('parent, both ways', :'parent' || :'child' || 'ALTER TABLE child ADD FOREIGN KEY (of) REFERENCES parent (number)');
CALL attempt('parent, both ways, missing', :'parent' || :'child' || 'ALTER TABLE child ADD FOREIGN KEY (of) REFERENCES parent (number)', mapping => mapping(of => '@index'));
\set two 'CREATE TABLE parent (id serial, number int, large text, UNIQUE (id, number)); CREATE TABLE child (parent_id int, what text, of int, FOREIGN KEY (parent_id, of) REFERENCES parent (id, number));'
CALL attempt('two columns, one of the document', :'two');
CALL attempt('two columns, one of the document, missing', :'two', mapping => mapping(of => '@index'));
CALL attempt('two columns, crossed', replace(:'two', '(parent_id, of)', '(of, parent_id)'), mapping => mapping(of => 'parent.number'));
CALL attempt('two columns, one is null', :'two', mapping => mapping(of => 'parent.number', number => '$.nothing'));
CALL attempt('another column of the parent', 'CREATE TABLE parent (id serial PRIMARY KEY, number int UNIQUE, large text); CREATE TABLE child (parent_id int REFERENCES parent (number), what text, of int)');
CALL attempt('a copy of the parent', :'parent' || :'free' || 'CREATE TABLE copy (id int PRIMARY KEY); INSERT INTO copy VALUES (1), (2); ALTER TABLE child ADD FOREIGN KEY (parent_id) REFERENCES copy');
CALL attempt('the table that the parent inherits from', 'CREATE TABLE above (id serial PRIMARY KEY); CREATE TABLE parent (number int, large text) INHERITS (above);' ||
    :'free' || 'ALTER TABLE child ADD FOREIGN KEY (parent_id) REFERENCES above');
CALL attempt('the parent of the parent', :'parent' || 'CREATE TABLE middle (parent_id int REFERENCES parent, number int);' || :'child', mapping => '{
    "parent": { "columns": { "number": "$.number" } },
    "middle": { "parent": "parent", "columns": { "parent_id": "parent.id", "number": "$.number" } },
    "child":  { "parent": "middle", "each": "$.items[*]", "columns": { "parent_id": "parent.parent_id", "of": "@.of" } } }');
TABLE result;
TRUNCATE verdict;

-- ---- Types: what was converted is looked up

CALL attempt('int for bigint', 'CREATE TABLE parent (id bigserial PRIMARY KEY, number int, large text);' || :'child');
CALL attempt('bigint for int', :'parent' || 'CREATE TABLE child (parent_id bigint REFERENCES parent, what text, of int)');
CALL attempt('varchar for text', 'CREATE SEQUENCE keys; CREATE TABLE parent (id text DEFAULT ''key '' || nextval(''keys'') PRIMARY KEY, number int, large text);
    CREATE TABLE child (parent_id varchar REFERENCES parent, what text, of int)');
CALL attempt('another collation', 'CREATE SEQUENCE keys; CREATE TABLE parent (id text COLLATE "C" DEFAULT ''key '' || nextval(''keys'') PRIMARY KEY, number int, large text);
    CREATE TABLE child (parent_id text REFERENCES parent, what text, of int)');
CALL attempt('a domain', 'CREATE DOMAIN key AS int; CREATE SEQUENCE keys; CREATE TABLE parent (id key DEFAULT nextval(''keys'') PRIMARY KEY, number int, large text);' || :'child');
CALL attempt('numeric, rounded', 'CREATE SEQUENCE keys; CREATE TABLE parent (id numeric DEFAULT nextval(''keys'') PRIMARY KEY, number int, large text);
    CREATE TABLE child (parent_id numeric(10,2) REFERENCES parent, what text, of int)');
TABLE result;
TRUNCATE verdict;

-- ---- Null

\set both 'CREATE TABLE parent (id serial, number int, large text, UNIQUE (id, number)); CREATE TABLE child (parent_id int, what text, of int, FOREIGN KEY (parent_id, of) REFERENCES parent (id, number) MATCH FULL);'
CALL attempt('MATCH FULL', :'both', mapping => mapping(of => 'parent.number'));
CALL attempt('MATCH FULL, one is null', :'both', mapping => mapping(of => 'parent.number', number => '$.nothing'));
CALL attempt('MATCH SIMPLE, null', 'CREATE TABLE parent (id int UNIQUE, number int, large text); CREATE TABLE child (parent_id int REFERENCES parent (id), what text, of int)');
CALL attempt('MATCH FULL, null', 'CREATE TABLE parent (id int UNIQUE, number int, large text); CREATE TABLE child (parent_id int REFERENCES parent (id) MATCH FULL, what text, of int)');
CALL attempt('NOT NULL', 'CREATE TABLE parent (id int UNIQUE, number int, large text); CREATE TABLE child (parent_id int NOT NULL REFERENCES parent (id), what text, of int)');
TABLE result;
TRUNCATE verdict;

-- ---- The row of the parent, or of the child, is not as it was put. (By query, what a trigger makes of a parent cannot be read.)

\set change_parent 'CREATE TRIGGER change BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION change();'
\set change_child 'CREATE TRIGGER change BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION change();'
CALL attempt('parent suppressed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN RETURN CASE WHEN NEW.number <> 103 THEN NEW END; END'';' || :'change_parent');
CALL attempt('parent, key changed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN NEW.id := NEW.id * 100; RETURN NEW; END'';' || :'change_parent');
CALL attempt('parent, written by a rule', :'parent' || :'child' || 'CREATE RULE aside AS ON INSERT TO parent WHERE NEW.number = 103 DO INSTEAD NOTHING');
CALL attempt('parent, written elsewhere', :'parent' || :'child' || 'CREATE TABLE aside (LIKE parent); CREATE RULE aside AS ON INSERT TO parent DO INSTEAD INSERT INTO aside SELECT NEW.*');
CALL attempt('child, key changed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN NEW.parent_id := NEW.parent_id * 100; RETURN NEW; END'';' || :'change_child');
CALL attempt('child, key removed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN NEW.parent_id := NULL; RETURN NEW; END'';' || :'change_child');
CALL attempt('child suppressed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN RETURN CASE WHEN NEW.what <> ''''b'''' THEN NEW END; END'';' || :'change_child');
CALL attempt('child, rule', :'parent' || :'child' || 'CREATE TABLE more (parent_id int REFERENCES parent); CREATE RULE more AS ON INSERT TO child DO ALSO INSERT INTO more VALUES (NEW.parent_id * 100)');
CALL attempt('child of a leaf, key changed', :'parent' || 'CREATE TABLE child (parent_id int REFERENCES parent, what text, of int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN (''a''); CREATE TABLE child_rest PARTITION OF child DEFAULT;
    CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN NEW.parent_id := NEW.parent_id * 100; RETURN NEW; END'';
    CREATE TRIGGER change BEFORE INSERT ON child_a FOR EACH ROW EXECUTE FUNCTION change()');
TABLE result;
TRUNCATE verdict;

-- ---- The parent goes, between it and its children: its row is there, theirs are not yet

\set third ', "third": { "parent": "parent", "each": "$.items[*]", "columns": { "what": "@.what" } }'
\set remove 'CREATE FUNCTION remove() RETURNS boolean LANGUAGE plpgsql AS ''BEGIN DELETE FROM parent; RETURN true; END'';'
\set removes 'CREATE FUNCTION removes() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN DELETE FROM parent; RETURN NEW; END'';'
CALL attempt('trigger of the child', :'parent' || :'child' || :'removes' || 'CREATE TRIGGER removes BEFORE INSERT ON child FOR EACH ROW WHEN (NEW.what = ''b'') EXECUTE FUNCTION removes()');
CALL attempt('trigger of the parent', :'parent' || :'child' || :'removes' || 'CREATE TRIGGER removes BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION removes()');
CALL attempt('trigger of a third table', :'parent' || :'child' || :'removes' || 'CREATE TABLE third (what text); CREATE TRIGGER removes BEFORE INSERT ON third FOR EACH ROW EXECUTE FUNCTION removes()',
    mapping => mapping(more => :'third'));
CALL attempt('statement trigger of a third table', :'parent' || :'child' || :'removes' || 'CREATE TABLE third (what text); CREATE TRIGGER removes BEFORE INSERT ON third EXECUTE FUNCTION removes()',
    mapping => mapping(more => :'third'));
CALL attempt('trigger of a leaf', :'parent' || :'child' || :'removes' || 'CREATE TABLE third (what text) PARTITION BY LIST (what); CREATE TABLE third_leaf PARTITION OF third DEFAULT;
    CREATE TRIGGER removes BEFORE INSERT ON third_leaf FOR EACH ROW EXECUTE FUNCTION removes()', mapping => mapping(more => :'third'));
CALL attempt('default of the child', :'parent' || :'child' || :'remove' || 'ALTER TABLE child ADD x boolean DEFAULT remove()');
CALL attempt('default of the parent', :'parent' || :'child' || :'remove' || 'ALTER TABLE parent ADD x boolean DEFAULT remove()');
CALL attempt('CHECK of the child', :'parent' || :'child' || :'remove' || 'ALTER TABLE child ADD CHECK (remove())');
CALL attempt('CHECK of a third table', :'parent' || :'child' || :'remove' || 'CREATE TABLE third (what text CHECK (remove()))', mapping => mapping(more => :'third'));
CALL attempt('CHECK of a leaf', :'parent' || :'child' || :'remove' || 'CREATE TABLE third (what text) PARTITION BY LIST (what); CREATE TABLE third_leaf PARTITION OF third (CHECK (remove())) DEFAULT',
    mapping => mapping(more => :'third'));
\set domain 'CREATE DOMAIN removing AS text CHECK (remove());'
CALL attempt('domain', :'parent' || :'child' || :'remove' || :'domain' || 'ALTER TABLE child ALTER what TYPE removing');
CALL attempt('array of a domain', :'parent' || :'child' || :'remove' || :'domain' || 'ALTER TABLE child ADD list removing[]', mapping => replace(mapping(), '"of":', '"list": "$.list", "of":'));
CALL attempt('row with a domain', :'parent' || :'child' || :'remove' || :'domain' || 'CREATE TYPE pair AS (what removing, of int); ALTER TABLE child ADD pair pair', mapping => replace(mapping(), '"of":', '"pair": "@", "of":'));
CALL attempt('range of a domain', :'parent' || :'child' || :'remove' || :'domain' || 'CREATE TYPE span AS RANGE (subtype = removing); ALTER TABLE child ADD span span', mapping => replace(mapping(), '"of":', '"span": "$.range", "of":'));
CALL attempt('domain of a view', :'parent' || :'child' || :'remove' || :'domain' || 'CREATE TABLE base (what removing); CREATE VIEW third AS TABLE base', mapping => mapping(more => :'third'));
-- a stable function may call what is not
\set stable 'CREATE FUNCTION remove_stably(text DEFAULT NULL) RETURNS boolean STABLE LANGUAGE plpgsql AS ''BEGIN RETURN remove(); END'';'
CALL attempt('stable default', :'parent' || :'child' || :'remove' || :'stable' || 'ALTER TABLE child ADD x boolean DEFAULT remove_stably()');
CALL attempt('stable CHECK', :'parent' || :'child' || :'remove' || :'stable' || 'ALTER TABLE child ADD CHECK (remove_stably(what))');
-- the condition of an AFTER trigger is evaluated when its row is written
\set when 'CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END'';'
CALL attempt('WHEN of the parent', :'parent' || :'child' || :'remove' || :'when' || 'CREATE TRIGGER nothing AFTER INSERT ON parent FOR EACH ROW WHEN (remove()) EXECUTE FUNCTION nothing()');
CALL attempt('WHEN of a third table', :'parent' || :'child' || :'remove' || :'when' || 'CREATE TABLE third (what text, large text); CREATE TRIGGER nothing AFTER INSERT ON third FOR EACH ROW WHEN (remove()) EXECUTE FUNCTION nothing()',
    mapping => mapping(more => replace(:'third', '"what"', '"large": "$.large", "what"')));
CALL attempt('WHEN of a leaf', :'parent' || :'child' || :'remove' || :'when' || 'CREATE TABLE third (what text, large text) PARTITION BY LIST (what); CREATE TABLE third_leaf PARTITION OF third DEFAULT;
    CREATE CONSTRAINT TRIGGER nothing AFTER INSERT ON third_leaf DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (remove()) EXECUTE FUNCTION nothing()',
    mapping => mapping(more => replace(:'third', '"what"', '"large": "$.large", "what"')));
CALL attempt('index', :'parent' || :'child' || :'remove' || 'CREATE FUNCTION remove_always(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS ''BEGIN RETURN remove(); END'';
    CREATE TABLE third (what text, large text); CREATE INDEX ON third (remove_always(what))', mapping => mapping(more => replace(:'third', '"what"', '"large": "$.large", "what"')));
-- the key goes, not the row
CALL attempt('key changed', :'parent' || :'child' || 'CREATE FUNCTION change() RETURNS boolean LANGUAGE plpgsql AS ''BEGIN UPDATE parent SET id = -id; RETURN true; END''; ALTER TABLE child ADD CHECK (change())');
TABLE result;
TRUNCATE verdict;

-- ---- The parent goes after the batch was written: its own triggers see the children, and do what the key says. (By query it goes at the
-- end of its INSERT, before there are children: they miss it.)

\set after 'CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN DELETE FROM parent WHERE id = NEW.id AND number = 102; RETURN NULL; END''; CREATE TRIGGER leave AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION leave();'
\set moved 'CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN UPDATE parent SET id = -id WHERE id = NEW.id AND number = 102; RETURN NULL; END''; CREATE TRIGGER move AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION move();'
CALL attempt('NO ACTION', :'parent' || :'child' || :'after');
CALL attempt('RESTRICT', :'parent' || replace(:'child', 'parent,', 'parent ON DELETE RESTRICT,') || :'after');
CALL attempt('CASCADE', :'parent' || replace(:'child', 'parent,', 'parent ON DELETE CASCADE,') || :'after');
CALL attempt('SET NULL', :'parent' || replace(:'child', 'parent,', 'parent ON DELETE SET NULL,') || :'after');
CALL attempt('SET DEFAULT', :'parent' || replace(:'child', 'parent_id int REFERENCES parent,', 'parent_id int DEFAULT 1 REFERENCES parent ON DELETE SET DEFAULT,') || :'after');
CALL attempt('deferred', :'parent' || replace(:'child', 'parent,', 'parent DEFERRABLE INITIALLY DEFERRED,') || :'after');
CALL attempt('update, NO ACTION', :'parent' || :'child' || :'moved');
CALL attempt('update, CASCADE', :'parent' || replace(:'child', 'parent,', 'parent ON UPDATE CASCADE,') || :'moved');
CALL attempt('not the key', :'parent' || :'child' || replace(:'moved', 'SET id = -id', 'SET number = -number'));
CALL attempt('the child changes itself', :'parent' || :'child' || 'CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN UPDATE child SET parent_id = -parent_id; RETURN NULL; END'';
    CREATE TRIGGER lose AFTER INSERT ON child EXECUTE FUNCTION lose()');
CALL attempt('the statement of a child', :'parent' || :'child' || 'CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN DELETE FROM parent; RETURN NULL; END'';
    CREATE TRIGGER lose AFTER INSERT ON child EXECUTE FUNCTION lose()');
TABLE result;
TRUNCATE verdict;

-- ---- Forms of the key

CALL attempt('deferrable', :'parent' || replace(:'child', 'parent,', 'parent DEFERRABLE,'));
CALL attempt('initially deferred', :'parent' || replace(:'child', 'parent,', 'parent DEFERRABLE INITIALLY DEFERRED,'));
CALL attempt('initially deferred, missing', :'parent' || replace(:'number', '(number)', '(number) DEFERRABLE INITIALLY DEFERRED'), mapping => mapping(of => '@index'));
-- the orphan is the one that was there before
CALL attempt('NOT VALID', :'parent' || :'free' || 'INSERT INTO child VALUES (-1); ALTER TABLE child ADD FOREIGN KEY (parent_id) REFERENCES parent NOT VALID');
CALL attempt('checks disabled', :'parent' || :'child' || 'ALTER TABLE child DISABLE TRIGGER ALL');
-- as for an INSERT, replication checks no keys: what refers to the empty table stays
CALL attempt('replica', :'parent' || :'child' || :'known' || 'DELETE FROM known; SET LOCAL session_replication_role = replica');
CALL attempt('other triggers stay', :'parent' || :'child' || :'known' || 'CREATE TABLE log (line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN INSERT INTO log VALUES (NEW); DELETE FROM child WHERE what = ''''b''''; RETURN NULL; END'';
    CREATE TRIGGER note AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION note()');
TABLE result;
TRUNCATE verdict;

-- one table twice in a mapping: the rows of one entry are checked, whatever holds for the other one's
CALL attempt('twice', :'parent' || :'child', mapping => mapping(more => ', "\"child\"": { "columns": { "parent_id": {"path": "$.nothing", "default": 1} } }'));
CALL attempt('twice, missing', :'parent' || :'child', mapping => mapping(more => ', "\"child\"": { "columns": { "parent_id": "$.number" } }'));
CALL attempt('twice, the other order, missing', :'parent' || :'child', mapping => '{"\"child\"": { "columns": { "parent_id": "$.number" } },' || substr(mapping(), 2));
\set node 'CREATE TABLE parent (id serial PRIMARY KEY, up int REFERENCES parent, number int, what text); CREATE VIEW child AS SELECT FROM parent WHERE what IS NOT NULL;'
\set top '"parent": { "columns": { "number": "$.number" } }'
\set root '"parent": { "columns": { "number": "$.number", "up": {"path": "$.nothing", "default": 1} } }'
\set lost '"parent": { "columns": { "number": "$.number", "up": {"path": "$.nothing", "default": 1000} } }'
\set leaf '"\\"parent\\"": { "parent": "parent", "each": "$.items[*]", "columns": { "up": "parent.id", "what": "@.what" } }'
CALL attempt('to itself', :'node', mapping => '{' || :'top' || ',' || :'leaf' || '}');
CALL attempt('to itself, child first', :'node', mapping => '{' || :'leaf' || ',' || :'top' || '}');
CALL attempt('to itself, looked up', :'node', mapping => '{' || :'leaf' || ',' || :'root' || '}');
CALL attempt('to itself, missing', :'node', mapping => '{' || :'lost' || ',' || :'leaf' || '}');
CALL attempt('to itself, child first, missing', :'node', mapping => '{' || :'leaf' || ',' || :'lost' || '}');
SELECT kind, directly, by_query, orphans FROM result;
TRUNCATE verdict;

-- partitions
SELECT $$
    CREATE TABLE parent (number int PRIMARY KEY, large text) PARTITION BY HASH (number);
    CREATE TABLE parent_0 PARTITION OF parent FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE parent_1 (large text, number int NOT NULL);
    ALTER TABLE parent ATTACH PARTITION parent_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
$$ AS parent_parts, $$
    CREATE TABLE child (parent_id int REFERENCES parent, what text, of int) PARTITION BY LIST (what);
    CREATE TABLE child_a PARTITION OF child FOR VALUES IN ('a');
    CREATE TABLE child_rest (of int, gone int, what text, parent_id int);
    ALTER TABLE child_rest DROP gone;
    ALTER TABLE child ATTACH PARTITION child_rest DEFAULT;
$$ AS child_parts \gset
CALL attempt('partitioned child', :'parent' || :'child_parts');
CALL attempt('partitioned child, another table', :'parent' || :'child_parts' || :'known');
CALL attempt('partitioned child, missing', :'parent' || :'child_parts' || :'known' || 'DELETE FROM known WHERE what = ''a''');
CALL attempt('partitioned parent', :'parent_parts' || :'child', mapping => replace(mapping(), 'parent.id', 'parent.number'));
CALL attempt('both', :'parent_parts' || :'child_parts', mapping => replace(mapping(), 'parent.id', 'parent.number'));
CALL attempt('key of one leaf', :'parent' || replace(:'child_parts', ' REFERENCES parent', '') || 'ALTER TABLE child_a ADD FOREIGN KEY (parent_id) REFERENCES parent');
CALL attempt('key of one leaf, missing', :'parent' || replace(:'child_parts', ' REFERENCES parent', '') || 'CREATE TABLE few (id int PRIMARY KEY); ALTER TABLE child_a ADD FOREIGN KEY (parent_id) REFERENCES few');
CALL attempt('key of a leaf to a leaf', :'parent_parts' || replace(:'child_parts', ' REFERENCES parent', '') || 'ALTER TABLE child_a ADD FOREIGN KEY (parent_id) REFERENCES parent_0',
    mapping => replace(mapping(), 'parent.id', 'parent.number'));
TABLE result;
TRUNCATE verdict;
CALL attempt('partitioned, twice, missing', :'parent' || :'child_parts', mapping => mapping(more => ', "\"child\"": { "columns": { "parent_id": "$.number" } }'));
CALL attempt('root and leaf, missing', :'parent' || :'child_parts', mapping => mapping(more => ', "child_a": { "columns": { "parent_id": "$.number", "what": {"path": "$.nothing", "default": "a"} } }'));
CALL attempt('leaf and root, missing', :'parent' || :'child_parts', mapping => '{
    "child_a": { "parent": "parent", "columns": { "parent_id": "parent.id", "what": {"path": "$.nothing", "default": "a"} } },
    "parent": { "columns": { "number": "$.number" } },
    "child": { "each": "$.items[*]", "columns": { "parent_id": "@.of", "what": "@.what" } } }');
SELECT $$
    CREATE TABLE parent (number int PRIMARY KEY, up int REFERENCES parent, what text) PARTITION BY HASH (number);
    CREATE TABLE parent_0 PARTITION OF parent FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE parent_1 PARTITION OF parent FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE VIEW child AS SELECT FROM parent WHERE what IS NOT NULL;
$$ AS node_parts, '"\"parent\"": { "parent": "parent", "each": "$.items[*]", "columns": { "number": "@.number", "up": "parent.number", "what": "@.what" } }' AS leaf \gset
CALL attempt('partitioned, to itself', :'node_parts', mapping => '{' || :'leaf' || ',' || :'top' || '}');
CALL attempt('partitioned, to itself, missing', :'node_parts', mapping => '{' || :'leaf' || ',' || :'lost' || '}');
SELECT kind, directly, by_query, orphans FROM result;
TRUNCATE verdict;

-- ---- In the caller's transaction: the keys hold at once, and as long as it lasts

CREATE TABLE parent (id serial PRIMARY KEY, number int, large text);
CREATE TABLE child (parent_id int REFERENCES parent, what text, of int);
SELECT sluice.create_shred('p', 'source', 'doc', mapping()::json);
BEGIN;
SELECT source_rows, inserted FROM sluice.run_batch('p', 2);
DELETE FROM parent;
ROLLBACK;
BEGIN;
SELECT source_rows, inserted FROM sluice.run_batch('p', 2);
UPDATE parent SET id = id + 10;
ROLLBACK;
BEGIN;
SELECT source_rows, inserted FROM sluice.run_batch('p', 2);
SAVEPOINT one;
SELECT source_rows, inserted FROM sluice.run_batch('p', 2);
ROLLBACK TO one;
SELECT source_rows, inserted FROM sluice.run_batch('p', 1);
DELETE FROM child WHERE of = 102;
DELETE FROM parent WHERE number = 102;
COMMIT;
SELECT number, what FROM parent JOIN child ON id = parent_id ORDER BY 1, 2;
-- what changes between two runs counts: a trigger, a key
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.parent_id := -NEW.parent_id; RETURN NEW; END $$;
CREATE TRIGGER change BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION change();
CALL sluice.run('p');
DROP TRIGGER change ON child;
CREATE TABLE known (what text PRIMARY KEY);
ALTER TABLE child ADD FOREIGN KEY (what) REFERENCES known NOT VALID;
CALL sluice.run('p');
INSERT INTO known VALUES ('a'), ('b'), ('c');
CALL sluice.run('p', batch_size => 1);
SELECT count(*), count(DISTINCT parent_id) FROM child JOIN parent ON id = parent_id;
SELECT status, batches, source_rows, inserted, split_part(error, ':', 1) AS error FROM sluice.runs ORDER BY run_id;
SELECT sluice.drop_pipeline('p');

-- drop

DROP TABLE child, parent, known;
DROP PROCEDURE attempt, attempt_one;
DROP FUNCTION mapping, locked, lookups, leaves, orphans, change;
DROP TABLE source, verdict CASCADE;
