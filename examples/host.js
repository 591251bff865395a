#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// host.js PORT - a small agent host: Node and its own modules. See README.md.
"use strict";

const { execFileSync } = require("node:child_process");
const http = require("node:http");
const path = require("node:path");

const port = Number(process.argv[2]);
const host = `host-js-${process.pid}`;
const socketPath =
  process.env.REEVE_SOCKET ||
  JSON.parse(execFileSync("reeve", ["daemon", "status", "--json"])).socket;

// The JSON of an answer; an exception with the daemon's own words for an error.
function api(method, target, body, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path: `/v1${target}`, headers });
    request.on("error", reject);
    request.on("response", (answer) => {
      const pieces = [];
      answer.on("error", reject);
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const value = JSON.parse(Buffer.concat(pieces));
        if (answer.statusCode < 400) resolve(value);
        else reject(new Error(`${method} ${target}: ${value.error.message}`));
      });
    });
    request.end(typeof body === "object" ? JSON.stringify(body) : body);
  });
}

// One page of the log from offset `start` on, and where the next begins.
async function log(session, start) {
  const query = new URLSearchParams({ stream: "stdout", limit: 30000, from: start });
  const page = await api("GET", `/sessions/${session}/logs?${query}`);
  console.log("log:", page.text.trimEnd());
  return page.next;
}

async function main() {
  // Start a server. The answer comes when it listens. The key makes it safe to repeat the request.
  const server = await api(
    "POST",
    "/sessions",
    {
      command: ["/usr/bin/python3", path.join(__dirname, "server.py"), String(port)],
      cwd: __dirname,
      name: host,
      originator: host,
      stdin: "pipe",
      ready: { until: [{ port }], timeout: "20s" },
    },
    { "Idempotency-Key": host },
  );
  const web = `/sessions/${server.id}`;
  await api("POST", `${web}/wait`, { until: [{ match: "listening" }], timeout: "20s" });
  console.log("server: ready");

  // Page its log.
  const place = await log(server.id, 0);

  // Type into it. With `at`, a line that is sent again is not typed again.
  for (let i = 0; i < 2; i++) await api("POST", `${web}/stdin?at=0`, "hello\n");
  await api("POST", `${web}/wait`, { until: [{ match: "you said" }], timeout: "20s" });
  await log(server.id, place);

  // A command that leaves something running: it is ended, and listed.
  const build = await api("POST", "/sessions", {
    shell: "sleep 1000 & echo built",
    cwd: __dirname,
    originator: host,
  });
  const end = await api("POST", `/sessions/${build.id}/wait`, { until: [{ tree: true }] });
  console.log("left by the build:", ...end.exit.leftovers.map((left) => left.command));

  // Stop the server: the answer comes when it and all its children are gone.
  const stopped = await api("POST", `${web}/stop`, { grace: "5s" });
  console.log("server:", stopped.process.exit.outcome, "end");

  // Nothing is left.
  const running = await api("GET", `/sessions?originator=${host}&all=false`);
  console.log("running:", running.items.length);
  console.log("forgotten:", (await api("POST", "/sessions/purge", { originator: host })).count);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
