# SPDX-License-Identifier: Apache-2.0
"""A daemon of an ordinary user, whoever runs the tests."""

import contextlib
import os
import subprocess

from conftest import Reeve, end_with

NOBODY = 65534


class Ordinary(Reeve):
    """Its requests go through the command: the daemon talks to its own user only."""

    def __init__(self):
        super().__init__()
        self.switch = {}
        if os.getuid() == 0:
            for path in (self.dir, self.home):
                os.chown(path, NOBODY, NOBODY)
            self.switch = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def popen(self, *args, **kw):
        return super().popen(*args, **{**self.switch, **kw})

    def limit(self, pid, words):
        """Sets a limit of one of its processes, as prlimit(1) is told to."""
        subprocess.run(["prlimit", f"--pid={pid}", f"--{words}"], check=True, **self.switch)

    def end(self):
        self("daemon", "stop")
        return super().end()


@contextlib.contextmanager
def ordinary():
    instance = Ordinary()
    try:
        yield instance
    finally:
        end_with(instance)
