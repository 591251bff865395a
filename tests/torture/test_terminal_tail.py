# SPDX-License-Identifier: Apache-2.0
"""The tail of the output of a command on a terminal that writes 2 MB and ends at once is there."""

import concurrent.futures
import subprocess

from daemon import size
from test_tail import busy

COMMAND = ("seq", "1", "300000")
BACKLOG = 4 << 20


def in_the_foreground(daemon):
    client = daemon.reeve("run", "--pty", "--rm", "--", *COMMAND, stdout=subprocess.PIPE)
    output = client.communicate()[0]
    daemon.clients.remove(client)
    assert client.returncode == 0, daemon.tail()
    return output


def in_the_background(daemon):
    """Read as soon as the exit is known."""
    session = daemon.spawn(*COMMAND, kind="pty", backlogBytes=BACKLOG)["processId"]
    assert daemon.api.wait(session)["exitCode"] == 0
    output = daemon.api.output(session, "pty")
    daemon.api.ok("DELETE", f"/v1/sessions/{session}?force=true")
    return output


def test_no_terminal_loses_its_tail(daemon, figure):
    runs = size(1000, 20)
    bare = subprocess.run(COMMAND, capture_output=True, check=True).stdout
    expected = bare.replace(b"\n", b"\r\n")
    assert len(expected) > 2_000_000

    def run(n):
        output = (in_the_foreground, in_the_background)[n % 2](daemon)
        return len(expected) - len(output), output != expected

    before = daemon.quiet()
    with busy(), concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(runs)))
    lost = sum(missing for missing, _ in results)
    figure("terminal tail, runs of 2 MB", runs)
    figure("terminal tail, bytes lost", lost)
    assert lost == 0 and not any(wrong for _, wrong in results)
    daemon.settle(before)
