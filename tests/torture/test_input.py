# SPDX-License-Identifier: Apache-2.0
"""What is typed into `reeve run` reaches the command once and in order, however many engines die."""

import hashlib
import random
import subprocess

from daemon import HELPERS, size


def test_every_byte_of_input_survives_kills_of_the_engine(daemon, figure):
    total, kills = size(200 << 20, 16 << 20), size(100, 12)
    seed = random.getrandbits(32)
    source = subprocess.Popen(
        [HELPERS / "torture-stream", str(seed), str(total)], stdout=subprocess.PIPE
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    errors = open(daemon.dir / "errors", "w+b")
    client = daemon.reeve("run", "--", "sha256sum", stderr=errors, **pipes)
    moments = sorted(random.randrange(total) for _ in range(kills))
    expected = hashlib.sha256()
    written = killed = 0
    while piece := source.stdout.read1(1 << 16):
        expected.update(piece)
        try:
            client.stdin.write(piece)
        except BrokenPipeError:
            raise AssertionError((daemon.dir / "errors").read_text() + daemon.tail()) from None
        written += len(piece)
        while moments and written >= moments[0]:
            daemon.kill_engine()
            moments.pop(0)
            killed += 1
    client.stdin.close()
    assert source.wait() == 0 and written == total
    got = client.stdout.read().split()[0].decode()
    assert (client.wait(), got) == (0, expected.hexdigest()), daemon.tail()
    assert killed == kills
    figure("input, MiB through sha256sum", total >> 20)
    figure("input, engines killed meanwhile", killed)
    figure("input, bytes lost or typed twice", 0)
