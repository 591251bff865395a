# SPDX-License-Identifier: Apache-2.0
"""The commands about sessions: what they print, and how they exit."""

import json
import re
import signal

import pytest
from conftest import wait_for


def sleeper(reeve, *options):
    return reeve.ok("run", "-d", *options, "--", "sleep", "1000")


def said(result):
    """(exit status, stderr as text); nothing may be on stdout."""
    assert result.stdout == b"", result
    return result.returncode, result.stderr.decode()


# --- ps ------------------------------------------------------------------------------------------


def test_ps_shows_what_runs_and_with_a_all(reeve):
    live = sleeper(reeve, "--name", "web", "--title", "My job")
    ended = reeve.ok("run", "-d", "--name", "once", "-c", "exit 3")
    reeve("wait", ended)
    head, *rows = reeve.ok("ps").splitlines()
    assert head.split()[:4] == ["NO", "ID", "NAME", "STATUS"] and len(rows) == 1
    assert live in rows[0] and "web" in rows[0] and "Up" in rows[0] and "My job" in rows[0]
    assert "sleep 1000" in rows[0]
    rows = reeve.ok("ps", "-a").splitlines()[1:]
    assert ended in rows[0] and "Exited (3)" in rows[0] and live in rows[1]


def test_ps_can_be_quiet(reeve):
    first, second = sleeper(reeve), sleeper(reeve, "--name", "b")
    assert reeve.ok("ps", "-q").split() == [second, first]
    assert reeve.ok("ps", "-q", "-l", "x=y") == ""


def test_ps_without_sessions_is_a_table_without_rows(reeve):
    reeve.start()
    assert len(reeve.ok("ps").splitlines()) <= 1


def test_ps_for_programs_is_the_answer_of_the_api(reeve):
    sleeper(reeve, "-l", "app=web")
    listed = reeve.json("ps", "--json")
    from_api = reeve.api.get("/v1/sessions?all=false").json
    assert [s["id"] for s in listed["items"]] == [s["id"] for s in from_api["items"]]
    assert listed["items"][0]["labels"] == {"app": "web"}


def test_ps_can_be_filtered(reeve):
    web = sleeper(reeve, "-l", "app=web")
    mine = sleeper(reeve, "--originator", "me")
    reeve.ok("stop", mine)
    assert reeve.ok("ps", "-a", "-q", "-l", "app=web") == web
    assert reeve.ok("ps", "-a", "-q", "--originator", "me") == mine
    assert reeve.ok("ps", "-q", "--status", "stopped") == mine
    result = reeve("ps", "--status", "sleeping")
    assert said(result)[0] == 2


def test_a_session_name_cannot_write_to_the_terminal(reeve):
    reeve.ok("run", "-d", "--title", "\x1b[31mred\x07", "--name", "x", "--", "sleep", "1000")
    assert "\x1b" not in reeve.ok("ps") and "\x07" not in reeve.ok("ps")


# --- logs ----------------------------------------------------------------------------------------


def test_logs_gives_what_was_written_to_the_byte(reeve):
    odd = b"one\r\n\0\xff no end"
    reeve("run", "--name", "x", "--", "sh", "-c", "cat; echo oops >&2", input=odd)
    result = reeve("logs", "x")
    assert (result.stdout, result.stderr, result.returncode) == (odd + b"oops\n", b"", 0)
    assert reeve("logs", "--stream", "stderr", "x").stdout == b"oops\n"
    assert reeve("logs", "--stream", "stdout", "x").stdout == odd


def test_logs_can_be_cut_and_searched(reeve):
    reeve.ok("run", "--name", "x", "-c", "seq 100")
    assert reeve.ok("logs", "-n", "2", "x") == "99\n100"
    assert reeve.ok("logs", "--grep", "^5.$", "x").split() == [str(n) for n in range(50, 60)]
    assert reeve.ok("logs", "--stream", "stdout", "--from", "288", "x") == "100"
    assert reeve.ok("logs", "--since", "1h", "x").startswith("1\n2\n")


def test_logs_with_times_has_one_at_each_line(reeve):
    reeve.ok("run", "--name", "x", "-c", "echo one; echo two")
    lines = reeve.ok("logs", "-t", "x").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "two"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line) for line in lines)


def test_logs_follows_to_the_end(reeve):
    session = reeve.ok("run", "-d", "--stdin", "-c", "echo one; read x; echo two; exit 3")
    client = reeve.popen("logs", "-f", "--exit-code", session)
    assert client.stdout.readline() == b"one\n"
    reeve.ok("send", session, "")
    assert client.stdout.read() == b"two\n"
    assert client.wait(20) == 3


def test_logs_says_when_bytes_are_gone(reeve):
    reeve.ok("run", "-d", "--name", "x", "--backlog", "4K", "-c", "seq 10000")
    reeve("wait", "x")
    result = reeve("logs", "x")
    assert result.stdout.endswith(b"\n10000\n") and len(result.stdout) == 4096
    assert b"44798" in result.stderr, "48894 bytes were written, 4096 are left"


def test_logs_of_several_sessions_are_told_apart(reeve):
    reeve.ok("run", "--name", "a", "-c", "echo from a")
    reeve.ok("run", "--name", "b", "-c", "echo from b")
    out = reeve.ok("logs", "a", "b")
    assert out.index("a") < out.index("from a") < out.index("from b")


# --- inspect, tree -------------------------------------------------------------------------------


def test_inspect_shows_one_as_an_object_and_several_as_a_list(reeve):
    first, second = sleeper(reeve), sleeper(reeve)
    assert reeve.json("inspect", first)["id"] == first
    assert [s["id"] for s in reeve.json("inspect", first, second)] == [first, second]
    assert reeve.json("inspect", "@last")["id"] == second
    assert reeve.json("inspect", "1")["id"] == first


def test_inspect_hides_secrets_but_from_who_asks(reeve):
    reeve.ok("run", "-d", "--name", "x", "--", "sh", "-c", ":", "--token=s3cret")
    reeve("wait", "x")
    assert "s3cret" not in reeve.ok("inspect", "x") + reeve.ok("ps", "-a")
    assert "s3cret" in reeve.ok("inspect", "--raw", "x")


def test_tree_shows_children_below_their_parents(reeve):
    script = 'sleep 1000 & while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done; echo up; wait'
    session = reeve.ok("run", "-d", "--ready", "log=up", "-c", script)
    lines = reeve.ok("tree", session).splitlines()
    parent = next(i for i, line in enumerate(lines) if "sh -c" in line)
    child = next(i for i, line in enumerate(lines) if line.strip().endswith(" sleep 1000"))
    assert child > parent
    items = reeve.json("tree", "--json", session)["items"]
    assert {item["comm"] for item in items} == {"sh", "sleep"}


# --- send, attach --------------------------------------------------------------------------------


def test_send_types_a_line_or_less_or_a_file(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--name", "cat", "--", "cat")
    reeve.ok("send", "cat", "a line")
    reeve.ok("send", "-n", "cat", "no end|")
    reeve("send", "--eof", "cat", input=b"\0from\xffstdin")
    assert reeve("wait", session).returncode == 0
    assert reeve("logs", "cat").stdout == b"a line\nno end|\0from\xffstdin"


def test_send_of_more_than_fits_waits_for_the_command(reeve):
    session = reeve.ok("run", "-d", "--stdin", "--backlog", "2M", "--", "cat")
    data = b"".join(b"%07d\n" % i for i in range(1 << 17))
    assert reeve("send", "--eof", session, input=data).returncode == 0
    reeve("wait", session)
    assert reeve("logs", session).stdout == data


def test_send_to_what_does_not_read_is_an_error(reeve):
    status, text = said(reeve("send", sleeper(reeve), "x"))
    assert status == 1 and "/dev/null" in text


def test_attach_shows_what_was_written_and_passes_input_on(reeve):
    reeve.ok("run", "-d", "--stdin", "--name", "cat", "-c", "echo before; cat; exit 6")
    result = reeve("attach", "cat", input=b"typed\n")
    assert (result.stdout, result.returncode) == (b"before\ntyped\n", 6)


def test_attach_is_refused_while_another_has_it(reeve):
    session = sleeper(reeve)
    first = reeve.popen("attach", session)
    wait_for(lambda: reeve.json("inspect", session)["attached"])
    status, text = said(reeve("attach", session))
    assert status == 1
    assert f"PID {first.pid}" in text and "--steal" in text and "--read-only" in text
    second = reeve.popen("attach", "--steal", session)
    assert first.wait(20) == 1
    assert b"taken over" in first.stderr.read()
    reeve.ok("stop", session)
    assert second.wait(20) == 128 + 15


def test_watching_takes_nothing_and_disturbs_nobody(reeve):
    session = reeve.ok("run", "-d", "--stdin", "-c", "echo hello; cat")
    watchers = [reeve.popen("attach", "--read-only", session) for _ in range(3)]
    assert [w.stdout.readline() for w in watchers] == [b"hello\n"] * 3
    reeve.ok("send", "--eof", session, "more")
    assert [(w.stdout.read(), w.wait(20)) for w in watchers] == [(b"more\n", 0)] * 3


def test_interrupting_a_watcher_ends_nothing(reeve):
    session = reeve.ok("run", "-d", "-c", "echo hello; exec sleep 1000")
    watcher = reeve.popen("attach", "--read-only", session)
    watcher.stdout.readline()
    watcher.send_signal(signal.SIGTERM)
    watcher.wait(20)
    assert reeve.json("inspect", session)["status"] == "running"


# --- stop, kill, wait ----------------------------------------------------------------------------


def test_stop_prints_what_it_stopped(reeve):
    a, b = sleeper(reeve, "--name", "a"), sleeper(reeve, "--name", "b")
    assert reeve.ok("stop", "a", b).split() == ["a", b]
    assert {s["status"] for s in reeve.json("inspect", a, b)} == {"stopped"}
    assert reeve("stop", "a").returncode == 0, "stop is idempotent"


def test_stop_takes_grace_and_signal(reeve):
    script = "trap '' TERM; trap 'exit 7' INT; echo up; while :; do sleep 0.02; done"
    options = ("run", "-d", "--ready", "log=up", "-c", script)
    soft, hard = reeve.ok(*options), reeve.ok(*options)
    reeve.ok("stop", "-s", "INT", soft)
    assert reeve("wait", soft).returncode == 7
    reeve.ok("stop", "--grace", "20ms", hard)
    assert reeve("wait", hard).returncode == 128 + 9
    assert reeve.json("inspect", hard)["exit"]["outcome"] == "hard"


def test_stop_of_all_with_a_label(reeve):
    web = {sleeper(reeve, "-l", "app=web") for _ in range(3)}
    other = sleeper(reeve)
    assert set(reeve.ok("stop", "-l", "app=web").split()) == web
    assert reeve.ok("ps", "-q") == other


def test_kill_sends_a_signal(reeve):
    session = sleeper(reeve)
    reeve.ok("kill", "-s", "TERM", session)
    assert reeve("wait", session).returncode == 128 + 15
    status, text = said(reeve("kill", session))
    assert status == 1 and session in text


def test_wait_gives_the_exit_status_and_of_several_the_first_that_is_not_zero(reeve):
    for name, code in (("a", 0), ("b", 5), ("c", 6)):
        reeve.ok("run", "-d", "--name", name, "-c", f"exit {code}")
    assert reeve("wait", "b").returncode == 5 and reeve("wait", "b").stdout == b""
    result = reeve("wait", "a", "b", "c")
    assert result.returncode == 5
    assert [line.split()[1] for line in result.stdout.decode().splitlines()] == ["0", "5", "6"]


def test_wait_gives_up_with_124(reeve):
    assert reeve("wait", "--timeout", "30ms", sleeper(reeve)).returncode == 124


def test_wait_until_something_is_written(reeve):
    session = reeve.ok("run", "-d", "-c", "echo up; exec sleep 1000")
    assert reeve("wait", "--until", "log=up", "--timeout", "20s", session).returncode == 0
    assert reeve("wait", "--until", "log=no", "--timeout", "30ms", session).returncode == 124


# --- rm, purge -----------------------------------------------------------------------------------


def test_rm_removes_what_has_ended_and_by_force_what_runs(reeve):
    ended = reeve.ok("run", "-d", "--name", "once", "--", "true")
    reeve("wait", ended)
    assert reeve.ok("rm", "once") == "once"
    live = sleeper(reeve)
    status, text = said(reeve("rm", live))
    assert status == 1 and live in text and "-f" in text
    assert reeve.ok("rm", "-f", live) == live
    assert reeve.ok("ps", "-a", "-q") == ""


def test_rm_goes_on_after_an_error_and_tells_it(reeve):
    for name in ("a", "b"):
        reeve.ok("run", "--name", name, "--", "true")
    result = reeve("rm", "a", "nobody", "b")
    assert (result.returncode, result.stdout.split()) == (1, [b"a", b"b"])
    assert b'"nobody"' in result.stderr and b"ps -a" in result.stderr


def test_purge_counts_what_it_removes(reeve):
    for label in ("k=1", "k=1", "k=2"):
        reeve.ok("run", "-l", label, "--", "true")
    live = sleeper(reeve)
    assert reeve.ok("purge", "-l", "k=1") == "2 removed"
    assert reeve.ok("purge") == "1 removed"
    assert reeve.ok("ps", "-a", "-q") == live


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["logs"], ["stop"], ["kill"], ["wait"], ["inspect"], ["rm"], ["send"], ["attach"], ["tree"],
        ["attach", "a", "b"], ["no-such-command"], ["ps", "extra"], ["ps", "--no-such-option"], [],
        ["kill", "-s", "NO", "x"], ["stop", "--grace", "soon", "x"],
        ["wait", "--until", "doom", "x"],
        ["logs", "-n", "x", "x"], ["daemon", "no-such"], ["daemon"], ["logs", ""],
        ["logs", "--stream", "pty", "x"], ["run", "--backlog", "0", "true"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_exit_status_2(shared_reeve, words):
    if "x" in words and shared_reeve("inspect", "x").returncode:
        shared_reeve.ok("run", "-d", "--name", "x", "--", "sleep", "1000")
    status, text = said(shared_reeve(*words))
    assert status == 2 and text, (status, text)
    assert text.startswith(("reeve: ", "Usage: reeve"))


@pytest.mark.parametrize(
    "verb", ["logs", "stop", "kill", "wait", "inspect", "rm", "tree", "attach"]
)
def test_a_session_that_is_not_there_is_named(shared_reeve, verb):
    status, text = said(shared_reeve(verb, "nobody"))
    assert (status, text) == (1, 'reeve: no session "nobody"; `reeve ps -a` lists them all\n')


def test_an_ambiguous_beginning_lists_the_candidates(reeve):
    sessions = [sleeper(reeve), sleeper(reeve)]
    result = reeve("inspect", "pipe-")
    assert result.returncode in (1, 2)
    assert all(session in result.stderr.decode() for session in sessions)


def test_an_unreachable_daemon_is_125(reeve):
    for words in (["ps"], ["run", "--", "true"], ["logs", "x"], ["stop", "x"]):
        status, text = said(reeve("--no-autostart", *words))
        assert status == 125 and text.startswith("reeve: "), words


def test_every_command_explains_itself(shared_reeve):
    names = re.findall(r"^  (\w+) ", shared_reeve.ok("--help"), re.M)
    assert {"run", "ps", "logs", "attach", "send", "stop", "kill", "wait", "rm", "purge"} <= set(
        names
    )
    for name in names:
        shown = shared_reeve.ok(name, "--help")
        assert shown.startswith(f"Usage: reeve {name}") and shown == shared_reeve.ok("help", name)
    assert re.fullmatch(r"reeve \d+\.\d+\.\d+", shared_reeve.ok("version"))


def test_a_closed_stdout_is_an_error(reeve):
    sleeper(reeve)
    with open("/dev/full", "wb") as full:
        for words in (["ps"], ["ps", "--json"], ["inspect", "@last"]):
            result = reeve(*words, stdout=full)
            assert result.returncode == 1, words
            assert b"No space left" in result.stderr, words


def test_json_is_one_document(reeve):
    session = sleeper(reeve)
    for words in (["ps", "--json"], ["inspect", session], ["tree", "--json", session],
                  ["daemon", "status", "--json"]):  # fmt: skip
        assert isinstance(json.loads(reeve.ok(*words)), dict), words
