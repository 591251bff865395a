# SPDX-License-Identifier: Apache-2.0
"""Much typed, much printed: pastes, floods and slow terminals."""

import contextlib
import hashlib
import pathlib
import random
import re
import time

import pytest
from conftest import BUILD, alive, descendants, wait_for
from emulator import Emulator, SlowTerminal

REEVE = BUILD / "reeve"
PASTE = 1 << 20


@pytest.fixture
def emulator(reeve):
    reeve.start()
    emulator = Emulator(reeve.dir, reeve.env)
    try:
        yield emulator
    finally:
        emulator.end()


@pytest.fixture
def slow_terminal(reeve):
    with contextlib.ExitStack() as stack:

        def make(*words, **kw):
            terminal = SlowTerminal([REEVE, *words], reeve.env, **kw)
            stack.callback(terminal.end)
            return terminal

        yield make



# --- typing --------------------------------------------------------------------------------------


def paste_into(reeve, pane, meanwhile=lambda: None):
    """Pastes random bytes into a program that reads them all; what they were and what arrived."""
    quarters = f"for part in 1 2 3 4; do head -c {PASTE // 4}; echo part-$part >&2; done"
    script = f"stty raw -echo; echo ready-$((40 + 2)); ({quarters}) | sha256sum; sleep 1000"
    pane.reeve("run", "--name", "job", "--detach-keys", "none", "--", "sh", "-c", f"'{script}'")
    pane.shows("ready-42")
    data = random.Random(PASTE).randbytes(PASTE)
    pane.paste(data)
    meanwhile()
    digest = wait_for(
        lambda: re.search(rb"\b[0-9a-f]{64}\b", reeve.api.raw("job")), 60, "all of the paste"
    )
    return hashlib.sha256(data).hexdigest(), digest[0].decode()


def test_a_long_paste_arrives_byte_for_byte(reeve, emulator):
    sent, arrived = paste_into(reeve, emulator.open())
    assert arrived == sent


def test_a_paste_survives_the_death_of_the_engine_in_its_middle(reeve, emulator):
    def kill_in_the_middle():
        for part in (b"part-1", b"part-3"):
            wait_for(lambda part=part: part in reeve.api.raw("job"), what="a part of the paste")
            reeve.kill_engine()

    sent, arrived = paste_into(reeve, emulator.open(), kill_in_the_middle)
    assert arrived == sent


def test_a_paste_that_nobody_reads_blocks_no_control(reeve, emulator):
    pane = emulator.open(rows=25, cols=90)
    script = "trap 'stty size' WINCH; stty raw -echo; echo ready-$((40 + 2)); "
    script += "while :; do sleep 0.02; done"
    pane.reeve("run", "--name", "job", "--", "sh", "-c", f'"{script}"')
    pane.shows("ready-42")
    pane.paste(b"x" * PASTE)
    pane.resize(rows=30, cols=100)
    pane.shows("30 100")
    pane.key("C-]")  # behind all of the paste
    pane.shows("the session goes on")
    assert reeve.api.show("job")["status"] == "running"


# --- floods --------------------------------------------------------------------------------------


def child(reeve, name):
    """The pid of the session's `yes`, once it runs."""

    def find():
        pid = reeve.api.show(name)["pid"]
        below = descendants(pid)
        return below and below[0]

    return wait_for(find, what="the flood")


def interrupt(reeve, type_it):
    """The seconds until the flood has ended."""
    flood = child(reeve, "job")
    written = reeve.api.show("job")["streams"]["pty"]["written"]
    wait_for(lambda: reeve.api.show("job")["streams"]["pty"]["written"] > written + (4 << 20))
    begin = time.monotonic()
    type_it()
    wait_for(lambda: not alive(flood), what="the end of the flood")
    return time.monotonic() - begin


def test_a_flood_is_interrupted_at_once(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "--name", "job", "-e", "PS1='%% '", "--", "bash", "--norc")
    pane.attached()
    took, typing = [], []

    def interrupt_it():
        begin = time.monotonic()
        pane.key("C-c")
        typing.append(time.monotonic() - begin)  # until tmux has it: how busy the machine is

    while sum(t < 0.2 + 3 * typed for t, typed in zip(took, typing, strict=True)) < 3:
        assert len(took) < 10, (took, typing)
        pane.line("yes")
        took.append(interrupt(reeve, interrupt_it))
        pane.line(f"echo again-$((40 + {len(took)}))")
        pane.shows(f"again-{40 + len(took)}")


def test_a_slow_terminal_is_shown_where_things_stand(reeve, emulator, slow_terminal):
    reeve.start()
    terminal = slow_terminal("run", "--name", "job", "--", "bash", "--norc", rate=4_000)
    wait_for(lambda: b"$ " in terminal.taken or b"# " in terminal.taken, what="the prompt")
    terminal.type(b"yes 'a line of the flood, as long as a line of a flood can well be'\r")
    took = interrupt(reeve, lambda: terminal.type(b"\x03"))
    assert took < 5, "64 KiB ahead of it would take 16 s"
    terminal.type(b"PS1='%% '; clear; echo the-$((40 + 2))\r")
    wait_for(lambda: b"the-42" in terminal.taken, 40, "what came after the flood")
    terminal.rate = None
    terminal.type(b"\x1d")
    assert terminal.process.wait(20) == 0
    terminal.reader.join(20)
    said = re.search(rb"reeve: (\d+) bytes came too fast for this terminal", terminal.taken)
    written = reeve.api.show("job")["streams"]["pty"]["written"]
    # what was shown and what was skipped is all there was; a screen is shown beyond that
    assert said and written - len(terminal.taken) <= int(said[1]) <= written, terminal.taken[-500:]
    pane = replay(emulator, reeve.dir, terminal.taken)
    pane.shows("the session goes on")
    assert pane.lines()[0] == "the-42" and "flood" not in pane.text()


def processor_seconds(process):
    """What it has used, however long it had to wait for it."""
    return int(pathlib.Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def tries_to_write(process):
    """How often it has called write()."""
    lines = pathlib.Path(f"/proc/{process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscw"])


def test_a_client_sleeps_while_its_terminal_takes_nothing(reeve, slow_terminal):
    reeve.start()
    pieces = "while :; do printf %4000s; done"
    terminal = slow_terminal("run", "--name", "job", "--", "sh", "-c", pieces, rate=500)
    wait_for(lambda: reeve.api.show("job")["attached"] and terminal.taken, what="the output")
    taken, begin = len(terminal.taken), time.monotonic()
    tries, used = tries_to_write(terminal.process), processor_seconds(terminal.process)
    # Meanwhile it is shown several times where things stand.
    wait_for(lambda: len(terminal.taken) > taken + 1500, what="three seconds' worth of output")
    tries = tries_to_write(terminal.process) - tries
    used = processor_seconds(terminal.process) - used
    took = time.monotonic() - begin
    assert used < took / 20 and tries < 100 * took, (used, tries, took)


def replay(emulator, directory, taken):
    """A terminal that got these bytes."""
    path = directory / "taken"
    path.write_bytes(taken)
    return emulator.open("sh", "-c", f"cat {path}; exec sleep 1000")
