# SPDX-License-Identifier: Apache-2.0
"""What reeve costs, as ratios to the bare ceiling: a C program that does the same with nothing in
between. Called by ./dev bench; the programs are those of $REEVE_BUILD.

Machines are noisy. So the bare run and reeve's take turns (A B A B ...), each pair gives one ratio,
and what counts is the median. Moving bytes is two or three processes' work at the same time: where
others want the processors too, their ratios say more about those others. --realtime keeps them out.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import many
import observe
import terminal

BUILD = pathlib.Path(
    os.environ.get("REEVE_BUILD") or pathlib.Path(__file__).resolve().parents[1] / "build"
)
TIMEOUT = 120
MIB = 1 << 20
SESSIONS = 1000
LISTED = 100
CYCLES = 1000
LOOPS = 100
LOOP = 'i=0; while [ $i -lt %d ]; do "$@" >/dev/null; i=$((i+1)); done' % LOOPS

# What a run moves: enough that the price of starting it (a millisecond) does not show.
BLOCKS = [
    ("1 MiB", MIB, 1024 * MIB),
    ("64 KiB", 65536, 1024 * MIB),
    ("4 KiB", 4096, 256 * MIB),
    ("100 B", 100, 25 * MIB),
]
CAPTURE_TARGETS = {"1 MiB": 1.2, "64 KiB": 0.9, "4 KiB": 0.55, "100 B": 0.65}


def program(name):
    return str(BUILD / "bench" / ("bench-" + name))


def run(*words, env=None):
    """What a command prints; its failure is the end."""
    words = [str(word) for word in words]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env, timeout=TIMEOUT
    )
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(words)}: status {done.returncode}")
    return done.stdout.decode()


def bare(*words, env=None):
    return float(run(program("bare"), *words, env=env))


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench: waited {TIMEOUT} s for {what}")
        time.sleep(0.01)


# --- the daemon --------------------------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """A daemon of its own, in a fresh directory; stopped, with all its sessions, at the end.
    `first`: words before its command, and those of its sessions that are to be like it."""

    def __init__(self, *first, **env):
        self.first = first
        self.env = {**os.environ, **env}

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="reeve-bench.")
        self.socket = os.path.join(self.dir, "api.sock")
        self.env["REEVE_DIR"] = self.dir
        self.keeper = subprocess.Popen(
            [*self.first, str(BUILD / "reeve-keeper"), "--dir", self.dir, "--foreground"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.env,
        )
        wait_for(self.answers, "the daemon to answer")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.request("POST", "/v1/daemon/stop")
        try:
            self.keeper.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def answers(self):
        if self.keeper.poll() is not None:
            sys.exit("bench: the daemon has ended")
        with contextlib.suppress(OSError):
            return bool(self.status())

    def request(self, method, path, body=None):
        with contextlib.closing(Connection(self.socket)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        if answer.status not in (200, 201):
            raise OSError(f"{method} {path}: {answer.status} {text!r}")
        return json.loads(text)

    def post(self, path, body):
        return self.request("POST", path, body)

    def status(self):
        return self.request("GET", "/v1/daemon")

    def sessions(self):
        return self.request("GET", "/v1/sessions")["items"]

    def show(self, session):
        return self.request("GET", f"/v1/sessions/{session}")

    def purge(self):
        self.request("POST", "/v1/sessions/purge")

    def client(self, *words):
        return float(run(program("client"), self.socket, *words))

    def reeve(self, how, count, *words):
        """The seconds that bench-bare measures for `reeve WORDS`."""
        return bare(how, count, BUILD / "reeve", *words, env=self.env)

    def processes(self):
        """Keeper, spawner and engine. Sessions' own processes are the keeper's children too."""
        status = self.status()
        own = {status["keeperPid"], status["enginePid"]}
        image = os.stat(f"/proc/{status['keeperPid']}/exe").st_ino
        children = pathlib.Path(f"/proc/{status['keeperPid']}/task/{status['keeperPid']}/children")
        for pid in map(int, children.read_text().split()):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/exe").st_ino == image:
                    own.add(pid)
        return own


# --- one ratio a round -------------------------------------------------------------------------


class Figure:
    """Ratios of one kind, and the limit that their median must keep."""

    def __init__(self, name, target=None, at_least=True, unit=""):
        self.name, self.target, self.at_least, self.unit = name, target, at_least, unit
        self.values = []

    def add(self, value):
        self.values.append(value)

    @property
    def met(self):
        if self.target is None:
            return None
        median = statistics.median(self.values)
        return median >= self.target if self.at_least else median <= self.target

    def row(self):
        v = self.values
        spread = f"{statistics.median(v):.2f}{self.unit} ({min(v):.2f}..{max(v):.2f})"
        if self.target is None:
            return [self.name, spread, "", ""]
        limit = f"{'>=' if self.at_least else '<='} {self.target:g}{self.unit}"
        return [self.name, spread, limit, "met" if self.met else "NOT MET"]


def capture(rounds):
    """The time runs from the request until the answer that says the output has ended: every byte is
    in the ring by then, and as many were read in the bare run. The writer's own clock would leave
    out what its pipe still holds when it ends, and with it part of the reader's work."""
    for name, block, total in BLOCKS:
        figure = Figure(f"capture, writes of {name}", CAPTURE_TARGETS[name])
        words = (program("writer"), block, total)
        with Daemon() as daemon:
            for _ in range(rounds):
                ceiling = bare("read", total, *words)
                figure.add(ceiling / daemon.client("eof", 1, 1, 1, *words))
                written = daemon.sessions()[0]["streams"]["stdout"]["written"]
                if written != total:
                    sys.exit(f"bench: {written} bytes were captured, not {total}")
                daemon.purge()
        yield figure


def attached(rounds):
    for name, block, total in BLOCKS:
        figure = Figure(f"reeve run >/dev/null, writes of {name}", 0.4)
        words = (program("writer"), block, total)
        with Daemon() as daemon:
            for _ in range(rounds):
                ceiling = bare("read", total, *words)
                figure.add(ceiling / daemon.reeve("each", 1, "run", "--", *words))
                daemon.purge()
        yield figure


def spawning(rounds):
    one = Figure("spawn and wait, one connection, 4 in flight", 0.7)
    four = Figure("spawn and wait, 4 connections, 1 in flight each")
    with Daemon() as daemon:
        for _ in range(rounds):
            ceiling = bare("spawn", CYCLES, "/bin/true")
            one.add(ceiling / daemon.client("exit", 1, 4, CYCLES, "/bin/true"))
            ceiling = bare("spawn", CYCLES, "/bin/true")
            four.add(ceiling / daemon.client("exit", 4, 1, CYCLES, "/bin/true"))
            daemon.purge()
    yield one
    yield four


def shell(rounds):
    loop = Figure("reeve run -d in a shell loop", 0.4)
    with Daemon() as daemon:
        words = ("spawn", 1, "/bin/sh", "-c", LOOP, "sh")
        for _ in range(rounds):
            ceiling = bare(*words, "/bin/true")
            loop.add(
                ceiling
                / bare(*words, BUILD / "reeve", "run", "-d", "--", "/bin/true", env=daemon.env)
            )
            daemon.purge()
    yield loop


def listing(rounds):
    figure = Figure(f"reeve ps, {LISTED} sessions", 4, at_least=False, unit=" x")
    with Daemon() as daemon:
        daemon.client("start", 4, LISTED, "/bin/sleep", 86400)
        for _ in range(rounds):
            ceiling = bare("each", 50, "/bin/true")
            figure.add(daemon.reeve("each", 50, "ps") / ceiling)
    yield figure


# --- memory and recovery -----------------------------------------------------------------------


def pss_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def kernel_kib():
    """What the kernel itself holds, of the whole machine."""
    names = ("Slab", "KernelStack", "PageTables", "Percpu")
    with open("/proc/meminfo") as lines:
        fields = dict(line.split(":") for line in lines)
    return sum(int(fields[name].split()[0]) for name in names)


def bare_kernel_kib():
    """Kernel memory of one process that sleeps, without reeve."""
    before = kernel_kib()
    sleepers = [subprocess.Popen(["/bin/sleep", "86400"]) for _ in range(SESSIONS)]
    after = kernel_kib()
    for sleeper in sleepers:
        sleeper.kill()
    for sleeper in sleepers:
        sleeper.wait()
    return (after - before) / SESSIONS


def memory(rounds):
    rounds = (rounds + 1) // 2
    idle = Figure(f"memory of an idle session, of {SESSIONS}", 16, at_least=False, unit=" KiB")
    line = Figure("the same after a line of output", 24, at_least=False, unit=" KiB")
    kernel = Figure("kernel memory of an idle session, its process left out", unit=" KiB")
    recovery = Figure("recovery: first answer / time to spawn", 0.2, at_least=False)
    recovery_ms = Figure("recovery: first answer", unit=" ms")
    for _ in range(rounds):
        process = bare_kernel_kib()
        with Daemon() as daemon:
            pss, held = pss_kib(daemon.processes()), kernel_kib()
            spawned = daemon.client("start", 4, SESSIONS, "/bin/sleep", 86400)
            idle.add((pss_kib(daemon.processes()) - pss) / SESSIONS)
            kernel.add((kernel_kib() - held) / SESSIONS - process)
            answered = daemon.client("recover", daemon.status()["enginePid"])
            recovery.add(answered / spawned)
            recovery_ms.add(answered * 1000)
            if daemon.status()["sessions"] != SESSIONS:
                sys.exit("bench: sessions were lost")
        with Daemon() as daemon:
            pss = pss_kib(daemon.processes())
            daemon.client("start", 4, SESSIONS, "/bin/sh", "-c", "echo line; exec sleep 86400")
            wait_for(
                lambda: all(s["streams"]["stdout"]["written"] == 5 for s in daemon.sessions()),
                "a line of each session",
            )
            line.add((pss_kib(daemon.processes()) - pss) / SESSIONS)
    yield from (idle, line, kernel, recovery, recovery_ms)


# --- rest --------------------------------------------------------------------------------------

IDLE_SECONDS = 5
IDLE_SESSIONS = 500
INPUT = [{"exit": True}, {"input": True}]
IDLE = {
    "exit, match, idle, port": (
        "pipe",
        [{"exit": True}, {"match": "x"}, {"idle": "1h"}, {"port": 1}],
        {},
    ),
    "http": ("pipe", [{"http": "http://localhost:1/"}], {}),
    "input": ("pty", INPUT, {}),
    "input, without cgroups": ("pty", INPUT, {"REEVE_CGROUP": "off"}),
    "input, looked at by the keeper": ("pty", INPUT, {"REEVE_TYPING": "keeper"}),
}


def processor_seconds(status):
    """What keeper and engine have used, with all their threads."""
    tasks = [pathlib.Path(f"/proc/{status[name]}/task") for name in ("keeperPid", "enginePid")]
    files = [file for task in tasks for file in task.glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def idle_share(kind, until, env):
    """The part of a processor, in percent, that keeper and engine use while each of the sessions is
    waited for and nothing happens."""
    with Daemon(**env) as daemon, contextlib.ExitStack() as stack:
        for _ in range(IDLE_SESSIONS):
            body = {"command": ["/bin/sleep", "86400"], "kind": kind}
            session = daemon.post("/v1/sessions", body)["id"]
            connection = stack.enter_context(contextlib.closing(Connection(daemon.socket)))
            wait = json.dumps({"until": until, "timeout": "1h"})
            connection.request("POST", f"/v1/sessions/{session}/wait", wait)
        time.sleep(2)  # the first looks come sooner than the later ones
        status = daemon.status()
        before, start = processor_seconds(status), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return 100 * (processor_seconds(status) - before) / (time.monotonic() - start)


def idle(rounds):
    for name, case in IDLE.items():
        figure = Figure(f"{IDLE_SESSIONS} wait for {name}", 1, at_least=False, unit=" %")
        for _ in range(min(rounds, 3)):
            figure.add(idle_share(*case))
        yield figure


def on_terminals(rounds):
    yield from terminal.figures(rounds, sys.modules[__name__])


def observing(rounds):
    yield from observe.figures(rounds, sys.modules[__name__])


def many_observed(rounds):
    yield from many.figures(rounds, sys.modules[__name__])


# --- all of it ---------------------------------------------------------------------------------

PARTS = {
    "capture": capture,
    "attached": attached,
    "spawning": spawning,
    "shell": shell,
    "listing": listing,
    "memory": memory,
    "idle": idle,
    "observing": observing,
    "many": many_observed,
    "terminal": on_terminals,
}
WIDTHS = (56, 28, 12, 0)


def show(row):
    print("".join(cell.ljust(width) for cell, width in zip(row, WIDTHS)).rstrip(), flush=True)


def run_first():
    """Bare runs and reeve's alike come before all other processes; children inherit it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        sys.exit("bench: --realtime needs root")


def describe(realtime):
    cpus, load = os.cpu_count(), os.getloadavg()[0]
    with Daemon() as daemon:
        cgroups = "on" if daemon.status()["cgroups"] else "off"
    print(f"Linux {platform.release()}, {cpus} processors, load {load:.1f}, cgroups {cgroups}")
    if load > cpus / 2 and not realtime:
        print("Others are at work here: figures will be off. --realtime, as root, keeps them out.")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("-r", "--rounds", type=int, default=7, help="pairs of runs (default: 7)")
    parser.add_argument(
        "--realtime", action="store_true", help="run before all other processes (needs root)"
    )
    parser.add_argument("--check", action="store_true", help="fail when a target is not met")
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    options = parser.parse_args()
    for part in options.part:
        if part not in PARTS:
            parser.error(f"{part}: no such part")
    if options.rounds < 1:
        parser.error("-r: expected a number above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.realtime:
        run_first()
    describe(options.realtime)
    show(["figure", "median (least..most)", "target", ""])
    missed = False
    for part in options.part or PARTS:
        for figure in PARTS[part](options.rounds):
            show(figure.row())
            missed |= figure.met is False
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
