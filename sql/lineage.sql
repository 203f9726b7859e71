-- Lineage: which run wrote each row (trace), and undoing runs exactly (rewind).
SET client_min_messages = warning;
CREATE SCHEMA lineage;
SET search_path = lineage, public;
SELECT setseed(0.42);

-- What tables hold, but for some columns; copies of it.
CREATE TABLE saved (pipeline text, run_id bigint, target text, content jsonb);
CREATE FUNCTION content(target text, leaving text[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(r ORDER BY r::text), ''[]'') FROM (SELECT to_jsonb(t) - $1 AS r FROM %s t) x', target)
    INTO result USING leaving;
    RETURN result;
END $$;
CREATE FUNCTION save(pipeline text, targets text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO saved SELECT $1, (SELECT coalesce(max(r.run_id), 0) FROM sluice.runs r WHERE r.pipeline = $1 AND undone_at IS NULL), t, content(t)
    FROM unnest(targets) t
$$;
-- differences tells which targets do not hold what they held at the end of a run.
CREATE FUNCTION differences(pipeline text, run bigint, targets text[]) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(t) FROM unnest(targets) t
    WHERE content(t) IS DISTINCT FROM (SELECT s.content FROM saved s WHERE s.pipeline = $1 AND s.run_id = run AND s.target = t)
$$;

-- check makes changes (a statement with $1 = a number), run after run; then it rewinds to any of the earlier runs, and runs again: everything is read
-- again, and the targets become what they were, but for columns whose values differ each time.
CREATE PROCEDURE check_rewind(pipeline text, targets text[], change text, leaving text[] DEFAULT '{}', times int DEFAULT 6)
LANGUAGE plpgsql AS $$
DECLARE
    to_run bigint;
    last jsonb[];
    wrong text[];
    rewinds int := 0;
BEGIN
    PERFORM save(pipeline, targets);
    UPDATE saved s SET run_id = 0 WHERE s.pipeline = check_rewind.pipeline;
    FOR i IN 1 .. times LOOP
        EXECUTE change USING i;
        CALL sluice.run(pipeline);
        PERFORM save(pipeline, targets);
    END LOOP;
    last := (SELECT array_agg(content(t, leaving) ORDER BY n) FROM unnest(targets) WITH ORDINALITY u(t, n));
    FOR i IN 1 .. times LOOP
        SELECT run_id INTO to_run FROM (
            SELECT 0 AS run_id UNION ALL SELECT r.run_id FROM sluice.runs r WHERE r.pipeline = check_rewind.pipeline AND undone_at IS NULL
            AND source_rows + batches > 0 ORDER BY run_id DESC OFFSET 1) x ORDER BY random() LIMIT 1;
        CONTINUE WHEN to_run IS NULL;
        CALL sluice.rewind(pipeline, to_run);
        wrong := differences(pipeline, to_run, targets);
        IF wrong IS NOT NULL THEN RAISE EXCEPTION 'rewound to run %, these differ: %', to_run, wrong; END IF;
        CALL sluice.run(pipeline);
        PERFORM save(pipeline, targets);
        IF last <> (SELECT array_agg(content(t, leaving) ORDER BY n) FROM unnest(targets) WITH ORDINALITY u(t, n)) THEN
            RAISE EXCEPTION 'run again after a rewind to run %, something differs', to_run;
        END IF;
        rewinds := rewinds + 1;
    END LOOP;
    CALL sluice.rewind(pipeline, 0);
    wrong := differences(pipeline, 0, targets);
    IF wrong IS NOT NULL THEN RAISE EXCEPTION 'rewound to the very start, these differ: %', wrong; END IF;
    CALL sluice.run(pipeline);
    IF rewinds = 0 THEN RAISE EXCEPTION 'nothing was rewound'; END IF;
    RAISE WARNING '%: as it was', pipeline;
END $$;

-- Shred: append

CREATE TABLE plain_stage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app int, at timestamptz, amount float8, raw bytea);
CREATE TABLE plain_phone (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plain_id bigint REFERENCES plain, number text);
SELECT sluice.create_shred('plain', 'plain_stage', 'doc', '{
    "plain": {"columns": {"id": "#serial", "app": "$.app", "at": "$.at", "amount": "$.amount", "raw": "$.raw"}},
    "plain_phone": {"parent": "plain", "each": "$.phones[*]", "columns": {"plain_id": "parent.id", "number": "@"}}}', lineage => true);
CALL check_rewind('plain', '{plain,plain_phone}',
    $$INSERT INTO plain_stage (doc) SELECT jsonb_build_object('app', g, 'at', now() + g * interval '1 second', 'amount', random(), 'raw', '\x00ff'::bytea,
      'phones', jsonb_build_array(g::text, 'a"\b' || $1)) FROM generate_series(1, 20) g$$, '{id,plain_id}');
SELECT operation, source_row, before, batch, run_id = (SELECT max(run_id) FROM sluice.runs WHERE pipeline = 'plain') AS last
FROM sluice.trace('plain', (SELECT jsonb_build_object('id', max(id)) FROM plain));
SELECT operation, source_row FROM sluice.trace('plain_phone', (SELECT jsonb_build_object('number', number) FROM plain_phone GROUP BY number HAVING count(*) = 1 LIMIT 1));
