# SPDX-License-Identifier: Apache-2.0
"""Commands whose calls wait for an observer go on where there is none."""

import os
import signal
import subprocess

import pytest
from conftest import BUILD, alive, wait_for
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


def test_a_session_goes_on_while_no_engine_comes_up(observing, tmp_path):
    reeve = observing
    reeve.ok("daemon", "stop")
    engine = reeve.dir / "engine"
    engine.write_text(
        f'#!/bin/sh\n[ -e {reeve.dir}/broken ] && exit 1\nexec {BUILD}/reeved "$@"\n'
    )
    engine.chmod(0o755)
    keeper = [BUILD / "reeve-keeper", "--dir", reeve.dir, "--engine", engine, "--foreground"]
    with subprocess.Popen(keeper, env=reeve.env, stderr=subprocess.DEVNULL) as process:
        wait_for(reeve.status)
        session = opening(reeve.api, tmp_path)
        (reeve.dir / "broken").touch()
        os.kill(reeve.status()["enginePid"], signal.SIGKILL)
        (tmp_path / "go").touch()
        wait_for((tmp_path / "done").exists)
        (reeve.dir / "broken").unlink()
        api = reeve.api
        assert api.ended(session)["exit"]["exitCode"] == 0
        assert counted(api, session)["missedEvents"] >= 1
        assert alive(process.pid)
        reeve.ok("daemon", "stop")
