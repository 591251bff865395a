# SPDX-License-Identifier: Apache-2.0
"""Attachments: their order, where they begin, and who has control."""

import contextlib
import os

import frames
import pytest
from commands import ROUND, big, cat, writer, written
from conftest import wait_for
from frames import Refused, Start, Stream, Type, error_of, exit_of, read_all, types, u64

pytestmark = pytest.mark.shared

# --- the order of things -------------------------------------------------------------------------


def test_what_is_said_comes_in_its_order(api):
    session = api.sh("read x; echo out; exit 3", stdin="pipe")
    with api.attach(session) as client:
        assert client.session == session["id"] and client.token != bytes(16)
        client.input(0, b"\n")
        received = client.rest()
    assert client.starts == {
        Stream.STDOUT: Start(0, 0),
        Stream.STDERR: Start(0, 0),
        Stream.STDIN: 0,
    }
    kinds = [kind for kind in types(received) if kind != Type.ACCEPTED]
    assert kinds == [Type.OUTPUT, Type.EXIT, Type.ENDED]
    assert frames.output(received) == b"out\n"
    assert exit_of(received[-2]) == (True, 3, frames.NATURAL, 1)
    assert received[-1].payload == bytes([frames.SESSION_EXITED])


def test_both_streams_come_apart(api):
    session = api.sh("echo out; echo err >&2; read x", stdin="pipe")
    api.wait(session, timeout="1ms")
    with api.attach(session) as client:
        client.send(Type.EOF, Stream.STDIN)
        received = client.rest()
    assert frames.output(received, Stream.STDOUT) == b"out\n"
    assert frames.output(received, Stream.STDERR) == b"err\n"


def test_a_session_that_has_ended_gives_its_output_its_exit_and_its_end(api):
    session = api.sh("echo out; kill -TERM $$")
    api.ended(session)
    for _ in range(2):
        with api.attach(session, from_="start") as client:
            assert read_all(client, ack=False) == (
                b"out\n", (True, -15, frames.NATURAL, 2), frames.SESSION_EXITED,
            )  # fmt: skip


def test_the_exit_comes_before_what_descendants_write_and_the_end_after_it(api, reeve):
    os.mkfifo(reeve.home / "fifo")
    session = api.sh("(read x <fifo; echo later) & echo now; exit 6", leftovers="keep")
    with api.attach(session) as client:
        received = client.until(Type.EXIT)
        assert exit_of(received[-1]).code == 6 and frames.output(received) == b"now\n"
        (reeve.home / "fifo").write_text("\n")
        received = client.rest()
    assert types(received) == [Type.OUTPUT, Type.ENDED]
    assert frames.output(received) == b"later\n"


def test_a_stopped_session_tells_how_it_was_ended(api):
    session = api.spawn("sleep", "1000")
    with api.attach(session) as client:
        api.stop(session, plan="KILL")
        received = client.rest()
    assert exit_of(received[0]) == (True, -9, frames.HARD, 3)


def test_a_removed_session_is_terminated(api):
    session = api.spawn("true")
    api.wait(session)
    held = api.sh("sleep 1000 & exit 0", leftovers="keep")
    with api.attach(held) as client:
        client.until(Type.EXIT)
        api.delete(api.path_of(held, force="true"))
        last = client.rest()[-1]
    assert last.type == Type.ENDED
    assert last.payload[0] in (frames.TERMINATED, frames.SESSION_EXITED)


# --- where it begins -----------------------------------------------------------------------------


def test_the_first_client_gets_all_that_is_kept_and_the_next_what_was_not_acknowledged(api):
    session = cat(api)
    api.stdin(session, b"one\ntwo\n")
    with api.attach(session) as client:
        assert client.read_output(8) == b"one\ntwo\n"
        client.ack(Stream.STDOUT, 4)
        client.send(Type.DETACH)
        client.until(Type.ENDED)
    with api.attach(session) as client:
        assert client.read_output(4) == b"two\n"
        assert client.starts[Stream.STDOUT] == Start(4, 0)


@pytest.mark.parametrize(
    "place, start", [("start", 0), ("now", 8), ("3", 3), ("8", 8), ("delivered", 4), (None, 4)]
)
def test_a_client_says_where_it_begins(api, place, start):
    session = cat(api)
    api.stdin(session, b"one\ntwo\n")
    with api.attach(session) as client:
        client.read_output(8)
        client.ack(Stream.STDOUT, 4)
        client.send(Type.DETACH)
        client.rest()
    with api.attach(session, from_=place) as client:
        api.stdin(session, b"more")
        data = client.read_output(12 - start)
        assert client.starts[Stream.STDOUT].offset == start
    assert data == b"one\ntwo\nmore"[start:]


def test_each_stream_can_begin_elsewhere(api):
    session = api.sh("echo out; echo err >&2; exec sleep 1000")
    wait_for(lambda: len(api.raw(session)) == 8, what="both lines")
    query = {"from.stdout": "now", "from.stderr": "1"}
    with api.attach(session, from_="start", **query) as client:
        assert client.read_output(3) == b"rr\n"
        assert client.starts[Stream.STDOUT].offset == 4


def test_a_place_that_is_overwritten_tells_how_much_is_gone(api):
    session = api.spawn(*writer(3 * ROUND))
    api.ended(session)
    with api.attach(session, from_="1000", streams="stdout") as client:
        data, _, _ = read_all(client, ack=False)
        assert client.starts[Stream.STDOUT] == Start(2 * ROUND, 2 * ROUND - 1000)
    assert data == big(3 * ROUND)[2 * ROUND :]


def test_only_the_streams_that_are_asked_for_come(api):
    session = api.sh("echo out; echo err >&2")
    api.ended(session)
    with api.attach(session, streams="stderr", from_="start") as client:
        received = client.rest()
    assert frames.output(received) == b"err\n" and Stream.STDOUT not in client.starts
    with api.attach(session, streams="stdout,stderr", from_="start") as client:
        assert len(frames.output(client.rest())) == 8


# --- who has control -----------------------------------------------------------------------------


def test_a_second_client_is_refused_and_told_who_has_it(api):
    session = cat(api)
    with api.attach(session):
        with pytest.raises(Refused) as refused:
            api.attach(session)
        assert refused.value.status == 409
        assert refused.value.error["code"] == "already_attached"
        message = refused.value.error["message"]
        assert f"PID {os.getpid()}" in message
        assert "--steal" in message and "--read-only" in message
        assert api.show(session)["attached"] is True


def test_a_client_that_detached_makes_room(api):
    session = cat(api)
    with api.attach(session) as client:
        client.send(Type.DETACH)
        received = client.rest()
        assert types(received) == [Type.ENDED] and received[0].payload[0] == frames.DETACHED
    with api.attach(session):
        pass
    assert api.show(session)["status"] == "running"


def test_a_client_that_was_lost_makes_room_where_nobody_waits_for_it(api):
    session = cat(api)
    for _ in range(3):
        api.attach(session).close()
        wait_for(lambda: not api.show(session)["attached"], what="the news of its end")


def test_a_lost_client_for_whom_output_waits_keeps_its_place_for_a_while(api):
    session = cat(api)
    client = api.attach(session, mode="block")
    token = client.token.hex()
    client.close()
    wait_for(lambda: not api.show(session)["attached"], what="the news of its end")
    with pytest.raises(Refused) as refused:
        api.attach(session)
    assert refused.value.error["code"] == "already_attached"
    with api.attach(session, token=token) as client:
        assert client.token.hex() == token


def test_stealing_ends_the_other_client(api):
    session = cat(api)
    with api.attach(session) as first, api.attach(session, steal="true") as second:
        received = first.rest()
        assert types(received) == [Type.ENDED] and received[0].payload[0] == frames.STOLEN
        second.input(0, b"mine\n")
        assert frames.output(second.until(Type.OUTPUT)) == b"mine\n"


def test_a_stolen_token_is_worth_nothing(api):
    session = cat(api)
    with api.attach(session, mode="block") as first:
        with api.attach(session, steal="true", mode="block") as second:
            first.rest()
            with pytest.raises(Refused):
                api.attach(session, token=first.token.hex())
            second.input(0, b"x")
            second.until(Type.OUTPUT)


def test_the_same_token_takes_its_own_place_over(api):
    session = cat(api)
    with api.attach(session) as first, api.attach(session, token=first.token.hex()) as second:
        assert first.rest()[-1].type == Type.ENDED
        assert second.token == first.token
        second.input(0, b"x")
        assert frames.output(second.until(Type.OUTPUT)) == b"x"


def test_any_number_may_follow(api):
    session = cat(api)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(api.attach(session))]
        clients += [stack.enter_context(api.attach(session, readOnly="true")) for _ in range(10)]
        api.stdin(session, b"for all\n")
        for client in clients:
            assert client.read_output(8) == b"for all\n"
        assert all(client.token == bytes(16) for client in clients[1:])
        assert Stream.STDIN not in clients[1].starts


def test_a_follower_gets_all_that_is_kept_and_changes_nothing(api):
    session = cat(api)
    api.stdin(session, b"before\n")
    for _ in range(2):
        with api.attach(session, readOnly="true") as follower:
            assert follower.read_output(7) == b"before\n"
            follower.ack(Stream.STDOUT, 7)
    with api.attach(session) as client:
        assert client.read_output(7) == b"before\n"


@pytest.mark.parametrize(
    "kind, stream, payload",
    [(Type.INPUT, Stream.STDIN, u64(0) + b"x"), (Type.SIGNAL, Stream.NONE, b"\x0f")],
    ids=["type", "signal"],
)
def test_a_follower_can_neither_type_nor_signal(api, kind, stream, payload):
    session = cat(api)
    with api.attach(session, readOnly="true") as follower:
        follower.send(kind, stream, payload)
        received = follower.rest()
    assert error_of(received[0])[0] == 403
    assert api.show(session)["status"] == "running" and written(api, session) == 0


def test_the_end_of_a_follower_closes_nothing(api):
    session = cat(api)
    with api.attach(session, readOnly="true") as follower:
        follower.send(Type.EOF, Stream.STDIN)
        api.stdin(session, b"x")
        assert follower.read_output(1) == b"x"
    assert api.stdin(session, b"y").status == 200


def test_a_lost_socket_does_not_close_stdin(api):
    session = cat(api)
    with api.attach(session) as client:
        client.input(0, b"one\n")
        client.until(Type.OUTPUT)
    with api.attach(session, from_="now") as client:
        client.input(4, b"two\n")
        assert frames.output(client.until(Type.OUTPUT)) == b"two\n"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"streams": "pty"}, {"streams": "stdout,nonsense"}, {"streams": "stdin"}, {"from_": "end"},
        {"from_": "-1"}, {"from.stdout": "x"}, {"mode": "fast"}, {"steal": "maybe"},
        {"readOnly": "2"}, {"token": "xyz"}, {"token": "0" * 32}, {"token": "ab"},
        {"readOnly": "true", "mode": "block"}, {"colour": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(api, query):
    session = cat(api)
    with pytest.raises(Refused) as refused:
        api.attach(session, **query)
    assert refused.value.status == 400 and refused.value.error["code"] == "invalid_argument"
    with api.attach(session):
        pass


def test_a_stream_that_was_merged_is_not_available(api):
    session = cat(api, mergeStderr=True)
    with pytest.raises(Refused) as refused:
        api.attach(session, streams="stderr")
    assert refused.value.error["code"] == "stream_unavailable"
    with api.attach(session) as client:
        client.send(Type.DETACH)
        client.rest()
        assert Stream.STDERR not in client.starts


def test_a_request_without_the_upgrade_is_told_so_and_takes_nobodys_place(api):
    session = cat(api)
    path = api.path_of(session, "/attach")
    answer = api.get(path)
    assert (answer.status, answer.code) == (426, "invalid_argument")
    assert answer.headers["Upgrade"] == "reeve-attach/1"
    for headers in (
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Upgrade": "reeve-attach/1"},
    ):
        assert api.get(path, headers=headers).status in (400, 426)
    with api.attach(session, mode="block") as client:
        assert api.get(api.path_of(session, "/attach", steal="true")).status == 426
        client.input(0, b"still mine")
        assert frames.output(client.until(Type.OUTPUT)) == b"still mine"


def test_many_attachments_come_and_go(api):
    session = cat(api)
    for i in range(100):
        with api.attach(session, from_="now") as client:
            client.input(i, b"x")
            client.until(Type.OUTPUT)
            client.send(Type.DETACH)
            client.rest()
    assert api.raw(session) == b"x" * 100
