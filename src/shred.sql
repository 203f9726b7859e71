-- Shred: JSON documents into relational tables.

CREATE FUNCTION sluice.create_shred(
    name       text,
    source     regclass,
    document   name,
    mapping    json DEFAULT NULL,
    target_schema name DEFAULT NULL,
    "unknown"  text DEFAULT NULL,
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
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_create_shred';
COMMENT ON FUNCTION sluice.create_shred(text, regclass, name, json, name, text, text, text, text, text, interval, int, text, bigint, int, text[], text[], boolean) IS 'create a pipeline that shreds JSON documents into relational tables';
