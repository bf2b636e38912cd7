// ioredis, as an application uses it. Arguments: the sidecar's port, the user, and "scripts" where the policy lets users run them. Prints "well" where everything behaved.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { Redis } = require("ioredis");
const [port, user, scripts] = process.argv.slice(2);

function check(what, seen, wanted) {
  if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: ${JSON.stringify(seen)}, and not ${JSON.stringify(wanted)}`);
  }
}

const options = {
  port: Number(port),
  host: "127.0.0.1",
  username: `default+${user}`,
  password: "anything",
  enableReadyCheck: false,
  connectionName: "ioredis-test",
};
const it = new Redis(options);
check("SET", await it.set("k", "v"), "OK");
check("GET", await it.get("k"), "v");
const many = it.pipeline();
for (let number = 0; number < 1000; number++) many.incr("n");
const counted = await many.exec();
check("pipeline", counted.at(-1)[1] - counted[0][1], 999);
check("MULTI", await it.multi().set("a", "1").get("a").exec(), [[null, "OK"], [null, "1"]]);
const listens = new Redis(options);
const heard = new Promise((resolve) => listens.on("message", (channel, text) => resolve([channel, text])));
await listens.subscribe("news");
check("PUBLISH", await it.publish("news", "hello"), 1);
check("message", await heard, ["news", "hello"]);
const waits = new Redis(options);
const popped = waits.blpop("list", 10);
await it.rpush("list", "one");
check("BLPOP", await popped, ["list", "one"]);
if (scripts) {
  it.defineCommand("count", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  check("EVALSHA", [await it.count("counted", 2), await it.count("counted", 2)], [2, 4]);
}
const keys = [];
try {
  for await (const part of it.scanStream({ match: "k*" })) keys.push(...part);
} catch (error) {
  // Where users have a Redis user of their own.
  if (!error.message.includes("acl: PerUser")) throw error;
  keys.push("k");
}
check("SCAN", keys, ["k"]);
[it, listens, waits].forEach((one) => one.disconnect());
console.log("well");
