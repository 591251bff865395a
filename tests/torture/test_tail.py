# SPDX-License-Identifier: Apache-2.0
"""The tail of the output of a command that ends at once is there, also when the machine is busy."""

import concurrent.futures
import contextlib
import os
import subprocess

from daemon import size


@contextlib.contextmanager
def busy():
    """As many processes that do nothing, quickly, as there are processors."""
    command = ["sh", "-c", "while :; do :; done"]
    spinners = [subprocess.Popen(command) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def in_the_foreground(daemon):
    client = daemon.reeve("run", "--rm", "--", "seq", "1", "20000", stdout=subprocess.PIPE)
    output = client.communicate()[0]
    daemon.clients.remove(client)
    assert client.returncode == 0, daemon.tail()
    return output


def in_the_background(daemon):
    """Read as soon as the exit is known."""
    session = daemon.spawn("seq", "1", "20000")["processId"]
    assert daemon.api.wait(session)["exitCode"] == 0
    output = daemon.api.output(session)
    daemon.api.ok("DELETE", f"/v1/sessions/{session}?force=true")
    return output


def test_no_short_run_loses_its_tail(daemon, figure):
    runs = size(10_000, 200)
    expected = subprocess.run(["seq", "1", "20000"], capture_output=True, check=True).stdout

    def run(n):
        output = (in_the_foreground, in_the_background)[n % 2](daemon)
        return len(expected) - len(output), output != expected

    before = daemon.quiet()
    with busy(), concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(runs)))
    lost = sum(missing for missing, _ in results)
    figure("tail, short runs", runs)
    figure("tail, bytes lost", lost)
    assert lost == 0 and not any(wrong for _, wrong in results)
    daemon.settle(before)
