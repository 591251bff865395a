# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to the events of sessions."""

import contextlib
import json

from conftest import TIMEOUT, wait_for


def subscribe(api, session, *categories, **fields):
    answer = api.post(api.path_of(session, "/observers"), {"categories": categories, **fields})
    assert answer.status == 201, answer.body
    return answer.json


def path_of(api, session, subscriber="sub-1", action="", **query):
    return api.path_of(session, f"/observers/{subscriber}{action}", **query)


def status(api, session, subscriber="sub-1"):
    answer = api.get(path_of(api, session, subscriber))
    assert answer.status == 200, answer.body
    return answer.json


def events(api, session, subscriber="sub-1", **query):
    """All events until the answer ends."""
    answer = api.get(path_of(api, session, subscriber, "/events", **query))
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


class Stream:
    """A reader that stays."""

    def __init__(self, api, session, subscriber="sub-1", headers=None, **query):
        self.connection = api.connect(TIMEOUT)
        target = path_of(api, session, subscriber, "/events", **query)
        self.connection.request("GET", target, headers=headers or {})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def next(self):
        """The next event; None at the end."""
        line = self.response.readline()
        return json.loads(line) if line else None

    def close(self):
        self.response.close()
        self.connection.close()


@contextlib.contextmanager
def reading(*args, **kw):
    stream = Stream(*args, **kw)
    try:
        yield stream
    finally:
        stream.close()


def kinds(seen, category=None):
    return [e["kind"] for e in seen if category in (None, e["category"])]


def exactly(seen, first=1):
    """That no event is missing and none comes twice."""
    numbers = [e["seq"] for e in seen]
    assert numbers == list(range(first, first + len(numbers))), numbers


def counted(api, session, subscriber="sub-1"):
    """The status once all is over."""
    wait_for(lambda: status(api, session, subscriber)["over"], what="the end of events")
    return status(api, session, subscriber)


def seeing(api, category):
    """`backends` of a request so that all of a category is seen, whoever runs the test."""
    found = api.get("/v1/capabilities?probe=true").json["backends"]
    whole = [b for b in found if (b["category"], b["support"]) == (category, "supported")]
    assert whole, f"no backend sees all of {category} here"
    whole.sort(key=lambda b: b["onRequest"])
    return {category: whole[0]["backend"]}


def capability(api, category):
    answer = api.get("/v1/capabilities")
    assert answer.status == 200, answer.body
    return next(c for c in answer.json["capabilities"] if c["category"] == category)
