# SPDX-License-Identifier: Apache-2.0
"""What a client does with the daemon, an operation each."""

import os
import random

import leaves
from attach import (
    DETACHED,
    PTY,
    STDERR,
    STDOUT,
    STOLEN,
    Attachment,
    Refused,
    TerminalAttachment,
)
from daemon import HELPERS, wait_for
from operation import Operation, Triggered, same_bytes, stream, streams
from operations_lent import LentOutput
from operations_screen import ScreenRenewed
from operations_signals import Signals, UncertainSignals


class Spawn(Operation):
    name = "spawn"

    def run(self):
        self.runs = self.daemon.dir / f"{self.called}.runs"
        self.shell(f"echo run >>{self.runs.name}; exec sleep 600", key=self.called)

    def has_run(self):
        return self.runs.exists() and self.runs.read_text() != ""

    def check(self):
        assert self.show()["status"] == "running"
        wait_for(self.has_run, "the run")
        assert self.runs.read_text() == "run\n"
        # Until its execve is over, a process may seem to have no environment.
        wait_for(lambda: self.daemon.names() == ["sleep"], "the one process")


class SpawnFails(Operation):
    name = "a spawn that fails"

    def run(self):
        body = {"command": ["/no/such/command"], "name": self.called, **self.daemon.context()}
        headers = {"Idempotency-Key": self.called}
        self.answer = self.api("POST", "/v1/sessions", body, headers)

    def check(self):
        error = self.answer.json["error"]
        assert self.answer.status == 400 and "/no/such/command" in error["message"], error
        assert self.show()["status"] == "failed"
        assert not self.daemon.members()


class Output(Triggered):
    name = "output, small"
    sizes = (37, 11)
    backlog = 1 << 16

    def prepare(self):
        self.seed = random.getrandbits(32)
        self.status = random.randrange(100)
        writer = f"exec {HELPERS}/torture-stream {self.seed} {self.sizes[0]} {self.sizes[1]}"
        self.prepare_shell(f"{writer} {self.status}", backlogBytes=self.backlog)

    def run(self):
        self.trigger()
        self.api.wait(self.called)

    def check(self):
        self.check_exit(self.status)
        told = self.show()["streams"]
        for number, (name, size) in enumerate(zip(("stdout", "stderr"), self.sizes)):
            expected = streams(self.seed, *self.sizes)[number]
            assert told[name]["written"] == size
            same_bytes(self.api.output(self.called, name), expected[-self.backlog :])
        self.check_records()


class LargeOutput(Output):
    name = "output, large, both rings turned several times"
    sizes = (700_000, 300_000)


class OnlyErrors(Output):
    name = "output, only stderr"
    sizes = (0, 5000)


class PostInput(Operation):
    name = "input, posted by offset"
    size = 60_000

    def prepare(self):
        self.data = random.randbytes(self.size)
        self.spawn("cat", stdin="pipe")

    def run(self):
        at = 0
        while at < len(self.data):
            piece = self.data[at : at + random.randrange(1, 40_000)]
            target = f"/v1/sessions/{self.called}/stdin?at={at}"
            at = self.api.ok("POST", target, piece)["offset"]
        wait_for(lambda: self.show()["streams"]["stdout"]["written"] >= self.size, "its echo")

    def check(self):
        same_bytes(self.api.output(self.called), self.data)
        self.check_records()


class CloseInput(Operation):
    name = "end of input"

    def prepare(self):
        self.shell("cat; exit 7", stdin="pipe")
        self.api.ok("POST", f"/v1/sessions/{self.called}/stdin?at=0", b"last words")

    def run(self):
        self.api.ok("POST", f"/v1/sessions/{self.called}/stdin?eof=true", b"")
        self.api.wait(self.called)

    def check(self):
        assert self.api.output(self.called) == b"last words"
        self.check_exit(7)


class AttachedInput(Operation):
    name = "attached: input, output, acknowledgements"
    size = 50_000

    def prepare(self):
        self.data = random.randbytes(self.size)
        self.spawn("cat", stdin="pipe", backlogBytes=1 << 14)

    def run(self):
        self.client = Attachment(self.api, self.called)
        self.client.type(self.data)
        self.client.want_eof = True
        self.client.until(lambda: self.client.ended, "the end")
        self.client.close()

    def check(self):
        same_bytes(self.client.output[STDOUT], self.data)
        assert self.client.exit[:2] == (1, 0)
        self.check_exit(0)
        self.check_records()


class Steal(Triggered):
    name = "attached: stolen, read on by another, detached"
    size = 60_000

    def prepare(self):
        self.seed = random.getrandbits(32)
        self.prepare_shell(f"{HELPERS}/torture-stream {self.seed} {self.size}; exec sleep 600")

    def run(self):
        first = Attachment(self.api, self.called)
        self.trigger()
        first.until(lambda: len(first.output[STDOUT]) > self.size // 2, "half of it")
        second = Attachment(self.api, self.called, steal=True, place="delivered")
        try:
            first.until(lambda: first.ended, "its end")
            assert first.ended == STOLEN
        except Refused as error:
            assert error.code == "already_attached"
        second.until(lambda: second.next(STDOUT) == self.size, "the rest")
        second.detach()
        self.first, self.second = first, second

    def check(self):
        expected = stream(self.seed, self.size)
        for client in (self.first, self.second):
            at = client.first[STDOUT]
            same_bytes(client.output[STDOUT], expected[at : client.next(STDOUT)])
        assert self.second.first[STDOUT] <= self.first.next(STDOUT)
        assert self.second.ended == DETACHED


class TerminalOutput(Triggered):
    name = "terminal: output"
    size = 30_000

    def prepare(self):
        self.seed = random.getrandbits(32)
        # The rest is captured in large steps: a terminal that has written alone for a while.
        line = f"{HELPERS}/torture-stream {self.seed} {self.size} | (head -c 1000; sleep 0.03; cat)"
        self.prepare_shell(f"stty raw -echo; {line}; exit 4", kind="pty")

    def run(self):
        self.trigger()
        self.api.wait(self.called)

    def check(self):
        self.check_exit(4)
        same_bytes(self.api.output(self.called, "pty"), stream(self.seed, self.size))
        self.check_records()


class TerminalInput(Operation):
    name = "terminal: attached, input and its echo"
    size = 20_000

    def prepare(self):
        self.data = random.randbytes(self.size)
        self.shell(f"stty raw -echo; echo ready; exec head -c {self.size}", kind="pty")
        wait_for(lambda: self.show()["streams"]["pty"]["written"] == 6, "the raw terminal")

    def run(self):
        self.client = TerminalAttachment(self.api, self.called)
        self.client.type(self.data)
        self.client.until(lambda: self.client.ended, "the end")
        self.client.close()

    def check(self):
        same_bytes(self.client.output[PTY], b"ready\n" + self.data)
        self.check_exit(0)
        self.check_records()


class Detach(Operation):
    name = "attached and detached"

    def prepare(self):
        self.shell("echo here; echo there >&2; exec sleep 600")
        wait_for(lambda: self.show()["streams"]["stderr"]["written"] == 6, "its words")

    def run(self):
        self.client = Attachment(self.api, self.called)
        self.client.until(lambda: len(self.client.output[STDERR]) == 6, "its words")
        self.client.detach()

    def check(self):
        assert self.client.ended == DETACHED
        assert bytes(self.client.output[STDOUT]) == b"here\n"
        # Nobody holds it: the next is not told that it is attached already.
        Attachment(self.api, self.called).detach()
        assert self.show()["status"] == "running"


class Exit(Triggered):
    name = "exit"

    def prepare(self):
        self.prepare_shell("exit 5")

    def run(self):
        self.trigger()
        self.api.wait(self.called)

    def check(self):
        self.check_exit(5)
        assert self.show()["status"] == "exited"
        assert not self.daemon.members()


class Leftovers(Triggered):
    name = "exit with leftovers"

    def prepare(self):
        self.prepare_shell("sleep 600 & exit 5", stop="TERM 5s KILL")

    def run(self):
        self.trigger()
        self.api.wait(self.called, "tree")

    def check(self):
        self.check_exit(5)
        assert not self.daemon.members()


class Stop(Operation):
    name = "stop"

    def prepare(self):
        fifo = self.daemon.dir / f"{self.called}.fifo"
        os.mkfifo(fifo)
        self.shell(f"trap 'exit 7' TERM; sleep 600 & echo ready; read never <>{fifo.name}")
        wait_for(lambda: self.show()["streams"]["stdout"]["written"], "the trap")
        # Between fork and execve the child of a shell may swallow a signal.
        wait_for(lambda: self.daemon.names() == ["sh", "sleep"], "the child")

    def run(self):
        body = {"grace": "20s", "reason": "enough"}
        answer = self.api.ok("POST", f"/v1/sessions/{self.called}/stop", body)
        assert answer["process"]["treeAlive"] is False, answer

    def check(self):
        self.check_exit(7, "soft", "stop")
        assert (self.show()["status"], self.show()["stopReason"]) == ("stopped", "enough")
        assert not self.daemon.members()


class HardStop(Operation):
    name = "stop that comes to SIGKILL"

    def prepare(self):
        self.shell("trap '' TERM; echo ready; while :; do sleep 600; done")
        wait_for(lambda: self.show()["streams"]["stdout"]["written"], "the trap")

    def run(self):
        self.api.ok("POST", f"/v1/sessions/{self.called}/stop", {"grace": "5ms"})

    def check(self):
        self.check_exit(-9, "hard", "stop")
        assert not self.daemon.members()


class Kill(Operation):
    name = "kill"

    def prepare(self):
        self.spawn("sleep", "600")

    def run(self):
        def ended():
            answer = self.api("POST", f"/v1/sessions/{self.called}/kill", {"signal": "KILL"})
            assert answer.status in (200, 409), answer
            return self.show()["status"] == "exited"

        wait_for(ended, "its end")

    def check(self):
        self.check_exit(-9, "hard", "signal")
        assert not self.daemon.members()


class Remove(Operation):
    name = "remove"

    def prepare(self):
        self.shell("echo gone; exit 3")
        self.api.wait(self.called, "tree")

    def run(self):
        answer = self.api("DELETE", f"/v1/sessions/{self.called}")
        assert answer.status in (200, 404), answer

    def check(self):
        assert self.api.sessions() == []
        assert not self.daemon.control.slots()


class Purge(Operation):
    name = "purge"

    def prepare(self):
        for letter in "abc":
            session = self.daemon.spawn("true", name=f"{self.called}{letter}")
            self.api.wait(session["processId"], "tree")
        self.spawn("sleep", "600")

    def run(self):
        self.api.ok("POST", "/v1/sessions/purge", {})

    def check(self):
        assert self.show()["status"] == "running"


class Load(Triggered):
    """What a new engine does: one session of each sort stands in its slots."""

    name = "load after a kill"

    def prepare(self):
        self.seed = random.getrandbits(32)
        self.daemon.spawn("sh", "-c", "echo ended; exit 3", name=f"{self.called}-ended")
        self.api.wait(f"{self.called}-ended")
        self.daemon.spawn("sleep", "600", name=f"{self.called}-full", stdin="pipe")
        target = f"/v1/sessions/{self.called}-full/stdin"
        self.taken = self.api.ok("POST", f"{target}?at=0", b"x" * 50_000)["offset"]
        self.daemon.spawn("cat", name=f"{self.called}-cat", stdin="pipe")
        # One whose block cursor holds it back, its connection just lost.
        writer = f"exec {HELPERS}/torture-stream {self.seed} 300000 0 8"
        self.prepare_shell(writer, backlogBytes=1 << 16)
        self.client = Attachment(self.api, self.called)
        self.trigger()
        self.client.until(lambda: len(self.client.output[STDOUT]) > 20_000, "the first bytes")

    def run(self):
        self.daemon.kill_engine()
        wait_for(lambda: self.daemon.control.left(0) == 0 or self.daemon.answers(), "the load")
        self.api.sessions()

    def check(self):
        names = sorted(s["name"] for s in self.api.sessions())
        assert names == sorted(self.called + end for end in ("", "-ended", "-full", "-cat"))
        assert self.api.session(f"{self.called}-ended")["exit"]["exitCode"] == 3
        assert self.api.output(f"{self.called}-ended") == b"ended\n"
        self.api.ok("POST", f"/v1/sessions/{self.called}-cat/stdin?at=0&eof=true", b"echo")
        self.api.wait(f"{self.called}-cat")
        assert self.api.output(f"{self.called}-cat") == b"echo"
        target = f"/v1/sessions/{self.called}-full/stdin?at={self.taken}"
        assert self.api.ok("POST", target, b"y")["offset"] == self.taken + 1
        self.client.until(lambda: self.client.ended, "the end")
        self.client.close()
        same_bytes(self.client.output[STDOUT], stream(self.seed, 300_000))
        assert self.client.exit[:2] == (1, 8)


# --- the same with a keeper or a spawner that dies ------------------------------------------------


class UncertainSpawn(Spawn):
    """A spawn in which keeper or spawner die either succeeds, or fails and leaves nothing."""

    def run(self):
        self.runs = self.daemon.dir / f"{self.called}.runs"
        line = f"echo run >>{self.runs}; exec sleep 600"
        body = {"command": ["sh", "-c", line], "name": self.called, **self.daemon.context()}
        self.answer = self.api("POST", "/v1/sessions", body, {"Idempotency-Key": self.called})

    def check(self):
        if self.answer.status in (200, 201):
            # A child that was killed at its execve runs, for all that is known, until it is reaped.
            wait_for(lambda: self.has_run() or self.show()["status"] != "running", "run or end")
            if self.has_run():
                super().check()
                return
            # Killed at the very edge of its execve.
            self.check_exit(-9, "natural", "signal")
            assert not self.daemon.members() and not self.runs.exists()
            return
        assert self.answer.status == 503, self.answer
        # When the keeper could not even be asked there is no session.
        assert [s["status"] for s in self.api.sessions()] in ([], ["failed"])
        assert not self.daemon.members() and not self.runs.exists()


class SpawnAnyway(UncertainSpawn):
    """A spawn in which a keeper dies succeeds: when nothing has run, the next is asked."""

    def check(self):
        assert self.answer.status in (200, 201), self.answer
        super().check()


class SpawnAgain(SpawnAnyway):
    """One whose first child the kernel kills."""

    name = "a spawn into a cgroup that was killed"

    def prepare(self):
        self.shell("true")  # for it, the spawner has tried out whether one can be made there
        self.api.wait(self.called)
        self.clean()
        leaves.kill_unused(self.daemon.keeper)


class UncertainStop(Stop):
    """A signal may have been marked as sent and yet not have been sent; then SIGKILL follows."""

    def run(self):
        self.api.ok("POST", f"/v1/sessions/{self.called}/stop", {"grace": "1s"})

    def check(self):
        got = self.show()["exit"]
        assert (got["exitCode"], got["outcome"]) in [(7, "soft"), (-9, "hard")], got
        assert got["cause"] == "stop"
        assert not self.daemon.members()


KEEPERS = [SpawnAnyway, SpawnAgain, Output, Exit, Leftovers, UncertainStop, HardStop, Kill, UncertainSignals]

SPLICED = [Output, LargeOutput, LentOutput]

ALL = [
    Spawn,
    SpawnFails,
    Output,
    LargeOutput,
    OnlyErrors,
    LentOutput,
    PostInput,
    CloseInput,
    AttachedInput,
    Steal,
    TerminalOutput,
    TerminalInput,
    ScreenRenewed,
    Detach,
    Signals,
    Exit,
    Leftovers,
    Stop,
    HardStop,
    Kill,
    Remove,
    Purge,
    Load,
]
