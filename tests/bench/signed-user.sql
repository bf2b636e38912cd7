-- What bulkhead.user_id() costs a statement: a look-up by an index without a policy, with one that goes by a parameter, and with one that
-- goes by the signed user. Microseconds, in one session, so that nothing but the server's own work is in them.
--
--     createuser app; createdb bench
--     bulkhead-sidecar sql signed-user | psql -v app=app -d bench
--     psql -X -d bench -f tests/bench/signed-user.sql        (as a superuser; the database is a scratch one)

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SELECT bulkhead.add_key('bench', decode(repeat('ab', 32), 'hex')) \g /dev/null

DROP TABLE IF EXISTS plain, parameter, signed;
CREATE TABLE plain AS SELECT g AS id, CASE g % 2 WHEN 0 THEN 'alice' ELSE 'bob' END AS owner FROM generate_series(1, 100000) g;
CREATE TABLE parameter AS TABLE plain;
CREATE TABLE signed AS TABLE plain;
CREATE INDEX ON plain (id);
CREATE INDEX ON parameter (id);
CREATE INDEX ON signed (id);
ALTER TABLE parameter ENABLE ROW LEVEL SECURITY;
ALTER TABLE signed ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON parameter USING (owner = current_setting('app.user_id', true));
CREATE POLICY own ON signed USING (owner = (SELECT bulkhead.user_id()));
GRANT SELECT ON plain, parameter, signed TO app;
ANALYZE plain, parameter, signed;

-- What the sidecar does, in SQL: for a superuser, who may read the key.
CREATE OR REPLACE FUNCTION claim_of(name text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
    SELECT said || ':' || encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(said, 'UTF8'))), 'hex')
    FROM bulkhead.keys k,
         (SELECT concat_ws(':', 'v1', 'bench', split_part(hello, '|', 2), extract(epoch FROM now())::bigint + 600,
                           encode(convert_to(name, 'UTF8'), 'hex')) AS said
          FROM (SELECT bulkhead.hello() OFFSET 0) AS h(hello) OFFSET 0) AS s
    WHERE k.id = 'bench'
$$;
CREATE OR REPLACE FUNCTION took(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    EXECUTE format('DO $d$ DECLARE x text; BEGIN FOR i IN 1..5000 LOOP %s; END LOOP; END $d$', statement);
    RETURN round((extract(epoch FROM clock_timestamp() - began) * 1000000 / 5000)::numeric, 1);
END $$;

\connect - app
SET client_min_messages = warning;
SET app.user_id = 'alice';
SELECT bulkhead.assert(claim_of('alice')) \g /dev/null
SELECT round AS "round", took('SELECT owner INTO x FROM plain WHERE id = i') AS "no policy",
       took('SELECT owner INTO x FROM parameter WHERE id = i') AS "parameter",
       took('SELECT owner INTO x FROM signed WHERE id = i') AS "signed",
       took($$PERFORM bulkhead.assert(current_setting('bulkhead.claim'))$$) AS "assert"
FROM generate_series(1, 9) AS round;
