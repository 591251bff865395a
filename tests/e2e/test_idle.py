# SPDX-License-Identifier: Apache-2.0
"""While nothing happens the daemon does next to nothing, however many wait for something."""

import contextlib
import pathlib
import select
import time

import pytest
from conftest import wait_for
from frames import Connection

WAITING = 60
SECONDS = 1.0
SHARE = 0.01  # of a processor, with 500 of them; `./dev bench idle` measures that


def processor_seconds(status):
    """What keeper and engine have used since they were started."""
    nanoseconds = 0
    for pid in (status["keeperPid"], status["enginePid"]):
        nanoseconds += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def share_used(api):
    before, start = processor_seconds(api.get("/v1/daemon").json), time.monotonic()
    time.sleep(SECONDS)
    status = api.get("/v1/daemon").json
    return (processor_seconds(status) - before) / (time.monotonic() - start)


def begin_wait(api, stack, session, until):
    connection = stack.enter_context(contextlib.closing(Connection(api.path)))
    body = b'{"until": [%s], "timeout": "1h"}' % until.encode()
    head = f"POST {api.path_of(session, '/wait')} HTTP/1.1\r\nHost: x\r\n"
    connection.sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection.sock


@pytest.mark.parametrize(
    "kind, until, env",
    [
        ("pipe", '{"exit": true}, {"match": "x"}, {"idle": "1h"}, {"port": 1}', {}),
        ("pipe", '{"eof": true}, {"tree": true}, {"http": "http://localhost:1/"}', {}),
        ("pty", '{"exit": true}, {"input": true}', {}),
        ("pty", '{"exit": true}, {"input": true}', {"REEVE_CGROUP": "off"}),
        ("pty", '{"exit": true}, {"input": true}', {"REEVE_TYPING": "keeper"}),
    ],
)
def test_waiting_for_what_does_not_come_costs_next_to_nothing(reeve, kind, until, env):
    reeve.env |= env
    api = reeve.api
    with contextlib.ExitStack() as stack:
        sockets = [
            begin_wait(api, stack, api.spawn("sleep", "1000", kind=kind), until)
            for _ in range(WAITING)
        ]
        # It settles: the first looks are closer to each other, and processes are still starting.
        wait_for(lambda: share_used(api) < SHARE, what="a daemon that rests")
        assert select.select(sockets, [], [], 0)[0] == [], "nobody has an answer"
