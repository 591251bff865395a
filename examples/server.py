#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small server for the examples to keep: server.py PORT. It says "listening" and what it is sent
on its standard input."""

import http.server
import sys
import threading


def listen_to_stdin():
    for line in sys.stdin:
        print(f"you said: {line.rstrip()}", flush=True)


server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
)
threading.Thread(target=listen_to_stdin, daemon=True).start()
print("listening", flush=True)
server.serve_forever()
