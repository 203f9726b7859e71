-- All that the extension sluice consists of in this database, a line for each thing: test/programs/versions compares a database that was
-- updated with one in which the extension was created. Columns of tables may be in another order, rights count as what they allow.
WITH member AS (
    SELECT d.classid, d.objid, o.type || ' ' || o.identity AS name
    FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
    WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sluice')
), relation AS (
    SELECT m.name, c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
), described AS ( -- what has a comment, or rights of its own from the beginning
    SELECT classid, objid FROM member
    UNION SELECT 'pg_class'::regclass, indexrelid FROM pg_index JOIN relation r ON r.oid = indrelid
    UNION SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c JOIN relation r ON r.oid = conrelid
), line (text) AS (
    SELECT name FROM member
    UNION ALL
    SELECT concat_ws(' ', 'extension in schema', extnamespace::regnamespace, 'of', extowner::regrole, 'relocatable', extrelocatable) FROM pg_extension WHERE extname = 'sluice'
    UNION ALL
    SELECT concat_ws(' ', 'a dump has the rows of', c.number::regclass, condition)
    FROM pg_extension, unnest(extconfig, extcondition) c (number, condition) WHERE extname = 'sluice'
    UNION ALL
    SELECT concat_ws(' ', o.type, o.identity, 'comment', d.description)
    FROM described x JOIN pg_description d ON d.classoid = x.classid AND d.objoid = x.objid
    CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) o
    UNION ALL
    SELECT concat_ws(' ', o.type, o.identity, 'initial rights', r.rights)
    FROM described x JOIN pg_init_privs i ON i.classoid = x.classid AND i.objoid = x.objid
    CROSS JOIN LATERAL pg_identify_object(i.classoid, i.objoid, i.objsubid) o
    CROSS JOIN LATERAL (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(i.initprivs) a) r (rights)
    UNION ALL
    SELECT concat_ws(' ', m.name, 'is', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE (to_jsonb(p) - '{oid,proowner,proacl}'::text[])::text END,
                     'of', p.proowner::regrole, 'rights', r.rights)
    FROM member m
    JOIN LATERAL (SELECT oid, prokind, proowner, proacl, provolatile, proparallel, prosecdef, proisstrict, prorettype::regtype, proargnames
                  FROM pg_proc) p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    CROSS JOIN LATERAL (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a) r (rights)
    UNION ALL
    SELECT concat_ws(' ', m.name, 'aggregates by', to_jsonb(a)) FROM member m JOIN pg_aggregate a ON m.classid = 'pg_proc'::regclass AND a.aggfnoid = m.objid
    UNION ALL
    SELECT concat_ws(' ', m.name, 'of', n.nspowner::regrole, 'rights', r.rights)
    FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
    CROSS JOIN LATERAL (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) a) r (rights)
    UNION ALL
    SELECT concat_ws(' ', name, 'of', relowner::regrole, 'kind', relkind, relpersistence, 'options', reloptions, 'row security', relrowsecurity, relforcerowsecurity,
                     'identity', relreplident, 'rights', r.rights)
    FROM relation
    CROSS JOIN LATERAL (SELECT string_agg(a::text, ' ' ORDER BY a::text)
                        FROM unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner))) a) r (rights)
    UNION ALL
    SELECT concat_ws(' ', r.name, 'column', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                     'identity', a.attidentity, 'generated', a.attgenerated, 'default', pg_get_expr(d.adbin, d.adrelid), 'collation', nullif(a.attcollation, 0)::regcollation,
                     'storage', a.attstorage, a.attcompression, a.attoptions, 'rights', a.attacl, CASE WHEN r.relkind <> 'r' THEN 'place ' || a.attnum END)
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT concat_ws(' ', name, 'is', pg_get_viewdef(oid)) FROM relation WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT concat_ws(' ', r.name, 'constraint', c.conname, pg_get_constraintdef(c.oid), 'valid', c.convalidated) FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
    UNION ALL
    SELECT concat_ws(' ', r.name, 'index', pg_get_indexdef(i.indexrelid), 'clustered', i.indisclustered, 'valid', i.indisvalid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT concat_ws(' ', r.name, 'numbers', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, 'for', o.identity)
    FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
    LEFT JOIN LATERAL pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) o ON d.objid IS NOT NULL
    UNION ALL
    SELECT concat_ws(' ', r.name, 'trigger', pg_get_triggerdef(t.oid), t.tgenabled) FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT concat_ws(' ', r.name, 'policy', to_jsonb(p)) FROM relation r JOIN pg_policies p ON p.schemaname = 'sluice' AND p.tablename = r.relname
    UNION ALL
    SELECT concat_ws(' ', m.name, 'is', t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod), CASE WHEN t.typnotnull THEN 'not null' END, 'default', t.typdefault, 'of', t.typowner::regrole,
                     (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
                     (SELECT string_agg(pg_get_constraintdef(c.oid), ', ' ORDER BY c.conname) FROM pg_constraint c WHERE c.contypid = t.oid))
    FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
)
SELECT replace(text, E'\n', ' ') FROM line ORDER BY text COLLATE "C";
