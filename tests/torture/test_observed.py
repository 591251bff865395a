# SPDX-License-Identifier: Apache-2.0
"""Five million events through rings of 16 KiB: delivered and missed are all that happened."""

import subprocess

import pytest
from daemon import BUILD

PROGRAM = BUILD / "tests" / "unit" / "test_observe_ebpf_loss"


def test_what_was_delivered_and_what_was_missed_is_everything(figure):
    if not PROGRAM.exists():
        pytest.skip("the backend ebpf is not in this build")
    ran = subprocess.run([PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=110)
    text = ran.stdout.decode()
    assert ran.returncode == 0, text
    for line in text.splitlines():
        if "delivered" in line:
            figure("through rings of 16 KiB", line)
