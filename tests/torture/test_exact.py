# SPDX-License-Identifier: Apache-2.0
"""What children write arrives once and in order, and their exit codes are right, whoever is killed."""

import hashlib
import math
import os
import random
import signal
import subprocess
import threading
import time

from attach import OUTPUT, PTY, TerminalAttachment
from daemon import HELPERS, TIMEOUT, size, wait_for

SESSIONS = 8
# Since Linux 6.15 a pidfd tells the exit code of a process that another has reaped.
KERNEL_TELLS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
MIB = 1 << 20


class Hash(threading.Thread):
    """Reads a pipe to its end, no faster than `gate` allows."""

    def __init__(self, file, gate=None):
        super().__init__(daemon=True)
        self.file = file
        self.gate = gate
        self.size = 0
        self.sum = hashlib.sha256()
        self.start()

    def run(self):
        with self.file:
            while piece := self.file.read1(1 << 18):
                self.sum.update(piece)
                self.size += len(piece)
                if self.gate:
                    self.gate.pass_on(len(piece))

    def result(self):
        self.join()
        return self.size, self.sum.hexdigest()


class Gate:
    """Holds readers back, together, when they have read so many bytes: a run that is to be tortured
    is not over before it was."""

    def __init__(self):
        self.read = 0
        self.limit = 0
        self.condition = threading.Condition()

    def pass_on(self, n):
        with self.condition:
            self.read += n
            self.condition.notify_all()
            self.condition.wait_for(lambda: self.read < self.limit)

    def open_to(self, limit):
        with self.condition:
            self.limit = limit
            self.condition.notify_all()

    def wait_until(self, moment):
        with self.condition:
            assert self.condition.wait_for(lambda: self.read >= moment, TIMEOUT), "nothing comes"


def hashes(process, gate=None):
    return [Hash(process.stdout, gate), Hash(process.stderr, gate)]


class Writer:
    """One session in the foreground, whose stdout and stderr are hashed behind `reeve run`."""

    def __init__(self, number, total):
        out = self.share_of_stdout(total)
        self.name = f"writer-{number}"
        self.status = random.randrange(100)
        self.size = total
        self.command = [HELPERS / "torture-stream", random.getrandbits(32), out, total - out]
        self.command = [str(word) for word in [*self.command, self.status]]
        direct = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.expected = [h.result() for h in hashes(direct)]
        assert direct.wait() == self.status

    def share_of_stdout(self, total):
        return random.randrange(total + 1)

    def start(self, daemon, gate=None):
        run = ["run", "--name", self.name, "--", *self.command]
        self.client = daemon.reeve(*run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.got = hashes(self.client, gate)

    def check(self, daemon, may_be_unknown=False):
        assert [h.result() for h in self.got] == self.expected, daemon.tail()
        ending = (self.client.wait(), daemon.api.session(self.name)["exit"]["exitCode"])
        unknown = (1, None)
        assert ending == (self.status, self.status) or (may_be_unknown and ending == unknown)


class TerminalClient(TerminalAttachment):
    """Takes no more than its gate allows."""

    def __init__(self, api, session, gate):
        self.gate = gate
        super().__init__(api, session)

    def on_frame(self, kind, stream, payload):
        # First, as a connection that breaks under the acknowledgement takes nothing back.
        if kind == OUTPUT:
            self.gate.pass_on(len(payload))
        super().on_frame(kind, stream, payload)


class TerminalWriter(Writer):
    """The same on a terminal that alters nothing, over the API."""

    def share_of_stdout(self, total):
        return total

    def start(self, daemon, gate):
        fifo = daemon.dir / f"{self.name}.fifo"
        os.mkfifo(fifo)
        line = f'stty raw -echo; read go <{fifo}; exec "$@"'
        daemon.spawn("sh", "-c", line, "sh", *self.command, kind="pty", name=self.name)
        self.client = TerminalClient(daemon.api, self.name, gate)
        with open(fifo, "w") as file:
            file.write("go\n")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        # However long that is: the gate sees whether anything comes.
        self.client.until(lambda: self.client.ended, "the end", math.inf)
        self.client.close()

    def check(self, daemon, may_be_unknown=False):
        self.reader.join()
        output = bytes(self.client.output[PTY])
        got = len(output), hashlib.sha256(output).hexdigest()
        assert got == self.expected[0], daemon.tail()
        known, code, _, _ = self.client.exit
        assert code == self.status if known else may_be_unknown


def all_run(daemon):
    slots = daemon.control.slots()
    started = daemon.control.places["spawn.started"]
    return len(slots) == SESSIONS and all(slot["spawn"] == started for slot in slots)


def torture(daemon, total, kills, strike, may_be_unknown=False, writer=Writer):
    """Runs the writers, and calls `strike` so many times at random moments while they write."""
    writers = [writer(n, total // SESSIONS) for n in range(SESSIONS)]
    before = daemon.quiet()
    gate = Gate()
    for writer in writers:
        writer.start(daemon, gate)
    wait_for(lambda: all_run(daemon), "the start of the last writer")
    for n in range(1, kills + 1):
        limit = total * n // (kills + 1)
        gate.open_to(limit)
        gate.wait_until(random.randrange(gate.read, max(limit, gate.read + 1)))
        strike()
    gate.open_to(2 * total)
    for writer in writers:
        writer.check(daemon, may_be_unknown)
    listed = daemon.api.sessions()
    assert sorted(s["name"] for s in listed) == sorted(w.name for w in writers)
    assert sum(slot["out.lost"] + slot["err.lost"] for slot in daemon.control.slots()) == 0
    for writer in writers:
        daemon.api.wait(writer.name, "tree")
    assert daemon.api.ok("POST", "/v1/sessions/purge", {})["count"] == SESSIONS
    daemon.settle(before)


def test_every_byte_and_exit_code_survives_kills_of_the_engine(daemon, figure):
    total, kills = size(2 << 30, 96 << 20), size(500, 30)
    torture(daemon, total, kills, daemon.kill_engine)
    figure("exact, MiB written by 8 sessions", total // MIB)
    figure("exact, engines killed meanwhile", kills)
    figure("exact, wrong SHA-256, wrong exit codes, lost sessions", 0)


def test_every_byte_and_exit_code_survives_kills_of_the_keeper(daemon, figure):
    total, kills = size(1 << 30, 96 << 20), size(100, 6)
    torture(daemon, total, kills, daemon.kill_keeper, not KERNEL_TELLS)
    figure("exact, keepers killed while 8 sessions write", kills)


def test_every_byte_and_exit_code_survives_kills_of_anyone(daemon, figure):
    """One at a time: what keeper and engine hold is lost only when both are gone."""
    hits = {"engine": 0, "keeper": 0, "spawner": 0, "engine, stopped": 0, "keeper, stopped": 0}

    def kill_spawner():
        old = daemon.spawner
        daemon.send(old)
        wait_for(lambda: daemon.spawner != old, "another spawner")

    def stop(who):
        pid = wait_for(lambda: getattr(daemon, who), who)
        daemon.send(pid, signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.05))
        daemon.send(pid, signal.SIGCONT)

    def strike():
        who = random.choice(list(hits))
        hits[who] += 1
        if who == "engine":
            daemon.kill_engine()
            # A keeper that dies while the next engine loads takes all with it.
            wait_for(daemon.answers, "an answer")
        elif who == "keeper":
            daemon.kill_keeper()
        elif who == "spawner":
            kill_spawner()
        else:
            stop(who.partition(",")[0])

    total, kills = size(1 << 30, 96 << 20), size(200, 15)
    torture(daemon, total, kills, strike, not KERNEL_TELLS)
    figure("exact, blows at anyone while 8 sessions write", hits)


def test_every_byte_of_terminals_survives_kills_of_the_engine(daemon, figure):
    total, kills = size(256 * MIB, 24 * MIB), size(100, 10)
    torture(daemon, total, kills, daemon.kill_engine, writer=TerminalWriter)
    figure("exact, engines killed while 8 terminals are written to", kills)


def test_every_byte_of_terminals_survives_kills_of_the_keeper(daemon, figure):
    total, kills = size(256 * MIB, 24 * MIB), size(50, 5)
    torture(daemon, total, kills, daemon.kill_keeper, not KERNEL_TELLS, TerminalWriter)
    figure("exact, keepers killed while 8 terminals are written to", kills)


def test_an_engine_that_hangs_is_replaced_and_nothing_is_lost(daemon, figure):
    writer = Writer(0, 64 << 20)
    gate = Gate()
    gate.open_to(8 << 20)
    writer.start(daemon, gate)
    gate.wait_until(4 << 20)
    hung = daemon.engine
    daemon.send(hung, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: daemon.engine not in (0, hung), "another engine")
    gate.open_to(1 << 30)
    figure("exact, seconds until a hung engine was replaced", round(time.monotonic() - began))
    writer.check(daemon)
