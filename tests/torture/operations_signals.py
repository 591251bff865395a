# SPDX-License-Identifier: Apache-2.0
"""Signals that an attached client passes on."""

import signal

from attach import STDOUT, Attachment
from daemon import wait_for
from operation import Operation


class Signals(Operation):
    name = "attached: signals"
    script = (
        "import os, signal\n"
        "mine = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, mine)\n"
        "os.write(1, b'ready\\n')\n"
        "while (got := signal.sigwait(mine)) != signal.SIGUSR2:\n"
        "    os.write(1, got.name.encode() + b'\\n')\n"
    )
    signals = [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT]

    def prepare(self):
        self.spawn("/usr/bin/python3", "-SEc", self.script)
        wait_for(lambda: self.show()["streams"]["stdout"]["written"] == 6, "its word")

    def run(self):
        self.client = Attachment(self.api, self.called)
        for number in self.signals:
            self.client.signal(number)
            self.client.until(lambda: number.name in self.told(), number.name)
        self.client.signal(signal.SIGUSR2)
        self.client.until(lambda: self.client.ended, "the end")
        self.client.close()

    def told(self):
        return self.client.output[STDOUT].decode().split()

    def check(self):
        assert self.told() == ["ready", *(number.name for number in self.signals)]
        self.check_exit(0)


class UncertainSignals(Signals):
    """A signal may have been sent and not have been noted; then it is sent again, never lost."""

    def check(self):
        told = self.told()
        once = list(dict.fromkeys(told))
        assert once == ["ready", *(number.name for number in self.signals)], told
        assert len(told) <= len(once) + 1, told
        self.check_exit(0)
