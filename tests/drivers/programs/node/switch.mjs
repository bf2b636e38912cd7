// A pool of node-postgres whose transactions say whose they are: users switch at random, and every row is the asking user's.
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
// Each user has one row in notes.
import assert from 'node:assert/strict'
import pg from 'pg'

const contexts = JSON.parse(process.env.CONTEXTS)
const users = Object.keys(contexts)
const pool = new pg.Pool({ max: 4 })
const own = `SELECT owner, current_setting('app.user_id') AS set FROM notes`

let state = 6455
/** A number below `sides`, the same ones each time. */
const dice = sides => (state = (state * 48271) % 2147483647) % sides

const right = (user, { rows }) => assert.deepEqual(rows, [{ owner: user, set: user }])

/** Does work on a connection of the pool's, and gives it back as applications do. */
async function checkout(work) {
  const client = await pool.connect()
  try {
    return await work(client)
  } finally {
    client.release()
  }
}

/** Says whose the work is in a transaction, which holds until its end. */
const inTransaction = user =>
  checkout(async client => {
    await client.query('BEGIN')
    await client.query(`SELECT set_config('bulkhead.context', $1, true)`, [contexts[user]])
    right(user, await client.query(own))
    right(user, await client.query({ name: 'own', text: `${own} WHERE body <> $1`, values: ['x'] }))
    await client.query(dice(2) ? 'COMMIT' : 'ROLLBACK')
  })

/** Says it outside of one, which holds for the next statement. */
const alone = user =>
  checkout(async client => {
    await client.query(`SET bulkhead.context = '${contexts[user]}'`)
    right(user, await client.query(own))
  })

/** Says nothing: an error, and never the rows of whoever came before. */
const forgets = () => checkout(client => assert.rejects(client.query(own), { code: '28000' }))

async function worker() {
  for (let turn = 0; turn < 250; turn++) {
    const user = users[dice(users.length)]
    await (dice(2) ? inTransaction(user) : alone(user))
    await forgets()
  }
}

await Promise.all([1, 2, 3, 4].map(worker))
await pool.end()
console.log('done')
