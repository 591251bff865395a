# SPDX-License-Identifier: Apache-2.0
"""The screen of a terminal, whose record is renewed while its output goes on."""

from operation import Triggered

ROWS = 60  # of 1800 bytes: the ring is turned, and the record renewed, several times

DRAWING = rf"""
stty raw -echo
printf '\033]2;the title\007\033[?2004h\033[2J\033[Hhead\033[5;20r'
n=0
while [ $n -lt {ROWS} ]; do
	n=$((n + 1))
	printf '\033[5;1H\033[Krow %d \033[9;1H%880s\033[9;1H%880s' $n . .
	sleep 0.005
done
printf '\033[24;1Hfoot'
"""


class ScreenRenewed(Triggered):
    name = "terminal: screen renewed"

    def prepare(self):
        self.prepare_shell(DRAWING, kind="pty", backlogBytes=1 << 16, rows=24, cols=80)

    def run(self):
        self.trigger()
        self.api.wait(self.called)

    def check(self):
        self.check_exit(0)
        assert self.show()["streams"]["pty"]["retainedFrom"] > 0
        seen = self.api.ok("GET", f"/v1/sessions/{self.called}/screen")
        assert seen["title"] == "the title" and seen["modes"]["bracketedPaste"] is True
        assert seen["lines"][4] == f"row {ROWS}" and seen["lines"][23] == "foot", seen
        # Where the engine came back too late to have it drawn, it says so.
        assert seen["lines"][0] == "head" or not seen["whole"], seen
