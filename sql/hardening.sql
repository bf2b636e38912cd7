-- Bulkhead's hardening file: closes what PostgreSQL shares between the sessions of one role or one database, for applications
-- whose users can write SQL (or inject it) and that have one role for all of them.
--
-- Run it once in each database, as a superuser:   bulkhead-sidecar prove --print-hardening | psql -v ON_ERROR_STOP=1 -d DATABASE
-- What is revoked from PUBLIC here stays with superusers, and can be given back to a role of administrators with GRANT.
-- It can be run again at any time. A part that the application needs for itself may be left out: each closes its own lines of
-- the table in docs/prove.md. A major upgrade by pg_upgrade or pg_dump keeps it.

BEGIN;

-- 1. What others do: their statements' text, their locks, their prepared transactions; and ending it. 2. Snapshots of others'
-- transactions. The views ask the functions with the rights of whoever reads them, so that both are revoked.
REVOKE ALL ON pg_catalog.pg_stat_activity, pg_catalog.pg_locks, pg_catalog.pg_prepared_xacts FROM PUBLIC;
DO $$
DECLARE
    telling regprocedure;
BEGIN
    FOR telling IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname IN ('pg_stat_get_activity', 'pg_stat_get_backend_activity', 'pg_lock_status', 'pg_prepared_xact',
                          'pg_cancel_backend', 'pg_terminate_backend', 'pg_export_snapshot')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', telling);
    END LOOP;
END $$;

-- 3. Advisory locks. Migration tools take them: let those log in as another role, and grant it what this revokes.
DO $$
DECLARE
    locking regprocedure;
BEGIN
    FOR locking IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', locking);
    END LOOP;
END $$;

-- 4. Large objects, which belong to the role and not to a user. Applications that need them keep their data in a bytea column
-- under row-level security instead.
DO $$
DECLARE
    of_large_objects regprocedure;
BEGIN
    FOR of_large_objects IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_get', 'lo_put', 'lo_open', 'lo_close', 'loread', 'lowrite',
                          'lo_lseek', 'lo_lseek64', 'lo_tell', 'lo_tell64', 'lo_truncate', 'lo_truncate64', 'lo_unlink')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', of_large_objects);
    END LOOP;
END $$;

-- 5. Statistics of statements, where the extension is installed.
DO $$
DECLARE
    statistics regclass;
BEGIN
    FOR statistics IN
        SELECT d.objid FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_stat_statements'
        JOIN pg_catalog.pg_class c ON c.oid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'v'
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', statistics);
    END LOOP;
END $$;

COMMIT;
