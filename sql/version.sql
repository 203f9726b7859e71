-- Version: the library works with the catalog of its own version alone. Between the installation of another one and
-- ALTER EXTENSION sluice UPDATE everything that needs the catalog says so, and writers go on.

CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date, value int);
CREATE TABLE total (day date, value bigint);
SELECT sluice.create_load('totals', source => 'event', partition => 'day', target => 'total', target_partition => 'day', track => 'trigger',
    query => 'SELECT day, sum(value) AS value FROM event WHERE day = $1 GROUP BY day');
INSERT INTO event (day, value) VALUES ('2024-01-01', 1), ('2024-01-02', 2);
CALL sluice.run('totals');

UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'sluice';
CREATE FUNCTION says(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    message := 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    message := replace(message, (SELECT default_version FROM pg_available_extensions WHERE name = 'sluice'), 'PRESENT');
END $$;
SELECT * FROM says('CALL sluice.run(''totals'')');
SELECT statement, says.message
FROM unnest('{"SELECT sluice.pending(''totals'')", "SELECT sluice.alter_pipeline(''totals'', batch_size => 1)", "SELECT sluice.drop_pipeline(''totals'')",
              "SELECT sluice.create_load(NULL, NULL, NULL, NULL, NULL, NULL)", "CALL sluice.run_all()",
              "TABLE sluice.status", "TABLE sluice.runs", "TABLE sluice.partitions"}'::text[]) statement, says(statement);
-- what needs no catalog works
SELECT sluice.signed(1, 'refunded'), sluice.jsonb_merge_patch('{"a": 1}', '{"a": null}');
-- writers go on, and what they change is loaded later
INSERT INTO event (day, value) VALUES ('2024-01-01', 10), ('2024-01-03', 3);
UPDATE event SET value = 20 WHERE value = 2;

UPDATE pg_extension SET extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'sluice') WHERE extname = 'sluice';
CALL sluice.run('totals');
SELECT * FROM total ORDER BY day;
SELECT sluice.drop_pipeline('totals');
DROP TABLE event, total;
DROP FUNCTION says;
