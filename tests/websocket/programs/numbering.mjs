// The other side of numbering_app.py, on the JavaScript client, in Node and in browsers.

const PREFIX = [0xf5, 0x62, 0x6b, 0x31];

function numbered(number) {
  if (number % 2 === 0) return String(number);
  const tail = [...` ${number}`].map((letter) => letter.charCodeAt(0));
  return Uint8Array.of(...PREFIX.slice(0, Math.floor(number / 2) % 5), 0xf5, ...tail);
}

const shown = (message) => (typeof message === "string" ? message : [...new Uint8Array(message)].join(" "));

/**
 * Sends and hears numbers until the socket has been resumed `resumes` times, then ends: what was seen, in numbers.
 * Rejects at the first message that is missing, doubled or out of order.
 */
export function number(BulkheadSocket, url, options, resumes) {
  const seen = { resumed: 0, sent: 0, heard: 0, opened: 0, protocol: "" };
  return new Promise((resolve, reject) => {
    const socket = new BulkheadSocket(url, { backoff: { first: 4, most: 50 }, protocols: ["other", "numbers"], ...options });
    const fail = (why) => reject(new Error(`${why}; so far ${JSON.stringify(seen)}`));
    socket.onopen = () => {
      seen.opened += 1;
      seen.protocol = socket.protocol;
      const talking = setInterval(() => {
        if (seen.resumed >= resumes) {
          clearInterval(talking);
          socket.send("end");
        } else socket.send(numbered(seen.sent++));
      }, 1);
    };
    socket.onresumed = () => (seen.resumed += 1);
    socket.onlost = ({ reason, arrived }) => fail(`lost: ${reason}, ${arrived} arrived`);
    socket.onerror = ({ message }) => fail(message);
    socket.onclose = ({ code, reason }) => fail(`closed with ${code} ${reason}`);
    socket.onmessage = ({ data }) => {
      if (typeof data === "string" && data.startsWith("end ")) {
        if (data !== `end ${seen.sent} ${seen.heard}`) fail(`the application says ${data}`);
        // Its end may be cut like everything else.
        socket.onclose = () => resolve(seen);
        return socket.close();
      }
      if (shown(data) !== shown(numbered(seen.heard))) fail(`${shown(data)} came`);
      seen.heard += 1;
    };
  });
}
