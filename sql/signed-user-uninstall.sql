-- Takes Bulkhead's signed user (sql/signed-user.sql) out of a database again.
--
--     bulkhead-sidecar sql signed-user --uninstall | psql -v ON_ERROR_STOP=1 -d DATABASE
--
-- Policies that ask bulkhead.user_id() hold it back: they are named, and dropped or changed first. Nothing is dropped with CASCADE. The
-- owner is dropped too (-v owner=NAME, without it bulkhead_owner), unless another database has it still.

\set ON_ERROR_STOP on
\if :{?owner}
\else
    \set owner bulkhead_owner
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT set_config('bulkhead_install.owner', :'owner', true) \g /dev/null
SELECT format('GRANT %I TO CURRENT_USER', :'owner')
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
DROP FUNCTION IF EXISTS bulkhead.assert(text), bulkhead.user_id(), bulkhead.hello(), bulkhead.pin(text), bulkhead.version(),
    bulkhead.add_key(text, bytea), bulkhead.retire_key(text, interval), bulkhead.list_keys();
DROP SEQUENCE IF EXISTS bulkhead.tenure;
DROP TABLE IF EXISTS bulkhead.keys;
DROP SCHEMA IF EXISTS bulkhead;
DO $$
BEGIN
    EXECUTE format('DROP ROLE IF EXISTS %I', current_setting('bulkhead_install.owner'));
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE WARNING 'the role % stays: another database has it still', quote_ident(current_setting('bulkhead_install.owner'));
END $$;
SELECT format('REVOKE %I FROM CURRENT_USER', :'owner')
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
COMMIT;
