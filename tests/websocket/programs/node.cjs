// An application on Node's `ws`: echoes; at /headers it says first what it was asked.
//
// Usage: node.cjs PORT FILE. PORT 0 lets the kernel choose; the port is written into FILE once it listens.
const fs = require("node:fs");
const { WebSocketServer } = require("ws");

const [port, file] = process.argv.slice(2);
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  backlog: 1024,
  maxPayload: 0,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
});
server.on("connection", (socket, request) => {
  if (request.url.startsWith("/headers")) {
    const headers = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      headers.push([request.rawHeaders[at], request.rawHeaders[at + 1]]);
    }
    socket.send(JSON.stringify({ path: request.url, headers }));
  }
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.on("listening", () => {
  fs.writeFileSync(file + ".new", String(server.address().port));
  fs.renameSync(file + ".new", file);
});
