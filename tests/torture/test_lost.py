# SPDX-License-Identifier: Apache-2.0
"""Keeper and engine killed together: what they held is lost. The next start says so and cleans up."""

import random
import signal
import subprocess
import time

from daemon import HELPERS, alive, processes_with, size, wait_for


def kill_both(daemon):
    """At once: neither has the time to replace the other."""
    keeper, engine = daemon.keeper, daemon.engine
    daemon.send(keeper, signal.SIGSTOP)
    daemon.send(engine, signal.SIGSTOP)
    daemon.send(engine)
    daemon.send(keeper)
    wait_for(lambda: not alive(keeper) and not alive(engine), "the end of both")


def test_the_next_start_ends_what_is_left_and_calls_it_lost(daemon, figure):
    rounds = size(20, 3)
    for n in range(rounds):
        ended = daemon.spawn("sh", "-c", "exit 3", name=f"ended-{n}")
        daemon.api.wait(ended["processId"])
        kept = [
            daemon.spawn(HELPERS / "torture-family", "tree", daemon.dir, name=f"tree-{n}"),
            daemon.spawn(HELPERS / "torture-stream", n, 1 << 40, 1 << 40, name=f"writer-{n}"),
        ]
        time.sleep(random.uniform(0, 0.02))
        known = {s["processId"] for s in daemon.api.sessions() if s["status"] == "running"}
        assert known == {s["processId"] for s in kept}
        kill_both(daemon)
        assert processes_with(daemon.mark), "the sessions should have been left behind"
        daemon.start()
        for session in kept:
            now = daemon.api.session(session["processId"])
            daemon.api.wait(session["processId"], "tree")
            assert (now["name"], now["handle"]) == (session["name"], session["handle"])
            assert now["exit"]["cause"] == "lost" and now["exit"]["exitCode"] is None, now
        mine = {daemon.keeper, daemon.engine, daemon.spawner}
        wait_for(lambda: set(processes_with(daemon.mark)) == mine, "the end of what was left")
        assert daemon.api.ok("POST", "/v1/sessions/purge", {})["count"] == 2
    figure("exact, keeper and engine killed together", rounds)
    figure("exact, processes left by the next start", 0)


def test_a_client_of_a_lost_session_says_that_nobody_saw_its_end(daemon):
    client = daemon.reeve("run", "--", "sleep", "600", stderr=subprocess.PIPE)
    wait_for(lambda: daemon.api.sessions(), "the session")
    client.send_signal(signal.SIGSTOP)  # else it may start the next daemon itself
    kill_both(daemon)
    daemon.start()
    client.send_signal(signal.SIGCONT)
    assert client.wait(30) == 1
    assert b"nobody saw" in client.stderr.read()


def test_the_command_of_a_lost_session_is_shown_as_before(daemon):
    line = "sleep 600; echo 'two words' \"and quotes\""
    before = daemon.spawn("sh", "-c", line, "--token", "secret", "API_KEY=x", name="told")
    kill_both(daemon)
    daemon.start()
    after = daemon.api.session("told")
    assert after["commandSummary"] == before["commandSummary"]
    assert "\\\\" not in after["commandSummary"] and "secret" not in str(after)


def test_ids_and_handles_are_not_given_twice_by_the_next_daemon(daemon):
    before = daemon.spawn("true", name="before")
    kill_both(daemon)
    daemon.start()
    after = daemon.spawn("true", name="after")
    assert after["handle"] > before["handle"]
    assert after["processId"] != before["processId"]


def test_a_request_that_is_repeated_to_the_next_daemon_runs_nothing_twice(daemon):
    session = daemon.spawn("sleep", "600", key="once")
    kill_both(daemon)
    daemon.start()
    assert daemon.spawn("sleep", "600", key="once")["processId"] == session["processId"]
    assert [s["status"] for s in daemon.api.sessions()] == ["exited"]
