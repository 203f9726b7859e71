-- Inference: mappings and tables from what the documents look like.

CREATE FUNCTION sluice.infer(source regclass, document name, sample int DEFAULT 10000, root name DEFAULT 'root', target_schema name DEFAULT NULL)
RETURNS json
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'sluice_infer';
COMMENT ON FUNCTION sluice.infer(regclass, name, int, name, name) IS 'a mapping for the documents of a source, from the first of them (sample; null: all); its tables lie in target_schema, null: without a schema';

CREATE FUNCTION sluice.ddl(mapping json) RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_ddl';
COMMENT ON FUNCTION sluice.ddl(json) IS 'the statements that create the tables of a mapping, parents before their children';
