"""What an application does with SQLAlchemy: an engine with a pool over psycopg, and asyncio over psycopg and over asyncpg."""

import asyncio
import datetime
import decimal
import functools
import os
import threading
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from checks import CONTEXTS, carry_out, fails, options

E = os.environ


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    owner: Mapped[str]
    body: Mapped[str]


class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]


def url(driver):
    return sa.URL.create(f"postgresql+{driver}", E["PGUSER"], host=E["PGHOST"], port=int(E["PGPORT"]), database=E["PGDATABASE"])


@functools.cache
def engine(user="alice", **more):
    return sa.create_engine(url("psycopg"), connect_args={"options": options(user), **more}, pool_size=3, pool_pre_ping=True)


def async_engine(driver, user):
    how = {"options": options(user)} if driver == "psycopg" else {"server_settings": {"options": options(user)}, "ssl": False}
    return create_async_engine(url(driver), connect_args=how, pool_size=3, pool_pre_ping=True)


def connects():
    with engine().connect() as alice:
        assert alice.scalar(sa.text("SELECT current_setting('app.user_id')")) == "alice"
        assert sa.inspect(alice).has_table("notes")
    forged = sa.create_engine(url("psycopg"), connect_args={"options": "-c bulkhead.context=forged"})
    fails(sa.exc.OperationalError, forged.connect)


def queries():
    with Session(engine()) as session:
        things = session.scalars(sa.select(Thing).where(Thing.id <= 3).order_by(Thing.id)).all()
        assert things[2].name == "thing 3"
        parts = session.scalars(sa.select(Thing).execution_options(yield_per=7)).partitions()
        assert sum(len(part) for part in parts) == 100


def prepared():
    alice = engine(prepare_threshold=1)
    for turn in range(20):
        with alice.connect() as conn:
            assert conn.scalar(sa.select(sa.cast(turn, sa.Integer) + 1)) == turn + 1


def transactions():
    alice = engine()
    with Session(alice) as session:
        before = session.scalar(sa.select(sa.func.count(Note.id)))
        session.add(Note(owner="alice", body="kept"))
        session.flush()
        with session.begin_nested() as savepoint:
            session.add(Note(owner="alice", body="lost"))
            session.flush()
            savepoint.rollback()
        session.commit()
        session.add(Note(owner="alice", body="lost"))
        session.flush()
        session.rollback()
        assert session.scalar(sa.select(sa.func.count(Note.id))) == before + 1
    serial = alice.execution_options(isolation_level="SERIALIZABLE", postgresql_readonly=True)
    with serial.connect() as conn:
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "serializable"
    with alice.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
        conn.execute(sa.text("VACUUM gate"))
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "read committed"


def pipeline():
    """What SQLAlchemy makes of many rows: one INSERT of many VALUES, and psycopg's `executemany`."""
    with engine().begin() as alice:
        rows = [{"id": 20_000 + n, "name": "x" * (n % 99)} for n in range(3000)]
        assert len(alice.execute(sa.insert(Thing).returning(Thing.id), rows).all()) == 3000
        alice.execute(sa.update(Thing.__table__).where(Thing.id == sa.bindparam("one")).values(name="y"), [{"one": 20_000}, {"one": 20_001}])
        assert alice.execute(sa.delete(Thing).where(Thing.id >= 20_000)).rowcount == 3000


def copies():
    raw = engine().raw_connection()
    with raw.cursor().copy("COPY things FROM STDIN") as copy:
        copy.write_row((10_000, "x"))
    with raw.cursor().copy("COPY (SELECT id FROM things WHERE id >= 10000) TO STDOUT") as copy:
        assert list(copy.rows()) == [("10000",)]
    raw.rollback()
    raw.close()


def listens():
    alice = engine().execution_options(isolation_level="AUTOCOMMIT")
    with alice.connect() as listener, alice.connect() as speaker:
        listener.execute(sa.text("LISTEN news"))
        speaker.execute(sa.text("SELECT pg_notify('news', 'hello')"))
        heard = next(listener.connection.dbapi_connection.notifies(timeout=10))
        assert heard.payload == "hello"


def cancels():
    alice = engine()
    with alice.connect() as conn, alice.connect() as watcher:
        caught = []
        sleep = sa.text("SELECT pg_sleep(30)")
        sleeper = threading.Thread(target=lambda: caught.append(fails(sa.exc.OperationalError, lambda: conn.execute(sleep))))
        sleeper.start()
        asleep = sa.text("""SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'""")
        while watcher.scalar(asleep) == 0:
            watcher.rollback()
        conn.connection.dbapi_connection.cancel_safe()
        sleeper.join()
        assert caught[0].orig.sqlstate == "57014"
        conn.rollback()
        assert conn.scalar(sa.text("SELECT 1")) == 1


def errors():
    with Session(engine()) as session:
        for _ in range(3):
            session.add(Thing(id=1, name="again"))
            fails(sa.exc.IntegrityError, session.flush)
            fails(sa.exc.PendingRollbackError, lambda: session.scalar(sa.text("SELECT 1")))
            session.rollback()
            session.add(Note(owner="bob", body="stolen"))
            assert fails(sa.exc.ProgrammingError, session.flush).orig.sqlstate == "42501"
            session.rollback()
        assert session.scalar(sa.text("SELECT 1")) == 1


def binary():
    given = {
        "b": (postgresql.BYTEA, bytes(range(256))),
        "t": (sa.DateTime(timezone=True), datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, datetime.timezone.utc)),
        "n": (sa.Numeric, decimal.Decimal("-12345678.90123")),
        "u": (sa.Uuid, uuid.UUID(int=1 << 120)),
        "l": (postgresql.ARRAY(sa.Integer), [1, -2, 2**31 - 1]),
        "j": (postgresql.JSONB, {"ä": [1, None]}),
        "f": (sa.Double, float("-inf")),
    }
    asked = sa.select(*[sa.cast(sa.bindparam(name, value, type_), type_).label(name) for name, (type_, value) in given.items()])
    wanted = {name: value for name, (_, value) in given.items()}
    with engine().connect() as alice:
        assert dict(alice.execute(asked).mappings().one()) == wanted

    async def over(driver):
        async with async_engine(driver, "alice").connect() as alice:
            assert dict((await alice.execute(asked)).mappings().one()) == wanted

    asyncio.run(over("asyncpg"))


def big_rows():
    with engine().connect() as alice:
        long = alice.scalar(sa.text("SELECT repeat('long ', 4000000)"))
        assert alice.scalar(sa.text("SELECT length(CAST(:long AS text))"), {"long": long}) == 20_000_000
        rows = alice.execution_options(stream_results=True).execute(sa.text("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n"))
        assert sum(n for n, _ in rows) == 5_000_050_000


def pool():
    """A pool for each user, and all work at once, with threads and with asyncio: a row that anybody reads is theirs."""
    engine().dispose()
    engine(prepare_threshold=1).dispose()
    engines = {user: engine(user) for user in CONTEXTS}
    failures = []

    def work(user):
        try:
            for _ in range(10):
                with Session(engines[user]) as session:
                    session.add(Note(owner=user, body="x"))
                    session.commit()
                    for row in session.execute(sa.select(Note.owner, sa.func.current_setting("app.user_id"))):
                        assert tuple(row) == (user, user), row
        except BaseException as error:
            failures.append((user, error))

    for each in engines.values():
        with each.begin() as conn:
            conn.execute(sa.delete(Note))
    threads = [threading.Thread(target=work, args=(user,)) for user in engines for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    for each in engines.values():
        with each.connect() as conn:
            assert conn.scalar(sa.select(sa.func.count(Note.id))) == 30
        each.dispose()
    for driver in ("psycopg", "asyncpg"):
        asyncio.run(async_pools(driver))


async def async_pools(driver):
    async def work(user):
        engine = async_engine(driver, user)

        async def turn():
            async with AsyncSession(engine) as session:
                session.add(Note(owner=user, body="x"))
                await session.commit()
                rows = await session.execute(sa.select(Note.owner, sa.func.current_setting("app.user_id")))
                assert {tuple(row) for row in rows} == {(user, user)}

        await asyncio.gather(*[turn() for _ in range(10)])
        await engine.dispose()

    await asyncio.gather(*[work(user) for user in CONTEXTS])


carry_out(globals())
