-- Merge: partial rows into one full row for each key.

CREATE FUNCTION sluice.create_merge(
    name       text,
    source     regclass,
    target     text,
    key        text[],
    newest_by  text,
    columns    text[] DEFAULT NULL,
    nulls      text DEFAULT 'keep',
    deep       text[] DEFAULT '{}',
    rules      json DEFAULT '{}',
    delete_when text DEFAULT NULL,
    document   name DEFAULT NULL,
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
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_create_merge';
COMMENT ON FUNCTION sluice.create_merge(text, regclass, text, text[], text, text[], text, text[], json, text, name, text, text, text, text, interval, int, text, bigint, int, text[], text[], boolean) IS 'create a pipeline that merges partial rows into one full row for each key';
