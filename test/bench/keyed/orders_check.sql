SELECT 'orders', count(*), sum(hashtextextended(o::text, 0)) FROM bench.orders AS o
UNION ALL
SELECT 'lines', count(*), sum(hashtextextended(l::text, 0)) FROM bench.lines AS l;
