# SPDX-License-Identifier: Apache-2.0
"""A client of `reeve-attach/1` that outlives engines: it comes back with its token and its offsets."""

import json
import os
import select
import socket
import struct
import time

from daemon import TIMEOUT

HEADER = struct.Struct("<BBHI")
HELLO, START, OUTPUT, DROPPED, EXIT, ENDED, ACCEPTED, ERROR = range(8)
INPUT, RESIZE, SIGNAL, DETACH, EOF, ACK = range(16, 22)
STDOUT, STDERR, PTY, STDIN = range(1, 5)
NAMES = {STDOUT: "stdout", STDERR: "stderr", PTY: "pty"}
DETACHED, STOLEN, SESSION_EXITED, TERMINATED = range(1, 5)
WINDOW = 64 << 10


class Refused(Exception):
    """The server's answer instead of 101."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body[:300]!r}")
        self.status = status
        self.code = json.loads(body)["error"]["code"]


class Attachment:
    streams = (STDOUT, STDERR)

    def __init__(self, api, session, mode="block", read_only=False, steal=False, place="start"):
        self.api = api
        self.session = session
        streams = ",".join(NAMES[stream] for stream in self.streams)
        self.query = {"mode": mode, "from": place, "streams": streams}
        self.acks = mode == "block"
        self.steal = steal
        if read_only:
            self.query["readOnly"] = "true"
        else:
            self.query["token"] = os.urandom(16).hex()
        self.output = {stream: bytearray() for stream in self.streams}
        self.first = {}  # where the output of a stream begins
        self.dropped = dict.fromkeys(self.streams, 0)
        self.exit = None
        self.ended = None
        self.accepted = None
        self.input = bytearray()  # from self.accepted on
        self.sent = 0  # of it
        self.want_eof = self.eof_sent = False
        self.want_detach = False
        self.signals = []  # sent, or to be sent
        self.first_signal = 0  # the number of the oldest
        self.signals_sent = 0
        self.socket = None
        self.received = b""
        self.connect()

    # connection

    def next(self, stream):
        return self.first.get(stream, 0) + len(self.output[stream]) + self.dropped[stream]

    def connect(self):
        """Returns once attached; raises Refused."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return self.handshake()
            except (ConnectionError, FileNotFoundError) as error:
                self.close()
                assert time.monotonic() < deadline, error
                time.sleep(0.002)

    def handshake(self):
        query = dict(self.query)
        for stream in self.first:
            query[f"from.{NAMES[stream]}"] = self.next(stream)
        if self.steal and not self.first:
            query["steal"] = "true"
        text = "&".join(f"{name}={value}" for name, value in query.items())
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(self.api.path)
        self.socket.sendall(
            f"GET /v1/sessions/{self.session}/attach?{text} HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade\r\nUpgrade: reeve-attach/1\r\n"
            "Reeve-Signals: numbered\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionResetError("no answer")
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 101:
            self.refuse(status, head, rest)
        self.received = rest
        self.eof_sent = False
        self.sent = None  # until START says what was taken
        self.decode()

    def refuse(self, status, head, body):
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                while len(body) < int(value) and (piece := self.socket.recv(65536)):
                    body += piece
        self.close()
        raise Refused(status, body)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    # sending

    def send(self, kind, stream=0, payload=b""):
        self.socket.sendall(HEADER.pack(kind, stream, 0, len(payload)) + payload)

    def send_due(self):
        if self.sent is None:
            return
        while self.sent < min(len(self.input), WINDOW):
            piece = bytes(self.input[self.sent : self.sent + 16384][: WINDOW - self.sent])
            offset = struct.pack("<Q", self.accepted + self.sent)
            self.send(INPUT, STDIN, offset + piece)
            self.sent += len(piece)
        while self.signals_sent < len(self.signals):
            number = self.first_signal + self.signals_sent
            payload = struct.pack("<BQ", self.signals[self.signals_sent], number)
            self.send(SIGNAL, 0, payload)
            self.signals_sent += 1
        if self.want_eof and not self.input and not self.eof_sent:
            self.send(EOF, STDIN)
            self.eof_sent = True
        if self.want_detach:
            self.send(DETACH)
            self.want_detach = False

    # receiving

    def step(self, timeout=0.05):
        """Sends what is due and takes what comes. A connection that breaks is made again."""
        if self.ended:
            return
        try:
            self.send_due()
            if select.select([self.socket], [], [], timeout)[0]:
                piece = self.socket.recv(1 << 18)
                if not piece:
                    raise ConnectionResetError("end of the stream")
                self.received += piece
                self.decode()
        except ConnectionError:
            self.close()
            if not self.ended:
                self.connect()

    def until(self, condition, what, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not condition():
            self.step()
            assert time.monotonic() < deadline, f"{what} did not come"
            assert not self.ended or condition(), f"{what}: ended by {self.ended}"

    def decode(self):
        at = 0
        while len(self.received) - at >= HEADER.size:
            kind, stream, zero, length = HEADER.unpack_from(self.received, at)
            assert zero == 0 and length <= 1 << 20, (kind, stream, zero, length)
            if len(self.received) - at - HEADER.size < length:
                break
            at += HEADER.size
            self.on_frame(kind, stream, self.received[at : at + length])
            at += length
        self.received = self.received[at:]

    def on_frame(self, kind, stream, payload):
        if kind == START and stream == 0:
            self.take_signals(struct.unpack("<Q", payload)[0])
        elif kind == START and stream == STDIN:
            self.take_accepted(struct.unpack("<Q", payload)[0])
            self.sent = 0
        elif kind == START:
            offset, dropped = struct.unpack("<QQ", payload)
            if stream in self.first:
                assert self.next(stream) == offset, "an offset was passed over or comes again"
            else:
                self.first[stream] = offset
                assert not (dropped and self.acks)
        elif kind == OUTPUT:
            assert self.exit is None or payload, "output of the leader behind its exit"
            self.output[stream] += payload
            if self.acks:
                self.send(ACK, stream, struct.pack("<Q", self.next(stream)))
        elif kind == DROPPED:
            assert not self.acks, "a block cursor lost bytes"
            self.dropped[stream] += struct.unpack("<Q", payload)[0]
        elif kind == EXIT:
            known, code, outcome, cause = struct.unpack("<BiBB", payload)
            assert self.exit in (None, (known, code, outcome, cause))
            self.exit = (known, code, outcome, cause)
        elif kind == ENDED:
            self.ended = payload[0]
        elif kind == ACCEPTED:
            self.take_accepted(struct.unpack("<Q", payload)[0])
        elif kind == ERROR:
            raise AssertionError(f"error frame: {payload!r}")

    def take_accepted(self, offset):
        if self.accepted is None:
            self.accepted = offset
        assert offset >= self.accepted, "input that was taken is asked for again"
        n = offset - self.accepted
        assert n <= len(self.input), "more was taken than was sent"
        del self.input[:n]
        self.sent = (self.sent or 0) - n
        self.accepted = offset

    def take_signals(self, taken):
        known = max(0, taken + 1 - self.first_signal) if self.signals_sent else 0
        assert known <= self.signals_sent, "a signal was taken that was never sent"
        del self.signals[:known]
        self.first_signal = taken + 1
        self.signals_sent = 0

    # what a user does

    def type(self, data):
        self.input += data

    def signal(self, number):
        self.signals.append(number)

    def detach(self):
        """Says goodbye until the server has heard it."""
        deadline = time.monotonic() + TIMEOUT
        while not self.ended:
            self.want_detach = True
            self.step()
            assert time.monotonic() < deadline, "detach"
        self.close()


class TerminalAttachment(Attachment):
    streams = (PTY,)
