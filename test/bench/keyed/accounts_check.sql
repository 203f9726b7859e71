SELECT 'accounts', count(*), sum(hashtextextended(a::text, 0)) FROM bench.accounts AS a;
