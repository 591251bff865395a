# SPDX-License-Identifier: Apache-2.0
"""The engine is killed at every store to control memory of every operation in turn: before it and
behind it. Then all must be as if nothing had happened. The same with keeper and spawner."""

import random

import pytest
from daemon import FULL, Control, size, wait_for
from operations import ALL, KEEPERS, SPLICED, UncertainSpawn

CENSUS_EVERY_TIME = ("processes", "keeper", "engine")


def passages_of(daemon, operation, role):
    """How many passages of the hook it makes, undisturbed."""
    operation.prepare()
    daemon.control.arm(role, Control.NEVER)
    operation.run()
    count = Control.NEVER - daemon.control.left(role)
    daemon.control.arm(role, 0)
    operation.check()
    operation.clean()
    return count


def strike_at(daemon, operation, role, n):
    """Does the operation and kills at passage `n`; returns how many were missing to that."""
    operation.prepare()
    takeovers = daemon.takeovers()
    daemon.control.arm(role, n)
    operation.run()
    left = daemon.control.left(role)
    daemon.control.arm(role, 0)
    if left == 0 and role == Control.KEEPER:
        wait_for(lambda: daemon.takeovers() > takeovers, "another keeper")
    operation.check()
    operation.clean()
    return left


def moments(count):
    """The passages to strike at. How many an operation makes differs a little from time to time."""
    if FULL:
        return range(1, 2 * count)
    return sorted({1, 2, *random.sample(range(1, count + 1), min(count, 10))})


def strike_everywhere(daemon, operation, role, census):
    """Strikes at one passage after the other, until the operation is over before. Returns the number
    of passages that were hit."""
    before = daemon.quiet()
    count = min(passages_of(daemon, operation(daemon), role) for _ in range(3))
    hits = misses = 0
    fewest = count
    for n in moments(count):
        try:
            left = strike_at(daemon, operation(daemon), role, n)
            daemon.settle(before, census)
        except BaseException:
            print(f"{operation.name}: killed at passage {n} of about {count}")
            raise
        assert daemon.roster() == [], n
        hits += left == 0
        misses = misses + 1 if left else 0
        fewest = min(fewest, n - left) if left else fewest
        if misses == 5:
            break
    daemon.settle(before)
    # Some have hardly more passages than a few, and now and then one less.
    assert hits >= size(fewest, min(fewest, 8)) // 2
    return hits


@pytest.mark.parametrize("operation", ALL, ids=lambda o: o.name)
def test_the_engine_dies_at_each_store(daemon, figure, operation):
    hits = strike_everywhere(daemon, operation, Control.ENGINE, CENSUS_EVERY_TIME)
    figure(f"stores, {operation.name}, kills", hits)


@pytest.mark.parametrize("operation", SPLICED, ids=lambda o: o.name)
def test_the_engine_dies_at_each_store_where_output_is_spliced(make_daemon, figure, operation):
    daemon = make_daemon(REEVE_CAPTURE="splice")
    hits = strike_everywhere(daemon, operation, Control.ENGINE, CENSUS_EVERY_TIME)
    figure(f"stores, {operation.name}, spliced, kills", hits)


@pytest.mark.parametrize("operation", KEEPERS, ids=lambda o: o.name)
def test_the_keeper_dies_at_each_store(daemon, figure, operation):
    daemon.kill_keeper()
    hits = strike_everywhere(daemon, operation, Control.KEEPER, CENSUS_EVERY_TIME)
    figure(f"stores, {operation.name}, kills of the keeper", hits)


def test_the_spawner_or_the_child_dies_at_each_store(daemon, figure):
    hits = strike_everywhere(daemon, UncertainSpawn, Control.SPAWNER, CENSUS_EVERY_TIME)
    figure("stores, spawn, kills of the spawner and of the child before its execve", hits)
