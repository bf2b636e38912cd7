-- What every test database starts with.
CREATE ROLE chat_owner NOLOGIN;
CREATE ROLE chat_reader NOLOGIN;
CREATE ROLE chat_app LOGIN PASSWORD '$PASSWORD' NOSUPERUSER NOBYPASSRLS;
CREATE ROLE chat_clear LOGIN PASSWORD '$PASSWORD';
CREATE ROLE chat_tls LOGIN PASSWORD '$PASSWORD';
SET password_encryption = 'md5';
CREATE ROLE chat_md5 LOGIN PASSWORD '$PASSWORD';
RESET password_encryption;
GRANT chat_reader TO chat_app;
GRANT pg_read_all_stats TO chat_app;
CREATE DATABASE chat;
\connect chat
GRANT CREATE, USAGE ON SCHEMA public TO chat_app, chat_md5, chat_clear, chat_tls;

-- Rows that belong to a user, kept apart by row-level security over the user parameter.
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, owner text NOT NULL, body text NOT NULL);
CREATE INDEX ON notes (owner);
ALTER TABLE notes OWNER TO chat_owner;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes
    USING (owner = current_setting('app.user_id', true))
    WITH CHECK (owner = current_setting('app.user_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO chat_app;

-- Rows without protection.
CREATE TABLE things (id int PRIMARY KEY, name text);
INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 100) n;
ALTER TABLE things OWNER TO chat_owner;
GRANT ALL ON things TO chat_app;
CREATE SEQUENCE numbers OWNED BY NONE;
ALTER SEQUENCE numbers OWNER TO chat_owner;
GRANT ALL ON SEQUENCE numbers TO chat_app;

-- A table that a client may take its lock on.
CREATE TABLE gate (id int PRIMARY KEY);
INSERT INTO gate VALUES (1);
GRANT ALL ON gate TO chat_app;

-- A setting made where no proxy can see it.
CREATE FUNCTION set_in_secret(name text, value text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN set_config(name, value, false); END $$;

CREATE FUNCTION complain(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'complaint: %', $1; RETURN $1; END $$;

-- An error that has a detail, a hint and a state of its own.
CREATE FUNCTION refuse() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'BH042', DETAIL = 'because', HINT = 'ask again'; END $$;
