# SPDX-License-Identifier: Apache-2.0
"""The first hour of a program that uses the API: requests whose connection breaks are repeated, and
nothing happens twice. (The same with the engine killed: tests/torture/test_first_hour.py.)"""

import contextlib
import json
import random

import pytest
from conftest import wait_for
from frames import Connection

pytestmark = pytest.mark.shared


def broken_off(api, request, n):
    """Sends the first n bytes of a request, and goes away without reading an answer."""
    with contextlib.closing(Connection(api.path)) as client:
        client.sock.sendall(request[:n])


def raw(method, target, body, *headers):
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moments(request):
    """After some of its bytes, the last ones among them, and after all."""
    n = len(request)
    return sorted({*random.sample(range(1, n), 10), n - 1, n})


def test_a_spawn_with_a_key_that_is_repeated_runs_once(api, tmp_path):
    runs = tmp_path / "runs"
    runs.touch()
    tmp_path.chmod(0o755)
    body = {"command": ["sh", "-c", f"echo run >>{runs}; exec sleep 1000"], "cwd": api.cwd}
    text = json.dumps(body).encode()
    for i, n in enumerate(moments(raw("POST", "/v1/sessions", text, "Idempotency-Key: key-0"))):
        key = f"key-{i:02d}"
        broken_off(api, raw("POST", "/v1/sessions", text, f"Idempotency-Key: {key}"), n)
        first = api.post("/v1/sessions", text, headers={"Idempotency-Key": key})
        again = api.post("/v1/sessions", text, headers={"Idempotency-Key": key})
        assert first.status in (200, 201) and again.status == 200, (first.body, again.body)
        assert first.json["id"] == again.json["id"]
        wait_for(lambda: len(runs.read_text().split()) > i, what="the run")
        assert len(api.get("/v1/sessions").json["items"]) == i + 1
        assert runs.read_text() == "run\n" * (i + 1)


def test_input_with_its_offset_that_is_repeated_is_typed_once(api):
    session = api.spawn("cat", stdin="pipe")
    at, target = 0, api.path_of(session, "/stdin")
    words = [b"word %d\n" % i for i in range(12)]
    for word, n in zip(words, moments(raw("POST", f"{target}?at=0000", words[0])), strict=False):
        broken_off(api, raw("POST", f"{target}?at={at:04d}", word), n)
        answer = api.stdin(session, word, at=at)
        assert answer.status == 200, answer.body
        assert api.stdin(session, word, at=at).json["offset"] == at + len(word)
        at += len(word)
    api.stdin(session, b"", eof="true")
    assert api.output(session) == b"".join(words)[:at]


def test_a_page_has_the_head_the_tail_and_the_exact_number_between(api):
    written = b"".join(b"line %06d\n" % i for i in range(10_000))
    session = api.sh("i=0; while [ $i -lt 10000 ]; do printf 'line %06d\\n' $i; i=$((i+1)); done")
    api.wait(session, "eof")
    page = api.logs(session, stream="stdout", limit=30000)
    text, at = page["text"].encode(), page["omittedAt"]
    assert len(text) == 30000 and page["omitted"] == len(written) - 30000
    assert text[:at] == written[:at] and text[at:] == written[at + page["omitted"] :]
    assert (page["dropped"], page["next"], page["eof"]) == (0, len(written), True)
    assert 0 < at < 30000


SERVER = """
import http.server, sys
address, handler = ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
server = http.server.ThreadingHTTPServer(address, handler, bind_and_activate=False)
server.server_bind()
print(f"port {server.server_address[1]}", flush=True)
word = sys.stdin.readline()
if word == "end\\n":
    sys.exit(7)
if word == "go\\n":
    server.server_activate()
print(word, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    "typed, fired", [("say\n", "match"), ("go\n", "port"), ("end\n", "exit"), ("", "idle")]
)
def test_a_wait_is_for_the_first_of_four_conditions(api, typed, fired):
    session = api.spawn("/usr/bin/python3", "-c", SERVER, stdin="pipe")
    target = api.path_of(session, "/wait")
    until = [{"match": "^port [0-9]+"}, {"exit": True}, {"idle": "1h"}, {"port": 1}]
    first = api.post(target, {"until": until, "timeout": "20s"}).json
    assert first["fired"] == "match"
    port = int(first["match"]["line"].split()[1])
    # The port is bound and not yet listened on: nobody could connect.
    idle = "1h" if typed else "50ms"
    until = [{"match": "^say"}, {"exit": True}, {"idle": idle}, {"port": port}]
    api.stdin(session, typed.encode())
    assert api.post(target, {"until": until, "timeout": "20s"}).json["fired"] == fired


def test_a_server_that_its_shell_leaves_behind_is_seen_and_stopped(api):
    session = api.sh("sleep 1000 & echo up; exit 0", leftovers="keep")
    ended = api.wait(session, "exit")
    assert (ended["exitCode"], ended["treeAlive"]) == (0, True)
    assert api.show(session)["treeAlive"] is True
    [server] = api.get(api.path_of(session, "/tree")).json["items"]
    stopped = api.stop(session, grace="5s")
    assert stopped["treeAlive"] is False and stopped["exit"]["exitCode"] == 0
    assert server["pid"] not in [
        item["pid"] for item in api.get(api.path_of(session, "/tree")).json["items"]
    ]
