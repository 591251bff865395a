# SPDX-License-Identifier: Apache-2.0
"""reeve-observe-helper serves its own user's processes and cgroups, and nobody else's."""

import array
import contextlib
import errno
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest
from conftest import BUILD
from lent import BPF, HELPER, NET_ADMIN, PERFMON, cgroup2, grant

LOAD, ATTACH, DETACH, TAG, WATCH, UNWATCH, SETTLE, SWEEP = range(1, 9)
REQUEST, REPLY = struct.Struct("IIIIIIQ"), struct.Struct("iI364sI")
USER = 64999  # nobody else's
pytestmark = pytest.mark.skipif(not (BUILD / HELPER).exists(), reason="built without BPF programs")


class Helper:
    """As root: of a user without any privilege, for whom root has granted the capabilities."""

    def __init__(self, user=USER):
        self.user = user
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rvh", dir="/tmp"))
        self.directory.chmod(0o755)
        program = self.directory / HELPER
        shutil.copy(BUILD / HELPER, program)
        self.is_root = os.geteuid() == 0
        self.switch = {}
        if self.is_root:
            grant(program, BPF, PERFMON, NET_ADMIN)
            self.switch = {"user": user, "group": user, "extra_groups": []}
        self.start(program)
        self.number = 0
        assert self.answer()[:2] == (0, 0)

    def start(self, program):
        """The socket must be of the same user."""
        if not self.is_root:
            self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            self.sock, theirs = pair_of(self.user)
        self.sock.settimeout(90)  # the kernel checks all programs once more
        self.process = subprocess.Popen(
            [program, "--socket", str(theirs.fileno())], pass_fds=[theirs.fileno()], **self.switch
        )
        theirs.close()

    def answer(self):
        data, fds, _, _ = socket.recv_fds(self.sock, REPLY.size, 64)
        result, number, reason, self.version = REPLY.unpack(data)
        self.fds = fds
        return -result, number, reason.rstrip(b"\0").decode()

    def ask(self, kind, fd=None, index=0, session=1, id=0):
        """(errno or 0, reason)"""
        self.number += 1
        request = REQUEST.pack(kind, self.number, index, 0, session, 1, id)
        rights = [] if fd is None else [array.array("i", [fd])]
        self.sock.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, r) for r in rights])
        result, number, reason = self.answer()
        assert number == self.number
        return result, reason

    def load(self):
        """Whether it may; what came is closed with the helper."""
        result, reason = self.ask(LOAD)
        self.shared = self.fds
        assert (result == 0) == self.is_root, reason
        assert self.is_root or "CAP_BPF" in reason
        return result == 0

    def hooks(self):
        """The programs that are attached to a cgroup."""
        found, number = [], 0
        while (answer := self.ask(ATTACH, index=number))[0] != errno.EINVAL:
            if answer == (errno.EPERM, "that is no cgroup"):
                found.append(number)
            number += 1
        assert self.ask(DETACH) == (0, "") and len(found) == 4
        return found

    def end(self):
        self.sock.close()
        assert self.process.wait(20) == 0
        for fd in getattr(self, "shared", []):
            os.close(fd)
        shutil.rmtree(self.directory)


def pair_of(user):
    """A pair of sockets that this user has made: its peer is asked for its credentials."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    script = (
        "import socket as s, sys; a, b = s.socketpair(s.AF_UNIX, s.SOCK_SEQPACKET);"
        "s.send_fds(s.socket(fileno=int(sys.argv[1])), [b'.'], [a.fileno(), b.fileno()])"
    )
    subprocess.run(
        ["/usr/bin/python3", "-c", script, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        user=user,
        group=user,
        check=True,
    )
    _, fds, _, _ = socket.recv_fds(ours, 1, 2)
    ours.close()
    theirs.close()
    return socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1])


@pytest.fixture
def helper():
    instance = Helper()
    yield instance
    instance.end()


@contextlib.contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def cgroup_of(user):
    """Root has to make one; an ordinary user finds root's."""
    root = cgroup2()
    assert root, "no cgroup2 is mounted here"
    if os.geteuid() != 0:
        with opened(root) as fd:
            yield fd
        return
    path = pathlib.Path(root) / f"reeve-test-{os.getpid()}-{user}"
    path.mkdir()
    os.chown(path, user, user)
    try:
        with opened(path) as fd:
            yield fd
    finally:
        path.rmdir()


@contextlib.contextmanager
def process(**who):
    """A pidfd of a process that sleeps."""
    child = subprocess.Popen(["sleep", "1000"], **who)
    fd = os.pidfd_open(child.pid)
    try:
        yield fd
    finally:
        child.kill()
        child.wait()
        os.close(fd)


def test_a_cgroup_of_another_user_is_refused(helper):
    foreign = (errno.EPERM, "that cgroup belongs to another user")
    if not helper.load():
        return
    with cgroup_of(USER + 1) as fd:
        assert helper.ask(WATCH, fd) == foreign
        for hook in helper.hooks():
            assert helper.ask(ATTACH, fd, index=hook) == foreign
    with opened(cgroup2()) as fd:
        assert helper.ask(WATCH, fd) == foreign


def test_what_is_no_cgroup_is_refused(helper, tmp_path):
    none = (errno.EPERM, "that is no cgroup")
    if not helper.load():
        return
    with opened(tmp_path) as fd:
        assert helper.ask(WATCH, fd) == none
        for hook in helper.hooks():
            assert helper.ask(ATTACH, fd, index=hook) == none
    assert helper.ask(WATCH) == none


def test_a_process_of_another_user_is_refused(helper):
    if not helper.load():
        return
    with process() as fd:
        assert helper.ask(TAG, fd) == (errno.EPERM, "that process belongs to another user")
    with process(**helper.switch) as fd:
        assert helper.ask(TAG, fd) == (0, "")
        assert helper.ask(TAG, fd, session=4096)[0] == errno.EINVAL
        assert helper.ask(TAG, fd, session=0)[0] == errno.EINVAL


def test_what_is_no_process_is_refused(helper):
    if not helper.load():
        return
    none = (errno.EPERM, "that is no process")
    assert helper.ask(TAG) == none
    with opened("/") as fd:
        assert helper.ask(TAG, fd) == none


def test_what_is_handed_over_reads_and_does_not_choose(helper):
    """No program, no link, and no map that says whom to look at."""
    if not helper.load():
        assert helper.shared == []
        return
    assert len(helper.shared) == 4
    kinds = []
    for fd in helper.shared:
        info = pathlib.Path(f"/proc/self/fdinfo/{fd}").read_text()
        assert "prog_" not in info and "link_" not in info
        kinds.append(int(info.partition("map_type:\t")[2].split()[0]))
    ring, array_map = 27, 2
    assert kinds == [ring, ring, array_map, array_map]
    assert helper.ask(LOAD)[0] == errno.EALREADY


def test_its_own_users_cgroup_is_watched(helper):
    if not helper.load():
        return
    with cgroup_of(USER) as fd:
        number = os.fstat(fd).st_ino
        assert helper.ask(WATCH, fd) == (0, "")
        hook = helper.hooks()[0]
        assert helper.ask(ATTACH, fd, index=hook) == (0, "")
        assert helper.ask(ATTACH, fd, index=hook) == (0, "")  # it is
        assert helper.ask(ATTACH, index=0) == (0, "")
        assert helper.ask(ATTACH, index=99)[0] == errno.EINVAL
        assert helper.ask(SWEEP) == (0, "")
        assert helper.ask(UNWATCH, id=number)[0] == 0
        assert helper.ask(UNWATCH, id=number)[0] == errno.ENOENT
        # Of a session that is none: forgotten.
        assert helper.ask(WATCH, fd) == (0, "")
        assert helper.ask(SETTLE) == (0, "")
        assert helper.ask(UNWATCH, id=number)[0] == errno.ENOENT
        assert helper.ask(DETACH) == (0, "")


def test_nothing_is_done_before_it_is_loaded(helper):
    for kind in (ATTACH, DETACH, TAG, WATCH, UNWATCH, SETTLE, SWEEP):
        assert helper.ask(kind)[0] == errno.EBADFD


def test_a_user_has_only_so_many():
    user = 60000 + os.getpid() % 4000 if os.geteuid() == 0 else os.getuid()
    helper = Helper(user)
    # Where none may load, no names are needed: they are those of root's tests of this user, too.
    taken = [socket.socket(socket.AF_UNIX) for _ in range(16 if os.geteuid() == 0 else 0)]
    try:
        for i, each in enumerate(taken):
            with contextlib.suppress(OSError):  # another test of this user has it
                each.bind(f"\0reeve-observe-helper/{user}/{i}")
        result, reason = helper.ask(LOAD)
        assert result == (errno.EUSERS if helper.is_root else errno.EPERM), reason
        assert not helper.is_root or f"@{HELPER}/{user}/0" in reason
        for each in taken:
            each.close()
        assert helper.load() == helper.is_root
    finally:
        helper.end()


def test_an_unknown_request_is_refused(helper):
    assert helper.ask(77)[0] == errno.EINVAL
    helper.sock.send(b"short")
    assert helper.ask(77)[0] == errno.EINVAL


def test_it_wants_the_socket_of_its_own_user(helper):
    program = helper.directory / HELPER
    assert subprocess.run([program], capture_output=True).returncode == 2
    assert subprocess.run([program, "--socket", "900"], capture_output=True).returncode == 1
    if not helper.is_root:
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:  # of root's
        words = [program, "--socket", str(theirs.fileno())]
        refused = subprocess.run(
            words, capture_output=True, pass_fds=[theirs.fileno()], **helper.switch
        )
    assert (refused.returncode, refused.stderr) == (
        1,
        b"reeve-observe-helper: Operation not permitted\n",
    )
