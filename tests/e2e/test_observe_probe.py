# SPDX-License-Identifier: Apache-2.0
"""Backends are tried out in a process of its own: what happens to it happens to nobody else."""

import contextlib
import os
import signal
import threading

from conftest import alive, command_line, descendants, open_files, start_time, wait_for


def probes(keeper):
    """(pid, start time) of each, those first that have begun the others."""
    return [
        (pid, start)
        for pid in descendants(keeper)
        if "--probe" in command_line(pid) and (start := start_time(pid)) is not None
    ]


def signalled(reeve, number):
    """A question and its probe (pid, start time), after that was sent a signal; 0 is none. All may be
    answered before anybody has found who tries it out: then it is asked again."""
    keeper, api = reeve.start()["keeperPid"], reeve.api
    while True:
        asking = Asking(api)
        while asking.is_alive():
            if found := probes(keeper):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found[0][0], number)
                    return asking, found[0]


class Asking(threading.Thread):
    def __init__(self, api):
        super().__init__(daemon=True)
        self.api, self.answer = api, None
        self.start()

    def run(self):
        with contextlib.suppress(ConnectionError):  # of an engine that was killed
            self.answer = self.api.get("/v1/capabilities?probe=true", timeout=120)

    def result(self):
        self.join(120)
        assert self.answer is not None and self.answer.status == 200
        return self.answer.json["backends"]


def test_a_probe_that_dies_costs_its_backend_and_nothing_else(reeve):
    session = reeve.api.spawn("sleep", "1000")
    before = reeve.status()
    sound = {(b["category"], b["backend"]): b for b in Asking(reeve.api).result()}
    crashed = []
    while not crashed:  # one that has told all it was asked for ends unnoticed
        asking, _ = signalled(reeve, signal.SIGABRT)
        crashed = [b for b in asking.result() if "the probe crashed: SIGABRT" in b["reason"]]
    assert len({b["backend"] for b in crashed}) == 1
    assert {b["support"] for b in crashed} == {"unavailable"}
    assert reeve.status()["enginePid"] == before["enginePid"]
    assert reeve.api.show(session)["status"] == "running"
    again = {(b["category"], b["backend"]): b for b in Asking(reeve.api).result()}
    assert again == sound


def test_a_probe_leaves_nothing_behind(reeve):
    pids = reeve.start()
    reeve.api.ended(reeve.api.spawn("true"))
    before = set(descendants(pids["keeperPid"]))
    Asking(reeve.api).result()
    for pid in (pids["enginePid"], pids["keeperPid"]):
        held = open_files(pid)
        assert not [name for name in held if "bpf" in name or "perf" in name or "seccomp" in name]
    wait_for(
        lambda: not [p for p in set(descendants(pids["keeperPid"])) - before if alive(p)],
        what="the end of what the probe began",
    )


def test_a_probe_dies_with_its_engine(reeve):
    engine = reeve.start()["enginePid"]
    asking, (victim, born) = signalled(reeve, 0)
    os.kill(engine, signal.SIGKILL)
    wait_for(lambda: start_time(victim) != born, what="the end of the probe")
    asking.join(60)
    assert Asking(reeve.api).result()
