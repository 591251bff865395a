# SPDX-License-Identifier: Apache-2.0
"""Commands whose calls wait for an observer go on where there is none."""

import fcntl
import os
import signal
import struct
import subprocess
import termios

import pytest
from conftest import BUILD, alive, stat_fields, wait_for
from observers import counted, events, status
from test_observe_backends import works

OPENS = 100


@pytest.fixture
def observing(reeve):
    if not works(reeve.api, "file", "seccomp-user-notify"):
        pytest.skip("seccomp-user-notify does not work here")
    return reeve


def opening(api, tmp_path):
    """Asks for a file now and then, each time with a program; when it is there, opens many."""
    script = (
        f"cd {tmp_path}; : > begun; until [ -e go ]; do sleep 0.02; done; i=0;"
        f"while [ $i -lt {OPENS} ]; do : > f$i || exit 9; i=$((i+1)); done; : > done"
    )
    observe = {"categories": ["file"], "backends": {"file": "seccomp-user-notify"}}
    session = api.sh(script, observe=observe)
    wait_for((tmp_path / "begun").exists)
    return session


def test_a_kept_session_goes_on_while_the_daemon_is_stopped(observing, tmp_path):
    reeve = observing
    session = opening(reeve.api, tmp_path)
    keeper = reeve.start()["keeperPid"]
    reeve.ok("daemon", "stop", "--sessions", "keep")
    (tmp_path / "go").touch()
    wait_for((tmp_path / "done").exists)
    api = reeve.api  # starts it again
    assert reeve.status()["keeperPid"] == keeper
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert counted(api, session)["missedEvents"] >= 1  # the gap, whose size nobody knows
    assert not [e for e in events(api, session) if e.get("path") == f"{tmp_path}/done"]


def test_a_kept_session_is_observed_again_by_the_next_daemon(observing, tmp_path):
    reeve = observing
    session = opening(reeve.api, tmp_path)
    reeve.ok("daemon", "stop", "--sessions", "keep")
    api = reeve.api
    before = status(api, session)["deliveredEvents"]
    (tmp_path / "go").touch()
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert counted(api, session)["deliveredEvents"] >= before + OPENS
    assert [e for e in events(api, session) if e.get("path") == f"{tmp_path}/done"]


def engine_unless(reeve, file, instead):
    """A program of the engine that does something else where there is that file."""
    engine = reeve.dir / "engine"
    engine.write_text(f'#!/bin/sh\n[ ! -e {file} ] || {instead}\nexec {BUILD}/reeved "$@"\n')
    engine.chmod(0o755)
    return [BUILD / "reeve-keeper", "--dir", reeve.dir, "--engine", engine, "--foreground"]


def test_a_session_goes_on_while_no_engine_comes_up(observing, tmp_path):
    reeve = observing
    reeve.ok("daemon", "stop")
    broken = tmp_path / "broken"
    keeper = engine_unless(reeve, broken, "exit 1")
    with subprocess.Popen(keeper, env=reeve.env, stderr=subprocess.DEVNULL) as process:
        wait_for(reeve.status)
        session = opening(reeve.api, tmp_path)
        broken.touch()
        os.kill(reeve.status()["enginePid"], signal.SIGKILL)
        (tmp_path / "go").touch()
        wait_for((tmp_path / "done").exists)
        broken.unlink()
        api = reeve.api
        assert api.ended(session)["exit"]["exitCode"] == 0
        assert counted(api, session)["missedEvents"] >= 1
        assert alive(process.pid)
        reeve.ok("daemon", "stop")


def reader_of(fifo):
    """The other end, once somebody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def unread(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]


def test_a_call_waits_for_an_engine_that_comes_up(observing, tmp_path):
    """The keeper and the engine would take calls from each other, and wait for what is gone."""
    reeve = observing
    reeve.ok("daemon", "stop")
    fifo, broken, slow, asked = [tmp_path / name for name in ("fifo", "broken", "slow", "asked")]
    os.mkfifo(fifo)
    comes_up = f"while [ -e {slow} ]; do : > {asked}; sleep 0.02; done; [ ! -e {broken} ]"
    keeper = engine_unless(reeve, broken, f"{{ {comes_up}; }} || exit 1")
    with subprocess.Popen(keeper, env=reeve.env, stderr=subprocess.DEVNULL):
        wait_for(reeve.status)
        api = reeve.api
        script = f"cd {tmp_path}; exec 3< fifo; read x <&3; : > passed; read x <&3; : > held"
        observe = {"categories": ["file"], "backends": {"file": "seccomp-user-notify"}}
        session = api.sh(script, observe=observe)
        pid = api.show(session)["pid"]
        end = wait_for(lambda: reader_of(fifo))
        broken.touch()
        os.kill(reeve.status()["enginePid"], signal.SIGKILL)
        os.write(end, b"x\n")
        wait_for((tmp_path / "passed").exists)
        slow.touch()
        wait_for(asked.exists)
        os.write(end, b"x\n")
        wait_for(lambda: unread(end) == 0 and (stat_fields(pid) or "S")[0] in "SD")
        passed = (tmp_path / "held").exists()
        broken.unlink()
        slow.unlink()
        os.close(end)
        code = api.ended(session)["exit"]["exitCode"]
        told = [e for e in events(api, session) if e.get("path") == f"{tmp_path}/held"]
        reeve.ok("daemon", "stop")
    assert (passed, code, len(told)) == (False, 0, 1)
