-- Arrival: what makes known which rows are new.

CREATE FUNCTION sluice.arrival(document "any") RETURNS xid8
LANGUAGE C IMMUTABLE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'sluice_arrival';
COMMENT ON FUNCTION sluice.arrival("any") IS 'for arrival indexes alone: the number of the running transaction, declared immutable so that an index can hold it';

CREATE FUNCTION sluice.add_arrival_index(source regclass, document name DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_add_arrival_index';
COMMENT ON FUNCTION sluice.add_arrival_index(regclass, name) IS 'create the index by which a hash cursor finds what arrived, however late it is in the order';

CREATE FUNCTION sluice.add_snapshot_column(source regclass, "column" name DEFAULT 'sluice_xid') RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_add_snapshot_column';
COMMENT ON FUNCTION sluice.add_snapshot_column(regclass, name) IS 'add the column that a snapshot cursor reads by (xid8 DEFAULT pg_current_xact_id()) and its index';

CREATE FUNCTION sluice.rebase(name text, inserted_here boolean DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'sluice_rebase';
COMMENT ON FUNCTION sluice.rebase(text, boolean) IS 'give the rows of a source that a dump brought here stamps of this cluster, so that its pipeline can go on';
