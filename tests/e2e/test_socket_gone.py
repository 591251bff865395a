# SPDX-License-Identifier: Apache-2.0
"""A cleaner that removes the socket's name: it comes back, and everything goes on."""

import os
import signal
import stat

import pytest
from conftest import alive, wait_for


def path_of(reeve):
    return reeve.dir / "api.sock"


def moved(path):
    path.rename(path.with_name("elsewhere"))


def made_stale(path):
    """Another socket has its name, and nobody listens there. At once, or it is back before."""
    stale = path.with_name("stale")
    os.mknod(stale, 0o666 | stat.S_IFSOCK)
    stale.rename(path)


CLEANERS = pytest.mark.parametrize("clean", [os.unlink, moved, made_stale])


def comes_back(reeve, inode):
    path = path_of(reeve)
    wait_for(lambda: path.exists() and path.stat().st_ino != inode and reeve.api.get("/v1/daemon"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (reeve.dir / "api.new").exists()


def cleaned(reeve, clean=os.unlink):
    """The socket of a running daemon was taken away and is there again."""
    before = reeve.status()
    with open(path_of(reeve), opener=lambda path, _: os.open(path, os.O_PATH)) as held:
        inode = os.fstat(held.fileno()).st_ino  # held: it is nobody else's meanwhile
        clean(path_of(reeve))
        comes_back(reeve, inode)
    after = reeve.status()
    assert (after["keeperPid"], after["enginePid"]) == (before["keeperPid"], before["enginePid"])


@CLEANERS
def test_a_socket_that_was_removed_comes_back(reeve, clean):
    session = reeve.ok("run", "-d", "--stdin", "--", "cat")
    for _ in range(3):
        cleaned(reeve, clean)
        reeve.ok("send", session, "again")
    reeve.ok("send", "--eof", session, "end")
    assert reeve.ok("wait", session) == ""
    assert reeve.ok("logs", session).split() == ["again"] * 3 + ["end"]


def test_clients_that_are_there_go_on(reeve):
    reeve.start()
    client = reeve.popen("run", "--", "cat")
    client.stdin.write(b"one\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"one\n"
    cleaned(reeve)
    client.stdin.write(b"two\n")
    client.stdin.close()
    assert client.stdout.read() == b"two\n"
    assert client.wait(20) == 0


def test_a_command_given_at_that_moment_starts_no_second_daemon(reeve):
    keeper = reeve.start()["keeperPid"]
    for _ in range(5):
        path_of(reeve).unlink()
        assert reeve.ok("run", "--", "echo", "here") == "here"
    assert reeve.status()["keeperPid"] == keeper


def test_it_stays_when_the_engine_dies(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "600")
    reeve.start()
    cleaned(reeve)
    reeve.kill_engine()
    assert reeve.ok("ps", "-q") == session
    cleaned(reeve)


def kill_keeper(reeve, keeper):
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: (reeve.status() or {}).get("keeperPid") not in (None, 0, keeper))


def test_it_stays_when_the_keeper_dies(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "600")
    keeper = reeve.start()["keeperPid"]
    cleaned(reeve)
    kill_keeper(reeve, keeper)
    assert reeve.ok("ps", "-q") == session
    cleaned(reeve)
    reeve.kill_engine()
    assert reeve.ok("ps", "-q") == session


def test_it_comes_back_by_the_next_keeper_when_the_one_before_saw_nothing(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "600")
    keeper = reeve.start()["keeperPid"]
    os.kill(keeper, signal.SIGSTOP)
    path_of(reeve).unlink()
    os.kill(keeper, signal.SIGKILL)
    wait_for(path_of(reeve).exists)
    assert reeve.ok("ps", "-q") == session


def test_it_comes_back_when_the_next_engine_is_there(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "600")
    status = reeve.start()
    os.kill(status["keeperPid"], signal.SIGSTOP)
    path_of(reeve).unlink()
    os.kill(status["enginePid"], signal.SIGKILL)
    os.kill(status["keeperPid"], signal.SIGCONT)
    wait_for(path_of(reeve).exists)
    assert reeve.ok("ps", "-q") == session
    assert reeve.status()["keeperPid"] == status["keeperPid"]


def test_it_comes_back_while_sessions_are_kept_without_an_engine(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "600")
    reeve.ok("daemon", "stop", "--sessions", "keep")
    path_of(reeve).unlink()
    wait_for(path_of(reeve).exists)
    assert reeve.ok("ps", "-q") == session


def test_stop_leaves_the_socket_of_another_daemon_alone(reeve):
    reeve.start()
    keeper = reeve.status()["keeperPid"]
    os.kill(keeper, signal.SIGSTOP)
    moved(path_of(reeve))
    path_of(reeve).write_text("not a socket")
    os.kill(keeper, signal.SIGTERM)
    os.kill(keeper, signal.SIGCONT)
    wait_for(lambda: not alive(keeper))
    assert path_of(reeve).read_text() == "not a socket"
