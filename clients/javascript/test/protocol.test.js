// The pure part of the client, in tables.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ACK, CREDENTIAL, FINAL, Outbox, WELCOME, comesBack, control, delay, escape, expiry, offer, read } from "../protocol.js";

const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...Buffer.from(part)] : part)));
const PREFIX = [0xf5, 0x62, 0x6b, 0x31];
const count = (number) => [0, 0, 0, 0, 0, 0, number >> 8, number & 255];

test("an offer has everything in an order of preference, and tokens last", () => {
  const session = { token: "abc-_9", received: 7 };
  assert.deepEqual(offer([], undefined, undefined), ["bulkhead.resume.v1", "bulkhead.v1"]);
  assert.deepEqual(offer(["a", "b"], "ü>?", session), [
    "bulkhead.resume.v1+a", "bulkhead.resume.v1+b", "bulkhead.resume.v1", "a", "b", "bulkhead.v1",
    "bulkhead.token.w7w-Pw", "bulkhead.session.abc-_9.7",
  ]);
});

test("what is escaped comes back as it was, and nothing of it is a control message", () => {
  for (const data of [[], [1, 2], [0xf5], [0xf5, 0x62], PREFIX, [...PREFIX, 2], [...PREFIX, 0xf5], [...PREFIX, ...PREFIX]]) {
    const { data: found, kind } = read(escape(bytes(data)).slice().buffer);
    assert.equal(kind, undefined);
    assert.deepEqual(new Uint8Array(found), bytes(data));
  }
  assert.equal(escape("text"), "text");
});

test("control messages of the server are read, and later kinds are not understood", () => {
  const told = (...parts) => read(bytes(PREFIX, ...parts).buffer);
  assert.deepEqual(told([WELCOME, 2, 3], [0, 0, 234, 96], [0, 4, 0, 0], count(258), "token"), {
    kind: WELCOME, state: 2, reason: "pod", window: 60000, buffer: 262144, count: 258, token: "token",
  });
  assert.equal(told([WELCOME, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0], Array(8).fill(255), "t").count, undefined);
  assert.deepEqual(told([ACK], count(300)), { kind: ACK, count: 300 });
  assert.deepEqual(told([FINAL, 1]), { kind: FINAL });
  assert.deepEqual(told([CREDENTIAL, 1], count(0), "why ü"), { kind: CREDENTIAL, accepted: false, until: 0, reason: "why ü" });
  assert.deepEqual(told([99, 1, 2]), { kind: 99 });
});

test("a control message that is cut short throws", () => {
  for (const cut of [[], [WELCOME, 0, 0], [ACK, 0, 0], [CREDENTIAL], [CREDENTIAL, 0, 0]]) {
    assert.throws(() => read(bytes(PREFIX, cut).buffer), RangeError, String(cut));
  }
});

test("control messages of the client are written", () => {
  assert.deepEqual(control(ACK, 258), bytes(PREFIX, [ACK], count(258)));
  assert.deepEqual(control(CREDENTIAL, "abc"), bytes(PREFIX, [CREDENTIAL], "abc"));
});

test("an outbox lets go of what has arrived, and of nothing else", () => {
  const outbox = new Outbox();
  for (const data of ["a", "bb", "ccc"]) outbox.hold(data, data.length);
  for (const [count, fits, bytes, held] of [[4, false, 6, 3], [2, true, 3, 1], [1, false, 3, 1], [2, true, 3, 1], [undefined, false, 3, 1]]) {
    assert.deepEqual([outbox.acknowledge(count), outbox.bytes, outbox.held.length], [fits, bytes, held], String(count));
  }
  assert.deepEqual([outbox.clear(), outbox.bytes, outbox.acknowledged], [["ccc"], 0, 0]);
});

test("the wait grows to its bound, and is longer at once when the sidecar says later", () => {
  const backoff = { first: 500, most: 30000 };
  for (const [attempt, code, most] of [[0, 1006, 500], [1, 1006, 1000], [6, 1006, 30000], [60, 1006, 30000], [0, 1013, 2000], [3, 1013, 4000]]) {
    assert.equal(delay(attempt, code, backoff, 1), most);
    assert.equal(delay(attempt, code, backoff, 0), 0);
  }
});

test("a JWT says when it expires, and nothing else does", () => {
  const token = (claims) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  const found = [token({ exp: 1234, name: "ü>?" }), token({}), token({ exp: "soon" }), "alice", "a.b.c", undefined].map(expiry);
  assert.deepEqual(found, [1234, undefined, undefined, undefined, undefined, undefined]);
});

test("it comes back after the codes that docs/websockets.md says, and after no other", () => {
  const back = (code, reason = "", token = true) => comesBack(code, reason, token);
  const found = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 3008, 4000].filter((code) => back(code));
  assert.deepEqual(found, [1001, 1006, 1012, 1013, 1014, 3008]);
  assert.equal(back(1001, "taken over by a newer connection"), false);
  assert.equal(back(1008, "webSockets[chat].timeouts.expiryGrace = 30s (default)"), true);
  assert.equal(back(1008, "webSockets[chat].timeouts.expiryGrace = 30s (default)", false), false);
});
