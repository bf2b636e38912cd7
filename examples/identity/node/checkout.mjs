// Requests share a pool, and each transaction begins by saying whose it is.
//
// node-postgres with its own pool. Each line of the input is one request's token.
import { text } from 'node:stream/consumers'
import pg from 'pg'

const pool = new pg.Pool({ max: 4 }) // where to: PGHOST, PGPORT, PGUSER, PGDATABASE

async function as(token, work) {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query(`SELECT set_config('bulkhead.context', $1, true)`, [token])
    const done = await work(client)
    await client.query('COMMIT')
    return done
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

const handle = token =>
  as(token, async client => {
    await client.query(`INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')`)
    const { rows } = await client.query('SELECT DISTINCT owner FROM notes')
    return rows.map(row => row.owner)
  })

const tokens = (await text(process.stdin)).trim().split('\n')
for (const owners of await Promise.all(tokens.map(handle))) console.log(...owners)
await pool.end()
