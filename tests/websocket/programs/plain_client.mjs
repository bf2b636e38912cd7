// The JavaScript client where nothing resumes: an echo, a loss, an echo again; and a refusal, after which it does not come back.
//
// Usage: plain_client.mjs URL USER
import { once } from "node:events";
import { createRequire } from "node:module";
import { BulkheadSocket } from "../../../clients/javascript/bulkhead-socket.js";

const { WebSocket } = createRequire(import.meta.url)("ws");
const [url, user] = process.argv.slice(2);
const options = { WebSocket, backoff: { first: 50, most: 200 } };
const socket = new BulkheadSocket(url, { ...options, token: () => user });
const lost = once(socket, "lost");

async function echo(message) {
  const heard = once(socket, "message");
  socket.send(message);
  const [{ data }] = await heard;
  const same = typeof data === "string" ? data === message : Buffer.from(data).equals(Buffer.from(message));
  if (!same) throw new Error(`${message} came back as ${data}`);
}

// Before it is open: held until it is.
await echo("first");
if (socket.resumable || socket.protocol !== "") throw new Error(`${socket.resumable} ${socket.protocol}`);
const [{ reason }] = await lost;
// Not escaped: nobody would take the prefix away.
await echo(Uint8Array.of(0xf5, 0x62, 0x6b, 0x31, 2));
socket.close();
const nobody = new BulkheadSocket(url, options);
const [{ code, reason: refusal }] = await once(nobody, "close");
console.log("well", reason, code, /\d+/.exec(refusal)[0]);
