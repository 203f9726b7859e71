-- By hand: each document is detoasted once (doc->>'k20', doc->>'k60', ... would do it ten times).
INSERT INTO wide.large SELECT r.* FROM bench.large, jsonb_populate_record(NULL::wide.large, doc) AS r;
