# SPDX-License-Identifier: Apache-2.0
"""A stop ends every process of a session and no other."""

import random
import subprocess
import threading
import time

import pytest
from daemon import HELPERS, processes_with, size, wait_for

KINDS = ("leader", "plain", "setsid", "double-fork", "disowned", "stubborn", "forking")


class Witness:
    """A bystander that writes down each signal that reaches it."""

    def __init__(self, daemon, number):
        self.daemon = daemon
        self.file = daemon.dir / f"witness-{number}"
        self.command = [HELPERS / "torture-family", "witness", self.file]
        self.process = None

    def start(self, **kw):
        self.process = subprocess.Popen(self.command, **kw)
        self.wait()

    def start_as_session(self):
        self.daemon.spawn(*self.command, name=self.file.name)
        self.wait()

    def wait(self):
        wait_for(lambda: self.file.exists() and self.file.read_text(), "the witness")

    def check(self):
        assert self.file.read_text() == "here\n"
        assert self.process is None or self.process.poll() is None

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        else:
            self.daemon.api("POST", f"/v1/sessions/{self.file.name}/kill", {"signal": "KILL"})


@pytest.fixture
def witnesses():
    """Makes the bystanders of a daemon: three strangers, two of whom look as if they belonged to it,
    and another session."""
    made = []

    def make(daemon):
        made.extend(Witness(daemon, n) for n in range(4))
        made[0].start()
        made[1].start(env=daemon.env, start_new_session=True)
        made[2].start(env={**daemon.env, "REEVE_SESSION": "pipe-0"})
        made[3].start_as_session()
        return made

    yield make
    for witness in made:
        witness.end()


def survivors(mark):
    """One that keeps forking may be between two pids when it is looked for."""
    found = set()
    for _ in range(5):
        found.update(processes_with(mark))
        time.sleep(0.001)
    return found


def family(daemon, number):
    directory = daemon.dir / f"family-{number}"
    directory.mkdir()
    mark = f"TORTURE_TREE={directory}"
    env = {**daemon.env, "TORTURE_TREE": str(directory)}
    session = daemon.spawn(
        *(HELPERS / "torture-family", "tree", directory),
        name=f"family-{number}",
        env=env,
        stop="TERM 100ms KILL",
    )
    wait_for(lambda: all((directory / kind).exists() for kind in KINDS), "the whole family")
    assert len(processes_with(mark)) >= len(KINDS) - 1
    return session["processId"], mark


def stop(daemon, session):
    answer = daemon.api.ok("POST", f"/v1/sessions/{session}/stop", {"grace": "100ms"})
    assert answer["process"]["treeAlive"] is False, answer
    return answer["process"]["exit"]


def check_ended(daemon, mark):
    left = survivors(mark)
    assert not left, [open(f"/proc/{pid}/stat").read() for pid in left]


CGROUPS = pytest.mark.parametrize("cgroup", ["", "off"], ids=["with cgroup", "without cgroup"])


@CGROUPS
def test_stop_ends_six_kinds_of_descendant_and_no_bystander(
    make_daemon, witnesses, figure, cgroup
):
    daemon = make_daemon(**({"REEVE_CGROUP": cgroup} if cgroup else {}))
    if cgroup:
        assert daemon.cgroup() is None
    bystanders = witnesses(daemon)
    rounds = size(100, 4)
    for n in range(rounds):
        session, mark = family(daemon, n)
        end = stop(daemon, session)
        check_ended(daemon, mark)
        assert (end["outcome"], end["cause"]) == ("hard", "stop"), end
        daemon.api.ok("DELETE", f"/v1/sessions/{session}")
    for witness in bystanders:
        witness.check()
    how = "with cgroup" if daemon.cgroup() else "without cgroup"
    figure(f"tree, {how}, trees of six kinds of descendant stopped", rounds)
    figure(f"tree, {how}, descendants left", 0)
    figure(f"tree, {how}, signals to bystanders", 0)


@CGROUPS
def test_stop_ends_the_tree_though_engine_and_keeper_die_over_it(
    make_daemon, witnesses, figure, cgroup
):
    daemon = make_daemon(**({"REEVE_CGROUP": cgroup} if cgroup else {}))
    bystanders = witnesses(daemon)
    rounds = size(60, 4)
    for n in range(rounds):
        session, mark = family(daemon, n)
        stopping = threading.Thread(target=stop, args=(daemon, session))
        stopping.start()
        time.sleep(random.uniform(0, 0.15))
        (daemon.kill_engine, daemon.kill_keeper)[n % 2]()
        stopping.join()
        check_ended(daemon, mark)
        daemon.api.wait(session, "tree")
        daemon.api.ok("DELETE", f"/v1/sessions/{session}")
    for witness in bystanders:
        witness.check()
    how = "with cgroup" if daemon.cgroup() else "without cgroup"
    figure(f"tree, {how}, stops over which engine or keeper died", rounds)


def test_a_tree_is_ended_together_with_the_daemon(daemon):
    marks = [family(daemon, n)[1] for n in range(2)]
    daemon.api.ok("POST", "/v1/daemon/stop", {})
    wait_for(lambda: not processes_with(daemon.mark), "the end of everything")
    assert not any(survivors(mark) for mark in marks)
