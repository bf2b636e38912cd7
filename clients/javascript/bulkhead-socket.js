// A WebSocket that outlives its connections: it comes back by itself, and behind a Bulkhead sidecar no message is lost or doubled on the
// way. Without dependencies, for browsers and Node. README.md says how to use it.

import { ACK, CREDENTIAL, FINAL, Outbox, RESUME, WELCOME, comesBack, control, delay, escape, expiry, offer, read, sizeOf } from "./protocol.js";

export class BulkheadSocket extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;

  readyState = 0;
  protocol = "";
  binaryType = "arraybuffer";
  #url;
  #options;
  #socket;
  #abandoned; // The connection before, where it was not known to have ended.
  #turn = 0; // Counts connections: what an older one still says is not heard.
  #attempt = 0;
  #status; // Of a refused handshake, where the WebSocket tells it (`ws` on Node does).
  #mode = "away"; // away │ greeting: a WELCOME is due │ resumable │ final: escapes, and is not resumed │ plain
  #session; // {token, received, buffer}: what a connection must know to take up the one before.
  #outbox = new Outbox();
  #owed = { messages: 0, bytes: 0 };
  #timers = {};
  #online = () => {
    if (this.#mode === "resumable" || this.#mode === "away") this.#connect();
  };

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { WebSocket: globalThis.WebSocket, protocols: [], maxBuffered: 1 << 20, backoff: { first: 500, most: 30_000 }, ...options };
    for (const type of ["open", "message", "resumed", "away", "lost", "error", "close"]) {
      this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    }
    // A network that is back: the old connection is dead, or will be soon, and a session may be taken over from it at any time.
    globalThis.addEventListener?.("online", this.#online);
    this.#connect();
  }

  get url() {
    return String(this.#url);
  }
  /** Bytes of own messages that are not known to have arrived. */
  get bufferedAmount() {
    return this.#outbox.bytes + (this.#mode === "plain" || this.#mode === "final" ? this.#socket.bufferedAmount : 0);
  }
  /** Whether a connection stands right now. */
  get connected() {
    return this.readyState === 1 && this.#mode !== "away" && this.#mode !== "greeting";
  }
  /** Whether what is sent and heard now survives the connection. */
  get resumable() {
    return this.#session !== undefined;
  }

  send(data) {
    if (this.readyState > 1) throw new Error("the socket is closed");
    if (ArrayBuffer.isView(data)) data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // A copy: it may have to go again, when the caller has long used the memory for something else.
    if (data instanceof ArrayBuffer || data instanceof Uint8Array) data = new Uint8Array(data).slice();
    else if (typeof data !== "string") throw new TypeError("send a string, an ArrayBuffer or a view of one");
    const size = sizeOf(data);
    const { maxBuffered } = this.#options;
    if (this.bufferedAmount + size > maxBuffered) throw new Error(`more than maxBuffered = ${maxBuffered} bytes would be waiting`);
    if (!this.connected || this.resumable) this.#outbox.hold(data, size);
    if (this.connected) this.#socket.send(this.#mode === "plain" ? data : escape(data));
  }

  close(code = 1000, reason = "") {
    if (this.readyState > 1) return;
    const dialing = this.#socket?.readyState === 0;
    for (const socket of [this.#socket, this.#abandoned]) socket?.close(code, reason);
    this.readyState = 2;
    // No connection is there whose end could be heard.
    if (this.#mode === "away" && !dialing) this.#finish(1006, "closed while away", false);
  }

  /** Fetches a fresh token and hands it over in band. Happens by itself for JWTs, at four fifths of their life. */
  async renew() {
    const turn = this.#turn;
    const token = await this.#options.token();
    if (turn === this.#turn && this.connected && this.#mode !== "plain") this.#socket.send(control(CREDENTIAL, token));
  }

  async #connect() {
    const turn = ++this.#turn;
    this.#away({ code: 1006, reason: "the network is back" });
    let token;
    try {
      token = await this.#options.token?.();
    } catch (error) {
      if (turn === this.#turn) this.#retry({ code: 1006, reason: `no token: ${error?.message ?? error}` });
      return;
    }
    if (turn !== this.#turn) return;
    try {
      this.#dial(turn, token);
    } catch (error) {
      // Such as an address that is none.
      this.#finish(1006, String(error), false);
    }
  }

  #dial(turn, token) {
    const socket = new this.#options.WebSocket(this.#url, offer([this.#options.protocols].flat(), token, this.#session));
    const on = (type, handle) => socket.addEventListener(type, (event) => turn === this.#turn && handle(event));
    on("open", () => this.#opened());
    on("message", ({ data }) => this.#heard(data));
    on("error", ({ message }) => (this.#status = Number(/response: (\d+)/.exec(message)?.[1])));
    on("close", (event) => this.#closed(event));
    socket.binaryType = "arraybuffer";
    [this.#abandoned, this.#socket, this.#status] = [this.#socket, socket, undefined];
    this.#renewAt(expiry(token));
    // Before it is open, close() sends no Close frame, so this ends no session.
    this.#timers.connect = setTimeout(() => socket.readyState === 0 && socket.close(), 60_000);
  }

  #opened() {
    const chosen = this.#socket.protocol;
    this.protocol = chosen.replace(/^bulkhead\.(resume\.v1\+?|v1$)/, "");
    if (chosen === RESUME || chosen.startsWith(`${RESUME}+`)) this.#mode = "greeting";
    else this.#begin("plain", { state: 0 });
  }

  #heard(data) {
    if (this.readyState > 1) return;
    if (this.#mode !== "plain" && typeof data !== "string") {
      let message;
      try {
        message = read(data);
      } catch {
        return this.#broken("a control message is cut short");
      }
      if (message.kind !== undefined) return this.#told(message);
      data = message.data;
    }
    if (this.#mode === "greeting") return this.#broken("a message came before the greeting");
    if (!this.#session) return this.#emit("message", { data });
    const session = this.#session;
    session.received += 1;
    this.#emit("message", { data });
    // A handler may have done anything, such as to close.
    if (session === this.#session && this.#mode === "resumable") this.#owe(sizeOf(data));
  }

  #told(message) {
    if (message.kind === WELCOME) this.#begin("resumable", message);
    else if (message.kind === ACK && this.#session && !this.#outbox.acknowledge(message.count)) this.#broken("an ACK counts what was not sent");
    else if (message.kind === FINAL) {
      this.#mode = "final";
      this.#session = undefined;
      this.#outbox.clear();
    } else if (message.kind === CREDENTIAL) {
      if (message.accepted) this.#renewAt(message.until);
      else this.#emit("error", { message: `the fresh token was refused: ${message.reason}` });
    }
  }

  /** A connection stands; what it is to the one before is in `state`: 0 none is known, 1 its continuation, 2 its session is lost. */
  #begin(mode, { state, reason, count, token, buffer }) {
    const first = this.readyState === 0;
    if (state === 1 && !(this.#session && this.#outbox.acknowledge(count))) return this.#broken("a session goes on that never was");
    const lost = state !== 1 && !first;
    // Its Close frame would end the session that has been taken over; one that was lost is ended with it.
    if (lost) this.#abandoned?.close();
    this.#abandoned = undefined;
    if (lost && state === 2 && count !== undefined) this.#outbox.acknowledge(count);
    const gone = { reason: state === 2 ? reason : "not resumable", arrived: state === 2 ? count : undefined, pending: lost ? this.#outbox.clear() : [] };
    this.#session = mode === "plain" ? undefined : { token, buffer, received: state === 1 ? this.#session.received : 0 };
    [this.#mode, this.readyState] = [mode, 1];
    // Not at once: a server that takes connections and drops them is not to be run into.
    this.#timers.stands = setTimeout(() => (this.#attempt = 0), 5000);
    if (this.#session) this.#acknowledge();
    for (const data of this.#outbox.held) this.#socket.send(mode === "plain" ? data : escape(data));
    if (mode === "plain") this.#outbox.clear();
    if (lost) this.#emit("lost", gone);
    else this.#emit(first ? "open" : "resumed", {});
  }

  #owe(bytes) {
    this.#owed.messages += 1;
    this.#owed.bytes += bytes;
    if (this.#owed.messages >= 32 || this.#owed.bytes > this.#session.buffer / 4) this.#acknowledge();
    else this.#timers.acknowledge ??= setTimeout(() => this.#acknowledge(), 1000);
  }

  #acknowledge() {
    clearTimeout(this.#timers.acknowledge);
    this.#timers.acknowledge = undefined;
    this.#owed = { messages: 0, bytes: 0 };
    this.#socket.send(control(ACK, this.#session.received));
  }

  #renewAt(until) {
    clearTimeout(this.#timers.renew);
    if (!until || !this.#options.token) return;
    const wait = Math.max(5000, (until * 1000 - Date.now()) * 0.8);
    // A timer holds 31 bits: 24 days.
    this.#timers.renew = setTimeout(() => {
      this.#renewAt(until);
      this.renew().catch((error) => this.#emit("error", { message: `no token: ${error.message ?? error}` }));
    }, Math.min(wait, 2 ** 31 - 1));
  }

  #closed({ code, reason, wasClean }) {
    const refused = this.#status >= 400 && ![429, 502, 503, 504].includes(this.#status);
    if (this.readyState > 1 || refused || !comesBack(code, reason, this.#options.token)) {
      return this.#finish(code, refused ? `the handshake was refused: ${this.#status}` : reason, wasClean);
    }
    this.#retry({ code, reason });
  }

  #retry(why) {
    this.#away(why);
    this.#timers.connect = setTimeout(() => this.#connect(), delay(this.#attempt++, why.code, this.#options.backoff, Math.random()));
  }

  #away(why) {
    this.#rest();
    if (this.#mode === "away") return;
    this.#mode = "away";
    this.#emit("away", why);
  }

  /** The sidecar has broken the protocol: nothing that follows can be trusted to be whole. */
  #broken(reason) {
    this.readyState = 2;
    this.#socket.close(4002, reason);
  }

  #finish(code, reason, wasClean) {
    [this.readyState, this.#mode] = [3, "away"];
    this.#turn += 1;
    this.#rest();
    globalThis.removeEventListener?.("online", this.#online);
    this.#emit("close", { code, reason, wasClean, pending: this.#outbox.clear() });
  }

  #rest() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#timers = {};
  }

  #emit(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
}
