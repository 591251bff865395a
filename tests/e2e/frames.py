# SPDX-License-Identifier: Apache-2.0
"""A client of attachments: the upgrade, and the frames of reeve-attach/1 on a plain socket."""

import contextlib
import json
import socket
import struct
from collections import namedtuple
from enum import IntEnum

import openapi

HEADER = struct.Struct("<BBHI")
TIMEOUT = 60.0


class Type(IntEnum):
    HELLO, START, OUTPUT, DROPPED, EXIT, ENDED, ACCEPTED, ERROR, SCREEN, MEMORY, WRITTEN = range(11)
    INPUT, RESIZE, SIGNAL, DETACH, EOF, ACK = range(16, 22)


class Stream(IntEnum):
    NONE, STDOUT, STDERR, PTY, STDIN = range(5)


DETACHED, STOLEN, SESSION_EXITED, TERMINATED = range(1, 5)
NATURAL, SOFT, HARD = range(1, 4)

Frame = namedtuple("Frame", "type stream payload")
Start = namedtuple("Start", "offset dropped")
Exit = namedtuple("Exit", "known code outcome cause")


class Refused(Exception):
    """The answer to the request was not 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"{status} {body!r}")
        self.status, self.headers, self.error = status, headers, json.loads(body)["error"]


def encode(kind, stream=Stream.NONE, payload=b""):
    return HEADER.pack(kind, stream, 0, len(payload)) + payload


def u64(number):
    return struct.pack("<Q", number)


# Of who sends on while the other side answers and closes.
CLOSED = (BrokenPipeError, ConnectionResetError)


def connected(path, timeout):
    """A connection to a socket. Set beforehand, a timeout would have connect() fail at once while
    there is no room in the backlog."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    seconds = struct.pack("@ll", int(timeout), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    sock.settimeout(timeout)
    return sock


class Connection:
    """A socket that is read to the byte."""

    def __init__(self, path, timeout=TIMEOUT):
        self.sock = connected(path, timeout)
        self.buffer = b""

    def more(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def read(self, n):
        """Exactly n bytes, or None when the stream ends at once."""
        while len(self.buffer) < n:
            if not self.more():
                assert not self.buffer, f"cut off in the middle of {n} bytes: {self.buffer[:50]!r}"
                return None
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_head(self):
        """(status, headers) of an HTTP answer."""
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), f"no answer, only {self.buffer!r}"
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers

    def close(self):
        self.sock.close()


class Attachment(Connection):
    """Attached on return; `hello` and `starts` hold what the server said first."""

    def __init__(self, path, target, extra=b"", numbered=False, memory=False):
        super().__init__(path)
        header = "Reeve-Signals: numbered\r\n" if numbered else ""
        header += "Reeve-Memory: rings\r\n" if memory else ""
        self.sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{header}"
            "Upgrade: reeve-attach/1\r\n\r\n".encode() + extra
        )
        status, headers = self.read_head()
        if status != 101:
            body = self.read(int(headers["Content-Length"]))
            self.close()
            openapi.check_answer("GET", target, status, headers, body)
            raise Refused(status, headers, body)
        assert headers["Upgrade"] == "reeve-attach/1", headers
        hello = self.frame()
        assert hello.type == Type.HELLO, hello
        self.token, self.session = hello.payload[:16], hello.payload[16:].decode()
        self.starts = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # reading

    def frame(self):
        """The next frame; None at the end of the connection."""
        head = self.read(HEADER.size)
        if head is None:
            return None
        kind, stream, zero, size = HEADER.unpack(head)
        assert zero == 0 and size <= 1 << 20, head
        return Frame(Type(kind), Stream(stream), self.read(size) if size else b"")

    def next(self):
        """The next frame that is no START; those are kept in `starts`."""
        while True:
            frame = self.frame()
            if frame is None or frame.type != Type.START:
                return frame
            if frame.stream in (Stream.STDIN, Stream.NONE):
                self.starts[frame.stream] = struct.unpack("<Q", frame.payload)[0]
            else:
                self.starts[frame.stream] = Start(*struct.unpack("<QQ", frame.payload))

    def until(self, kind):
        """All frames up to the next one of a type, it included."""
        frames = []
        while not frames or frames[-1].type != kind:
            frame = self.next()
            assert frame is not None, f"ended before {kind!r}: {frames[-3:]}"
            frames.append(frame)
        return frames

    def read_output(self, n):
        """At least n bytes of output, all streams together."""
        data = b""
        while len(data) < n:
            frame = self.next()
            assert frame is not None and frame.type in (Type.OUTPUT, Type.ACCEPTED), frame
            if frame.type == Type.OUTPUT:
                data += frame.payload
        return data

    def rest(self):
        """All frames to the end of the connection."""
        frames = []
        while (frame := self.next()) is not None:
            frames.append(frame)
        return frames

    # saying

    def send(self, kind, stream=Stream.NONE, payload=b""):
        self.sock.sendall(encode(kind, stream, payload))

    def input(self, offset, data):
        self.send(Type.INPUT, Stream.STDIN, u64(offset) + data)

    def ack(self, stream, offset):
        with contextlib.suppress(*CLOSED):  # after ENDED the server reads no more
            self.send(Type.ACK, stream, u64(offset))

    def signal(self, signal, number=None):
        self.send(Type.SIGNAL, payload=bytes([signal]) + (u64(number) if number else b""))


def output(frames, stream=None):
    return b"".join(
        f.payload for f in frames if f.type == Type.OUTPUT and stream in (None, f.stream)
    )


def exit_of(frame):
    assert frame.type == Type.EXIT, frame
    known, code, outcome, cause = struct.unpack("<BiBB", frame.payload)
    return Exit(bool(known), code, outcome, cause)


def u64_of(frame):
    return struct.unpack("<Q", frame.payload)[0]


def error_of(frame):
    """(status, text)"""
    assert frame.type == Type.ERROR, frame
    return struct.unpack("<H", frame.payload[:2])[0], frame.payload[2:].decode()


def types(frames):
    return [frame.type for frame in frames]


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
