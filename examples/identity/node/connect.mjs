// Each request has a connection of its own, which says at connect whose it is; the sidecar is the pool behind it.
//
// node-postgres. Each line of the input is one request's token.
import { text } from 'node:stream/consumers'
import pg from 'pg'

async function as(token, work) {
  const client = new pg.Client({ options: `-c bulkhead.context=${token}` }) // where to: PGHOST, PGPORT, PGUSER, PGDATABASE
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
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
