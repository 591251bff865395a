# SPDX-License-Identifier: Apache-2.0
"""Who of a terminal's foreground group waits for input: found with cgroups and without, by the
engine and by the keeper."""

import sys

import pytest
from conftest import wait_for

THREAD = """
import sys, threading, time
threading.Thread(target=sys.stdin.readline).start()
time.sleep(1000)
"""

# The one that reads is the leader; comes to a group that was looked at before; is a thread beside
# one that sleeps; has outlived the leader; comes in a new foreground group.
READERS = {
    "leader": ["cat"],
    "latecomer": ["sh", "-c", "sleep 0.5; cat; :"],
    "thread": [sys.executable, "-c", THREAD],
    "heir": ["bash", "-mc", "true | (sleep 0.3; exec cat /dev/tty)"],
    "another group": ["bash", "-mc", "sleep 0.3; cat"],
}
# None of these waits for input.
OTHERS = {
    "sleeps": ["sleep", "1000"],
    "reads something else": ["sh", "-c", "sleep 1000 | cat"],
    "in the background": ["bash", "-mc", "(sleep 0.1; trap '' TTIN; exec cat) & sleep 1000"],
}


@pytest.fixture(params=["cgroup", "no cgroup", "keeper", "keeper, no cgroup"])
def anywhere(request, reeve):
    if "no cgroup" in request.param:
        reeve.env["REEVE_CGROUP"] = "off"
    if "keeper" in request.param:
        reeve.env["REEVE_TYPING"] = "keeper"
    return reeve.api


def test_a_reader_is_found_and_a_sleeper_is_none(anywhere):
    api = anywhere
    env = {"PATH": "/usr/bin:/bin"}
    others = [api.spawn(*words, kind="pty", env=env) for words in OTHERS.values()]
    readers = {name: api.spawn(*words, kind="pty", env=env) for name, words in READERS.items()}
    for name, session in readers.items():
        body = {"until": [{"input": True}], "timeout": "20s"}
        assert api.post(api.path_of(session, "/wait"), body).json["fired"] == "input", name
    for session in others:
        wait_for(lambda session=session: api.show(session).get("waitingForInput") is False)
        body = {"until": [{"input": True}], "timeout": "500ms"}
        assert api.post(api.path_of(session, "/wait"), body).json["fired"] == "timeout"
