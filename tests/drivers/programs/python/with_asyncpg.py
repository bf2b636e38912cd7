"""What an application does with asyncpg and its pool."""

import asyncio
import contextlib
import datetime
import decimal
import io
import uuid

import asyncpg

from checks import CONTEXTS, carry_out, options


def settings(user):
    """asyncpg has no `options`: its server settings are start-up parameters, and `options` is one of them."""
    return {"options": options(user)}


@contextlib.asynccontextmanager
async def connection(user="alice", **more):
    conn = await asyncpg.connect(server_settings=settings(user), ssl=False, **more)
    try:
        yield conn
    finally:
        await conn.close()


async def fails(error, work):
    try:
        await work
    except error as caught:
        return caught
    raise AssertionError(f"{error} was expected")


async def connects():
    async with connection() as alice:
        assert await alice.fetchval("SELECT current_setting('app.user_id')") == "alice"
    forged = asyncpg.connect(server_settings={"options": "-c bulkhead.context=forged"}, ssl=False)
    await fails(asyncpg.InvalidAuthorizationSpecificationError, forged)


async def queries():
    async with connection() as alice:
        rows = await alice.fetch("SELECT id, name FROM things WHERE id <= $1 ORDER BY id", 3)
        assert rows[2]["name"] == "thing 3"
        assert await alice.execute("SELECT 1; SELECT 2") == "SELECT 1"
        async with alice.transaction():
            seen = [record["n"] async for record in alice.cursor("SELECT n FROM generate_series(1, 1000) n", prefetch=77)]
        assert len(seen) == 1000


async def prepared():
    async with connection() as one, connection() as two:
        sums = await one.prepare("SELECT $1::int + 1")
        texts = await two.prepare("SELECT $1::text || '!'")
        for turn in range(20):
            assert await sums.fetchval(turn) == turn + 1
            assert await texts.fetchval(str(turn)) == f"{turn}!"
        assert [a.type.name for a in sums.get_attributes()] == ["int4"]
    async with connection(statement_cache_size=0) as uncached:
        assert await uncached.fetchval("SELECT $1::int", 7) == 7


async def transactions():
    async with connection() as alice:
        before = await alice.fetchval("SELECT count(*) FROM notes")
        async with alice.transaction():
            await alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
            with contextlib.suppress(asyncpg.DivisionByZeroError):
                async with alice.transaction():
                    await alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
                    await alice.execute("SELECT 1 / 0")
        assert await alice.fetchval("SELECT count(*) FROM notes") == before + 1
        async with alice.transaction(isolation="serializable", readonly=True):
            theft = alice.execute("INSERT INTO notes (owner, body) VALUES ('alice', 'read only')")
            await fails(asyncpg.ReadOnlySQLTransactionError, theft)


async def pipeline():
    """asyncpg's own pipeline is `executemany`: batches without a wait between them."""
    async with connection() as alice:
        rows = [(20_000 + n, "x" * (n % 99)) for n in range(1000)]
        await alice.executemany("INSERT INTO things VALUES ($1, $2)", rows)
        got = await alice.fetchmany("INSERT INTO things VALUES ($1, 'y') RETURNING id", [(21_000,), (21_001,)])
        assert [row["id"] for row in got] == [21_000, 21_001]
        again = alice.executemany("INSERT INTO things VALUES ($1, 'z')", [(30_000,), (1,), (30_001,)])
        await fails(asyncpg.UniqueViolationError, again)
        assert await alice.fetchval("SELECT count(*) FROM things WHERE id >= 30000") == 0
        await alice.execute("DELETE FROM things WHERE id >= 20000")


async def copies():
    async with connection() as alice:
        records = [(10_000 + n, "x" * (n % 100)) for n in range(5000)]
        assert await alice.copy_records_to_table("things", records=records) == "COPY 5000"
        out = io.BytesIO()
        assert await alice.copy_from_query("SELECT id FROM things WHERE id >= $1", 10_000, output=out) == "COPY 5000"
        assert out.getvalue().count(b"\n") == 5000
        wrong = alice.copy_to_table("things", source=io.BytesIO(b"no number\tx\n"))
        await fails(asyncpg.InvalidTextRepresentationError, wrong)

        async def given_up():
            yield b"40000\tx\n"
            raise KeyError("given up")

        await fails(KeyError, alice.copy_to_table("things", source=given_up()))
        await alice.execute("DELETE FROM things WHERE id >= 10000")


async def listens():
    async with connection() as listener, connection() as speaker:
        heard = asyncio.get_running_loop().create_future()
        await listener.add_listener("news", lambda _conn, _pid, channel, payload: heard.set_result((channel, payload)))
        await speaker.execute("SELECT pg_notify('news', $1)", "hello")
        assert await asyncio.wait_for(heard, 10) == ("news", "hello")
        await listener.reset()
        assert await listener.fetchval("SELECT 1") == 1


async def cancels():
    async with connection() as alice, connection() as watcher:
        sleeper = asyncio.create_task(alice.execute("SELECT pg_sleep(30)"))
        asleep = """SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'"""
        while await watcher.fetchval(asleep) == 0:
            await asyncio.sleep(0.005)
        sleeper.cancel()
        await fails(asyncio.CancelledError, sleeper)
        assert await alice.fetchval("SELECT 1") == 1
        await fails(asyncio.TimeoutError, alice.execute("SELECT pg_sleep(30)", timeout=0.1))
        assert await alice.fetchval("SELECT 1") == 1


async def errors():
    async with connection() as alice:
        for _ in range(3):
            await fails(asyncpg.UniqueViolationError, alice.execute("INSERT INTO things VALUES ($1, 'again')", 1))
            refused = await fails(asyncpg.PostgresError, alice.execute("SELECT refuse()"))
            assert (refused.sqlstate, refused.hint) == ("BH042", "ask again")
            theft = alice.execute("INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')")
            await fails(asyncpg.InsufficientPrivilegeError, theft)
            await alice.execute("BEGIN")
            await fails(asyncpg.PostgresSyntaxError, alice.execute("no SQL"))
            await fails(asyncpg.InFailedSQLTransactionError, alice.execute("SELECT 1"))
            await alice.execute("ROLLBACK")
        complaints = []
        alice.add_log_listener(lambda _conn, message: complaints.append(message.message))
        await alice.execute("SELECT complain('loud')")
        await asyncio.sleep(0)
        assert complaints == ["complaint: loud"]
        # A column that changes its type under a cached statement: the driver prepares anew by itself.
        await alice.execute("CREATE TABLE shifting AS SELECT 7 AS a")
        assert await alice.fetchval("SELECT a FROM shifting") == 7
        async with connection() as other:
            await other.execute("ALTER TABLE shifting ALTER a TYPE text")
        assert await alice.fetchval("SELECT a FROM shifting") == "7"
        await alice.execute("DROP TABLE shifting")


async def binary():
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
    async with connection() as alice:
        row = await alice.fetchrow(
            "SELECT $1::bytea, $2::timestamptz, $3::numeric, $4::uuid, $5::int[], $6::text, $7::float8, $8::int8", *given
        )
        assert tuple(row.values()) == given
        await alice.execute("CREATE TYPE mood AS ENUM ('calm', 'wild')")
        assert await alice.fetchval("SELECT ARRAY['calm', 'wild']::mood[]") == ["calm", "wild"]
        await alice.execute("DROP TYPE mood")


async def big_rows():
    async with connection() as alice:
        long = await alice.fetchval("SELECT repeat('long ', 4000000)")
        assert len(long) == 20_000_000
        assert await alice.fetchval("SELECT length($1::text)", long) == len(long)
        rows = await alice.fetch("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n")
        assert sum(row["n"] for row in rows) == 5_000_050_000


async def pool():
    """A pool for each user, and all work at once: a row that anybody reads is theirs."""

    async def work(user):
        async with asyncpg.create_pool(server_settings=settings(user), ssl=False, min_size=0, max_size=3) as pool:
            await pool.execute("DELETE FROM notes")

            async def turn():
                async with pool.acquire() as conn:
                    async with conn.transaction():
                        await conn.execute("INSERT INTO notes (owner, body) VALUES ($1, 'x')", user)
                    for row in await conn.fetch("SELECT owner, current_setting('app.user_id') FROM notes"):
                        assert tuple(row.values()) == (user, user), row

            await asyncio.gather(*[turn() for _ in range(30)])
            assert await pool.fetchval("SELECT count(*) FROM notes") == 30

    await asyncio.gather(*[work(user) for user in CONTEXTS])


carry_out(globals())
