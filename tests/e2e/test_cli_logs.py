# SPDX-License-Identifier: Apache-2.0
"""`reeve logs`: of several sessions at once, followed across the death of the engine, and in time."""

import re
import subprocess

from commands import writer
from conftest import wait_for
from shell import Terminal

TIME = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def lines_by_name(out):
    """{name: its lines} of what `logs` of several sessions prints."""
    by_name = {}
    for line in out.splitlines(keepends=True):
        name, _, text = line.partition(b" | ")
        by_name.setdefault(name.decode().strip(), []).append(text)
    return by_name


def ticker(n, streams="stdout"):
    """Writes n lines, the even ones to stderr when `both`; each when it is told to by a line."""
    where = 'f = sys.stderr if i % 2 == 0 else sys.stdout' if streams == "both" else "f = sys.stdout"
    return (
        "/usr/bin/python3", "-c",
        f"import sys\nfor i in range({n}):\n {where}\n print('tick', i, file=f, flush=True)\n"
        " sys.stdin.readline()\n",
    )  # fmt: skip


def numbers(lines):
    return [int(line.split()[-1]) for line in lines]


def test_lines_of_several_come_in_the_order_of_time(reeve):
    for name in ("a", "long-name"):
        reeve.ok("run", "-d", "--stdin", "--name", name, "--", "cat")
    for i, name in enumerate(["a", "long-name", "a", "a", "long-name"]):
        reeve.ok("send", name, f"line {i}")
        reeve.ok("wait", name, "--until", f"log=line {i}")
    out = reeve.ok("logs", "a", "long-name").splitlines()
    assert out == [
        "a         | line 0", "long-name | line 1", "a         | line 2", "a         | line 3",
        "long-name | line 4",
    ]  # fmt: skip
    assert reeve.ok("logs", "-n", "1", "long-name", "a").splitlines() == [out[3], out[4]]
    assert reeve.ok("logs", "--grep", "[14]", "a", "long-name").splitlines() == [out[1], out[4]]
    timed = reeve("logs", "-t", "a", "long-name").stdout.splitlines()
    assert [line.partition(b" | ")[0] + b" | " + TIME.sub(b"", line.partition(b" | ")[2])
            for line in timed] == [line.encode() for line in out]  # fmt: skip


def test_each_name_has_its_colour_on_a_terminal_alone(reeve):
    for name in ("a", "b"):
        reeve.ok("run", "--name", name, "-c", f"echo from {name}")
    assert b"\x1b" not in reeve("logs", "a", "b").stdout
    with Terminal(reeve, "reeve logs a b; echo over") as terminal:
        seen = terminal.read_until(b"over\r\n")
    colours = re.findall(rb"(\x1b\[\d+m)[ab] \|\x1b\[0m from [ab]\r\n", seen)
    assert len(colours) == 2 and colours[0] != colours[1]
    with Terminal(reeve, "reeve logs a b; echo over", NO_COLOR="1") as terminal:
        assert b"\x1b" not in terminal.read_until(b"over\r\n")


def test_several_are_followed_to_the_end_of_all(reeve):
    for name, code in (("a", 0), ("b", 4)):
        reeve.ok("run", "-d", "--stdin", "--name", name, "-c", f"echo up; cat; exit {code}")
    client = reeve.popen("logs", "-f", "--exit-code", "a", "b")
    first = {client.stdout.readline(), client.stdout.readline()}
    assert first == {b"a | up\n", b"b | up\n"}
    reeve.ok("send", "a", "to a")
    assert client.stdout.readline() == b"a | to a\n"
    reeve.ok("send", "-n", "--eof", "b", "no end")
    assert client.stdout.readline() == b"b | no end\n"
    reeve.ok("send", "--eof", "a", "last")
    assert client.stdout.readline() == b"a | last\n"
    assert client.stdout.read() == b"" and client.wait(20) == 4


def test_one_that_is_not_there_does_not_hide_the_others(reeve):
    reeve.ok("run", "--name", "a", "-c", "echo here")
    result = reeve("logs", "nobody", "a")
    assert result.returncode == 1 and b'"nobody"' in result.stderr
    assert result.stdout == b"a | here\n"


def test_bytes_that_are_not_text_pass_through_lines(reeve):
    odd = b"\xff\xfe\0\x01 odd\n\n\xc3\n"
    reeve("run", "--name", "a", "--", "cat", input=odd)
    reeve.ok("run", "--name", "b", "--", "true")
    assert b"".join(lines_by_name(reeve("logs", "a", "b").stdout)["a"]) == odd
    timed = reeve("logs", "-t", "a").stdout
    assert [TIME.sub(b"", line) for line in timed.splitlines(keepends=True)] == odd.splitlines(
        keepends=True
    )


def test_a_line_longer_than_a_piece_has_one_name_and_one_end(reeve):
    line = bytes(b"0123456789abcdef"[i % 16] for i in range(200_000))
    reeve("run", "--name", "a", "--", "cat", input=line + b"\nshort\n")
    reeve.ok("run", "--name", "b", "--", "true")
    assert lines_by_name(reeve("logs", "a", "b").stdout) == {"a": [line + b"\n", b"short\n"]}


def follow_while_engines_die(reeve, options, names, n=12):
    """What `logs -f` of these prints while they tick and the engine dies after each third."""
    client = reeve.popen("logs", "-f", *options, *names)
    out = b""
    for i in range(n):
        for _ in names:  # one line of each is out
            line = client.stdout.readline()
            assert line, client.stderr.read()
            out += line
        if i % 3 == 2:
            reeve.kill_engine()
        for name in names:
            reeve.ok("send", name, "")
    rest, errors = client.communicate(timeout=30)
    assert (errors, client.returncode) == (b"", 0)
    return out + rest


def test_one_followed_across_engines_is_exact(reeve):
    for options in ([], ["-t"], ["--grep", "tick"], ["-t", "-n", "3"]):
        reeve.ok("run", "-d", "--stdin", "--replace", "--name", "a", "--", *ticker(12, "both"))
        reeve.ok("wait", "a", "--until", "log=tick 0")
        out = follow_while_engines_die(reeve, options, ["a"])
        lines = out.splitlines()
        assert numbers(lines) == list(range(12)), options
        if "-t" in options:
            times = [match and match[0] for match in map(TIME.match, lines)]
            assert all(times) and times == sorted(times)


def test_several_followed_across_engines_are_exact(reeve):
    for name in ("a", "b"):
        reeve.ok("run", "-d", "--stdin", "--name", name, "--", *ticker(12, "both"))
        reeve.ok("wait", name, "--until", "log=tick 0")
    found = lines_by_name(follow_while_engines_die(reeve, [], ["a", "b"]))
    assert {name: numbers(lines) for name, lines in found.items()} == {
        "a": list(range(12)), "b": list(range(12)),
    }  # fmt: skip


def test_what_was_not_to_be_shown_is_not_after_an_engines_death_either(reeve):
    reeve.ok("run", "-d", "--stdin", "--name", "a", "-c", "seq 100 >&2; seq 200 300; cat")
    reeve.ok("wait", "a", "--until", "log=300")
    client = reeve.popen("logs", "-f", "-t", "-n", "2", "a")
    first = [TIME.sub(b"", client.stdout.readline()) for _ in range(2)]
    assert first == [b"299\n", b"300\n"]
    reeve.kill_engine()
    reeve.ok("send", "--eof", "a", "more")
    out, errors = client.communicate(timeout=30)
    assert ([TIME.sub(b"", line + b"\n") for line in out.splitlines()], errors) == ([b"more\n"], b"")


def test_a_follower_of_lines_that_is_too_slow_is_told_and_goes_on(reeve):
    n = 4 << 20
    command = writer(n, "sys.stdin.readline()")
    script = "read x; exec /usr/bin/python3 -c \"$0\""
    reeve.ok("run", "-d", "--stdin", "--name", "a", "--backlog", "64K", "--",
             "sh", "-c", script, command[2])  # fmt: skip
    client = reeve.popen("logs", "-f", "-t", "a")
    wait_for(lambda: len(reeve.api.show("a")["streams"]) > 0)
    reeve.ok("send", "a", "")
    wait_for(lambda: reeve.api.show("a")["streams"]["stdout"]["written"] == n)
    reeve.ok("send", "a", "")
    out, errors = client.communicate(timeout=60)
    assert client.returncode == 0
    gone = sum(int(word) for word in re.findall(rb"(\d+) bytes of stdout are gone", errors))
    texts = [TIME.sub(b"", line) for line in out.splitlines()]
    assert texts[-1] == b"%07d" % (n // 8 - 1), "the end is there"
    given = sum(len(text) + 1 for text in texts)
    assert gone > 0 and given + gone == n


def test_a_follower_ends_when_nobody_reads_it_any_more(reeve):
    for name in ("a", "b"):
        reeve.ok("run", "-d", "--name", name, "-c", "echo up; exec sleep 1000")
        reeve.ok("wait", name, "--until", "log=up")
    for words in (["a"], ["-t", "a"], ["a", "b"]):
        client = reeve.popen("logs", "-f", *words)
        client.stdout.readline()
        client.stdout.close()
        assert client.wait(20) in (141, -13), words


def test_exit_codes_of_several_give_the_first_that_is_not_zero(reeve):
    for name, code in (("a", 0), ("b", 5), ("c", 6)):
        reeve.ok("run", "-d", "--name", name, "-c", f"exit {code}")
        reeve("wait", name)
    assert reeve("logs", "--exit-code", "a", "b", "c").returncode == 5
    assert reeve("logs", "a", "b", "c").returncode == 0
    assert reeve("logs", "--exit-code", "a").returncode == 0


def test_a_full_disk_is_an_error(reeve):
    reeve.ok("run", "--name", "a", "-c", "echo x")
    with open("/dev/full", "wb") as full:
        for words in (["a"], ["-t", "a"], ["-f", "a"]):
            result = reeve("logs", *words, stdout=full)
            assert result.returncode == 1 and b"No space left" in result.stderr, words


def test_a_description_chooses_whose_output_is_shown(reeve):
    for name, label in (("a", "x=1"), ("b", "x=2"), ("c", "x=1")):
        reeve.ok("run", "--name", name, "-l", label, "-c", f"echo from {name}")
    assert set(lines_by_name(reeve("logs", "-l", "x=1").stdout)) == {"a", "c"}
    assert reeve("logs", "-l", "x=3").stdout == b""


def test_follow_into_a_pipe_keeps_its_pace(reeve):
    """Each line is out when it was written, not when a buffer is full."""
    reeve.ok("run", "-d", "--stdin", "--name", "a", "--", *ticker(3))
    for options in ([], ["-t"]):
        client = reeve.popen("logs", "-f", *options, "a", stderr=subprocess.DEVNULL)
        assert b"tick 0" in client.stdout.readline()
        client.kill()
        client.wait()
