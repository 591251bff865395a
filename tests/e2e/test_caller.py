# SPDX-License-Identifier: Apache-2.0
"""A command under reeve is started as its caller would have started it."""

import os
import resource
import signal
import subprocess

import pytest
from conftest import BUILD

SCRIPT = "umask; ulimit -a; ulimit -aH; pwd; env; nice; cat /proc/self/limits"


def bare(reeve, command, **kw):
    """What the command says when the caller starts it without reeve."""
    env = {**reeve.env, **kw.pop("env", {})}
    return subprocess.run(
        command, env=env, capture_output=True, check=True, cwd=reeve.home, **kw
    ).stdout


def different(a, b):
    """The lines of either that the other does not have."""
    a, b = a.decode().splitlines(), b.decode().splitlines()
    return [line for line in a if line not in b] + [line for line in b if line not in a]


def is_lock_limit(line):
    return "locks" in line.lower() and "memory" not in line.lower()


def unexplained(reeve, command, **kw):
    under = reeve("run", "--", *command, **kw)
    assert under.returncode == 0, under.stderr
    lines = different(under.stdout, bare(reeve, command, **kw))
    # A shell that `run` starts is no login shell either: `_` is what the shell itself adds.
    return [line for line in lines if not line.startswith("REEVE_") and not is_lock_limit(line)]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_only_the_session_variable_and_the_lock_limit_differ(reeve, shell):
    command = [shell, "-c", SCRIPT]
    assert unexplained(reeve, command, stdin=subprocess.DEVNULL, input=None) == []
    under = reeve.ok("run", "--", *command)
    assert any(line.startswith("REEVE_SESSION=pipe-") for line in under.splitlines())


def test_the_variable_that_shells_set_to_what_they_start_is_the_command(reeve):
    reeve.ok("daemon", "start")
    by_shell = ["bash", "-c", '"$@" env | grep ^_=; true', "bash"]
    assert bare(reeve, ["bash", "-c", "env | grep ^_="]) == b"_=/usr/bin/env\n"
    assert bare(reeve, [*by_shell, BUILD / "reeve", "run"]) == b"_=/usr/bin/env\n"
    assert bare(reeve, [*by_shell, "nice"]) == b"_=/usr/bin/nice\n"
    assert b"_=/usr/bin/nice\n" in reeve.ok("run", "env", env={"_": "/usr/bin/nice"}).encode()


def strange():
    """In the child: what a caller may have set."""
    os.umask(0o027)
    os.nice(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 22))


def odd_but_reversible():
    """The same, but nothing that its children could not get rid of."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGINT})
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, hard))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))


def test_a_caller_with_settings_of_its_own_passes_them_on(reeve):
    reeve.start()  # by a caller with other settings
    command = ["sh", "-c", SCRIPT]
    env = {"MINE": "a b\tc", "EMPTY": ""}
    assert unexplained(reeve, command, preexec_fn=strange, env=env) == []


def test_the_daemons_own_settings_reach_nobody(reeve):
    reeve.ok(
        "daemon", "start", preexec_fn=odd_but_reversible, env={"SSH_AUTH_SOCK": "/x", "CI": "true"}
    )
    assert unexplained(reeve, ["sh", "-c", SCRIPT]) == []
    daemon = {reeve.status()["keeperPid"], reeve.status()["enginePid"]}
    for pid in daemon:
        with open(f"/proc/{pid}/environ", "rb") as file:
            names = {entry.split(b"=")[0] for entry in file.read().split(b"\0")}
        assert not names & {b"CI", b"SSH_AUTH_SOCK"}, names


def test_bytes_that_are_not_utf_8_reach_the_command(reeve):
    odd = b"\xff\xfe\xc3("
    result = reeve(
        "run", "--", "sh", "-c", 'printf "%s|%s" "$1" "$ODD"', "sh", odd, env={"ODD": odd}
    )
    assert result.stdout == odd + b"|" + odd


def test_the_directory_is_the_callers(reeve):
    (reeve.home / "sub").mkdir()
    assert reeve.ok("run", "--", "pwd", cwd=reeve.home / "sub") == str(reeve.home / "sub")
    assert reeve.ok("run", "--cwd", "sub", "--", "pwd") == str(reeve.home / "sub")


def environment(reeve, *options, **kw):
    lines = reeve.ok("run", *options, "--", "/usr/bin/env", **kw).splitlines()
    return {line.split("=")[0]: line.split("=", 1)[1] for line in lines}


def test_variables_can_be_set_passed_on_and_left_out(reeve):
    (reeve.home / "file").write_text("# a comment\nFROM_FILE=1\n\nOTHER=a b=c\n")
    kw = {"env": {"MINE": "x", "GONE": "y"}}
    variables = environment(
        reeve, "-e", "SET=1", "-e", "EMPTY=", "--env-file", "file", "--unset", "GONE", **kw
    )
    assert variables["MINE"] == "x" and "GONE" not in variables
    assert (variables["SET"], variables["EMPTY"]) == ("1", "")
    assert (variables["FROM_FILE"], variables["OTHER"]) == ("1", "a b=c")
    cleared = environment(reeve, "--clear-env", "-e", "MINE", "-e", "SET=1", **kw)
    assert {k: v for k, v in cleared.items() if k != "REEVE_SESSION"} == {"MINE": "x", "SET": "1"}


def test_a_variable_that_the_caller_does_not_have_is_not_made_up(reeve):
    assert "NOT_THERE" not in environment(reeve, "-e", "NOT_THERE")


def test_ignored_signals_and_masks_of_the_caller_do_not_reach_the_command(reeve):
    command = ("run", "--", "cat", "/proc/self/status")
    text = reeve.ok(*command, preexec_fn=odd_but_reversible)
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {int(fields[name], 16) for name in ("SigBlk", "SigIgn")} == {0}


def test_descriptors_above_two_do_not_pass(reeve):
    with open("/dev/null") as file:
        count = "ls /proc/self/fd | wc -l"
        assert reeve.ok("run", "-c", count, pass_fds=[file.fileno()]) == reeve.ok(
            "run", "-c", count
        )


# --- callers that allow themselves little --------------------------------------------------------


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


def test_a_caller_with_hardly_a_descriptor_gives_its_command_no_more(reeve):
    reeve.start()
    assert reeve.ok("run", "--", "sh", "-c", "ulimit -n", preexec_fn=few_descriptors) == "8"


def no_files():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (1, hard))


def test_the_limits_of_the_caller_who_starts_the_daemon_are_those_of_its_command_alone(reeve):
    command = ["sh", "-c", "ulimit -f; ulimit -t"]
    assert reeve.ok("run", "--", *command, preexec_fn=no_files) == "0\n1"
    for pid in (reeve.status()["keeperPid"], reeve.status()["enginePid"]):
        with open(f"/proc/{pid}/limits") as file:
            soft = {line[:26].strip(): line[26:].split()[:2] for line in file}
        assert soft["Max file size"][0] == soft["Max file size"][1] != "0"
        assert soft["Max cpu time"][0] == soft["Max cpu time"][1] != "1"


def test_a_umask_that_locks_everybody_out_does_not_lock_out_the_daemon(reeve):
    reeve.env["REEVE_DIR"] = str(reeve.dir / "sub")
    try:
        first = reeve("run", "--", "sh", "-c", "umask", preexec_fn=lambda: os.umask(0o777))
        assert (first.returncode, first.stdout) == (0, b"0777\n"), first.stderr
        assert reeve.ok("inspect", "@last")
        assert os.stat(reeve.dir / "sub" / "lock").st_mode & 0o777 == 0o600
    finally:
        reeve("daemon", "stop")
        reeve.env["REEVE_DIR"] = str(reeve.dir)
