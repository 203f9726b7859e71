-- By hand: one walk through each document.
INSERT INTO wide.columns SELECT r.* FROM bench.columns, jsonb_populate_record(NULL::wide.columns, doc) AS r;
