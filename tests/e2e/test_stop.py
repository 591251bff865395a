# SPDX-License-Identifier: Apache-2.0
"""How sessions end, and what is said about it."""

import contextlib
import json
import os
import pathlib
import re
import tempfile
import threading

import pytest
from commands import SETTLED
from conftest import alive, stat_fields, wait_for

pytestmark = pytest.mark.shared


def ready(api, script, **fields):
    """A session whose script has written its first line."""
    session = api.sh(script, **fields)
    api.logs(session, stream="stdout", wait="20s")
    return session


def stubborn(api, **fields):
    """A command that only SIGKILL ends. Its sleep is left to the default of TERM."""
    return ready(api, "trap '' TERM; echo ready; while :; do sleep 0.05; done", **fields)


def end_of(session):
    end = session["exit"]
    return end["exitCode"], end.get("signal"), end["outcome"], end["cause"], session["status"]


@pytest.fixture
def place(api):
    """A directory with a fifo in it."""
    path = pathlib.Path(tempfile.mkdtemp(dir=api.cwd))
    os.mkfifo(path / "fifo")
    return path


# --- by itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 77, 126, 127, 128, 143, 255])
def test_the_exit_code_is_the_commands(api, code):
    session = api.ended(api.sh(f"exit {code}"))
    assert end_of(session) == (code, None, "natural", "exit", "exited")
    assert session["state"] == {"exited": {"exitCode": code}}


@pytest.mark.parametrize("name, number", [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("HUP", 1)])
def test_death_by_a_signal_is_minus_its_number(api, name, number):
    session = api.ended(api.sh(f"ulimit -c 0; kill -{name} $$"))
    assert end_of(session) == (-number, f"SIG{name}", "natural", "signal", "exited")


def test_the_exit_record_has_time_and_usage(api):
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    session = api.ended(api.sh(script))
    assert session["createdAt"] <= session["startedAt"] <= session["exit"]["exitedAt"]
    assert session["exit"]["rusage"]["userUs"] > 0
    assert session["exit"]["rusage"]["maxRssKib"] > 100


# --- stop ----------------------------------------------------------------------------------------


def begin_stop(api, session, **body):
    """A connection on which the daemon was asked, in the order of these calls, for a stop."""
    connection = api.connect()
    body = json.dumps(body).encode()
    connection.request("POST", api.path_of(session, "/stop"), body)
    api.show(session)  # this came later: the stop is under way when it is answered
    return connection


def answer_of(connection):
    with contextlib.closing(connection):
        return json.load(connection.getresponse())


def test_stop_sends_term_and_tells_what_ended_it(api):
    session = api.stop(api.spawn("sleep", "1000"))
    assert end_of(session) == (-15, "SIGTERM", "soft", "stop", "stopped")
    assert session["state"] == "stopped" and session["stoppable"] is False


def test_a_command_that_cleans_up_ends_with_its_own_code(api):
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
    session = api.stop(ready(api, script))
    assert end_of(session) == (5, None, "soft", "stop", "stopped")
    assert api.raw(session, stream="stdout") == b"ready\nbye\n"


def test_stop_kills_what_survives_the_grace(api):
    session = api.stop(stubborn(api), grace="50ms")
    assert end_of(session) == (-9, "SIGKILL", "hard", "stop", "stopped")


def test_stop_begins_with_the_signal_that_is_asked_for(api):
    script = (
        "trap 'echo int' INT; trap 'echo term; exit' TERM; echo ready; while :; do sleep 0.02; done"
    )
    session = ready(api, script)
    stopping = begin_stop(api, session, signal="INT", grace="1h")
    wait_for(lambda: api.raw(session, stream="stdout") == b"ready\nint\n", what="the signal")
    ended = api.stop(session, plan="KILL")
    assert answer_of(stopping)["stopped"] is True and ended["exit"]["outcome"] == "hard"
    assert api.raw(session, stream="stdout") == b"ready\nint\n"


def test_a_plan_is_gone_through_step_by_step(api):
    script = (
        "trap 'echo hup' HUP; trap 'echo int' INT; trap 'echo term; exit 3' TERM; echo ready;"
        "while :; do sleep 0.02; done"
    )
    session = api.stop(ready(api, script), plan="HUP 200ms INT 200ms TERM 10s KILL")
    assert api.raw(session, stream="stdout") == b"ready\nhup\nint\nterm\n"
    assert end_of(session) == (3, None, "soft", "stop", "stopped")


def test_a_session_has_a_plan_of_its_own(api):
    script = "trap 'echo usr1; exit 4' USR1; echo ready; while :; do sleep 0.02; done"
    session = api.stop(ready(api, script, stop="USR1 10s KILL"))
    assert api.raw(session, stream="stdout") == b"ready\nusr1\n"
    session = api.stop(stubborn(api, grace="20ms"))
    assert session["exit"]["outcome"] == "hard"


def test_a_plan_of_kill_alone_is_hard_at_once(api):
    session = api.stop(stubborn(api), plan="KILL")
    assert end_of(session) == (-9, "SIGKILL", "hard", "stop", "stopped")


def test_what_died_of_the_first_signal_was_not_killed_however_soon_sigkill_follows(api):
    for grace in ["0s", "1ms"] * 10:
        session = api.stop(api.spawn("sleep", "1000"), grace=grace)
        assert end_of(session) == (-15, "SIGTERM", "soft", "stop", "stopped")


def test_stop_of_what_has_ended_stops_nothing(api):
    session = api.spawn("true")
    api.ended(session)
    answer = api.post(api.path_of(session, "/stop"), {})
    assert (answer.status, answer.json["stopped"]) == (200, False)
    assert answer.json["process"]["status"] == "exited"


def stop_in_thread(api, session, answers, **body):
    def run():
        answers.append(api.post(api.path_of(session, "/stop"), body))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_stop_twice_at_once_is_one_stop(api):
    script = "trap 'echo term' TERM; echo ready; while :; do sleep 0.02; done"
    session = ready(api, script)
    stopping = [begin_stop(api, session, grace="1h") for _ in range(4)]
    wait_for(lambda: api.raw(session, stream="stdout") == b"ready\nterm\n", what="the signal")
    api.stop(session, plan="KILL")
    assert [answer_of(one)["stopped"] for one in stopping] == [True] * 4
    assert api.raw(session, stream="stdout") == b"ready\nterm\n"


def test_while_it_is_stopped_a_session_is_stopping(api):
    session = stubborn(api)
    answers = []
    thread = stop_in_thread(api, session, answers, grace="1h")
    wait_for(lambda: api.show(session)["status"] == "stopping", what="the status")
    assert api.show(session)["state"] == "stopping"
    api.stop(session, grace="0s")
    thread.join(20)
    assert answers[0].json["process"]["exit"]["outcome"] == "hard"


def test_a_more_impatient_stop_shortens_the_first(api):
    session = stubborn(api)
    answers = []
    thread = stop_in_thread(api, session, answers, grace="1h")
    wait_for(lambda: api.show(session)["status"] == "stopping")
    ended = api.stop(session, plan="KILL")
    thread.join(20)
    assert ended["exit"]["outcome"] == "hard" and len(answers) == 1


def test_the_first_reason_for_a_stop_is_kept(reeve):
    api, answers = reeve.api, []
    quiet, told = stubborn(api), stubborn(api)
    assert "stopReason" not in api.stop(quiet, grace="1ms")
    threads = [stop_in_thread(api, told, answers, grace="1h")]
    wait_for(lambda: api.show(told)["status"] == "stopping")
    assert "stopReason" not in api.show(told)
    for body in ({"reason": "über\n", "grace": "30m"}, {"reason": "second", "grace": "1ms"}):
        threads.append(stop_in_thread(api, told, answers, **body))
        wait_for(lambda: api.show(told).get("stopReason"))
    for thread in threads:
        thread.join(20)
    reeve.kill_engine()
    for shown in (api.show(told), api.get("/v1/sessions").json["items"][0]):
        assert shown["stopReason"] == "über\n"
    assert api.post(api.path_of(quiet, "/stop"), {"reason": "late"}).json["stopped"] is False
    assert "stopReason" not in api.show(quiet)


def test_stop_ends_the_whole_tree(api, reeve):
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for kind in range(3):\n"
        "    if os.fork() == 0:\n"
        "        if kind: os.setsid()\n"
        "        if kind == 2 and os.fork(): os._exit(0)\n"
        "        os.write(1, b'%d\\n' % os.getpid())\n"
        "        time.sleep(1000)\n"
        "time.sleep(1000)\n"
    )
    session = api.spawn("/usr/bin/python3", "-c", script)
    wait_for(lambda: api.raw(session, stream="stdout").count(b"\n") == 3, what="three children")
    pids = [int(pid) for pid in api.raw(session, stream="stdout").split()]
    assert all(alive(pid) for pid in pids)
    api.stop(session, grace="30ms")
    assert not any(alive(pid) for pid in pids)


def test_stop_wakes_a_suspended_command(api):
    session = api.spawn("sleep", "1000")
    api.kill(session, "STOP")
    wait_for(lambda: stat_fields(session["pid"])[0] == "T", what="the suspension")
    assert end_of(api.stop(session))[:3] == (-15, "SIGTERM", "soft")


@pytest.mark.parametrize(
    "body",
    [
        {"grace": "soon"}, {"grace": 5}, {"signal": "NOSUCH"}, {"signal": ""}, {"signal": "65"},
        {"signal": "0"}, {"signal": 15}, {"plan": ""}, {"plan": "5s"}, {"plan": "TERM TERM 5"},
        {"plan": "TERM 1s", "grace": "1s"}, {"plan": "TERM 1s", "signal": "INT"}, {"reason": 1},
        {"force": True}, {"plan": "TERM 1s " * 40}, {"reason": "x" * 1025},
    ],
    ids=lambda body: str(body)[:40],
)  # fmt: skip
def test_a_stop_that_makes_no_sense_is_refused_and_stops_nothing(api, body):
    session = api.spawn("sleep", "1000")
    answer = api.post(api.path_of(session, "/stop"), body)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert api.show(session)["status"] == "running"


# --- kill ----------------------------------------------------------------------------------------


def test_kill_sends_kill_by_default(api):
    session = api.spawn("sleep", "1000")
    assert api.kill(session).json["signal"] == "SIGKILL"
    assert end_of(api.ended(session)) == (-9, "SIGKILL", "hard", "signal", "exited")


@pytest.mark.parametrize("name", ["TERM", "term", "SIGTERM", "sigterm", "15"])
def test_kill_knows_signals_by_name_and_number(api, name):
    session = api.spawn("sleep", "1000")
    assert api.kill(session, name).json["signal"] == "SIGTERM"
    assert end_of(api.ended(session)) == (-15, "SIGTERM", "soft", "signal", "exited")


def test_kill_reaches_the_commands_process_group_and_no_other(api):
    script = (
        "import os, signal, time\n"
        "for group in ('leader', 'same', 'other'):\n"
        "    if group == 'leader' or os.fork() == 0:\n"
        "        if group == 'other': os.setpgrp()\n"
        "        say = lambda *_, group=group: os.write(1, group.encode() + b' got\\n')\n"
        "        signal.signal(signal.SIGUSR1, say)\n"
        "        if group != 'leader': break\n"
        "os.write(1, b'up\\n')\n"
        "while True: time.sleep(1000)\n"
    )
    session = api.spawn("/usr/bin/python3", "-c", script)

    def lines():
        return sorted(api.raw(session, stream="stdout").split(b"\n")[:-1])

    wait_for(lambda: lines() == [b"up"] * 3, what="three processes")
    api.kill(session, "USR1")
    wait_for(lambda: len(lines()) >= 5, what="the signal")
    assert lines() == [b"leader got", b"same got", b"up", b"up", b"up"]


def test_a_signal_that_is_survived_changes_nothing(api):
    session = ready(api, "trap 'echo got' USR1; echo ready; while :; do sleep 0.02; done")
    api.kill(session, "USR1")
    wait_for(lambda: api.raw(session, stream="stdout") == b"ready\ngot\n", what="the signal")
    assert api.show(session)["status"] == "running"


def test_kill_of_what_has_ended_is_the_wrong_state(api):
    session = api.spawn("true")
    api.ended(session)
    answer = api.kill(session)
    assert (answer.status, answer.code) == (409, "wrong_state")
    assert session["id"] in answer.json["error"]["message"]


@pytest.mark.parametrize("signal", ["NOSUCH", "", "0", "-9", "65", 9, "x" * 17])
def test_a_signal_that_there_is_not_is_refused(api, signal):
    session = api.spawn("sleep", "1000")
    answer = api.post(api.path_of(session, "/kill"), {"signal": signal})
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert api.show(session)["status"] == "running"


# --- leftovers -----------------------------------------------------------------------------------


def test_the_exit_does_not_wait_for_a_descendant_that_holds_the_pipe(api):
    session = api.sh("sleep 1000 & echo all of it; exit 7", leftovers="keep")
    result = api.wait(session)
    assert (result["exitCode"], result["treeAlive"]) == (7, True)
    assert api.raw(session, stream="stdout") == b"all of it\n"
    shown = api.show(session)
    assert (shown["status"], shown["outputOpen"], shown["stoppable"]) == ("exited", True, True)
    assert end_of(shown) == (7, None, "natural", "exit", "exited")
    assert api.post(api.path_of(session, "/stop"), {}).json["stopped"] is True
    assert end_of(api.show(session)) == (7, None, "natural", "exit", "exited")
    assert not api.show(session)["treeAlive"]


def test_all_that_the_leader_wrote_is_there_when_its_exit_is_reported(api):
    script = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    import time; time.sleep(1000)\n"
        "sys.stdout.buffer.write(b'x' * 3000000); sys.stdout.flush()\n"
        "os._exit(9)\n"
    )
    session = api.spawn("/usr/bin/python3", "-c", script, leftovers="keep", backlogBytes=4 << 20)
    result = api.wait(session)
    assert (result["exitCode"], result["next"]["stdout"]) == (9, 3000000)
    assert api.raw(session, stream="stdout") == b"x" * 3000000


def test_leftovers_are_ended_and_listed_by_default(api):
    session = api.sh(f"sleep 1000 & {SETTLED}; sleep 2000 & {SETTLED}; exit 0")
    assert api.wait(session)["exitCode"] == 0
    ended = api.ended(session)
    assert end_of(ended) == (0, None, "natural", "exit", "exited")
    commands = sorted(item["command"] for item in ended["exit"]["leftovers"])
    assert commands == ["sleep 1000", "sleep 2000"]
    assert not any(alive(item["pid"]) for item in ended["exit"]["leftovers"])
    assert not ended["outputOpen"]


def test_leftovers_that_are_kept_go_on_and_are_listed(api):
    session = api.sh(f"sleep 1000 & {SETTLED}; exit 0", leftovers="keep")
    api.wait(session)
    items = api.get(api.path_of(session, "/tree")).json["items"]
    assert [item["command"] for item in items] == ["sleep 1000"]
    listed = api.show(session)["exit"]["leftovers"]
    assert listed == [{"pid": items[0]["pid"], "command": "sleep 1000"}]


def test_output_of_leftovers_is_kept_too(api, place):
    script = "(read x <fifo; echo later) & echo now; exit 0"
    session = api.sh(script, leftovers="keep", cwd=str(place))
    api.wait(session)
    assert api.raw(session, stream="stdout") == b"now\n"
    (place / "fifo").write_text("\n")
    api.wait(session, "eof")
    assert api.raw(session, stream="stdout") == b"now\nlater\n"
    assert not api.ended(session)["treeAlive"]


def test_leftovers_can_be_made_a_failure(api):
    assert api.ended(api.sh("sleep 1000 & exit 0", leftovers="fail"))["exit"]["exitCode"] == 1
    assert api.ended(api.sh("sleep 1000 & exit 5", leftovers="fail"))["exit"]["exitCode"] == 5
    assert api.ended(api.sh("exit 0", leftovers="fail"))["exit"]["exitCode"] == 0


def test_leftovers_end_by_the_stop_plan(api, place):
    child = "trap 'echo term; exit' TERM; echo up; while :; do sleep 0.02; done"
    script = f"({child}) & while ! [ -e up ]; do read x <fifo; done; exit 0"
    session = api.sh(script, cwd=str(place))
    api.logs(session, stream="stdout", wait="20s")
    (place / "up").touch()
    (place / "fifo").write_text("\n")
    api.ended(session)
    assert api.raw(session, stream="stdout") == b"up\nterm\n"


# --- the tree ------------------------------------------------------------------------------------


def test_the_tree_lists_the_processes_of_a_session(api):
    session = ready(api, f"sleep 1000 & {SETTLED}; sleep 2000 & {SETTLED}; echo ready; wait")
    items = api.get(api.path_of(session, "/tree")).json["items"]
    leader = next(item for item in items if item["pid"] == session["pid"])
    assert leader["comm"] == "sh" and leader["pgid"] == session["pid"]
    children = [item for item in items if item["ppid"] == session["pid"]]
    assert sorted(item["command"] for item in children) == ["sleep 1000", "sleep 2000"]
    assert all(re.fullmatch("[RSDTtIZ]", item["state"]) for item in items)


def test_the_tree_redacts_secrets(api):
    session = api.spawn("sh", "-c", "echo ready; sleep 1000; :", "--token", "s3cret")
    api.logs(session, stream="stdout", wait="20s")
    body = api.get(api.path_of(session, "/tree")).body
    assert b"--token <redacted>" in body and b"s3cret" not in body


def test_the_tree_of_what_has_ended_is_empty(api):
    session = api.spawn("true")
    api.ended(session)
    assert api.get(api.path_of(session, "/tree")).json == {"items": []}


# --- many ----------------------------------------------------------------------------------------


def test_all_sessions_that_fit_are_stopped_together(api):
    mine = [api.spawn("sleep", "1000", labels={"app": "web"}) for _ in range(3)]
    other = api.spawn("sleep", "1000", originator="me")
    answer = api.post("/v1/sessions/stop", {"label": "app=web"})
    assert answer.json["count"] == 3
    assert sorted(answer.json["items"]) == sorted(s["id"] for s in mine)
    assert all(api.show(s)["status"] == "stopped" for s in mine)
    assert api.show(other)["status"] == "running"
    assert api.post("/v1/sessions/stop", {"olderThan": "1h"}).json == {"count": 0, "items": []}
    assert api.post("/v1/sessions/stop", {"originator": "me"}).json["count"] == 1
    assert api.post("/v1/sessions/stop", {}).json["count"] == 0
