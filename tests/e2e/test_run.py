# SPDX-License-Identifier: Apache-2.0
"""`reeve run`: in the foreground like the command itself, detached like a service."""

import os
import signal
import subprocess

import pytest
from commands import SETTLED, SIGNAL_TELLER
from conftest import BUILD, alive, wait_for

ODD = b"one\r\n\n\0two\xff\xfe\tno newline at the end"
READY = "echo ready; "


def lines_of(reeve, client, n=1):
    return [client.stdout.readline() for _ in range(n)]


# --- in the foreground ---------------------------------------------------------------------------


def test_streams_pass_byte_for_byte(reeve):
    result = reeve("run", "--", "sh", "-c", "cat; printf 'err\\0' >&2", input=ODD)
    assert (result.returncode, result.stdout, result.stderr) == (0, ODD, b"err\0")


def test_megabytes_pass_in_both_directions_at_once(reeve):
    data = os.urandom(3 << 20)
    result = reeve("run", "--", "cat", input=data)
    assert result.returncode == 0 and result.stdout == data and result.stderr == b""


@pytest.mark.parametrize("code", [0, 1, 3, 126, 127, 255])
def test_the_exit_status_is_the_commands(reeve, code):
    assert reeve("run", "--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name, number", [("TERM", 15), ("KILL", 9), ("INT", 2)])
def test_death_by_a_signal_is_128_and_its_number(reeve, name, number):
    assert reeve("run", "-c", f"kill -{name} $$").returncode == 128 + number


def test_a_shell_line_needs_no_sh(reeve):
    assert reeve.ok("run", "-c", "echo $((6 * 7)); exit 0") == "42"


def test_options_end_at_the_command(reeve):
    assert reeve.ok("run", "echo", "-d", "--name", "x") == "-d --name x"
    assert reeve.ok("run", "--", "echo", "--", "-c") == "-- -c"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_are_passed_on(reeve, number):
    name = signal.Signals(number).name[3:]
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.02; done"
    client = reeve.popen("run", "--", "sh", "-c", script)
    assert lines_of(reeve, client) == [b"ready\n"]
    client.send_signal(number)
    out, _ = client.communicate(timeout=20)
    assert (out, client.returncode) == (f"got {name}\n".encode(), 9)


@pytest.mark.parametrize("kind", ["--pipe", "--pty"])
def test_a_signal_is_passed_on_once_though_the_engine_dies_before_it_reads_it(reeve, kind):
    engine = reeve.start()["enginePid"]
    client = reeve.popen("run", kind, "--", *SIGNAL_TELLER)
    assert lines_of(reeve, client)[0].strip() == b"ready"
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(engine, signal.SIGSTOP)
        client.send_signal(number)
        wait_for(lambda: is_waiting(client.pid))
        engine = killed(reeve, engine)
        assert lines_of(reeve, client)[0].strip() == number.name.encode()
    assert client.wait(20) == 0


def test_a_session_that_is_lost_with_its_daemon_is_called_so(reeve):
    status = reeve.start()
    client = reeve.popen("run", "--", "cat")
    client.stdin.write(b"hello\n")
    client.stdin.flush()
    assert lines_of(reeve, client) == [b"hello\n"]
    for pid in (status["keeperPid"], status["enginePid"]):
        os.kill(pid, signal.SIGSTOP)
    for pid in (status["keeperPid"], status["enginePid"]):
        os.kill(pid, signal.SIGKILL)
    reeve.start()
    assert client.wait(20) == 1
    assert b"was lost together with the daemon" in client.stderr.read()


def is_waiting(pid):
    """It sleeps, and no signal waits for it: what there was it has dealt with."""
    status = dict(
        line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line
    )
    return status["State"][0] == "S" and int(status["SigPnd"], 16) | int(status["ShdPnd"], 16) == 0


def killed(reeve, engine):
    os.kill(engine, signal.SIGKILL)
    return wait_for(
        lambda: (status := reeve.status())
        and status["enginePid"] not in (0, engine)
        and status["enginePid"]
    )


def test_a_command_that_dies_of_a_signal_that_was_passed_on_says_so(reeve):
    client = reeve.popen("run", "-c", READY + "exec sleep 1000")
    lines_of(reeve, client)
    client.send_signal(signal.SIGTERM)
    assert client.wait(20) == 128 + 15


def test_hangup_detaches_and_the_session_goes_on(reeve):
    client = reeve.popen("run", "--on-disconnect", "keep", "-c", READY + "exec sleep 1000")
    lines_of(reeve, client)
    client.send_signal(signal.SIGHUP)
    assert client.wait(20) == 128 + 1
    assert len(reeve.ok("ps", "-q").split()) == 1


def test_a_client_that_is_killed_takes_its_session_along_or_not(reeve):
    for what, lives in (("stop", False), ("keep", True)):
        client = reeve.popen("run", "--name", what, "--on-disconnect", what, "--", "sleep", "1000")
        session = wait_for(lambda: find(reeve, what))
        client.kill()
        client.wait()
        if lives:
            assert reeve.json("inspect", what)["status"] == "running"
        else:
            assert reeve("wait", what).returncode == 128 + 15
            assert reeve.json("inspect", what)["exit"]["cause"] == "owner-gone"
        assert alive(session["pid"]) == lives


def find(reeve, name):
    items = reeve.json("ps", "-a", "--json")["items"]
    return next((s for s in items if s["name"] == name and s["status"] == "running"), None)


def test_when_nobody_reads_any_more_the_command_is_ended(reeve):
    client = reeve.popen("run", "--name", "y", "--", "yes")
    client.stdout.read(2)
    client.stdout.close()
    assert client.wait(20) == 141
    assert reeve("wait", "--timeout", "10s", "y").returncode in (128 + 13, 128 + 15, 141)


def test_a_head_that_has_enough_ends_the_pipeline(reeve):
    line = f"{BUILD}/reeve run -- yes | head -1"
    result = subprocess.run(
        ["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}}"], env=reeve.env, capture_output=True,
        timeout=30, cwd=reeve.home,
    )  # fmt: skip
    assert result.stdout == b"y\n141\n"


def test_a_slow_reader_loses_nothing(reeve):
    client = reeve.popen("run", "-c", "seq 400000")
    data = b""
    while chunk := client.stdout.read(50_000):
        data += chunk
    assert client.wait() == 0
    assert data == b"".join(b"%d\n" % i for i in range(1, 400001))


def test_end_of_input_reaches_the_command(reeve):
    client = reeve.popen("run", "--", "sh", "-c", "cat; echo done")
    client.stdin.write(b"x\n")
    client.stdin.flush()
    assert lines_of(reeve, client) == [b"x\n"]
    client.stdin.close()
    assert client.stdout.read() == b"done\n"
    assert client.wait(20) == 0


def test_without_input_the_command_reads_from_null(reeve):
    result = reeve("run", "--", "readlink", "/proc/self/fd/0", stdin=subprocess.DEVNULL, input=None)
    assert result.stdout == b"/dev/null\n"


def test_run_returns_at_the_exit_and_not_at_the_end_of_descendants(reeve):
    result = reeve(
        "run", "--leftovers", "keep", "--name", "job", "-c", "sleep 1000 & echo out; exit 4"
    )
    assert (result.returncode, result.stdout) == (4, b"out\n")
    assert reeve.json("inspect", "job")["treeAlive"] is True


def test_leftovers_are_ended_by_default(reeve):
    reeve.ok("run", "--name", "job", "-c", "sleep 1000 & exit 0")
    assert reeve("wait", "--until", "tree", "--timeout", "20s", "job").returncode == 0


def test_leftovers_that_are_a_failure_are_named_with_the_remedy(reeve):
    line = f"sleep 1000 & {SETTLED}; echo $!; exit 0"
    result = reeve("run", "--leftovers", "fail", "-c", line)
    first, left, last = result.stderr.decode().splitlines()
    assert result.returncode == 1
    assert left.split() == [result.stdout.decode().strip(), "sleep", "1000"]
    assert "--leftovers fail" in first and "--leftovers kill" in last
    result = reeve("run", "--leftovers", "fail", "-c", "exit 1")
    assert (result.returncode, result.stderr) == (1, b"")


def test_time_is_up_after_the_timeout(reeve):
    assert reeve("run", "--timeout", "50ms", "--", "sleep", "1000").returncode == 124


def test_merged_streams_come_out_of_stdout(reeve):
    result = reeve("run", "--merge-stderr", "-c", "echo 1; echo 2 >&2; echo 3")
    assert (result.stdout, result.stderr) == (b"1\n2\n3\n", b"")


def test_a_session_that_is_to_go_is_gone_afterwards(reeve):
    for _ in range(5):
        assert reeve.ok("run", "--rm", "--", "echo", "x") == "x"
        assert reeve.ok("ps", "-a", "-q") == ""
    assert reeve("run", "--rm", "-c", "sleep 1000 & exit 3").returncode == 3
    wait_for(lambda: reeve.ok("ps", "-a", "-q") == "", what="the end of what it left")
    assert reeve("run", "--rm", "--leftovers", "keep", "-c", "sleep 1000 & exit 3").returncode == 3
    assert reeve.json("inspect", "@last")["treeAlive"], "what is to go on is not removed"


def test_the_engine_may_die_meanwhile(reeve):
    client = reeve.popen("run", "-c", "echo one; read x; echo two; exit 5")
    assert lines_of(reeve, client) == [b"one\n"]
    reeve.kill_engine()
    out, errors = client.communicate(b"\n", timeout=20)
    assert (out, errors, client.returncode) == (b"two\n", b"", 5)


# --- what cannot be run --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-d"]], ids=["foreground", "detached"])
def test_what_cannot_be_run_fails_as_in_a_shell(reeve, options):
    (reeve.home / "plain").write_text("")
    missing = reeve("run", *options, "--", "no-such-command")
    assert missing.returncode == 127 and missing.stdout == b""
    assert missing.stderr == b'reeve: execve "no-such-command": No such file or directory\n'
    plain = reeve("run", *options, "--", "./plain")
    assert (plain.returncode, plain.stderr) == (
        126, b'reeve: execve "./plain": Permission denied\n',
    )  # fmt: skip
    nowhere = reeve("run", *options, "--cwd", "/no/such", "--", "true")
    assert nowhere.returncode not in (0, 126, 127) and b'chdir "/no/such"' in nowhere.stderr


def test_one_word_with_spaces_gets_the_hint(reeve):
    result = reeve("run", "echo hello")
    assert result.returncode == 127 and b"-c" in result.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        ([], b"COMMAND"), (["--name"], b"--name"), (["--nonsense", "true"], b"--nonsense"),
        (["-c", "x", "y"], b"-c"), (["--timeout", "soon", "true"], b"soon"),
        (["--backlog", "lots", "true"], b"lots"), (["--label", "x", "true"], b"--label"),
        (["--stop-signal", "NO", "true"], b"NO"), (["--leftovers", "eat", "true"], b"leftovers"),
        (["--env-file", "/no/such", "true"], b"/no/such"), (["--name", "a b", "true"], b"a b"),
        (["--stop", "nonsense", "true"], b"nonsense"),
        (["--grace", "1s", "--stop", "KILL", "x"], b"--stop"),
        (["--with-pid", "x", "true"], b"x"), (["-d", "--ready", "what", "true"], b"what"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_options_are_usage_errors(reeve, words, said):
    result = reeve("run", *words)
    assert result.returncode == 2, result
    assert result.stderr.startswith(b"reeve: ") and said in result.stderr and not result.stdout


def test_a_name_that_is_taken_is_refused_or_taken_over(reeve):
    first = reeve.ok("run", "-d", "--name", "web", "--", "sleep", "1000")
    again = reeve("run", "-d", "--name", "web", "--", "sleep", "1000")
    assert again.returncode == 1 and b"web" in again.stderr and b"--replace" in again.stderr
    second = reeve.ok("run", "-d", "--replace", "--name", "web", "--", "sleep", "1000")
    assert reeve.json("inspect", first)["status"] == "stopped"
    assert reeve.json("inspect", "web")["id"] == second


# --- detached ------------------------------------------------------------------------------------


def test_detached_prints_the_id_alone(reeve):
    result = reeve("run", "-d", "--", "sh", "-c", "echo out; echo err >&2")
    assert result.returncode == 0 and result.stderr == b""
    assert result.stdout.decode().split() == [reeve.ok("ps", "-a", "-q")]
    assert result.stdout.endswith(b"\n") and result.stdout.startswith(b"pipe-")


def test_a_detached_session_outlives_its_client_and_its_terminal(reeve):
    session = reeve.ok("run", "-d", "-c", "trap '' HUP; exec sleep 1000", start_new_session=True)
    assert reeve.json("inspect", session)["status"] == "running"


def test_the_same_key_gives_the_same_session(reeve):
    ids = {reeve.ok("run", "-d", "--key", "k1", "--", "sleep", "1000") for _ in range(3)}
    assert len(ids) == 1
    other = reeve("run", "-d", "--key", "k1", "--", "sleep", "2000")
    assert other.returncode == 1 and ids.pop().encode() in other.stderr


def test_labels_title_and_originator_are_kept(reeve):
    options = ("-l", "app=web", "-l", "tier=", "--title", "My\tjob", "--originator", "me")
    reeve.ok("run", "-d", *options, "--name", "x", "--", "true")
    session = reeve.json("inspect", "x")
    assert session["labels"] == {"app": "web", "tier": ""}
    assert (session["title"], session["originator"]) == ("My\tjob", "me")


def test_ready_waits_for_a_line(reeve):
    script = "sleep 0.1; echo listening; exec sleep 1000"
    session = reeve.ok("run", "-d", "--ready", "log=^listen", "-c", script)
    assert reeve.ok("logs", session) == "listening"


def test_not_ready_in_time_shows_the_output_and_leaves_the_session(reeve):
    script = "echo problem >&2; exec sleep 1000"
    result = reeve(
        "run", "-d", "--name", "x", "--ready", "log=never", "--ready-timeout", "300ms", "-c", script
    )
    assert result.returncode == 124 and b"problem" in result.stderr
    assert reeve.json("inspect", "x")["status"] == "running"


def test_dead_before_ready_shows_the_output(reeve):
    result = reeve("run", "-d", "--ready", "log=never", "-c", "echo crashed; exit 3")
    assert result.returncode == 1 and b"crashed" in result.stderr


def test_an_inner_session_ends_with_the_outer_one(reeve):
    exe = BUILD / "reeve"
    inner = f"{exe} run -d --name inner -- sleep 1000"
    free = f"{exe} run -d --no-parent --name free -- sleep 1000"
    outer = reeve.ok("run", "-d", "--name", "outer", "-c", f"{inner}; {free}; exec sleep 1000")
    wait_for(lambda: find(reeve, "inner") and find(reeve, "free"))
    assert reeve.json("inspect", "inner")["parentId"] == outer
    wait_for(
        lambda: len(reeve.json("tree", "--json", "outer")["items"]) == 1, what="the sleep alone"
    )
    reeve.ok("stop", "outer")
    assert reeve("wait", "inner").returncode == 128 + 15
    assert reeve.json("inspect", "free")["status"] == "running"
