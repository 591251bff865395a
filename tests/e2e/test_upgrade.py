# SPDX-License-Identifier: Apache-2.0
"""What becomes of a daemon whose programs are replaced under it, as by an upgrade."""

import os
import shutil
import signal

import pytest
from conftest import BUILD, Reeve, alive, end_with, wait_for

PROGRAMS = ("reeve", "reeved", "reeve-keeper")


@pytest.fixture
def installed():
    """A daemon of programs of its own."""
    instance = Reeve()
    instance.programs = instance.home / "programs"
    instance.programs.mkdir()
    for name in PROGRAMS:
        shutil.copy2(BUILD / name, instance.programs / name)
    try:
        yield instance
    finally:
        end_with(instance)


def install(reeve, name, program):
    """Puts another program in the place of one, as a package manager does."""
    shutil.copy2(program, reeve.programs / "new")
    os.replace(reeve.programs / "new", reeve.programs / name)


def runs(pid, path):
    there, program = os.stat(f"/proc/{pid}/exe"), os.stat(path)
    return (there.st_dev, there.st_ino) == (program.st_dev, program.st_ino)


def assert_serves(reeve, session):
    """It has its session, and starts others."""
    assert reeve.ok("ps", "-q").split() == [session]
    assert reeve.ok("run", "--rm", "--", "echo", "served") == "served"


def test_an_engine_that_dies_is_followed_by_the_same_program(installed):
    """The sessions' memory is its own; what was installed since may read it otherwise."""
    session = installed.ok("run", "-d", "--", "sleep", "1000")
    install(installed, "reeved", "/bin/false")
    for _ in range(2):
        engine = installed.kill_engine()
        assert os.readlink(f"/proc/{engine}/exe").endswith("reeved (deleted)")
        assert_serves(installed, session)


def test_a_keeper_that_dies_is_followed_by_the_same_program(installed):
    session = installed.ok("run", "-d", "--", "sleep", "1000")
    install(installed, "reeve-keeper", "/bin/false")
    for _ in range(2):
        keeper = installed.status()["keeperPid"]
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda before=keeper: (s := installed.status()) and s["keeperPid"] not in (0, before))
        assert_serves(installed, session)


def test_a_restart_takes_the_engine_that_was_installed_since(installed):
    session = installed.ok("run", "-d", "--", "sleep", "1000")
    install(installed, "reeved", BUILD / "reeved")
    installed.ok("daemon", "restart")
    assert runs(installed.status()["enginePid"], installed.programs / "reeved")
    assert runs(installed.kill_engine(), installed.programs / "reeved")
    assert_serves(installed, session)


def test_a_restart_refuses_an_engine_of_another_version_and_goes_on(installed):
    session = installed.ok("run", "-d", "--", "sleep", "1000")
    keeper = installed.status()["keeperPid"]
    install(installed, "reeved", BUILD / "reeved-other")
    result = installed("daemon", "restart")
    assert result.returncode == 1 and b"reeve daemon stop" in result.stderr, result
    assert "this engine of 1000000" in installed.log()
    assert installed.status()["keeperPid"] == keeper and alive(keeper)
    assert_serves(installed, session)
    installed.kill_engine()
    assert_serves(installed, session)
    # what it says helps
    installed.ok("daemon", "stop")
    install(installed, "reeved", BUILD / "reeved")
    assert installed.ok("run", "--rm", "--", "echo", "again") == "again"


def test_a_restart_refuses_an_engine_that_does_not_run_and_goes_on(installed):
    session = installed.ok("run", "-d", "--", "sleep", "1000")
    install(installed, "reeved", "/bin/false")
    assert installed("daemon", "restart").returncode == 1
    assert_serves(installed, session)
