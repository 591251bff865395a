# SPDX-License-Identifier: Apache-2.0
"""Clients with much output read it from the rings' memory, which the daemon lends to them."""

import contextlib
import mmap
import os
import pathlib
import select
import signal
import socket
import struct
import threading

import pytest
from commands import ROUND, big, written
from conftest import stat_fields, wait_for
from frames import SESSION_EXITED, Attachment, Stream, Type, connected, exit_of, types, u64_of

pytestmark = pytest.mark.shared

TOKEN = "00112233445566778899aabbccddeeff"
BLOCK = {"token": TOKEN, "mode": "block"}
PIECE = 1 << 16


def writer(n, streams=1):
    """Writes the same n bytes to each of its first streams, in turns."""
    script = (
        f"import os\n"
        f"data = b''.join(b'%07d\\n' % i for i in range({n} // 8 + 1))[:{n}]\n"
        f"for at in range(0, {n}, {PIECE}):\n"
        f"    for fd in range(1, {streams} + 1):\n"
        f"        left = data[at : at + {PIECE}]\n"
        f"        while left:\n"
        f"            left = left[os.write(fd, left) :]\n"
    )
    return ("/usr/bin/python3", "-c", script)


class Reader(Attachment):
    """Takes output as it comes, first in frames and then from the rings."""

    def __init__(self, *args, **kw):
        self.fd, self.map, self.rings = -1, None, {}
        self.data = {Stream.STDOUT: b"", Stream.STDERR: b"", Stream.PTY: b""}
        super().__init__(*args, **kw)

    def close(self):
        super().close()
        if self.map:
            self.map.close()
        if self.fd >= 0:
            os.close(self.fd)

    def more(self):
        data, fds, _, _ = socket.recv_fds(self.sock, 1 << 18, 1)
        if fds:
            assert self.fd < 0, "it comes once"
            self.fd = fds[0]
            self.map = mmap.mmap(self.fd, os.fstat(self.fd).st_size, prot=mmap.PROT_READ)
        self.buffer += data
        return bool(data)

    def ring(self, stream, at, end):
        """Bytes of a stream, from where they are in the memory."""
        place, size, _ = self.rings[stream]
        first, n = at % size, end - at
        assert n <= size, "more than the ring holds"
        memory = self.map[place : place + size]
        return (memory[first:] + memory[:first])[:n]

    def notice(self, stream):
        """The first byte that is not about to be overwritten."""
        (word,) = struct.unpack_from("<Q", self.map, self.rings[stream][2])
        assert word > 0, "it is lent"
        return word - 1

    def take(self):
        """The next frame; what it says of output is done."""
        frame = self.next()
        if frame is None:
            return None
        if frame.type == Type.OUTPUT:
            assert frame.stream not in self.rings
            self.data[frame.stream] += frame.payload
        elif frame.type == Type.MEMORY:
            assert self.map, "the file comes with the frame"
            self.rings[frame.stream] = struct.unpack("<QQQ", frame.payload)
        elif frame.type == Type.WRITTEN:
            at = len(self.data[frame.stream])
            assert u64_of(frame) > at
            self.data[frame.stream] += self.ring(frame.stream, at, u64_of(frame))
            assert self.notice(frame.stream) <= at
        return frame

    def take_and_ack(self):
        frame = self.take()
        if frame and frame.type in (Type.OUTPUT, Type.WRITTEN):
            self.ack(frame.stream, len(self.data[frame.stream]))
        return frame

    def take_until_lent(self):
        while not self.rings:
            assert self.take_and_ack() is not None
        return self


def borrower(api, session, **query):
    return api.attach(session, kind=Reader, memory=True, **query)


@pytest.mark.parametrize("streams", [1, 2])
def test_much_output_is_read_from_rings_that_turn(api, streams):
    size = 6 * ROUND
    session = api.spawn(*writer(size, streams), attach=BLOCK)
    with borrower(api, session, **BLOCK) as client:
        received = []
        while frame := client.take_and_ack():
            received.append(frame)
        expected = big(size)
        assert client.data[Stream.STDOUT] == expected
        assert client.data[Stream.STDERR] == (expected if streams == 2 else b"")
        assert set(client.rings) == {Stream.STDOUT, Stream.STDERR}
    assert types(received[-2:]) == [Type.EXIT, Type.ENDED]
    assert exit_of(received[-2]).code == 0 and received[-1].payload[0] == SESSION_EXITED


def test_the_end_waits_until_all_was_read(api):
    session = api.spawn(*writer(2 * ROUND), attach=BLOCK)
    with borrower(api, session, **BLOCK) as client:
        client.take_until_lent()
        while (frame := client.take()).type != Type.EXIT:
            if frame.type == Type.WRITTEN and len(client.data[Stream.STDOUT]) < 2 * ROUND:
                client.ack(frame.stream, len(client.data[frame.stream]))
        assert exit_of(frame).code == 0 and client.data[Stream.STDOUT] == big(2 * ROUND)
        wait_for(lambda: api.show(session)["status"] == "exited")
        assert api.show(session)["attached"], "who reads the ring has its place there"
        client.ack(Stream.STDOUT, 2 * ROUND)
        assert types(client.rest()) == [Type.ENDED]


def test_what_is_lent_can_be_read_only(api):
    session = api.spawn(*writer(2 * ROUND), attach=BLOCK)
    with borrower(api, session, **BLOCK) as client:
        client.take_until_lent()
        with pytest.raises(PermissionError):
            mmap.mmap(client.fd, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        with pytest.raises(OSError):
            os.pwrite(client.fd, b"x", client.rings[Stream.STDOUT][0])
        with pytest.raises(OSError):
            os.ftruncate(client.fd, 0)
        client.send(Type.DETACH)
        client.until(Type.ENDED)


@pytest.mark.parametrize(
    "fields, query",
    [
        ({}, {"memory": False, **BLOCK}),
        ({}, {"token": TOKEN, "mode": "drop-oldest"}),
        ({}, {"mode": "drop-oldest", "readOnly": "true"}),
        ({"kind": "pty"}, BLOCK),
    ],
    ids=["not-asked-for", "drop-oldest", "read-only", "terminal"],
)
def test_other_clients_get_their_output_in_frames(api, fields, query):
    session = api.spawn(*writer(ROUND), backlogBytes=4 * ROUND, **fields)
    with api.attach(session, kind=Reader, **{"memory": True, **query}) as client:
        received = []
        while not received or received[-1].type != Type.EXIT:
            received.append(client.take_and_ack())
        assert client.fd < 0 and not {Type.MEMORY, Type.WRITTEN} & set(types(received))
        assert sum(map(len, client.data.values())) >= ROUND


def test_no_more_than_a_megabyte_is_lent_without_an_acknowledgement(api):
    size = 4 * ROUND
    session = api.spawn(*writer(size), attach=BLOCK, backlogBytes=size)
    with borrower(api, session, **BLOCK) as client:
        client.take_until_lent()
        wait_for(lambda: written(api, session) == size, what="all output in the ring")
        acked = len(client.data[Stream.STDOUT])
        while len(client.data[Stream.STDOUT]) < acked + ROUND:
            client.take()
            assert len(client.data[Stream.STDOUT]) <= acked + ROUND
        api.show(session)
        assert not select.select([client.sock], [], [], 0)[0], "more has come"
        client.ack(Stream.STDOUT, acked + ROUND)
        while client.take_and_ack().type != Type.EXIT:
            pass
        assert client.data[Stream.STDOUT] == big(size)


def test_who_has_lost_its_place_can_tell_what_is_overwritten(api):
    size = 8 * ROUND
    session = api.spawn(*writer(size), attach=BLOCK)
    with borrower(api, session, **BLOCK) as client:
        client.take_until_lent()
        acked = len(client.data[Stream.STDOUT])
        wait_for(lambda: written(api, session) == acked + ROUND, what="a full ring")
        assert client.notice(Stream.STDOUT) <= acked
        assert client.ring(Stream.STDOUT, acked, acked + ROUND) == big(acked + ROUND)[acked:]
        with api.attach(session, steal="true", mode="drop-oldest"):
            wait_for(lambda: written(api, session) == size, what="the end of the output")
        whole = client.notice(Stream.STDOUT)
        assert size - ROUND <= whole <= size
        assert client.ring(Stream.STDOUT, whole, size) == big(size)[whole:]


# --- reeve run -----------------------------------------------------------------------------------


def maps_rings(client):
    return "memfd:reeve-session" in pathlib.Path(f"/proc/{client.pid}/maps").read_text()


def read_until(client, condition):
    data = b""
    while not condition(data):
        piece = client.stdout.read1(PIECE)
        assert piece, "the output has ended before"
        data += piece
    return data


def test_a_slow_reader_of_the_rings_loses_nothing_though_engines_die(reeve):
    size, kills = 24 * ROUND, 5
    client = reeve.popen("run", "--", *writer(size))
    data = read_until(client, lambda _: maps_rings(client))
    for _ in range(kills):
        data += read_until(client, lambda some: len(some) >= size // (kills + 2))
        reeve.kill_engine()
    data += client.stdout.read()
    assert client.wait(60) == 0 and data == big(size)


def test_all_that_was_overwritten_is_told_in_one_line(reeve):
    first, pieces = 3 * ROUND, 8
    fifo = reeve.dir / "fifo"
    os.mkfifo(fifo)
    script = (
        f"import os\n"
        f"for line in open({str(fifo)!r}):\n"
        f"    left = int(line)\n"
        f"    while left:\n"
        f"        left -= os.write(1, bytes(left))\n"
    )
    client = reeve.popen("run", "--name", "job", "--", "/usr/bin/python3", "-c", script)
    with open(fifo, "w", buffering=1) as go:
        api, end = reeve.api, first
        session = reeve.json("inspect", "job")["id"]
        go.write(f"{first}\n")
        read_until(client, lambda data: len(data) == first)
        assert maps_rings(client)
        client.send_signal(signal.SIGSTOP)
        wait_for(lambda: stat_fields(client.pid)[0] == "T", what="the stop of the client")
        for _ in range(pieces):
            go.write(f"{PIECE // pieces}\n")
            end += PIECE // pieces
            wait_for(lambda: written(api, session) == end, what="a piece more")
        with api.attach(session, steal="true", mode="drop-oldest"):
            go.write(f"{2 * ROUND}\n")
            wait_for(lambda: written(api, session) == end + 2 * ROUND, what="a ring that turns")
    client.send_signal(signal.SIGCONT)
    assert client.communicate(timeout=60) == (
        b"",
        b"reeve: %d bytes of stdout are gone\nreeve: %s: another client has taken over\n"
        % (PIECE, session.encode()),
    )
    assert client.returncode == 1


class Forwarder(threading.Thread):
    """Passes bytes on between a socket of its own and the daemon's, but no descriptors."""

    def __init__(self, path, to):
        super().__init__(daemon=True)
        self.to, self.requests = to, []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.start()

    def run(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self.listener.accept()
                far = connected(self.to, 60)
                threading.Thread(target=self.up, args=(near, far), daemon=True).start()
                threading.Thread(target=self.down, args=(far, near), daemon=True).start()

    def up(self, near, far):
        def note(data):
            if b"/attach?" in data:
                self.requests.append(data)

        self.down(near, far, note)

    def down(self, source, target, note=None):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                if note:
                    note(data)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def test_where_no_descriptor_comes_through_output_comes_in_frames(reeve):
    other = reeve.dir / "other"
    other.mkdir()
    forwarder = Forwarder(other / "api.sock", reeve.start()["socket"])
    client = reeve.popen("run", "--", *writer(6 * ROUND), env={"REEVE_DIR": str(other)})
    assert client.communicate(timeout=60) == (big(6 * ROUND), b"") and client.returncode == 0
    assert [b"Reeve-Memory" in request for request in forwarder.requests] == [True, False]
    forwarder.listener.close()
