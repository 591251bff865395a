# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: the real programs, each test with a daemon of its own.

$REEVE_BUILD names the directory of the programs; build/ of this tree when unset. A test that takes
`reeve` gets a fresh REEVE_DIR. After it, the daemon is stopped, and the test fails when a process
of it survives, or when a sanitizer left a report.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote, urlencode

import openapi
import pytest
from frames import CLOSED, Attachment, connected

BUILD = pathlib.Path(
    os.environ.get("REEVE_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build"
)
TIMEOUT = 60.0

# The tests may import what stands there, too.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "common"))


def wait_for(condition, timeout=TIMEOUT, what=None):
    """Polls until `condition()` is true and returns what it gave; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            pytest.fail(f"{name} did not come true in {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


# --- processes -----------------------------------------------------------------------------------


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name, state first; None when there is no such pid."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def start_time(pid):
    """With the pid, what names one process for good; None when it is gone or a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def alive(pid):
    return start_time(pid) is not None


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root):
    """The pids below `root`."""
    parents = {}
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields:
            parents.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def command_line(pid):
    with contextlib.suppress(OSError):
        return (
            pathlib.Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
        )
    return ""


def open_files(pid):
    """What the descriptors of a process are open on. One may be closed meanwhile."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def with_environment(entry):
    """The pids whose environment at their start had `entry` (KEY=VALUE)."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if entry.encode() in environment and pid != os.getpid():
                found.append(pid)
    return found


# --- the API -------------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=TIMEOUT):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = connected(self.path, self.timeout)


class Answer:
    """An answer that was read to its end."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error answer."""
        return self.json["error"]["code"]


class Api:
    """A small HTTP client of one daemon's socket. One connection a request. Each answer is held
    against the description of the API."""

    def __init__(self, path, cwd="/"):
        self.path = path
        self.cwd = str(cwd)

    def connect(self, timeout=TIMEOUT):
        """An http.client connection: for streams, upgrades and odd requests."""
        return UnixConnection(self.path, timeout)

    def request(self, method, path, body=None, headers=None, timeout=TIMEOUT):
        """`body`: bytes as they are, anything else but None as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        with contextlib.closing(self.connect(timeout)) as connection:
            with contextlib.suppress(*CLOSED):  # the answer came before all was sent
                connection.request(method, path, body, headers)
            answer = Answer(connection.getresponse())
        openapi.check_answer(method, path, answer.status, answer.headers, answer.body)
        return answer

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    # sessions; a name may be a session as the API gave it

    def path_of(self, session, action="", **query):
        """The target of a request; `from_` stands for `from`."""
        if isinstance(session, dict):
            session = session["id"]
        query = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        return f"/v1/sessions/{quote(session, safe='')}{action}" + (
            "?" + urlencode(query) if query else ""
        )

    def try_spawn(self, *command, key=None, **fields):
        """The answer to a spawn request."""
        headers = None if key is None else {"Idempotency-Key": key}
        body = {"command": list(command), "cwd": self.cwd, **fields}
        return self.post("/v1/sessions", body, headers=headers)

    def spawn(self, *command, **fields):
        """A new session."""
        answer = self.try_spawn(*command, **fields)
        assert answer.status == 201, answer.body
        return answer.json

    def sh(self, script, **fields):
        """A new session of a shell."""
        return self.spawn("sh", "-c", script, **fields)

    def show(self, session):
        answer = self.get(self.path_of(session))
        assert answer.status == 200, answer.body
        return answer.json

    def wait(self, session, *until, timeout="20s"):
        """What /wait says; with `until`, of the first of these conditions that comes true."""
        body = {"timeout": timeout, "until": [{name: True} for name in until]}
        answer = self.post(self.path_of(session, "/wait"), body)
        assert answer.status == 200, answer.body
        assert answer.json["fired"] != "timeout" or timeout != "20s", answer.body
        return answer.json

    def ended(self, session):
        """The session when its command and all its processes are gone."""
        self.wait(session, "tree")
        return self.show(session)

    def logs(self, session, **query):
        """A page of the output, as JSON."""
        answer = self.get(self.path_of(session, "/logs", **query))
        assert answer.status == 200, answer.body
        return answer.json

    def raw(self, session, **query):
        """The output as it is."""
        answer = self.get(self.path_of(session, "/logs", format="raw", **query))
        assert answer.status == 200, answer.body
        return answer.body

    def output(self, session, stream="stdout"):
        """All of the output of a session, once it is complete."""
        self.wait(session, "eof")
        return self.raw(session, stream=stream)

    def stdin(self, session, data, **query):
        return self.post(self.path_of(session, "/stdin", **query), data)

    def stop(self, session, **body):
        """What is left of a session that was stopped."""
        answer = self.post(self.path_of(session, "/stop"), body)
        assert answer.status == 200, answer.body
        return answer.json["process"]

    def kill(self, session, signal=None):
        return self.post(self.path_of(session, "/kill"), {"signal": signal} if signal else {})

    def attach(self, session, numbered=False, kind=Attachment, memory=False, **query):
        """An attachment; `frames.Refused` when the answer is not 101."""
        target = self.path_of(session, "/attach", **query)
        return kind(self.path, target, numbered=numbered, memory=memory)


# --- the command ---------------------------------------------------------------------------------


class Reeve:
    """The command `reeve` with a REEVE_DIR and an environment of its own."""

    programs = BUILD

    def __init__(self):
        # Short: a socket's path is limited to 107 bytes.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rv", dir="/tmp"))
        self.home = self.dir / "home"
        self.home.mkdir()
        self.env = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "REEVE_DIR": str(self.dir),
        }
        self.clients = []

    def popen(self, *args, **kw):
        """Starts `reeve ARG...`, with pipes unless told otherwise; ended with the test."""
        for stream in ("stdin", "stdout", "stderr"):
            kw.setdefault(stream, subprocess.PIPE)
        kw["env"] = {**self.env, **kw.get("env", {})}
        kw.setdefault("cwd", self.home)
        words = [arg if isinstance(arg, bytes) else str(arg) for arg in args]
        client = subprocess.Popen([self.programs / "reeve", *words], **kw)
        self.clients.append(client)
        return client

    def __call__(self, *args, input=b"", timeout=TIMEOUT, **kw):
        """Runs `reeve ARG...` to its end; stdout, stderr and input are bytes."""
        client = self.popen(*args, **kw)
        try:
            out, err = client.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            client.kill()
            out, err = client.communicate()
            pytest.fail(f"reeve {' '.join(map(str, args))} hangs; stdout {out!r}, stderr {err!r}")
        return subprocess.CompletedProcess(client.args, client.returncode, out, err)

    def ok(self, *args, **kw):
        """The same, and it must succeed; returns stdout as text without the last newline."""
        result = self(*args, **kw)
        assert result.returncode == 0, (result.args, result.stdout, result.stderr)
        return result.stdout.decode().removesuffix("\n")

    def json(self, *args, **kw):
        return json.loads(self.ok(*args, **kw))

    # the daemon

    def status(self):
        """What `daemon status --json` says; None when no daemon runs."""
        result = self("daemon", "status", "--json")
        return json.loads(result.stdout) if result.returncode == 0 else None

    def start(self):
        """Starts the daemon when it does not run, and returns its status."""
        status = self.status()
        if status is None:
            self.ok("daemon", "start")
            status = self.status()
        assert status, self.log()
        return status

    @property
    def api(self):
        return Api(self.start()["socket"], self.home)

    def kill_engine(self):
        """Ends the engine with SIGKILL; returns the pid of the one that took over."""
        old = self.start()["enginePid"]
        os.kill(old, signal.SIGKILL)

        def another_engine_answers():
            status = self.status()
            return status and status["enginePid"] not in (0, old) and status["enginePid"]

        return wait_for(another_engine_answers)

    def log(self):
        with contextlib.suppress(OSError):
            return (self.dir / "reeve.log").read_text(errors="replace")
        return ""

    # the end

    def members(self):
        """(pid, start time) of all that belongs to this daemon, itself included."""
        pids = set(with_environment(f"REEVE_DIR={self.dir}"))
        for pid in list(pids):
            pids.update(descendants(pid))
        return {(pid, start) for pid in pids if (start := start_time(pid)) is not None}

    def end(self):
        """Stops everything; returns what survived that should not have, as text."""
        for client in self.clients:
            if client.poll() is None:
                client.kill()
            if client.stdin and client.stdin.closed:
                client.stdin = None  # communicate() would flush it
            client.communicate()
        before = self.members()
        stopped = subprocess.run(
            [self.programs / "reeve", "daemon", "stop"], env=self.env, capture_output=True, timeout=60
        )
        complaints = []
        if before and stopped.returncode != 0:
            complaints.append(f"daemon stop: {stopped.stderr!r}")

        def survivors():
            return {m for m in before | self.members() if start_time(m[0]) == m[1]}

        deadline = time.monotonic() + TIMEOUT
        while survivors() and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid, _ in survivors():
            complaints.append(f"survived: {pid} {command_line(pid)}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for report in self.dir.glob("sanitizer.*"):
            text = report.read_text(errors="replace")
            # Not a warning: ASan gives one about the stack that a spawned child runs on.
            if "ERROR:" in text or "runtime error:" in text:
                complaints.append(text)
        if complaints:
            complaints.append(self.log()[-4000:])
        shutil.rmtree(self.dir, ignore_errors=True)
        return "\n".join(complaints)


def pytest_configure(config):
    config.addinivalue_line("markers", "shared: a daemon for several tests; each finds no session")


def end_with(instance):
    complaints = instance.end()
    if complaints:
        pytest.fail(complaints)


@pytest.fixture
def reeve():
    instance = Reeve()
    try:
        yield instance
    finally:
        end_with(instance)


@pytest.fixture(scope="module")
def shared_reeve():
    instance = Reeve()
    try:
        yield instance
    finally:
        end_with(instance)


@pytest.fixture
def shared_api(shared_reeve):
    api = shared_reeve.api
    yield api
    for session in api.get("/v1/sessions?all=false").json["items"]:
        api.post(api.path_of(session, "/stop"), {"plan": "KILL"})
    api.post("/v1/sessions/purge", {})
    assert api.get("/v1/sessions").json["items"] == []


@pytest.fixture
def api(request):
    """The API of a daemon of the test's own, or of a shared one where the test is marked so and
    does nothing to the daemon itself."""
    if request.node.get_closest_marker("shared") and "reeve" not in request.fixturenames:
        return request.getfixturevalue("shared_api")
    return request.getfixturevalue("reeve").api
