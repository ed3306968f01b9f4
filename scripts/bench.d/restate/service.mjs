// The handler that Restate calls: one journalled step, which is one HTTP call. Usage: service.mjs PORT UPSTREAM
import http from "node:http";
import * as restate from "@restatedev/restate-sdk";

// The SDK calls it; Node.js has it from version 22 on.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};

const [port, upstream] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const call = (body) =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = http.request(upstream, { method: "POST", agent, headers }, (response) => {
      response.resume();
      response.on("end", () => (response.statusCode < 300 ? resolve(response.statusCode) : reject(new Error(response.statusCode))));
    });
    request.on("error", reject);
    request.end(body);
  });

const bench = restate.service({
  name: "bench",
  handlers: { echo: async (context, input) => void (await context.run("call", () => call(JSON.stringify(input)))) },
});
restate.serve({ services: [bench], port: Number(port) });
