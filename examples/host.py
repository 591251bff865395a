#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""host.py PORT - a small agent host: Python and its standard library. See README.md."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
from urllib.parse import urlencode

PORT = int(sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parent
HOST = f"host-py-{os.getpid()}"


def find_socket():
    if "REEVE_SOCKET" in os.environ:
        return os.environ["REEVE_SOCKET"]
    status = subprocess.run(["reeve", "daemon", "status", "--json"], capture_output=True)
    return json.loads(status.stdout)["socket"]


class Connection(http.client.HTTPConnection):
    """http.client over the Unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


SOCKET = find_socket()


def api(method, path, body=None, headers=None, **query):
    """The JSON of an answer; an exception with the daemon's own words for an error."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    target = f"/v1{path}" + (f"?{urlencode(query)}" if query else "")
    connection = Connection("localhost")
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {target}: {value['error']['message']}")
    return value


def log(session, start):
    """One page of the log from offset `start` on, and where the next begins."""
    page = api("GET", f"/sessions/{session}/logs", stream="stdout", limit=30000, **{"from": start})
    print("log:", page["text"].rstrip())
    return page["next"]


# Start a server. The answer comes when it listens. The key makes it safe to repeat the request.
server = api(
    "POST",
    "/sessions",
    {
        "command": ["/usr/bin/python3", str(HERE / "server.py"), str(PORT)],
        "cwd": str(HERE),
        "name": HOST,
        "originator": HOST,
        "stdin": "pipe",
        "ready": {"until": [{"port": PORT}], "timeout": "20s"},
    },
    {"Idempotency-Key": HOST},
)
web = server["id"]
api("POST", f"/sessions/{web}/wait", {"until": [{"match": "listening"}], "timeout": "20s"})
print("server: ready")

# Page its log.
place = log(web, 0)

# Type into it. With `at`, a line that is sent again is not typed again.
for _ in range(2):
    api("POST", f"/sessions/{web}/stdin", b"hello\n", at=0)
api("POST", f"/sessions/{web}/wait", {"until": [{"match": "you said"}], "timeout": "20s"})
log(web, place)

# A command that leaves something running: it is ended, and listed.
build = api(
    "POST",
    "/sessions",
    {"shell": "sleep 1000 & echo built", "cwd": str(HERE), "originator": HOST},
)
end = api("POST", f"/sessions/{build['id']}/wait", {"until": [{"tree": True}]})
print("left by the build:", *(left["command"] for left in end["exit"]["leftovers"]))

# Stop the server: the answer comes when it and all its children are gone.
stopped = api("POST", f"/sessions/{web}/stop", {"grace": "5s"})
print("server:", stopped["process"]["exit"]["outcome"], "end")

# Nothing is left.
print("running:", len(api("GET", "/sessions", originator=HOST, all="false")["items"]))
print("forgotten:", api("POST", "/sessions/purge", {"originator": HOST})["count"])
