-- Content: what a document is known by when it has no number.

CREATE FUNCTION sluice.document_hash(document jsonb) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_document_hash';
COMMENT ON FUNCTION sluice.document_hash(jsonb) IS 'first 16 bytes of the SHA-256 of a document''s binary form';

CREATE FUNCTION sluice.content(document "any") RETURNS uuid
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'sluice_content';
COMMENT ON FUNCTION sluice.content("any") IS 'what the hash cursor knows a document (jsonb, json, text) or a row (ROW(...)) by: the first 128 bits of the SHA-256 of its bytes; null: a value of its own';
