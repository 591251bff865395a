# SPDX-License-Identifier: Apache-2.0
"""Output that its client reads from the rings themselves."""

import os
import random
import subprocess

from daemon import HELPERS, TIMEOUT, wait_for
from operation import Triggered, same_bytes, stream


class LentOutput(Triggered):
    name = "output, large, read from its rings by `reeve run`"
    size = 1_500_000

    def prepare(self):
        self.seed = random.getrandbits(32)
        self.fifo = self.daemon.dir / f"{self.called}.fifo"
        os.mkfifo(self.fifo)
        line = f"read go <{self.fifo}; exec {HELPERS}/torture-stream {self.seed} {self.size}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.client = self.daemon.reeve("run", "--name", self.called, "-c", line, **pipes)
        wait_for(lambda: any(s["attached"] for s in self.api.sessions()), "the client")

    def run(self):
        self.trigger()
        self.got = self.client.communicate(timeout=TIMEOUT)

    def check(self):
        same_bytes(self.got[0], stream(self.seed, self.size))
        assert (self.client.returncode, self.got[1]) == (0, b"")
        self.check_exit(0)
        self.check_records()
