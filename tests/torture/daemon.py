# SPDX-License-Identifier: Apache-2.0
"""A daemon of one's own to be tortured: its processes, its API, its control memory.

$REEVE_BUILD names a build directory made with -Dtorture=true; build-torture/ of this tree when unset.
"""

import contextlib
import http.client
import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from processes import alive, draws, environment_of, name_of, open_files, processes_with

BUILD = pathlib.Path(
    os.environ.get("REEVE_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build-torture"
)
HELPERS = BUILD / "tests" / "torture"
FULL = os.environ.get("REEVE_TORTURE") == "full"
TIMEOUT = 30.0

BROKEN = (ConnectionError, http.client.HTTPException, FileNotFoundError)


def size(full, small):
    """How much of something: the whole under `./dev torture`, a small part under `./dev test`."""
    return full if FULL else small


def wait_for(condition, what, timeout=TIMEOUT, longest=0.02):
    """Polls until `condition()` is true and returns what it gave."""
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout:g} s"
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


# --- the API -----------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


class Api:
    def __init__(self, path):
        self.path = str(path)

    def once(self, method, target, body=None, headers=None, timeout=TIMEOUT):
        """One request; raises one of BROKEN when the engine dies over it."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        with contextlib.closing(UnixConnection(self.path, timeout)) as connection:
            connection.request(method, target, body, headers)
            return Answer(connection.getresponse())

    def __call__(self, method, target, body=None, headers=None):
        """The same, asked again for as long as engines die over it."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return self.once(method, target, body, headers)
            except BROKEN as error:
                assert time.monotonic() < deadline, f"{method} {target}: {error!r}"
                time.sleep(0.002)

    def ok(self, method, target, body=None, headers=None):
        answer = self(method, target, body, headers)
        assert answer.status in (200, 201, 202), (method, target, answer)
        return answer.json

    def sessions(self):
        return self.ok("GET", "/v1/sessions?limit=1000")["items"]

    def session(self, key):
        return self.ok("GET", f"/v1/sessions/{key}")

    def wait(self, key, until="exit"):
        body = {"until": [{until: True}], "timeout": f"{TIMEOUT:g}s"}
        answer = self.ok("POST", f"/v1/sessions/{key}/wait", body)
        assert answer["fired"] != "timeout", answer
        return answer

    def output(self, key, stream="stdout"):
        answer = self("GET", f"/v1/sessions/{key}/logs?stream={stream}&format=raw&limit=100000000")
        assert answer.status == 200, answer
        return answer.body


# --- control memory ----------------------------------------------------------------------------


class Slot:
    """The record of one session."""

    def __init__(self, control, number):
        self.control = control
        self.number = number
        self.base = number * control.places["record"]

    def __getitem__(self, name):
        return self.control.word(self.base + self.control.places[f"slot.{name}"])

    @property
    def pid(self):
        return self["pid"] & 0xFFFFFFFF


class Control:
    """The daemon's control memory, as keeper and engine see it."""

    ENGINE, KEEPER, SPAWNER = range(3)
    NEVER = 1 << 40

    def __init__(self, keeper):
        text = subprocess.run([HELPERS / "torture-layout"], capture_output=True, check=True).stdout
        self.places = {n: int(v) for n, v in (line.split() for line in text.decode().splitlines())}
        with self.open_memory(keeper, "reeve-control") as file:
            self.map = mmap.mmap(file.fileno(), self.places["size"])
        self.words = memoryview(self.map).cast("Q")

    def close(self):
        self.words.release()
        self.map.close()

    @staticmethod
    def open_memory(pid, name):
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(path).startswith(f"/memfd:{name}"):
                    return open(path, "r+b")
        raise LookupError(f"{pid} holds no {name}")

    def word(self, offset):
        return self.words[offset // 8]

    def __getitem__(self, name):
        return self.word(self.places[f"daemon.{name}"])

    def __setitem__(self, name, value):
        self.words[self.places[f"daemon.{name}"] // 8] = value

    def arm(self, role, passages):
        """A process of that role dies at so many passages from now on; 0 disarms."""
        self.words[self.places["daemon.torture"] // 8 + role] = passages

    def left(self, role):
        return self.word(self.places["daemon.torture"] + 8 * role)

    def slots(self):
        """The live ones."""
        step = self.places["record"] // 8
        states = self.words[self.places["slot.state"] // 8 :: step].tolist()
        live = self.places["state.live"]
        return [Slot(self, n) for n in range(1, len(states)) if states[n] == live]

    def slot(self, handle):
        return next(slot for slot in self.slots() if slot["handle"] == handle)


class Records:
    """The index of a session: each capture step once."""

    def __init__(self, keeper, control, session):
        slot = control.slot(session["handle"])
        size = slot["index_size"]
        at = slot["meta_size"] + control.places["index.gap"]
        with self.open_session(keeper, session["name"]) as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                raw = memory[at : at + size]
        self.written = slot["index_head"]
        entries = [
            struct.unpack_from("<QQ", raw, 16 * (n % (size // 16)))
            for n in range(max(0, self.written - size // 16), self.written)
        ]
        self.ends = {0: [], 1: []}
        for when_stream, end in entries:
            self.ends[when_stream >> 60].append(end)
        self.heads = {0: slot["out.head"], 1: slot["err.head"]}

    @staticmethod
    def open_session(keeper, name):
        for number in os.listdir(f"/proc/{keeper}/fd"):
            path = f"/proc/{keeper}/fd/{number}"
            if not os.readlink(path).startswith("/memfd:reeve-session"):
                continue
            file = open(path, "rb")
            length = struct.unpack("<Q", file.read(8))[0]
            if json.loads(file.read(length)).get("name") == name:
                return file
            file.close()
        raise LookupError(f"no memory of {name}")

    def check(self):
        for stream, ends in self.ends.items():
            assert all(a < b for a, b in zip(ends, ends[1:])), (stream, ends)
            assert (ends[-1] if ends else 0) == self.heads[stream], (stream, ends[-3:], self.heads)


# --- the daemon --------------------------------------------------------------------------------


class Daemon:
    def __init__(self, **environment):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        self.mark = f"TORTURE_DIR={self.dir}"
        self.env = {
            "HOME": str(self.dir),
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "REEVE_DIR": str(self.dir),
            "TORTURE_DIR": str(self.dir),
            **environment,
        }
        self.api = Api(self.dir / "api.sock")
        self.clients = []
        self.children = []
        self.start()

    def start(self):
        """Starts keeper and engine; returns when the API answers."""
        with open(self.dir / "log", "ab") as log:
            keeper = subprocess.Popen(
                [BUILD / "reeve-keeper", "--dir", self.dir, "--foreground"],
                cwd=self.dir,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children.append(keeper)

        def is_up():
            assert keeper.poll() is None, self.log()
            return self.answers() == keeper.pid

        wait_for(is_up, "an answer of the daemon", 20)
        self.control = Control(keeper.pid)

    def answers(self):
        """The keeper's pid as the API tells it; None while there is no answer."""
        with contextlib.suppress(*BROKEN):
            return self.api.once("GET", "/v1/daemon").json["keeperPid"]
        return None

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    @property
    def keeper(self):
        return self.control["keeper_pid"]

    @property
    def engine(self):
        """0 while none runs."""
        return self.control["engine_pid"]

    @property
    def spawner(self):
        return self.control["spawner_pid"]

    def send(self, pid, number=signal.SIGKILL):
        """Signals a process of this daemon; returns whether it was there to be hit."""
        if not pid:
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if self.mark.encode() not in environment_of(pid):
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def kill_engine(self):
        """Ends the engine and waits until another one runs, not until that has loaded."""
        old = wait_for(lambda: self.engine, "an engine")
        # In the middle of its execve a process shows no environment by which to know it.
        wait_for(lambda: self.send(old) or self.engine != old, "the end of the engine")
        wait_for(lambda: self.engine not in (0, old), "another engine")

    def kill_keeper(self):
        """Ends the keeper and waits until another one has taken over."""
        before = self.takeovers()
        old = self.keeper
        wait_for(lambda: self.send(old) or not alive(old), "the end of the keeper")
        wait_for(lambda: self.takeovers() > before, "another keeper")

    def takeovers(self):
        return self.log().count("took over the sessions")

    def context(self):
        """What every spawn request says of its surroundings: not every user has a home."""
        return {"env": self.env, "cwd": str(self.dir)}

    def spawn(self, *command, key=None, **fields):
        """Starts a session over the API, however many engines die over it."""
        body = {"command": [str(word) for word in command], **self.context(), **fields}
        headers = {"Idempotency-Key": key or f"{random.getrandbits(64):x}"}
        return self.api.ok("POST", "/v1/sessions", body, headers)

    def reeve(self, *args, **kw):
        """Starts the command `reeve`."""
        for stream in ("stdin", "stdout", "stderr"):
            kw.setdefault(stream, subprocess.DEVNULL)
        client = subprocess.Popen([BUILD / "reeve", *map(str, args)], env=self.env, **kw)
        self.clients.append(client)
        return client

    # invariants

    def cgroup(self):
        """The directory of the sessions' cgroups; None where there is none."""
        for file in open_files(self.keeper):
            if file.startswith("/sys/fs/cgroup/"):
                return pathlib.Path(file)
        return None

    def leaves(self):
        directory = self.cgroup()
        return [d for d in directory.iterdir() if d.is_dir()] if directory else []

    def census(self):
        """What must be the same before and after: processes, descriptors, cgroups. Not those that
        draw, which end when they have rested."""
        all_processes = processes_with(self.mark)
        drawers = sum(map(draws, all_processes))
        return {
            "processes": len(all_processes) - drawers,
            "keeper": len(open_files(self.keeper)),
            "engine": len(open_files(self.engine)) - drawers,
            "cgroups": len(self.leaves()),
        }

    def quiet(self):
        """The census of a daemon at rest, without a session."""

        def stands_still():
            first = self.census()
            time.sleep(0.02)
            return first if self.census() == first else None

        if self.cgroup():
            wait_for(lambda: len(self.leaves()) == 8, "the pool of cgroups")
        return wait_for(stands_still, "rest")

    def members(self):
        """The processes of sessions."""
        mine = {self.keeper, self.engine, self.control["spawner_pid"]}
        return {pid for pid in processes_with(self.mark) if not draws(pid)} - mine

    def names(self):
        """The names of the processes of sessions, sorted."""
        return sorted(name_of(pid) for pid in self.members())

    def roster(self):
        """The slots that the next daemon would take for sessions that were lost."""
        data = (self.dir / "roster").read_bytes()
        return [n // 512 for n in range(512, len(data), 512) if data[n]]

    def settle(self, expected, names=("processes", "keeper", "engine", "cgroups"), timeout=TIMEOUT):
        """Waits until nothing is more than expected; a leak never goes away."""
        deadline = time.monotonic() + timeout
        while any((now := self.census())[name] > expected[name] for name in names):
            if time.monotonic() > deadline:
                files = [sorted(open_files(pid)) for pid in (self.keeper, self.engine)]
                raise AssertionError(f"leaked: {now}, before {expected}; {files}\n{self.tail()}")
            time.sleep(0.01)

    def tail(self):
        return self.log()[-3000:]

    # the end

    def end(self):
        """Stops everything; returns what survived that should not have, as text."""
        for client in self.clients:
            client.kill()
            client.wait()
        for role in range(3):
            self.control.arm(role, 0)
        keeper = self.keeper
        self.send(self.engine, signal.SIGCONT)
        self.send(keeper, signal.SIGCONT)
        self.send(keeper, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while left := self.survivors():
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        complaint = ""
        for pid in left:
            command = " ".join(map(os.fsdecode, command_line(pid)))
            complaint += f"survived: {pid} {command}\n"
            self.send(pid)
        if complaint:
            complaint += self.tail()
        for child in self.children:
            child.wait()
        self.control.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return complaint

    def survivors(self):
        for child in self.children:
            child.poll()
        return processes_with(self.mark)


def command_line(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []
