# SPDX-License-Identifier: Apache-2.0
"""`reeve run` and `reeve attach` on a terminal, in a real emulator."""

import os
import signal

import pytest
from conftest import BUILD, alive, command_line, descendants, stat_fields, wait_for
from emulator import Emulator, SlowTerminal, clients

REEVE = BUILD / "reeve"
READY_AND_WAIT = "echo ready-$((41 + 1)); while :; do sleep 0.02; done"


@pytest.fixture
def emulator(reeve):
    reeve.start()
    emulator = Emulator(reeve.dir, reeve.env)
    try:
        yield emulator
    finally:
        emulator.end()


def running(reeve):
    return wait_for(lambda: reeve.api.get("/v1/sessions?all=false").json["items"])[0]


def detach(pane, key="C-]"):
    pane.key(key)
    pane.shows("the session goes on")


# --- run -----------------------------------------------------------------------------------------


def test_run_on_a_terminal_makes_a_session_with_a_terminal_of_the_same_size(reeve, emulator):
    pane = emulator.open(rows=31, cols=97)
    pane.reeve("run", "--", "sh", "-c", "'tty; stty size; echo TERM=$TERM; exec sleep 1000'")
    pane.shows("TERM=tmux-256color")
    assert "31 97" in pane.text() and pane.tty not in pane.text()
    assert running(reeve)["kind"] == "pty"


def test_run_ends_as_its_command_ends(emulator):
    pane = emulator.open()
    pane.reeve("run", "--", "sh", "-c", "'exit 7'; echo status $?")
    pane.shows("status 7")
    pane.reeve("run", "--", "sh", "-c", "'kill -9 $$'; echo status $?")
    pane.shows("status 137")


def test_all_that_a_short_command_writes_is_shown(emulator):
    pane = emulator.open()
    for n in range(10):
        pane.reeve("run", "--", "seq", "-s", "' '", f"{n}00", f"{n}99", "; echo and-all-$?")
        wait_for(lambda n=n: pane.history().count("and-all-0") == n + 1)
    shown = [word for word in pane.history().split() if word.isdigit()]
    numbers = set(map(int, shown))
    assert numbers >= set(range(1000)), sorted(set(range(1000)) - numbers)[:20]


@pytest.mark.parametrize("options", [["--pipe"], ["-d", "--stdin"]], ids=" ".join)
def test_run_makes_no_terminal_where_none_is_wanted(reeve, emulator, options):
    pane = emulator.open()
    pane.reeve("run", *options, "--", "cat")
    assert running(reeve)["kind"] == "pipe"


def test_a_terminal_can_be_forced_without_one(reeve):
    result = reeve("run", "-it", "--", "sh", "-c", "tty; exit 3")
    assert (result.returncode, result.stdout[:9]) == (3, b"/dev/pts/")


def test_the_terminal_is_raw_only_while_a_session_is_on_it(emulator):
    pane = emulator.open()
    before = pane.stty()
    pane.reeve("run", "--", "sh", "-c", "'echo on $((40 + 2)); read x; exit 3'")
    pane.shows("on 42")
    assert {"-icanon", "-echo", "-isig", "-opost"} <= pane.stty()
    pane.key("Enter")
    pane.says_status(3)
    as_before(pane, before)


def test_control_characters_reach_the_session_through_its_own_line_discipline(emulator):
    pane = emulator.open()
    pane.reeve("run", "--", "sh", "-c", f"\"trap 'echo got-$((40 + 2))' INT; {READY_AND_WAIT}\"")
    pane.shows("ready-42")
    pane.key("C-c")
    pane.shows("got-42")
    pane.key("C-\\")
    pane.says_status(131)


def test_jobs_are_stopped_and_continued_by_a_shell_in_a_session(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "-e", "PS1='% '", "--", "bash", "--norc")
    wait_for(lambda: "%" in pane.lines(), what="the prompt")
    pane.line("sleep 1000")
    shell = running(reeve)["pid"]
    (job,) = wait_for(lambda: [p for p in descendants(shell) if command_line(p) == "sleep 1000 "])
    pane.key("C-z")
    pane.shows("Stopped")
    assert stat_fields(job)[0] == "T"
    pane.line("bg")
    wait_for(lambda: stat_fields(job)[0] == "S")
    pane.line("fg")
    wait_for(lambda: stat_fields(job)[5] == str(job), what="the job in the foreground")
    pane.key("C-c")
    pane.line("echo was $?")
    pane.shows("was 130")


def test_the_session_follows_the_size_of_the_terminal(emulator):
    pane = emulator.open()
    pane.reeve("run", "--", "sh", "-c", f"\"trap 'stty size' WINCH; {READY_AND_WAIT}\"")
    pane.shows("ready-42")
    pane.resize(rows=20, cols=70)
    pane.shows("20 70")
    pane.resize(rows=41, cols=123)
    pane.shows("41 123")


# --- detaching and attaching ---------------------------------------------------------------------


def test_attach_comes_back_at_the_size_of_its_own_terminal(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--", "sh", "-c", "'echo here-$((40 + 2)); while read x; do stty size; done'")
    pane.shows("here-42")
    detach(pane)
    pane.says_status(0)
    other = emulator.open(rows=18, cols=66)
    other.reeve("attach", "sh")
    other.attached()
    other.key("Enter")
    other.shows("18 66")


def test_attach_says_which_keys_detach(reeve, emulator):
    session = reeve.ok("run", "-d", "-t", "--", "cat")
    pane = emulator.open()
    pane.reeve("attach", session)
    pane.shows("ctrl-] detaches")
    detach(pane)
    pane.reeve("attach", "--detach-keys", "ctrl-p,ctrl-q", session)
    pane.shows("ctrl-p,ctrl-q detaches")
    pane.key("C-p", "x", "Enter")
    wait_for(lambda: b"^Px\r\n" in reeve.api.raw(session), what="keys that were none")
    pane.key("C-p", "C-q")
    pane.shows("the session goes on")


def test_attach_begins_where_it_is_told_to(reeve, emulator):
    session = reeve.ok("run", "-d", "-t", "--", "sh", "-c", "echo early; echo later; exec cat")
    wait_for(lambda: reeve.api.raw(session) == b"early\r\nlater\r\n")
    shown = {"start": {"early", "later"}, "7": {"later"}, "now": set()}
    for begin, expected in shown.items():
        pane = emulator.open()
        pane.reeve("attach", "--from", begin, session)
        pane.attached()
        typed = f"typed-from-{begin}"
        pane.line(typed)
        wait_for(lambda: pane.lines().count(typed) == 2, what=f"{typed} and its copy")
        assert {"early", "later"} & set(pane.lines()) == expected
        detach(pane)


def test_keys_that_detach_can_be_switched_off(reeve, emulator):
    session = reeve.ok("run", "-d", "-t", "--", "cat")
    pane = emulator.open()
    pane.reeve("attach", "--detach-keys=none", session)
    pane.attached()
    pane.key("C-]", "Enter")
    wait_for(lambda: b"^]\r\n" in reeve.api.raw(session), what="a key that detaches no more")


def test_keys_that_make_no_sense_are_a_usage_error(emulator):
    pane = emulator.open(cols=200)
    pane.reeve("run", "--detach-keys", "ctrl-~", "--", "true; echo status $?")
    pane.shows("status 2")
    pane.shows("--detach-keys: ")


def test_a_second_client_is_told_who_holds_the_session_and_what_can_be_done(reeve, emulator):
    pane, other = emulator.open(), emulator.open(cols=200)
    pane.reeve("run", "--name", "job", "--", "cat")
    pane.attached()
    (holder,) = clients(pane)
    other.reeve("attach", "job")
    other.shows(f"is attached by PID {holder} on {pane.tty}; use --steal to take it over or")
    other.shows("--read-only to watch")
    other.says_status(1)


def test_a_stolen_terminal_is_put_right_and_told(reeve, emulator):
    pane, thief = emulator.open(), emulator.open(rows=30, cols=90)
    before = pane.stty()
    modes = r"printf '\033[?1049h\033[?2004h\033[?1000h\033[?25lfull-%d' 42"
    pane.reeve("run", "--name", "job", "--", "sh", "-c", f'"{modes}; cat"')
    pane.shows("full-42")
    assert pane.flags()["alternate_on"] and not pane.flags()["cursor_flag"]
    thief.reeve("attach", "--steal", "job")
    pane.shows("another client has taken over")
    assert sane(pane)
    as_before(pane, before)
    pane.says_status(1)
    # the thief is not disturbed by the other's leaving
    thief.line("typed-by-the-thief")
    wait_for(lambda: thief.text().count("typed-by-the-thief") == 2)


def test_a_session_is_not_shown_on_its_own_terminal(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "-e", "PS1='in% '", "--", "sh", "-i")
    pane.shows("in%")
    for option in ("--steal", "--read-only"):
        pane.line("clear")
        pane.reeve("attach", option, "job")
        pane.shows("without end")
        pane.line("echo status $?")
        pane.shows("status 1")
    pane.reeve("run", "--name", "other", "-e", "PS1='other% '", "--", "sh", "-i")
    pane.shows("other%")  # another one is


def test_readers_follow_and_cannot_type(reeve, emulator):
    pane, reader = emulator.open(), emulator.open()
    pane.reeve("run", "--name", "job", "--", "cat")
    pane.attached()
    reader.reeve("attach", "--read-only", "job")
    reader.attached()
    reader.line("not-this")
    pane.line("but-this")
    reader.shows("but-this")
    assert "not-this" not in pane.text()
    reader.key("C-c")
    reader.shows("the session goes on")
    pane.line("still-here")
    wait_for(lambda: pane.text().count("still-here") == 2)


# --- leaving the terminal as it was --------------------------------------------------------------


def as_before(pane, before):
    wait_for(lambda: pane.stty() == before, what=f"no {pane.stty() ^ before} in the settings")


def sane(pane):
    expected = {name: 0 for name in pane.flags()}
    expected.update(cursor_flag=1, wrap_flag=1)
    wait_for(lambda: pane.flags() == expected, what=f"plain modes instead of {pane.flags()}")
    return True


MODES = (
    r"printf '\033[?1049h\033[?2004h\033[?1002h\033[?1006h\033[?25l\033[?1h\033=\033[4h"
    r"\033[5;9r\033[?7l\033]0;new-title\007modes-%d' 42"
)


def ends_of_a_client():
    yield pytest.param(lambda pane, reeve: pane.key("C-]"), id="detached")
    yield pytest.param(lambda pane, reeve: kill(pane, signal.SIGKILL), id="killed")
    yield pytest.param(lambda pane, reeve: kill(pane, signal.SIGHUP), id="hangup")
    yield pytest.param(lambda pane, reeve: kill(pane, signal.SIGABRT), id="crashed")
    yield pytest.param(lambda pane, reeve: reeve.ok("kill", "job"), id="session-ended")
    yield pytest.param(lambda pane, reeve: reeve.ok("rm", "-f", "job"), id="session-removed")


def kill(pane, number):
    for pid in clients(pane):
        os.kill(pid, number)


@pytest.mark.parametrize("end", ends_of_a_client())
def test_the_terminal_is_left_clean(reeve, emulator, end):
    pane = emulator.open()
    before, title = pane.stty(), pane.title
    pane.reeve("run", "--name", "job", "--", "sh", "-c", f'"{MODES}; exec sleep 1000"')
    pane.shows("modes-42")
    on = pane.flags()
    assert on["alternate_on"] and on["mouse_any_flag"] and on["keypad_flag"] and on["insert_flag"]
    assert not on["cursor_flag"] and not on["wrap_flag"] and pane.title == "new-title"
    pane.attached()
    end(pane, reeve)
    sane(pane)
    as_before(pane, before)
    wait_for(lambda: pane.title == title, what=f"the title of before, {title}, not {pane.title}")
    pane.line("echo alive $((6 * 7))")
    pane.shows("alive 42")


def test_a_client_that_is_terminated_leaves_the_terminal_clean(reeve, emulator):
    session = reeve.ok("run", "-d", "--pty", "--", "sh", "-c", f"{MODES}; exec sleep 1000")
    pane = emulator.open()
    before, title = pane.stty(), pane.title
    pane.reeve("attach", session)
    pane.shows("modes-42")
    pane.attached()
    wait_for(lambda: pane.flags()["alternate_on"] and pane.title == "new-title")
    kill(pane, signal.SIGTERM)
    sane(pane)
    as_before(pane, before)
    wait_for(lambda: pane.title == title, what=f"the title of before, {title}, not {pane.title}")
    pane.says_status(128 + signal.SIGTERM)
    assert reeve.api.show(session)["status"] == "running"


def test_what_only_the_terminal_knows_it_keeps_for_itself(reeve):
    reeve.start()
    words = [REEVE, "run", "--", "sh", "-c", r"printf '\033[?12h\033[?1007h'"]
    terminal = SlowTerminal(words, reeve.env, rate=None)
    try:
        assert terminal.process.wait(30) == 0
        wait_for(lambda: b"\033[?1007r" in terminal.taken, what="the end of what was written")
    finally:
        terminal.end()
    order = [b"\033[?12;1007s", b"\033[?12h", b"\033[?1007h", b"\033[?12r", b"\033[?1007r"]
    places = [terminal.taken.find(sequence) for sequence in order]
    assert -1 not in places and places == sorted(places), terminal.taken


def test_tab_stops_belong_to_the_session(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "--", "bash", "--norc")
    pane.attached()
    pane.line(r"printf '\033[3g\033[6G\033H\033[21G\033H\r'; clear; printf '\tfive\ttwenty\n'")
    pane.shows(" " * 5 + "five" + " " * 11 + "twenty")
    detach(pane)
    pane.left()
    pane.line(r"clear; printf '\teight\tsixteen\n'")
    wait_for(lambda: pane.lines()[0] == " " * 8 + "eight" + " " * 3 + "sixteen")
    # Keys would be told of over the screen, which is drawn anew after that.
    pane.reeve("attach", "--detach-keys", "none", "job")
    pane.shows("twenty")
    pane.line(r"clear; printf '\tagain\tthere\n'")
    pane.shows(" " * 5 + "again" + " " * 10 + "there")


def test_nothing_stays_behind_of_a_killed_client(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "--", "cat")
    pane.attached()
    (client,) = clients(pane)
    watchers = descendants(client)
    assert len(watchers) == 1
    os.kill(client, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, [client, *watchers])), what="the watcher's end")
    assert reeve.api.show("job")["status"] == "running"


def test_the_loss_of_the_terminal_only_detaches(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "--", "sh", "-c", "'trap : HUP; read x; exit 5'")
    pane.attached()
    (client,) = clients(pane)
    emulator.tmux("kill-pane", "-t", pane.pane)
    wait_for(lambda: not alive(client), what="the client's end")
    assert reeve.api.show("job")["status"] == "running"
    other = emulator.open()
    other.reeve("attach", "job")
    other.attached()
    other.key("Enter")
    other.says_status(5)


def test_a_client_that_is_continued_while_it_leaves_is_gone(reeve):
    """The kernel sends SIGCONT, too, when a terminal is hung up."""
    reeve.start()
    for _ in range(5):
        terminal = SlowTerminal([REEVE, "run", "--", "true"], reeve.env, rate=None)

        def is_gone(client=terminal.process):
            for _ in range(100):
                client.send_signal(signal.SIGCONT)
            return client.poll() is not None

        try:
            wait_for(is_gone, what="the end of the client")
            assert terminal.process.returncode == 0
        finally:
            terminal.end()


def test_a_client_that_is_suspended_gives_the_terminal_back_and_takes_it_again(reeve, emulator):
    pane = emulator.open("bash", "--norc", "--noprofile")
    pane.reeve("run", "--name", "job", "--", "cat")
    pane.attached()
    kill(pane, signal.SIGTSTP)
    pane.shows("Stopped")
    assert "opost" in pane.stty()
    pane.line("fg")
    wait_for(lambda: {"-icanon", "-isig", "-opost"} <= pane.stty())
    pane.line("typed-again")
    wait_for(lambda: pane.text().count("typed-again") == 2)
    detach(pane)


# --- the engine's death --------------------------------------------------------------------------


def test_an_attached_client_does_not_notice_the_death_of_the_engine(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "--", "cat")
    pane.attached()
    for n in range(3):
        pane.line(f"before-{n}")
        reeve.kill_engine()
        pane.line(f"after-{n}")
        wait_for(lambda: pane.text().count(f"after-{n}") == 2)
    # Each as it was typed and as it was read, which may stand in one line: typing waits for nobody.
    text = pane.text()
    words = [f"{word}-{n}" for n in range(3) for word in ("before", "after")]
    assert {word: text.count(word) for word in words} == dict.fromkeys(words, 2), text
