# SPDX-License-Identifier: Apache-2.0
"""The two ways that output takes into a ring: reads by io_uring, and splices."""

import os
import signal

import pytest
from conftest import open_files, wait_for

RING = "anon_inode:[io_uring]"
NUMBERS = 300_000


def has_ring(pid):
    return RING in open_files(pid)


def takeovers(reeve):
    return reeve.log().count("took over the sessions of a keeper that died")


def another_keeper(reeve):
    """Ends the keeper, and waits for the next to have all: until then it needs the engine."""
    before = takeovers(reeve)
    os.kill(reeve.status()["keeperPid"], signal.SIGKILL)
    wait_for(lambda: takeovers(reeve) > before, what="another keeper")
    return reeve.status()["keeperPid"]


def test_engines_and_keepers_inherit_the_ring_of_reads(reeve):
    keeper = reeve.start()["keeperPid"]
    if not has_ring(keeper):
        assert "output is not captured by io_uring" in reeve.log()
        return
    for _ in range(2):
        assert has_ring(reeve.kill_engine())
        keeper = another_keeper(reeve)
        assert has_ring(keeper)
        assert has_ring(reeve.status()["enginePid"])


@pytest.mark.parametrize("way", ["", "splice"])
def test_output_is_whole_in_either_way(reeve, way):
    reeve.env["REEVE_CAPTURE"] = way
    status = reeve.start()
    if way == "splice":
        assert not has_ring(status["keeperPid"]) and not has_ring(status["enginePid"])
    script = f"seq {NUMBERS}; read line; seq {NUMBERS}; seq {NUMBERS} >&2"
    client = reeve.popen("run", "--", "sh", "-c", script)
    engine = reeve.kill_engine()
    client.stdin.write(b"go on\n")
    client.stdin.flush()
    os.kill(engine, signal.SIGKILL)
    out, err = client.communicate(timeout=60)
    numbers = "".join(f"{n}\n" for n in range(1, NUMBERS + 1)).encode()
    assert client.returncode == 0
    assert err == numbers
    assert out == numbers * 2
