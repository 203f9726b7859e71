-- Paths: what "each" matches and what a column's path finds, the same in jsonb, json and text documents.

-- create: cases, each a document with an "each" and a value; a procedure shreds every one by itself, from all kinds of
-- sources, and keeps the rows in their order

CREATE TABLE jsonb_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb, case_number bigint);
CREATE TABLE json_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc json, case_number bigint);
CREATE TABLE text_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc text, case_number bigint);
CREATE TABLE target (number bigint GENERATED ALWAYS AS IDENTITY, v jsonb);
CREATE TABLE cases (number bigint GENERATED ALWAYS AS IDENTITY, each text DEFAULT '$', path text DEFAULT '@', doc text, result text);

CREATE FUNCTION shredded_from(source regclass, c cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('DELETE FROM %s WHERE case_number <> %s', source, c.number);
    PERFORM sluice.create_shred('path', source, 'doc',
        json_build_object('target', json_build_object('each', c.each, 'columns', json_build_object('v', c.path))));
    PERFORM sluice.run_batch('path');
    SELECT coalesce(string_agg(coalesce(v::text, 'NULL'), ', ' ORDER BY number), '(no rows)') INTO result FROM target;
    RAISE EXCEPTION USING ERRCODE = 'SL000'; -- undoes it all
EXCEPTION
    WHEN SQLSTATE 'SL000' THEN RETURN result;
    WHEN OTHERS THEN RETURN SQLSTATE || ': ' || SQLERRM;
END $$;

CREATE FUNCTION shredded(c cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    from_jsonb text := shredded_from('jsonb_source', c);
    from_json text := shredded_from('json_source', c);
    from_text text := shredded_from('text_source', c);
BEGIN
    RETURN from_jsonb || CASE WHEN from_json <> from_jsonb THEN ' BUT FROM json ' || from_json ELSE '' END
                      || CASE WHEN from_text <> from_jsonb THEN ' BUT FROM text ' || from_text ELSE '' END;
END $$;

CREATE PROCEDURE shred_cases() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO text_source (doc, case_number) SELECT doc, number FROM cases ORDER BY number;
    INSERT INTO json_source (doc, case_number) SELECT doc::json, number FROM cases ORDER BY number;
    INSERT INTO jsonb_source (doc, case_number) SELECT doc::jsonb, number FROM cases ORDER BY number;
    COMMIT;
    UPDATE cases SET result = shredded(cases);
    TRUNCATE text_source, json_source, jsonb_source;
END $$;

\set show 'CALL shred_cases(); SELECT each, path, doc, result FROM cases ORDER BY number; TRUNCATE cases;'
\set show_paths 'CALL shred_cases(); SELECT path, result FROM cases ORDER BY number; TRUNCATE cases;'
\pset footer off
\pset fieldsep ' | '

-- a column's path

\pset format unaligned
CREATE TABLE document (doc text);
INSERT INTO document VALUES ('{"a": {"b": {"c": 1}, "list": [10, [20, 21], {"x": 30}, null]}, "null": null, "n": 5, "s": "text", "": "empty",
    "a.b": "dot", "a b": "space", "it''s": "apostrophe", "q\"q": "quote", "b\\s": "backslash", "[0]": "brackets", "@key": "at", "$": "dollar",
    "-": "minus", "a-b_c+d$": "plain", "ключ": "Cyrillic", "東京": "Tokyo", "🔑": "beyond the BMP", "new\nline": "control", "*": "star", "007": "digits",
    "A": "upper"}');

INSERT INTO cases (path, doc) SELECT path, doc FROM document, unnest(ARRAY['$.n', '$.s', '$.a.b.c', '$.a.b', '$.a.list', '$.a.list[0]', '$.a.list[1]',
    '$.a.list[1][1]', '$.a.list[2].x',
                            '$.a.list[3]', '$.null']) WITH ORDINALITY p (path, number) ORDER BY number;
:show_paths

-- names: plain ones, and in quotes any name

INSERT INTO cases (path, doc) SELECT path, doc FROM document, unnest(ARRAY['$."n"', '$."a"."b"."c"', '$.""', '$."a.b"', '$."a b"', '$."it''s"',
    '$."q\"q"', '$."b\\s"', '$."[0]"', '$."@key"', '$.$', '$.-',
                            '$.a-b_c+d$', '$.ключ', '$."ключ"', '$.東京', '$.🔑', E'$."new\nline"', '$."*"', '$.007', '$.A']) WITH ORDINALITY p (path, number) ORDER BY number;
:show_paths

-- absent, null, and of another kind than the path expects: NULL

INSERT INTO cases (path, doc) SELECT path, doc FROM document, unnest(ARRAY['$.nothing', '$.nothing.at.all', '$.null.x', '$.null[0]', '$.n.x',
    '$.n[0]', '$.s.x', '$.s[0]', '$.a[0]', '$.a.list.x', '$.a.list[4]',
                            '$.a.list[999999999]', '$.a.list[0].x', '$.N']) WITH ORDINALITY p (path, number) ORDER BY number;
:show_paths

-- the whole document, and the item, as values

INSERT INTO cases (path, doc)
SELECT path, doc FROM unnest(ARRAY['{"b": 1, "aa": 2}', '{}', '[]', '[1, null]', '1', '1.50', '"s"', 'true', 'null']) doc, unnest(ARRAY['$', '@']) path;
:show

-- each: one row for each match

INSERT INTO cases (each, doc) VALUES
    ('$.a', '{"a": 1}'),
    ('$.a', '{"a": [1, 2]}'),
    ('$.a', '{"a": {}}'),
    ('$.a.b', '{"a": {"b": "x"}}'),
    ('$[*]', '[1, "x", true, null, [], {}]'),
    ('$[*]', '[]'),
    ('$[0]', '[1, 2]'),
    ('$[1]', '[1, 2]'),
    ('$[2]', '[1, 2]'),
    ('$.a[*]', '{"a": [1, 2]}'),
    ('$.a[0].b[*]', '{"a": [{"b": [1, 2]}, {"b": [3]}]}'),
    ('$.a[*].b', '{"a": [{"b": 1}, {}, {"b": 2}, {"b": null}]}'),
    ('$.*', '{"a": 1, "b": 2}'),
    ('$.*', '{}'),
    ('$.a.*', '{"a": {"x": 1, "y": null}}'),
    ('$.a.*.*', '{"a": {"x": {"p": 1}, "y": {"q": 2, "r": 3}}}'),
    ('$.phones[*].*', '{"phones": [{"mobile": "1"}, {"work": "2", "worse": "3"}, {}]}'),
    ('$.*[*]', '{"a": [1, 2], "b": [], "c": [3]}'),
    ('$."a b"[*]', '{"a b": [1]}'),
    ('$."".*', '{"": {"x": 1}}'),
    ('$.東京[*].ключ', '{"東京": [{"ключ": 1}]}');
:show

-- arrays of arrays, at the top too

INSERT INTO cases (each, doc) VALUES
    ('$[*]', '[[1, 2], [3], []]'),
    ('$[*][*]', '[[1, 2], [3], []]'),
    ('$[*][0]', '[[1, 2], [3], []]'),
    ('$[*][*][*]', '[[[1], [2, 3]], [[4]], [[], []]]'),
    ('$.a[*][1]', '{"a": [[1, 2], [3], [4, 5]]}'),
    ('$[0][*].*', '[[{"x": 1}, {"y": 2}], [{"z": 3}]]');
:show

-- absent or null: no rows, at each place

INSERT INTO cases (each, doc) VALUES
    ('$.a', '{}'),
    ('$.a', '{"a": null}'),
    ('$.a[*]', '{}'),
    ('$.a[*]', '{"a": null}'),
    ('$.a.*', '{"a": null}'),
    ('$.a.b.c[*]', '{"a": null}'),
    ('$.a.b.c[*]', '{"a": {"b": {}}}'),
    ('$.a[0][*]', '{"a": []}'),
    ('$.a[*].b[*]', '{"a": [{"b": [1]}, {}, {"b": null}, null, {"b": [2]}]}'),
    ('$.a[*].*', '{"a": [{"x": 1}, null]}'),
    ('$.*.*', '{"a": {"x": 1}, "b": null}'),
    ('$', 'null'),
    ('$[*]', 'null'),
    ('$.a', 'null');
:show

-- another kind than "each" expects: an error

INSERT INTO cases (each, doc) VALUES
    ('$.a[*]', '{"a": {"x": 1}}'),
    ('$.a[*]', '{"a": 1}'),
    ('$.a[*]', '{"a": "x"}'),
    ('$.a[*]', '{"a": false}'),
    ('$.a.*', '{"a": [1]}'),
    ('$.a.*', '{"a": 1}'),
    ('$.a[0]', '{"a": {"0": 1}}'),
    ('$.a.b', '{"a": [1]}'),
    ('$.a.b', '{"a": "x"}'),
    ('$.a[*].b[*]', '{"a": [{"b": [1]}, {"b": 2}]}'),
    ('$.a[*].*', '{"a": [{"x": 1}, 5]}'),
    ('$[*]', '{"a": 1}'),
    ('$[*]', '5'),
    ('$.a', '[1]'),
    ('$.*', '"x"');
:show

-- @key and @index: those of the innermost .* and [*]

INSERT INTO cases (each, path, doc) VALUES
    ('$.*', '@key', '{"": 1, "a": 2, "b b": 3, "東": 4}'),
    ('$.*', '@index', '{"a": 1, "b": 2}'),
    ('$[*]', '@index', '["x", null, "z"]'),
    ('$.a[*].*', '@key', '{"a": [{"x": 1}, {"y": 2, "z": 3}]}'),
    ('$.a[*].*', '@index', '{"a": [{"x": 1}, {"y": 2, "z": 3}]}'),
    ('$.*[*]', '@key', '{"a": [1, 2], "b": [3]}'),
    ('$.*[*]', '@index', '{"a": [1, 2], "b": [3]}'),
    ('$.*.*', '@key', '{"a": {"x": 1}, "b": {"y": 2}}'),
    ('$[*].v', '@index', '[{"v": 1}, {}, {"v": 3}]'),
    ('$.*.v', '@key', '{"a": {"v": 1}, "b": {}, "c": {"v": 3}}'),
    ('$[*][*]', '@index', '[[1, 2], [3]]');
:show

-- [@key]: look up by the item's key

INSERT INTO cases (each, path, doc) VALUES
    ('$.count.*', '$.cost[@key]', '{"count": {"ink": 1, "pen": 3}, "cost": {"pen": 10, "cap": 7}}'),
    ('$.count.*', '$.cost[@key].eur', '{"count": {"pen": 3}, "cost": {"pen": {"eur": 10}}}'),
    ('$.count.*', '$.cost[@key][1]', '{"count": {"pen": 3}, "cost": {"pen": [1, 2]}}'),
    ('$.count.*', '$.cost[@key]', '{"count": {"pen": 3}}'),
    ('$.count.*', '$.cost[@key]', '{"count": {"pen": 3}, "cost": [1]}'),
    ('$.count.*', '@.of[@key]', '{"count": {"pen": {"of": {"pen": 1}}}}'),
    ('$.count.*', '$.count[@key]', '{"count": {"": 1, "[0]": 2, "a.b": 3, "ключ": 4}}'),
    ('$.a.*.*', '$.b[@key]', '{"a": {"x": {"y": 1}}, "b": {"x": "outer", "y": "inner"}}');
:show

-- the document from an item; the item

INSERT INTO cases (each, path, doc) VALUES
    ('$.a[*]', '$.b', '{"a": [1, 2], "b": 7}'),
    ('$.a[*]', '@.x', '{"a": [{"x": 1}, {"y": 2}, 5, null]}'),
    ('$.a[*]', '@[0]', '{"a": [[1, 2], [], 5]}'),
    ('$.a[*]', '@.x.y[1]', '{"a": [{"x": {"y": [1, 2]}}]}'),
    ('$.a[*]', '@."x y"', '{"a": [{"x y": 1}]}'),
    ('$.a[*]', '$.a[1]', '{"a": [1, 2]}');
:show

-- duplicate keys of json and text documents: the last wins, as in jsonb

INSERT INTO cases (each, path, doc) VALUES
    ('$', '$.a', '{"a": 1, "a": 2}'),
    ('$.*', '@', '{"a": 1, "b": 2, "b": 3}'),
    ('$.a.*', '@key', '{"a": {"x": 1}, "a": {"y": 1, "z": 2}}'),
    ('$', '$.a', '{"a": 1, "a": null}'),
    ('$', '$.a', '{"a": {"x": 1, "x": 2, "y": [{"z": 1, "z": 2}]}}'),
    ('$', '$.k7', '{"k1":1,"k2":2,"k3":3,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9,"k10":10,"k11":11,"k12":12,"k13":13,"k14":14,"k15":15,"k16":16,"k17":17,"k7":"last"}'),
    ('$', '$.a', '{"\u0061": 1, "a": 2}');
:show

-- the order of rows is that of the document: as written in json and text, as stored in jsonb (shorter keys first)

INSERT INTO cases (each, path, doc) VALUES ('$.*', '@key', '{"bb": 1, "a": 2, "c": 3}');
:show

-- many keys: found by search, each of them

INSERT INTO cases (path, doc)
SELECT '$.k' || k, (SELECT json_object_agg('k' || k, k ORDER BY k * 17 % 41)::text FROM generate_series(1, 40) k) FROM generate_series(0, 40) k;
CALL shred_cases();
SELECT count(*) FILTER (WHERE result = substr(path, 4)) AS found, count(*) FILTER (WHERE result = 'NULL') AS absent FROM cases;
TRUNCATE cases;

-- many items, of all kinds and lengths, in their order; each of them by its position; many members

INSERT INTO cases (each, path, doc)
SELECT each, path, json_build_object('items', json_agg(CASE n % 4 WHEN 0 THEN to_json(n) WHEN 1 THEN to_json(repeat('x', n % 50)) WHEN 2 THEN json_build_object('n', n) ELSE json_build_array(n, n) END ORDER BY n),
                                     'members', json_object_agg('k' || 1000 + n, n ORDER BY n))::text
FROM generate_series(0, 999) n, (VALUES (1, '$.items[*]', '@'), (2, '$.members.*', '@key'), (3, '$', '$.items[0]'), (4, '$', '$.items[31]'), (5, '$',
    '$.items[32]'), (6, '$', '$.items[500]'), (7, '$', '$.items[999]'), (8, '$', '$.members.k1999')) v (number, each, path)
GROUP BY number, each, path ORDER BY number;
CALL shred_cases();
SELECT each, path, CASE WHEN length(result) > 50 THEN length(result)::text ELSE result END AS result,
       CASE each WHEN '$.items[*]' THEN result = (SELECT string_agg(value::text,
       ', ' ORDER BY ordinality) FROM jsonb_array_elements(doc::jsonb->'items') WITH ORDINALITY)
                 WHEN '$.members.*' THEN result = (SELECT string_agg(to_json(key)::text, ', ' ORDER BY key) FROM jsonb_object_keys(doc::jsonb->'members') key)
                 ELSE result = (doc::jsonb #> string_to_array(regexp_replace(path, '^\$\.(\w+)(\[|\.)(\w+)\]?$', '\1,\3'), ','))::text END AS right
FROM cases ORDER BY number;
TRUNCATE cases;

-- create: tables nested to five levels; child, grandchild and so on start with @, the parent's item

\pset format aligned

CREATE TABLE region (region_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, position int);
CREATE TABLE shop (shop_id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, region_id int REFERENCES region, name text, position int);
CREATE TABLE shelf (shelf_id serial PRIMARY KEY, shop_id int REFERENCES shop, name text, shop_key text);
CREATE TABLE box (box_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shelf_id int REFERENCES shelf, position int, label text);
CREATE TABLE item (box_id int REFERENCES box, position int, name text, price numeric, country text);
CREATE TABLE manager (shop_id int REFERENCES shop, name text, price_of_pen numeric);

SELECT sluice.create_shred('nested_' || kind, kind || '_source', 'doc', '
    { "region":  { "each": "$.regions[*]", "columns": { "region_id": "#serial", "name": "@.name", "position": "@index" } },
      "shop":    { "parent": "region", "each": "@.shops.*", "columns": { "shop_id": "#serial", "region_id": "parent.region_id", "name": "@key",
      "position": "@index" } },
      "manager": { "parent": "shop", "each": "@.manager", "columns": { "shop_id": "parent.shop_id", "name": "@", "price_of_pen": "$.prices.pen" } },
      "shelf":   { "parent": "shop", "each": "@.shelves.*", "columns": { "shelf_id": "#serial", "shop_id": "parent.shop_id", "name": "@key",
      "shop_key": "@.in" } },
      "box":     { "parent": "shelf", "each": "@.boxes[*]", "columns": { "box_id": "#serial", "shelf_id": "parent.shelf_id", "position": "@index",
      "label": "@key" } },
      "item":    { "parent": "box", "each": "@[*].*", "columns": { "box_id": "parent.box_id", "position": "@index", "name": "@key",
                                                                  "price": "$.prices[@key]", "country": "$.country" } } }')
FROM unnest(ARRAY['jsonb', 'json', 'text']) kind;

INSERT INTO text_source (doc) VALUES
    ('{"country": "FR", "prices": {"pen": 1.5, "ink": 7},
       "regions": [{"name": "north", "shops": {"one": {"manager": "Ada", "shelves": {"left": {"in": "one", "boxes": [[{"pen": 1}, {"ink": 2}], [],
       [{"cap": 3, "pen": 4}]]},
                                                                                    "right": {"boxes": null}}},
                                               "two": {"manager": null, "shelves": {}}}},
                   {"name": "south", "shops": {"three": {"shelves": {"top": {"boxes": [null, [{"pen": 1}]]}}}}}]}'),
    ('{"regions": [{"name": "east", "shops": null}, {"shops": {}}]}'),
    ('{"regions": []}'), ('{}'),
    ('{"country": "DE", "regions": [{"name": "west", "shops": {"four": {"manager": "Bob", "shelves": {"low": {"boxes": [[{"ink": 1}]]}}}}}]}');
INSERT INTO json_source (doc) SELECT doc::json FROM text_source ORDER BY id;
INSERT INTO jsonb_source (doc) SELECT doc::jsonb FROM text_source ORDER BY id;

-- act

CALL sluice.run('nested_text');

-- select

SELECT * FROM region ORDER BY region_id;
SELECT * FROM shop ORDER BY shop_id;
SELECT * FROM manager ORDER BY shop_id;
SELECT * FROM shelf ORDER BY shelf_id;
SELECT * FROM box ORDER BY box_id;
SELECT * FROM item ORDER BY box_id, position, name;
CREATE TABLE nested AS
    SELECT region.name AS region, shop.name AS shop, manager.name AS manager, shelf.name AS shelf, box.position AS box, item.name AS item, price, country
    FROM region LEFT JOIN shop USING (region_id) LEFT JOIN manager USING (shop_id) LEFT JOIN shelf USING (shop_id) LEFT JOIN box USING (shelf_id) LEFT JOIN item USING (box_id);
SELECT * FROM nested ORDER BY 1, 2, 3, 4, 5, 6;

-- json and jsonb documents give the same

TRUNCATE region, shop, shelf, box, item, manager;
CALL sluice.run('nested_json');
CALL sluice.run('nested_jsonb');
SELECT count(*), (SELECT count(*) FROM nested) AS once
FROM region LEFT JOIN shop USING (region_id) LEFT JOIN manager USING (shop_id) LEFT JOIN shelf USING (shop_id) LEFT JOIN box USING (shelf_id) LEFT JOIN item USING (box_id);
SELECT region.name AS region, shop.name AS shop, manager.name AS manager, shelf.name AS shelf, box.position AS box, item.name AS item, price, country
FROM region LEFT JOIN shop USING (region_id) LEFT JOIN manager USING (shop_id) LEFT JOIN shelf USING (shop_id) LEFT JOIN box USING (shelf_id) LEFT JOIN item USING (box_id)
EXCEPT ALL (TABLE nested UNION ALL TABLE nested);

-- drop

SELECT sluice.drop_pipeline('nested_' || kind) FROM unnest(ARRAY['jsonb', 'json', 'text']) kind;
DROP TABLE nested, manager, item, box, shelf, shop, region;
TRUNCATE text_source, json_source, jsonb_source;

-- children of a parent with one row a document start with $ or @; "@" is the parent's item itself

CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (id int, v text);
CREATE TABLE twin (id int, v text, k text, i int);
SELECT sluice.create_shred('one', 'text_source', 'doc', '
    { "parent": { "each": "$.p", "columns": { "id": "@.id", "v": "@.v" } },
      "child":  { "parent": "parent", "each": "$.list[*]", "columns": { "id": "parent.id", "v": "@" } },
      "twin":   { "parent": "parent", "each": "@", "columns": { "id": "parent.id", "v": "@.v" } } }');
INSERT INTO text_source (doc) VALUES ('{"p": {"id": 1, "v": "a"}, "list": [1, 2]}'), ('{"p": {"id": 2, "v": "b"}}'), ('{"list": [3]}'),
    ('{"p": null, "list": [4]}'),
                                     ('{"p": {"id": 5, "v": null}, "list": [null]}');
CALL sluice.run('one');
SELECT * FROM parent ORDER BY id;
SELECT * FROM child ORDER BY id, v;
SELECT id, v FROM twin ORDER BY id;
SELECT sluice.drop_pipeline('one');
TRUNCATE parent, child, twin;

-- "@" under a parent with many rows: one row for each item, with the parent's @key and @index; null items have no child

SELECT sluice.create_shred('twin', 'text_source', 'doc', '
    { "parent": { "each": "$.*", "columns": { "id": "@.id", "v": "@key" } },
      "twin":   { "parent": "parent", "each": "@", "columns": { "id": "parent.id", "v": "@.v", "k": "@key", "i": "@index" } } }');
TRUNCATE text_source;
INSERT INTO text_source (doc) VALUES ('{"x": {"id": 1, "v": "a"}, "y": {"id": 2}}'), ('{"z": {"id": 3}, "w": {"id": 4, "v": "d"}, "u": {"id": 5}}');
CALL sluice.run('twin');
SELECT * FROM parent ORDER BY id;
SELECT * FROM twin ORDER BY id;
SELECT sluice.drop_pipeline('twin');

-- [@key] in the "each" of a child: the parent's key

TRUNCATE parent, child, text_source;
SELECT sluice.create_shred('lookup', 'text_source', 'doc', '
    { "parent": { "each": "$.of.*", "columns": { "id": "@.id", "v": "@key" } },
      "child":  { "parent": "parent", "each": "@.by[@key][*]", "columns": { "id": "parent.id", "v": "@" } } }');
INSERT INTO text_source (doc) VALUES ('{"of": {"pen": {"id": 1, "by": {"pen": ["a", "b"], "ink": ["c"]}}, "ink": {"id": 2, "by": {"pen": ["d"]}}, "cap": {"id": 3}}}');
CALL sluice.run('lookup');
SELECT * FROM parent ORDER BY id;
SELECT * FROM child ORDER BY id, v;
SELECT sluice.drop_pipeline('lookup');

-- many root tables of one document, each with its own "each"

TRUNCATE parent, child, text_source;
SELECT sluice.create_shred('roots', 'text_source', 'doc',
    '{"parent": {"each": "$.p[*]", "columns": {"id": "@"}}, "child": {"each": "$.c.*", "columns": {"id": "@", "v": "@key"}}}');
INSERT INTO text_source (doc) VALUES ('{"p": [1, 2], "c": {"x": 1}}'), ('{"c": {"y": 2}}'), ('{"p": [3]}');
CALL sluice.run('roots');
SELECT * FROM parent ORDER BY id;
SELECT * FROM child ORDER BY id;
SELECT sluice.drop_pipeline('roots');

-- documents that are NULL, null, scalars and arrays, in one column each

TRUNCATE text_source, json_source, jsonb_source;
INSERT INTO text_source (doc) VALUES (NULL), ('null'), ('5'), ('"s"'), ('[1, 2]'), ('{"a": 1}'), (' {"a" : 2 } ');
INSERT INTO json_source (doc) SELECT doc::json FROM text_source ORDER BY id;
INSERT INTO jsonb_source (doc) SELECT doc::jsonb FROM text_source ORDER BY id;
CREATE TABLE whole (source text, id bigint, doc jsonb, a int);
SELECT sluice.create_shred('whole_' || kind, kind || '_source', 'doc', '{"whole": {"columns": {"id": "#source.id", "doc": "$", "a": "$.a"}}}')
FROM unnest(ARRAY['jsonb', 'json', 'text']) kind;
CALL sluice.run('whole_text');
SELECT doc, a FROM whole ORDER BY id;
CREATE TABLE first_whole AS SELECT doc, a FROM whole;
CALL sluice.run('whole_json');
CALL sluice.run('whole_jsonb');
SELECT count(*) FROM (SELECT doc, a FROM whole EXCEPT ALL SELECT d.* FROM first_whole d, generate_series(1, 3)) surplus;
SELECT pipeline, source_rows, inserted FROM sluice.runs ORDER BY pipeline;

-- documents in a varchar, and in a domain

CREATE DOMAIN some_json AS jsonb;
CREATE TABLE other_source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, characters varchar(100), domain some_json);
SELECT sluice.create_shred('characters', 'other_source', 'characters', '{"child": {"columns": {"id": "$.id", "v": "$.v"}}}');
SELECT sluice.create_shred('domain', 'other_source', 'domain', '{"child": {"columns": {"id": "$.id", "v": "$.v"}}}');
INSERT INTO other_source (characters, domain) VALUES ('{"id": 1, "v": "a"}', '{"id": 2, "v": "b"}');
TRUNCATE child;
CALL sluice.run('characters');
CALL sluice.run('domain');
SELECT * FROM child ORDER BY id;
SELECT sluice.drop_pipeline('characters'), sluice.drop_pipeline('domain');
DROP TABLE other_source;
DROP DOMAIN some_json;

-- drop

SELECT sluice.drop_pipeline('whole_' || kind) FROM unnest(ARRAY['jsonb', 'json', 'text']) kind;
DROP PROCEDURE shred_cases;
DROP FUNCTION shredded, shredded_from;
DROP TABLE parent, child, twin, whole, first_whole, document, cases, target, jsonb_source, json_source, text_source;
