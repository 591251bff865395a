# SPDX-License-Identifier: Apache-2.0
"""What children write arrives once and in order, and their exit codes are right, whoever is killed."""

import hashlib
import random
import subprocess
import threading
import time

from daemon import BUILD, HELPERS, size, wait_for

SESSIONS = 8
MIB = 1 << 20


class Hash(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.size = 0
        self.sum = hashlib.sha256()
        self.start()

    def run(self):
        with self.file:
            while piece := self.file.read1(1 << 18):
                self.sum.update(piece)
                self.size += len(piece)

    def result(self):
        self.join()
        return self.size, self.sum.hexdigest()


def hashes(process):
    return [Hash(process.stdout), Hash(process.stderr)]


class Writer:
    """One session in the foreground, whose stdout and stderr are hashed behind `reeve run`."""

    def __init__(self, number, total):
        out = random.randrange(total + 1)
        self.name = f"writer-{number}"
        self.status = random.randrange(100)
        self.size = total
        self.command = [HELPERS / "torture-stream", random.getrandbits(32), out, total - out]
        self.command = [str(word) for word in [*self.command, self.status]]
        direct = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.expected = [h.result() for h in hashes(direct)]
        assert direct.wait() == self.status

    def start(self, daemon):
        run = ["run", "--name", self.name, "--", *self.command]
        self.client = daemon.reeve(*run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.got = hashes(self.client)

    def check(self, daemon):
        got = [h.result() for h in self.got]
        assert (self.client.wait(), got) == (self.status, self.expected), daemon.tail()


def captured(daemon):
    return sum(slot["out.head"] + slot["err.head"] for slot in daemon.control.slots())


def finished(writers):
    return all(writer.client.poll() is not None for writer in writers)


def torture(daemon, total, kills, strike):
    """Runs the writers, and calls `strike` so many times at random moments while they write."""
    writers = [Writer(n, total // SESSIONS) for n in range(SESSIONS)]
    moments = sorted(random.randrange(total * 19 // 20) for _ in range(kills))
    before = daemon.census()
    for writer in writers:
        writer.start(daemon)
    for moment in moments:
        wait_for(lambda: captured(daemon) >= moment or finished(writers), "the next moment")
        time.sleep(random.expovariate(1 / 0.001))
        assert not finished(writers), "they were too quick"
        strike()
    for writer in writers:
        writer.check(daemon)
    listed = daemon.api.sessions()
    assert sorted(s["name"] for s in listed) == sorted(w.name for w in writers)
    codes = {s["name"]: s["exit"]["exitCode"] for s in listed}
    assert codes == {w.name: w.status for w in writers}
    lost = [slot["out.lost"] + slot["err.lost"] for slot in daemon.control.slots()]
    assert sum(lost) == 0
    assert daemon.api.ok("POST", "/v1/sessions/purge", {})["count"] == SESSIONS
    daemon.settle(before)


def test_every_byte_and_exit_code_survives_kills_of_the_engine(daemon, figure):
    total, kills = size(2 << 30, 96 << 20), size(500, 30)
    torture(daemon, total, kills, daemon.kill_engine)
    figure("exact, MiB written by 8 sessions", total // MIB)
    figure("exact, engines killed meanwhile", kills)
    figure("exact, wrong SHA-256, wrong exit codes, lost sessions", 0)
