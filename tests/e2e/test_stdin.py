# SPDX-License-Identifier: Apache-2.0
"""What is written to a session's stdin: exact, by offset, and never in anybody's way."""

import pytest
from conftest import wait_for

pytestmark = pytest.mark.shared

RING = 128 * 1024  # what the daemon takes ahead of the command
PIPE = 4096  # and the kernel's pipe behind it


def cat(api, **fields):
    return api.spawn("cat", stdin="pipe", **fields)


def taken(answer):
    """(accepted, offset, closed)"""
    assert answer.status == 200, answer.body
    return answer.json["accepted"], answer.json["offset"], answer.json["closed"]


def wait_output(api, session, data):
    wait_for(lambda: api.raw(session, stream="stdout") == data, what=f"the output {data[:40]!r}")


def test_bytes_arrive_as_they_were_sent(api):
    session = cat(api)
    data = b"line\r\n\n\0\xff no newline"
    assert taken(api.stdin(session, data)) == (len(data), len(data), False)
    wait_output(api, session, data)


def test_end_of_file_reaches_the_command(api):
    session = cat(api)
    assert taken(api.stdin(session, b"last words", eof="true")) == (10, 10, True)
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert api.raw(session) == b"last words"


def test_end_of_file_may_come_alone_and_twice(api):
    session = cat(api)
    api.stdin(session, b"x")
    assert taken(api.stdin(session, None, eof="true")) == (0, 1, True)
    assert taken(api.stdin(session, None, eof="true")) == (0, 1, True)
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert taken(api.stdin(session, None, eof="true")) == (0, 1, True)


def test_after_the_end_of_file_nothing_more_is_taken(api):
    session = api.sh("cat; exec sleep 1000", stdin="pipe")
    api.stdin(session, b"one", eof="true")
    answer = api.stdin(session, b"two")
    assert (answer.status, answer.code) == (409, "stdin_closed")
    wait_output(api, session, b"one")


def test_a_repeated_request_types_once(api):
    session = cat(api)
    assert taken(api.stdin(session, b"hello\n", at=0)) == (6, 6, False)
    assert taken(api.stdin(session, b"hello\n", at=0)) == (6, 6, False)
    assert taken(api.stdin(session, b"lo\nmore\n", at=3)) == (8, 11, False)
    wait_output(api, session, b"hello\nmore\n")
    api.stdin(session, None, eof="true")
    assert api.output(session) == b"hello\nmore\n"


def test_a_repeated_request_is_answered_after_the_end_of_file_too(api):
    session = cat(api)
    api.stdin(session, b"hello\n", at=0, eof="true")
    api.ended(session)
    assert taken(api.stdin(session, b"hello\n", at=0, eof="true")) == (6, 6, True)
    assert api.output(session) == b"hello\n"


def test_a_gap_is_refused_and_nothing_is_taken(api):
    session = cat(api)
    api.stdin(session, b"abc")
    answer = api.stdin(session, b"x", at=4)
    assert (answer.status, answer.code) == (409, "wrong_offset")
    error = answer.json["error"]
    assert "3" in error["message"] and error["details"]["offset"] == 3
    api.stdin(session, None, eof="true")
    assert api.output(session) == b"abc"


def test_the_offset_outlives_the_engine(reeve, api):
    session = cat(api)
    api.stdin(session, b"abc", at=0)
    reeve.kill_engine()
    assert taken(api.stdin(session, b"abcdef", at=0)) == (6, 6, False)
    api.stdin(session, None, eof="true")
    assert api.output(session) == b"abcdef"


def test_a_command_that_does_not_read_is_told_by_how_much_was_taken(api):
    session = api.sh("read x; exec cat", stdin="pipe")
    quiet = api.spawn("sleep", "1000", stdin="pipe")
    data = b"x" * (1 << 20)
    accepted, offset, closed = taken(api.stdin(quiet, data))
    assert RING <= accepted == offset <= RING + 2 * PIPE and not closed
    assert taken(api.stdin(quiet, data))[0] <= PIPE
    # Everybody else goes on.
    assert taken(api.stdin(session, b"\n"))[0] == 1


def test_input_that_was_not_taken_is_not_followed_by_an_end_of_file(api):
    session = api.spawn("sleep", "1000", stdin="pipe")
    accepted, offset, closed = taken(api.stdin(session, b"x" * (1 << 20), eof="true"))
    assert accepted < 1 << 20 and not closed


def test_a_megabyte_passes_in_as_many_requests_as_it_takes(api):
    session = cat(api, backlogBytes=4 << 20)
    data = b"".join(b"%07d\n" % i for i in range(1 << 17))
    offset = 0
    while offset < len(data):
        accepted, offset, _ = taken(api.stdin(session, data[offset:], at=offset))
    api.stdin(session, None, eof="true")
    assert api.output(session) == data


def test_a_body_over_the_limit_is_refused(api):
    answer = api.stdin(cat(api), b"x" * ((1 << 20) + 1))
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_session_without_stdin_says_so(api):
    answer = api.stdin(api.spawn("sleep", "1000"), b"x")
    assert (answer.status, answer.code) == (409, "stdin_closed")
    assert "/dev/null" in answer.json["error"]["message"]


def test_a_command_that_closed_its_stdin_is_no_harm(api):
    session = api.sh("exec <&-; echo closed; exec sleep 1000", stdin="pipe")
    api.logs(session, wait="20s")
    wait_for(
        lambda: api.stdin(session, b"x").status == 409, what="the news that nobody reads any more"
    )
    assert api.stdin(session, b"x").code == "stdin_closed"


def test_stdin_of_an_ended_session_is_closed(api):
    session = api.spawn("true", stdin="pipe")
    api.ended(session)
    assert api.stdin(session, b"x").code == "stdin_closed"


@pytest.mark.parametrize(
    "query",
    [{"at": "-1"}, {"at": "x"}, {"at": str(1 << 63)}, {"eof": "maybe"}, {"to": "1"}],
    ids=str,
)
def test_a_query_that_makes_no_sense_is_refused_by_name(api, query):
    session = cat(api)
    answer = api.stdin(session, b"x", **query)
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert next(iter(query)) in answer.json["error"]["message"]
    api.stdin(session, None, eof="true")
    assert api.output(session) == b""
