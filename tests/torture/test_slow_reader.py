# SPDX-License-Identifier: Apache-2.0
"""A follower that reads nothing costs the daemon no memory and the other sessions no time; what it
missed is counted exactly. Time is looked at in the full form only: a machine may be busy."""

import os
import pathlib
import random
import statistics
import subprocess
import time

from attach import STDOUT, Attachment
from daemon import FULL, HELPERS, size

MIB = 1 << 20
WINDOW = 4 * MIB  # of the flood, at its beginning and at its end, is known to the test


class Flood:
    """A session that writes much, when told so, and what it writes."""

    def __init__(self, daemon, total):
        self.daemon = daemon
        self.total = total
        self.seed = random.getrandbits(32)
        self.command = [str(HELPERS / "torture-stream"), str(self.seed), str(total)]
        with subprocess.Popen(self.command, stdout=subprocess.PIPE) as direct:
            self.first = direct.stdout.read(WINDOW)
            last = bytearray(self.first)
            while piece := direct.stdout.read1(MIB):
                last += piece
                del last[: -2 * WINDOW]  # which costs nothing at the beginning of a bytearray
            self.last = bytes(last[-WINDOW:])

    def prepare(self, name):
        self.name = name
        self.fifo = self.daemon.dir / f"{name}.fifo"
        os.mkfifo(self.fifo)
        line = f"read go <{self.fifo}; exec {' '.join(self.command)}"
        return self.daemon.spawn("sh", "-c", line, name=name)["processId"]

    def start(self):
        with open(self.fifo, "w") as fifo:
            fifo.write("go\n")

    def expected(self, at, n):
        if at + n <= WINDOW:
            return self.first[at : at + n]
        at -= self.total - WINDOW
        assert at >= 0, "bytes from the middle should have been dropped"
        return self.last[at : at + n]


class SlowReader(Attachment):
    """Knows where each piece belongs."""

    def __init__(self, api, session, flood):
        self.flood = flood
        self.position = self.received_bytes = self.missed = 0
        super().__init__(api, session, mode="drop-oldest", read_only=True)

    def on_frame(self, kind, stream, payload):
        super().on_frame(kind, stream, payload)
        if stream != STDOUT:
            return
        self.missed, before = self.dropped[STDOUT], self.missed
        self.position += self.missed - before
        if piece := bytes(self.output[STDOUT]):
            assert piece == self.flood.expected(self.position, len(piece))
            self.position += len(piece)
            self.received_bytes += len(piece)
            self.output[STDOUT].clear()


def memory(daemon):
    """KiB that keeper and engine have in memory."""
    total = 0
    for pid in (daemon.keeper, daemon.engine):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def one_round(daemon, flood, load, number, with_reader):
    """Returns the seconds that another session's load took beside the flood, and the reader."""
    session = flood.prepare(f"flood-{number}")
    reader = SlowReader(daemon.api, session, flood) if with_reader else None
    flood.start()
    began = time.monotonic()
    other = daemon.spawn(HELPERS / "torture-stream", number, load)["processId"]
    daemon.api.wait(other)
    seconds = time.monotonic() - began
    daemon.api.wait(session)
    if reader:
        reader.until(lambda: reader.position == flood.total, "all that is left for it")
        assert reader.received_bytes + reader.missed == flood.total
        assert 0 < reader.missed < flood.total
        reader.close()
    daemon.api.ok("POST", "/v1/sessions/purge", {})
    return seconds, reader.missed if reader else 0


def test_a_follower_that_reads_nothing_slows_nobody_down(daemon, figure):
    pairs, total, load = size(10, 1), size(512 * MIB, 160 * MIB), size(256 * MIB, 16 * MIB)
    flood = Flood(daemon, total)
    one_round(daemon, flood, load, 0, True)  # all buffers have been in use once
    before, most, dropped = memory(daemon), 0, 0
    ratios = []
    for pair in range(pairs):
        seconds = {}
        # One after the other, each first in turn: what else the machine does meets both alike.
        for with_reader in (pair % 2 == 0, pair % 2 != 0):
            number = 1 + 2 * pair + len(seconds)
            seconds[with_reader], missed = one_round(daemon, flood, load, number, with_reader)
            dropped += missed
            most = max(most, memory(daemon))
        ratios.append(seconds[True] / seconds[False])
    figure("slow reader, MiB that passed it", pairs * total // MIB)
    figure("slow reader, bytes dropped, each of them counted", dropped)
    figure("slow reader, KiB by which the daemon grew", most - before)
    assert dropped > 0
    assert most - before < 2048
    if FULL:
        slower = statistics.median(ratios) - 1
        figure("slow reader, other sessions slower by, percent", round(100 * slower, 1))
        assert slower <= 0.05
