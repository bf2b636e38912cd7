// numbering.mjs on Node's `ws`.
//
// Usage: numbering_client.mjs URL USER RESUMES
import { createRequire } from "node:module";
import { BulkheadSocket } from "../../../clients/javascript/bulkhead-socket.js";
import { number } from "./numbering.mjs";

const { WebSocket } = createRequire(import.meta.url)("ws");
const [url, user, resumes] = process.argv.slice(2);
const seen = await number(BulkheadSocket, url, { WebSocket, token: async () => user }, Number(resumes));
console.log("well", JSON.stringify(seen));
