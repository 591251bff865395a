# SPDX-License-Identifier: Apache-2.0
"""The first hour of a CI job, line by line: no terminal, and nothing may stay behind."""

import json
import os
import signal
import subprocess

import pytest
from conftest import alive, command_line, wait_for
from shell import environment, ok, script, sh


def job(reeve, line):
    """A job that runs, in a process group of its own as a runner starts it."""
    return subprocess.Popen(
        ["bash", "-c", line], env=environment(reeve, CI="true"), cwd=reeve.home,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def shown(reeve, name):
    return json.loads(ok(reeve, f"reeve inspect {name}"))


@pytest.mark.parametrize("code", [0, 2])
def test_the_status_of_the_job_is_the_commands(reeve, code):
    script(reeve, "make", f'echo "make $*"; echo oops >&2; exit {code}\n')
    status, out, err = sh(reeve, "reeve run -- make test; echo $?")
    assert (status, out, err) == (0, f"make test\n{code}\n", "oops\n")


def test_a_reader_that_has_enough_ends_the_command_at_once(reeve):
    line = "reeve run --grace 1h yes | head -1; echo ${PIPESTATUS[0]}"
    assert ok(reeve, line) == "y\n141", "nobody waits for the grace"
    wait_for(lambda: ok(reeve, "reeve ps -q") == "", what="the end of yes")


def test_a_command_that_ignores_sigpipe_is_stopped_by_its_plan(reeve):
    """As python does, and grep in some shells: a write fails, and it goes on."""
    line = "trap '' PIPE; while :; do echo y 2>/dev/null; done"
    out = ok(
        reeve, f'reeve run --name deaf --grace 100ms -c "{line}" | head -1; echo ${{PIPESTATUS[0]}}'
    )
    assert out == "y\n141"
    exit = shown(reeve, "deaf")["exit"]
    assert exit["cause"] == "stop" and exit["outcome"] in ("soft", "hard")


def test_what_a_command_leaves_behind_is_ended_and_listed(reeve):
    until_it_sleeps = 'while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done'
    line = f"reeve run --name left sh -c 'sleep 1000 & {until_it_sleeps}; exit 0'"
    assert ok(reeve, f"{line}; echo $?; reeve wait left -u tree") == "0"
    (left,) = shown(reeve, "left")["exit"]["leftovers"]
    assert left["command"] == "sleep 1000" and not alive(left["pid"])
    assert sh(reeve, "reeve run --leftovers fail sh -c 'sleep 1000 & exit 0'")[0] == 1
    assert sh(reeve, "reeve run --leftovers fail sh -c 'sleep 1000 & exit 7'")[0] == 7
    assert sh(reeve, "reeve run --leftovers fail sh -c 'exit 0'")[0] == 0


def test_a_command_that_takes_too_long_is_ended_with_124(reeve):
    line = "reeve run --name slow --timeout 100ms -- sh -c 'sleep 1000 & sleep 1000'"
    assert sh(reeve, line)[0] == 124
    assert ok(reeve, "reeve wait slow --until tree >/dev/null; reeve tree slow") == ""
    assert shown(reeve, "slow")["exit"]["cause"] == "timeout"


def whole_tree(reeve):
    """Once each is what it is to be."""
    tree = json.loads(ok(reeve, "reeve tree --json build"))["items"]
    return sorted(item["comm"] for item in tree) == ["sh", "sleep", "sleep"] and tree


@pytest.mark.parametrize("group", [False, True], ids=["the client", "the whole job"])
def test_nothing_is_left_when_the_client_is_killed(reeve, group):
    runner = job(reeve, "reeve run --name build sh -c 'sleep 1000 & echo up; sleep 1000' & wait")
    assert runner.stdout.readline() == b"up\n"
    tree = wait_for(lambda: whole_tree(reeve), what="a shell and two that sleep")
    if group:
        os.killpg(runner.pid, signal.SIGKILL)
    else:
        (client,) = [pid for pid in children(runner.pid) if b"reeve" in exe(pid)]
        os.kill(client, signal.SIGKILL)
    runner.wait(20)
    runner.stdout.close()
    for item in tree:
        wait_for(lambda pid=item["pid"]: not alive(pid), what=command_line(item["pid"]))
    ok(reeve, "reeve wait build --until tree || true")
    assert shown(reeve, "build")["exit"]["cause"] == "owner-gone"


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def exe(pid):
    return os.readlink(f"/proc/{pid}/exe").encode()


def test_a_background_service_of_the_job_ends_with_the_job(reeve):
    runner = job(
        reeve, "reeve run -d --name db --with-pid $$ -- sleep 1000 >/dev/null; echo up; read x"
    )
    assert runner.stdout.readline() == b"up\n"
    pid = shown(reeve, "db")["pid"]
    runner.wait(20)
    runner.stdout.close()
    wait_for(lambda: not alive(pid), what="the end of the service")
    assert sh(reeve, "reeve wait db")[0] == 128 + 15
    assert shown(reeve, "db")["exit"]["cause"] == "owner-gone"


def test_a_service_that_is_ready_and_one_that_is_not(reeve):
    ok(reeve, "reeve run -d --name good --ready log=listening -c 'echo listening; exec sleep 1000'")
    lines = "i=0; while [ $i -lt 40 ]; do echo line $((i += 1)); done"
    status, out, err = sh(reeve, f"reeve run -d --ready log=never -c '{lines}; exit 3'")
    assert (status, out) == (1, "")
    shown_lines = [line for line in err.splitlines() if line.startswith("line ")]
    assert shown_lines == [f"line {n}" for n in range(11, 41)], "the last 30"
    assert "ended before it was ready" in err
    late = "reeve run -d --name late --ready log=never --ready-timeout 100ms"
    status, out, err = sh(reeve, f"{late} -c 'echo starting; exec sleep 1000'")
    assert (status, out) == (124, "") and "starting" in err and "still runs" in err
    assert shown(reeve, "late")["status"] == "running"


def test_several_jobs_at_once_and_their_results(reeve):
    for name, code in (("lint", 0), ("unit", 3), ("docs", 0)):
        ok(reeve, f"reeve run -d --name {name} -l ci=1 -c 'echo {name}; exit {code}'")
    status, out, _ = sh(reeve, "reeve wait lint unit docs")
    results = dict(line.split() for line in out.splitlines())
    assert status == 3 and results == {"lint": "0", "unit": "3", "docs": "0"}
    assert sh(reeve, "reeve wait -l ci=1 >/dev/null")[0] == 3
    assert sh(reeve, "reeve logs --exit-code unit") == (3, "unit\n", "")
    assert ok(reeve, "reeve purge -l ci=1") == "3 removed"


def test_the_id_in_a_file_is_for_the_next_step(reeve):
    ok(reeve, "reeve run -d --id-file server.id -- sleep 1000 >/dev/null")
    assert (reeve.home / "server.id").read_text() == ok(reeve, "reeve ps -q") + "\n"
    ok(reeve, "reeve stop $(cat server.id)")
    ok(reeve, "reeve run --id-file server.id -- true")
    assert (reeve.home / "server.id").read_text().strip() == ok(reeve, "reeve ps -aq").split()[0]
    made = ok(reeve, "reeve run -d --name server -- sleep 1000")
    ok(reeve, "reeve run -A -d --name server --id-file server.id -- false")
    assert (reeve.home / "server.id").read_text() == made + "\n"
    assert [path.name for path in reeve.home.glob("server.id*")] == ["server.id"]
    status, _, err = sh(reeve, "reeve run --id-file no/such/file -- touch ran")
    assert status == 2 and "no/such/file" in err and not (reeve.home / "ran").exists()


def test_a_retried_step_runs_once(reeve):
    line = "reeve run -d --key build-17 -c 'echo ran >> ran; exec sleep 1000'"
    assert ok(reeve, line) == ok(reeve, line)
    ran = reeve.home / "ran"
    wait_for(lambda: ran.exists() and ran.read_text(), what="the command")
    assert ran.read_text() == "ran\n"
