# SPDX-License-Identifier: Apache-2.0
"""Each error that docs/api/openapi.json gives a route is brought about, and told as it says there.

The table is made from the document: an error that is added to it fails here until it has a case.
Api.request() holds every answer of every test against the document, so that an answer that is not
in it fails, too.
"""

import contextlib
import json
import os
import pathlib
import resource
import select
import signal
import stat
import subprocess
from collections import namedtuple

import frames
import openapi
import pytest
from conftest import Reeve, end_with, wait_for
from test_keeper_gone import spawner_of

Row = namedtuple("Row", "method path status code")

KEPT = 16  # places for a few routes above the limit
CONNECTIONS = 1000 + KEPT
DESCRIPTORS = 80
SPAWNS = 64  # at a time


def rows():
    for method, path, operation in openapi.operations():
        for status, response in operation["responses"].items():
            for code in openapi.resolve(response).get("x-error-codes", []):
                yield Row(method, path, int(status), code)


ROWS = list(rows())


def target(path, session="no-such-session"):
    return path.replace("{id}", session)


# --- errors that a route has for itself ----------------------------------------------------------


def sleeper(api, **fields):
    return api.spawn("sleep", "1000", **fields)


def merged(api):
    return sleeper(api, mergeStderr=True)


def failed(api):
    return api.try_spawn("/no/such/command").json["error"]["details"]["processId"]


def refused(api, session, **query):
    """An attachment that is refused."""
    with pytest.raises(frames.Refused) as caught:
        api.attach(session, **query)
    return caught.value.status, caught.value.error["code"]


def plain(answer):
    return answer.status, answer.code


def spawn_a_taken_name(api):
    sleeper(api, name="taken")
    return plain(api.try_spawn("true", name="taken"))


def spawn_another_body_with_a_key(api):
    assert api.try_spawn("true", key="a-key").status == 201
    return plain(api.try_spawn("false", key="a-key"))


def spawn_inside_of_nothing(api):
    return plain(api.try_spawn("true", parentId="no-such-session"))


def spawn_too_many_at_a_time(api):
    spawner = spawner_of(api.get("/v1/daemon").json["keeperPid"])
    body = json.dumps({"command": ["true"], "cwd": "/"})
    request = f"POST /v1/sessions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with contextlib.ExitStack() as stack:
        os.kill(spawner, signal.SIGSTOP)
        stack.callback(os.kill, spawner, signal.SIGCONT)
        clients, poll = [], select.poll()  # select() takes no descriptor above 1023
        for _ in range(SPAWNS + 1):
            client = stack.enter_context(contextlib.closing(frames.Connection(api.path)))
            client.sock.sendall(request)
            clients.append(client)
            poll.register(client.sock, select.POLLIN)
        [(answered, _)] = poll.poll(30_000)
        client = next(client for client in clients if client.sock.fileno() == answered)
        status, headers = client.read_head()
        error = json.loads(client.read(int(headers["Content-Length"])))["error"]
        assert error["retryable"] is True
        os.kill(spawner, signal.SIGCONT)
        for client in clients:
            if client.sock.fileno() != answered:
                assert client.read_head()[0] == 201
    return status, error["code"]


def remove_what_lives(api):
    return plain(api.delete(api.path_of(sleeper(api))))


def logs_of_a_stream_that_is_merged(api):
    return plain(api.get(api.path_of(merged(api), "/logs", stream="stderr")))


def attach_twice(api):
    session = sleeper(api)
    with api.attach(session):
        return refused(api, session)


def attach_to_a_stream_that_is_merged(api):
    return refused(api, merged(api), streams="stderr")


def attach_to_what_never_ran(api):
    return refused(api, failed(api))


def attach_without_an_upgrade(api):
    return plain(api.get(api.path_of(sleeper(api), "/attach")))


def type_where_nobody_is(api):
    return plain(api.stdin(sleeper(api, stdin="pipe"), b"x", at=5))


def type_after_the_end(api):
    session = sleeper(api, stdin="pipe")
    assert api.stdin(session, b"", eof="true").status == 200
    return plain(api.stdin(session, b"x"))


def screen_without_a_terminal(api):
    return plain(api.get(api.path_of(sleeper(api), "/screen")))


def signal_what_has_ended(api):
    session = api.spawn("true")
    api.ended(session)
    return plain(api.kill(session))


def observe_by_another_backend(api):
    named = [
        b["backend"]
        for b in api.get("/v1/capabilities?probe=true").json["backends"]
        if b["category"] == "process" and b["support"] != "unavailable"
    ]
    session = sleeper(
        api, observe={"categories": ["process"], "backends": {"process": "subreaper-proc-poll"}}
    )
    other = next(name for name in ("perf", "proc-connector", "ebpf") if name in named)
    body = {"categories": ["process"], "backends": {"process": other}}
    return plain(api.post(api.path_of(session, "/observers"), body))


OWN = {
    ("POST", "/v1/sessions", "already_exists"): spawn_a_taken_name,
    ("POST", "/v1/sessions", "idempotency_conflict"): spawn_another_body_with_a_key,
    ("POST", "/v1/sessions", "not_found"): spawn_inside_of_nothing,
    ("POST", "/v1/sessions", "rate_limited"): spawn_too_many_at_a_time,
    ("DELETE", "/v1/sessions/{id}", "wrong_state"): remove_what_lives,
    ("GET", "/v1/sessions/{id}/logs", "stream_unavailable"): logs_of_a_stream_that_is_merged,
    ("GET", "/v1/sessions/{id}/attach", "already_attached"): attach_twice,
    ("GET", "/v1/sessions/{id}/attach", "stream_unavailable"): attach_to_a_stream_that_is_merged,
    ("GET", "/v1/sessions/{id}/attach", "wrong_state"): attach_to_what_never_ran,
    ("GET", "/v1/sessions/{id}/screen", "stream_unavailable"): screen_without_a_terminal,
    ("POST", "/v1/sessions/{id}/stdin", "wrong_offset"): type_where_nobody_is,
    ("POST", "/v1/sessions/{id}/stdin", "stdin_closed"): type_after_the_end,
    ("POST", "/v1/sessions/{id}/kill", "wrong_state"): signal_what_has_ended,
    ("POST", "/v1/sessions/{id}/observers", "wrong_state"): observe_by_another_backend,
}
UPGRADE_REQUIRED = 426

# It takes engines that crash to bring these about.
ELSEWHERE = {
    ("GET", "/v1/sessions/{id}/logs", "wrong_state"): "tests/torture/test_quarantine.py",
}

# --- errors that every route has -----------------------------------------------------------------


def with_an_unknown_parameter(api, row):
    return plain(api.request(row.method, target(row.path) + "?no-such-parameter=1"))


def for_a_session_that_is_not_there(api, row):
    return plain(api.request(row.method, target(row.path)))


def with_a_body_that_is_too_large(api, row):
    operation, _ = openapi.find(row.method, target(row.path))
    limit = operation.get("requestBody", {}).get("x-max-bytes", 0)
    return plain(api.request(row.method, target(row.path), b" " * (limit + 1)))


COMMON = {
    "invalid_argument": with_an_unknown_parameter,
    "not_found": for_a_session_that_is_not_there,
    "too_large": with_a_body_that_is_too_large,
}


def case_of(row):
    """What brings it about, as a function of the API; None for what SITUATIONS do."""
    if row.status == UPGRADE_REQUIRED:
        return attach_without_an_upgrade
    own = OWN.get((row.method, row.path, row.code))
    if own:
        return own
    common = COMMON.get(row.code)
    if common and (row.code != "not_found" or "{id}" in row.path):
        return lambda api: common(api, row)
    return None


def case_elsewhere(row):
    return ELSEWHERE.get((row.method, row.path, row.code))


def named(row):
    return "-".join(map(str, row))


HERE = [row for row in ROWS if case_of(row)]


@pytest.mark.shared
@pytest.mark.parametrize("row", HERE, ids=named)
def test_the_route_tells_the_error_that_is_documented(api, row):
    assert case_of(row)(api) == (row.status, row.code)


# --- errors that come before anybody looks at the route ------------------------------------------


def situation(code):
    return pytest.mark.parametrize(
        "row", [row for row in ROWS if row.code == code and not case_of(row)], ids=named
    )


@pytest.fixture(scope="module")
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > CONNECTIONS + 200, "this test needs more descriptors than the hard limit allows"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def own_daemon(**kw):
    instance = Reeve()
    try:
        instance.ok("daemon", "start", **kw)
        yield instance
    finally:
        end_with(instance)


def connect(api, stack, n):
    for _ in range(n):
        stack.enter_context(contextlib.closing(frames.Connection(api.path)))


@pytest.fixture(scope="module")
def crowded(many_descriptors):
    """A daemon all of whose connections are in use, but for those that are kept."""
    with own_daemon() as instance, contextlib.ExitStack() as stack:
        api = instance.api
        connect(api, stack, 1000)
        yield api


def take_kept_places(api, stack):
    """All of them; those of the test before may not be free again yet."""

    def all_are_taken():
        with contextlib.ExitStack() as attempt:
            sockets = [
                attempt.enter_context(contextlib.closing(frames.Connection(api.path))).sock
                for _ in range(KEPT)
            ]
            refused = select.poll()
            for sock in sockets:
                refused.register(sock, select.POLLIN)
            if api.get("/v1/daemon").status == 503 and not refused.poll(0):
                stack.push(attempt.pop_all())
                return True
        return False

    wait_for(all_are_taken)


@situation("unavailable")
def test_a_route_without_a_free_connection_is_unavailable(crowded, row):
    with contextlib.ExitStack() as stack:
        take_kept_places(crowded, stack)
        assert plain(crowded.request(row.method, target(row.path))) == (row.status, row.code)


@pytest.fixture(scope="module")
def exhausted():
    """A daemon that has no descriptor left."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

    with own_daemon(preexec_fn=limit) as instance, contextlib.ExitStack() as stack:
        api = instance.api
        connect(api, stack, DESCRIPTORS)
        yield api


@situation("exhausted")
def test_a_route_without_a_free_descriptor_is_exhausted(exhausted, row):
    assert plain(exhausted.request(row.method, target(row.path))) == (row.status, row.code)


def ask_as_another_user(path, requests):
    """The answers to raw requests of a process of another user that may open any file."""
    script = (
        "import json, socket, sys\n"
        "for request in json.load(sys.stdin):\n"
        "    with socket.socket(socket.AF_UNIX) as client:\n"
        "        client.connect(sys.argv[1])\n"
        "        client.sendall(request.encode())\n"
        "        answer = b''\n"
        "        while data := client.recv(65536):\n"
        "            answer += data\n"
        "        print(json.dumps(answer.decode()))\n"
    )
    capability = "+dac_override"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    done = subprocess.run(
        [*command, "/usr/bin/python3", "-c", script, path],
        input=json.dumps(requests).encode(),
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers_to_a_stranger():
    """What each route says to another user, by method and path; None where there can be none."""
    forbidden = [row for row in ROWS if row.code == "forbidden"]
    with own_daemon() as instance:
        api = instance.api
        if os.geteuid() != 0:
            modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (instance.dir, api.path)]
            assert modes == [0o700, 0o600], "only the kernel keeps other users out here"
            yield None
            return
        requests = [
            f"{row.method} {target(row.path)} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
            for row in forbidden
        ]
        answers = ask_as_another_user(api.path, requests)
        yield {row[:2]: answer for row, answer in zip(forbidden, answers, strict=True)}


@situation("forbidden")
def test_another_user_is_refused_whatever_the_route(answers_to_a_stranger, row):
    if answers_to_a_stranger is None:
        return  # the fixture has seen that no other user can come as far as that
    head, body = answers_to_a_stranger[row[:2]].split("\r\n\r\n", 1)
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    openapi.check_answer(row.method, target(row.path), row.status, headers, body.encode())
    assert (int(status.split()[1]), json.loads(body)["error"]["code"]) == (row.status, row.code)


SITUATIONS = {"unavailable", "exhausted", "forbidden"}


def test_every_documented_error_of_every_route_has_a_case():
    missing = [
        named(row)
        for row in ROWS
        if not case_of(row) and not case_elsewhere(row) and row.code not in SITUATIONS
    ]
    assert missing == []


def test_every_case_is_of_an_error_that_is_documented():
    documented = {(row.method, row.path, row.code) for row in ROWS}
    assert set(OWN) | set(ELSEWHERE) <= documented


def test_the_cases_elsewhere_are_where_it_is_said():
    root = pathlib.Path(__file__).resolve().parents[2]
    for (method, path, code), file in ELSEWHERE.items():
        text = (root / file).read_text()
        assert code in text and path.rpartition("/")[2] in text, file
