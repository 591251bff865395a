# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the torture tests, and the list of figures at the end.

REEVE_TORTURE=full asks for full sizes (`./dev torture` does), REEVE_SEED for the random numbers of an
earlier run.
"""

import os
import pathlib
import random
import sys

import pytest
from daemon import Daemon

# The tests may import what stands there, too.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "common"))

SEED = int(os.environ.get("REEVE_SEED") or random.SystemRandom().getrandbits(32))


@pytest.fixture(autouse=True)
def seed(request):
    """Every test draws its random numbers from the run's seed and its own name."""
    random.seed(f"{SEED} {request.node.name}")
    return SEED


@pytest.fixture
def make_daemon():
    """Makes daemons, each with a directory of its own; all end with the test."""
    daemons = []

    def make(**environment):
        daemons.append(Daemon(**environment))
        return daemons[-1]

    yield make
    complaints = [text for daemon in daemons if (text := daemon.end())]
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def daemon(make_daemon):
    return make_daemon()


@pytest.fixture
def figure(request):
    """figure("what was counted", value): a line of its own in the report."""

    def note(what, value):
        request.node.user_properties.append(("figure", f"{what}: {value}"))

    return note


def pytest_terminal_summary(terminalreporter):
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"the random numbers: REEVE_SEED={SEED}")
    reports = [r for rs in terminalreporter.stats.values() for r in rs if hasattr(r, "when")]
    lines = {
        (report.nodeid, text): None
        for report in reports
        if report.when == "teardown" or report.outcome == "failed"
        for name, text in report.user_properties
        if name == "figure"
    }
    if not lines:
        return
    terminalreporter.section("figures")
    for nodeid, text in sorted(lines):
        terminalreporter.write_line(text)
