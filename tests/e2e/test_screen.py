# SPDX-License-Identifier: Apache-2.0
"""The screen of a session's terminal: shown without attaching, and restored to those who attach."""

import os
import pathlib
import tempfile

import frames
import pytest
from conftest import wait_for
from frames import Refused, Stream, Type

pytestmark = pytest.mark.shared

TURNS = 3  # of a ring


def screen(api, session):
    answer = api.get(api.path_of(session, "/screen"))
    assert answer.status == 200, answer.body
    return answer.json


def written(api, session):
    return api.show(session)["streams"]["pty"]["written"]


def shows(api, session, text):
    """The screen, once the text is on it."""

    def look():
        seen = screen(api, session)
        return seen if text in "\n".join(seen["lines"]) else None

    return wait_for(look, what=f"{text!r} on the screen")


def draw(api, script, **fields):
    """A program that writes with printf and then waits."""
    return api.sh(f"stty -echo -onlcr; {script}; exec sleep 1000", kind="pty", **fields)


# --- shown ---------------------------------------------------------------------------------------


def test_the_screen_is_as_the_program_drew_it(api):
    session = draw(
        api,
        r"printf '\033]2;the title\007\033[?2004;1002;1h\033[5;3Hhere\033[4 q\033[?25l'",
        rows=10,
        cols=40,
    )
    seen = shows(api, session, "here")
    assert seen["lines"] == [""] * 4 + ["  here"] + [""] * 5
    assert (seen["rows"], seen["cols"], seen["alternate"], seen["whole"]) == (10, 40, False, True)
    assert seen["title"] == "the title"
    assert seen["offset"] == api.show(session)["streams"]["pty"]["written"]
    assert seen["cursor"] == {"row": 4, "col": 6, "visible": False, "shape": "underline"}
    modes = seen["modes"]
    assert modes["bracketedPaste"] and modes["applicationCursor"] and modes["mouse"] == "drag"
    assert not modes["applicationKeypad"] and not modes["focusEvents"]


def test_the_alternate_screen_covers_the_primary(api):
    session = draw(api, r"printf 'below\033[?1049h\033[Habove'; read x; printf '\033[?1049l'")
    assert shows(api, session, "above")["lines"][0] == "above"
    assert screen(api, session)["alternate"] is True
    api.stdin(session, b"\n")
    assert shows(api, session, "below")["alternate"] is False


def test_text_has_no_blanks_at_the_end_and_ansi_has_colours(api):
    session = draw(api, r"printf '\033[1;31mred\033[m plain   \r\n\nlast'")
    shows(api, session, "last")
    text = api.get(api.path_of(session, "/screen", format="text"))
    assert (text.status, text.body) == (200, b"red plain\n\nlast\n")
    ansi = api.get(api.path_of(session, "/screen", format="ansi")).body
    assert ansi == b"\x1b[0;1;31mred\x1b[0m plain\n\nlast\n"
    wrong = api.get(api.path_of(session, "/screen", format="html"))
    assert (wrong.status, wrong.code) == (400, "invalid_argument")


def test_an_ended_session_shows_what_it_left_in_its_last_window(api):
    session = api.sh("stty rows 7 cols 30; printf 'the end'", kind="pty")
    api.ended(session)
    seen = screen(api, session)
    assert (seen["rows"], seen["cols"], seen["lines"][0]) == (7, 30, "the end")


def test_the_command_prints_it(reeve):
    session = reeve.ok("run", "-d", "--pty", "--", "sh", "-c", r"printf '\033[7mhello'; cat")
    wait_for(lambda: reeve.ok("screen", session) == "hello")
    assert reeve.ok("screen", "--text", session) == "hello"
    assert reeve.ok("screen", "--ansi", session) == "\x1b[0;7mhello\x1b[m"
    assert reeve.json("screen", "--json", session)["lines"][0] == "hello"
    assert reeve("screen", "--ansi", "--text", session).returncode == 2
    piped = reeve.ok("run", "-d", "--", "true")
    refused = reeve("screen", piped)
    assert refused.returncode == 1 and b"has no terminal" in refused.stderr


# --- long after it was drawn ---------------------------------------------------------------------

# Drawn once; then a spinner turns, a piece each time it is told to.
SPIN = r"""
import os, sys, time
told = os.open(sys.argv[2], os.O_RDONLY)
os.write(1, b"primary\033[?1049h\033[?2004h\033[1;1Hframe\033[9;1H\033[35mfoot\033[m\033[2;1H")
for _ in range(int(sys.argv[1])):
    os.write(1, b"\r|\r/\r-\r\\" * 256)
    os.read(told, 1)
    time.sleep(0.01)
os.write(1, b"\rdone")
time.sleep(1000)
"""
BACKLOG, PIECE = 65536, 2048


def spinning(api):
    """At a speed that a reader of screens would bear, on a busy machine, too: a piece comes when a
    screen was drawn since the one before, and the record may be sixteen pieces behind."""
    fifo = pathlib.Path(tempfile.mkdtemp(dir=api.cwd)) / "fifo"
    os.mkfifo(fifo)
    pieces = TURNS * BACKLOG // PIECE
    command = ("/usr/bin/python3", "-c", SPIN, str(pieces), str(fifo))
    session = api.spawn(*command, kind="pty", backlogBytes=BACKLOG)
    with open(fifo, "wb", buffering=0) as told:
        for n in range(1, pieces + 1):
            wait_for(lambda n=n: written(api, session) > n * PIECE, what="a piece")
            screen(api, session)
            told.write(b".")
    return session, shows(api, session, "done")


def test_what_was_drawn_once_is_still_there_when_the_ring_has_turned(api):
    session, seen = spinning(api)
    assert api.show(session)["streams"]["pty"]["retainedFrom"] > BACKLOG
    assert seen["whole"] is True and seen["alternate"] is True and seen["modes"]["bracketedPaste"]
    assert [seen["lines"][i] for i in (0, 1, 8)] == ["frame", "done", "foot"]
    assert seen["cursor"]["row"] == 1 and seen["cursor"]["col"] == 4


def test_the_screen_outlives_the_engine(reeve):
    api = reeve.api
    session, before = spinning(api)
    reeve.kill_engine()
    assert screen(reeve.api, session) == before


def test_a_flood_leaves_its_end_on_the_screen_and_its_modes_in_force(api):
    session = draw(
        api,
        r"printf '\033[?2004h\033]2;flood\007'; seq -f 'line %.0f' 300000; printf '\rprompt'",
    )
    seen = shows(api, session, "prompt")
    assert seen["modes"]["bracketedPaste"] and seen["title"] == "flood"
    assert any(line.endswith("line 300000") or "prompt" in line for line in seen["lines"])


# --- restored ------------------------------------------------------------------------------------


def restored(client):
    """The bytes of the first screen that comes, and the frames before it."""
    before, data = [], b""
    while True:
        frame = client.next()
        assert frame is not None, before
        if frame.type != Type.SCREEN:
            before.append(frame)
            assert frame.type in (Type.ACCEPTED, Type.DROPPED), frame
            continue
        data += frame.payload
        if len(frame.payload) < 65536:
            return data, before


def on_another_terminal(api, tmp_path, data, like):
    """What a terminal of that size shows when it is given the bytes."""
    path = tmp_path / "bytes"
    path.write_bytes(b"junk\033[?1049h\033[4;32mjunk\033[?6h\033(0" + data)
    window = {"rows": like["rows"], "cols": like["cols"]}
    session = api.sh(f"stty raw; cat {path}; exec sleep 1000", kind="pty", **window)
    size = path.stat().st_size
    wait_for(lambda: api.show(session)["streams"]["pty"]["written"] == size)
    return screen(api, session)


def without_offset(seen):
    return {key: value for key, value in seen.items() if key != "offset"}


def test_who_attaches_gets_the_screen_and_then_the_output_behind_it(api, tmp_path):
    session, seen = spinning(api)
    with api.attach(session, restore="screen") as client:
        data, before = restored(client)
        assert before == []
        offset = client.starts[Stream.PTY].offset
        assert offset == seen["offset"] and client.starts[Stream.PTY].dropped == 0
        copy = on_another_terminal(api, tmp_path, data, seen)
        assert without_offset(copy) == without_offset(seen)
        client.input(client.starts[Stream.STDIN], b"x")  # echoed
        assert client.read_output(1)[:1] == b"x"
        assert api.raw(session, **{"from": offset}) == b"x"


def test_below_the_alternate_screen_there_is_the_primary(api, tmp_path):
    session, seen = spinning(api)
    with api.attach(session, restore="screen") as client:
        data, _ = restored(client)
    copy = on_another_terminal(api, tmp_path, data + b"\033[?1049l", seen)
    assert copy["alternate"] is False and copy["lines"][0] == "primary"
    assert (copy["cursor"]["row"], copy["cursor"]["col"]) == (0, 7)


@pytest.mark.parametrize("half", [b"\\033[1;3", b"\\303", b"\\033]2;tit"])
def test_output_goes_on_within_a_sequence_or_a_character(api, half):
    session = draw(api, f"printf 'ready {half.decode()}'")
    shows(api, session, "ready")
    with api.attach(session, restore="screen") as client:
        data, _ = restored(client)
    assert data.endswith(half.decode("unicode_escape").encode("latin-1"))


def test_the_window_is_that_of_who_attaches(api):
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    session = api.sh(script, kind="pty", rows=10, cols=20)
    shows(api, session, "ready")
    with api.attach(session, restore="screen", rows=33, cols=44) as client:
        restored(client)
        seen = shows(api, session, "33 44")
        assert (seen["rows"], seen["cols"]) == (33, 44)
    with api.attach(session, restore="screen", rows=5, cols=5, readOnly="true") as client:
        restored(client)
        assert (screen(api, session)["rows"], screen(api, session)["cols"]) == (33, 44)


def test_the_screen_comes_before_the_exit(api):
    session = api.sh("printf bye; exit 3", kind="pty")
    api.ended(session)
    with api.attach(session, restore="screen") as client:
        kinds = frames.types(client.rest())
    assert kinds == [Type.SCREEN, Type.EXIT, Type.ENDED]


def test_who_is_lapped_gets_the_screen_again(api, tmp_path):
    session = draw(
        api,
        r"printf '\033[?1049;1hready'; read x; seq 1 1000000; printf '\033[2J\033[Hover'",
    )
    shows(api, session, "ready")
    with api.attach(session, restore="screen") as client:
        restored(client)
        at, screens, data = client.starts[Stream.PTY].offset, 0, b""
        client.input(client.starts[Stream.STDIN], b"go\n")
        written = wait_for(
            lambda: "over" in screen(api, session)["lines"][0] and screen(api, session)["offset"]
        )
        while at < written or not data:
            frame = client.next()
            if frame.type == Type.OUTPUT:
                at += len(frame.payload)
                data += frame.payload
            elif frame.type == Type.DROPPED:
                at += frames.u64_of(frame)
                data = b""
            elif frame.type == Type.SCREEN:
                screens += not data
                data += frame.payload
        assert at == written and screens >= 1
    seen = screen(api, session)
    assert without_offset(on_another_terminal(api, tmp_path, data, seen))["lines"] == seen["lines"]
    assert seen["modes"]["applicationCursor"] is True


@pytest.mark.parametrize(
    "query",
    [{"restore": "all"}, {"rows": 5}, {"rows": 0, "cols": 9}, {"rows": 9, "cols": "x"}],
)
def test_what_makes_no_sense_is_refused(api, query):
    session = draw(api, "true")
    with pytest.raises(Refused) as caught:
        api.attach(session, **query)
    assert caught.value.status == 400
    api.kill(session, "KILL")


def test_a_session_without_a_terminal_has_no_screen(api):
    session = api.spawn("sleep", "1000")
    with pytest.raises(Refused) as caught:
        api.attach(session, restore="screen")
    assert caught.value.status == 400
    answer = api.get(api.path_of(session, "/screen"))
    assert (answer.status, answer.code) == (409, "stream_unavailable")
