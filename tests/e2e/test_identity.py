# SPDX-License-Identifier: Apache-2.0
"""What sessions are called, and how they are found."""

import re
import time

import pytest

ID = re.compile(r"^pipe-([0-9a-f]{16})-([0-9a-f]{8})$")
FOREVER = ("sleep", "1000")


def test_an_id_holds_kind_time_and_counter(api):
    before = time.time_ns()
    first, second = api.spawn(*FOREVER), api.spawn(*FOREVER)
    times = [int(ID.match(s["id"])[1], 16) for s in (first, second)]
    assert before <= times[0] < times[1] <= time.time_ns()
    assert int(ID.match(second["id"])[2], 16) == int(ID.match(first["id"])[2], 16) + 1


def test_handles_count_up_and_are_never_reused(reeve, api):
    first = api.spawn("true")
    api.ended(first)
    assert api.delete(api.path_of(first)).status == 200
    second = api.spawn("true")
    assert second["handle"] == first["handle"] + 1
    reeve.kill_engine()
    assert api.spawn("true")["handle"] == second["handle"] + 1


def test_ids_and_handles_go_on_after_the_daemon_was_restarted(reeve, api):
    first = api.spawn("true")
    api.ended(first)
    reeve.ok("daemon", "stop")
    second = reeve.api.spawn("true")
    assert second["handle"] > first["handle"]
    assert second["id"] != first["id"]


def test_a_name_is_made_from_the_command(api):
    assert api.spawn("/bin/sleep", "1000")["name"] == "sleep"
    assert api.spawn(*FOREVER)["name"] == "sleep-2"
    assert api.spawn(*FOREVER)["name"] == "sleep-3"
    assert api.sh("exit 0")["name"] == "sh"


def test_a_made_name_is_free_again_when_its_session_has_ended(api):
    first = api.spawn(*FOREVER)
    api.stop(first)
    assert api.spawn(*FOREVER)["name"] == first["name"]


def test_many_sessions_of_one_command_have_names_of_their_own(api):
    first = [api.spawn(*FOREVER) for _ in range(20)]
    api.stop(first[1])
    api.stop(first[-1])
    more = [api.spawn(*FOREVER)["name"] for _ in range(5)]
    names = [session["name"] for session in first[:1] + first[2:-1]] + more
    assert len(set(names)) == 23
    assert more[0] == first[1]["name"]  # the lowest that is free


def test_a_name_is_unique_among_live_sessions(api):
    holder = api.spawn(*FOREVER, name="web")
    answer = api.try_spawn(*FOREVER, name="web")
    assert (answer.status, answer.code) == (409, "already_exists")
    message = answer.json["error"]["message"]
    assert "web" in message and holder["id"] in message


def test_an_ended_session_gives_its_name_up(api):
    old = api.spawn("true", name="job")
    api.ended(old)
    new = api.spawn(*FOREVER, name="job")
    assert api.show("job")["id"] == new["id"]
    assert api.show(old)["name"] == "job"


def test_the_live_session_comes_before_ended_ones_of_the_same_name(api):
    live = api.spawn(*FOREVER, name="job")
    api.stop(live)
    newer = api.spawn("true", name="job")
    api.ended(newer)
    assert api.show("job")["id"] == newer["id"], "the newest of the ended ones"
    again = api.spawn(*FOREVER, name="job")
    assert api.show("job")["id"] == again["id"]


def test_replace_stops_the_holder_of_the_name_first(api):
    holder = api.sh(
        "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done", name="web"
    )
    api.logs(holder, wait="20s")
    new = api.spawn(*FOREVER, name="web", replace=True)
    old = api.show(holder)
    assert old["status"] == "stopped" and old["exit"]["outcome"] == "soft"
    assert api.show("web")["id"] == new["id"] != old["id"]
    assert api.raw(holder, stream="stdout") == b"ready\nbye\n"


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["", "-x", ".x", "_x", "a b", "ä", "a/b", "a" * 65, "12", "007", "a\n",
     "pipe-0123456789abcdef-00000001", "pty-0123456789abcdef-00000001"],
)  # fmt: skip
def test_an_impossible_name_is_refused(api, name):
    answer = api.try_spawn("true", name=name)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "name" in answer.json["error"]["message"]
    assert api.get("/v1/sessions").json["items"] == []


@pytest.mark.shared
@pytest.mark.parametrize("name", ["a", "0a", "A.b_c-d", "a" * 64, "pipe", "pipe-0123", "1.5"])
def test_a_possible_name_finds_its_session(api, name):
    session = api.spawn(*FOREVER, name=name)
    assert session["name"] == name
    assert api.show(name)["id"] == session["id"]


def test_a_session_is_found_by_id_handle_name_and_the_beginning_of_its_id(api):
    session = api.spawn(*FOREVER, name="web")
    for key in (session["id"], str(session["handle"]), "web", session["id"][:-1], "pipe", "p"):
        assert api.show(key)["id"] == session["id"], key


def test_a_handle_comes_before_the_beginning_of_an_id_and_a_name_has_no_beginning(api):
    session = api.spawn(*FOREVER, name="server")
    assert api.get(api.path_of("serv")).status == 404
    assert api.get(api.path_of(str(session["handle"] + 1))).status == 404
    assert api.get(api.path_of(f"0{session['handle']}")).status == 404


def test_a_name_comes_before_the_beginning_of_an_id(api):
    api.spawn(*FOREVER)
    named = api.spawn(*FOREVER, name="pipe")
    assert api.show("pipe")["id"] == named["id"]


def test_an_ambiguous_beginning_lists_the_candidates(api):
    sessions = [api.spawn(*FOREVER) for _ in range(3)]
    answer = api.get(api.path_of("pipe-"))
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert all(s["id"] in answer.json["error"]["message"] for s in sessions)


def test_of_many_candidates_only_the_newest_are_listed(api):
    sessions = [api.spawn("true") for _ in range(12)]
    message = api.get(api.path_of("pipe-")).json["error"]["message"]
    assert "12 sessions" in message and sessions[-1]["id"] in message
    assert sessions[0]["id"] not in message and message.endswith("...")


@pytest.mark.shared
@pytest.mark.parametrize("key", ["nobody", "0", "999999", "pty-", "%20", "a%2Fb"])
def test_a_session_that_is_not_there_is_not_found(api, key):
    api.spawn(*FOREVER)
    answer = api.get(api.path_of(key))
    assert (answer.status, answer.code) == (404, "not_found")


def test_every_route_of_a_session_says_that_it_is_not_there(api):
    requests = [
        ("GET", ""), ("DELETE", ""), ("GET", "/logs"), ("GET", "/attach"), ("POST", "/stdin"),
        ("POST", "/wait"), ("POST", "/stop"), ("POST", "/kill"), ("GET", "/tree"),
    ]  # fmt: skip
    for method, action in requests:
        answer = api.request(method, api.path_of("nobody", action))
        assert (answer.status, answer.code) == (404, "not_found"), (method, action)


# --- lists ---------------------------------------------------------------------------------------


def ids(answer):
    return [session["id"] for session in answer.json["items"]]


def test_the_list_has_the_newest_first_and_can_leave_ended_sessions_out(api):
    ended = api.spawn("true")
    api.ended(ended)
    live = api.spawn(*FOREVER)
    assert ids(api.get("/v1/sessions")) == [live["id"], ended["id"]]
    assert ids(api.get("/v1/sessions?all=false")) == [live["id"]]


def test_the_list_can_be_limited_to_so_many_ended_sessions(api):
    ended = [api.spawn("true") for _ in range(4)]
    for session in ended:
        api.ended(session)
    live = api.spawn(*FOREVER)
    assert ids(api.get("/v1/sessions?limit=2")) == [live["id"], ended[3]["id"], ended[2]["id"]]
    assert ids(api.get("/v1/sessions?limit=0")) == [live["id"]]


def test_the_list_can_be_filtered(api):
    first = api.spawn(*FOREVER, labels={"app": "web", "tier": ""}, originator="ci")
    second = api.spawn(*FOREVER, labels={"app": "db"}, originator="me")
    api.stop(second)
    for query, found in [
        ("label=app", [second, first]), ("label=app%3Dweb", [first]), ("label=tier%3D", [first]),
        ("label=ap", []), ("label=app%3D", []), ("originator=me", [second]), ("originator=", []),
        ("status=stopped", [second]), ("status=running", [first]), ("status=failed", []),
        ("label=app&originator=ci&status=running", [first]), ("label=app&label=tier", [first]),
        ("label=app&label=app", [second, first]), ("label=app%3Dweb&label=app%3Ddb", []),
        ("olderThan=1h", []), ("olderThan=0s&label=app", [second, first]),
    ]:  # fmt: skip
        assert ids(api.get(f"/v1/sessions?{query}")) == [s["id"] for s in found], query


def test_what_the_caller_says_about_a_session_is_given_back(api):
    fields = dict(
        title="Bytes: ü\n\"x\"", labels={"a": "1", "b": ""}, originator="me", origin="shell_tool",
        taskId="t1", threadId="t2", turnId="t3", runnerDestinationId="r1", runnerSessionId="r2",
    )  # fmt: skip
    session = api.spawn("true", **fields)
    assert {name: session[name] for name in fields} == fields
    shown = api.show(session)
    assert {name: shown[name] for name in fields} == fields


def test_absent_fields_are_left_out(api):
    session = api.spawn("true")
    assert session["origin"] == "command_exec"
    for name in ("title", "labels", "originator", "taskId", "parentId", "warnings", "quarantined"):
        assert name not in session


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_are_shown_to_nobody_but_who_asks_for_them(api):
    command = ["sh", "-c", "exit 0", "API_KEY=abc123", "--token", "hunter2", "tokenizer.json"]
    session = api.spawn(*command)
    shown = ["sh", "-c", "exit 0", "API_KEY=<redacted>", "--token", "<redacted>", "tokenizer.json"]
    for answer in (api.show(session), api.get("/v1/sessions").json["items"][0], session):
        assert answer["command"] == shown
        assert "abc123" not in str(answer) and "hunter2" not in str(answer)
    assert 'sh -c "exit 0" API_KEY=<redacted>' in session["commandSummary"]
    assert api.get(api.path_of(session, raw="true")).json["command"] == command


# --- removing ------------------------------------------------------------------------------------


def test_a_live_session_is_removed_only_by_force(api):
    session = api.spawn(*FOREVER)
    answer = api.delete(api.path_of(session))
    assert (answer.status, answer.code) == (409, "wrong_state")
    assert session["id"] in answer.json["error"]["message"]
    assert api.delete(api.path_of(session, force="true")).json == {"removed": True}
    assert api.get(api.path_of(session)).status == 404
    assert not api.get("/v1/sessions").json["items"]


def test_purge_removes_what_has_ended_and_counts_it(api):
    live = api.spawn(*FOREVER)
    for _ in range(3):
        api.ended(api.spawn("true"))
    assert api.post("/v1/sessions/purge").json == {"count": 3}
    assert api.post("/v1/sessions/purge", {}).json == {"count": 0}
    assert ids(api.get("/v1/sessions")) == [live["id"]]


def test_purge_can_be_limited_to_a_label_or_an_originator(api):
    for fields in ({"labels": {"k": "1"}}, {"labels": {"k": "2"}}, {"originator": "me"}, {}):
        api.ended(api.spawn("true", **fields))
    assert api.post("/v1/sessions/purge", {"label": "k=1"}).json == {"count": 1}
    assert api.post("/v1/sessions/purge", {"label": "k", "originator": "me"}).json == {"count": 0}
    assert api.post("/v1/sessions/purge", {"label": "k"}).json == {"count": 1}
    assert api.post("/v1/sessions/purge", {"originator": "me"}).json == {"count": 1}
    assert len(ids(api.get("/v1/sessions"))) == 1


def test_purge_takes_all_that_a_list_does(api):
    ended = [api.spawn(*words, labels={"n": str(i)}) for i, words in enumerate([["true"]] * 3)]
    for session in ended:
        api.ended(session)
    stopped = api.spawn(*FOREVER, labels={"n": "3"})
    api.stop(stopped)
    for body, count in (
        ({"olderThan": "1h"}, 0), ({"label": ["n", "m"]}, 0), ({"label": ["n", "n=1"]}, 1),
        ({"status": "stopped", "label": "n=2"}, 0), ({"status": "running"}, 0),
        ({"status": "stopped"}, 1), ({"olderThan": "0s"}, 2),
    ):  # fmt: skip
        assert api.post("/v1/sessions/purge", body).json == {"count": count}, body


@pytest.mark.parametrize("label", ["", "=", "=x"])
def test_a_label_without_a_key_describes_nothing(api, label):
    kept = api.spawn("true", labels={"k": "x"})
    api.ended(kept)
    for answer in (
        api.get(f"/v1/sessions?label=k&label={label}"),
        api.post("/v1/sessions/purge", {"label": label}),
        api.post("/v1/sessions/stop", {"label": ["k", label]}),
    ):
        assert (answer.status, answer.code) == (400, "invalid_argument")
    assert ids(api.get("/v1/sessions")) == [kept["id"]]


def test_a_session_with_a_live_tree_is_neither_purged_nor_removed(api):
    session = api.sh("sleep 1000 & exit 0", leftovers="keep")
    api.wait(session)
    assert api.post("/v1/sessions/purge").json == {"count": 0}
    assert api.delete(api.path_of(session)).code == "wrong_state"
    api.stop(session)
    assert api.post("/v1/sessions/purge").json == {"count": 1}


def test_the_output_of_a_removed_session_is_gone_and_its_follower_is_told(api):
    session = api.sh("echo hello; sleep 1000")
    with api.attach(session, readOnly="true") as follower:
        assert follower.read_output(6) == b"hello\n"
        assert api.delete(api.path_of(session, force="true")).status == 200
        assert follower.rest()[-1].type.name == "ENDED"
    assert api.get(api.path_of(session, "/logs")).status == 404


# --- idempotency ---------------------------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_session(api):
    first = api.try_spawn(*FOREVER, key="k1")
    again = api.try_spawn(*FOREVER, key="k1")
    assert (first.status, again.status) == (201, 200)
    assert first.json["id"] == again.json["id"]
    assert len(ids(api.get("/v1/sessions"))) == 1


def test_the_same_key_with_another_body_is_a_conflict(api):
    first = api.try_spawn("true", key="k1")
    answer = api.try_spawn("false", key="k1")
    assert (answer.status, answer.code) == (409, "idempotency_conflict")
    assert first.json["id"] in answer.json["error"]["message"]


def test_a_key_outlives_the_engine_and_the_end_of_its_session(reeve, api):
    first = api.try_spawn("true", key="k1").json
    api.ended(first)
    reeve.kill_engine()
    again = api.try_spawn("true", key="k1")
    assert (again.status, again.json["id"]) == (200, first["id"])
    assert api.try_spawn("false", key="k1").code == "idempotency_conflict"


def test_a_removed_session_gives_its_key_up(api):
    first = api.try_spawn("true", key="k1").json
    api.ended(first)
    api.delete(api.path_of(first))
    assert api.try_spawn("true", key="k1").status == 201


def test_a_spawn_that_failed_fails_again_under_its_key(api):
    first = api.try_spawn("/no/such", key="k1")
    again = api.try_spawn("/no/such", key="k1")
    assert first.status == again.status == 400
    assert first.json == again.json
    assert len(ids(api.get("/v1/sessions"))) == 1


@pytest.mark.shared
@pytest.mark.parametrize("key", ["x" * 257, ""], ids=len)
def test_a_key_has_up_to_256_characters(api, key):
    answer = api.try_spawn("true", key=key)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert api.try_spawn("true", key="x" * 256).status == 201
