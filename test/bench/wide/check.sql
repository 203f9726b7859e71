-- What is in the wide targets: as ../check.sql.
SELECT 'columns', count(*), sum(hashtextextended(t::text, 0)) FROM wide.columns AS t HAVING count(*) > 0;
SELECT 'large', count(*), sum(hashtextextended(t::text, 0)) FROM wide.large AS t HAVING count(*) > 0;
SELECT 'arrays', count(*), sum(hashtextextended(t::text, 0)) FROM wide.arrays AS t HAVING count(*) > 0;
SELECT 'items', count(*), sum(hashtextextended(t::text, 0)) FROM wide.items AS t HAVING count(*) > 0;
SELECT 'levels', count(*), sum(hashtextextended(t::text, 0)) FROM wide.levels AS t HAVING count(*) > 0;
