# SPDX-License-Identifier: Apache-2.0
"""How long ended sessions are kept is the user's to say, in the configuration file."""

import pytest
from conftest import wait_for


@pytest.fixture
def configured(reeve):
    """configured(TEXT): the API of a daemon whose configuration file says so."""

    def start(text):
        (reeve.dir / "config").write_text(text)
        return reeve.api

    return start


def names(api):
    return {session["name"] for session in api.get("/v1/sessions").json["items"]}


def ended(api, name, **fields):
    """It may be removed before anybody has looked."""
    session = api.spawn("true", name=name, **fields)
    answer = api.post(api.path_of(session, "/wait"), {"until": [{"tree": True}]})
    assert answer.status in (200, 404), answer.body


def test_ended_sessions_go_when_they_are_old(configured):
    api = configured("[sessions]\nkeep-for = 50ms\nkeep-at-least = 1ms\n")
    api.spawn("sleep", "1000", name="runs")
    ended(api, "own", ttl="1h")
    ended(api, "old")
    wait_for(lambda: names(api) == {"runs", "own"}, what="the end of the old one")


def test_of_too_many_the_oldest_go(configured):
    api = configured("[sessions]\nkeep-count = 3\nkeep-at-least = 1ms\n")
    for i in range(8):
        ended(api, f"s{i}")
    wait_for(lambda: names(api) == {"s5", "s6", "s7"}, what="room for the newest three")


def test_a_young_session_stays_whatever_the_limits(configured):
    api = configured("[sessions]\nkeep-for = 1ms\nkeep-count = 1\nkeep-at-least = 1h\n")
    for i in range(4):
        ended(api, f"s{i}")
    ended(api, "own", ttl="1ms")  # housekeeping has looked when this one is gone
    wait_for(lambda: "own" not in names(api), what="a look at all")
    assert names(api) == {"s0", "s1", "s2", "s3"}


def test_a_wrong_line_is_named_and_stops_nobody(reeve, configured):
    api = configured("[sessions]\nkeep-for = soon\nkeep-count = 1\nkeep-at-least = 1ms\nnonsense\n")
    for i in range(3):
        ended(api, f"s{i}")
    wait_for(lambda: names(api) == {"s2"}, what="the lines that are right")
    path, log = reeve.dir / "config", reeve.log().replace('\\"', '"')
    assert f'{path}:2: keep-for: "soon" is no duration' in log
    assert f'{path}:5: "nonsense" is neither' in log


def test_a_new_engine_reads_the_configuration_again(reeve, configured):
    api = configured("[sessions]\nkeep-at-least = 1ms\n")
    ended(api, "old")
    (reeve.dir / "config").write_text("[sessions]\nkeep-for = 1ms\nkeep-at-least = 1ms\n")
    reeve.kill_engine()
    wait_for(lambda: names(api) == set(), what="the new limit")
