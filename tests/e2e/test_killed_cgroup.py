# SPDX-License-Identifier: Apache-2.0
"""A session's cgroup that somebody killed before there was anything in it: the kernel kills what is
made in such a one by a process outside of it."""

import leaves
import pytest


@pytest.mark.parametrize("observed", [False, True])
def test_a_command_starts_in_it(reeve, observed):
    api = reeve.api
    keeper = reeve.status()["keeperPid"]
    api.wait(api.sh("true"), "exit")  # for it, whether one can be made there was tried out
    fields = {"observe": {"categories": ["process"]}} if observed else {}
    for _ in range(4):
        leaves.kill_unused(keeper)
        for i in range(3):
            session = api.sh(f"echo {i}; exit {i}", **fields)
            api.wait(session, "exit")
            assert api.show(session)["exit"]["exitCode"] == i
            assert api.output(session) == f"{i}\n".encode()
