# SPDX-License-Identifier: Apache-2.0
"""The life of the daemon: start, status, stop, restart, and what the sessions notice of it."""

import contextlib
import fcntl
import os
import resource
import signal
import struct
import subprocess

from conftest import BUILD, alive, wait_for
from frames import Stream, Type, read_all


def status_of(reeve):
    result = reeve("daemon", "status")
    return result.returncode, result.stdout.decode().strip()


# --- start and status ----------------------------------------------------------------------------


def test_status_says_stopped_running_and_stopped_again(reeve):
    assert status_of(reeve) == (3, "stopped")
    reeve.ok("daemon", "start")
    pid = reeve.status()["keeperPid"]
    assert status_of(reeve) == (0, f"running (PID {pid})")
    reeve.ok("daemon", "stop")
    assert status_of(reeve) == (3, "stopped")
    assert not alive(pid)


def test_status_for_programs_names_processes_and_socket(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "1000")
    status = reeve.json("daemon", "status", "--json")
    assert status["sessions"] == 1 and os.path.exists(status["socket"])
    assert alive(status["keeperPid"]) and alive(status["enginePid"])
    assert status["version"] and status["startedAt"].endswith("Z")
    if not os.path.exists("/run/systemd/system"):
        assert status["survivesLogout"] is True, "nobody manages logins"
    reeve.ok("stop", session)
    assert reeve.json("daemon", "status", "--json")["sessions"] == 0


def test_of_many_starts_at_once_exactly_one_wins(reeve):
    clients = [reeve.popen("daemon", "start") for _ in range(8)]
    results = [(client.communicate(timeout=30), client.returncode) for client in clients]
    pid = reeve.status()["keeperPid"]
    winners = [out for (out, _), code in results if code == 0]
    assert winners == [f"started (PID {pid})\n".encode()]
    for (out, err), code in results:
        assert code == 0 or f"already running (PID {pid})".encode() in out + err, (out, err)
    assert len([p for p, _ in reeve.members() if is_keeper(p)]) == 1


def test_a_keeper_that_lost_is_gone_when_its_start_says_so(reeve):
    """Else it might still find the lock, when the one that won has been stopped."""
    slow, begun, go = (reeve.home / name for name in ("slow", "begun", "go"))
    slow.write_text(
        f"#!/bin/sh\necho $$ > {begun}-; mv {begun}- {begun}\n"
        f'until [ -e {go} ]; do sleep 0.02; done; sleep 0.3; exec {BUILD}/reeve-keeper "$@"\n'
    )
    slow.chmod(0o755)
    loser = reeve.popen("daemon", "start", env={"REEVE_KEEPER": str(slow)})
    wait_for(begun.exists)
    keeper = reeve.start()["keeperPid"]
    go.touch()
    out, err = loser.communicate(timeout=60)
    assert loser.returncode == 1 and f"already running (PID {keeper})".encode() in err, (out, err)
    assert not alive(int(begun.read_text()))


def is_keeper(pid):
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "reeve-keeper" and (
            os.stat(f"/proc/{pid}").st_uid == os.geteuid() and not is_child_of_keeper(pid)
        )
    return False


def is_child_of_keeper(pid):
    """A spawner is the same program."""
    with open(f"/proc/{pid}/stat") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{parent}/exe")) == "reeve-keeper"
    return False


def test_of_many_first_commands_at_once_all_use_one_daemon(reeve):
    clients = [reeve.popen("run", "--", "echo", str(i)) for i in range(8)]
    outputs = [client.communicate(timeout=30) for client in clients]
    assert [out for out, _ in outputs] == [f"{i}\n".encode() for i in range(8)], outputs
    assert len(reeve.json("ps", "-a", "--json")["items"]) == 8


def test_a_client_may_be_told_not_to_start_a_daemon(reeve):
    result = reeve("--no-autostart", "ps")
    assert result.returncode == 125
    assert result.stderr.startswith(b"reeve: ") and b"daemon start" in result.stderr
    assert status_of(reeve) == (3, "stopped")


def test_start_returns_when_the_daemon_answers_and_holds_no_descriptor_of_its_caller(reeve):
    # communicate() returns at the end of the pipes: a daemon that kept them would hang it.
    client = reeve.popen("daemon", "start")
    out, err = client.communicate(timeout=20)
    assert client.returncode == 0, err
    keeper = reeve.status()["keeperPid"]
    assert os.getsid(keeper) == keeper or os.getsid(keeper) != os.getsid(0)
    assert os.readlink(f"/proc/{keeper}/cwd") == "/"


def test_a_start_that_fails_says_why_and_shows_the_log(reeve):
    os.mkdir(reeve.dir / "api.sock")  # where the socket belongs
    (reeve.dir / "api.sock" / "x").touch()
    result = reeve("daemon", "start", timeout=40)
    assert result.returncode not in (0, 2)
    assert str(reeve.dir).encode() in result.stderr and b"reeve: " in result.stderr
    assert status_of(reeve)[0] != 0
    assert not [m for m in reeve.members()], "what was started is gone again"


def test_a_start_that_cannot_even_make_its_log_says_why(reeve):
    (reeve.dir / "reeve.log").mkdir()  # not even root can open this
    result = reeve("daemon", "start", timeout=40)
    assert result.returncode not in (0, 2)
    assert f"{reeve.dir}/reeve.log: Is a directory".encode() in result.stderr, result.stderr


def test_a_directory_that_others_could_write_to_is_refused(reeve):
    reeve.dir.chmod(0o777)
    result = reeve("daemon", "start", timeout=40)
    reeve.dir.chmod(0o700)
    assert result.returncode not in (0, 2) and str(reeve.dir).encode() in result.stderr


# --- stale things --------------------------------------------------------------------------------


def kill_all(reeve):
    """Both processes of the daemon at once, as a machine that ran out of memory might."""
    status = reeve.status()
    pids = [status["keeperPid"], status["enginePid"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids), what="the end of the daemon")
    return status["keeperPid"]


def test_a_daemon_that_died_is_stale_and_the_next_start_cleans_up(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "1000")
    leader = reeve.json("inspect", session)["pid"]
    dead = kill_all(reeve)
    assert status_of(reeve) == (1, f"stale (PID {dead} dead)")
    reeve.ok("daemon", "start")
    assert reeve.status()["keeperPid"] != dead
    wait_for(lambda: not alive(leader), what="the end of what was left")
    lost = reeve.json("inspect", session)
    assert lost["exit"]["cause"] == "lost"


def test_the_pid_of_another_process_is_stale(reeve):
    reeve.start()
    kill_all(reeve)
    lock = reeve.dir / "lock"
    record = lock.read_bytes()
    assert record, "the lock names its holder"
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        first = record.split()[0]
        lock.write_bytes(record.replace(first, str(sleeper.pid).encode(), 1))
        assert status_of(reeve)[0] in (1, 3)
        reeve.ok("daemon", "start")
        assert sleeper.poll() is None, "a process that is not the daemon's was ended"
    finally:
        sleeper.kill()
        sleeper.wait()


# --- stop ----------------------------------------------------------------------------------------


def test_who_looks_whether_a_daemon_runs_is_not_taken_for_one(reeve):
    reeve.start()
    reeve.ok("daemon", "stop")
    keeper = [BUILD / "reeve-keeper", "--dir", reeve.dir, "--foreground"]
    with open(os.path.realpath(reeve.dir / "lock"), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with subprocess.Popen(keeper, env=reeve.env, stderr=subprocess.DEVNULL) as process:
            fds = f"/proc/{process.pid}/fd"

            def has_come_to_the_lock():
                with contextlib.suppress(FileNotFoundError):  # of one that it has just closed
                    names = [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]
                    return process.poll() is not None or lock.name in names

            wait_for(has_come_to_the_lock)
            fcntl.flock(lock, fcntl.LOCK_UN)
            wait_for(lambda: reeve.status() or process.poll() is not None)
            assert process.poll() is None
            reeve.ok("daemon", "stop")


def test_no_daemon_starts_beside_one_whose_lock_was_removed(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "1000")
    leader, keeper = reeve.json("inspect", session)["pid"], reeve.status()["keeperPid"]
    (reeve.dir / "lock").unlink()
    assert status_of(reeve) == (0, f"running (PID {keeper})")
    again = reeve("daemon", "start")
    assert again.returncode == 1 and f"already running (PID {keeper})".encode() in again.stderr
    # Also when nobody asks the one that runs before.
    other = subprocess.run(
        [BUILD / "reeve-keeper", "--dir", reeve.dir], env=reeve.env, capture_output=True, timeout=20
    )
    assert other.returncode == 3 and b"already running" in other.stderr + reeve.log().encode()
    restart = reeve("daemon", "restart")
    assert restart.returncode == 1 or reeve.status()["keeperPid"] == keeper
    assert reeve.json("inspect", session)["status"] == "running"
    reeve.ok("daemon", "stop")
    assert status_of(reeve) == (3, "stopped") and not alive(leader) and not alive(keeper)


def test_a_daemon_that_could_not_write_its_pid_down_is_known_by_its_socket(reeve):
    reeve.start()
    keeper = reeve.status()["keeperPid"]
    os.truncate(reeve.dir / "lock", 0)  # as on a full disk
    assert status_of(reeve) == (0, f"running (PID {keeper})")
    assert reeve.ok("daemon", "stop") == f"stopped (PID {keeper})"
    assert not alive(keeper)


def test_what_ended_before_its_daemon_is_not_lost_with_it(reeve):
    """Its end is known while its output is still on the way: nobody took from the full ring."""
    script = "read x; head -c 6000 /dev/zero"
    session = reeve.api.spawn("sh", "-c", script, stdin="pipe", backlogBytes=4096)
    with reeve.api.attach(session, streams="stdout", mode="block") as client:
        client.input(0, b"\n")
        client.send(Type.EOF, Stream.STDIN)
        wait_for(lambda: not alive(session["pid"]), what="the end of the command")
        reeve.ok("ps")  # the engine has heard of it, too
        assert reeve.api.show(session)["status"] == "running"
        data, end, _ = read_all(client)
    assert len(data) == 6000 and end.code == 0
    assert not lost_if_now(reeve, session), "the roster still has it"


def lost_if_now(reeve, session):
    """Whether the file that outlives the daemon names the session as one that runs."""
    entry = 512
    roster = (reeve.dir / "roster").read_bytes()
    live = [roster[i : i + entry] for i in range(entry, len(roster), entry) if roster[i] == 1]
    return any(struct.unpack_from("<Q", e, 40)[0] == session["handle"] for e in live)


def test_stop_ends_the_sessions_first(reeve):
    script = "trap 'echo bye >>log; exit' TERM; echo up >>log; while :; do sleep 0.02; done"
    session = reeve.ok("run", "-d", "--", "sh", "-c", script)
    log = reeve.home / "log"
    wait_for(lambda: log.exists() and log.read_text() == "up\n")
    leader = reeve.json("inspect", session)["pid"]
    reeve.ok("daemon", "stop")
    assert log.read_text() == "up\nbye\n" and not alive(leader)


def test_stop_can_leave_the_sessions_to_the_next_start(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--", "cat")
    reeve.ok("send", session, "before")
    before = reeve.status()
    reeve.ok("daemon", "stop", "--sessions", "keep")
    code, text = status_of(reeve)
    assert code == 3 and str(before["keeperPid"]) in text
    assert not alive(before["enginePid"]) and alive(before["keeperPid"])
    reeve.ok("daemon", "start")
    after = reeve.status()
    assert after["keeperPid"] == before["keeperPid"] and after["enginePid"] != before["enginePid"]
    reeve.ok("send", "--eof", session, "after")
    assert reeve("wait", session).returncode == 0
    assert reeve.ok("logs", session) == "before\nafter"


def test_a_command_finds_the_sessions_that_were_left(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "1000")
    reeve.ok("daemon", "stop", "--sessions", "keep")
    assert reeve.ok("ps", "-q") == session


def test_stop_without_a_daemon_is_no_error(reeve):
    assert reeve("daemon", "stop").returncode == 0


def test_stop_waits_for_a_stubborn_session_and_kills_it(reeve):
    session = reeve.ok("run", "-d", "--grace", "50ms", "--", "sh", "-c", "trap '' TERM; sleep 1000")
    leader = reeve.json("inspect", session)["pid"]
    reeve.ok("daemon", "stop")
    assert not alive(leader)


def test_stop_ends_a_daemon_that_does_not_answer(reeve):
    status = reeve.start()
    os.kill(status["enginePid"], signal.SIGSTOP)
    os.kill(status["keeperPid"], signal.SIGSTOP)
    result = reeve("daemon", "stop", "--timeout", "200ms", timeout=40)
    gone = not alive(status["keeperPid"]) and not alive(status["enginePid"])
    if not gone:
        for pid in (status["keeperPid"], status["enginePid"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert (result.returncode == 0) == gone, "stopped is said when, and only when, it is true"
    assert gone


def test_a_new_session_is_refused_while_the_daemon_stops(reeve):
    api = reeve.api
    session = api.sh("trap '' TERM; echo up; while :; do sleep 0.02; done", grace="1h")
    api.logs(session, stream="stdout", wait="20s")
    assert api.post("/v1/daemon/stop", {"sessions": "stop"}).status == 202
    answer = api.try_spawn("true")
    assert (answer.status, answer.code) == (503, "unavailable")
    os.kill(session["pid"], signal.SIGKILL)
    wait_for(lambda: reeve.status() is None, what="the end of the daemon")


# --- restart, crash ------------------------------------------------------------------------------


def test_restart_keeps_all_sessions(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--name", "kept", "--", "cat")
    before = reeve.status()
    reeve.ok("daemon", "restart")
    after = reeve.status()
    assert after["enginePid"] != before["enginePid"]
    reeve.ok("send", "--eof", "kept", "hello")
    assert reeve("wait", session).returncode == 0
    assert reeve.ok("logs", "kept") == "hello"


def test_an_engine_that_dies_again_and_again_loses_no_session(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--", "cat")
    for i in range(4):
        reeve.kill_engine()
        reeve.ok("send", session, str(i))
    reeve.ok("send", "--eof", session, "end")
    assert reeve("wait", session).returncode == 0
    assert reeve.ok("logs", session).split() == ["0", "1", "2", "3", "end"]


def test_a_keeper_that_dies_loses_no_session(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--", "cat")
    old = reeve.status()
    os.kill(old["keeperPid"], signal.SIGKILL)

    def another_keeper_answers():
        status = reeve.status()
        return status and status["keeperPid"] != old["keeperPid"]

    wait_for(another_keeper_answers)
    reeve.ok("send", "--eof", session, "still here")
    assert reeve("wait", session).returncode == 0
    assert reeve.ok("logs", session) == "still here"


# --- the log -------------------------------------------------------------------------------------


def test_the_log_is_appended_and_shown(reeve):
    reeve.start()
    reeve.ok("daemon", "stop")
    first = reeve.log()
    reeve.start()
    assert reeve.log().startswith(first)
    shown = reeve.ok("daemon", "logs")
    assert shown and shown in reeve.log()
    assert len(reeve.ok("daemon", "logs", "-n", "1").splitlines()) == 1


def test_the_daemon_runs_in_the_foreground_with_its_log_on_stderr(reeve):
    daemon = reeve.popen("daemon", "run")
    wait_for(lambda: reeve.status(), what="the daemon")
    assert reeve.ok("run", "--", "echo", "hello") == "hello"
    daemon.send_signal(signal.SIGTERM)
    _, errors = daemon.communicate(timeout=20)
    assert errors and status_of(reeve)[0] == 3


def test_a_daemon_that_may_open_too_few_files_says_so_at_once(reeve):
    result = reeve(
        "daemon",
        "start",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)),
    )
    assert result.returncode == 1
    assert b"20 descriptors" in result.stderr and b"ulimit -Hn" in result.stderr
    assert reeve("daemon", "status").stdout == b"stopped\n"
