# SPDX-License-Identifier: Apache-2.0
"""Many sessions that are observed at once: what they cost the daemon, and those who only type. What
the latter pay for the same sessions when nobody observes them stands beside.
"""

import contextlib
import pathlib
import subprocess
import tempfile
import time

import terminal

SESSIONS = 200
RATE = 250  # a second and session: what is opened is closed, so twice as many events
EVENTS = 2 * RATE * SESSIONS
LOAD_SECONDS = 60  # more than is measured
BEGIN_SECONDS = 3
IDLE_SECONDS = 4
BUSY_SECONDS = 8
KEYS = 200
CATEGORIES = ["file", "network", "process"]


def start(bench, daemon, path, observe=True):
    """Sessions that are observed from their beginning; their ids."""
    load = [bench.program("load"), "paced", str(RATE), str(LOAD_SECONDS), str(path)]
    body = {"command": load, "cwd": "/"}
    if observe:
        body["observe"] = {"categories": CATEGORIES}
    return [daemon.post("/v1/sessions", body)["id"] for _ in range(SESSIONS)]


def counts(daemon, sessions):
    """Of all sessions: the events that happened, that were missed, that were handed out or wait."""
    subs = [daemon.request("GET", f"/v1/sessions/{s}/observers/sub-1") for s in sessions]
    missed = sum(sub["missedEvents"] for sub in subs)
    stored = sum(sub["deliveredEvents"] for sub in subs)
    waiting = sum(sub["waitingEvents"] for sub in subs)
    return stored, missed, waiting


@contextlib.contextmanager
def reading(bench, daemon, sessions):
    """All events of all sessions, as lines of JSON."""
    paths = [f"/v1/sessions/{session}/observers/sub-1/events" for session in sessions]
    words = [bench.program("reader"), daemon.socket, *paths]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as reader:
        yield
        reader.kill()


class Typist:
    """Types into a terminal that nobody observes."""

    def __init__(self, bench, daemon):
        words = [bench.BUILD / "reeve", "run", "-d", "--pty", "--", *terminal.ECHO]
        session = bench.run(*words, env=daemon.env).strip()
        client = [bench.BUILD / "reeve", "attach", session]
        self.words = [bench.program("terminal"), "echo", KEYS, *client]
        self.env = {**daemon.env, "TERM": "xterm"}
        self.bench = bench

    def echoes(self, seconds):
        """(p50, p99) of the times from key to echo."""
        end = time.monotonic() + seconds
        times = []
        while time.monotonic() < end:
            times += map(float, self.bench.run(*self.words, env=self.env).split())
        times.sort()
        return times[len(times) // 2], times[len(times) * 99 // 100]


def unobserved(bench, path):
    """Ratios of p50 and p99."""
    with bench.Daemon() as daemon:
        typist = Typist(bench, daemon)
        idle = typist.echoes(IDLE_SECONDS)
        start(bench, daemon, path, observe=False)
        time.sleep(BEGIN_SECONDS)
        return [a / b for a, b in zip(typist.echoes(BUSY_SECONDS), idle)]


def measure(bench, path, read):
    """Processors, events a second, missed before the sink in percent, ratios of p50 and p99."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(bench.Daemon())
        typist = Typist(bench, daemon)
        idle = typist.echoes(IDLE_SECONDS)
        sessions = start(bench, daemon, path)
        if read:
            stack.enter_context(reading(bench, daemon, sessions))
        time.sleep(BEGIN_SECONDS)
        status = daemon.status()
        stored, missed, waiting = counts(daemon, sessions)
        used, begin = bench.processor_seconds(status), time.monotonic()
        busy = typist.echoes(BUSY_SECONDS)
        used, took = bench.processor_seconds(status) - used, time.monotonic() - begin
        more = counts(daemon, sessions)
    stored, missed, waiting = more[0] - stored, more[1] - missed, more[2] - waiting
    if not read:
        missed -= stored - waiting  # what nobody reads is pushed out of its sink
    return (
        used / took,
        (stored + missed) / took,
        100 * missed / (stored + missed),
        *(a / b for a, b in zip(busy, idle)),
    )


def figures(rounds, bench):
    """`bench`: the module that measures the rest."""
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as name:
        file = pathlib.Path(name) / "file"
        file.write_text("x" * 100)
        found = [
            bench.Figure(f"{SESSIONS} not observed: echo p50", unit=" x"),
            bench.Figure(f"{SESSIONS} not observed: echo p99", unit=" x"),
        ]
        for _ in range(rounds):
            for figure, value in zip(found, unobserved(bench, file)):
                figure.add(value)
        yield from found
        for read in (False, True):
            of = f"{SESSIONS} observed, {'each read' if read else 'nobody reads'}: "
            found = [
                bench.Figure(of + "processors used", 1, at_least=False),
                bench.Figure(of + "events/s", 0.95 * EVENTS),
                bench.Figure(of + "missed", 0, at_least=False, unit=" %"),
                bench.Figure(of + "echo p50", 2, at_least=False, unit=" x"),
                bench.Figure(of + "echo p99", 2, at_least=False, unit=" x"),
            ]
            for _ in range(rounds):
                for figure, value in zip(found, measure(bench, file, read)):
                    figure.add(value)
            yield from found
