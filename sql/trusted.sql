-- Trusted: whoever may create schemas in a database may create the extension there. It gives him no rights over what others do with it.
\set VERBOSITY terse
SET client_min_messages = warning;

DROP EXTENSION sluice;
CREATE ROLE regress_sluice_installer;
CREATE ROLE regress_sluice_owner;
CREATE ROLE regress_sluice_stranger;
GRANT CREATE ON SCHEMA public TO regress_sluice_owner, regress_sluice_installer;

-- who may create nothing in the database may not; a schema of that name is in the way, and is not taken
SET ROLE regress_sluice_installer;
CREATE EXTENSION sluice;
RESET ROLE;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_sluice_installer', current_database()) \gexec
SET ROLE regress_sluice_installer;
CREATE SCHEMA sluice;
CREATE FUNCTION sluice.can_see(int) RETURNS boolean LANGUAGE sql RETURN true;
CREATE EXTENSION sluice;
DROP SCHEMA sluice CASCADE;
CREATE EXTENSION sluice;
RESET ROLE;

-- all but the extension itself belongs to the superuser
SELECT o.type, o.identity, s.deptype
FROM pg_shdepend s CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) o
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.refobjid = 'regress_sluice_installer'::regrole AND s.deptype = 'o';
SELECT pg_get_userbyid(relowner) = (SELECT rolname FROM pg_roles WHERE oid = 10) AS the_superusers, count(*) > 10 AS many FROM pg_class WHERE relnamespace = 'sluice'::regnamespace GROUP BY 1;
SELECT pg_get_userbyid(proowner) = (SELECT rolname FROM pg_roles WHERE oid = 10) AS the_superusers, count(*) > 50 AS many FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace GROUP BY 1;
SELECT nspowner = 10 AS the_superusers FROM pg_namespace WHERE nspname = 'sluice';

-- another role makes and runs a pipeline
SET ROLE regress_sluice_owner;
CREATE TABLE source (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE target (name text);
SELECT sluice.create_shred('p', 'source', 'doc', '{"target": {"columns": {"name": "$.name"}}}');
INSERT INTO source (doc) VALUES ('{"name": "a"}');
CALL sluice.run('p');
SELECT pipeline, owner, rows_total FROM sluice.status;
TABLE target;

-- of which the role that created the extension sees nothing, and has nothing
SET ROLE regress_sluice_installer;
SELECT pipeline FROM sluice.status;
TABLE sluice.pipeline;
CALL sluice.run('p');
SELECT sluice.drop_pipeline('p');
CREATE TABLE sluice.mine ();
CREATE OR REPLACE FUNCTION sluice.can_see(pipeline_id int) RETURNS boolean LANGUAGE sql RETURN true;
ALTER FUNCTION sluice.can_see(int) OWNER TO regress_sluice_installer;
ALTER VIEW sluice.status RENAME TO other;
GRANT SELECT ON sluice.pipeline TO regress_sluice_installer;
ALTER EXTENSION sluice DROP FUNCTION sluice.can_see(int);
ALTER EXTENSION sluice ADD TABLE source;
ALTER EXTENSION sluice SET SCHEMA public;
-- he has pipelines of his own
CREATE TABLE mine (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc jsonb);
CREATE TABLE my_target (name text);
SELECT sluice.create_shred('mine', 'mine', 'doc', '{"my_target": {"columns": {"name": "$.name"}}}');
INSERT INTO mine (doc) VALUES ('{"name": "b"}');
CALL sluice.run('mine');
SELECT pipeline, rows_total FROM sluice.status;
-- and may drop what he created, as with any extension: with the pipelines, if he says so; what they loaded stays
SET ROLE regress_sluice_stranger;
DROP EXTENSION sluice CASCADE;
ALTER EXTENSION sluice UPDATE;
SET ROLE regress_sluice_installer;
ALTER EXTENSION sluice UPDATE;
DROP EXTENSION sluice;
DROP EXTENSION sluice CASCADE;
RESET ROLE;
TABLE target;
SELECT count(*) FROM pg_namespace WHERE nspname = 'sluice';

DROP TABLE source, target, mine, my_target;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_sluice_installer', current_database()) \gexec
REVOKE CREATE ON SCHEMA public FROM regress_sluice_owner, regress_sluice_installer;
DROP ROLE regress_sluice_installer, regress_sluice_owner, regress_sluice_stranger;
