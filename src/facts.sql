-- Facts: signed measures and dimensions, folded from rows that keep arriving.

CREATE FUNCTION sluice.create_facts(
    name       text,
    source     regclass,
    target     text,
    mapping    json,
    newest_by  text DEFAULT NULL,
    cursor     text DEFAULT NULL,
    order_by   text DEFAULT NULL,
    lookback   text DEFAULT NULL,
    duplicates text DEFAULT NULL,
    recheck    interval DEFAULT NULL,
    batch_size int DEFAULT NULL,
    on_error   text DEFAULT NULL,
    max_rejects bigint DEFAULT NULL,
    max_failures int DEFAULT NULL,
    after      text[] DEFAULT NULL,
    checks     text[] DEFAULT NULL,
    lineage    boolean DEFAULT NULL
) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_create_facts';
COMMENT ON FUNCTION sluice.create_facts(text, regclass, text, json, text, text, text, text, text, interval, int, text, bigint, int, text[], text[], boolean) IS 'create a pipeline that folds rows into a table of facts and its dimensions';
