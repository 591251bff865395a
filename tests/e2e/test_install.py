# SPDX-License-Identifier: Apache-2.0
"""reeve daemon install --observe: what root grants to the helper that observes."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from conftest import BUILD, end_with
from lent import HELPER, Lent, copy_programs
from ordinary import NOBODY

ATTRIBUTE = "security.capability"
pytestmark = pytest.mark.skipif(not (BUILD / HELPER).exists(), reason="built without BPF programs")


@pytest.fixture
def place():
    """Programs in a directory of their own."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="rvi", dir="/tmp"))
    directory.chmod(0o755)
    copy_programs(directory)
    yield directory
    shutil.rmtree(directory)


def daemon(place, verb, *words, **kw):
    command = [place / "reeve", "daemon", verb, *words]
    done = subprocess.run(command, capture_output=True, text=True, **kw)
    return done.returncode, done.stdout, done.stderr


def has_capabilities(place):
    return ATTRIBUTE in os.listxattr(place / HELPER)


def test_who_is_not_root_is_told_so(place):
    switch = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    for verb in ("install", "uninstall"):
        status, out, err = daemon(place, verb, "--observe", **switch)
        assert (status, out) == (1, "")
        assert err == f"reeve: only root can do this: `sudo reeve daemon {verb} --observe`\n"


def test_without_an_option_it_says_what_there_is(place):
    for verb in ("install", "uninstall"):
        status, out, err = daemon(place, verb)
        assert (status, out) == (2, "") and "There is --observe" in err


def test_what_is_granted_works_and_can_be_taken_away():
    if os.geteuid() != 0:
        return
    user = Lent()
    try:
        status, out, err = daemon(user.programs, "install", "--observe")
        assert (status, err) == (0, "")
        assert out.startswith(f"{user.programs / HELPER}: granted CAP_BPF, CAP_PERFMON and CAP_NET")
        assert "has CAP_BPF" in daemon(user.programs, "install", "--observe")[1]
        assert user.reasons()["file"][:2] == ("supported", "ebpf")
        status, out, err = daemon(user.programs, "uninstall", "--observe")
        assert (status, err) == (0, "") and "took its capabilities away" in out
        assert not has_capabilities(user.programs)
        assert "has no capabilities" in daemon(user.programs, "uninstall", "--observe")[1]
        assert "`sudo reeve daemon install --observe`" in user.reasons()["file"][2]
    finally:
        end_with(user)


@pytest.mark.parametrize("what", [HELPER, "."])
def test_nothing_is_granted_to_what_others_could_change(place, what):
    if os.geteuid() != 0:
        return
    refused = "could be changed by others than root"
    os.chown(place / what, NOBODY, NOBODY)
    status, out, err = daemon(place, "install", "--observe")
    assert (status, out) == (1, "") and refused in err
    os.chown(place / what, 0, 0)
    (place / what).chmod(0o777)
    assert refused in daemon(place, "install", "--observe")[2]
    assert not has_capabilities(place)
    (place / what).chmod(0o755)
    assert daemon(place, "install", "--observe")[0] == 0


def test_nothing_is_granted_to_what_a_link_names(place):
    if os.geteuid() != 0:
        return
    (place / HELPER).rename(place / "elsewhere")
    (place / HELPER).symlink_to("elsewhere")
    status, out, err = daemon(place, "install", "--observe")
    assert (status, out) == (1, "") and f"{HELPER} is a symbolic link" in err
    assert ATTRIBUTE not in os.listxattr(place / "elsewhere")


def test_without_a_helper_it_says_so(place):
    if os.geteuid() != 0:
        return
    (place / HELPER).unlink()
    status, _, err = daemon(place, "install", "--observe")
    assert status == 1 and f"there is no {place / HELPER}" in err
