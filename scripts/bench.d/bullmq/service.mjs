// BullMQ as a team would use it: one process answers requests, 202 as soon as Redis has the job (its append-only file is
// synced before it answers), another executes them with one HTTP call each. Usage: service.mjs PORT REDIS_PORT UPSTREAM
import { fork } from "node:child_process";
import http from "node:http";
import { Queue, Worker } from "bullmq";

const [port, redis, upstream, role] = process.argv.slice(2);
const connection = { host: "127.0.0.1", port: Number(redis), maxRetriesPerRequest: null };
const CONCURRENCY = 256;

if (role === "worker") {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const call = (body) =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const request = http.request(upstream, { method: "POST", agent, headers }, (response) => {
        response.resume();
        response.on("end", () => (response.statusCode < 300 ? resolve() : reject(new Error(response.statusCode))));
      });
      request.on("error", reject);
      request.end(body);
    });
  new Worker("bench", (job) => call(job.data.input), { connection, concurrency: CONCURRENCY });
  // Never without whoever started it.
  process.on("disconnect", () => process.exit(0));
} else {
  fork(import.meta.filename, [port, redis, upstream, "worker"]);
  const queue = new Queue("bench", { connection });
  const options = { attempts: 3, removeOnComplete: true };
  http
    .createServer((request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", async () => {
        try {
          const { id } = await queue.add("job", { input: Buffer.concat(parts).toString() }, options);
          response.writeHead(202, { "content-type": "application/json" }).end(`{"id":"${id}"}`);
        } catch (error) {
          response.writeHead(503).end(String(error));
        }
      });
    })
    .listen(Number(port), "127.0.0.1", 1024);
}
