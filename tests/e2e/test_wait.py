# SPDX-License-Identifier: Apache-2.0
"""Waiting: the first thing that comes true is the answer."""

import json
import threading

import pytest

pytestmark = pytest.mark.shared


def post_wait(api, session, body):
    return api.post(api.path_of(session, "/wait"), body)


class Waiting:
    """A wait in a thread of its own."""

    def __init__(self, api, session, *until, timeout="20s"):
        self.body = {"until": list(until), "timeout": timeout}
        self.thread = threading.Thread(target=self.run, args=(api, session))
        self.answer = None
        self.thread.start()

    def run(self, api, session):
        self.answer = post_wait(api, session, self.body)

    def result(self):
        self.thread.join(25)
        assert self.answer is not None and self.answer.status == 200, self.answer
        return self.answer.json


def test_wait_gives_the_exit_with_all_that_was_written(api):
    session = api.sh("read x; echo out; echo oops >&2; exit 3", stdin="pipe")
    waiting = Waiting(api, session)
    api.stdin(session, b"\n")
    result = waiting.result()
    assert (result["fired"], result["status"], result["exitCode"]) == ("exit", "exited", 3)
    assert result["next"] == {"stdout": 4, "stderr": 5}
    assert result["exit"] == api.show(session)["exit"]


def test_wait_for_what_is_true_already_is_over_at_once(api):
    session = api.spawn("true")
    api.ended(session)
    for condition in ("exit", "tree", "eof"):
        assert api.wait(session, condition)["fired"] == condition
    assert post_wait(api, session, {}).json["fired"] == "exit"
    assert post_wait(api, session, None).json["fired"] == "exit"


def test_a_time_that_runs_out_is_an_answer(api):
    session = api.spawn("sleep", "1000")
    result = api.wait(session, timeout="20ms")
    assert (result["fired"], result["status"]) == ("timeout", "running")
    assert "exitCode" not in result
    assert api.wait(session, "tree", timeout="0s")["fired"] == "timeout"


def test_exit_does_not_wait_for_descendants_and_tree_does(api):
    session = api.sh("sleep 1000 & exit 4", leftovers="keep")
    result = api.wait(session, "exit")
    assert (result["exitCode"], result["treeAlive"]) == (4, True)
    assert api.wait(session, "tree", timeout="10ms")["fired"] == "timeout"
    assert api.wait(session, "eof", timeout="10ms")["fired"] == "timeout"
    tree, eof = Waiting(api, session, {"tree": True}), Waiting(api, session, {"eof": True})
    api.stop(session)
    assert (tree.result()["fired"], tree.result()["treeAlive"]) == ("tree", False)
    assert eof.result()["fired"] == "eof"


def test_the_first_of_several_conditions_is_told(api):
    session = api.sh("sleep 1000 & exit 0", leftovers="keep")
    result = api.wait(session, "tree", "exit")
    assert result["fired"] == "exit"


def test_many_can_wait_for_one(api):
    session = api.spawn("sleep", "1000")
    waiting = [Waiting(api, session) for _ in range(20)]
    api.kill(session)
    assert {w.result()["exitCode"] for w in waiting} == {-9}


def test_a_wait_for_a_session_that_is_removed_has_its_answer(api):
    session = api.spawn("sleep", "1000")
    connection = api.connect()
    connection.request("POST", api.path_of(session, "/wait"), b"{}")
    api.show(session)  # this came later: the wait is under way when it is answered
    api.delete(api.path_of(session, force="true"))
    answer = connection.getresponse()
    assert answer.status == 200 and json.load(answer)["fired"] == "exit"
    connection.close()


def test_a_client_that_goes_while_it_waits_is_no_harm(api):
    session = api.spawn("sleep", "1000")
    for _ in range(5):
        connection = api.connect()
        connection.request("POST", api.path_of(session, "/wait"), b"{}")
        connection.close()
    api.kill(session)
    assert api.wait(session)["exitCode"] == -9


# --- output, silence, ports ----------------------------------------------------------------------


def test_a_line_that_matches_ends_the_wait_and_is_shown(api):
    session = api.sh("echo first; read x; echo it is ready now; exec sleep 1000", stdin="pipe")
    waiting = Waiting(api, session, {"match": "is (ready|done)"})
    api.stdin(session, b"\n")
    result = waiting.result()
    assert result["fired"] == "match"
    assert result["match"] == {"stream": "stdout", "from": 9, "to": 17, "line": "it is ready now"}


def test_a_match_can_be_limited_to_a_stream_and_begin_later(api):
    session = api.sh("echo go; echo go >&2; echo go; exec sleep 1000")
    api.wait(session, timeout="1ms")
    result = post_wait(api, session, {"until": [{"match": "go", "stream": "stderr"}]}).json
    assert result["match"]["stream"] == "stderr"
    until = [{"match": "go", "stream": "stdout", "from": 1}]
    assert post_wait(api, session, {"until": until}).json["match"]["from"] == 3


@pytest.mark.parametrize("kind", ["pipe", "pty"])
def test_a_match_begins_behind_what_was_there_when_something_was_typed(api, kind):
    stdin = {"stdin": "pipe"} if kind == "pipe" else {}
    session = api.sh("echo ready; read x; echo ready; exec sleep 1000", kind=kind, **stdin)
    first = post_wait(api, session, {"until": [{"match": "ready"}]}).json
    api.stdin(session, b"go\n")
    second = post_wait(api, session, {"until": [{"match": "ready"}], "timeout": "20s"}).json
    assert (first["match"]["from"], second["fired"]) == (0, "match")
    assert second["match"]["from"] > first["match"]["from"]
    again = {"until": [{"match": "ready", "from": 0}]}
    assert post_wait(api, session, again).json["match"]["from"] == 0


def test_a_match_is_not_fooled_by_the_echo_of_what_was_typed(api):
    script = "read x; read y; echo $x; exec sleep 1000"
    session = api.sh(script, kind="pty")
    api.wait(session, "input")
    api.stdin(session, b"hello\n")
    wait = {"until": [{"match": "hello"}], "timeout": "20s"}
    waiting = Waiting(api, session, {"match": "h?ello"})
    echo = {"until": [{"match": "hello", "from": 0}], "timeout": "20s"}
    assert post_wait(api, session, echo).json["match"]["from"] == 0
    api.wait(session, "input")
    assert waiting.answer is None
    api.stdin(session, b"more\n")
    assert waiting.result()["match"]["from"] == len("hello\r\nmore\r\n")
    assert post_wait(api, session, wait).json["match"]["from"] == len("hello\r\nmore\r\n")


def test_a_shell_that_echoes_by_itself_does_not_fool_a_match(api):
    session = api.spawn("bash", "--norc", kind="pty", env={"TERM": "xterm", "PS1": "> "})
    for n in range(5):
        api.wait(session, "input")
        api.stdin(session, b"echo the-$((40 + %d))\r" % n)
        found = post_wait(api, session, {"until": [{"match": "the-"}], "timeout": "20s"}).json
        assert found["match"]["line"].rstrip().endswith(f"the-{40 + n}"), found


def test_a_match_that_never_comes_ends_with_the_session(api):
    session = api.sh("read x; echo no; exit 2", stdin="pipe")
    waiting = Waiting(api, session, {"match": "yes"})
    api.stdin(session, b"\n")
    assert (waiting.result()["fired"], waiting.result()["exitCode"]) == ("exit", 2)


def test_silence_ends_a_wait(api):
    session = api.sh("echo hello; exec sleep 1000")
    assert post_wait(api, session, {"until": [{"idle": "50ms"}]}).json["fired"] == "idle"


SERVER = """
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words): pass
sys.stdin.read(1)
with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""


@pytest.fixture
def server(api):
    """(session, port) of a server that begins to listen when it is told to."""
    session = api.spawn("/usr/bin/python3", "-c", SERVER, stdin="pipe")
    api.stdin(session, b"x")
    result = post_wait(api, session, {"until": [{"match": "^[0-9]+$"}], "timeout": "20s"}).json
    return session, int(result["match"]["line"])


def test_a_port_that_is_listened_on_ends_a_wait(api, server):
    session, port = server
    result = post_wait(api, session, {"until": [{"port": port}], "timeout": "20s"}).json
    assert result["fired"] == "port"


def test_a_port_that_others_listen_on_does_not_count(api, server):
    other = api.spawn("sleep", "1000")
    result = post_wait(api, other, {"until": [{"port": server[1]}], "timeout": "300ms"}).json
    assert result["fired"] == "timeout"


def test_an_answer_to_http_ends_a_wait(api, server):
    session, port = server
    until = [{"http": f"http://127.0.0.1:{port}/health"}]
    result = post_wait(api, session, {"until": until, "timeout": "20s"}).json
    assert (result["fired"], result["httpStatus"]) == ("http", 200)


@pytest.mark.parametrize(
    "url",
    ["https://h/", "http:///", "http://:80/", "http://h:0/", "http://h:00000080/", "http://h:x/",
     "http://[]/", "http://h:/", "http://h /", "http://" + "h" * 300 + "/"],
)  # fmt: skip
def test_a_bad_url_is_refused(api, url):
    answer = post_wait(api, api.spawn("true"), {"until": [{"http": url}]})
    assert (answer.status, answer.code) == (400, "invalid_argument"), answer.body
    assert url[:50] in answer.json["error"]["message"]


# --- ready at the start --------------------------------------------------------------------------


def test_a_spawn_can_be_answered_when_the_session_is_ready(api):
    script = "sleep 0.05; echo up at last; exec sleep 1000"
    session = api.sh(script, ready={"until": [{"match": "up"}], "timeout": "20s"})
    assert session["ready"]["fired"] == "match"
    assert session["ready"]["match"]["line"] == "up at last"


def test_a_session_that_is_not_ready_in_time_is_left_running(api):
    ready = {"until": [{"match": "never"}], "timeout": "20ms"}
    session = api.spawn("sleep", "1000", ready=ready)
    assert session["ready"]["fired"] == "timeout"
    assert api.show(session)["status"] == "running"


def test_a_session_that_ends_before_it_is_ready_says_so(api):
    session = api.sh("exit 3", ready={"until": [{"match": "never"}]})
    assert (session["ready"]["fired"], session["ready"]["exitCode"]) == ("exit", 3)


def test_a_command_that_cannot_be_started_is_not_waited_for(api):
    answer = api.try_spawn("/no/such", ready={"until": [{"match": "x"}]})
    assert (answer.status, answer.json["error"]["details"]["step"]) == (400, "execve")


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "until",
    [
        "exit", {"exit": True}, ["exit"], [{}], [{"exit": False}], [{"exit": 1}], [{"tree": "yes"}],
        [{"exit": True, "tree": True}], [{"ending": True}], [{"match": 5}], [{"match": "("}],
        [{"match": "x", "stream": "pty"}], [{"match": "x", "stream": 5}],
        [{"match": "x", "from": -1}], [{"match": "x", "from": "1"}], [{"exit": True, "from": 1}],
        [{"stream": "stdout"}], [{"port": 0}], [{"port": 65536}], [{"port": "80"}], [{"http": 1}],
        [{"http": "ftp://x/"}], [{"http": ""}], [{"idle": "2"}], [{"idle": 2}],
        [{"exit": True}, {"exit": None}], [None], [["exit"]],
    ],
    ids=str,
)  # fmt: skip
def test_conditions_that_make_no_sense_are_refused(api, until):
    session = api.spawn("sleep", "1000")
    answer = post_wait(api, session, {"until": until, "timeout": "5s"})
    assert (answer.status, answer.code) == (400, "invalid_argument"), answer.body
    answer = api.try_spawn("true", ready={"until": until})
    if until != [{"match": "x", "stream": "pty"}]:
        assert (answer.status, answer.code) == (400, "invalid_argument"), answer.body
        assert len(api.get("/v1/sessions").json["items"]) == 1


def test_too_many_conditions_are_too_large(api):
    session = api.spawn("sleep", "1000")
    answer = post_wait(api, session, {"until": [{"exit": True}] * 16})
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_ready_without_conditions_is_refused(api):
    for ready in ({}, {"until": []}, [], "exit", {"until": [{"exit": True}], "for": "1s"}):
        answer = api.try_spawn("true", ready=ready)
        assert (answer.status, answer.code) == (400, "invalid_argument"), ready
    assert not api.get("/v1/sessions").json["items"]
