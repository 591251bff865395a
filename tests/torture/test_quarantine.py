# SPDX-License-Identifier: Apache-2.0
"""A session that ends each engine that loads it is set aside: kept and listed, while all others go on."""

import pytest
from daemon import wait_for


@pytest.fixture
def poisoned(daemon):
    """A session whose slot no engine survives, between two good ones; the first engine has just died."""
    daemon.spawn("cat", name="before", stdin="pipe")
    session = daemon.spawn("sh", "-c", "while echo alive; do sleep 0.01; done", name="poisoned")
    daemon.spawn("cat", name="behind", stdin="pipe")
    slot = daemon.control.slot(session["handle"])
    daemon.control["poison"] = slot.number
    daemon.kill_engine()
    wait_for(lambda: slot["quarantined"], "the quarantine")
    wait_for(daemon.answers, "an answer")
    return session


def names(daemon):
    """The record alone tells neither name nor command: such a session stands as None."""
    return [s.get("name") for s in sorted(daemon.api.sessions(), key=lambda s: s["handle"])]


def test_a_poisoned_session_is_kept_and_listed_and_the_others_work(daemon, poisoned, figure):
    assert names(daemon) == ["before", None, "behind"]
    now = daemon.api.session(poisoned["processId"])
    assert (now["quarantined"], now["status"]) == (True, "running"), now
    for name in ("before", "behind"):
        daemon.api.ok("POST", f"/v1/sessions/{name}/stdin?at=0&eof=true", b"works")
        assert daemon.api.wait(name)["exitCode"] == 0
        assert daemon.api.output(name) == b"works"
    fresh = daemon.spawn("echo", "new")["processId"]
    daemon.api.wait(fresh)
    assert daemon.api.output(fresh) == b"new\n"
    figure("quarantine, engines ended by a poisoned session", daemon.log().count("crashed"))


def test_a_poisoned_session_costs_two_engines_and_no_more(daemon, poisoned):
    assert daemon.log().count("crashed") == 2
    engine = daemon.engine
    daemon.kill_engine()
    wait_for(daemon.answers, "an answer")
    assert daemon.engine != engine
    assert daemon.log().count("crashed") == 2


def test_a_poisoned_session_can_be_stopped_and_removed(daemon, poisoned):
    target = f"/v1/sessions/{poisoned['processId']}"
    refusals = {"logs": "wrong_state", "attach": "wrong_state", "stdin": "stdin_closed"}
    for path, code in refusals.items():
        method = "POST" if path == "stdin" else "GET"
        answer = daemon.api(method, f"{target}/{path}", b"x" if path == "stdin" else None)
        assert (answer.status, answer.json["error"]["code"]) == (409, code), (path, answer)
    answer = daemon.api.ok("POST", f"{target}/stop", {"grace": "5s"})
    assert answer["process"]["exit"]["cause"] == "stop", answer
    assert sorted(daemon.names()) == ["cat", "cat"]
    daemon.api.ok("DELETE", target)
    assert names(daemon) == ["before", "behind"]


def test_the_process_of_a_poisoned_session_goes_on(daemon, poisoned):
    """Nothing of it is closed: when its pipe is full, it waits."""
    slot = daemon.control.slot(poisoned["handle"])
    assert slot.pid in daemon.members() and not slot["exit.ready"]
