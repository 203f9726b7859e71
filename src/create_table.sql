-- Tables from the JSON schemas of BigQuery's tools.

CREATE FUNCTION sluice.create_table(name text, schema json, key text[] DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_create_table';
COMMENT ON FUNCTION sluice.create_table(text, json, text[]) IS 'create a table from the JSON schema that BigQuery tools write, its records as composite types; key becomes the primary key';
