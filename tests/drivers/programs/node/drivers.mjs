// What an application does with node-postgres and its pool, each check on its own; the test reads the lines "ok NAME".
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline as flow } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import copy from 'pg-copy-streams'
import Cursor from 'pg-cursor'

const contexts = JSON.parse(process.env.CONTEXTS)

/** The start-up options that say who is calling. */
const options = user => `-c bulkhead.context=${contexts[user]}`

/** Runs `work` with a connection of `user`'s. */
async function as(user, work, more = {}) {
  const client = new pg.Client({ options: options(user), ...more })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

const value = async (client, sql, values) => Object.values((await client.query(sql, values)).rows[0])[0]
const fails = (promise, code) => assert.rejects(promise, error => (assert.equal(error.code, code, String(error)), true))

/** Many queries that nobody waits for, then an error between two of them. */
async function around(alice) {
  const queued = Array.from({ length: 200 }, (_, n) => value(alice, 'SELECT $1::int * 2', [n]))
  assert.deepEqual(await Promise.all(queued), Array.from({ length: 200 }, (_, n) => n * 2))
  const ended = await Promise.allSettled(['SELECT 1 AS n', 'SELECT 1 / 0', 'SELECT 2 AS n'].map(sql => alice.query(sql)))
  assert.deepEqual(ended.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled'])
}

const checks = {
  connect: () =>
    as('alice', async alice => {
      assert.equal(await value(alice, `SELECT current_setting('app.user_id')`), 'alice')
      await fails(new pg.Client({ options: '-c bulkhead.context=forged' }).connect(), '28000')
    }),

  queries: () =>
    as('alice', async alice => {
      const { rows } = await alice.query('SELECT id, name FROM things WHERE id <= $1 ORDER BY id', [3])
      assert.deepEqual(rows.at(-1), { id: 3, name: 'thing 3' })
      const several = await alice.query('SELECT 1 AS n; SELECT 2 AS n')
      assert.deepEqual(several.map(result => result.rows[0].n), [1, 2])
      assert.deepEqual((await alice.query({ text: 'SELECT 1, 2', rowMode: 'array' })).rows, [[1, 2]])
      assert.equal((await alice.query('')).rows.length, 0)
    }),

  prepared: () =>
    as('alice', one =>
      as('alice', async two => {
        for (let turn = 0; turn < 20; turn++) {
          const sum = await one.query({ name: 'mine', text: 'SELECT $1::int + 1 AS n', values: [turn] })
          assert.equal(sum.rows[0].n, turn + 1)
          const text = await two.query({ name: 'mine', text: `SELECT $1 || '!' AS t`, values: [String(turn)] })
          assert.equal(text.rows[0].t, `${turn}!`)
        }
      }),
    ),

  transactions: () =>
    as('alice', async alice => {
      const before = Number(await value(alice, 'SELECT count(*) FROM notes'))
      await alice.query('BEGIN')
      await alice.query(`INSERT INTO notes (owner, body) VALUES ('alice', 'kept')`)
      await alice.query('SAVEPOINT here')
      await fails(alice.query('SELECT 1 / 0'), '22012')
      await alice.query('ROLLBACK TO here')
      await alice.query('COMMIT')
      await alice.query('BEGIN')
      await alice.query(`INSERT INTO notes (owner, body) VALUES ('alice', 'lost')`)
      await alice.query('ROLLBACK')
      assert.equal(Number(await value(alice, 'SELECT count(*) FROM notes')), before + 1)
    }),

  // The driver sends the next query when the one before has been answered, unless it is told to pipeline.
  pipeline: async () => {
    for (const pipeline of [false, true]) {
      await as('alice', around, { pipeline })
    }
    await as('alice', async alice => {
      const cursor = alice.query(new Cursor('SELECT n FROM generate_series(1, 1000) n'))
      assert.equal((await cursor.read(400)).length, 400)
      assert.equal((await cursor.read(1000)).length, 600)
      await cursor.close()
    })
  },

  copy: () =>
    as('alice', async alice => {
      const lines = Array.from({ length: 5000 }, (_, n) => `${10000 + n}\t${'x'.repeat(n % 100)}\n`)
      await flow(Readable.from(lines), alice.query(copy.from('COPY things FROM STDIN')))
      const out = alice.query(copy.to('COPY (SELECT id FROM things WHERE id >= 10000 ORDER BY id) TO STDOUT'))
      assert.equal((await buffer(out)).toString().split('\n').length, 5001)
      await fails(flow(Readable.from(['no number\tx\n']), alice.query(copy.from('COPY things FROM STDIN'))), '22P02')
      await alice.query('DELETE FROM things WHERE id >= 10000')
    }),

  listen: () =>
    as('alice', listener =>
      as('alice', async speaker => {
        const heard = new Promise(resolve => listener.once('notification', resolve))
        await listener.query('LISTEN news')
        await speaker.query(`SELECT pg_notify('news', $1)`, ['hello'])
        assert.equal((await heard).payload, 'hello')
        await listener.query('UNLISTEN *')
        assert.equal(await value(listener, 'SELECT 1'), 1)
      }),
    ),

  cancel: () =>
    as('alice', alice =>
      as('alice', async watcher => {
        const ended = fails(alice.query('SELECT pg_sleep(30)'), '57014')
        const asleep = `SELECT count(*) FROM pg_stat_activity
          WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'`
        while ((await value(watcher, asleep)) === '0') await pause(5)
        // What the driver does itself behind `query_timeout` and psql behind Ctrl-C: a connection that says nothing but the key.
        const messenger = new pg.Client({ options: options('alice') })
        messenger.cancel(alice, alice.activeQuery ?? alice._activeQuery)
        await ended
        assert.equal(await value(alice, 'SELECT 1'), 1)
      }),
    ),

  errors: () =>
    as('alice', async alice => {
      for (let turn = 0; turn < 3; turn++) {
        await fails(alice.query(`INSERT INTO things VALUES ($1, 'again')`, [1]), '23505')
        await assert.rejects(alice.query('SELECT refuse()'), { code: 'BH042', detail: 'because', hint: 'ask again' })
        await alice.query('BEGIN')
        await fails(alice.query('no SQL'), '42601')
        await fails(alice.query('SELECT 1'), '25P02')
        await alice.query('ROLLBACK')
        await fails(alice.query(`INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')`), '42501')
        await fails(alice.query({ name: `broken ${turn}`, text: 'SELECT $1::int', values: ['no number'] }), '22P02')
      }
      assert.equal(await value(alice, 'SELECT 1'), 1)
    }),

  binary: () =>
    as('alice', async alice => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n))
      const moment = new Date('2026-02-28T23:59:59.123Z')
      const { rows } = await alice.query({
        text: 'SELECT $1::bytea AS b, $2::timestamptz AS t, $3::int[] AS l, $4::text AS n, $5::jsonb AS j, $6::float8 AS f',
        values: [bytes, moment, [1, -2, 2147483647], null, { ä: [1] }, -Infinity],
      })
      assert.deepEqual(rows, [{ b: bytes, t: moment, l: [1, -2, 2147483647], n: null, j: { ä: [1] }, f: -Infinity }])
      const binary = await alice.query({ text: 'SELECT $1::int AS n, true AS t', values: [7], binary: true })
      assert.deepEqual(binary.rows, [{ n: 7, t: true }])
    }),

  'big rows': () =>
    as('alice', async alice => {
      const long = await value(alice, `SELECT repeat('long ', 4000000)`)
      assert.equal(long.length, 20_000_000)
      assert.equal(await value(alice, 'SELECT length($1::text)', [long]), long.length)
      const { rows } = await alice.query(`SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n`)
      assert.equal(rows.reduce((sum, { n }) => sum + n, 0), 5_000_050_000)
    }),

  // A pool for each user, and all work at once: a row that anybody reads is theirs.
  pool: async () => {
    const work = async user => {
      const pool = new pg.Pool({ options: options(user), max: 3 })
      await pool.query('DELETE FROM notes')
      const worker = async number => {
        for (let turn = 0; turn < 10; turn++) {
          const client = await pool.connect()
          await client.query('BEGIN')
          await client.query('INSERT INTO notes (owner, body) VALUES ($1, $2)', [user, `${number} ${turn}`])
          await client.query('COMMIT')
          client.release()
          const { rows } = await pool.query(`SELECT owner, current_setting('app.user_id') AS set FROM notes`)
          for (const row of rows) assert.deepEqual(row, { owner: user, set: user })
        }
      }
      await Promise.all([1, 2, 3].map(worker))
      assert.equal(await value(pool, 'SELECT count(*) FROM notes'), '30')
      await pool.end()
    }
    await Promise.all(Object.keys(contexts).map(work))
  },
}

for (const [name, check] of Object.entries(checks)) {
  await check()
  console.log('ok', name)
}
