// The resume protocol without a connection: what is said in which bytes, what is held, and when to come back. Nothing in here waits,
// reads a clock or rolls dice. docs/websockets.md describes it.

export const RESUME = "bulkhead.resume.v1";
const PREFIX = [0xf5, 0x62, 0x6b, 0x31];
const ESCAPED = 0xf5;
export const WELCOME = 1, ACK = 2, FINAL = 3, CREDENTIAL = 4;
const LOST_BECAUSE = ["unknown", "application", "buffer", "pod", "user"];
/** Close codes after which coming back helps: docs/websockets.md, "Close codes". 1006 is a connection that ended without a Close frame. */
const COME_BACK = [1001, 1006, 1012, 1013, 1014, 3008];
const utf8 = new TextEncoder();

/** The subprotocols to offer: each of the application's with resume and without, then the markers and the tokens, which nobody selects. */
export function offer(protocols, token, session) {
  const base64url = (text) => btoa(String.fromCharCode(...utf8.encode(text))).replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_");
  const names = [...protocols.map((name) => `${RESUME}+${name}`), RESUME, ...protocols, "bulkhead.v1"];
  if (token) names.push(`bulkhead.token.${base64url(token)}`);
  if (session) names.push(`bulkhead.session.${session.token}.${session.received}`);
  return names;
}

/** A control message of the client's; numbers are written as 64 bits, strings as UTF-8. */
export function control(kind, body) {
  const tail = typeof body === "string" ? utf8.encode(body) : new Uint8Array(8);
  if (typeof body === "number") new DataView(tail.buffer).setBigUint64(0, BigInt(body));
  return Uint8Array.of(...PREFIX, kind, ...tail);
}

/** Data as it goes over a resumable socket: binary that could be taken for a control message gets the prefix in front. */
export function escape(data) {
  if (typeof data === "string" || data[0] !== PREFIX[0]) return data;
  const escaped = new Uint8Array(PREFIX.length + data.length);
  escaped.set(PREFIX);
  escaped.set(data, PREFIX.length);
  return escaped;
}

/** What a binary message of the server's (an ArrayBuffer) is: `{data}`, or a control message with its `kind`. Throws RangeError if cut short. */
export function read(buffer) {
  const bytes = new Uint8Array(buffer);
  if (!PREFIX.every((byte, at) => bytes[at] === byte)) return { data: buffer };
  if (bytes[4] === ESCAPED) return { data: buffer.slice(4) };
  const view = new DataView(buffer, 5);
  const count = (at) => {
    const value = view.getBigUint64(at);
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(value);
  };
  const rest = (at) => new TextDecoder().decode(bytes.subarray(5 + at));
  const [kind, byte] = [bytes[4], (at) => view.getUint8(at)];
  if (kind === WELCOME) {
    const session = { window: view.getUint32(2), buffer: view.getUint32(6), count: count(10), token: rest(18) };
    return { kind, state: byte(0), reason: LOST_BECAUSE[byte(1)] ?? "unknown", ...session };
  }
  if (kind === ACK) return { kind, count: count(0) };
  if (kind === CREDENTIAL) return { kind, accepted: byte(0) === 0, until: count(1), reason: rest(9) };
  return { kind };
}

/** The bytes that data takes on the wire, headers apart. */
export function sizeOf(data) {
  return typeof data === "string" ? utf8.encode(data).length : data.byteLength;
}

/** Own messages that are not known to have arrived, numbered from 1. */
export class Outbox {
  #sizes = [];
  held = [];
  acknowledged = 0;
  bytes = 0;

  hold(data, size) {
    this.held.push(data);
    this.#sizes.push(size);
    this.bytes += size;
  }

  /** Lets go of all up to `count`; false if there never was such a message, or it was let go of before. */
  acknowledge(count) {
    const arrived = count - this.acknowledged;
    if (!(arrived >= 0 && arrived <= this.held.length)) return false;
    this.acknowledged = count;
    this.held.splice(0, arrived);
    for (const size of this.#sizes.splice(0, arrived)) this.bytes -= size;
    return true;
  }

  /** Empties it, and counts from 0 again: what was held, oldest first. */
  clear() {
    const held = this.held;
    [this.held, this.#sizes, this.bytes, this.acknowledged] = [[], [], 0, 0];
    return held;
  }
}

/** Milliseconds to wait before an attempt, the first of which is 0; `chance` is from 0 to 1. After 1013 ("later") it is the third at least. */
export function delay(attempt, code, { first, most }, chance) {
  return chance * Math.min(most, first * 2 ** Math.max(attempt, code === 1013 ? 2 : 0));
}

/** When a JWT expires, in seconds since 1970; undefined for other tokens. */
export function expiry(token) {
  try {
    const { exp } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return Number.isFinite(exp) ? exp : undefined;
  } catch {
    return undefined;
  }
}

/** Whether to come back after this Close frame. */
export function comesBack(code, reason, hasToken) {
  // Expired: a fresh token helps. Taken over: another connection has this session, and would lose it again to us.
  if (code === 1008) return hasToken && reason.includes("expiryGrace");
  return COME_BACK.includes(code) && !reason.includes("taken over");
}
