# SPDX-License-Identifier: Apache-2.0
"""What passes through an attachment: input, output that waits or is dropped, and nonsense."""

import select
import signal
import struct
import threading

import frames
import pytest
from commands import ROUND, big, cat, signal_teller, writer, written
from conftest import alive, wait_for
from frames import Start, Stream, Type, encode, error_of, exit_of, read_all, types, u64, u64_of

pytestmark = pytest.mark.shared

WINDOW = 64 * 1024
TOKEN = "00112233445566778899aabbccddeeff"


# --- input ---------------------------------------------------------------------------------------


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


def test_no_offset_stands_for_wherever_the_input_is(api):
    for offset in (2**64 - 1, 2**64 - 2, 2**63):
        session = cat(api)
        with api.attach(session) as client:
            client.input(offset, b"x")
            status, _ = error_of(client.rest()[-1])
        assert status == 409
        assert api.stdin(session, b"y", at=0).status == 200, "nothing was typed before"


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


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, -15), (signal.SIGKILL, -9), (10, -10)])
def test_signals_are_passed_on(api, number, code):
    session = api.spawn("sleep", "1000")
    with api.attach(session) as client:
        client.signal(number)
        assert exit_of(client.until(Type.EXIT)[-1]).code == code


def test_a_numbered_signal_that_comes_again_is_passed_over(api):
    session = signal_teller(api)
    with api.attach(session, numbered=True) as client:
        assert client.read_output(6) == b"ready\n"
        assert client.starts[Stream.NONE] == 0
        client.signal(signal.SIGUSR1, 1)
        client.signal(signal.SIGUSR1, 1)
        assert client.read_output(8) == b"SIGUSR1\n"
        client.signal(signal.SIGUSR1, 1)
        client.signal(signal.SIGINT, 2)
        assert client.read_output(7) == b"SIGINT\n"
    with api.attach(session, numbered=True, from_="now") as client:
        # What others send moves no number.
        api.kill(session, "CONT")
        assert client.read_output(8) == b"SIGCONT\n"
        assert client.starts[Stream.NONE] == 2
        client.signal(signal.SIGINT, 2)
        client.signal(signal.SIGUSR2, 3)
        assert read_all(client)[0] == b"SIGUSR2\n"


def test_a_client_that_numbers_no_signals_is_told_of_no_numbers(api):
    with api.attach(signal_teller(api)) as client:
        assert client.read_output(6) == b"ready\n"
        assert Stream.NONE not in client.starts
        for _ in range(2):
            client.signal(signal.SIGUSR1)
            assert client.read_output(8) == b"SIGUSR1\n"
        client.signal(signal.SIGUSR2)
        assert read_all(client)[0] == b"SIGUSR2\n"


def test_a_gap_in_the_signals_is_an_error(api):
    session = signal_teller(api)
    with api.attach(session, numbered=True) as client:
        client.signal(signal.SIGUSR1, 2)
        assert error_of(client.rest()[-1])[0] == 409
    with api.attach(session, numbered=True) as client:
        client.signal(signal.SIGUSR2, 1)
        assert read_all(client)[0] == b"ready\nSIGUSR2\n"


def test_a_flood_of_signals_loses_none_of_a_kind(api):
    session = signal_teller(api)
    with api.attach(session) as client:
        flood = encode(Type.SIGNAL, payload=b"\x0a") + encode(Type.SIGNAL, payload=b"\x12")
        client.sock.sendall(flood * 5000 + encode(Type.SIGNAL, payload=b"\x0f"))
        seen = client.until(Type.OUTPUT)[-1].payload
        while b"SIGTERM" not in seen:
            frame = client.next()
            seen += frame.payload if frame.type == Type.OUTPUT else b""
        client.signal(signal.SIGUSR2)
        assert exit_of(client.until(Type.EXIT)[-1]).code == 0


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


# --- backpressure --------------------------------------------------------------------------------


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


@pytest.fixture
def stalled(api):
    """A command, named `stalled`, that writes to a client that does not read."""
    attach = {"token": TOKEN, "mode": "block"}
    session = api.spawn(*writer(6 * ROUND), attach=attach, name="stalled")
    with api.attach(session, token=TOKEN, mode="block", streams="stdout") as client:
        wait_for(lambda: written(api, session) == ROUND, what="a full ring")
        yield session, client


@pytest.mark.parametrize("many", [False, True])
def test_a_stop_waits_for_the_processes_and_not_for_a_client_that_does_not_read(
    api, stalled, many
):
    session, client = stalled
    body = {} if many else {"reason": "late"}
    answer = api.post("/v1/sessions/stop" if many else api.path_of(session, "/stop"), body)
    assert answer.status == 200 and not alive(session["pid"])
    assert api.show(session)["status"] == "stopping", "its end comes behind its last byte"
    assert api.post(api.path_of(session, "/stop"), {}).json["stopped"] is False
    rest = b""
    while (frame := client.next()).type == Type.OUTPUT:
        rest += frame.payload
        client.ack(Stream.STDOUT, len(rest))
    assert ROUND <= len(rest) < 6 * ROUND and rest == big(len(rest))
    assert exit_of(frame).code == -15
    assert api.show(session)["status"] == "stopped"


@pytest.mark.parametrize("how", ["remove", "replace"])
def test_a_client_that_does_not_read_is_sent_away_where_its_session_is_to_go(api, stalled, how):
    session, client = stalled
    if how == "remove":
        assert api.delete(api.path_of(session, force="true")).status == 200
        assert api.get(api.path_of(session)).status == 404
    else:
        other = api.spawn("sleep", "1000", name="stalled", replace=True)
        assert api.show("stalled")["id"] == other["id"]
        assert api.show(session)["status"] == "stopped"
    assert client.rest()[-1].type == Type.ENDED


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


# --- what is no protocol -------------------------------------------------------------------------


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
