# SPDX-License-Identifier: Apache-2.0
"""Where records stand in the control memory."""

RUNS = 20


def test_what_was_removed_makes_room_for_what_comes(daemon):
    places = set()
    for _ in range(RUNS):
        session = daemon.spawn("true")
        daemon.api.wait(session["processId"], "tree")
        places.add(daemon.control.slot(session["handle"]).number)
        daemon.api.ok("DELETE", f"/v1/sessions/{session['processId']}")
    assert places == {1}
