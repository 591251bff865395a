# SPDX-License-Identifier: Apache-2.0
"""A daemon of an ordinary user beside a helper that was given its capabilities. Root has to give
them."""

import contextlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from conftest import BUILD, descendants, end_with, wait_for
from ordinary import NOBODY, Ordinary

HELPER = "reeve-observe-helper"
NET_ADMIN, PERFMON, BPF = 12, 38, 39


def grant(path, *capabilities):
    """File capabilities, permitted only, as the kernel stores them: struct vfs_cap_data."""
    allowed = sum(1 << c for c in capabilities)
    words = (0x02000000, allowed & 0xFFFFFFFF, 0, allowed >> 32, 0)
    os.setxattr(path, "security.capability", struct.pack("<5I", *words))


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return before.split()[4]
    return None


def comm(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def copy_programs(to, *names):
    for name in names or ("reeve", "reeved", "reeve-keeper", HELPER):
        shutil.copy(BUILD / name, to)


class Lent(Ordinary):
    def __init__(self, *capabilities):
        super().__init__()
        self.programs = pathlib.Path(tempfile.mkdtemp(prefix="rvb", dir="/tmp"))
        self.programs.chmod(0o755)
        copy_programs(self.programs)
        if capabilities:
            grant(self.programs / HELPER, *capabilities)

    def observed(self, *command, categories="file,network,process"):
        """Runs a command to its end. (its events, what was missed by category)"""
        session = self.ok("run", "-d", "--observe", categories, "--", *command)
        self("wait", session)
        wait_for(lambda: self.subscription(session)["over"], what="the end of events")
        return self.events(session), self.subscription(session)["missedBy"]

    def events(self, session):
        return [json.loads(line) for line in self.ok("observe", "--json", session).splitlines()]

    def subscription(self, session):
        """The daemon speaks with its own user only."""
        curl = ["curl", "-sS", "--unix-socket", self.dir / "api.sock"]
        url = f"http://reeve/v1/sessions/{session}/observers/sub-1"
        return json.loads(subprocess.run([*curl, url], capture_output=True, **self.switch).stdout)

    def reasons(self):
        """By category: (support, backend, reason)."""
        answer = self.json("capabilities", "--json", "--probe")
        return {
            c["category"]: (c["support"], c["backend"], c["reason"]) for c in answer["capabilities"]
        }

    def helpers(self):
        """The pids of its helpers."""
        return [
            pid for pid in descendants(self.status()["keeperPid"]) if comm(pid) == HELPER[:15]
        ]

    def helper(self):
        """The pid of the one that serves its daemon; one that was only tried out ends by itself."""
        return wait_for(lambda: len(found := self.helpers()) == 1 and found[0], what="one helper")

    def end(self):
        try:
            return super().end()
        finally:
            shutil.rmtree(self.programs)


@contextlib.contextmanager
def lent(*capabilities):
    instance = Lent(*(capabilities or (BPF, PERFMON, NET_ADMIN)))
    try:
        yield instance
    finally:
        end_with(instance)
