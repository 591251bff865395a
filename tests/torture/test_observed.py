# SPDX-License-Identifier: Apache-2.0
"""Five million events through rings of 16 KiB: delivered and missed are all that happened, by
category, to the sink of a backend and to each subscriber of a daemon."""

import collections
import contextlib
import json
import subprocess
import threading

import pytest
from daemon import BUILD, HELPERS, UnixConnection, size, wait_for

PROGRAM = BUILD / "tests" / "unit" / "test_observe_ebpf_loss"
RING_BYTES = 16384  # of the kernel's rings
CHILDREN = 100
LONG = size(100.0, 30.0)
CATEGORIES = ["file", "network", "process"]


def test_what_was_delivered_and_what_was_missed_is_everything(figure):
    if not PROGRAM.exists():
        pytest.skip("the backend ebpf is not in this build")
    ran = subprocess.run([PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=110)
    text = ran.stdout.decode()
    assert ran.returncode == 0, text
    for line in text.splitlines():
        if "delivered" in line:
            figure("through rings of 16 KiB", line)


# --- the same through the daemon -----------------------------------------------------------------


def ready_to_flood(daemon, opens):
    found = daemon.api.ok("GET", "/v1/capabilities?probe=true")["backends"]
    if not any(b["backend"] == "ebpf" and b["support"] == "supported" for b in found):
        pytest.skip("the backend ebpf does not work here")
    session = daemon.spawn(HELPERS / "torture-flood", opens, CHILDREN)["processId"]
    wait_for(lambda: daemon.api.output(session) == b"ready\n", "what is to flood")
    return session


class Subscriber:
    def __init__(self, daemon, session, *categories, **fields):
        backends = {c: "ebpf" for c in categories if c != "lifecycle"}
        body = {"categories": categories, "backends": backends, **fields}
        path = f"/v1/sessions/{session}/observers"
        self.api = daemon.api
        self.path = f"{path}/{daemon.api.ok('POST', path, body)['subscriberId']}"
        self.received = collections.Counter()
        self.last = 0
        self.gaps = 0

    def take(self, line):
        event = json.loads(line)
        assert event["seq"] > self.last
        self.gaps += event["seq"] - self.last - 1
        self.last = event["seq"]
        self.received[event["category"]] += 1

    def read(self, follow):
        """Until the end; whoever does not follow takes what still waits."""
        with contextlib.closing(UnixConnection(self.api.path, LONG)) as connection:
            connection.request("GET", f"{self.path}/events?follow={str(follow).lower()}")
            for line in connection.getresponse():
                self.take(line)

    def status(self):
        return self.api.ok("GET", self.path)

    def wait(self):
        """Its status once no event comes any more."""
        return wait_for(lambda: (s := self.status())["over"] and s, "the end", LONG, 0.2)

    def everything(self):
        """By category, what was handed out and what was missed; that nothing is left."""
        status = self.wait()
        assert status["waitingEvents"] == 0, status
        missed = collections.Counter(status["missedBy"])
        assert self.gaps <= status["missedEvents"]
        return self.received + missed, missed


@contextlib.contextmanager
def following(subscriber):
    thread = threading.Thread(target=subscriber.read, args=(True,))
    thread.start()
    yield
    thread.join()


def test_each_subscriber_is_handed_or_misses_everything_exactly(make_daemon, figure):
    opens = size(2500000, 50000)
    happened = {"file": 2 * opens, "process": 2 * CHILDREN + 1}
    daemon = make_daemon(REEVE_EBPF_RING_BYTES=str(RING_BYTES))
    session = ready_to_flood(daemon, opens)
    follower = Subscriber(daemon, session, *CATEGORIES)
    late = Subscriber(daemon, session, *CATEGORIES, ringCapacityEvents=3 * CHILDREN)
    narrow = Subscriber(daemon, session, "file", ringCapacityEvents=10)
    quiet = Subscriber(daemon, session, "lifecycle", "process")
    with following(follower):
        daemon.api.ok("POST", f"/v1/sessions/{session}/kill", {"signal": "USR1"})
        for subscriber in (late, narrow, quiet):
            subscriber.wait()
            subscriber.read(False)
    for subscriber in (follower, late):
        everything, missed = subscriber.everything()
        assert everything == happened
        assert missed["process"] == 0 and missed["file"] > 0
    everything, missed = narrow.everything()
    assert everything == {"file": happened["file"]}
    assert narrow.received["file"] == 10
    everything, missed = quiet.everything()
    assert everything == {"process": happened["process"], "lifecycle": 1}
    assert missed.total() == 0
    seen, all_of_them = follower.received["file"], happened["file"]
    figure("through the daemon", f"{all_of_them} events: {seen} received, {all_of_them - seen} missed")
