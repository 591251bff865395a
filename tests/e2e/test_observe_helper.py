# SPDX-License-Identifier: Apache-2.0
"""reeve-observe-helper serves its own user's cgroups, and nobody else's."""

import array
import contextlib
import errno
import os
import pathlib
import socket
import struct
import subprocess

import pytest
from conftest import BUILD

LOAD, ATTACH, WATCH, UNWATCH = range(1, 5)
REPLY = struct.Struct("iIQ240s")
RINGS, TAGS, BY_CGROUP, SWEEP, LINK = (0, 1), 4, 5, 6, 17
PROGRAM = BUILD / "reeve-observe-helper"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="built without BPF programs")


class Helper:
    def __init__(self):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        self.process = subprocess.Popen(
            [PROGRAM, "--socket", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def ask(self, kind, directory=None, index=0, session=1):
        """(errno or 0, descriptors by number, reason)"""
        request = struct.pack("IIII", kind, index, session, 1)
        rights = [] if directory is None else [array.array("i", [directory])]
        self.sock.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, r) for r in rights])
        data, fds, _, _ = socket.recv_fds(self.sock, REPLY.size, 64)
        result, _, which, reason = REPLY.unpack(data)
        numbers = [n for n in range(64) if which & 1 << n]
        assert len(numbers) == len(fds)
        return -result, dict(zip(numbers, fds, strict=True)), reason.rstrip(b"\0").decode()

    def end(self):
        self.sock.close()
        assert self.process.wait(10) == 0


@pytest.fixture
def helper():
    instance = Helper()
    yield instance
    instance.end()


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return before.split()[4]
    return None


@contextlib.contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def foreign():
    """A cgroup of another user; root has to make one."""
    root = cgroup2()
    assert root, "no cgroup2 is mounted here"
    if os.geteuid() != 0:
        with opened(root) as fd:
            assert os.fstat(fd).st_uid != os.getuid()
            yield fd
        return
    path = pathlib.Path(root) / f"reeve-foreign-{os.getpid()}"
    path.mkdir()
    os.chown(path, 65534, 65534)
    try:
        with opened(path) as fd:
            yield fd
    finally:
        path.rmdir()


@pytest.mark.parametrize("kind", [ATTACH, WATCH, UNWATCH])
def test_a_cgroup_of_another_user_is_refused(helper, foreign, kind):
    helper.ask(LOAD)
    result, fds, reason = helper.ask(kind, foreign)
    assert (result, fds, reason) == (errno.EPERM, {}, "that cgroup belongs to another user")


@pytest.mark.parametrize("kind", [ATTACH, WATCH, UNWATCH])
def test_what_is_no_cgroup_is_refused(helper, kind, tmp_path):
    helper.ask(LOAD)
    assert helper.ask(kind)[0] == errno.EPERM
    with opened(tmp_path) as fd:
        assert helper.ask(kind, fd)[::2] == (errno.EPERM, "that is no cgroup")


def test_the_maps_that_say_who_is_observed_are_not_handed_over(helper):
    result, fds, reason = helper.ask(LOAD)
    if os.geteuid() != 0:
        assert result and "CAP_BPF" in reason and fds == {}
        return
    assert result == 0 and set(RINGS) <= set(fds)
    assert not {TAGS, BY_CGROUP, SWEEP} & set(fds)
    assert helper.ask(LOAD)[0] == errno.EALREADY
    for fd in fds.values():
        os.close(fd)


def test_a_cgroup_of_the_same_user_is_observed(helper):
    if os.geteuid() != 0:
        assert helper.ask(LOAD)[0] != 0  # it takes the capabilities
        return
    path = pathlib.Path(cgroup2()) / f"reeve-own-{os.getpid()}"
    path.mkdir()
    try:
        with opened(path) as fd:
            assert helper.ask(WATCH, fd)[0] == errno.EBADFD
            assert helper.ask(LOAD)[0] == 0
            assert helper.ask(WATCH, fd)[0] == 0
            result, links, _ = helper.ask(ATTACH, fd)
            assert result == 0 and list(links) == [LINK]
            assert helper.ask(ATTACH, fd, index=99)[0] == errno.EINVAL
            assert helper.ask(UNWATCH, fd)[0] == 0
            assert helper.ask(UNWATCH, fd)[0] == errno.ENOENT
    finally:
        path.rmdir()


def test_an_unknown_request_is_refused(helper):
    assert helper.ask(77)[0] == errno.EINVAL
    helper.sock.send(b"short")
    assert helper.ask(77)[0] == errno.EINVAL


def test_it_wants_the_socket_of_its_own_user(helper):
    assert subprocess.run([PROGRAM], capture_output=True).returncode == 2
    assert subprocess.run([PROGRAM, "--socket", "900"], capture_output=True).returncode == 1
