# SPDX-License-Identifier: Apache-2.0
"""The processes that draw screens may die or hang; sessions, requests and the engine do not."""

import os
import pathlib
import signal
import threading

from conftest import Answer, alive, command_line, descendants, stat_fields, wait_for
from frames import Type


def engine_of(reeve):
    return reeve.status()["enginePid"]


def drawers(engine):
    return [pid for pid in descendants(engine) if "--draw" in command_line(pid) and alive(pid)]


def look(api, session):
    return api.get(api.path_of(session, "/screen"))


def shows(api, session, text):
    def seen():
        answer = look(api, session)
        assert answer.status == 200, answer.body
        return answer.json if text in "\n".join(answer.json["lines"]) else None

    return wait_for(seen, what=f"{text!r} on the screen")


def terminal(api, text, **fields):
    script = f"stty -echo -onlcr; printf '{text}'; exec cat"
    session = api.sh(script, kind="pty", **fields)
    shows(api, session, text.rpartition("\\")[2][-4:])
    return session


def the_drawer(reeve, api, session):
    """The one that has just drawn this session."""
    assert look(api, session).status == 200
    (pid,) = drawers(engine_of(reeve))
    return pid


class Looking(threading.Thread):
    """A request for a screen, on its way."""

    def __init__(self, api, session):
        super().__init__(daemon=True)
        self.api, self.session, self.answer = api, session, None
        self.start()

    def run(self):
        self.answer = look(self.api, self.session)

    def victim(self, engine):
        pid = busy(engine)
        if pid:
            os.kill(pid, signal.SIGABRT)
        return pid

    def result(self):
        self.join(20)
        assert self.answer is not None, "no answer about the screen"
        return self.answer


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: stat_fields(pid)[0] == "T", what="the stop of the drawer")


def busy(engine):
    """A drawer that is at work now."""
    return next((pid for pid in drawers(engine) if (stat_fields(pid) or "X")[0] == "R"), None)


def ask(api, session):
    """A connection on which the engine was asked for a screen: it has read all that was sent to it
    before two others were answered."""
    connection = api.connect()
    connection.request("GET", api.path_of(session, "/screen"))
    for _ in range(2):
        api.get("/v1/sessions")
    return connection


def draw_in_vain(reeve, api, session):
    """The answer to a request whose drawer dies in the middle of it. A kill that comes too late
    fails nothing, and is tried again."""
    engine = engine_of(reeve)

    def killed_in_time():
        looking = Looking(api, session)
        wait_for(lambda: looking.answer or (looking.victim(engine)), what="work of a drawer")
        answer = looking.result()
        return answer if answer.status != 200 else None

    answer = wait_for(killed_in_time, what="a drawer killed in time")
    assert engine_of(reeve) == engine
    return answer


def test_a_drawer_has_nothing_but_its_socket(reeve):
    api = reeve.api
    session = terminal(api, "hello")
    pid = the_drawer(reeve, api, session)
    held = {int(p.name): os.readlink(p) for p in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    held = {fd: name for fd, name in held.items() if not name.endswith("/sanitizer." + str(pid))}
    assert sorted(held) == [0, 1, 2] and held[0].startswith("socket:"), held
    assert held[1] == held[2] == "/dev/null"
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1\n" in status and "SigBlk:\t0000000000000000\n" in status


def test_a_drawer_that_was_killed_at_rest_is_replaced_unnoticed(reeve):
    api = reeve.api
    session = terminal(api, "hello")
    first = the_drawer(reeve, api, session)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: (stat_fields(first) or "Z")[0] in "ZX", what="the death of the drawer")
    assert shows(api, session, "hello")["whole"] is True
    assert the_drawer(reeve, api, session) != first
    assert stat_fields(first) is None  # reaped


def test_an_engine_that_is_killed_takes_its_drawers_along(reeve):
    api = reeve.api
    session = terminal(api, "hello")
    pid = the_drawer(reeve, api, session)
    stop(pid)
    connection = ask(api, session)
    reeve.kill_engine()
    wait_for(lambda: not alive(pid), what="the end of the drawer")
    wait_for(lambda: stat_fields(pid) is None, what="its reap")
    connection.close()
    assert shows(reeve.api, session, "hello")["whole"] is True
    assert api.show(session)["status"] == "running"
    assert "quarantin" not in str(reeve.log())


LINES = 40000


def flooded(api, **fields):
    """A session whose screen takes a while to draw. Where a line of a flood begins depends on where
    the record was cut; what is looked for begins at the margin, and is not wrapped."""
    script = (
        f"stty -echo -onlcr; seq -f '\033[3%gm\033[Kline' {LINES}; printf '\rlast\r\n'; "
        "while read n; do seq $n; printf '\rend%s\r\n' $n; done"
    )
    session = api.sh(script, kind="pty", rows=50, cols=100, **fields)
    wait_for(lambda: b"last" in api.raw(session, tail=10), what="the end of the flood")
    return session


def test_a_drawer_that_dies_fails_that_drawing_and_no_other(reeve):
    api = reeve.api
    quiet, session = terminal(api, "hello"), flooded(api)
    answer = draw_in_vain(reeve, api, session)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "SIGABRT" in answer.json["error"]["message"]
    assert answer.json["error"]["retryable"] is True
    assert shows(api, quiet, "hello") and shows(api, session, "last")


def test_output_that_ends_two_drawers_is_not_drawn_until_it_has_moved_on(reeve):
    api = reeve.api
    session = flooded(api)

    def barred():
        answer = draw_in_vain(reeve, api, session)
        return answer if "has ended" in answer.json["error"]["message"] else None

    answer = wait_for(barred, what="the end of drawing")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "has ended 2 drawers" in answer.json["error"]["message"]
    with api.attach(session, restore="screen") as client:  # modes, and the output as it is
        data = b""
        while not data.endswith(b"last\r\n"):
            frame = client.next()
            assert frame.type in (Type.SCREEN, Type.ACCEPTED), frame
            data += frame.payload
        assert len(data) > 100000
    assert look(api, session).status == 503
    api.stdin(session, b"200000\n")
    wait_for(lambda: b"end200000" in api.raw(session, tail=100), what="more output")
    assert shows(api, session, "end200000")["whole"] is False


LAG = 512 * 1024  # SCREEN_LAG: the output that a record may be behind


def test_a_session_is_drawn_again_when_its_output_rests_where_the_record_must_follow(reeve):
    api, before, after = reeve.api, "hello", "moved on"
    xs = f"head -c {LAG - len(before) - len(after) - 1} /dev/zero | tr '\\0' x"
    script = f"stty -echo -onlcr; printf {before}; read n; {xs}; printf '\r{after}'; exec cat"
    session, another = api.sh(script, kind="pty"), terminal(api, "there")
    shows(api, session, before)

    def barred():  # a kill that comes too early is made good, and tried again
        pid = the_drawer(reeve, api, another)
        stop(pid)
        connection = ask(api, session)
        os.kill(pid, signal.SIGKILL)
        answer = Answer(connection.getresponse())
        connection.close()
        return "has ended 2 drawers" in str(answer.body)

    wait_for(barred, what="the end of drawing")
    api.stdin(session, b"\n")
    wait_for(lambda: api.raw(session, tail=20).endswith(after.encode()), what="more output")
    assert len(api.raw(session)) == LAG
    assert shows(api, session, after)["whole"] is False


def test_a_drawer_that_hangs_holds_nothing_up_and_is_killed(reeve):
    api, another = reeve.api, terminal(reeve.api, "there")
    engine = engine_of(reeve)

    def all_else_went_on():
        """While it hung; whether that was so is not to be seen where this took more than 5 s."""
        session = terminal(api, "hello")
        pid = the_drawer(reeve, api, session)
        stop(pid)
        connection = ask(api, session)
        assert shows(api, another, "there")
        api.stdin(another, b"typed\n")
        assert shows(api, another, "typed") and api.output(api.sh("echo new")) == b"new\n"
        with api.attach(another, restore="screen") as client:
            assert client.next().type == Type.SCREEN
        hangs = stat_fields(pid) is not None
        answer = Answer(connection.getresponse())
        connection.close()
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "5 s" in answer.json["error"]["message"]
        assert stat_fields(pid) is None and engine_of(reeve) == engine
        assert shows(api, session, "hello")
        return hangs

    wait_for(all_else_went_on, what="an answer to others while a drawer hung")


def test_drawers_that_nobody_needs_end(reeve):
    api = reeve.api
    session = terminal(api, "hello")
    pid = the_drawer(reeve, api, session)
    wait_for(lambda: stat_fields(pid) is None, what="the end of the idle drawer")
    assert drawers(engine_of(reeve)) == []
    assert shows(api, session, "hello")["whole"] is True
