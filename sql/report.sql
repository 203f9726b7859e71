-- The report: a page that is well-formed and safe whatever stands in names, errors and rejects, shows a role its own pipelines
-- alone, and has the numbers of the views.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET client_min_messages = warning;
\pset footer off

-- elements: the elements of a page and, with an @, their attributes, each with how often it is there. It raises an error where the page is not well-formed: an
-- element that is not closed, a quotation mark, "<" or "&" that stands for itself.
CREATE FUNCTION elements(page text, OUT element text, OUT times bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    token text;
    name text;
    opened text[] := '{}';
    seen text[] := '{}';
BEGIN
    FOR token IN SELECT m[1] FROM regexp_matches(replace(page, '<!DOCTYPE html>', ''), '<[^>]*>|<|[^<]+', 'g') m LOOP
        IF token ~ '&(?!(amp|lt|gt|quot|#[0-9]+);)' OR token ~ '[\x01-\x08\x0B\x0C\x0E-\x1F]' THEN
            RAISE EXCEPTION 'bare: %', left(token, 60);
        ELSIF token !~ '^<' THEN
            CONTINUE;
        ELSIF token ~ '^</[a-z0-9]+>$' THEN
            name := substr(token, 3, length(token) - 3);
            IF name IS DISTINCT FROM opened[1] THEN
                RAISE EXCEPTION '% closes %', token, opened[1];
            END IF;
            opened := opened[2:];
        ELSIF token ~ '^<[a-z0-9]+( [a-zA-Z-]+="[^"<>]*")*( /)?>$' THEN
            name := substring(token, '^<([a-z0-9]+)');
            seen := seen || name || ARRAY(SELECT '@' || m[1] FROM regexp_matches(token, ' ([a-zA-Z-]+)="', 'g') m);
            IF token !~ '/>$' THEN
                opened := name || opened;
            END IF;
        ELSE
            RAISE EXCEPTION 'no tag: %', left(token, 60);
        END IF;
    END LOOP;
    IF opened <> '{}' THEN
        RAISE EXCEPTION 'not closed: %', opened;
    END IF;
    RETURN QUERY SELECT e, count(*) FROM unnest(seen) e GROUP BY e ORDER BY e COLLATE "C";
END $$;
-- it does find faults
SELECT elements('<p>a & b</p>');
SELECT elements('<p><b></p>');
SELECT elements('<p title="a"b"></p>');
SELECT elements('<p>');
SELECT elements('a < b');

-- words: what a reader sees of a piece of HTML
CREATE FUNCTION words(html text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(replace(replace(replace(regexp_replace(html, '<[^>]*>', '', 'g'), '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#39;', ''''), '&amp;', '&')
$$;
-- lines: the rows of a table of a page, as arrays of what their cells show (the name of the first one alone)
CREATE FUNCTION lines(page text, class text) RETURNS SETOF text[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(SELECT words(regexp_replace(c[1], '<small>[^<]*</small></th>|<title>[^<]*</title>', '', 'g')) FROM regexp_matches(line[1], '<t[hd].*?</t[hd]>', 'g') c)
    FROM regexp_matches((regexp_match(page, '<table class="' || class || '">(.*?)</table>'))[1], '<tr>(<th scope="row">.*?)</tr>', 'g') line
$$;

-- ---- Nothing to show

SELECT string_agg(element, ' ') FROM elements(sluice.report());
SELECT words((regexp_match(sluice.report(), '<main>.*</main>'))[1]) ~ 'No pipelines' AS says_so, sluice.report() ~ '[^\x01-\x7F]' AS beyond_ascii;

-- ---- Pipelines in every state, and names that are no names

CREATE ROLE regress_sluice_reader;
CREATE ROLE regress_sluice_stranger;
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE "tar<get>" (id bigint, n int, name text);
\set mapping '{"\\"tar<get>\\"": {"columns": {"id": "#source.id", "n": "$.n", "name": "$.name"}}}'
\o /dev/null
SELECT sluice.create_shred(name, 'source', 'doc', :'mapping', on_error => CASE WHEN name = 'strict' THEN 'stop' ELSE 'reject' END)
FROM unnest(ARRAY['<script>alert(1)</script>', 'a & "b" ''c''', 'strict', 'resting', 'fresh', '100%', '"><img src=x onerror=alert(1)>']) name;
SELECT sluice.create_shred('by_hash', 'source', 'doc', :'mapping', cursor => 'hash', on_error => 'reject');
\o
-- a history: rows a day ago, failures with errors, what is too old to be shown, a run that another one was in the way of
INSERT INTO sluice.run_log (pipeline_id, status, started_at, finished_at, batches, source_rows, error)
SELECT pipeline_id, status, now() - age * interval '1 hour', now() - age * interval '1 hour' + took, 1, source_rows, error
FROM sluice.pipeline, (
    SELECT 24 + n, 'succeeded', n * interval '1 s', 1000 * n, NULL FROM generate_series(1, 40) n
    UNION ALL SELECT 30, 'failed', interval '3 min', 77, 'XX000: <b>bold</b> & ' || repeat('"long"', 1000)
    UNION ALL SELECT 31, 'canceled', interval '2 hours', 7, '57014: canceling statement due to user request'
    UNION ALL SELECT 500, 'succeeded', interval '1 s', 1000000, NULL
    UNION ALL SELECT 501, 'failed', interval '1 s', 0, 'too old'
    UNION ALL SELECT 20, 'skipped', interval '1 s', 0, NULL) history (age, status, took, source_rows, error)
WHERE name <> 'fresh'
ORDER BY age DESC;
INSERT INTO source (doc) SELECT jsonb_build_object('n', n, 'name', '<i>') FROM generate_series(1, 2500) n;
INSERT INTO source (doc) VALUES
    ('{"n": "<script>alert(2)</script>"}'), ('{"n": "\" onload=\"alert(3)\" x=\""}'), ('{"n": "''&amp;\u0007"}'), ('{"n": 1.5}'),
    (jsonb_build_object('n', repeat('<', 3000)));
CALL sluice.run('<script>alert(1)</script>');
CALL sluice.run('a & "b" ''c''');
CALL sluice.run('100%');
CALL sluice.run('"><img src=x onerror=alert(1)>');
CALL sluice.run('by_hash');
CALL sluice.run('resting');
SELECT sluice.pause('resting');
\set VERBOSITY terse
CALL sluice.run('strict', batch_size => 1000);
\set VERBOSITY default
CALL sluice.run('by_hash');
-- more comes; a run is at work, and a writer that does not come to an end
INSERT INTO source (doc) SELECT '{"n": 1}' FROM generate_series(1, 1234) n;
BEGIN;
SELECT source_rows FROM sluice.run_batch('100%', batch_size => 10);
INSERT INTO source (doc) VALUES ('{"n": 2}');
PREPARE TRANSACTION 'writer <b>';

BEGIN;
CREATE TABLE saved AS SELECT sluice.report() AS page;
CREATE TABLE stand AS SELECT * FROM sluice.status;
CREATE TABLE run AS SELECT * FROM sluice.runs;
CREATE TABLE reject AS SELECT * FROM sluice.rejects;

-- well-formed; of the elements and attributes in it none comes from a value, and nothing is fetched from anywhere
SELECT string_agg(element, ' ') FROM saved, elements(page);
SELECT page ~ 'default-src ''none''' AS policy, substring(page, '<style>(.*)</style>') ~ 'url|import' AS fetches FROM saved;
-- what was escaped is shown as it is
SELECT pipeline, pipeline IN (SELECT line[1] FROM lines(page, 'pipelines') line) AS shown FROM stand, saved ORDER BY pipeline COLLATE "C";

-- ---- The numbers are those of the views

SELECT line[1] AS pipeline, line[2] AS state, line[4] AS pending, line[6] AS rows, line[7] AS rejects FROM saved, lines(page, 'pipelines') line;
-- digits: a number as the page shows it; null for a dash
CREATE FUNCTION digits(shown text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT nullif(regexp_replace(replace(shown, '&#8211;', ''), '[^0-9]', '', 'g'), '')::numeric $$;
SELECT count(*) AS pipelines,
       count(*) FILTER (WHERE line[2] = state) AS state,
       count(*) FILTER (WHERE line[3] = sluice.report_span(extract(epoch FROM now() - last_success))) AS lag,
       count(*) FILTER (WHERE digits(line[4]) IS NOT DISTINCT FROM pending) AS pending,
       count(*) FILTER (WHERE digits(line[5]) IS NOT DISTINCT FROM rows_per_second) AS rows_per_second,
       count(*) FILTER (WHERE digits(line[6]) = rows_total) AS rows_total,
       count(*) FILTER (WHERE digits(line[7]) = rejects) AS rejects
FROM stand JOIN (saved CROSS JOIN LATERAL lines(page, 'pipelines') line) ON line[1] = pipeline;
SELECT m[2] AS tile, digits(m[3]) AS shown, digits(m[3]) = CASE m[2]
           WHEN 'pipelines' THEN (SELECT count(*) FROM stand)
           WHEN 'waiting' THEN (SELECT count(waiting_for) FROM stand)
           WHEN 'pending' THEN (SELECT sum(pending) FROM stand)
           WHEN 'rejects' THEN (SELECT count(*) FROM reject)
           ELSE (SELECT count(*) FROM stand WHERE state = m[2]) END AS right
FROM saved, regexp_matches(page, '<div( class="[a-z]+")?><dt>([^<]*)</dt><dd>([^<]*)</dd></div>\n', 'g') m;
-- the last error, below its pipeline
SELECT words(m[1]) AS last_error, words(m[1]) IN (SELECT split_part(last_error, E'\n', 1) FROM stand) AS right FROM saved, regexp_matches(page, '<td colspan="8">([^<]*)</td>', 'g') m;

-- who is waited for
SELECT line[1] AS waiting_for, digits(line[2]) = (SELECT sum(pending) FROM stand WHERE waiting_for IS NOT NULL) AS pending,
       line[3] = (SELECT string_agg(pipeline, ', ' ORDER BY pipeline) FROM stand WHERE waiting_for IS NOT NULL) AS pipelines
FROM saved, lines(page, 'waiting') line;

-- the charts have every run of the period in one bar
CREATE VIEW shown AS SELECT * FROM run WHERE started_at >= (SELECT since FROM sluice.report_scale('7 days')) AND status <> 'skipped' AND (source_rows > 0 OR status <> 'succeeded');
SELECT sum(rows) = (SELECT sum(source_rows) FROM shown) AS rows, sum(good + bad) = (SELECT count(*) FROM shown) AS runs,
       sum(bad) = (SELECT count(*) FROM shown WHERE status IN ('failed', 'canceled')) AS failed,
       max(longest) = (SELECT max(extract(epoch FROM finished_at - started_at)) FROM shown) AS longest,
       bool_and(median <= longest) AS median, count(*) > 10 AS bars
FROM sluice.report_bars('7 days');
SELECT m[1] AS chart, digits(m[2]) = CASE m[1] WHEN 'Source rows' THEN (SELECT sum(source_rows) FROM shown) ELSE (SELECT count(*) FROM shown) END AS right
FROM saved, regexp_matches(page, '<figcaption>([^<]*) <small>([0-9,]+)', 'g') m;
SELECT count(*) FILTER (WHERE m[2] ~ 'rows$') = (SELECT count(*) FROM sluice.report_bars('7 days') WHERE rows > 0) AS row_bars,
       sum(digits(m[3])) FILTER (WHERE m[2] ~ 'rows$') = (SELECT sum(source_rows) FROM shown) AS rows,
       sum(digits(m[3])) FILTER (WHERE m[2] ~ 'failed$') = (SELECT count(*) FROM shown WHERE status IN ('failed', 'canceled')) AS failed
FROM saved, regexp_matches(page, '<rect class="([a-z]+)"[^>]*><title>([^<]*: ([0-9,]+)[^<]*)</title>', 'g') m;
-- no bar leaves its chart
SELECT count(*) > 50 AS bars, bool_and(m[2]::numeric >= 0 AND m[2]::numeric + m[3]::numeric <= 100.1 AND m[1]::numeric + 8 <= 10 * places) AS inside
FROM sluice.report_scale('7 days'), saved, regexp_matches(page, '<rect class="[a-z]+" x="([0-9]+)" y="([0-9.]+)" width="8" height="([0-9.]+)"', 'g') m;
-- the small ones: 30 runs, red the failed ones among them
SELECT pipeline, regexp_replace(m[1], ': .* at most', '') AS runs,
       (SELECT string_agg(bad::text, ' ') FROM (SELECT count(*) FILTER (WHERE status IN ('failed', 'canceled')) FROM
           (SELECT status FROM run r WHERE r.pipeline = s.pipeline AND status <> 'skipped' AND started_at >= now() - interval '7 days' ORDER BY run_id DESC LIMIT 30) x) y (bad)) AS failed
FROM stand s, saved, regexp_match(substring(page, '<th scope="row">' || regexp_replace(sluice.report_escape(pipeline), '([()%])', '\\\1', 'g') || '<small>shred.*?</tr>'), '<title>([^<]*)</title>') m
ORDER BY pipeline COLLATE "C";

-- failed runs, the newest first, with what is left of an error that is too long
SELECT count(*), count(*) FILTER (WHERE (line[1], digits(line[4]), left(regexp_replace(line[5], '^(failed|canceled) ', ''), 1000)) IN (SELECT pipeline, source_rows, left(error, 1000) FROM run)) AS right,
       count(*) FILTER (WHERE line[5] ~ 'too old') AS too_old, max(length(line[5])) AS longest
FROM saved, lines(page, 'failures') line;
SELECT line[3] AS after, left(line[5], 50) AS error FROM saved, lines(page, 'failures') line WHERE line[1] = 'resting';

-- rejects by pipeline and SQLSTATE
SELECT count(*) AS kinds, count(*) FILTER (WHERE (line[1], line[2], digits(line[3])) IN (SELECT pipeline, sqlstate, count(*) FROM reject GROUP BY pipeline, sqlstate)) AS right,
       (SELECT count(*) FROM (SELECT FROM reject GROUP BY pipeline, sqlstate) k) AS all
FROM saved, lines(page, 'rejects') line;
SELECT line[2] AS sqlstate, line[3] AS rejects, left(line[5], 40) AS example FROM saved, lines(page, 'rejects') line WHERE line[1] = 'resting';
ROLLBACK;

-- ---- The newest twenty failures, the fifty commonest kinds of rejects

INSERT INTO sluice.run_log (pipeline_id, status, started_at, finished_at, error) SELECT pipeline_id, 'failed', now(), now(), 'n ' || n FROM sluice.pipeline, generate_series(1, 25) n WHERE name = 'fresh' ORDER BY n;
INSERT INTO sluice.reject (pipeline_id, run_id, document, hash, sqlstate, message) SELECT pipeline_id, 1, '{}', '', 'X' || 1000 + n, 'n ' || n FROM sluice.pipeline, generate_series(1, 60) n WHERE name = 'fresh';
CREATE TABLE saved AS SELECT sluice.report() AS page;
SELECT array_length(array_agg(line), 1) AS failures, (array_agg(line[5]))[1] AS first, (array_agg(line[5]))[20] AS last, max(substring(page, 'the newest 20 of \d+')) AS says FROM saved, lines(page, 'failures') line;
SELECT count(*) AS rejects, max(substring(page, '50 of \d+')) AS says FROM saved, lines(page, 'rejects') line;
DROP TABLE saved;

-- ---- A run whose session was lost is told as failed, by views and page

INSERT INTO sluice.run_log (pipeline_id, status, started_at, batches, source_rows) SELECT pipeline_id, 'running', now(), 1, 10 FROM sluice.pipeline WHERE name = 'by_hash';
SELECT state, last_error FROM sluice.status WHERE pipeline = 'by_hash';
SELECT status, error FROM sluice.runs WHERE pipeline = 'by_hash' ORDER BY run_id DESC LIMIT 1;
SELECT line[1] AS pipeline, line[3] AS after, line[5] AS error FROM lines(sluice.report(), 'failures') line WHERE line[1] = 'by_hash';

-- ---- Periods

SELECT period, step, places FROM unnest('{1 min,1 hour,1 day,7 days,30 days,1 year,100 years}'::interval[]) period, sluice.report_scale(period) WHERE places < 70;
SELECT period, (SELECT sum(times) > 100 FROM elements(sluice.report(period))) AS page FROM unnest('{0,-1 day,1 min,1 day,1 year}'::interval[]) period;
SELECT sum(rows) = (SELECT sum(source_rows) FROM sluice.runs WHERE started_at >= (SELECT since FROM sluice.report_scale('1 year')) AND status <> 'skipped') AS rows FROM sluice.report_bars('1 year');

-- ---- A role sees its own pipelines

ALTER TYPE sluice.pipeline_1 OWNER TO regress_sluice_reader;
SELECT name FROM sluice.pipeline WHERE pipeline_id = 1;
GRANT SELECT ON source TO regress_sluice_reader;
GRANT EXECUTE ON FUNCTION elements, lines, words TO PUBLIC;
SET ROLE regress_sluice_reader;
SELECT line[1] AS pipeline, line[2] AS state FROM lines(sluice.report(), 'pipelines') line;
SELECT sluice.report() ~ 'resting|fresh|strict' AS others;
SET ROLE regress_sluice_stranger;
SELECT sluice.report() ~ 'No pipelines' AS nothing, sluice.report() ~ 'alert|resting|fresh' AS others;
RESET ROLE;
SELECT count(*) > 10 AS functions, count(*) FILTER (WHERE prosecdef OR provolatile = 'v') AS definers FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace AND proname LIKE 'report%';
-- somebody else's functions and operators are not called
CREATE SCHEMA trap;
CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION trap.report_escape(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION trap.format(text, VARIADIC "any") RETURNS text LANGUAGE internal STABLE AS 'text_format_nv';
SET search_path = trap, sluice, pg_catalog;
SELECT length(sluice.report()) > 1000 AS page;
RESET search_path;

-- ---- Encodings: the page says in which one the client gets it

SET client_encoding = 'WIN1252';
SELECT substring(sluice.report(), '<meta charset[^>]*>') AS charset;
SET client_encoding = 'ISO_8859_5';
SELECT substring(sluice.report(), '<meta charset[^>]*>') AS charset;
SET client_encoding = 'SQL_ASCII';
SELECT substring(sluice.report(), '<meta charset[^>]*>') AS charset;
RESET client_encoding;

ROLLBACK PREPARED 'writer <b>';
\o /dev/null
SELECT sluice.drop_pipeline(pipeline) FROM sluice.status;
\o
DROP SCHEMA trap CASCADE;
DROP TABLE source, "tar<get>";
DROP FUNCTION elements, lines, words;
DROP ROLE regress_sluice_reader, regress_sluice_stranger;
