# SPDX-License-Identifier: Apache-2.0
"""Observing sessions: subscriptions, their events and their counts."""

import contextlib

import pytest
from conftest import wait_for
from observers import (
    capability,
    counted,
    events,
    exactly,
    kinds,
    path_of,
    reading,
    seeing,
    status,
    subscribe,
)

pytestmark = pytest.mark.shared

CATEGORIES = ["lifecycle", "file", "network", "process"]


@pytest.fixture
def api(shared_api):
    return shared_api


def observed(api, script, *categories, **fields):
    """A session that is observed from its start."""
    return api.sh(script, observe={"categories": list(categories), **fields})


# --- capabilities --------------------------------------------------------------------------------


def test_the_matrix_has_each_category_once_and_in_order(api):
    answer = api.get("/v1/capabilities").json
    assert answer["scope"] == "launched-tree"
    assert [c["category"] for c in answer["capabilities"]] == CATEGORIES
    assert answer["rows"] == [
        [c["category"], c["support"], c["backend"], c["reason"]] for c in answer["capabilities"]
    ]
    assert answer["capabilities"][0] == {
        "category": "lifecycle",
        "support": "supported",
        "backend": "portable-lifecycle",
        "reason": "started/exited emitted from the spawn and reap path",
    }
    lines = answer["summary"].splitlines()
    assert lines[0] == "observer capabilities:" and len(lines) == 5
    assert [line.split()[0] for line in lines[1:]] == CATEGORIES
    assert answer == api.get("/v1/capabilities?scope=launched-tree").json


def test_a_probe_tells_of_backends_behind_better_ones(api):
    answer = api.get("/v1/capabilities?probe=true").json
    serving = {(b["category"], b["backend"]) for b in answer["backends"]}
    assert ("process", "subreaper-proc-poll") in serving
    for entry in answer["capabilities"]:
        if entry["backend"] != "none":
            assert (entry["category"], entry["backend"]) in serving


def test_system_wide_is_asked_for_separately(api):
    answer = api.get("/v1/capabilities?scope=system-wide")
    assert answer.status == 200 and answer.json["scope"] == "system-wide"
    assert api.get("/v1/capabilities?scope=galaxy").code == "invalid_argument"


# --- subscriptions -------------------------------------------------------------------------------


def test_nobody_observes_unless_asked(api):
    session = api.spawn("true")
    assert api.get(api.path_of(session, "/observers")).json == {"items": []}
    assert api.get(path_of(api, session)).status == 404


def test_a_spawn_that_is_observed_tells_its_start_and_its_exit(api):
    session = observed(api, "exit 3")
    seen = events(api, session)
    assert [(e["kind"], e["category"]) for e in seen] == [
        ("started", "lifecycle"),
        ("exited", "lifecycle"),
    ]
    exactly(seen)
    assert seen[1]["exitCode"] == 3
    assert {e["pid"] for e in seen} == {api.show(session)["pid"]}
    assert seen[0]["timestampMs"] <= seen[1]["timestampMs"]


def test_a_start_comes_before_all_that_the_command_does(api):
    """And nothing is told of what was done before it ran."""
    whole = [c for c in CATEGORIES if capability(api, c)["support"] == "supported"]
    if "process" not in whole:
        pytest.skip("here executions are told before they have succeeded")
    for _ in range(10):
        seen = events(api, observed(api, "exec /bin/true", *whole))
        assert seen[0]["kind"] == "started" and seen[1]["kind"] == "executed", seen[:3]


def test_what_a_process_does_comes_before_its_end(api):
    whole = [c for c in CATEGORIES if capability(api, c)["support"] == "supported"]
    if not {"file", "process"} <= set(whole):
        pytest.skip("here not all is told by one who knows the order")
    seen = events(api, observed(api, "for i in 1 2 3 4 5; do cat /etc/hosts; done", *whole))
    ended = {e["pid"]: e["seq"] for e in seen if e["kind"] == "exited"}
    opened = [e for e in seen if e["kind"] == "opened"]
    assert len(ended) == 6 and len({e["pid"] for e in opened}) == 6
    assert all(e["seq"] < ended[e["pid"]] for e in opened)


def test_death_by_a_signal_is_a_negative_exit_code(api):
    seen = events(api, observed(api, "kill -9 $$"))
    assert seen[-1]["exitCode"] == -9


def test_a_later_subscription_begins_with_what_comes(api):
    session = api.sh("read x; exit 4", stdin="pipe")
    subscriber = subscribe(api, session)
    assert subscriber["categories"] == ["lifecycle"]
    assert subscriber["ringCapacityEvents"] == 1024
    assert subscriber["backpressure"] == "drop-oldest"
    with reading(api, session) as stream:
        api.stdin(session, b"\n")
        event = stream.next()
        assert (event["kind"], event["exitCode"], event["seq"]) == ("exited", 4, 1)
        assert stream.next() is None


def test_a_subscription_to_what_has_ended_is_at_its_end(api):
    session = api.spawn("true")
    api.ended(session)
    subscriber = subscribe(api, session)["subscriberId"]
    assert events(api, session, subscriber) == []
    assert status(api, session, subscriber)["over"]


def test_subscriptions_outlive_the_connection_and_are_listed_until_they_are_ended(api):
    session = api.sh("read x", stdin="pipe")
    first, second = subscribe(api, session), subscribe(api, session, "lifecycle")
    items = api.get(api.path_of(session, "/observers")).json["items"]
    assert [i["subscriberId"] for i in items] == [first["subscriberId"], second["subscriberId"]]
    assert api.delete(path_of(api, session, first["subscriberId"])).status == 200
    assert api.get(path_of(api, session, first["subscriberId"])).code == "not_found"
    assert status(api, session, second["subscriberId"])["subscriberId"] == second["subscriberId"]
    third = subscribe(api, session)
    assert third["subscriberId"] not in (first["subscriberId"], second["subscriberId"])
    for one in (second, third):
        api.delete(path_of(api, session, one["subscriberId"]))
    assert api.get(api.path_of(session, "/observers")).json == {"items": []}


def test_a_subscription_may_say_of_which_kind_the_session_is(api):
    session = api.spawn("sleep", "1000")
    assert subscribe(api, session, kind="pipe")["kind"] == "pipe"
    terminal = api.spawn("sleep", "1000", kind="pty", observe={"kind": "pty"})
    assert subscribe(api, terminal, kind="pty")["kind"] == "pty"
    answer = api.post(api.path_of(terminal, "/observers"), {"kind": "pipe"})
    assert answer.code == "invalid_argument" and "pty" in answer.json["error"]["message"]


def test_a_session_has_a_limited_number_of_subscribers(api):
    session = api.spawn("sleep", "1000")
    answers = [api.post(api.path_of(session, "/observers"), {}) for _ in range(17)]
    assert [a.status for a in answers] == [201] * 16 + [507]
    assert "16 subscribers" in answers[-1].json["error"]["message"]


@pytest.mark.parametrize(
    "body, word",
    [
        ({"categories": ["disk"]}, "disk"),
        ({"categories": ["lifecycle"], "backends": {"file": "ebpf"}}, "file"),
        ({"categories": ["file"], "backends": {"file": "magic"}}, "magic"),
        ({"categories": ["file"], "backends": {"file": "perf"}}, "perf"),
        ({"ringCapacityEvents": 65537}, "ringCapacityEvents"),
        ({"backpressure": "panic"}, "backpressure"),
        ({"kind": "pty"}, "kind"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(api, body, word):
    session = api.spawn("sleep", "1000")
    answer = api.post(api.path_of(session, "/observers"), body)
    assert answer.code == "invalid_argument" and word in answer.json["error"]["message"]
    answer = api.try_spawn("true", observe=body)
    assert answer.code == "invalid_argument" and word in answer.json["error"]["message"]
    assert api.get(api.path_of(session, "/observers")).json == {"items": []}


# --- what is seen --------------------------------------------------------------------------------


def test_processes_of_the_tree_are_seen(api):
    session = observed(
        api, "/bin/true; (exit 7) & wait; read x", "process", backends=seeing(api, "process")
    )
    assert api.ended(session)["exit"]["exitCode"] == 1
    final, seen = counted(api, session), events(api, session)
    exactly(seen)
    assert {"forked", "executed", "exited"} <= set(kinds(seen))
    assert "/true" in "".join(e.get("path", "") for e in seen)
    assert 7 in [e.get("exitCode") for e in seen if e["kind"] == "exited"]
    assert final["deliveredEvents"] == len(seen) and final["missedEvents"] == 0


def test_files_of_the_tree_are_seen(api, tmp_path):
    target = tmp_path / "made"
    tmp_path.chmod(0o777)
    session = observed(api, f"echo hello > {target}; rm {target}", "file", "lifecycle")
    api.ended(session)
    seen = events(api, session)
    mine = [e for e in seen if e.get("path") == str(target)]
    assert {"created", "opened"} & set(kinds(mine)) and "unlinked" in kinds(mine)
    if capability(api, "file")["support"] == "supported":
        assert sorted(kinds(mine)) == ["closed", "created", "unlinked"]
        assert [e["bytesWritten"] for e in mine if e["kind"] == "closed"] == [6]


def test_several_subscribers_with_other_categories_share_one_stream_of_events(api):
    session = api.sh("read x; /bin/true; exit 0", stdin="pipe")
    both = subscribe(api, session, "process", "lifecycle")["subscriberId"]
    one = subscribe(api, session, "lifecycle")["subscriberId"]
    other = subscribe(api, session, "process")["subscriberId"]
    api.stdin(session, b"\n")
    api.ended(session)
    all_of_it, alone, rest = (events(api, session, s) for s in (both, one, other))
    for seen in (all_of_it, alone, rest):
        if status(api, session, both)["missedEvents"] == 0:
            exactly(seen)
    assert kinds(alone) == ["exited"] == kinds(all_of_it, "lifecycle")
    assert kinds(rest) == kinds(all_of_it, "process")
    backend = status(api, session, other)["capabilities"][0]["backend"]
    assert {e["source"] for e in rest} == {backend} or not rest


def test_a_backend_can_be_named(api):
    session = observed(
        api, "sleep 0.2", "process", backends={"process": "subreaper-proc-poll"}
    )
    assert status(api, session)["capabilities"][0]["backend"] == "subreaper-proc-poll"
    api.ended(session)
    assert {e["source"] for e in events(api, session)} <= {"subreaper-proc-poll"}


def test_a_category_has_one_backend_in_a_session(api):
    session = observed(
        api, "sleep 1000", "process", backends={"process": "subreaper-proc-poll"}
    )
    body = {"categories": ["process"], "backends": {"process": "proc-connector"}}
    answer = api.post(api.path_of(session, "/observers"), body)
    assert answer.code in ("wrong_state", "invalid_argument")
    assert subscribe(api, session, "process")["capabilities"][0]["backend"] == "subreaper-proc-poll"


def test_block_is_refused_where_nobody_can_be_made_to_wait(api):
    body = {
        "categories": ["process"],
        "backpressure": "block",
        "backends": {"process": "subreaper-proc-poll"},
    }
    answer = api.try_spawn("true", observe=body)
    assert answer.code == "invalid_argument"
    assert "subreaper-proc-poll" in answer.json["error"]["message"]
    session = observed(api, "true", backpressure="block")
    assert kinds(events(api, session)) == ["started", "exited"]


# --- the sink ------------------------------------------------------------------------------------


def flood(api, n, capacity):
    """A session that makes about `n` forks, and a subscriber that does not read."""
    script = f"i=0; while [ $i -lt {n} ]; do ( : ); i=$((i+1)); done"
    backends = seeing(api, "process")
    session = observed(api, script, "process", ringCapacityEvents=capacity, backends=backends)
    api.ended(session)
    return session, counted(api, session)


def test_a_full_sink_drops_the_oldest_and_counts_it(api):
    session, final = flood(api, 100, 10)
    seen = events(api, session)
    total = final["deliveredEvents"]
    assert total >= 200 and final["waitingEvents"] == 10 == len(seen)
    assert final["missedEvents"] == total - 10
    assert final["missedBy"] == {"process": total - 10}
    exactly(seen, total - 9)
    assert seen[-1]["kind"] == "exited"
    assert status(api, session)["waitingEvents"] == 0


def test_a_slow_subscriber_costs_another_nothing(api):
    session = api.sh("read x; exit 0", stdin="pipe")
    slow = subscribe(api, session, ringCapacityEvents=1)["subscriberId"]
    quick = subscribe(api, session)["subscriberId"]
    api.stdin(session, b"\n")
    api.ended(session)
    assert kinds(events(api, session, quick)) == kinds(events(api, session, slow)) == ["exited"]


def test_each_of_many_readers_gets_all_there_is(api):
    script = "read x; for i in $(seq 20); do /bin/true; done; exit 0"
    backends = seeing(api, "process")
    with contextlib.ExitStack() as stack:
        sessions, streams = [], []
        for _ in range(12):
            observe = {"categories": ["process"], "backends": backends}
            sessions.append(api.sh(script, stdin="pipe", observe=observe))
            streams.append(stack.enter_context(reading(api, sessions[-1])))
        for session in sessions:
            api.stdin(session, b"\n")
        for stream in streams:
            seen = list(iter(stream.next, None))
            exactly(seen)
            assert kinds(seen).count("exited") >= 21  # seq is a process, too


# --- attaching again -----------------------------------------------------------------------------


def test_a_reader_goes_on_behind_the_event_that_it_has_seen(api):
    session = observed(api, "read x; exit 0", "lifecycle")
    with reading(api, session) as stream:
        first = stream.next()
    assert first["kind"] == "started"
    api.stop(session)
    assert kinds(events(api, session, seq=first["seq"])) == ["exited"]
    assert kinds(events(api, session, seq=0)) == ["started", "exited"]
    assert events(api, session, seq=2) == []
    assert counted(api, session)["deliveredEvents"] == 2


def test_what_was_read_waits_no_more(api):
    session = observed(api, "exit 0")
    api.ended(session)
    assert len(events(api, session)) == 2
    assert events(api, session) == []


def test_an_event_source_of_a_browser_goes_on_by_itself(api):
    session = observed(api, "exit 0")
    api.ended(session)
    accept = {"Accept": "text/event-stream"}
    answer = api.get(path_of(api, session, action="/events"), headers=accept)
    assert answer.headers["Content-Type"] == "text/event-stream"
    blocks = answer.body.decode().strip().split("\n\n")
    assert [b.splitlines()[:2] for b in blocks] == [
        ["id: 1", "event: started"],
        ["id: 2", "event: exited"],
    ]
    again = api.get(
        path_of(api, session, action="/events"), headers={**accept, "Last-Event-ID": "1"}
    )
    assert again.body.decode().startswith("id: 2\nevent: exited\n")


def test_the_library_gets_packed_events(api):
    session = observed(api, "exit 0")
    api.ended(session)
    answer = api.get(
        path_of(api, session, action="/events"), headers={"Accept": "application/x-reeve-events"}
    )
    sizes, body = [], answer.body
    while body:
        size = int.from_bytes(body[:4], "little")
        assert int.from_bytes(body[8:16], "little") == len(sizes) + 1
        sizes.append(size)
        body = body[16 + size :]
    assert len(sizes) == 2


def test_a_second_reader_ends_the_first(api):
    session = observed(api, "sleep 1000")
    with reading(api, session) as one:
        assert one.next()["kind"] == "started"
        assert not status(api, session)["disconnected"]
        with reading(api, session) as two:
            assert one.next() is None
            api.stop(session)
            assert two.next()["kind"] == "exited"
            assert two.next() is None


def test_events_can_be_read_beside_the_reader(api):
    session = api.sh("read x; :", stdin="pipe", observe={"categories": ["lifecycle"]})
    with reading(api, session) as reader:
        assert reader.next()["kind"] == "started"
        aside = {"attach": "false", "follow": "false"}
        assert kinds(events(api, session, **aside)) == ["started"]
        api.stdin(session, b"\n")
        api.ended(session)
        assert reader.next()["kind"] == "exited"
        assert reader.next() is None
        assert kinds(events(api, session, seq=1, **aside)) == ["exited"]
    waits = api.sh(":", observe={"categories": ["lifecycle"]})
    counted(api, waits)
    for _ in range(2):
        assert kinds(events(api, waits, **aside)) == ["started", "exited"]
    assert status(api, waits)["waitingEvents"] == 2
    answer = api.get(path_of(api, waits, action="/events", attach="false"))
    assert answer.code == "invalid_argument"


def test_a_consumer_that_left_is_disconnected(api):
    session = observed(api, "sleep 1000")
    assert not status(api, session)["disconnected"]
    with reading(api, session) as stream:
        stream.next()
    wait_for(lambda: status(api, session)["disconnected"])
    with reading(api, session, seq=0) as stream:
        assert stream.next()["kind"] == "started"
        assert not status(api, session)["disconnected"]


def test_ending_a_subscription_ends_its_stream(api):
    session = observed(api, "sleep 1000")
    with reading(api, session) as stream:
        stream.next()
        assert api.delete(path_of(api, session)).json["deliveredEvents"] == 1
        assert stream.next() is None


def test_removing_a_session_ends_its_streams(api):
    session = observed(api, "sleep 1000")
    with reading(api, session) as stream:
        stream.next()
        assert api.delete(api.path_of(session, force="true")).status == 200
        while stream.next():
            pass
