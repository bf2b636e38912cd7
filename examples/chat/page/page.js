// The page of the chat: whoever enters is believed (the example's policy trusts names), and the socket does the rest.
import { BulkheadSocket } from "./bulkhead-socket.js";

const [messages, state, join, say] = ["messages", "state", "join", "say"].map((id) => document.getElementById(id));
let me, socket;

function show(kind, body, user) {
  const line = document.createElement("li");
  line.className = kind;
  if (user) {
    const name = document.createElement("b");
    name.textContent = user;
    // One colour a name, the same on every page.
    const hue = [...user].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
    name.style.color = `hsl(${hue} 55% 38%)`;
    line.append(name);
  }
  const text = document.createElement("span");
  text.textContent = body;
  line.append(text);
  messages.append(line);
  line.scrollIntoView();
}

function tell(which, text) {
  state.dataset.state = which;
  state.textContent = text;
}

function enter(user) {
  me = user;
  tell("away", "connecting …");
  const url = new URL("room", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new BulkheadSocket(url, { token: () => user });
  socket.onopen = () => {
    tell("here", `here as ${user}`);
    show("note", socket.resumable ? "You are in. Pull the plug if you like: nothing will be missing." : "You are in.");
  };
  socket.onaway = () => tell("away", "away, coming back …");
  socket.onresumed = () => tell("here", `here as ${user}`);
  socket.onlost = ({ arrived, pending }) => {
    tell("here", `here as ${user}`);
    show("note", `You were away for too long; something may be missing. ${arrived ?? "An unknown number"} of your messages arrived.`);
    for (const message of pending) show("note", `Not sent again: ${message}`);
  };
  socket.onclose = ({ code, reason }) => {
    tell("out", "not here");
    show("note", `The socket has ended: ${code} ${reason}`);
    [join.hidden, say.hidden] = [false, true];
  };
  socket.onmessage = ({ data }) => {
    const { type, user, body } = JSON.parse(data);
    show(type === "message" ? (user === me ? "mine" : "theirs") : "note", body, type === "message" && user !== me ? user : undefined);
  };
}

join.addEventListener("submit", (event) => {
  event.preventDefault();
  enter(join.elements.user.value);
  [join.hidden, say.hidden] = [true, false];
  say.elements.body.focus();
});
say.addEventListener("submit", (event) => {
  event.preventDefault();
  socket.send(say.elements.body.value);
  say.reset();
});

// …/#alice enters as alice.
if (location.hash.length > 1) {
  join.elements.user.value = decodeURIComponent(location.hash.slice(1));
  join.requestSubmit();
}
