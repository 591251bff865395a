# SPDX-License-Identifier: Apache-2.0
"""Attachments: output from one's own place, input by offset, and who has control."""

import contextlib
import os
import select
import signal
import struct
import threading

import frames
import pytest
from conftest import wait_for
from frames import Refused, Start, Stream, Type, encode, error_of, exit_of, u64, u64_of

ROUND = 1 << 20
WINDOW = 64 * 1024
TOKEN = "00112233445566778899aabbccddeeff"


def big(n):
    """n bytes in which each place can be told from any other."""
    return b"".join(b"%07d\n" % i for i in range(n // 8 + 1))[:n]


def writer(n, then=""):
    script = (
        f"import sys, time\n"
        f"sys.stdout.buffer.write(b''.join(b'%07d\\n' % i for i in range({n} // 8 + 1))[:{n}])\n"
        f"sys.stdout.flush()\n{then}"
    )
    return ("/usr/bin/python3", "-c", script)


def cat(api, **fields):
    return api.spawn("cat", stdin="pipe", **fields)


def written(api, session, stream="stdout"):
    return api.show(session)["streams"][stream]["written"]


def types(received):
    return [frame.type for frame in received]


def read_all(client, ack=True):
    """Everything to the end, acknowledged; checks the order EXIT, ENDED. (output, exit, reason)"""
    data, end = b"", None
    while True:
        frame = client.next()
        assert frame is not None, "the connection ended without ENDED"
        if frame.type == Type.OUTPUT:
            data += frame.payload
            if ack:
                client.ack(frame.stream, client.starts[frame.stream].offset + len(data))
        elif frame.type == Type.EXIT:
            end = exit_of(frame)
        elif frame.type == Type.ENDED:
            assert client.next() is None, "something came after ENDED"
            return data, end, frame.payload[0]
        else:
            assert frame.type == Type.ACCEPTED, frame


# --- the order of things ------------------------------------------------------------------------------


def test_what_is_said_comes_in_its_order(api):
    session = api.sh("read x; echo out; exit 3", stdin="pipe")
    with api.attach(session) as client:
        assert client.session == session["id"] and client.token != bytes(16)
        client.input(0, b"\n")
        received = client.rest()
    assert client.starts == {Stream.STDOUT: Start(0, 0), Stream.STDERR: Start(0, 0), Stream.STDIN: 0}
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


# --- where it begins ------------------------------------------------------------------------------------


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


@pytest.mark.shared
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


# --- who has control ------------------------------------------------------------------------------------


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


@pytest.mark.shared
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


# --- input --------------------------------------------------------------------------------------------


def test_input_is_taken_by_offset_and_duplicates_are_passed_over(api):
    session = cat(api)
    with api.attach(session) as client:
        client.input(0, b"hello ")
        client.input(0, b"hello ")
        client.input(3, b"lo world\n")
        client.send(Type.EOF, Stream.STDIN)
        received = client.rest()
    assert frames.output(received) == b"hello world\n"
    assert [u64_of(f) for f in received if f.type == Type.ACCEPTED][-1] == 12


def test_input_goes_on_exactly_after_a_lost_connection(api):
    session = cat(api)
    client = api.attach(session)
    token = client.token.hex()
    client.input(0, b"abc")
    client.until(Type.ACCEPTED)
    client.close()
    with api.attach(session, token=token) as client:
        client.input(0, b"abcdef")
        client.send(Type.EOF, Stream.STDIN)
        received = client.rest()
        assert client.starts[Stream.STDIN] == 3
    assert frames.output(received) == b"abcdef"


def test_a_gap_in_the_input_is_an_error(api):
    session = cat(api)
    with api.attach(session) as client:
        client.input(5, b"x")
        received = client.rest()
    status, text = error_of(received[-1])
    assert status == 409 and "0" in text
    assert api.show(session)["status"] == "running"


def test_every_byte_of_a_long_input_arrives(api):
    data = big(ROUND)
    session = cat(api, backlogBytes=2 * ROUND)
    with api.attach(session, mode="block") as client:
        sent = accepted = 0
        received = b""
        while len(received) < len(data):
            if sent < len(data) and sent - accepted < WINDOW:
                n = min(WINDOW - (sent - accepted), len(data) - sent)
                client.input(sent, data[sent : sent + n])
                sent += n
                continue
            frame = client.next()
            if frame.type == Type.ACCEPTED:
                assert accepted < u64_of(frame) <= sent
                accepted = u64_of(frame)
            else:
                received += frame.payload
                client.ack(frame.stream, len(received))
    assert received == data


def test_control_frames_do_not_wait_behind_input_that_is_not_read(api):
    session = api.spawn("sleep", "1000", stdin="pipe")
    with api.attach(session) as client:
        client.input(0, b"x" * WINDOW)
        client.signal(signal.SIGTERM)
        received = client.rest()
    assert exit_of(received[-2]) == (True, -15, frames.SOFT, 2)


def test_input_beyond_what_can_be_taken_waits_and_is_not_lost(api):
    session = api.sh("read go; exec cat", stdin="pipe", backlogBytes=ROUND)
    data = b"go\n" + big(300_000)
    with api.attach(session, mode="block") as client:

        def send_all_at_once():
            for at in range(0, len(data), 10_000):
                client.input(at, data[at : at + 10_000])
            client.send(Type.EOF, Stream.STDIN)

        thread = threading.Thread(target=send_all_at_once)
        thread.start()
        received = b""
        while len(received) < len(data) - 3:
            frame = client.next()
            assert frame.type in (Type.OUTPUT, Type.ACCEPTED), frame
            if frame.type == Type.OUTPUT:
                received += frame.payload
        thread.join()
    assert received == data[3:]


def test_end_of_file_is_passed_on(api):
    session = cat(api)
    with api.attach(session) as client:
        client.send(Type.EOF, Stream.STDIN)
        assert exit_of(client.until(Type.EXIT)[-1]).code == 0
    assert api.stdin(session, b"x").code == "stdin_closed"


def test_input_for_a_command_without_stdin_is_no_error(api):
    session = api.spawn("sleep", "1000")
    with api.attach(session) as client:
        client.input(0, b"ignored")
        client.signal(signal.SIGTERM)
        received = client.rest()
    assert types(received) == [Type.EXIT, Type.ENDED] and exit_of(received[0]).code == -15


@pytest.mark.shared
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, -15), (signal.SIGKILL, -9), (10, -10)])
def test_signals_are_passed_on(api, number, code):
    session = api.spawn("sleep", "1000")
    with api.attach(session) as client:
        client.signal(number)
        assert exit_of(client.until(Type.EXIT)[-1]).code == code


@pytest.mark.shared
@pytest.mark.parametrize("number", [0, 65, 255])
def test_a_signal_that_there_is_not_is_an_error(api, number):
    session = api.spawn("sleep", "1000")
    with api.attach(session) as client:
        client.signal(number)
        assert error_of(client.rest()[-1])[0] == 400
    assert api.show(session)["status"] == "running"


def test_what_came_with_the_request_is_obeyed(api):
    session = cat(api)
    target = api.path_of(session, "/attach")
    extra = encode(Type.INPUT, Stream.STDIN, u64(0) + b"early") + encode(Type.EOF, Stream.STDIN)
    with frames.Attachment(api.path, target, extra=extra) as client:
        assert read_all(client)[0] == b"early"


def test_a_window_size_is_nothing_to_a_session_without_a_terminal(api):
    session = cat(api)
    with api.attach(session) as client:
        client.send(Type.RESIZE, Stream.NONE, struct.pack("<HH", 24, 80))
        client.input(0, b"x")
        assert frames.output(client.until(Type.OUTPUT)) == b"x"


# --- backpressure -----------------------------------------------------------------------------------------


def test_a_client_registered_at_the_start_misses_nothing(api):
    size = 5 * ROUND
    session = api.spawn(*writer(size), attach={"token": TOKEN, "mode": "block"})
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        data, end, reason = read_all(client)
        assert client.starts[Stream.STDOUT] == Start(0, 0)
    assert data == big(size) and end.code == 0 and reason == frames.SESSION_EXITED


def test_output_waits_for_a_client_that_blocks_and_nobody_else_does(api):
    size = 6 * ROUND
    session = api.spawn(*writer(size), attach={"token": TOKEN, "mode": "block"})
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        first = client.read_output(ROUND)
        assert len(first) == ROUND, "more than a megabyte is out without an acknowledgement"
        wait_for(lambda: written(api, session) == ROUND, what="a full ring")
        other = api.sh("echo hello")
        api.wait(other)
        assert api.raw(other) == b"hello\n"
        assert written(api, session) == ROUND and api.show(session)["status"] == "running"
        client.ack(Stream.STDOUT, ROUND)
        rest = b""
        while len(rest) < size - ROUND:
            frame = client.next()
            assert frame.type == Type.OUTPUT, frame
            rest += frame.payload
            client.ack(Stream.STDOUT, ROUND + len(rest))
        assert exit_of(client.until(Type.EXIT)[-1]).code == 0
    assert first + rest == big(size)


def test_no_more_than_a_megabyte_is_out_without_an_acknowledgement(api):
    size = 3 * ROUND
    attach = {"token": TOKEN, "mode": "block"}
    session = api.spawn(*writer(size), attach=attach, backlogBytes=4 * ROUND)
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        assert len(client.read_output(ROUND)) == ROUND
        wait_for(lambda: written(api, session) == size, what="all output in the ring")
        assert not select.select([client.sock], [], [], 0)[0], "more has come"
        client.ack(Stream.STDOUT, ROUND // 2)
        assert len(client.read_output(ROUND // 2)) == ROUND // 2
        api.show(session)
        assert not select.select([client.sock], [], [], 0)[0], "more has come"


def test_a_client_that_blocks_and_detaches_lets_the_command_go_on(api):
    session = api.spawn(*writer(6 * ROUND), attach={"token": TOKEN, "mode": "block"})
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        client.read_output(ROUND)
        client.send(Type.DETACH)
        client.until(Type.ENDED)
    assert api.wait(session)["exitCode"] == 0


def test_a_blocking_client_comes_back_to_its_place(api):
    size = 4 * ROUND
    command = writer(size, "time.sleep(1000)")
    session = api.spawn(*command, attach={"token": TOKEN, "mode": "block"})
    data = b""
    while len(data) < size:
        with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
            frame = client.next()
            assert client.starts[Stream.STDOUT] == Start(len(data), 0)
            data += frame.payload
            client.ack(Stream.STDOUT, len(data))  # what comes behind it is lost with the connection
        wait_for(lambda: not api.show(session)["attached"])
    assert data == big(size)


def test_a_blocking_client_survives_the_engine(reeve, api):
    size = 4 * ROUND
    session = api.spawn(*writer(size), attach={"token": TOKEN, "mode": "block"})
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        data = client.read_output(ROUND // 2)
        client.ack(Stream.STDOUT, len(data))
        wait_for(lambda: written(api, session) > len(data))
        reeve.kill_engine()
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        rest, end, _ = read_all(client)
        assert client.starts[Stream.STDOUT] == Start(len(data), 0)
    assert data + rest == big(size) and end.code == 0


def test_a_slow_client_loses_the_oldest_output_and_knows_how_much(api):
    size, kept = 4 * ROUND, ROUND // 16
    session = api.spawn(*writer(size), backlogBytes=kept)
    with api.attach(session, streams="stdout", from_="start") as client:
        api.wait(session)  # it does not read meanwhile
        data = big(size)
        at = None
        dropped = 0
        while (frame := client.next()).type != Type.EXIT:
            at = client.starts[Stream.STDOUT].offset if at is None else at
            if frame.type == Type.DROPPED:
                dropped += u64_of(frame)
                at += u64_of(frame)
            else:
                assert frame.payload == data[at : at + len(frame.payload)], f"at {at}"
                at += len(frame.payload)
    assert at == size and 0 < dropped <= size - kept


def test_a_client_that_does_not_read_holds_nobody_up(api):
    session = api.spawn("yes", backlogBytes=4096)
    with api.attach(session) as client:
        client.next()
        before = written(api, session)
        wait_for(lambda: written(api, session) > before + 20 * ROUND)


def test_what_a_client_said_before_it_died_counts(api):
    session = api.spawn("sh", "-c", "yes & exec cat >got", stdin="pipe", leftovers="keep")
    for i in range(20):
        with api.attach(session, streams="stdout", from_="start") as client:
            client.next()
            client.input(i, b"x")
        # Its output was still on its way to it; its input was not lost with that.
        wait_for(lambda: not api.show(session)["attached"])
        assert api.stdin(session, None).json["offset"] == i + 1


def test_the_wrong_acknowledgements_are_ignored(api):
    session = cat(api)
    api.stdin(session, b"12345678")
    with api.attach(session) as client:
        assert client.read_output(8) == b"12345678"
        client.ack(Stream.STDOUT, 1 << 60)
        client.ack(Stream.STDOUT, 5)
        client.ack(Stream.STDOUT, 2)
        client.ack(Stream.STDERR, 99)
        client.send(Type.DETACH)
        client.rest()
    with api.attach(session) as client:
        assert client.read_output(3) == b"678"


# --- what is no protocol --------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    "data",
    [
        encode(Type.OUTPUT, Stream.STDOUT, b"x"),  # not for a client to say
        encode(99),
        encode(Type.INPUT, 9, u64(0)),
        encode(Type.INPUT, Stream.STDOUT, u64(0)),
        encode(Type.INPUT, Stream.STDIN, b"short"),
        encode(Type.SIGNAL, Stream.NONE, b""),
        encode(Type.SIGNAL, Stream.NONE, b"\x0f\x0f"),
        encode(Type.ACK, Stream.STDIN, u64(0)),
        encode(Type.ACK, Stream.STDOUT, b"1234567"),
        encode(Type.DETACH, Stream.NONE, b"x"),
        encode(Type.RESIZE, Stream.NONE, b"\0\0"),
        struct.pack("<BBHI", Type.DETACH, 0, 1, 0),
        struct.pack("<BBHI", Type.INPUT, Stream.STDIN, 0, (1 << 20) + 1),
        struct.pack("<BBHI", Type.INPUT, Stream.STDIN, 0, 0xFFFFFFFF),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_no_frame_of_a_client_ends_the_connection(api, data):
    session = cat(api)
    with api.attach(session) as client:
        client.sock.sendall(data)
        received = client.rest()
    assert error_of(received[-1])[0] == 400
    assert api.show(session)["status"] == "running"
    with api.attach(session):
        pass


def test_a_client_that_dies_in_the_middle_of_a_frame_is_no_harm(api):
    session = cat(api)
    frame = encode(Type.INPUT, Stream.STDIN, u64(0) + b"half a frame")
    taken = 0
    for cut in (1, 7, 8, 12, 16, 20, len(frame) - 1):
        with api.attach(session) as client:
            client.sock.sendall(frame[:cut])
        taken = max(taken, cut - 16)
        wait_for(lambda: not api.show(session)["attached"])
    # Bytes of an INPUT count when they arrive: those that came were typed, and once.
    wait_for(lambda: api.raw(session) == b"half a frame"[:taken], what="the bytes that came")


def test_frames_may_come_byte_by_byte(api):
    session = cat(api)
    data = encode(Type.INPUT, Stream.STDIN, u64(0) + b"slow") + encode(Type.EOF, Stream.STDIN)
    with api.attach(session) as client:
        for i in range(len(data)):
            client.sock.sendall(data[i : i + 1])
        assert read_all(client)[0] == b"slow"


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.shared
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
    for headers in ({"Upgrade": "websocket", "Connection": "Upgrade"}, {"Upgrade": "reeve-attach/1"}):
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
