-- Bulkhead's signed user: gives row-level security the function bulkhead.user_id(), whose answer SQL cannot forge.
-- Version 1. What it proves and what it does not: docs/row-level-security.md.
--
-- Run it once in each database, as a superuser, or as a role with CREATEROLE that may create schemas in the database and has created
-- the application's role:
--
--     bulkhead-sidecar sql signed-user | psql -v ON_ERROR_STOP=1 -v app=ROLE -d DATABASE
--
-- app is the role that the sidecar logs in as; for a further one run the file again. owner is the role that will own everything here
-- (-v owner=NAME, without it bulkhead_owner). It can be run again at any time: keys stay, and connections go on. PostgreSQL 13 and later.
-- The way back: bulkhead-sidecar sql signed-user --uninstall.

\set ON_ERROR_STOP on
\if :{?app}
\else
    \warn 'say whose sessions have signed users: psql -v app=ROLE'
    DO $$ BEGIN RAISE EXCEPTION 'the psql variable app is not set'; END $$;
\endif
\if :{?owner}
\else
    \set owner bulkhead_owner
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT set_config('bulkhead_install.app', :'app', true), set_config('bulkhead_install.owner', :'owner', true),
       set_config('bulkhead_install.admin', current_user, true) \g /dev/null

-- The role that owns it all. Nobody logs in as it, and nobody is a member of it.
SELECT format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec

DO $$
DECLARE
    app CONSTANT text := current_setting('bulkhead_install.app');
    owner CONSTANT text := current_setting('bulkhead_install.owner');
    role pg_roles;
    foreign_owner text;
BEGIN
    SELECT * INTO role FROM pg_roles WHERE rolname = app;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the role % does not exist', quote_ident(app);
    END IF;
    IF role.rolsuper OR role.rolbypassrls OR role.rolcreaterole OR role.rolreplication THEN
        RAISE EXCEPTION 'the role % is SUPERUSER, BYPASSRLS, CREATEROLE or REPLICATION: nothing could be proven about its sessions', quote_ident(app);
    END IF;
    IF app = owner OR pg_has_role(app, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'the role % is a member of %, who owns the keys: REVOKE that first', quote_ident(app), quote_ident(owner);
    END IF;
    SELECT * INTO role FROM pg_roles WHERE rolname = owner;
    IF role.rolcanlogin OR role.rolsuper OR role.rolbypassrls OR role.rolcreaterole THEN
        RAISE EXCEPTION 'the role % can log in, or has rights of its own: choose another with -v owner=NAME', quote_ident(owner);
    END IF;
    -- Whoever made the schema, or something in it, before this file did could have put anything into it.
    SELECT owned.who INTO foreign_owner FROM (
        SELECT nspowner::regrole::text AS who FROM pg_namespace WHERE nspname = 'bulkhead' AND nspowner <> role.oid
        UNION ALL
        SELECT proowner::regrole::text FROM pg_proc
        WHERE pronamespace = to_regnamespace('bulkhead') AND proowner <> role.oid
        UNION ALL
        SELECT relowner::regrole::text FROM pg_class
        WHERE relnamespace = to_regnamespace('bulkhead') AND relowner <> role.oid
    ) AS owned LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is a schema bulkhead of %, or something of theirs in it: DROP it, or say -v owner', foreign_owner;
    END IF;
    -- To make things for the owner one must be able to become the owner; that is taken back at the end.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', owner);
    END IF;
    -- The owner may see when the application's sessions began. It also makes the converse, the application as a member of the owner,
    -- a membership in a circle, which the server refuses.
    EXECUTE format('GRANT %I TO %I', app, owner);
END $$;

CREATE SCHEMA IF NOT EXISTS bulkhead AUTHORIZATION :"owner";
SET LOCAL ROLE :"owner";
COMMENT ON SCHEMA bulkhead IS 'Bulkhead''s signed user, version 1';
REVOKE ALL ON SCHEMA bulkhead FROM PUBLIC;
GRANT USAGE ON SCHEMA bulkhead TO PUBLIC;

-- The keys, as HMAC (RFC 2104) uses them: padded to the block of SHA-256, and XORed with its two constants.
CREATE TABLE IF NOT EXISTS bulkhead.keys (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    inner_pad bytea NOT NULL CHECK (length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (length(outer_pad) = 64),
    fingerprint text NOT NULL,
    added timestamptz NOT NULL DEFAULT now(),
    retires timestamptz
);
REVOKE ALL ON bulkhead.keys FROM PUBLIC;

-- The tenure of a session: what this sequence's currval() is. It belongs to the session alone, no transaction takes it back, and
-- nobody but the owner may read or move it. DISCARD SEQUENCES leaves none, and then there is no user.
CREATE SEQUENCE IF NOT EXISTS bulkhead.tenure;
REVOKE ALL ON SEQUENCE bulkhead.tenure FROM PUBLIC;

CREATE OR REPLACE FUNCTION bulkhead.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1';

-- What a tenure is bound to, as the number that the sequence holds. Called by the functions below alone, whose search_path is safe; it
-- sets none itself, so that it is inlined.
CREATE OR REPLACE FUNCTION bulkhead.pin(binding text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT 1 + (('x' || encode(substring(sha256(convert_to(binding, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint & 4611686018427387903)
$$;

-- Begins a tenure, and says what a claim for it must say: the cluster, the database, the process and its beginning, and a random
-- number that never comes again. Whoever calls it ends the tenure before, and with it the validity of every claim for that.
CREATE OR REPLACE FUNCTION bulkhead.hello() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    binding text;
    known text;
BEGIN
    SELECT concat_ws(':', c.system_identifier, d.oid, a.pid,
                     (extract(epoch FROM a.backend_start) * 1000000)::bigint,
                     replace(gen_random_uuid()::text, '-', ''))
    INTO STRICT binding
    FROM pg_control_system() AS c, pg_database AS d, pg_stat_get_activity(pg_backend_pid()) AS a
    WHERE d.datname = current_database() AND a.backend_start IS NOT NULL;
    PERFORM setval('bulkhead.tenure', bulkhead.pin(binding));
    SELECT string_agg(k.id || '=' || k.fingerprint, ',' ORDER BY k.id) INTO known
    FROM bulkhead.keys AS k WHERE k.retires IS NULL;
    RETURN concat_ws('|', bulkhead.version(), binding, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, coalesce(known, ''));
EXCEPTION WHEN no_data_found THEN
    RAISE EXCEPTION 'bulkhead: the owner of bulkhead.hello() may not see when sessions of % began', quote_ident(session_user)
    USING ERRCODE = 'insufficient_privilege', HINT = 'Run sql/signed-user.sql with -v app=' || quote_ident(session_user) || '.';
END $$;

-- The user whose claim is in force. NULL: no claim, so nobody. A claim that is not good is an error, never a user.
--
-- A claim is v1:KEY:CLUSTER:DATABASE:PROCESS:BEGINNING:NONCE:NOT AFTER:USER:HMAC, the user and the HMAC-SHA256 in hexadecimal. It stands
-- in a parameter that every session may write, and means something only in the tenure that it was signed for.
CREATE OR REPLACE FUNCTION bulkhead.user_id() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    claim CONSTANT text := current_setting('bulkhead.claim', true);
    part text[];
    inner_pad bytea;
    outer_pad bytea;
    mac text;
BEGIN
    IF claim IS NULL OR claim = '' THEN
        RETURN NULL;
    END IF;
    IF octet_length(claim) <= 4096 THEN
        part := string_to_array(claim, ':');
    END IF;
    IF (cardinality(part) = 10 AND part[1] = 'v1') IS NOT TRUE THEN
        RAISE EXCEPTION 'bulkhead: bulkhead.claim is no claim' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    SELECT k.inner_pad, k.outer_pad INTO inner_pad, outer_pad FROM bulkhead.keys AS k
    WHERE k.id = part[2] AND (k.retires IS NULL OR k.retires > now());
    IF NOT FOUND THEN
        RAISE EXCEPTION 'bulkhead: the claim is signed by a key that is not in force' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    mac := encode(sha256(outer_pad || sha256(inner_pad || convert_to(array_to_string(part[1:9], ':'), 'UTF8'))), 'hex');
    -- Compared by their hashes, so that how long it takes tells nothing about the right one.
    IF (sha256(convert_to(mac, 'UTF8')) = sha256(convert_to(part[10], 'UTF8'))) IS NOT TRUE THEN
        RAISE EXCEPTION 'bulkhead: the claim''s signature is not right' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    IF (part[5] = pg_backend_pid()::text
        AND bulkhead.pin(array_to_string(part[3:7], ':')) = currval('bulkhead.tenure')) IS NOT TRUE THEN
        RAISE EXCEPTION 'bulkhead: the claim is for another session' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    IF (part[8]::bigint > extract(epoch FROM now())) IS NOT TRUE THEN
        RAISE EXCEPTION 'bulkhead: the claim has expired' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    RETURN convert_from(decode(part[9], 'hex'), 'UTF8');
END $$;

-- Puts a claim in force, if it is good.
CREATE OR REPLACE FUNCTION bulkhead.assert(claim text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('bulkhead.claim', claim, false);
    IF bulkhead.user_id() IS NULL THEN
        RAISE EXCEPTION 'bulkhead: no claim' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
END $$;

-- For administrators: a key, 32 to 1024 random bytes, is added under an id that no other has had. It is good at once; a key that is the
-- same is added without effect, and is not retired any more.
CREATE OR REPLACE FUNCTION bulkhead.add_key(id text, secret bytea) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    padded bytea;
    inner_pad bytea;
    outer_pad bytea;
    print text;
BEGIN
    IF (add_key.id ~ '^[A-Za-z0-9._-]{1,64}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'a key''s id has 1 to 64 letters, digits, ".", "_" and "-"';
    END IF;
    IF (length(add_key.secret) BETWEEN 32 AND 1024) IS NOT TRUE THEN
        RAISE EXCEPTION 'a key has 32 to 1024 random bytes';
    END IF;
    padded := CASE WHEN length(add_key.secret) > 64 THEN sha256(add_key.secret) ELSE add_key.secret END;
    padded := padded || decode(repeat('00', 64 - length(padded)), 'hex');
    inner_pad := padded;
    outer_pad := padded;
    FOR at IN 0..63 LOOP
        inner_pad := set_byte(inner_pad, at, get_byte(padded, at) # 54);
        outer_pad := set_byte(outer_pad, at, get_byte(padded, at) # 92);
    END LOOP;
    print := left(encode(sha256(outer_pad || sha256(inner_pad || convert_to('bulkhead key fingerprint', 'UTF8'))), 'hex'), 16);
    LOCK TABLE bulkhead.keys IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM bulkhead.keys AS k WHERE k.retires < now() - interval '1 day';
    IF EXISTS (SELECT FROM bulkhead.keys AS k WHERE k.id = add_key.id AND k.fingerprint <> print) THEN
        RAISE EXCEPTION 'there is another key %: give the new one an id of its own', add_key.id;
    END IF;
    IF (SELECT count(*) FROM bulkhead.keys AS k WHERE k.id <> add_key.id) >= 16 THEN
        RAISE EXCEPTION 'there are 16 keys: retire those that nobody signs with';
    END IF;
    INSERT INTO bulkhead.keys (id, inner_pad, outer_pad, fingerprint)
    VALUES (add_key.id, inner_pad, outer_pad, print)
    ON CONFLICT ON CONSTRAINT keys_pkey DO UPDATE SET retires = NULL;
END $$;

-- For administrators: nothing new is signed with this key from now on, and after `after` (at most 30 days) nothing that it has signed is
-- good.
CREATE OR REPLACE FUNCTION bulkhead.retire_key(id text, after interval DEFAULT '1 hour') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (after BETWEEN interval '0' AND interval '30 days') IS NOT TRUE THEN
        RAISE EXCEPTION 'a key is retired at once, or within 30 days';
    END IF;
    UPDATE bulkhead.keys AS k SET retires = now() + after WHERE k.id = retire_key.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no key %', quote_nullable(retire_key.id);
    END IF;
END $$;

-- For administrators: which keys there are, without the keys.
CREATE OR REPLACE FUNCTION bulkhead.list_keys(OUT id text, OUT fingerprint text, OUT added timestamptz, OUT retires timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, k.fingerprint, k.added, k.retires FROM bulkhead.keys AS k ORDER BY k.added, k.id
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bulkhead FROM PUBLIC;
-- To everybody: policies are evaluated with the rights of whoever asks, a session may be under SET ROLE when its claim is said again, and
-- all that one can do with these is to leave one's own session without a user.
GRANT EXECUTE ON FUNCTION bulkhead.version(), bulkhead.hello(), bulkhead.user_id(), bulkhead.assert(text) TO PUBLIC;
SELECT format('GRANT EXECUTE ON FUNCTION bulkhead.add_key(text, bytea), bulkhead.retire_key(text, interval), '
              'bulkhead.list_keys() TO %I', current_setting('bulkhead_install.admin')) \gexec
RESET ROLE;

SELECT format('REVOKE %I FROM CURRENT_USER', :'owner')
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
COMMIT;
