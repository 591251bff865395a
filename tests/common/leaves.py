# SPDX-License-Identifier: Apache-2.0
"""The cgroups of a daemon's sessions, as somebody else sees them."""

import contextlib
import os
import pathlib
import re

LEAF = re.compile(r"s[0-9]+")


def kill_unused(keeper):
    """Kills those in which nothing runs yet, and returns how many there were."""
    n = 0
    for fd in os.listdir(f"/proc/{keeper}/fd"):
        with contextlib.suppress(OSError):
            place = pathlib.Path(os.readlink(f"/proc/{keeper}/fd/{fd}"))
            if not (place / "cgroup.procs").exists():
                continue
            for leaf in [leaf for leaf in place.iterdir() if LEAF.fullmatch(leaf.name)]:
                if "populated 0" in (leaf / "cgroup.events").read_text():
                    (leaf / "cgroup.kill").write_text("1")
                    n += 1
    return n
