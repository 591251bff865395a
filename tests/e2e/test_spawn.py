# SPDX-License-Identifier: Apache-2.0
"""What a command is started with, and what is said when it cannot be started."""

import base64
import contextlib
import json
import os
import pathlib
import re
import resource
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import wait_for


def python(script):
    return ("/usr/bin/python3", "-c", script)


def answer_of(api, *command, **fields):
    return api.output(api.spawn(*command, **fields))


def lines_of(api, script, **fields):
    return answer_of(api, "sh", "-c", script, **fields).decode().splitlines()


# --- environment ---------------------------------------------------------------------------------


def environment(api, **fields):
    session = api.spawn("/usr/bin/env", "-0", **fields)
    entries = api.output(session).decode().split("\0")[:-1]
    variables = dict(entry.split("=", 1) for entry in entries)
    assert variables.pop("REEVE_SESSION") == session["id"]
    return variables


def test_without_env_there_is_a_small_login_environment(api):
    variables = environment(api)
    assert set(variables) <= {"HOME", "LOGNAME", "USER", "SHELL", "PATH", "LANG"}
    assert variables["HOME"].startswith("/") and "/usr/bin" in variables["PATH"]


def test_env_is_the_whole_environment(api):
    assert environment(api, env={"A": "1", "EMPTY": "", "PATH": "/usr/bin"}) == {
        "A": "1", "EMPTY": "", "PATH": "/usr/bin",
    }  # fmt: skip


def test_an_empty_env_is_empty(api):
    assert environment(api, env={}) == {}
    assert environment(api, clearEnv=True) == {}
    assert environment(api, clearEnv=True, env={"A": "1"}) == {"A": "1"}


def test_a_session_variable_of_the_caller_gives_way_to_the_true_one(api):
    session = api.spawn("/usr/bin/env", env={"REEVE_SESSION": "pipe-lie"})
    assert api.output(session) == f"REEVE_SESSION={session['id']}\n".encode()


def test_bytes_that_are_not_utf_8_pass_in_command_environment_and_directory(api, reeve):
    odd = b"\xff\xfe \xc3"
    directory = os.fsencode(reeve.home) + b"/dir\xff"
    os.mkdir(directory)

    def b64(data):
        return {"base64": base64.b64encode(data).decode()}

    session = api.spawn(
        "/bin/sh", "-c", 'printf %s "$1|$ODD|"; pwd', "sh", b64(odd),
        env={"ODD": b64(odd)}, cwd=b64(directory),
    )  # fmt: skip
    assert api.output(session) == odd + b"|" + odd + b"|" + directory + b"\n"
    shown = api.show(session)
    assert shown["command"][-1] == b64(odd) and shown["cwd"] == b64(directory)


def test_a_hundred_kilobytes_of_argument_and_many_variables_pass(api):
    long = "x" * 100_000
    variables = {f"V{i}": "y" * 50 for i in range(2000)}
    script = "import os, sys; print(len(sys.argv[1]), sum(n[0] == 'V' for n in os.environ))"
    assert answer_of(api, *python(script), long, env=variables) == b"100000 2000\n"


# --- directory, umask, limits, niceness ----------------------------------------------------------


def test_the_command_starts_in_its_directory(api, reeve):
    (reeve.home / "sub").mkdir()
    assert lines_of(api, "pwd", cwd=str(reeve.home / "sub")) == [str(reeve.home / "sub")]


def test_a_relative_directory_is_refused(api):
    answer = api.try_spawn("true", cwd="sub")
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "absolute" in answer.json["error"]["message"]


@pytest.mark.shared
@pytest.mark.parametrize("mask", ["0", "022", "0077", "777"])
def test_the_umask_is_what_was_asked_for(api, mask):
    assert int(lines_of(api, "umask", umask=mask)[0], 8) == int(mask, 8)


@pytest.mark.shared
@pytest.mark.parametrize("mask", ["", "8", "1777", "abc", "-1", " 22", "00777x", "+7"])
def test_an_impossible_umask_is_refused(api, mask):
    answer = api.try_spawn("true", umask=mask)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "umask" in answer.json["error"]["message"]


LIMITS = (
    "import json, resource\n"
    "print(json.dumps([resource.getrlimit(getattr(resource, n)) for n in {}]))"
)


def test_limits_are_what_was_asked_for(api):
    limits = {"core": [0, 4096], "nofile": [100, 200], "fsize": [1 << 20, None], "cpu": [50, 60]}
    names = ["RLIMIT_" + name.upper() for name in limits]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    got = json.loads(answer_of(api, *python(LIMITS.format(names)), limits=limits))
    assert got == [[0, 4096], [100, 200], [1 << 20, hard], [50, 60]]


def test_without_limits_the_command_has_those_of_the_daemons_caller(reeve):
    names = ["RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_STACK"]
    bare = subprocess.run(python(LIMITS.format(names)), capture_output=True, check=True).stdout
    assert answer_of(reeve.api, *python(LIMITS.format(names))) == bare


@pytest.mark.shared
@pytest.mark.parametrize(
    "limits",
    [[], "1", {"nofile": 5}, {"nofile": [5]}, {"nofile": [5, 4]}, {"nofile": [-1, 4]},
     {"nofile": [1, 2, 3]}, {"nofile": ["1", "2"]}, {"nofile": [None, 5]}, {"files": [1, 2]},
     {"locks": [1, 2]}, {"nofile": [1.5, 2]}],
    ids=str,
)  # fmt: skip
def test_impossible_limits_are_refused(api, limits):
    answer = api.try_spawn("true", limits=limits)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "limits" in answer.json["error"]["message"]


def test_niceness_is_what_was_asked_for(api):
    nice = min(os.nice(0) + 7, 19)  # the tests may run with a low priority themselves
    assert lines_of(api, "nice", nice=nice) == [str(nice)]


def capable(number):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"CapEff:\s*(\w+)", status)[1], 16) >> number & 1


CAP_SYS_NICE, CAP_SYS_RESOURCE = 23, 24


def test_a_higher_priority_is_had_or_it_is_said_that_it_cannot_be(api):
    session = api.spawn("nice", nice=-5)
    if capable(CAP_SYS_NICE):
        assert "warnings" not in session and api.output(session) == b"-5\n"
    else:
        assert any("nice" in warning for warning in session["warnings"])
        assert api.output(session) == b"%d\n" % os.nice(0)


def test_a_higher_limit_is_had_or_it_is_said_that_it_cannot_be(api):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    session = api.spawn("sh", "-c", "ulimit -Hn", limits={"nofile": [10, hard + 1]})
    if capable(CAP_SYS_RESOURCE):
        assert "warnings" not in session and api.output(session) == b"%d\n" % (hard + 1)
    else:
        assert any("nofile" in warning for warning in session["warnings"])
        assert api.output(session) == b"%d\n" % hard


def test_signals_have_their_default_actions_and_none_is_blocked(api):
    status = dict(
        line.split(":\t", 1)
        for line in answer_of(api, "cat", "/proc/self/status").decode().splitlines()
        if ":\t" in line
    )
    assert {int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")} == {0}
    assert status["NoNewPrivs"] == "0" and status["Seccomp"] == "0"


def test_only_the_three_standard_descriptors_are_open(api):
    script = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:4])"
    assert answer_of(api, *python(script)) == b"[0, 1, 2, 3]\n"  # 3 is the listing itself


def test_the_command_leads_a_session_and_a_process_group_of_its_own(api):
    script = "import os; print(os.getpid() == os.getsid(0) == os.getpgrp())"
    assert answer_of(api, *python(script)) == b"True\n"


def test_the_command_has_no_terminal_and_stdin_is_null_by_default(api):
    assert lines_of(api, "readlink /proc/self/fd/0; tty; (: </dev/tty) || echo none") == [
        "/dev/null", "not a tty", "none",
    ]  # fmt: skip


def test_a_shell_line_is_run_by_sh(api):
    answer = api.post("/v1/sessions", {"shell": "echo $0 $((1 + 1))", "cwd": api.cwd})
    assert answer.status == 201
    assert api.output(answer.json) == b"/bin/sh 2\n"
    assert answer.json["command"] == ["/bin/sh", "-c", "echo $0 $((1 + 1))"]


def test_the_program_is_searched_in_the_path_of_its_environment(api, reeve):
    tools = reeve.home / "tools"
    tools.mkdir()
    (tools / "mine").write_text("#!/bin/sh\necho found $1\n")
    (tools / "mine").chmod(0o755)
    env = {"PATH": f"/usr/bin:/bin:{tools}"}
    assert answer_of(api, "mine", "it", env=env) == b"found it\n"
    assert api.try_spawn("mine").status == 400


def test_a_script_without_an_interpreter_line_is_run_by_sh(api, reeve):
    (reeve.home / "script").write_text("echo $1\n")
    (reeve.home / "script").chmod(0o755)
    assert answer_of(api, str(reeve.home / "script"), "x") == b"x\n"


# --- what cannot be started ----------------------------------------------------------------------


def refusal(api, *command, **fields):
    """(code, message, details) of a spawn that failed."""
    answer = api.try_spawn(*command, **fields)
    assert answer.status == 400, answer.body
    error = answer.json["error"]
    return error["code"], error["message"], error.get("details")


def test_a_command_that_is_not_there_is_named_with_the_step(api):
    code, message, details = refusal(api, "no-such-command", "x")
    assert (code, message) == (
        "invalid_argument", 'execve "no-such-command": No such file or directory',
    )  # fmt: skip
    assert (details["step"], details["errno"]) == ("execve", 2)
    session = api.show(details["processId"])
    assert session["status"] == "failed" and session["state"] == {"failed": {"error": message}}
    assert "exit" not in session and not session["treeAlive"]


def test_a_failed_command_whose_name_is_no_text_has_its_state(api):
    name = {"base64": base64.b64encode(b"/no/such/\xff\x01name").decode()}
    code, message, details = refusal(api, name)
    assert message == 'execve "/no/such/??name": No such file or directory'
    assert api.show(details["processId"])["state"] == {"failed": {"error": message}}


def test_a_failed_command_whose_name_is_long_has_its_state(api):
    code, message, details = refusal(api, "/" + "no-such-\u00fc/" * 300)
    assert message.startswith('execve "/no-such-') and "No such file" in message
    assert api.show(details["processId"])["state"] == {"failed": {"error": message}}


def test_a_file_that_cannot_be_executed_is_named_with_the_step(api, reeve):
    (reeve.home / "plain").write_text("")
    code, message, details = refusal(api, str(reeve.home / "plain"))
    assert message == f'execve "{reeve.home}/plain": Permission denied'
    assert (details["step"], details["errno"]) == ("execve", 13)
    assert refusal(api, str(reeve.home))[1] == f'execve "{reeve.home}": Permission denied'


def test_an_interpreter_that_is_not_there_is_an_error_of_execve(api, reeve):
    (reeve.home / "script").write_text("#!/no/such/interpreter\n")
    (reeve.home / "script").chmod(0o755)
    code, message, details = refusal(api, str(reeve.home / "script"))
    assert details["step"] == "execve" and "No such file" in message


def test_a_directory_that_is_not_there_is_named_with_the_step(api):
    code, message, details = refusal(api, "true", cwd="/no/such/dir")
    assert message == 'chdir "/no/such/dir": No such file or directory'
    assert (details["step"], details["errno"]) == ("chdir", 2)


def test_a_file_as_a_directory_is_named_with_the_step(api):
    assert refusal(api, "true", cwd="/etc/passwd")[1] == 'chdir "/etc/passwd": Not a directory'


def test_one_word_with_spaces_gets_the_hint_to_use_a_shell(api):
    message = refusal(api, "echo hello world")[1]
    assert message.startswith('execve "echo hello world": No such file') and "-c" in message
    assert "-c" not in refusal(api, "no-such", "a b")[1]


def test_arguments_beyond_the_limit_of_the_system_are_an_error_of_execve(api):
    code, message, details = refusal(api, "true", "x" * 200_000)
    assert message == 'execve "true": Argument list too long'
    assert details["step"] == "execve"


def test_the_output_of_a_failed_session_is_empty_and_complete(api):
    failed = refusal(api, "/no/such")[2]["processId"]
    page = api.logs(failed, stream="stdout")
    assert (page["text"], page["eof"], page["status"]) == ("", True, "failed")
    assert api.raw(failed) == b""
    assert api.raw(failed, follow="true") == b""
    assert api.logs(failed, wait="20s")["text"] == ""


def test_every_wait_for_a_failed_session_is_over(api):
    failed = refusal(api, "/no/such")[2]["processId"]
    for condition in ("exit", "tree", "eof"):
        result = api.wait(failed, condition)
        assert (result["fired"], result["status"]) == (condition, "failed")
        assert "exitCode" not in result


def test_a_failed_session_cannot_be_attached_to_signalled_or_written_to(api):
    failed = refusal(api, "/no/such", stdin="pipe")[2]["processId"]
    assert api.kill(failed).code == "wrong_state"
    assert api.get(api.path_of(failed, "/attach")).code == "wrong_state"
    assert api.stdin(failed, b"x").code == "stdin_closed"
    stopped = api.post(api.path_of(failed, "/stop"), {})
    assert stopped.json["stopped"] is False
    assert api.get(api.path_of(failed, "/tree")).json == {"items": []}
    assert api.delete(api.path_of(failed)).status == 200


def test_a_failed_session_does_not_keep_its_name(api):
    refusal(api, "/no/such", name="web")
    assert api.spawn("true", name="web")["name"] == "web"


def test_a_failed_spawn_leaves_no_process_and_no_descriptor(reeve, api):
    engine = reeve.status()["enginePid"]
    keeper = reeve.status()["keeperPid"]

    def descriptors():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (engine, keeper))

    refusal(api, "/no/such")
    api.post("/v1/sessions/purge")
    before = descriptors()
    for _ in range(20):
        refusal(api, "/no/such", stdin="pipe")
    api.post("/v1/sessions/purge")
    # A connection may be open now or then.
    wait_for(lambda: descriptors() < before + 10, what="the release of the descriptors")


# --- fields that exclude each other --------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    "body, word",
    [
        ({}, "command"),
        ({"command": []}, "command"),
        ({"command": [""]}, "empty"),
        ({"command": ["true"], "shell": "true"}, "exclude"),
        ({"command": ["true"], "stop": "TERM 1s KILL", "grace": "1s"}, "grace"),
        ({"command": ["true"], "stop": "HARD"}, "stop plan"),
        ({"command": ["true"], "stop": "KILL TERM"}, "stop plan"),
        ({"command": ["true"], "env": {"": "x"}}, "variable"),
        ({"command": ["true"], "env": {"A=B": "x"}}, "variable"),
        ({"command": ["true"], "labels": {"": "x"}}, "labels"),
        ({"command": ["true"], "labels": {"a=b": "x"}}, "labels"),
        ({"command": ["true"], "labels": {"a": 5}}, "labels"),
        ({"command": ["true"], "labels": ["a"]}, "labels"),
        ({"command": ["true"], "attach": {}}, "token"),
        ({"command": ["true"], "attach": {"token": "0" * 32}}, "token"),
        ({"command": ["true"], "attach": {"token": "xyz"}}, "token"),
        ({"command": ["true"], "attach": {"token": "1" * 32, "mode": "fast"}}, "mode"),
        ({"command": ["true"], "attach": "now"}, "attach"),
        ({"command": ["true"], "colour": "red"}, "colour"),
        ({"command": ["true\u0000"]}, "command"),
        ({"command": ["true"], "withPid": 2**31 - 1}, "withPid"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_request_that_makes_no_sense_is_refused_by_name(api, body, word):
    answer = api.post("/v1/sessions", body)
    assert (answer.status, answer.code) == (400, "invalid_argument"), answer.body
    assert word in answer.json["error"]["message"]
    assert api.get("/v1/sessions").json["items"] == []


def test_a_parent_that_is_not_there_is_not_found(api):
    answer = api.try_spawn("true", parentId="nobody")
    assert (answer.status, answer.code) == (404, "not_found")


def test_too_many_labels_are_too_large(api):
    answer = api.try_spawn("true", labels={f"l{i}": "" for i in range(65)})
    assert (answer.status, answer.code) == (413, "too_large")
    assert api.try_spawn("true", labels={f"l{i}": "" for i in range(64)}).status == 201


# --- parents, owners, time -----------------------------------------------------------------------


def test_an_inner_session_names_its_parent_and_ends_with_it(api):
    parent = api.spawn("sleep", "1000")
    child = api.spawn("sleep", "1000", parentId=parent["name"])
    assert child["parentId"] == parent["id"]
    api.stop(parent)
    ended = api.ended(child)
    assert (ended["status"], ended["exit"]["cause"]) == ("stopped", "owner-gone")


def test_a_session_ends_with_the_process_that_it_is_tied_to(api):
    owner = api.spawn("sleep", "1000")
    session = api.spawn("sleep", "1000", withPid=owner["pid"])
    api.kill(owner)
    ended = api.ended(session)
    assert (ended["status"], ended["exit"]["cause"]) == ("stopped", "owner-gone")
    assert ended["exit"]["outcome"] == "soft"


def test_a_session_is_stopped_after_its_time(api):
    ended = api.ended(api.spawn("sleep", "1000", timeout="50ms"))
    assert (ended["status"], ended["exit"]["cause"]) == ("stopped", "timeout")
    assert (ended["exit"]["exitCode"], ended["exit"]["outcome"]) == (-15, "soft")


def test_a_time_that_is_longer_than_the_command_changes_nothing(api):
    ended = api.ended(api.spawn("true", timeout="1h"))
    assert (ended["status"], ended["exit"]["cause"]) == ("exited", "exit")


def test_a_session_with_no_time_to_live_goes_when_it_has_ended(api):
    session = api.spawn("true", ttl="0s")
    wait_for(lambda: api.get(api.path_of(session)).status == 404, what="the removal")


def test_a_hundred_sessions_start_at_once(api):
    with ThreadPoolExecutor(16) as pool:
        sessions = list(pool.map(lambda i: api.sh(f"echo {i}"), range(100)))
        outputs = list(pool.map(api.output, sessions))
    assert outputs == [f"{i}\n".encode() for i in range(100)]
    assert len({s["id"] for s in sessions}) == len({s["handle"] for s in sessions}) == 100


# --- afterwards ----------------------------------------------------------------------------------


def pipes_of(pid):
    found = 0
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(link).startswith("pipe:")
    return found


def test_the_daemon_holds_no_pipe_of_a_command_that_has_ended(api):
    status = api.get("/v1/daemon").json
    own = [status["keeperPid"], status["enginePid"]]
    before = [pipes_of(pid) for pid in own]
    for script in ("exit 0", "exec >&-; echo >&2", "exec >&- 2>&-; sleep 0.1", "sleep 0.2 & exit 0"):
        api.wait(api.sh(script, leftovers="keep"), "tree")
        wait_for(lambda: [pipes_of(pid) for pid in own] == before, what=script)
