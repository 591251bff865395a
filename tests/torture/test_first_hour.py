# SPDX-License-Identifier: Apache-2.0
"""The first hour of a program that uses the API: a server is started, waited for, read, typed into
and stopped, while the engine is killed at each moment of it and each request is repeated until it has
an answer. All must be as if nothing had happened."""

from daemon import Control, wait_for
from operation import Operation, same_bytes
from test_stores import CENSUS_EVERY_TIME, strike_everywhere

LIMIT = 30_000
LONG = 60_000


class FirstHour(Operation):
    name = "the first hour over HTTP"
    line = (
        f"echo run >>%s; head -c {LONG} /dev/zero | tr '\\0' x; echo; echo ready;"
        ' while read -r line; do echo "got $line"; done; sleep 600 & exit 3'
    )
    before = b"x" * LONG + b"\nready\n"

    def post(self, action, body, **query):
        query = "&".join(f"{name}={value}" for name, value in query.items())
        return self.api.ok("POST", f"/v1/sessions/{self.called}/{action}?{query}", body)

    def wait_for_one_of(self, *until):
        return self.post("wait", {"until": until, "timeout": "20s"})

    def start(self):
        self.runs = self.daemon.dir / f"{self.called}.runs"
        line = self.line % self.runs.name
        self.shell(line, key=self.called, stdin="pipe", leftovers="keep")
        conditions = [{"match": "^ready"}, {"port": 1}, {"exit": True}, {"idle": "1h"}]
        assert self.wait_for_one_of(*conditions)["fired"] == "match"

    def read(self):
        target = f"/v1/sessions/{self.called}/logs?stream=stdout&limit={LIMIT}"
        page = self.api.ok("GET", target)
        assert page["omitted"] == len(self.before) - LIMIT, page["omitted"]
        at, text = page["omittedAt"], page["text"].encode()
        same_bytes(text[:at], self.before[:at])
        same_bytes(text[at:], self.before[at + page["omitted"] :])
        assert 0 < at < LIMIT and page["next"] == len(self.before)

    def type(self):
        for _ in range(2):
            assert self.post("stdin", b"hello\n", at=0)["offset"] == 6
        assert self.wait_for_one_of({"match": "got hello"}, {"exit": True})["fired"] == "match"

    def stop(self):
        assert self.post("stdin", b"", at=6, eof="true")["closed"] is True
        ended = self.wait_for_one_of({"exit": True})
        assert (ended["exitCode"], ended["treeAlive"]) == (3, True), ended
        wait_for(lambda: self.daemon.names() == ["sleep"], "the one that was left")
        stopped = self.post("stop", {"grace": "5s"})["process"]
        assert stopped["treeAlive"] is False, stopped

    def run(self):
        self.start()
        self.read()
        self.type()
        self.stop()

    def check(self):
        assert self.runs.read_text() == "run\n", "exactly one process ever ran"
        same_bytes(self.api.output(self.called), self.before + b"got hello\n")
        self.check_exit(3)
        self.check_records()
        assert not self.daemon.members()


def test_a_program_has_its_first_hour_whenever_the_engine_dies(daemon, figure):
    hits = strike_everywhere(daemon, FirstHour, Control.ENGINE, CENSUS_EVERY_TIME)
    figure(f"stores, {FirstHour.name}, kills", hits)
