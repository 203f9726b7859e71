-- The catalog goes through dumps and pg_upgrade: found in the system catalogs, so a table that is added later is tested, too.

CREATE TEMPORARY VIEW catalog AS
SELECT c.oid, c.relname, c.relkind, c.oid = ANY (e.extconfig) AS dumped
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'sluice' AND d.refclassid = 'pg_extension'::regclass
JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE d.deptype = 'e';
SELECT count(*) FILTER (WHERE relkind = 'r') > 5 AS tables, count(*) FILTER (WHERE relkind = 'S') > 3 AS sequences FROM catalog;

-- no column is of a type whose values are numbers of objects: those would be others after a restore, and pg_upgrade refuses some
SELECT relname, attname, atttypid::regtype
FROM catalog JOIN pg_attribute ON attrelid = catalog.oid AND attnum > 0 AND NOT attisdropped
WHERE relkind = 'r' AND (atttypid = ANY ('{oid,oidvector,xid,cid,tid}'::regtype[]) OR atttypid::regtype::text LIKE 'reg%'
                         OR EXISTS (SELECT FROM pg_type element WHERE element.typarray = atttypid AND element.oid::regtype::text ~ '^(oid|reg|xid$|tid|cid)'))
ORDER BY 1, 2;
-- what a dump does not carry: jobs of another database's pg_cron, which is not dumped either
SELECT relname FROM catalog WHERE relkind IN ('r', 'S') AND NOT dumped ORDER BY 1;
-- no foreign keys: a parallel restore loads the tables in any order
SELECT conname FROM pg_constraint JOIN catalog ON conrelid = catalog.oid WHERE contype = 'f';
-- all rows, without a condition
SELECT condition FROM pg_extension, unnest(extcondition) condition WHERE extname = 'sluice' AND condition <> '';
