// A client on Node's `ws` in front of an echo: every kind of message, with compression and without.
//
// Usage: client.cjs URL USER
const assert = require("node:assert");
const { once } = require("node:events");
const { WebSocket } = require("ws");

const [url, user] = process.argv.slice(2);
const SIZES = [0, 1, 125, 126, 127, 65535, 65536, 300000];

async function talk(perMessageDeflate) {
  const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${user}` }, perMessageDeflate });
  const answers = [];
  let wake = () => {};
  socket.on("message", (data, isBinary) => {
    answers.push(isBinary ? data : data.toString());
    wake();
  });
  const answer = async () => {
    while (answers.length === 0) await new Promise((resolve) => (wake = resolve));
    return answers.shift();
  };
  await once(socket, "open");
  for (const size of SIZES) {
    for (const message of ["ü".repeat(size / 2), Buffer.alloc(size, "0123456789")]) {
      socket.send(message);
      assert.deepStrictEqual(await answer(), message);
    }
  }
  socket.send("one ", { fin: false });
  socket.ping("between");
  socket.send("two", { fin: true });
  await once(socket, "pong");
  assert.strictEqual(await answer(), "one two");
  for (let number = 0; number < 200; number++) socket.send(`${user} ${number}`);
  for (let number = 0; number < 200; number++) assert.strictEqual(await answer(), `${user} ${number}`);
  const extensions = socket.extensions;
  socket.close(4123, "that was all");
  const [code] = await once(socket, "close");
  assert.strictEqual(code, 4123);
  return extensions;
}

(async () => {
  const plain = await talk(false);
  const deflated = await talk({ threshold: 0 });
  console.log("well", JSON.stringify(plain), JSON.stringify(deflated));
})();
