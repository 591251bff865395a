# SPDX-License-Identifier: Apache-2.0
"""What becomes of a session when its client leaves: told to, hung up, or not read any more."""

import os
import signal
import subprocess

import pytest
from conftest import alive, wait_for
from shell import Terminal, environment, ok, sh


def running(reeve, name="job"):
    return next((s for s in reeve.json("ps", "--json")["items"] if s["name"] == name), None)


def start(reeve, *options, script="echo up; exec sleep 1000", **kw):
    """A client in the foreground of a session named job that has said `up`."""
    client = reeve.popen("run", "--name", "job", *options, "-c", script, **kw)
    assert client.stdout.readline() == b"up\n"
    return client


def counter():
    """Counts the signals that reach it: says their names."""
    names = ("HUP", "INT", "TERM", "QUIT", "USR1", "USR2", "CONT")
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in names)
    return f"{traps}; echo up; while :; do sleep 0.02; done"


# --- signals -------------------------------------------------------------------------------------


def test_signals_that_are_passed_on_arrive_once_and_hup_never(reeve):
    client = start(reeve, "--on-disconnect", "keep", "--stop", "KILL", script=counter())
    for name in ("USR1", "USR2", "INT", "QUIT", "TERM", "CONT"):
        client.send_signal(getattr(signal, "SIG" + name))
        assert client.stdout.readline() == name.encode() + b"\n"
    client.send_signal(signal.SIGHUP)
    assert client.wait(20) == 128 + 1
    assert running(reeve)["status"] == "running"
    seen = reeve.ok("logs", "--stream", "stdout", "job").split()
    assert seen == ["up", "USR1", "USR2", "INT", "QUIT", "TERM", "CONT"]


def test_a_client_under_nohup_stays_at_a_hangup(reeve):
    client = start(reeve, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    client.send_signal(signal.SIGHUP)
    client.send_signal(signal.SIGTERM)
    assert client.wait(20) == 128 + 15, "it was there to pass the second one on"


@pytest.mark.parametrize("what, status", [("keep", "running"), ("stop", "stopped")])
def test_on_disconnect_decides_what_a_hangup_means(reeve, what, status):
    client = start(reeve, "--on-disconnect", what)
    pid = running(reeve)["pid"]
    client.send_signal(signal.SIGHUP)
    assert client.wait(20) == 128 + 1
    if what == "stop":
        reeve("wait", "job")
    session = reeve.json("inspect", "job")
    assert session["status"] == status and alive(pid) == (what == "keep")


def test_a_stopped_client_loses_nothing_and_keeps_its_session(reeve):
    client = start(reeve, script="echo up; read x; seq 100000; exit 3")
    client.send_signal(signal.SIGSTOP)
    client.stdin.write(b"\n")
    client.stdin.flush()
    client.send_signal(signal.SIGCONT)
    out, _ = client.communicate(timeout=30)
    assert out == b"".join(b"%d\n" % i for i in range(1, 100001)) and client.returncode == 3


# --- the terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["--pty", "--pipe"])
def test_a_closed_terminal_leaves_the_session(reeve, kind):
    line = f"exec reeve run {kind} --name job -- sh -c 'echo up; exec cat'"
    with Terminal(reeve, line) as terminal:
        terminal.read_until(b"up")
        terminal.hang_up()
        assert terminal.wait() in (128 + 1, -signal.SIGHUP)
    session = running(reeve)
    assert session["status"] == "running" and alive(session["pid"])


def test_a_closed_terminal_of_a_background_client_leaves_the_session(reeve):
    """The shell exits, and its background job with the terminal gone is hung up, too."""
    line = "reeve run --on-disconnect keep --name job -c 'echo up; exec sleep 1000' & "
    line += "echo $! > client; wait"
    with Terminal(reeve, line) as terminal:
        terminal.read_until(b"up")
        written = reeve.home / "client"
        client = int(wait_for(lambda: written.exists() and written.read_text()))
        terminal.hang_up()
        terminal.wait()
    wait_for(lambda: not alive(client), what="the end of the client")
    assert running(reeve)["status"] == "running"


def test_a_terminal_that_is_gone_without_a_signal_is_noticed(reeve):
    """The client ignores HUP, and its input ends with an error: that is no end of file."""
    line = "trap '' HUP; exec reeve run --pipe --name job -- sh -c 'echo up; exec cat'"
    with Terminal(reeve, line) as terminal:
        terminal.read_until(b"up")
        terminal.hang_up()
        terminal.wait()
    assert running(reeve)["status"] == "running"


# --- stdout --------------------------------------------------------------------------------------


def test_a_closed_stdout_sends_the_command_sigpipe(reeve):
    script = "trap 'echo piped > piped; exit 5' PIPE; echo up; while :; do sleep 0.02; echo x; done"
    client = start(reeve, script=script)
    client.stdout.close()
    assert client.wait(20) == 141
    reeve("wait", "job")
    assert (reeve.home / "piped").read_text() == "piped\n"


def test_a_closed_stdout_stops_a_tree_that_does_not_mind(reeve):
    script = "trap '' PIPE TERM; sleep 1000 & echo up; while :; do sleep 0.02; echo x; done"
    client = start(reeve, "--stop", "TERM 100ms KILL", script=script)
    tree = [item["pid"] for item in reeve.json("tree", "--json", "job")["items"]]
    client.stdout.close()
    assert client.wait(20) == 141
    reeve("wait", "job", "--until", "tree")
    assert [pid for pid in tree if alive(pid)] == []
    exit = reeve.json("inspect", "job")["exit"]
    assert (exit["cause"], exit["outcome"]) == ("stop", "hard")


def test_a_command_that_ends_by_itself_keeps_its_status_though_nobody_reads(reeve):
    """Nothing was written behind the reader's back, so nothing was lost."""
    client = start(reeve, script="echo up; read x; exit 6")
    client.stdout.close()
    client.stdin.close()
    assert client.wait(20) in (6, 141)
    assert reeve("wait", "job").returncode == 6


def test_a_closed_stderr_alone_counts_as_well(reeve):
    client = start(reeve, script="echo up; while :; do sleep 0.02; echo x >&2; done")
    client.stderr.close()
    assert client.wait(20) == 141
    reeve("wait", "job")


def test_a_full_disk_ends_the_command_and_is_told(reeve):
    with open("/dev/full", "wb") as full:
        result = reeve("run", "--name", "job", "--", "yes", stdout=full)
    assert result.returncode == 1 and b"write to stdout: No space left" in result.stderr
    reeve("wait", "job", "--timeout", "20s")
    assert running(reeve) is None


def test_without_any_descriptor_a_command_runs(reeve):
    assert sh(reeve, "reeve run -- sh -c 'echo x; echo y >&2; echo ran > ran' <&- >&- 2>&-")[0] == 0
    assert (reeve.home / "ran").read_text() == "ran\n"


def test_a_reader_in_the_middle_of_a_pipeline_sees_the_end(reeve):
    assert ok(reeve, "seq 1000 | reeve run -- sort -n | reeve run -- tail -1") == "1000"
    assert ok(reeve, "reeve run -- seq 100000 | reeve run -- head -1; echo ${PIPESTATUS[*]}") in (
        "1\n141 0", "1\n0 0",
    )  # fmt: skip


# --- death ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGALRM])
def test_a_client_without_a_terminal_that_dies_takes_its_session_along(reeve, number):
    client = start(reeve, script="sleep 1000 & echo up; exec sleep 1000")
    tree = [item["pid"] for item in reeve.json("tree", "--json", "job")["items"]]
    client.send_signal(number)
    assert client.wait(20) == -number
    for pid in tree:
        wait_for(lambda pid=pid: not alive(pid), what="the end of the tree")
    reeve("wait", "job", "--until", "tree")
    assert reeve.json("inspect", "job")["exit"]["cause"] == "owner-gone"


def test_a_client_that_dies_with_the_engine_takes_its_session_along(reeve):
    client = start(reeve)
    pid = running(reeve)["pid"]
    engine = reeve.status()["enginePid"]
    client.kill()
    os.kill(engine, signal.SIGKILL)
    client.wait(20)
    wait_for(lambda: not alive(pid), what="the end of the command")
    reeve("wait", "job")
    assert reeve.json("inspect", "job")["exit"]["cause"] == "owner-gone"


def test_a_client_that_is_killed_between_two_of_a_pipeline_ends_all(reeve):
    line = "reeve run --name a -c 'echo up >&2; exec sleep 1000' | reeve run --name b -- cat"
    shell = subprocess.Popen(
        ["bash", "-c", line], env=environment(reeve),
        cwd=reeve.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    with shell:
        assert shell.stderr.readline() == b"up\n"
        wait_for(lambda: running(reeve, "b"), what="the second session")
        pids = [running(reeve, name)["pid"] for name in ("a", "b")]
        os.killpg(shell.pid, signal.SIGKILL)
    for pid in pids:
        wait_for(lambda pid=pid: not alive(pid), what="the end of both")
