-- Every object of the extension, and every column of its tables and views, has a comment.
-- The result lists those that have none.

SELECT object.type, object.identity
FROM pg_depend member
CROSS JOIN LATERAL pg_identify_object(member.classid, member.objid, member.objsubid) object
WHERE member.deptype = 'e'
  AND member.refclassid = 'pg_extension'::regclass
  AND member.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sluice')
  -- but not what came with another object: row types, array types, sequences of identity columns
  AND NOT EXISTS (SELECT FROM pg_depend owned
                  WHERE owned.classid = member.classid AND owned.objid = member.objid AND owned.deptype = 'i')
  AND NOT EXISTS (SELECT FROM pg_description d
                  WHERE d.classoid = member.classid AND d.objoid = member.objid AND d.objsubid = 0)
UNION ALL
SELECT 'column', format('%s.%I', member.objid::regclass, attname)
FROM pg_depend member
JOIN pg_class relation ON relation.oid = member.objid AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_attribute ON attrelid = member.objid AND attnum > 0 AND NOT attisdropped
WHERE member.deptype = 'e'
  AND member.classid = 'pg_class'::regclass
  AND member.refclassid = 'pg_extension'::regclass
  AND member.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sluice')
  AND col_description(attrelid, attnum) IS NULL
ORDER BY 1, 2;
