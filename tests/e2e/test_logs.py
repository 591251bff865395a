# SPDX-License-Identifier: Apache-2.0
"""What a session has written is read back byte for byte, whole or in part."""

import base64
import contextlib
import json
import threading

import pytest
from conftest import wait_for
from frames import Connection

pytestmark = pytest.mark.shared

ODD = b"one\r\n\n\0two\xff\xfe\tprompt> "
ROUND = 1 << 20  # the default backlog


def python(script):
    return ("/usr/bin/python3", "-c", script)


def write(data, end=""):
    """A command that writes bytes, and then runs `end`."""
    return python(f"import os, time\nos.write(1, {data!r})\n{end}")


def big(n):
    """n bytes in which each place can be told from any other."""
    return b"".join(b"%07d\n" % i for i in range(n // 8 + 1))[:n]


BIG = "b''.join(b'%07d\\n' % i for i in range({0} // 8 + 1))[:{0}]"


def write_big(n):
    return python(f"import sys\nsys.stdout.buffer.write({BIG.format(n)})")


def ended(api, *command, **fields):
    session = api.spawn(*command, **fields)
    api.wait(session, "eof")
    api.wait(session, "tree")
    return session


# --- byte-exact ----------------------------------------------------------------------------------


def test_output_is_kept_to_the_byte(api):
    session = ended(api, *write(ODD))
    assert api.raw(session, stream="stdout") == ODD
    page = api.logs(session, stream="stdout")
    assert base64.b64decode(page["base64"]) == ODD
    assert (page["from"], page["next"], page["dropped"], page["omitted"]) == (0, len(ODD), 0, 0)
    assert (page["eof"], page["status"], page["exitCode"]) == (True, "exited", 0)


def test_output_that_is_utf_8_is_given_as_text(api):
    text = "Grüße\r\n\n\t\u20ac\0 end"
    assert api.logs(ended(api, *write(text.encode())), stream="stdout")["text"] == text


def test_both_streams_are_kept_apart_and_shown_in_their_order(api):
    session = api.sh("echo 1; read x; echo 2 >&2; read x; echo 3", stdin="pipe")
    for seen in (b"1\n", b"1\n2\n", b"1\n2\n3\n"):
        wait_for(lambda: api.raw(session) == seen, what=f"the output of {seen!r}")
        api.stdin(session, b"\n")
    api.wait(session, "eof")
    assert api.raw(session, stream="stdout") == b"1\n3\n"
    assert api.raw(session, stream="stderr") == b"2\n"
    page = api.logs(session)
    assert (page["stream"], page["text"]) == ("all", "1\n2\n3\n")
    assert page["from"] == {"stdout": 0, "stderr": 0}
    assert page["next"] == {"stdout": 4, "stderr": 2}


def test_merged_streams_are_one_in_exact_order(api):
    script = "import os\nfor i in range(2000): os.write(1 + i % 2, b'%d\\n' % i)"
    session = ended(api, *python(script), mergeStderr=True)
    assert api.raw(session, stream="stdout") == b"".join(b"%d\n" % i for i in range(2000))
    answer = api.get(api.path_of(session, "/logs", stream="stderr"))
    assert (answer.status, answer.code) == (409, "stream_unavailable")
    assert "stdout" in answer.json["error"]["message"]
    assert set(api.show(session)["streams"]) == {"stdout"}


def test_output_of_a_megabyte_and_more_is_exact_in_an_ample_backlog(api):
    session = ended(api, *write_big(5 * ROUND), backlogBytes=8 * ROUND)
    assert api.raw(session, stream="stdout") == big(5 * ROUND)
    assert api.show(session)["streams"]["stdout"] == {
        "written": 5 * ROUND, "retainedFrom": 0, "dropped": 0, "ended": True,
    }  # fmt: skip


def test_the_oldest_output_goes_first_and_is_counted(api):
    size = 3 * ROUND + 12345
    session = ended(api, *write_big(size))
    assert api.raw(session, stream="stdout") == big(size)[-ROUND:]
    stream = api.show(session)["streams"]["stdout"]
    assert (stream["written"], stream["retainedFrom"]) == (size, size - ROUND)
    assert stream["dropped"] == size - ROUND


def test_a_backlog_is_rounded_up_to_a_power_of_two(api):
    session = ended(api, *write_big(ROUND), backlogBytes=5000)
    assert api.raw(session, stream="stdout") == big(ROUND)[-8192:]


def test_many_small_writes_are_all_kept(api):
    script = "import os\nfor i in range(30000): os.write(1, b'%06d\\n' % i)"
    session = ended(api, *python(script))
    assert api.raw(session, stream="stdout") == b"".join(b"%06d\n" % i for i in range(30000))


# --- parts ---------------------------------------------------------------------------------------


def test_reading_goes_on_where_the_last_page_ended(api):
    session = api.sh("echo one; read x; echo two", stdin="pipe")
    first = api.logs(session, stream="stdout", wait="20s")
    assert (first["text"], first["next"], first["eof"]) == ("one\n", 4, False)
    assert api.logs(session, stream="stdout", from_=4)["text"] == ""
    api.stdin(session, b"\n")
    second = api.logs(session, stream="stdout", from_=first["next"], wait="20s")
    assert (second["from"], second["text"], second["next"]) == (4, "two\n", 8)


def test_a_from_that_is_overwritten_gives_what_is_left_and_how_much_is_gone(api):
    size = 2 * ROUND
    session = ended(api, *write_big(size))
    page = api.logs(session, stream="stdout", from_=1000)
    assert page["dropped"] == ROUND - 1000
    assert (page["from"], page["next"]) == (1000, size)
    assert page["text"].encode() == big(size)[-ROUND:]
    answer = api.get(api.path_of(session, "/logs", stream="stdout", from_=1000, format="raw"))
    assert (answer.status, answer.headers["Reeve-Dropped"]) == (200, str(ROUND - 1000))
    assert (answer.headers["Reeve-From"], answer.headers["Reeve-Next"]) == (str(ROUND), str(size))
    assert answer.body == big(size)[-ROUND:]


def test_a_from_beyond_the_end_gives_nothing(api):
    session = ended(api, *write(b"abc"))
    page = api.logs(session, stream="stdout", from_=1000)
    assert (page["text"], page["dropped"]) == ("", 0)
    assert api.raw(session, stream="stdout", from_=3) == b""
    assert api.raw(session, stream="stdout", from_=2) == b"c"


def test_from_needs_one_stream(api):
    session = ended(api, *write(b"abc"))
    answer = api.get(api.path_of(session, "/logs", from_=1))
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "stream" in answer.json["error"]["message"]
    merged = ended(api, *write(b"abc"), mergeStderr=True)
    assert api.raw(merged, from_=1) == b"bc"


LINES = b"a\nbb\n\nccc\nlast without an end"


@pytest.mark.parametrize(
    "query, wanted",
    [
        ({"tail": 0}, b""),
        ({"tail": 1}, b"last without an end"),
        ({"tail": 2}, b"ccc\nlast without an end"),
        ({"tail": 3}, b"\nccc\nlast without an end"),
        ({"tail": 99}, LINES),
        ({"head": 0}, b""),
        ({"head": 1}, b"a\n"),
        ({"head": 3}, b"a\nbb\n\n"),
        ({"head": 99}, LINES),
        ({"tail": 3, "head": 1}, b"\n"),
    ],
    ids=str,
)
def test_head_and_tail_count_lines(api, query, wanted):
    session = ended(api, *write(LINES))
    assert api.raw(session, stream="stdout", **query) == wanted
    assert api.logs(session, stream="stdout", **query)["text"].encode() == wanted


def test_the_tail_of_output_that_was_overwritten_is_right(api):
    session = ended(api, *write_big(3 * ROUND + 80))
    assert api.raw(session, stream="stdout", tail=3) == big(3 * ROUND + 80)[-24:]


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 1000])
def test_over_the_limit_the_head_and_the_tail_are_kept(api, limit):
    data = big(2000)
    session = ended(api, *write(data))
    page = api.logs(session, stream="stdout", limit=limit)
    front = limit - limit // 2
    assert page["text"].encode() == data[:front] + data[len(data) - limit // 2 :]
    assert (page["omitted"], page["omittedAt"]) == (len(data) - limit, front)
    answer = api.get(api.path_of(session, "/logs", stream="stdout", limit=limit, format="raw"))
    assert answer.body == page["text"].encode()
    assert answer.headers["Reeve-Omitted"] == str(len(data) - limit)


def test_within_the_limit_nothing_is_left_out(api):
    session = ended(api, *write(big(2000)))
    page = api.logs(session, stream="stdout", limit=2000)
    assert (len(page["text"]), page["omitted"]) == (2000, 0)
    assert "omittedAt" not in page


def test_a_json_page_has_at_most_eight_megabytes(api):
    session = ended(api, *write_big(9 * ROUND), backlogBytes=16 * ROUND)
    page = api.logs(session, stream="stdout")
    assert (len(page["text"]), page["omitted"]) == (8 * ROUND, ROUND)


def test_since_leaves_out_what_was_written_before(api):
    session = api.sh("echo old; read x; echo new", stdin="pipe")
    api.logs(session, wait="20s")
    lines = api.get(api.path_of(session, "/logs", format="ndjson")).body
    before = json.loads(lines.splitlines()[0])["time"]
    wait_for(lambda: api.raw(session, since="10ms") == b"", what="ten milliseconds of silence")
    api.stdin(session, b"\n")
    api.wait(session, "eof")
    assert api.raw(session, since="1h") == b"old\nnew\n"
    assert api.raw(session, since=before) == b"old\nnew\n"
    times = [
        json.loads(line)["time"]
        for line in api.get(api.path_of(session, "/logs", format="ndjson")).body.splitlines()
    ]
    assert api.raw(session, since=times[1]) == b"new\n"
    assert api.raw(session, since="9000-01-01T00:00:00Z") == b""


def test_grep_keeps_the_lines_that_match(api):
    session = ended(api, *write(b"apple\nbanana\ncherry apple\nlast"))
    assert api.raw(session, grep="apple") == b"apple\ncherry apple\n"
    assert api.raw(session, grep="^(apple|last)$") == b"apple\nlast"
    assert api.raw(session, grep="nothing") == b""
    answer = api.get(api.path_of(session, "/logs", grep="(", format="raw"))
    assert (answer.status, answer.code) == (400, "invalid_argument")


def test_control_sequences_can_be_left_out(api):
    session = ended(api, *write(b"\x1b[1;31mred\x1b[0m plain\n\x1b]0;title\x07end\n"))
    assert api.raw(session, ansi="strip") == b"red plain\nend\n"
    assert api.raw(session, ansi="keep").startswith(b"\x1b[1;31m")


def test_lines_as_objects_have_stream_offset_and_time(api):
    session = ended(api, *write(b"one\n\xff\npartial"))
    body = api.get(api.path_of(session, "/logs", stream="stdout", format="ndjson")).body
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["offset"] for line in lines] == [0, 4, 6]
    assert lines[0]["text"] == "one" and lines[2]["text"] == "partial"
    assert base64.b64decode(lines[1]["base64"]) == b"\xff"
    assert [line.get("partial", False) for line in lines] == [False, False, True]


# --- waiting and following -----------------------------------------------------------------------


def test_wait_answers_when_something_comes(api):
    session = api.sh("read x; echo news; read y", stdin="pipe")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.logs(session, wait="20s")))
    thread.start()
    api.stdin(session, b"\n")
    thread.join(20)
    assert answers[0]["text"] == "news\n" and not answers[0]["eof"]


def test_wait_gives_up_after_its_time_with_an_empty_page(api):
    page = api.logs(api.spawn("sleep", "1000"), stream="stdout", wait="20ms")
    assert (page["text"], page["eof"], page["status"]) == ("", False, "running")


def test_wait_ends_with_the_session(api):
    session = api.spawn("sleep", "1000")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.logs(session, wait="20s")))
    thread.start()
    api.kill(session)
    thread.join(20)
    assert answers[0]["text"] == "" and (answers[0]["eof"] or answers[0]["status"] == "exited")


def test_wait_ends_with_the_removal_of_the_session(api):
    session = api.spawn("sleep", "1000")
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(api.get(api.path_of(session, "/logs", wait="20s")))
    )
    thread.start()
    api.delete(api.path_of(session, force="true"))
    thread.join(20)
    # It ended before it was removed: either is a true answer.
    assert answers[0].status in (200, 404)


@contextlib.contextmanager
def following(api, session, **query):
    """An http.client response that goes on."""
    with contextlib.closing(api.connect()) as connection:
        connection.request("GET", api.path_of(session, "/logs", follow="true", **query))
        response = connection.getresponse()
        assert response.status == 200
        yield response


def test_follow_gives_what_comes_until_the_end(api):
    session = api.sh("echo one; read x; printf two; read x; exit 3", stdin="pipe")
    with following(api, session) as response:
        assert response.read(4) == b"one\n"
        api.stdin(session, b"\n")
        assert response.read(3) == b"two"
        api.stdin(session, b"\n")
        assert response.read() == b""


def test_follow_of_a_session_that_has_ended_gives_all_and_ends(api):
    session = ended(api, *write(ODD))
    assert api.get(api.path_of(session, "/logs", follow="true")).body == ODD


def test_follow_ends_when_the_session_is_removed(api):
    session = api.sh("echo one; exec sleep 1000")
    with following(api, session) as response:
        assert response.read(4) == b"one\n"
        assert api.delete(api.path_of(session, force="true")).status == 200
        assert response.read() == b""


def test_follow_of_all_output_waits_for_descendants_that_hold_the_pipe(api):
    session = api.sh("(read x </dev/null; exec sleep 1000) & echo one", leftovers="keep")
    with following(api, session) as response:
        assert response.read(4) == b"one\n"
        api.wait(session)
        api.stop(session)
        assert response.read() == b""


def test_follow_loses_nothing_of_a_writer_that_it_keeps_up_with(api):
    session = api.spawn(*write_big(6 * ROUND), backlogBytes=16 * ROUND)
    with following(api, session, stream="stdout") as response:
        assert response.read() == big(6 * ROUND)


def test_a_page_of_a_session_that_writes_on_has_an_end(api):
    session = api.spawn("yes", backlogBytes=4 * ROUND)
    wait_for(lambda: api.show(session)["streams"]["stdout"]["written"] > 5 * ROUND)
    api.kill(session, "STOP")
    written = wait_for(still(api, session), what="a standstill")
    api.kill(session, "CONT")
    wait_for(lambda: api.show(session)["streams"]["stdout"]["written"] > written)
    with contextlib.closing(Connection(api.path)) as connection:
        target = api.path_of(session, "/logs", stream="stdout", format="raw")
        connection.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers = connection.read_head()
        size = sum(len(chunk) for chunk in chunks(connection))
    assert status == 200
    # If the writer was faster than this reader, the answer is broken off, but never made longer.
    assert 0 < size <= int(headers["Reeve-Next"]) - int(headers["Reeve-From"])


def still(api, session):
    """A condition: the stream has not grown between two looks; gives where it stands."""
    last = [-1]

    def condition():
        now = api.show(session)["streams"]["stdout"]["written"]
        last[0], before = now, last[0]
        return now if now == before else 0

    return condition


def chunks(connection):
    """The chunks of a chunked body, until its end or until it is broken off."""
    while True:
        while b"\r\n" not in connection.buffer:
            if not connection.more():
                return
        size, connection.buffer = connection.buffer.split(b"\r\n", 1)
        if int(size, 16) == 0:
            return
        data = connection.read(int(size, 16) + 2)
        if data is None:
            return
        yield data[:-2]


def test_a_follower_that_is_lapped_is_told_where_to_go_on(api):
    script = f"import os\nos.read(0, 1)\nos.write(1, {BIG.format(4 * ROUND)})\nos.read(0, 1)"
    session = api.spawn(*python(script), stdin="pipe", backlogBytes=ROUND)
    with contextlib.closing(Connection(api.path)) as connection:
        target = api.path_of(session, "/logs", stream="stdout", follow="true", from_=0)
        connection.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.read_head()
        api.stdin(session, b"\n")
        wait_for(lambda: api.show(session)["streams"]["stdout"]["written"] == 4 * ROUND)
        size = sum(len(chunk) for chunk in chunks(connection))
        while b"\r\n\r\n" not in connection.buffer:
            assert connection.more(), "there is no trailer"
        trailer = dict(
            line.split(": ") for line in connection.buffer.decode().split("\r\n") if line
        )
    assert size < 4 * ROUND
    assert size < int(trailer["Reeve-Next"]) == 3 * ROUND
    assert int(trailer["Reeve-Dropped"]) == 3 * ROUND - size
    rest = api.raw(session, stream="stdout", from_=trailer["Reeve-Next"])
    assert rest == big(4 * ROUND)[3 * ROUND :]


def test_a_reader_that_does_not_read_blocks_nobody(api):
    session = api.spawn("yes", backlogBytes=4096)
    with contextlib.closing(Connection(api.path)) as connection:
        target = api.path_of(session, "/logs", follow="true")
        connection.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        written = api.show(session)["streams"]["stdout"]["written"]
        for _ in range(3):
            wait_for(
                lambda: api.show(session)["streams"]["stdout"]["written"] > written + 10 * ROUND
            )
            written = api.show(session)["streams"]["stdout"]["written"]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"stream": "stdin"}, {"stream": "pty"}, {"stream": ""}, {"from_": "-1"}, {"from_": "x"},
        {"from_": str(1 << 63)}, {"limit": "1.5"}, {"head": "+1"}, {"tail": "01"},
        {"since": "yesterday"}, {"since": ""}, {"wait": "10"}, {"wait": "-1s"}, {"follow": "2"},
        {"format": "xml"}, {"follow": "true", "format": "json"}, {"ansi": "no"}, {"colour": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused_by_name(api, query):
    session = api.spawn("sleep", "1000")
    answer = api.get(api.path_of(session, "/logs", **query))
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert next(iter(query)).rstrip("_") in answer.json["error"]["message"]


def test_a_parameter_that_is_there_twice_is_refused(api):
    session = api.spawn("sleep", "1000")
    answer = api.get(api.path_of(session, "/logs") + "?tail=1&tail=2")
    assert (answer.status, answer.code) == (400, "invalid_argument")


# --- tails ---------------------------------------------------------------------------------------


def test_the_tails_of_a_session_are_cut_at_characters(api):
    session = ended(api, *write(("x" + "\u20ac" * 3000).encode()))
    tail = api.show(session)["stdoutTail"]
    assert isinstance(tail, str) and set(tail) == {"\u20ac"}
    assert 4096 - 3 <= len(tail.encode()) <= 4096
    assert "stderrTail" not in api.show(session)
    assert "stdoutTail" not in api.get("/v1/sessions").json["items"][0]


def test_a_tail_that_is_not_text_is_given_as_base64(api):
    session = ended(api, *write(ODD))
    assert base64.b64decode(api.show(session)["stdoutTail"]["base64"]) == ODD


def test_output_is_the_same_after_the_engine_was_killed(reeve, api):
    session = ended(api, *write_big(2 * ROUND))
    before = [api.show(session), api.raw(session), api.logs(session, stream="stdout", tail=5)]
    reeve.kill_engine()
    assert [
        api.show(session),
        api.raw(session),
        api.logs(session, stream="stdout", tail=5),
    ] == before
