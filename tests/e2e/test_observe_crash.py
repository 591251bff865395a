# SPDX-License-Identifier: Apache-2.0
"""Subscriptions outlive the engine and the keeper."""

import os
import signal

from conftest import alive, open_files, wait_for
from observers import capability, counted, events, exactly, kinds, seeing, status, subscribe


def test_events_and_counts_outlive_the_engine(reeve):
    api = reeve.api
    session = api.sh("read x; exit 5", stdin="pipe", observe={"categories": ["lifecycle"]})
    wait_for(lambda: status(api, session)["deliveredEvents"] == 1)
    reeve.kill_engine()
    assert status(api, session)["deliveredEvents"] == 1
    reeve.kill_engine()
    api.stdin(session, b"\n")
    api.ended(session)
    seen = events(api, session)
    assert kinds(seen) == ["started", "exited"] and seen[1]["exitCode"] == 5
    exactly(seen)
    final = counted(api, session)
    assert (final["deliveredEvents"], final["missedEvents"]) == (2, 0)


def test_what_was_read_is_not_given_again_by_the_next_engine(reeve):
    api = reeve.api
    session = api.spawn("sleep", "1000", observe={})
    assert events(api, session, follow="false")[0]["kind"] == "started"
    reeve.kill_engine()
    assert events(api, session, follow="false") == []
    assert kinds(events(api, session, follow="false", seq=0)) == ["started"]
    assert status(api, session)["disconnected"]


def test_a_command_that_goes_on_while_engines_die_is_seen_once(reeve):
    """Nothing comes twice, and what is missing is counted."""
    api = reeve.api
    forks = 400
    session = api.sh(
        f"read x; i=0; while [ $i -lt {forks} ]; do ( : ); i=$((i+1)); done; exit 0",
        stdin="pipe",
        observe={
            "categories": ["process", "lifecycle"],
            "ringCapacityEvents": 4096,
            "backends": seeing(api, "process"),
        },
    )
    api.stdin(session, b"\n")
    for _ in range(3):
        reeve.kill_engine()
    api.ended(session)
    seen = events(api, session)
    final = counted(api, session)
    numbers = [e["seq"] for e in seen]
    assert numbers == sorted(set(numbers))
    assert final["deliveredEvents"] == len(seen)
    assert final["deliveredEvents"] + final["missedEvents"] == numbers[-1]
    children = [e["childPid"] for e in seen if e["kind"] == "forked"]
    ended = [e["pid"] for e in seen if e["kind"] == "exited" and e["category"] == "process"]
    assert len(children) + final["missedEvents"] >= forks
    assert len(ended) == len(set(ended))
    assert kinds(seen, "lifecycle") == ["started", "exited"]


def test_a_subscription_to_more_goes_on_after_the_engine(reeve):
    api = reeve.api
    session = api.sh("read x; /bin/true; read y; /bin/true; exit 0", stdin="pipe")
    subscribe(api, session, "lifecycle")
    subscribe(api, session, "process")
    api.stdin(session, b"\n")
    if capability(api, "process")["support"] == "supported":
        wait_for(lambda: status(api, session, "sub-2")["deliveredEvents"] >= 3)
    reeve.kill_engine()
    api.stdin(session, b"\n")
    api.ended(session)
    assert kinds(events(api, session, "sub-1")) == ["exited"]
    seen, final = events(api, session, "sub-2"), counted(api, session, "sub-2")
    assert final["deliveredEvents"] == len(seen)
    if capability(api, "process")["support"] == "supported":
        programs = [e["path"] for e in seen if e["kind"] == "executed"]
        assert len([p for p in programs if p.endswith("/true")]) == 2
        assert final["missedEvents"] == 0
        exactly(seen)


def test_subscriptions_outlive_the_keeper(reeve):
    api = reeve.api
    before = reeve.status()
    session = api.spawn("sleep", "1000", observe={"categories": ["lifecycle", "process"]})
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 1)
    os.kill(before["keeperPid"], signal.SIGKILL)
    wait_for(lambda: not alive(before["keeperPid"]))
    wait_for(lambda: "took over the sessions" in reeve.log())
    reeve.kill_engine()
    api.stop(session)
    api.ended(session)
    assert kinds(events(api, session, seq=0), "lifecycle") == ["started", "exited"]


def test_who_observes_nothing_has_nothing_for_it(reeve):
    """No thread, no descriptor and no memory until somebody subscribes, and none after."""

    def held(pid):
        names = open_files(pid)
        return sorted(n for n in names if "bpf" in n or "perf" in n or "reeve-events" in n)

    def threads(pid):
        return len(os.listdir(f"/proc/{pid}/task"))

    api, pids = reeve.api, reeve.status()
    plain = api.spawn("sleep", "1000")
    before = threads(pids["enginePid"])
    assert held(pids["enginePid"]) == held(pids["keeperPid"]) == []
    session = api.spawn("sleep", "1000", observe={})
    for pid in (pids["enginePid"], pids["keeperPid"]):
        assert any("reeve-events" in n for n in held(pid))
    assert threads(pids["enginePid"]) == before
    api.delete(api.path_of(session, "/observers/sub-1"))
    wait_for(lambda: not held(pids["enginePid"]) and not held(pids["keeperPid"]))
    api.stop(plain)
    api.stop(session)


def test_events_count_in_the_memory_of_all_rings(reeve):
    reeve.env["REEVE_RING_BUDGET"] = str(256 << 10)
    api = reeve.api
    script = "i=0; while [ $i -lt 1500 ]; do ( : ); i=$((i+1)); done"
    observe = {
        "categories": ["process"],
        "ringCapacityEvents": 65536,
        "backends": seeing(api, "process"),
    }
    first = api.sh(script, observe=observe)
    api.ended(first)
    kept = counted(api, first)
    assert kept["missedEvents"] == 0 and kept["waitingEvents"] >= 3000
    second = api.sh(f"{script}; {script}; read x", stdin="pipe", observe=observe)
    # What has ended gives its events up first, and counts them.
    wait_for(lambda: status(api, first)["waitingEvents"] == 0)
    assert status(api, first)["missedEvents"] == kept["waitingEvents"]
    wait_for(lambda: status(api, second)["deliveredEvents"] >= 6000)
    refused = api.try_spawn("true")
    assert refused.code == "exhausted" and "events" in refused.json["error"]["message"]
    reeve.kill_engine()
    assert api.try_spawn("true").code == "exhausted"
    api.stdin(second, b"\n")
    api.ended(second)
    assert api.spawn("true")
