// Not run: held to the types by tsc.
import { BulkheadSocket } from "../bulkhead-socket.js";

const socket = new BulkheadSocket(new URL("ws://127.0.0.1/room"), {
  protocols: "chat",
  token: async () => "token",
  WebSocket,
  maxBuffered: 1,
  backoff: { first: 1, most: 2 },
});
socket.onlost = ({ arrived, pending }) => socket.send(`${arrived ?? "?"} ${pending.length}`);
socket.addEventListener("message", ({ data }) => socket.send(data));
socket.addEventListener("close", ({ code, reason }) => console.log(code satisfies number, reason satisfies string));
socket.send(new Uint8Array(3));
const state: 0 | 1 | 2 | 3 = socket.readyState;
console.log(state, await socket.renew());
// @ts-expect-error: a number is no message.
socket.send(1);
// @ts-expect-error: there is no such option.
new BulkheadSocket("ws://127.0.0.1", { tokens: [] });
