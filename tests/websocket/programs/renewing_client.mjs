// The JavaScript client whose token expires: it brings the next one in band, and keeps its connection.
//
// Usage: renewing_client.mjs URL TOKEN TOKEN SECONDS
import { once } from "node:events";
import { createRequire } from "node:module";
import { BulkheadSocket } from "../../../clients/javascript/bulkhead-socket.js";

const { WebSocket } = createRequire(import.meta.url)("ws");
const [url, first, next, seconds] = process.argv.slice(2);
const tokens = [first, next];
const socket = new BulkheadSocket(url, { WebSocket, token: () => tokens.shift() });
for (const type of ["away", "error", "lost", "close"]) socket.addEventListener(type, ({ reason, message }) => console.log(type, reason ?? message));
await once(socket, "open");
await new Promise((done) => setTimeout(done, seconds * 1000));
socket.send("still here");
const [{ data }] = await once(socket, "message");
console.log("well", data, tokens.length);
process.exit();
