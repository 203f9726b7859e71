-- The report: one page of HTML about the pipelines that a role sees. It stands on the views alone, so it shows no more than they do.
--
-- The page is XHTML that browsers read as HTML: whoever wants to can take it apart with an XML reader. It holds no script and asks
-- nothing of the network, and a policy in its head forbids both. Every value that comes from outside goes through report_escape. The text
-- of the page itself is ASCII, so it is right in every encoding.

-- ---- Words and numbers

CREATE FUNCTION sluice.report_escape(value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN replace(replace(replace(replace(replace(
       regexp_replace(value, '[\x01-\x08\x0B\x0C\x0E-\x1F\x7F]', '?', 'g'),
       '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
COMMENT ON FUNCTION sluice.report_escape(text) IS 'text as HTML that shows it; control characters become question marks';

CREATE FUNCTION sluice.report_excerpt(value text, most int) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sluice.report_escape(left(value, most)) || CASE WHEN length(value) > most THEN ' &#8230;' ELSE '' END;
COMMENT ON FUNCTION sluice.report_excerpt(text, int) IS 'the beginning of a text as HTML';

CREATE FUNCTION sluice.report_number(value numeric) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(to_char(value, 'FM999,999,999,999,999,999,990'), '&#8211;');
COMMENT ON FUNCTION sluice.report_number(numeric) IS 'a whole number in groups of three digits; a dash where it is not known';

CREATE FUNCTION sluice.report_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(to_char(at, 'YYYY-MM-DD HH24:MI'), 'never');
COMMENT ON FUNCTION sluice.report_time(timestamptz) IS 'a time to the minute, in the time zone of the session';

-- A span of time in the largest unit that fits at least twice, or in the smallest.
CREATE FUNCTION sluice.report_span(seconds numeric) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN seconds >= 172800 THEN floor(seconds / 86400) || ' days'
            WHEN seconds >= 7200 THEN floor(seconds / 3600) || ' h'
            WHEN seconds >= 120 THEN floor(seconds / 60) || ' min'
            WHEN seconds >= 10 THEN floor(seconds) || ' s'
            WHEN seconds >= 0.1 THEN round(seconds, 1) || ' s'
            WHEN seconds IS NOT NULL THEN round(1000 * greatest(seconds, 0)) || ' ms'
            ELSE '&#8211;' END;
COMMENT ON FUNCTION sluice.report_span(numeric) IS 'a span of time in one unit; a dash where it is not known';

-- ---- Parts of the page

CREATE FUNCTION sluice.report_section(title text, remark text, content text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(E'<section>\n<h2>%s%s</h2>\n', title, ' <small>' || nullif(remark, '') || '</small>') || content || E'</section>\n';
COMMENT ON FUNCTION sluice.report_section(text, text, text) IS 'a titled part of the page; null without content';

CREATE FUNCTION sluice.report_table(class text, heads text[], rows text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(E'<table class="%s">\n<thead><tr>%s</tr></thead>\n', class, (SELECT string_agg('<th scope="col">' || head || '</th>', '' ORDER BY place)
              FROM unnest(heads) WITH ORDINALITY h (head, place))) || rows || E'</table>\n';
COMMENT ON FUNCTION sluice.report_table(text, text[], text) IS 'a table; null without rows';

-- label is what a narrow screen shows beside the value, where there is no room for a head.
CREATE FUNCTION sluice.report_cell(label text, value text, class text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format('<td data-label="%s"%s>', label, ' class="' || class || '"') || coalesce(value, '') || '</td>';
COMMENT ON FUNCTION sluice.report_cell(text, text, text) IS 'a cell of a table';

CREATE FUNCTION sluice.report_tile(label text, value numeric, class text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(E'<div%s><dt>%s</dt><dd>%s</dd></div>\n', CASE WHEN value > 0 THEN ' class="' || class || '"' END, label, sluice.report_number(value));
COMMENT ON FUNCTION sluice.report_tile(text, numeric, text) IS 'a number at the head of the page; the class colors it unless it is 0';

CREATE FUNCTION sluice.report_tiles(stand sluice.status[]) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT E'<dl class="tiles">\n'
               || sluice.report_tile('pipelines', count(*))
               || sluice.report_tile('running', count(*) FILTER (WHERE state = 'running'), 'running')
               || sluice.report_tile('failed', count(*) FILTER (WHERE state = 'failed'), 'failed')
               || sluice.report_tile('paused', count(*) FILTER (WHERE state = 'paused'), 'paused')
               || sluice.report_tile('waiting', count(waiting_for), 'paused')
               || sluice.report_tile('pending', coalesce(sum(pending), 0))
               || sluice.report_tile('rejects', coalesce(sum(rejects), 0), 'failed')
               || E'</dl>\n'
        FROM unnest(stand) s);
COMMENT ON FUNCTION sluice.report_tiles(sluice.status[]) IS 'the numbers at the head of the page';

-- ---- Charts. Shapes alone are SVG, stretched to whatever room there is; letters are HTML, so that they keep their size.

CREATE FUNCTION sluice.report_bar(class text, place int, base numeric, value numeric, top numeric, title text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN value > 0 THEN
    format('<rect class="%s" x="%s" y="%s" width="8" height="%s"><title>%s</title></rect>', class, 10 * place + 1,
           round(100 - greatest(100 * (base + value) / top, 1), 1), round(greatest(100 * value / top, 1), 1), title)
    ELSE '' END;
COMMENT ON FUNCTION sluice.report_bar(text, int, numeric, numeric, numeric, text) IS 'a bar of a chart, on top of base; top is what fills the chart';

CREATE FUNCTION sluice.report_chart(title text, remark text, top text, bars text, places int, axis text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(E'<figure>\n<figcaption>%s <small>%s</small></figcaption>\n<p class="top">%s</p>\n'
              '<svg viewBox="0 0 %s 100" preserveAspectRatio="none" role="img" aria-label="%s">'
              '<path class="grid" d="M0 .5h%s M0 50h%s M0 99.5h%s" />%s</svg>\n<p class="axis">%s</p>\n</figure>\n',
              title, remark, top, 10 * places, title, 10 * places, 10 * places, 10 * places, bars, axis);
COMMENT ON FUNCTION sluice.report_chart(text, text, text, text, int, text) IS 'a chart of bars with its title and axes';

-- A bar stands for a round span of time, so that there are about 60 of them.
CREATE FUNCTION sluice.report_scale(period interval, OUT since timestamptz, OUT step interval, OUT places int)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.since, s.step, 1 + floor(extract(epoch FROM now() - s.since) / extract(epoch FROM s.step))::int
    FROM (SELECT date_bin(r.step, now() - period, date_trunc('day', now() - period)) AS since, r.step
          FROM (SELECT make_interval(secs => 60 * coalesce(min(minutes) FILTER (WHERE 3600 * minutes >= extract(epoch FROM period)), max(minutes))) AS step
                FROM unnest('{1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 525600}'::int[]) minutes) r) s;
END;
COMMENT ON FUNCTION sluice.report_scale(interval) IS 'where the charts of a period begin, the time that one bar stands for, and how many there are';

-- Runs that found nothing are left out: they share one row, and would hide what the others did.
CREATE FUNCTION sluice.report_bars(period interval, OUT place int, OUT name text, OUT rows numeric, OUT good numeric, OUT bad numeric,
                                   OUT median numeric, OUT longest numeric) RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.place, to_char(s.since + r.place * s.step, 'DD Mon HH24:MI to ') || to_char(s.since + (r.place + 1) * s.step, 'DD Mon HH24:MI: '),
           sum(r.source_rows), count(*) FILTER (WHERE NOT r.bad), count(*) FILTER (WHERE r.bad),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds::float8)::numeric, max(r.seconds)
    FROM sluice.report_scale(period) s
    CROSS JOIN LATERAL (
        SELECT floor(extract(epoch FROM started_at - s.since) / extract(epoch FROM s.step))::int AS place, source_rows,
               status IN ('failed', 'canceled') AS bad, extract(epoch FROM coalesce(finished_at, now()) - started_at) AS seconds
        FROM sluice.runs
        WHERE started_at BETWEEN s.since AND now() AND status <> 'skipped' AND (source_rows > 0 OR status <> 'succeeded')) r
    GROUP BY s.since, s.step, r.place;
END;
COMMENT ON FUNCTION sluice.report_bars(interval) IS 'the runs of a period, summed up for each bar of the charts';

CREATE FUNCTION sluice.report_axis(period interval) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT string_agg(format('<span style="left:%s%%">%s</span>', 25 * quarter,
                          to_char(since + step * places * quarter / 4, CASE WHEN step < '1 hour' THEN 'HH24:MI' ELSE 'DD Mon' END)), '' ORDER BY quarter) || '<span class="now">now</span>'
        FROM sluice.report_scale(period), generate_series(0, 3) quarter);
COMMENT ON FUNCTION sluice.report_axis(interval) IS 'the times below a chart';

CREATE FUNCTION sluice.report_charts(period interval) RETURNS text
LANGUAGE sql STABLE
RETURN (
    WITH bar AS (
        SELECT b.*, max(b.rows) OVER () AS most_rows, max(b.good + b.bad) OVER () AS most_runs, max(b.longest) OVER () AS slowest
        FROM sluice.report_bars(period) b
    ), drawn AS (
        SELECT sluice.report_number(sum(rows)) AS rows, sluice.report_number(sum(good + bad)) AS runs, sluice.report_number(sum(bad)) AS failed,
               sluice.report_number(max(most_rows)) AS most_rows, sluice.report_number(max(most_runs)) AS most_runs, sluice.report_span(max(slowest)) AS slowest,
               string_agg(sluice.report_bar('rows', place, 0, rows, most_rows, name || sluice.report_number(rows) || ' rows'), '') AS row_bars,
               string_agg(sluice.report_bar('rows', place, 0, good, most_runs, name || sluice.report_number(good) || ' runs')
                          || sluice.report_bar('bad', place, good, bad, most_runs, name || sluice.report_number(bad) || ' failed'), '') AS run_bars,
               string_agg(sluice.report_bar('pale', place, 0, longest, slowest, name || 'longest ' || sluice.report_span(longest))
                          || sluice.report_bar('rows', place, 0, median, slowest, name || 'median ' || sluice.report_span(median)), '') AS time_bars
        FROM bar
        HAVING count(*) > 0
    )
    SELECT sluice.report_section('Runs over time', 'the last ' || sluice.report_span(extract(epoch FROM period)) || ', ' || sluice.report_span(extract(epoch FROM step)) || ' a bar',
           E'<div class="charts">\n'
           || sluice.report_chart('Source rows', rows || ' read', most_rows, row_bars, places, axis)
           || sluice.report_chart('Runs', runs || ', of them ' || failed || ' failed', most_runs, run_bars, places, axis)
           || sluice.report_chart('Duration of a run', 'longest (pale) and median', slowest, time_bars, places, axis)
           || E'</div>\n')
    FROM drawn, sluice.report_scale(period), sluice.report_axis(period) axis);
COMMENT ON FUNCTION sluice.report_charts(interval) IS 'charts of the runs of a period: rows, runs and failures, durations';

-- ---- Pipelines

CREATE FUNCTION sluice.report_state(state text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format('<span class="state %s">%s</span>', state, state);
COMMENT ON FUNCTION sluice.report_state(text) IS 'the state of a pipeline or run, with its color';

-- Runs from the newest, which stands on the right, to the oldest; red where one failed.
CREATE FUNCTION sluice.report_spark(rows bigint[], bad boolean[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT format('<svg class="spark" viewBox="0 0 120 24" role="img" aria-label="last runs"><title>%s</title><path class="rows" d="%s" /><path class="bad" d="%s" /></svg>',
                      format('rows of the last %s runs: %s at most, %s failed', count(*), sluice.report_number(max(run.rows)), count(*) FILTER (WHERE run.bad)),
                      string_agg(shape, '' ORDER BY place) FILTER (WHERE NOT run.bad), string_agg(shape, '' ORDER BY place) FILTER (WHERE run.bad))
        FROM (SELECT r.rows, r.bad, r.place, format('M%s 24v-%sh3v%sz', 121 - 4 * r.place, r.height, r.height) AS shape
              FROM (SELECT u.rows, u.bad, u.place, greatest(round(1 + 23.0 * u.rows / greatest(max(u.rows) OVER (), 1), 1), CASE WHEN u.bad THEN 6 END) AS height
                    FROM unnest(rows, bad) WITH ORDINALITY u (rows, bad, place)) r) run);
COMMENT ON FUNCTION sluice.report_spark(bigint[], boolean[]) IS 'a small chart of the rows of up to 30 runs';

CREATE FUNCTION sluice.report_pipeline(s sluice.status, spark text, progress text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN format(E'<tr>%s%s%s%s%s%s%s%s</tr>\n',
       format('<th scope="row">%s<small>%s from %s</small></th>', sluice.report_escape(s.pipeline), s.kind, sluice.report_escape(s.source)),
       sluice.report_cell('state', sluice.report_state(s.state) || coalesce('<small>' || progress || '</small>', '')),
       sluice.report_cell('lag', format('<span title="last success: %s">%s</span>', sluice.report_time(s.last_success),
                                        sluice.report_span(extract(epoch FROM now() - s.last_success))), 'number'),
       sluice.report_cell('pending', sluice.report_number(s.pending)
                          || CASE WHEN s.waiting_keys > 0 THEN format('<small>%s keys wait</small>', sluice.report_number(s.waiting_keys)) ELSE '' END, 'number'),
       sluice.report_cell('rows/s', sluice.report_number(s.rows_per_second), 'number'),
       sluice.report_cell('rows', sluice.report_number(s.rows_total), 'number'),
       sluice.report_cell('rejects', sluice.report_number(s.rejects), CASE WHEN s.rejects > 0 THEN 'number bad' ELSE 'number' END),
       sluice.report_cell('last runs', spark, 'runs'))
    || coalesce(E'<tr class="error"><td colspan="8">' || sluice.report_excerpt(split_part(s.last_error, E'\n', 1), 300) || E'</td></tr>\n', '');
COMMENT ON FUNCTION sluice.report_pipeline(sluice.status, text, text) IS 'a pipeline as a row of a table, with its last error below';

-- progress: what the run at work has done so far.
CREATE FUNCTION sluice.report_pipelines(stand sluice.status[], period interval) RETURNS text
LANGUAGE sql STABLE
RETURN (
    WITH run AS (
        SELECT pipeline, status, source_rows, started_at, row_number() OVER (PARTITION BY pipeline ORDER BY run_id DESC) AS place
        FROM sluice.runs WHERE started_at >= now() - period AND status <> 'skipped'
    ), last AS (
        SELECT pipeline, sluice.report_spark(array_agg(source_rows ORDER BY place), array_agg(status IN ('failed', 'canceled') ORDER BY place)) AS spark,
               max(format('%s rows in %s', sluice.report_number(source_rows), sluice.report_span(extract(epoch FROM now() - started_at)))) FILTER (WHERE status = 'running') AS progress
        FROM run WHERE place <= 30 GROUP BY pipeline
    )
    SELECT sluice.report_section('Pipelines', 'lag: since the last success; last runs: rows of each, red where it failed',
           sluice.report_table('pipelines', '{pipeline,state,lag,pending,rows/s,rows,rejects,last runs}',
               string_agg(sluice.report_pipeline(s, spark, progress), '' ORDER BY array_position('{failed,running,paused}', s.state), s.pipeline)))
    FROM unnest(stand) s LEFT JOIN last USING (pipeline));
COMMENT ON FUNCTION sluice.report_pipelines(sluice.status[], interval) IS 'the pipelines, failed ones first, with their last runs of a period';

CREATE FUNCTION sluice.report_waiting(stand sluice.status[]) RETURNS text
LANGUAGE sql STABLE
RETURN sluice.report_section('Waiting', 'for sessions with open transactions, which hold back what can be read',
       sluice.report_table('waiting', '{waiting for,pending,pipelines}', (
           SELECT string_agg(line, '' ORDER BY pending DESC)
           FROM (SELECT sum(pending), format(E'<tr><th scope="row">%s</th>%s%s</tr>\n', sluice.report_escape(waiting_for),
                        sluice.report_cell('pending', sluice.report_number(sum(pending)), 'number'),
                        sluice.report_cell('pipelines', sluice.report_escape(string_agg(pipeline, ', ' ORDER BY pipeline)), 'text'))
                 FROM unnest(stand) s WHERE waiting_for IS NOT NULL GROUP BY waiting_for) waiter (pending, line))));
COMMENT ON FUNCTION sluice.report_waiting(sluice.status[]) IS 'who is waited for, and by which pipelines';

-- ---- What went wrong

CREATE FUNCTION sluice.report_failures(period interval, most int) RETURNS text
LANGUAGE sql STABLE
RETURN (
    WITH failure AS (
        SELECT * FROM sluice.runs WHERE status IN ('failed', 'canceled') AND started_at BETWEEN now() - period AND now()
    ), newest AS (
        SELECT * FROM failure ORDER BY run_id DESC LIMIT most
    )
    SELECT sluice.report_section('Failed runs', CASE WHEN total > most THEN format('the newest %s of %s', most, sluice.report_number(total)) ELSE 'the newest first' END,
           sluice.report_table('failures', '{pipeline,started,after,rows,error}', (
               SELECT string_agg(format(E'<tr><th scope="row">%s<small>run %s</small></th>%s%s%s%s</tr>\n', sluice.report_escape(pipeline), run_id,
                                 sluice.report_cell('started', sluice.report_time(started_at), 'time'),
                                 sluice.report_cell('after', sluice.report_span(extract(epoch FROM finished_at - started_at)), 'number'),
                                 sluice.report_cell('rows', sluice.report_number(source_rows), 'number'),
                                 sluice.report_cell('error', sluice.report_state(status) || ' ' || sluice.report_excerpt(error, 1000), 'text')), '' ORDER BY run_id DESC)
               FROM newest)))
    FROM (SELECT count(*) AS total FROM failure) f);
COMMENT ON FUNCTION sluice.report_failures(interval, int) IS 'the newest failed and canceled runs of a period, with their errors';

CREATE FUNCTION sluice.report_place(detail jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT '<dl>' || string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', sluice.report_escape(key), sluice.report_excerpt(value, 200)), '' ORDER BY key) || '</dl>'
        FROM jsonb_each_text(detail) WHERE value <> '');
COMMENT ON FUNCTION sluice.report_place(jsonb) IS 'the detail of a reject: where it is';

CREATE FUNCTION sluice.report_reject(pipeline text, sqlstate text, count bigint, newest timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT format(E'<tr><th scope="row">%s</th>%s%s%s%s</tr>\n', sluice.report_escape(r.pipeline),
                      sluice.report_cell('SQLSTATE', sluice.report_escape(r.sqlstate)),
                      sluice.report_cell('rejects', sluice.report_number(count), 'number'),
                      sluice.report_cell('newest', sluice.report_time(r.rejected_at), 'time'),
                      sluice.report_cell('example', sluice.report_excerpt(r.message, 500) || coalesce(sluice.report_place(r.detail), '')
                                         || format('<code>%s</code>', sluice.report_excerpt(r.document, 300)), 'text'))
        FROM sluice.rejects r
        WHERE r.pipeline = report_reject.pipeline AND r.sqlstate = report_reject.sqlstate AND r.rejected_at = newest LIMIT 1);
COMMENT ON FUNCTION sluice.report_reject(text, text, bigint, timestamptz) IS 'one of the newest rejects of a pipeline and SQLSTATE as a row of a table';

CREATE FUNCTION sluice.report_rejects(most int) RETURNS text
LANGUAGE sql STABLE
RETURN (
    WITH kind AS (
        SELECT pipeline, sqlstate, count(*) AS rejects, max(rejected_at) AS newest FROM sluice.rejects GROUP BY pipeline, sqlstate
    ), common AS (
        SELECT * FROM kind ORDER BY rejects DESC, pipeline, sqlstate LIMIT most
    )
    SELECT sluice.report_section('Rejects', 'by pipeline and SQLSTATE, with one of the newest of each' || CASE WHEN total > most THEN format('; %s of %s', most, sluice.report_number(total)) ELSE '' END,
           sluice.report_table('rejects', '{pipeline,SQLSTATE,rejects,newest,example}', (
               SELECT string_agg(sluice.report_reject(pipeline, sqlstate, rejects, newest), '' ORDER BY rejects DESC, pipeline, sqlstate) FROM common)))
    FROM (SELECT count(*) AS total FROM kind) k);
COMMENT ON FUNCTION sluice.report_rejects(int) IS 'the commonest kinds of rejects, with an example of each';

-- ---- The page

-- The names that browsers have for PostgreSQL's encodings. A client that asks for no conversion gets what the database holds.
CREATE FUNCTION sluice.report_encoding() RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT CASE WHEN name = 'sql_ascii' THEN 'utf-8' ELSE replace(replace(name, 'win', 'windows-'), '_', '-') END
        FROM lower(CASE pg_client_encoding() WHEN 'SQL_ASCII' THEN getdatabaseencoding() ELSE pg_client_encoding() END) name);
COMMENT ON FUNCTION sluice.report_encoding() IS 'the encoding in which the client gets the page, as HTML names it';

CREATE FUNCTION sluice.report_style() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN '
:root { color-scheme: light dark; --paper: #f7f7f5; --card: #ffffff; --ink: #1d2430; --soft: #5f6b7c; --line: #e3e5e9;
  --rows: #3a6ea5; --pale: #bdd0e4; --red: #b83227; --amber: #94610b; --green: #2c7a51; --wash: #fbeeec; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171c; --card: #1b1f26; --ink: #e3e6eb; --soft: #98a3b3; --line: #2c323c;
    --rows: #6d9fd6; --pale: #324a66; --red: #ee8579; --amber: #dcae5c; --green: #6fc399; --wash: #2b1e1f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.05rem; font-weight: 650; }
header p, small, .top, .axis, .empty { color: var(--soft); }
header p { margin: .15rem 0 0; }
small { font-size: .8rem; font-weight: 400; }
h2 small { margin-left: .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0 0; }
.tiles div, figure, .empty { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; }
.tiles div { display: flex; flex-direction: column-reverse; }
.tiles dt { color: var(--soft); font-size: .8rem; }
.tiles dd { margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles .failed dd, td.bad { color: var(--red); }
.tiles .paused dd { color: var(--amber); }
.tiles .running dd { color: var(--rows); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: .75rem; }
figure { margin: 0; }
figcaption { font-weight: 600; font-size: .9rem; }
figcaption small { margin-left: .35rem; }
figure svg { display: block; width: 100%; height: 7.5rem; }
.top { margin: .6rem 0 .1rem; font-size: .72rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.axis { position: relative; height: 1rem; margin: .25rem 0 0; font-size: .72rem; line-height: 1.2; }
.axis span { position: absolute; }
.axis .now { right: 0; }
.grid { stroke: var(--line); stroke-width: 1; fill: none; vector-effect: non-scaling-stroke; }
svg .rows { fill: var(--rows); }
svg .pale { fill: var(--pale); }
svg .bad { fill: var(--red); }
.spark { display: block; width: 120px; height: 24px; }
table { width: 100%; border-collapse: separate; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  border-spacing: 0; overflow: hidden; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--soft); font-size: .78rem; font-weight: 500; white-space: nowrap; }
tbody th, tr th[scope="row"] { font-weight: 600; }
th small, td small { display: block; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.pipelines th:nth-child(n+3):nth-child(-n+7), .waiting thead th:nth-child(2), .failures th:nth-child(3), .failures th:nth-child(4),
.rejects thead th:nth-child(3) { text-align: right; }
.time, .state, .waiting th { white-space: nowrap; }
.state::before { content: ""; display: inline-block; width: .55em; height: .55em; margin-right: .45em; border-radius: 50%; background: var(--green); }
.state.failed::before, .state.canceled::before { background: var(--red); }
.state.paused::before { background: var(--amber); }
.state.running::before { background: var(--rows); }
.state.failed { color: var(--red); }
tr.error td { padding-top: 0; border-top: 0; color: var(--red); font-size: .85rem; }
.text { font-size: .88rem; white-space: pre-line; }
.text dl { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: .25rem 0; font-size: .8rem; white-space: normal; }
.text dt { display: inline; margin-right: .4rem; color: var(--soft); }
.text dd { display: inline; margin: 0; }
code { display: block; padding: .35rem .5rem; border-radius: 5px; background: var(--paper); white-space: pre-wrap;
  font: .78rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 44rem) {
  body { padding: 1.25rem .9rem 3rem; }
  .tiles { display: flex; flex-wrap: wrap; gap: .5rem; }
  .tiles div { flex: 1 1 auto; min-width: 4.8rem; padding: .5rem .75rem; }
  .tiles dd { font-size: 1.2rem; }
  thead { position: absolute; left: -999rem; }
  table, tbody { display: block; }
  tr { display: grid; grid-template-columns: 1fr 1fr 1fr; border-top: 1px solid var(--line); padding: .6rem .25rem; }
  th, td { border: 0; padding: .15rem .5rem; }
  tr th[scope="row"], td.text, td.runs, td[colspan] { grid-column: 1 / -1; }
  td:empty { display: none; }
  td[data-label]::before { content: attr(data-label); display: block; color: var(--soft); font-size: .72rem; }
  td.text::before { display: none; }
  .number { text-align: left; }
  tr.error { border-top: 0; padding-top: 0; margin-top: -.4rem; } }
';
COMMENT ON FUNCTION sluice.report_style() IS 'how the page looks';

CREATE FUNCTION sluice.report(period interval DEFAULT '7 days') RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN (SELECT concat(
        E'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head>\n',
        format(E'<meta charset="%s" />\n', sluice.report_encoding()),
        E'<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''" />\n',
        E'<meta name="viewport" content="width=device-width, initial-scale=1" />\n<meta name="color-scheme" content="light dark" />\n',
        format(E'<title>sluice: %s</title>\n<style>%s</style>\n</head>\n<body>\n', sluice.report_escape(current_database()), sluice.report_style()),
        format(E'<header><h1>%s</h1>\n<p>sluice, as %s sees it at <time>%s</time> (%s)</p></header>\n', sluice.report_escape(current_database()),
               sluice.report_escape(current_user), sluice.report_time(now()), sluice.report_escape(current_setting('TimeZone'))),
        E'<main>\n',
        sluice.report_tiles(stand),
        CASE WHEN stand IS NULL THEN E'<p class="empty">No pipelines yet: none is yours, nor of a role that you are a member of.</p>\n' END,
        sluice.report_charts(period),
        sluice.report_pipelines(stand, period),
        sluice.report_waiting(stand),
        sluice.report_failures(period, 20),
        sluice.report_rejects(50),
        E'</main>\n</body>\n</html>')
        FROM (SELECT array_agg(s) AS stand FROM sluice.status s) s);
COMMENT ON FUNCTION sluice.report(interval) IS 'a page of HTML about your pipelines: how they stand, their runs over a period, what went wrong';
