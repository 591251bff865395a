# SPDX-License-Identifier: Apache-2.0
"""Sessions with a terminal, over the API."""

import struct

import frames
import pytest
from conftest import wait_for
from frames import Refused, Start, Stream, Type, exit_of

pytestmark = pytest.mark.shared


def pty(api, script, **fields):
    return api.sh(script, kind="pty", **fields)


def shown(api, session, text):
    wait_for(lambda: text in api.raw(session, stream="pty"), what=f"{text!r} on the terminal")


def wait_input(api, session):
    body = {"until": [{"input": True}], "timeout": "20s"}
    answer = api.post(api.path_of(session, "/wait"), body)
    assert answer.json["fired"] == "input", answer.body
    return answer.json


def test_the_command_has_a_terminal_of_the_size_that_was_asked_for(api):
    session = pty(
        api, "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all", rows=33, cols=99
    )
    assert session["id"].startswith("pty-") and session["kind"] == "pty"
    lines = api.output(session, "pty").decode().split("\r\n")
    assert lines[0].startswith("/dev/pts/") and lines[1:] == ["33 99", "all", ""]


def test_a_terminal_of_no_size_in_particular_has_24_rows_and_80_columns(api):
    session = pty(api, "stty size")
    assert api.output(session, "pty") == b"24 80\r\n"


def test_there_is_one_stream_of_output(api):
    session = pty(api, "echo out; echo err >&2; exit 3")
    ended = api.ended(session)
    assert set(ended["streams"]) == {"pty"} and ended["exit"]["exitCode"] == 3
    assert api.raw(session, stream="pty") == api.raw(session) == b"out\r\nerr\r\n"
    page = api.logs(session)
    assert (page["stream"], page["from"], page["next"]) == ("pty", 0, 10)
    answer = api.get(api.path_of(session, "/logs", stream="stdout"))
    assert (answer.status, answer.code) == (400, "invalid_argument")


def test_what_is_typed_is_echoed_and_read(api):
    session = pty(api, "read line; echo got $line")
    wait_input(api, session)
    assert api.stdin(session, b"hello\n").json["accepted"] == 6
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert api.raw(session) == b"hello\r\ngot hello\r\n"


def test_control_characters_are_signals(api):
    session = pty(api, "trap 'echo int; exit 4' INT; echo ready; while :; do sleep 0.02; done")
    shown(api, session, b"ready")
    api.stdin(session, b"\x03")
    ended = api.ended(session)
    assert (ended["exit"]["exitCode"], ended["exit"]["outcome"]) == (4, "natural")


def test_the_end_of_input_is_typed(api):
    session = pty(api, "cat; echo done")
    wait_input(api, session)
    api.stdin(session, b"x\n")
    assert api.stdin(session, None, eof="true").status == 200
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert api.raw(session).endswith(b"done\r\n")


def test_a_password_prompt_is_known(api):
    session = pty(api, "read name; stty -echo; printf 'Password: '; read secret; exec sleep 1000")
    assert wait_input(api, session)["echo"] is True
    api.stdin(session, b"me\n")
    shown(api, session, b"Password: ")
    assert wait_input(api, session)["echo"] is False
    seen = api.show(session)
    assert (seen["waitingForInput"], seen["echo"]) == (True, False)
    api.stdin(session, b"s3cret\n")
    wait_for(lambda: api.show(session)["waitingForInput"] is False)
    assert b"s3cret" not in api.raw(session)


def test_an_attached_client_types_and_resizes(api):
    script = "trap 'stty size' WINCH; echo ready; while :; do read x && echo got $x; done"
    session = pty(api, script)
    shown(api, session, b"ready")
    with api.attach(session) as client:
        client.send(Type.RESIZE, Stream.PTY, struct.pack("<HH", 50, 132))
        data = client.read_output(len(b"ready\r\n50 132\r\n"))
        assert data == b"ready\r\n50 132\r\n"
        assert client.starts == {Stream.PTY: Start(0, 0), Stream.STDIN: 0}
        client.input(0, b"x\n")
        assert client.read_output(len(b"x\r\ngot x\r\n")) == b"x\r\ngot x\r\n"


@pytest.mark.parametrize("leaves", [False, True])
def test_what_a_silent_program_takes_is_accepted_all_the_same(api, leaves):
    session = pty(api, "stty raw -echo; echo ready; exec cat >/dev/null")
    shown(api, session, b"ready")
    with api.attach(session, **{"from": "now"}) as a:
        a.input(0, b"x" * 10)
        if leaves:
            a.send(Type.DETACH)
        frame = a.next()
        assert (frame.type, frames.u64_of(frame)) == (Type.ACCEPTED, 10)


def test_the_last_output_comes_before_the_exit(api):
    for _ in range(10):
        session = pty(api, "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit 5")
        with api.attach(session) as client:
            received = client.rest()
        data = frames.output(received, Stream.PTY)
        assert data == b"".join(b"line %d\r\n" % i for i in range(300))
        assert exit_of(next(f for f in received if f.type == Type.EXIT)).code == 5
        assert received[-1].payload == bytes([frames.SESSION_EXITED])


def test_the_streams_of_a_pipe_are_not_those_of_a_terminal(api):
    session = pty(api, "exec sleep 1000")
    with pytest.raises(Refused) as refused:
        api.attach(session, streams="stdout")
    assert refused.value.status in (400, 409)


def test_a_terminal_session_stops_as_any_other(api):
    session = pty(api, "trap '' HUP TERM; echo ready; while :; do sleep 0.02; done")
    shown(api, session, b"ready")
    ended = api.stop(session, grace="30ms")
    assert (ended["exit"]["exitCode"], ended["exit"]["outcome"]) == (-9, "hard")


def test_a_terminal_session_is_hung_up_when_it_is_stopped(api):
    traps = "trap '' TERM; trap 'echo hung up; exit 4' HUP"
    session = pty(api, f"{traps}; echo ready; while :; do sleep 0.02; done")
    shown(api, session, b"ready")
    ended = api.stop(session)
    assert (ended["exit"]["exitCode"], ended["exit"]["outcome"]) == (4, "soft")
    assert b"hung up" in api.raw(session)


def test_a_terminal_session_outlives_the_engine(reeve, api):
    session = pty(api, "read x; echo got $x; exit 6")
    wait_input(api, session)
    reeve.kill_engine()
    api.stdin(session, b"it\n", at=0)
    assert api.ended(session)["exit"]["exitCode"] == 6
    assert api.raw(session) == b"it\r\ngot it\r\n"


@pytest.mark.parametrize("fields", [{"rows": 24}, {"kind": "pipe", "cols": 80}], ids=str)
def test_a_size_belongs_to_a_terminal(api, fields):
    answer = api.try_spawn("true", **fields)
    assert answer.status == 201 or (answer.status, answer.code) == (400, "invalid_argument")
