//! Pools as they are, switching users on their connections at random: every row is the asking user's, and who forgets to say so gets
//! an error.

use bulkhead_tests::stage::Stage;

use super::{setting, stage_with_notes};

/// What every script begins with: an order of users that is the same each time.
const DICE: &str = "
import random
dice = random.Random(6455)
users = ['alice', 'bob'] + [f'user {n}' for n in range(18)]
OWN = 'SELECT owner FROM notes'
def right(user, rows):
    owners = [row[0] for row in rows]
    expected = [user] if user in ('alice', 'bob') else []
    assert owners == expected, (user, owners)
";

async fn runs(stage: &Stage, script: &str) {
    let said = stage.psycopg("nobody", &format!("{DICE}{script}")).await;
    assert_eq!(said.well(), "done\n");
}

#[tokio::test]
async fn sqlalchemy_with_psycopg_switches_users_a_thousand_times() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let script = "
import os, sqlalchemy as sa
from concurrent.futures import ThreadPoolExecutor
del os.environ['PGOPTIONS']
engine = sa.create_engine('postgresql+psycopg://', pool_size=4, max_overflow=0, pool_pre_ping=True)
def work(user):
    with engine.begin() as connection:
        connection.execute(sa.text(\"SELECT set_config('app.user_id', :user, true)\"), {'user': user})
        right(user, connection.execute(sa.text(OWN)))
    with engine.connect() as connection:
        try:
            connection.execute(sa.text(OWN))
            raise SystemExit('rows of nobody')
        except sa.exc.DBAPIError as error:
            assert error.orig.sqlstate == '28000', error
with ThreadPoolExecutor(4) as pool:
    list(pool.map(work, dice.choices(users, k=1000)))
print('done')
";
    runs(&stage, script).await;
}

#[tokio::test]
async fn sqlalchemys_asyncio_with_asyncpg_switches_users_a_thousand_times() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let script = "
import asyncio, os, sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
del os.environ['PGOPTIONS']
url = f\"postgresql+asyncpg://{os.environ['PGUSER']}:{os.environ['PGPASSWORD']}@127.0.0.1:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}\"
async def main():
    engine = create_async_engine(url, pool_size=4, max_overflow=0, pool_pre_ping=True)
    async def work(user):
        async with engine.begin() as connection:
            await connection.execute(sa.text(\"SELECT set_config('app.user_id', :user, true)\"), {'user': user})
            right(user, await connection.execute(sa.text(OWN)))
        async with engine.connect() as connection:
            try:
                await connection.execute(sa.text(OWN))
                raise SystemExit('rows of nobody')
            except sa.exc.DBAPIError as error:
                assert '28000' in str(error.orig.sqlstate), error
    for at in range(0, 1000, 50):
        await asyncio.gather(*(work(user) for user in dice.choices(users, k=50)))
    await engine.dispose()
asyncio.run(main())
print('done')
";
    runs(&stage, script).await;
}

#[tokio::test]
async fn asyncpgs_own_pool_switches_users_a_thousand_times() {
    let stage = stage_with_notes(setting("Connection")).await;
    let script = "
import asyncio, asyncpg, os
del os.environ['PGOPTIONS']
async def main():
    pool = await asyncpg.create_pool(host='127.0.0.1', port=os.environ['PGPORT'], user=os.environ['PGUSER'],
        database=os.environ['PGDATABASE'], ssl=False, min_size=4, max_size=4)
    async def work(user):
        async with pool.acquire() as connection:
            await connection.execute(\"SELECT set_config('app.user_id', $1, false)\", user)
            right(user, await connection.fetch(OWN))
            async with connection.transaction():
                right(user, await connection.fetch(OWN + ' WHERE body <> $1', 'x'))
        # The pool has said RESET ALL.
        async with pool.acquire() as connection:
            try:
                await connection.fetch(OWN)
                raise SystemExit('rows of nobody')
            except asyncpg.InvalidAuthorizationSpecificationError:
                pass
    for at in range(0, 1000, 50):
        await asyncio.gather(*(work(user) for user in dice.choices(users, k=50)))
    await pool.close()
asyncio.run(main())
print('done')
";
    runs(&stage, script).await;
}

#[tokio::test]
async fn psycopgs_pool_switches_users_a_thousand_times() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let script = "
import os
from concurrent.futures import ThreadPoolExecutor
from psycopg_pool import ConnectionPool
del os.environ['PGOPTIONS']
with ConnectionPool('', min_size=4, max_size=4, check=ConnectionPool.check_connection) as pool:
    def work(user):
        with pool.connection() as connection:
            connection.execute(\"SELECT set_config('app.user_id', %s, true)\", (user,))
            right(user, connection.execute(OWN))
            right(user, connection.execute(OWN + ' WHERE body <> %s', ('x',)))
        try:
            with pool.connection() as connection:
                connection.execute(OWN)
                raise SystemExit('rows of nobody')
        except psycopg.errors.InvalidAuthorizationSpecification:
            pass
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, dice.choices(users, k=1000)))
print('done')
";
    runs(&stage, script).await;
}
