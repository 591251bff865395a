# SPDX-License-Identifier: Apache-2.0
"""Interactive programs in sessions, used through a real terminal emulator."""

import shutil

import pytest
from conftest import command_line, descendants, wait_for
from emulator import Emulator

PASSWORD = "import getpass; print('Got', len(getpass.getpass('Secret: ')))"


def needs(program):
    if not shutil.which(program):
        pytest.fail(f"{program} is missing: ./dev setup installs it")


@pytest.fixture
def emulator(reeve):
    reeve.start()
    emulator = Emulator(reeve.dir, reeve.env)
    try:
        yield emulator
    finally:
        emulator.end()



def run(pane, *words, name="job"):
    pane.reeve("run", "--name", name, "--", *words)
    pane.attached()


def detach(pane):
    pane.key("C-]")
    pane.shows("the session goes on")
    pane.left()
    pane.line("clear")
    pane.hides("the session goes on")


def input_is_awaited(reeve, echo=True):
    body = {"until": [{"input": True}], "timeout": "20s"}
    answer = reeve.api.post(reeve.api.path_of("job", "/wait"), body).json
    assert (answer["fired"], answer["echo"]) == ("input", echo), answer
    wait_for(lambda: reeve.api.show("job").get("waitingForInput") is True)


def sleepers(session):
    return [pid for pid in descendants(session["pid"]) if command_line(pid).startswith("sleep ")]


def input_is_not_awaited(reeve):
    wait_for(lambda: reeve.api.show("job").get("waitingForInput") is False)


# --- a program each ------------------------------------------------------------------------------


def test_vim_is_left_in_one_window_and_goes_on_in_a_smaller_one(reeve, emulator):
    needs("vim")
    path = reeve.home / "letter.txt"
    path.write_text("".join(f"line {n}\n" for n in range(1, 101)))
    pane = emulator.open(rows=40, cols=120)
    run(pane, "vim", "-u", "NONE", "-N", str(path))
    pane.shows("line 39")
    pane.type("Goadded at the end")
    pane.shows("added at the end")
    pane.key("Escape")
    detach(pane)
    assert not pane.flags()["alternate_on"]
    small = emulator.open(rows=15, cols=60)
    small.reeve("attach", "job")
    small.shows("added at the end")
    assert small.flags()["alternate_on"]
    wait_for(lambda: "line 90" in small.text() and "line 80" not in small.text())
    small.type("ggx")
    small.shows("ine 1")
    small.line(":wq")
    small.left()
    assert not small.flags()["alternate_on"]
    text = path.read_text()
    assert text.startswith("ine 1\nline 2\n") and text.endswith("line 100\nadded at the end\n")


def test_vim_is_intact_after_the_death_of_the_engine(reeve, emulator):
    needs("vim")
    path = reeve.home / "letter.txt"
    pane = emulator.open()
    run(pane, "vim", "-u", "NONE", "-N", str(path))
    pane.shows("[New]" if "[New]" in pane.text() else "~")
    pane.type("iThe first line")
    pane.shows("The first line")
    before = pane.lines()[:20]
    reeve.kill_engine()
    pane.key("Enter")
    pane.type("and the second")
    pane.shows("and the second")
    assert pane.lines()[0] == before[0] == "The first line"
    assert pane.lines()[1] == "and the second" and set(pane.lines()[2:20]) == {"~"}
    pane.key("Escape")
    pane.line(":wq")
    wait_for(lambda: path.exists() and path.read_text() == "The first line\nand the second\n")


def test_less_shows_its_page_again_after_attaching(reeve, emulator):
    needs("less")
    path = reeve.home / "numbers"
    path.write_text("".join(f"{n:06d}\n" for n in range(10000)))
    pane = emulator.open()
    run(pane, "less", str(path))
    pane.shows("000000")
    pane.type("5000g")
    pane.shows("004999")
    detach(pane)
    pane.reeve("attach", "job")
    pane.shows("004999")
    pane.type("q")
    pane.says_status(0)


@pytest.mark.parametrize("program", ["top", "htop"])
def test_a_program_that_draws_for_ever_is_drawn_after_attaching(reeve, emulator, program):
    needs(program)
    pane = emulator.open(rows=30, cols=100)
    run(pane, program)
    pane.shows("PID")
    detach(pane)
    other = emulator.open(rows=20, cols=80)
    other.reeve("attach", "job")
    other.shows("PID")
    other.type("q")
    other.says_status(0)


def test_a_shell_is_the_same_one_after_attaching(reeve, emulator):
    pane = emulator.open()
    pane.reeve("run", "-e", "PS1='%% '", "--name", "job", "--", "bash", "--norc")
    pane.attached()
    wait_for(lambda: "%%" in pane.lines(), what="the prompt")
    pane.line("answer=$((6 * 7)); sleep 1000 &")
    detach(pane)
    pane.reeve("attach", "job")
    pane.attached()
    pane.line("echo the answer is $answer; jobs")
    pane.shows("the answer is 42")
    pane.shows("Running")
    pane.line("kill %1; exit 3")
    pane.says_status(3)


@pytest.mark.parametrize(
    ("words", "prompt", "typed", "shown"),
    [
        (["/usr/bin/python3", "-q"], ">>>", "print(6 * 7)", "42"),
        (["sqlite3"], "sqlite>", "select 6 * 7;", "42"),
        (["node"], ">", "6 * 7", "42"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_prompt_answers_before_and_after_attaching(
    reeve, emulator, words, prompt, typed, shown
):
    needs(words[0])
    pane = emulator.open()
    run(pane, *words)
    pane.shows(prompt)
    pane.line(typed)
    pane.shows(shown)
    detach(pane)
    pane.reeve("attach", "job")
    pane.attached()
    pane.line(typed.replace("6", "5"))
    pane.shows("35")


# --- waiting for input ---------------------------------------------------------------------------

# What it runs, what makes it work, and what ends that work.
WORKING = {
    "bash": (["bash", "--norc"], "sleep 1000\r", "\x03"),
    "dash": (["sh", "-c", "while read line; do $line; done"], "sleep 1000\r", None),
    "cat": (["cat"], None, None),
    "vim": (["vim", "-u", "NONE", "-N"], ":!sleep 1000\r", "\x03\r"),
    "less": (["less", "/etc/passwd"], "!sleep 1000\r", "\x03\r"),
    "python": (["/usr/bin/python3", "-q"], "while True: pass\r\r", "\x03"),
    "sqlite": (["sqlite3"], ".shell sleep 1000\r", "\x03"),
    "node": (["node"], "for (;;) ;\r", "\x03"),
}


@pytest.fixture(params=["engine", "keeper"])
def looked_at_by(request, reeve):
    """Who looks at the program. The keeper is asked where only an ancestor may look."""
    reeve.env["REEVE_TYPING"] = request.param
    return request.param


@pytest.mark.parametrize("program", WORKING)
def test_a_program_waits_for_input_or_works(reeve, looked_at_by, program):
    words, work, stop = WORKING[program]
    needs(words[0])
    env = {**reeve.env, "TERM": "xterm"}
    session = reeve.api.spawn(*words, kind="pty", name="job", env=env)
    input_is_awaited(reeve, echo=True)
    if work is None:
        return
    reeve.api.stdin(session, work.encode())
    if "sleep" in work:  # until then it may well wait for more keys
        wait_for(lambda: sleepers(session))
    input_is_not_awaited(reeve)
    answers = {reeve.api.show("job").get("waitingForInput") for _ in range(20)}
    assert answers <= ({False} if looked_at_by == "engine" else {False, None})
    if stop:
        reeve.api.stdin(session, stop.encode())
        wait_for(lambda: reeve.api.show("job").get("waitingForInput") is True)


def test_a_password_is_asked_for_and_not_shown(reeve, emulator):
    pane = emulator.open()
    run(pane, "/usr/bin/python3", "-c", f'"{PASSWORD}"')
    pane.shows("Secret:")
    input_is_awaited(reeve, echo=False)
    pane.line("hunter-two")
    pane.shows("Got 10")
    assert "hunter" not in pane.history()
