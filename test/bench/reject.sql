-- The documents of bench.stage and between them 1 % that do not fit, each in one of four ways: a date that is none, no
-- application_id (NOT NULL), an object where the mapping iterates an array, a number that is too large.
CREATE TABLE bench.stage_bad (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb NOT NULL);
INSERT INTO bench.stage_bad (doc)
SELECT d.doc
FROM bench.stage s,
     LATERAL (SELECT 1 AS place, s.doc
              UNION ALL
              SELECT 2, CASE s.id / 100 % 4
                        WHEN 0 THEN jsonb_set(s.doc, '{addresses}', '[{"type": "home", "date": "31-02-2020", "address": {"city": "x"}}]')
                        WHEN 1 THEN s.doc - 'application_id'
                        WHEN 2 THEN s.doc || '{"addresses": {"type": "home"}}'
                        ELSE s.doc || '{"application_id": 12345678901234567890}'
                        END
              WHERE s.id % 100 = 0) d
ORDER BY s.id, d.place;
