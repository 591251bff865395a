# SPDX-License-Identifier: Apache-2.0
"""The shortest way through everything: command, keeper, engine, socket."""

import os

from conftest import alive, wait_for

ODD_BYTES = b"one\r\n\n\0two\xff\xfe\tno newline at the end"


def test_a_directory_without_a_daemon_is_stopped(reeve):
    result = reeve("daemon", "status")
    assert (result.returncode, result.stdout) == (3, b"stopped\n")


def test_the_daemon_starts_names_its_processes_and_stops(reeve):
    reeve.ok("daemon", "start")
    status = reeve.status()
    assert reeve.ok("daemon", "status") == f"running (PID {status['keeperPid']})"
    assert alive(status["keeperPid"]) and alive(status["enginePid"])
    reeve.ok("daemon", "stop")
    assert not alive(status["keeperPid"]) and not alive(status["enginePid"])
    assert reeve("daemon", "status").returncode == 3


def test_a_second_start_is_refused(reeve):
    pid = reeve.start()["keeperPid"]
    result = reeve("daemon", "start")
    assert result.returncode != 0
    assert f"already running (PID {pid})".encode() in result.stdout + result.stderr


def test_run_starts_the_daemon_by_itself(reeve):
    assert reeve.ok("run", "--", "echo", "hello") == "hello"
    assert reeve.status()


def test_run_passes_both_streams_and_the_exit_code_on(reeve):
    result = reeve("run", "--", "sh", "-c", "cat; echo oops >&2; exit 7", input=ODD_BYTES)
    assert (result.returncode, result.stdout, result.stderr) == (7, ODD_BYTES, b"oops\n")


def test_run_names_the_signal_that_ended_the_command(reeve):
    assert reeve("run", "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15


def test_run_fails_as_a_shell_does(reeve):
    plain = reeve.home / "plain"
    plain.write_text("")
    assert reeve("run", "--", "/no/such/command").returncode == 127
    assert reeve("run", "--", plain).returncode == 126


def test_an_unknown_option_is_a_usage_error(reeve):
    result = reeve("run", "--no-such-option", "true")
    assert result.returncode == 2
    assert result.stderr.startswith(b"reeve: ") and b"--no-such-option" in result.stderr


def test_a_detached_session_is_listed_read_and_waited_for(reeve):
    session = reeve.ok("run", "-d", "--name", "job", "--", "sh", "-c", "echo said; exit 3")
    assert reeve("wait", session).returncode == 3
    assert reeve.ok("logs", "job") == "said"
    assert session in reeve.ok("ps", "-a", "-q").split()
    reeve.ok("rm", session)
    assert reeve.ok("ps", "-a", "-q") == ""


def test_a_session_outlives_its_engine(reeve):
    script = "while [ ! -e go ]; do sleep 0.02; done; exit 5"
    session = reeve.ok("run", "-d", "--", "sh", "-c", script)
    reeve.kill_engine()
    assert reeve.ok("ps", "-q") == session
    (reeve.home / "go").touch()
    assert reeve("wait", session).returncode == 5


def test_no_byte_is_lost_when_the_engine_is_killed(reeve):
    lines = 20000
    pause = "[ $((i % 2000)) != 0 ] || sleep 0.05"
    script = f"for i in $(seq {lines}); do echo line $i; {pause}; done; exit 9"
    reeve.start()
    output = reeve.home / "output"
    with output.open("wb") as file:
        client = reeve.popen("run", "--", "sh", "-c", script, stdout=file)
    for size in (10_000, 100_000):
        wait_for(lambda: output.stat().st_size > size or client.poll() is not None)
        assert client.poll() is None, "the job ended before the engine could be killed"
        reeve.kill_engine()
    _, errors = client.communicate(timeout=30)
    assert output.read_text() == "".join(f"line {i}\n" for i in range(1, lines + 1))
    assert (client.returncode, errors) == (9, b"")


def test_stop_ends_the_whole_tree(reeve):
    script = "setsid sh -c 'trap \"\" TERM; echo $$ >deep; while :; do sleep 0.1; done' & wait"
    session = reeve.ok("run", "-d", "--", "sh", "-c", script)
    deep = reeve.home / "deep"
    wait_for(lambda: deep.exists() and deep.read_text().endswith("\n"))
    pid = int(deep.read_text())
    assert alive(pid)
    reeve.ok("stop", "--grace", "100ms", session)
    assert not alive(pid)


def test_the_api_describes_the_daemon(reeve, api):
    answer = api.get("/v1/daemon")
    assert answer.status == 200
    assert answer.json["keeperPid"] == reeve.status()["keeperPid"]


def test_the_api_names_what_is_wrong(api):
    assert (api.get("/v1/no-such-thing").status, api.get("/v1/sessions/nobody").code) == (
        404,
        "not_found",
    )
    answer = api.post("/v1/sessions", {"command": ["true"], "colour": "red"})
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "colour" in answer.json["error"]["message"]


def test_only_the_owner_can_reach_the_socket(reeve):
    socket = reeve.start()["socket"]
    assert os.stat(socket).st_mode & 0o777 == 0o600
    assert os.stat(reeve.dir).st_mode & 0o777 == 0o700
