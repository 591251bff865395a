# SPDX-License-Identifier: Apache-2.0
"""Processes and descriptors, as /proc tells them."""

import contextlib
import os
import pathlib


def state_of(pid):
    """`R`, `S`, `Z` and so on; None when there is no such process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()[0]


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def alive(pid):
    return state_of(pid) not in (None, "Z", "X")


def environment_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []


def processes_with(entry):
    """The live processes in whose environment `entry` (KEY=VALUE) stands."""
    entry = entry.encode()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if entry in environment_of(pid) and alive(pid)]


def draws(pid):
    with contextlib.suppress(OSError):
        return b"--draw" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def open_files(pid):
    """What the descriptors of a process are open on."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
