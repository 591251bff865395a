# SPDX-License-Identifier: Apache-2.0
"""A command that the kernel ends for want of memory."""

import contextlib
import ctypes
import os
import pathlib
import signal

import pytest
from conftest import wait_for

LIMIT = str(20 << 20)
EAT = "x = bytearray(400 << 20)"


def removed(path):
    """A process may be in it for a moment after it was reaped."""
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()


def kernel_tells():
    """Its log can be read, and the pids there are ours."""
    text = ctypes.create_string_buffer(16)
    first = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
    return first and ctypes.CDLL(None).klogctl(3, text, len(text)) >= 0


@contextlib.contextmanager
def scarce():
    """A cgroup with little memory, of either version; None where none can be made."""
    for place, limits in (
        ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        ("/sys/fs/cgroup", ["memory.max", "memory.swap.max"]),
    ):
        path = pathlib.Path(place) / f"reeve-test-{os.getpid()}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / limits[0]).exists():
                for name in limits:
                    with contextlib.suppress(OSError):
                        (path / name).write_text(LIMIT)
                yield path
                return
        finally:
            wait_for(lambda path=path: removed(path), what="the end of the cgroup")
    yield None


def test_a_command_that_the_kernel_ends_for_want_of_memory_says_so(api):
    with scarce() as cgroup:
        if cgroup is None or not kernel_tells():
            return  # an ordinary user can neither have it happen nor see it
        line = f"echo $$ > {cgroup}/cgroup.procs; exec /usr/bin/python3 -c '{EAT}'"
        ended = api.ended(api.sh(line))
        assert (ended["exit"]["signal"], ended["exit"]["cause"]) == ("SIGKILL", "oom")
        assert (ended["exit"]["outcome"], ended["status"]) == ("natural", "exited")


@pytest.mark.parametrize("by_reeve", [True, False])
def test_a_sigkill_of_somebody_else_is_a_signal(api, by_reeve):
    session = api.spawn("sleep", "1000")
    if by_reeve:
        api.post(api.path_of(session, "/kill"), {"signal": "KILL"})
    else:
        os.kill(session["pid"], signal.SIGKILL)
    assert api.ended(session)["exit"]["cause"] == "signal"
