# SPDX-License-Identifier: Apache-2.0
"""What all operations have in common: prepared, done, and looked at afterwards.

A client here repeats what was cut off by the death of an engine, as `reeve` does."""

import itertools
import os
import subprocess

from daemon import HELPERS, Records

numbers = itertools.count(1)


def streams(seed, out, err):
    """What torture-stream writes to stdout and stderr."""
    command = [HELPERS / "torture-stream", *map(str, (seed, out, err))]
    done = subprocess.run(command, capture_output=True)
    return done.stdout, done.stderr


def stream(seed, size):
    return streams(seed, size, 0)[0]


def same_bytes(got, expected):
    """Says in a few words how they differ."""
    if got != expected:
        at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), None)
        raise AssertionError(f"{len(got)} bytes, {len(expected)} expected, different from {at} on")


class Operation:
    """One operation on one session, whose name is new each time."""

    name = None

    def __init__(self, daemon):
        self.daemon = daemon
        self.api = daemon.api
        self.called = f"s{next(numbers)}"
        self.session = None

    def prepare(self):
        pass

    def run(self):
        raise NotImplementedError

    def check(self):
        raise NotImplementedError

    def clean(self):
        """Ends and removes whatever there is."""
        for session in self.api.sessions():
            answer = self.api("DELETE", f"/v1/sessions/{session['processId']}?force=true")
            assert answer.status in (200, 404), answer

    # helpers

    def spawn(self, *command, **fields):
        self.session = self.daemon.spawn(*command, name=self.called, **fields)["processId"]

    def shell(self, line, **fields):
        self.spawn("sh", "-c", line, **fields)

    def show(self):
        """The session, which must be there exactly once and alone."""
        listed = self.api.sessions()
        assert [s["name"] for s in listed] == [self.called], listed
        return self.api.session(self.called)

    def check_exit(self, code, outcome="natural", cause="exit"):
        got = self.show()["exit"]
        assert (got["exitCode"], got["outcome"], got["cause"]) == (code, outcome, cause), got

    def check_records(self):
        Records(self.daemon.keeper, self.daemon.control, self.show()).check()


class Triggered(Operation):
    """A session that does nothing until a byte comes through a FIFO."""

    def prepare_shell(self, line, **fields):
        self.fifo = self.daemon.dir / f"{self.called}.fifo"
        os.mkfifo(self.fifo)
        self.shell(f"read go <{self.fifo.name}; {line}", **fields)

    def trigger(self):
        with open(self.fifo, "w") as fifo:
            fifo.write("go\n")
        self.fifo.unlink()
