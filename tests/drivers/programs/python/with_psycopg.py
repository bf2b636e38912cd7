"""What an application does with psycopg 3 and its pool."""

import asyncio
import datetime
import decimal
import threading
import time
import uuid

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from checks import CONTEXTS, carry_out, fails, options


def connect(user="alice", **more):
    return psycopg.connect("", options=options(user), **more)


def value(conn, sql, *parameters):
    return conn.execute(sql, *parameters).fetchone()[0]


def connects():
    with connect() as alice:
        assert value(alice, "SELECT current_setting('app.user_id')") == "alice"
    refused = fails(psycopg.OperationalError, lambda: psycopg.connect("", options="-c bulkhead.context=forged"))
    assert "bulkhead" in str(refused), refused


def queries():
    with connect() as alice:
        rows = alice.execute("SELECT id, name FROM things WHERE id <= %s ORDER BY id", (3,)).fetchall()
        assert rows[2] == (3, "thing 3")
        cursor = alice.execute("SELECT 1; SELECT 2")
        assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)
        assert len(list(alice.cursor().stream("SELECT * FROM things"))) == 100
        with alice.cursor(name="served") as served:
            served.execute("SELECT id FROM things ORDER BY id")
            assert len(served.fetchmany(30)) == 30 and served.fetchone() == (31,)


def prepared():
    with connect() as one, connect() as two:
        one.prepare_threshold = two.prepare_threshold = 1
        for turn in range(20):
            assert value(one, "SELECT %s::int + 1", (turn,)) == turn + 1
            assert value(two, "SELECT %s::text || '!'", (str(turn),)) == f"{turn}!"
            one.commit()
            two.commit()
        assert value(one, "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql") >= 0
        one.execute("DEALLOCATE ALL")
        one.commit()
        assert value(one, "SELECT %s::int", (1,), ) == 1


def transactions():
    with connect() as alice:
        before = value(alice, "SELECT count(*) FROM notes")
        alice.commit()
        with alice.transaction():
            alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
            with alice.transaction(force_rollback=True):
                alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        assert value(alice, "SELECT count(*) FROM notes") == before + 1
        alice.rollback()
        alice.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        alice.read_only = True
        fails(psycopg.errors.ReadOnlySqlTransaction, alice.execute, "INSERT INTO notes (owner, body) VALUES ('alice', '')")
        alice.rollback()
        alice.read_only = None
        # Two-phase commit, as libpq's applications know it.
        alice.tpc_begin(alice.xid(1, f"x{uuid.uuid4()}", "y"))
        alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'in two phases')")
        alice.tpc_prepare()
        alice.tpc_commit()
        assert value(alice, "SELECT count(*) FROM notes") == before + 2


def pipeline():
    with connect(autocommit=True) as alice:
        with alice.pipeline():
            cursors = [alice.execute("SELECT %s::int * 2", (n,)) for n in range(200)]
            assert [cursor.fetchone()[0] for cursor in cursors] == [n * 2 for n in range(200)]
        with alice.pipeline() as pipe:
            alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'before')")
            pipe.sync()
            fails(psycopg.errors.DivisionByZero, lambda: (alice.execute("SELECT 1 / 0"), pipe.sync()))
            assert value(alice, "SELECT 'after'") == "after"
        alice.cursor().executemany("INSERT INTO things VALUES (%s, %s)", [(20_000 + n, "x" * (n % 99)) for n in range(1000)])
        assert alice.execute("DELETE FROM things WHERE id >= 20000").rowcount == 1000


def copies():
    with connect(autocommit=True) as alice:
        with alice.cursor().copy("COPY things FROM STDIN") as copy:
            for n in range(5000):
                copy.write_row((10_000 + n, "x" * (n % 100)))
        with alice.cursor().copy("COPY (SELECT id FROM things WHERE id >= 10000) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            assert sum(1 for _ in copy.rows()) == 5000

        def wrong(line):
            with alice.cursor().copy("COPY things FROM STDIN") as copy:
                copy.write(line)
                if not line:
                    raise KeyError("given up")

        fails(psycopg.errors.InvalidTextRepresentation, wrong, "no number\tx\n")
        fails(KeyError, wrong, "")
        alice.execute("DELETE FROM things WHERE id >= 10000")


def listens():
    with connect(autocommit=True) as listener, connect(autocommit=True) as speaker:
        listener.execute("LISTEN news")
        speaker.execute("SELECT pg_notify('news', %s)", ("hello",))
        heard = next(listener.notifies(timeout=10))
        assert (heard.channel, heard.payload) == ("news", "hello")
        listener.execute("UNLISTEN *")
        assert value(listener, "SELECT 1") == 1


def cancels():
    with connect(autocommit=True) as alice, connect(autocommit=True) as watcher:
        for cancel in (lambda: alice.cancel_safe(timeout=10), alice.cancel):
            caught = []
            sleeper = threading.Thread(
                target=lambda: caught.append(fails(psycopg.errors.QueryCanceled, alice.execute, "SELECT pg_sleep(30)"))
            )
            sleeper.start()
            asleep = """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'"""
            while value(watcher, asleep) == 0:
                time.sleep(0.005)
            cancel()
            sleeper.join()
            assert caught
        assert value(alice, "SELECT 1") == 1


def errors():
    with connect(autocommit=True) as alice:
        for _ in range(3):
            fails(psycopg.errors.UniqueViolation, alice.execute, "INSERT INTO things VALUES (1, 'again')")
            refused = fails(psycopg.Error, alice.execute, "SELECT refuse()")
            assert (refused.sqlstate, refused.diag.message_hint) == ("BH042", "ask again")
            fails(psycopg.errors.InsufficientPrivilege, alice.execute, "INSERT INTO notes (owner, body) VALUES ('bob', '')")
            alice.execute("BEGIN")
            fails(psycopg.errors.SyntaxError, alice.execute, "no SQL")
            fails(psycopg.errors.InFailedSqlTransaction, alice.execute, "SELECT 1")
            alice.execute("ROLLBACK")
        complaints = []
        alice.add_notice_handler(lambda notice: complaints.append(notice.message_primary))
        alice.execute("SELECT complain('loud')")
        assert complaints == ["complaint: loud"]
        # A column that changes its type under a statement that is prepared.
        alice.execute("CREATE TABLE shifting AS SELECT 7 AS a")
        with connect(autocommit=True) as other:
            assert value(alice.cursor(), "SELECT a FROM shifting", None) == 7
            alice.execute("SELECT a FROM shifting", prepare=True)
            other.execute("ALTER TABLE shifting ALTER a TYPE text")
            fails(psycopg.errors.FeatureNotSupported, lambda: alice.execute("SELECT a FROM shifting", prepare=True))
            assert alice.execute("SELECT a FROM shifting", prepare=False).fetchone() == ("7",)
        alice.execute("DROP TABLE shifting")


def binary():
    given = (
        bytes(range(256)),
        datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, datetime.timezone.utc),
        decimal.Decimal("-12345678.90123"),
        uuid.UUID(int=1 << 120),
        [1, -2, 2**31 - 1],
        None,
        float("-inf"),
        -(2**63),
    )
    sql = "SELECT %b::bytea, %b::timestamptz, %b::numeric, %b::uuid, %b::int[], %b::text, %b::float8, %b::int8"
    with connect() as alice:
        for as_binary in (True, False):
            assert alice.execute(sql, given, binary=as_binary).fetchone() == given
        alice.commit()


def big_rows():
    with connect() as alice:
        long = value(alice, "SELECT repeat('long ', 4000000)")
        assert len(long) == 20_000_000
        assert value(alice, "SELECT length(%s::text)", (long,)) == len(long)
        rows = alice.cursor().stream("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n")
        assert sum(n for n, _ in rows) == 5_000_050_000


def pool():
    """A pool for each user, and all work at once, with threads and with asyncio: a row that anybody reads is theirs."""
    pools = {user: ConnectionPool("", kwargs={"options": options(user)}, min_size=0, max_size=3) for user in CONTEXTS}
    failures = []

    def work(user):
        try:
            for _ in range(10):
                with pools[user].connection() as conn:
                    conn.execute("INSERT INTO notes (owner, body) VALUES (%s, 'x')", (user,))
                    for row in conn.execute("SELECT owner, current_setting('app.user_id') FROM notes"):
                        assert row == (user, user), row
        except BaseException as error:
            failures.append((user, error))

    for user in pools:
        with pools[user].connection() as conn:
            conn.execute("DELETE FROM notes")
    threads = [threading.Thread(target=work, args=(user,)) for user in pools for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    for user in pools:
        with pools[user].connection() as conn:
            assert value(conn, "SELECT count(*) FROM notes") == 30
        pools[user].close()
    asyncio.run(async_pool())


async def async_pool():
    async def work(user):
        async with AsyncConnectionPool("", kwargs={"options": options(user)}, min_size=0, max_size=3, open=False) as pool:

            async def turn():
                async with pool.connection() as conn:
                    rows = await conn.execute("SELECT owner, current_setting('app.user_id') FROM notes")
                    assert set(await rows.fetchall()) == {(user, user)}

            await asyncio.gather(*[turn() for _ in range(10)])

    await asyncio.gather(*[work(user) for user in CONTEXTS])


carry_out(globals())
