# SPDX-License-Identifier: Apache-2.0
"""Where something runs out, somebody is told, nothing is lost, and the daemon goes on."""

import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import BUILD, Api, wait_for
from frames import CLOSED, Connection

CONNECTIONS = 1000  # the limit of the daemon
MANY = 5000


@pytest.fixture
def many_descriptors():
    """The test itself needs a descriptor a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 500:
        pytest.fail(f"this test needs {MANY + 500} descriptors, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(connection, path):
    with contextlib.suppress(*CLOSED):
        connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def answer_of(connection):
    """(status, code of the error)"""
    status, headers = connection.read_head()
    body = json.loads(connection.read(int(headers["Content-Length"])))
    return status, body.get("error", {}).get("code")


def test_of_five_thousand_connections_each_has_an_answer(api, many_descriptors):
    session = api.spawn("cat", stdin="pipe")
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(MANY):
            connections.append(stack.enter_context(contextlib.closing(Connection(api.path))))
            ask(connections[-1], "/v1/sessions")  # those above the limit have 5 s for that
        answers = [answer_of(connection) for connection in connections]
    assert answers.count((200, None)) == CONNECTIONS
    assert answers.count((503, "unavailable")) == MANY - CONNECTIONS
    wait_for(lambda: api.request("GET", "/v1/sessions").status == 200, what="room again")
    assert api.stdin(session, b"still here", eof="true").status == 200
    assert api.output(session) == b"still here"


def test_above_the_limit_the_daemon_can_still_be_seen_and_sessions_stopped(api, many_descriptors):
    session = api.spawn("sleep", "1000")
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(contextlib.closing(Connection(api.path)))
            ask(connection, "/v1/daemon")
            assert answer_of(connection)[0] == 200
        answer = api.get("/v1/sessions")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.json["error"]["retryable"] is True
        assert api.get("/v1/daemon").status == 200
        assert api.stop(session)["status"] == "stopped"


def test_five_hundred_clients_at_once_are_served(api):
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.get("/v1/daemon").status, range(500)))
    assert answers == [200] * 500


def test_too_many_spawns_at_a_time_are_told_to_come_again(api):
    """More at once than the keeper takes: refused with a reason, or started; never lost."""

    def spawn(i):
        answer = api.try_spawn("sh", "-c", f"echo {i}")
        return answer.status, answer.json

    with ThreadPoolExecutor(150) as pool:
        answers = list(pool.map(spawn, range(300)))
    started = {i: body for i, (status, body) in enumerate(answers) if status == 201}
    for status, body in answers:
        assert status == 201 or body["error"]["code"] == "rate_limited", body
        assert status == 201 or body["error"]["retryable"] is True
    assert len(started) >= 64
    assert all(api.output(body) == f"{i}\n".encode() for i, body in started.items())


# --- descriptors ---------------------------------------------------------------------------------


def few_descriptors(n=80):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


# A session needs several, of which the last come when it has started: each may be the one too many.
@pytest.mark.parametrize("n", range(80, 87))
def test_without_descriptors_a_spawn_is_refused_and_what_runs_goes_on(reeve, n):
    reeve.ok("daemon", "start", preexec_fn=lambda: few_descriptors(n))
    api = reeve.api
    first = api.spawn("cat", stdin="pipe")
    sessions = []
    for _ in range(60):
        answer = api.try_spawn("cat", stdin="pipe")
        if answer.status != 201:
            break
        sessions.append(answer.json)
    assert (answer.status, answer.code) == (507, "exhausted"), answer.body
    message = answer.json["error"]["message"]
    assert "descriptors" in message or "Too many open files" in message
    assert answer.json["error"]["retryable"] is True
    assert len(sessions) >= 3
    for session in [first, *sessions]:
        assert api.stdin(session, b"hello", eof="true").status == 200
        assert api.output(session) == b"hello"
        api.ended(session)
    assert api.post("/v1/sessions/purge").json["count"] >= len(sessions)
    assert api.try_spawn("true").status == 201, "there is room again"


@pytest.mark.parametrize("n", range(84, 90))
def test_without_descriptors_a_command_whose_calls_would_wait_does_not_run(reeve, n):
    reeve.ok("daemon", "start", preexec_fn=lambda: few_descriptors(n))
    observe = {"categories": ["file"], "backends": {"file": "seccomp-user-notify"}}
    for started in range(60):
        answer = reeve.api.try_spawn("cat", stdin="pipe", observe=observe)
        if answer.status != 201:
            break
    assert started >= 3
    assert answer.code in ("exhausted", "unavailable"), answer.body
    message = answer.json["error"]["message"]
    assert "descriptors" in message or "Too many open files" in message
    assert reeve.api.get("/v1/daemon").status == 200


def test_without_descriptors_a_connection_is_refused_and_others_go_on(reeve):
    reeve.ok("daemon", "start", preexec_fn=few_descriptors)
    api = reeve.api
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(Connection(api.path))) for _ in range(150)
        ]
        for connection in connections:
            ask(connection, "/v1/daemon")
        answers = [answer_of(connection) for connection in connections]
    assert set(answers) <= {(200, None), (507, "exhausted"), (503, "unavailable")}
    assert answers.count((200, None)) >= 20 and len(set(answers)) > 1
    wait_for(lambda: api.get("/v1/daemon").status == 200, what="room again")
    assert reeve.status()["keeperPid"]


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(reeve):
    """(Api, fill, ballast) of a daemon whose directory is a file system of its own. fill() leaves
    no byte of it, and the file `ballast` is what it is filled with."""
    home = reeve.dir / "disk"
    home.mkdir(mode=0o700)
    script = f"mount -t tmpfs -o size=512k,mode=0700 none {home} && exec {BUILD}/reeve daemon run"
    env = {**reeve.env, "REEVE_DIR": str(home)}
    daemon = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], env=env)
    inside = pathlib.Path(f"/proc/{daemon.pid}/root{home}")
    api = Api(str(inside / "api.sock"), reeve.home)

    def answers():
        with contextlib.suppress(OSError):
            return api.get("/v1/daemon").status == 200
        assert daemon.poll() is None, "the daemon ended"

    def fill():
        size = 1 << 16
        with open(inside / "ballast", "ab", buffering=0) as file:
            while size:
                try:
                    file.write(b"x" * size)
                except OSError:
                    size //= 2
        assert os.statvfs(inside).f_bavail == 0

    wait_for(answers, what="the daemon")
    try:
        yield api, fill, inside / "ballast"
    finally:
        with contextlib.suppress(OSError):
            api.post("/v1/daemon/stop", {})
        daemon.wait(20)


def test_on_a_full_disk_sessions_run_and_nothing_is_lost(full_disk):
    api, fill, ballast = full_disk
    before = api.spawn("cat", stdin="pipe")
    fill()
    for _ in range(20):
        answer = api.try_spawn("sh", "-c", "echo hello; exit 3")
        # Refused with a reason or run in full; nothing between.
        if answer.status != 201:
            assert answer.code == "exhausted", answer.body
            assert "No space left" in answer.json["error"]["message"]
            continue
        assert api.wait(answer.json)["exitCode"] == 3
        assert api.raw(answer.json) == b"hello\n"
    assert api.stdin(before, b"unharmed", eof="true").status == 200
    assert api.output(before) == b"unharmed"
    assert api.ended(before)["exit"]["exitCode"] == 0
    ballast.unlink()
    assert api.try_spawn("true").status == 201


# --- many trees at once --------------------------------------------------------------------------

TREES = 260  # more than the keeper looks at in one walk


def test_the_last_of_many_trees_that_live_on_is_seen_to_go(api):
    def spawn(_):
        return api.sh("sleep 1000 >/dev/null 2>&1 & echo $!", leftovers="keep")

    with ThreadPoolExecutor(4) as pool:
        sessions = list(pool.map(spawn, range(TREES)))
    last = max(sessions, key=lambda session: session["handle"])
    api.wait(last)
    os.kill(int(api.output(last)), signal.SIGKILL)
    wait_for(lambda: not api.show(last)["treeAlive"], what="the end of the last tree")
    assert api.show(min(sessions, key=lambda session: session["handle"]))["treeAlive"]
