# SPDX-License-Identifier: Apache-2.0
"""reeve capabilities, observe and report."""

import html
import json
import os
import re
import signal

import pytest
from conftest import wait_for
from observers import capability, counted

SCRIPT = "echo hello > made; cat made > copy; rm made; cat /no/such/file; exit 3"


@pytest.fixture
def sees_all(reeve):
    """Whether results are seen, too: without privileges only what is asked of the kernel is."""
    return all(capability(reeve.api, c)["support"] == "supported" for c in ("file", "process"))


def test_capabilities_are_a_table_that_can_be_diffed(reeve):
    text = reeve.ok("capabilities")
    answer = reeve.json("capabilities", "--json")
    assert text + "\n" == answer["summary"] or text == answer["summary"]
    lines = text.splitlines()
    assert lines[0] == "observer capabilities:"
    assert all(line.startswith("  ") for line in lines[1:])
    starts = {line.index(c["backend"]) for line, c in zip(lines[1:], answer["capabilities"])}
    assert len(starts) == 1
    assert reeve.json("capabilities", "--json", "--scope", "system-wide")["scope"] == "system-wide"
    assert "subreaper-proc-poll" in reeve.ok("capabilities", "--probe")


def test_a_command_runs_and_is_watched_in_one(reeve, sees_all):
    result = reeve("observe", "--categories", "file,process", "--", "sh", "-c", SCRIPT)
    assert result.returncode == 3 and result.stdout == b""
    lines = result.stderr.decode().splitlines()
    shown = [" ".join(line.split()[2:]) for line in lines if len(line.split()) > 3]
    assert any(line.startswith("rm unlinked made") for line in shown)
    assert any(line.startswith("cat opened /no/such/file (read)") for line in shown)
    if sees_all:
        assert "sh created made (write)" in shown
        assert "cat opened /no/such/file (read): ENOENT" in shown
        assert "sh exited 3" in shown


def test_what_is_shown_can_be_chosen(reeve, sees_all):
    reeve("run", "--name", "it", "--observe", "all", "sh", "-c", SCRIPT)
    by_path = reeve.ok("observe", "it", "--path", "mad*").splitlines()
    assert by_path and all(" made" in line for line in by_path)
    failed = reeve.ok("observe", "it", "--failed").splitlines()
    assert any("/no/such/file (read): ENOENT" in line for line in failed) == sees_all
    assert all("ENOENT" in line or ": E" in line for line in failed)
    warned = b"file is observed in part" in reeve("observe", "it", "--failed").stderr
    assert warned == (capability(reeve.api, "file")["support"] == "partial")
    assert b"in part" not in reeve("observe", "it").stderr
    events = [json.loads(line) for line in reeve.ok("observe", "it", "--json").splitlines()]
    assert {e["category"] for e in events} == {"lifecycle", "file", "process"}
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    only = reeve.ok("observe", "it", "--json", "--categories", "lifecycle").splitlines()
    assert [json.loads(line)["kind"] for line in only] == ["started", "exited"]


def test_following_ends_with_the_session(reeve):
    reeve.ok("run", "-d", "--name", "it", "--stdin", "--observe", "lifecycle", "cat")
    client = reeve.popen("observe", "-f", "it")
    assert b"started" in client.stdout.readline()
    reeve.ok("stop", "it")
    out, err = client.communicate(timeout=20)
    assert client.returncode == 0 and b"exited" in out and err == b""


def test_who_only_watches_leaves_no_subscription(reeve):
    reeve.ok("run", "-d", "--name", "it", "sleep", "1000")
    observers = reeve.api.path_of("it", "/observers")
    client = reeve.popen("observe", "-f", "it", "--categories", "lifecycle")
    wait_for(lambda: any(o["connected"] for o in reeve.api.get(observers).json["items"]))
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=20)
    assert client.returncode == 130
    assert reeve.api.get(observers).json == {"items": []}


def test_who_follows_says_why_nothing_more_is_shown(reeve):
    script = "while sleep 0.1; do :; done"
    reeve.ok("run", "-d", "--name", "it", "--observe", "all", "sh", "-c", script)
    client = reeve.popen("observe", "-f", "it")
    assert client.stdout.readline()
    client.stdout.close()
    assert client.wait(60) == 141
    with open("/dev/full", "wb") as full:
        client = reeve.popen("observe", "-f", "it", stdout=full)
        assert b"No space left on device" in client.communicate(timeout=60)[1]
    assert client.returncode == 1


def test_what_nobody_observed_cannot_be_shown(reeve):
    reeve.ok("run", "--name", "it", "true")
    for verb in ("observe", "report"):
        result = reeve(verb, "it")
        assert result.returncode == 1 and b"run --observe" in result.stderr


def test_what_was_not_asked_for_cannot_be_shown(reeve):
    reeve.ok("run", "--name", "it", "--observe", "lifecycle", "true")
    result = reeve("observe", "it", "--categories", "lifecycle,file")
    assert result.returncode == 1 and b"these categories" in result.stderr


def test_the_subscription_that_has_most_is_shown(reeve):
    reeve.ok("run", "-d", "--name", "it", "--stdin", "--observe", "lifecycle", "cat")
    reeve.api.post(reeve.api.path_of("it", "/observers"), {"categories": ["lifecycle", "process"]})
    reeve.ok("stop", "it")
    counted(reeve.api, "it", "sub-2")
    shown = reeve.ok("observe", "it", "--json").splitlines()
    assert {json.loads(line)["category"] for line in shown} == {"lifecycle", "process"}
    assert reeve.json("report", "it", "--json")["processes"]


def test_wrong_words_are_named(reeve):
    result = reeve("run", "--observe", "files", "true")
    assert result.returncode != 0 and b"files" in result.stderr
    result = reeve("run", "--observe", "process", "--backend", "process", "true")
    assert result.returncode == 2 and b"CATEGORY=NAME" in result.stderr
    assert reeve("run", "--backend", "process=perf", "true").returncode == 2
    assert reeve("run", "--observe", "", "true").returncode == 2
    assert reeve("run", "--report", "-d", "true").returncode == 2
    assert reeve("observe", "one", "two").returncode == 2
    assert reeve("observe", "--subscriber", "sub-1", "--", "true").returncode == 2
    reeve.ok("run", "--name", "it", "--observe", "all", "true")
    for word in ("fil", "file,fil", "profile", ""):
        result = reeve("observe", "it", "--categories", word)
        assert result.returncode == 2 and word.split(",")[-1].encode() in result.stderr
    assert reeve.ok("observe", "it", "--categories", "all")


def test_a_backend_can_be_named(reeve):
    named = ["--observe", "process", "--backend", "process=subreaper-proc-poll"]
    reeve.ok("run", "--name", "it", *named, "sleep", "0.1")
    report = reeve.json("report", "it", "--json")
    assert report["capabilities"][0]["backend"] == "subreaper-proc-poll"


def test_a_report_tells_what_a_command_did(reeve, sees_all):
    reeve("run", "--name", "it", "--observe", "all", "sh", "-c", SCRIPT)
    counted(reeve.api, "it")
    report = reeve.json("report", "it", "--json")
    files = {f["path"].removeprefix(f"{reeve.home}/"): f for f in report["files"]}
    assert files["made"]["removed"] and files["made"]["read"]
    assert files["copy"]["written"] and (files["copy"]["bytesWritten"] == 6) == sees_all
    assert not any("locale" in path for path in files)
    commands = {p["command"]: p.get("exitCode") for p in report["processes"]}
    assert "cat /no/such/file" in commands
    if sees_all:
        assert commands["cat /no/such/file"] == 1 and commands["rm made"] == 0
        assert files["made"]["created"] and files["copy"]["created"]
        assert report["missedEvents"] == 0
    text = reeve.ok("report", "it")
    assert "exited with 3" in text and "removed" in text and "(--all)" in text
    assert ("partial" in text) != sees_all
    seen_by = {c["category"]: c["backend"] for c in report["capabilities"]}
    page = reeve.ok("report", "it", "--html")
    for shown in (text, page):
        assert ("may have failed" in shown) == (seen_by["file"] == "seccomp-user-notify")
    everything = reeve.ok("report", "it", "--all")
    assert "libc.so" in everything and "libc.so" not in text


def test_a_report_as_a_page_needs_nothing_else(reeve, sees_all):
    reeve("run", "--name", "it", "--observe", "all", "sh", "-c", "echo '<b>' > '<i>'; exit 0")
    page = reeve.ok("report", "it", "--html")
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "&lt;i&gt;" in page and "<i>" not in page
    assert 'class="bar' in page
    assert "http://" not in page and "https://" not in page and "src=" not in page
    assert ("Not seen in full" in page) != sees_all


def test_a_report_shows_processes_below_their_parents(reeve):
    script = "echo > made; sh -c 'cat made; echo; exit 5'; rm made"
    reeve("run", "--name", "it", "--observe", "process", "sh", "-c", script)
    counted(reeve.api, "it")
    text, page = reeve.ok("report", "it"), reeve.ok("report", "it", "--html")
    lines = re.findall(r"^  ( *)\d+ (.*)$", text, re.MULTILINE)
    cells = re.findall(r'class="name"[^>]*>( *)\d+ ([^<]*)<', page)
    commands = ["sh -c echo", "sh -c cat made", "cat made", "rm made"]
    for shown in (lines, cells):
        assert [len(indent) // 2 for indent, _ in shown] == [0, 1, 2, 1], shown
        assert all(line.startswith(c) for (_, line), c in zip(shown, commands)), shown


def test_a_socket_of_this_machine_is_named(reeve):
    script = "curl -s --unix-socket /no/such/socket http://x/ || true"
    reeve("run", "--name", "it", "--observe", "network", "sh", "-c", script)
    counted(reeve.api, "it")
    assert "connected unix /no/such/socket" in reeve.ok("report", "it")


def test_a_report_comes_at_the_end_of_a_run(reeve, sees_all):
    result = reeve("run", "--report", "sh", "-c", "echo out; echo hello > made; exit 4")
    assert result.returncode == 4 and result.stdout == b"out\n"
    assert b"exited with 4" in result.stderr and b"made" in result.stderr


def test_a_name_plays_with_no_terminal(reeve):
    name = os.fsdecode(b"e\x1b[31m\xc2\x9b1m\xff\n<&")
    script = ': > "$1"; curl -s --unix-socket "/no/$1" http://x/ || true'
    reeve("run", "--name", "it", "--observe", "all", "sh", "-c", script, "sh", name)
    counted(reeve.api, "it")
    shown = r"e\x1b[31m\xc2\x9b1m\xff\x0a<&"
    texts = [reeve.ok("observe", "it"), reeve.ok("report", "it"), reeve.ok("report", "it", "--html")]
    for text, escaped in zip(texts, (shown, shown, html.escape(shown))):
        assert text.replace("\n", "").isprintable()
        assert f" {escaped}" in text or f">{escaped}" in text  # of the file and the arguments
        assert f"/no/{escaped}" in text  # of the socket


def test_a_signal_is_told_as_one(reeve):
    result = reeve("run", "--report", "sh", "-c", "kill -SEGV $$")
    assert result.returncode == 139 and b"\nexited with signal 11" in result.stderr


SERVER = """
import socket
at = (socket.socket(), socket.socket(socket.AF_UNIX))
at[0].bind(("127.0.0.1", 0))
at[1].bind("here")
for listener in at:
    listener.listen()
    for _ in range(3):
        client = socket.socket(listener.family)
        client.connect(listener.getsockname())
        served, _ = listener.accept()
        client.send(b"ten bytes.")
        served.send(served.recv(99) * 2)
        client.recv(99)
        client.close()
        served.close()
"""


def test_a_report_adds_up_what_was_accepted(reeve):
    reeve.ok("run", "--name", "it", "--observe", "network", "/usr/bin/python3", "-Sc", SERVER)
    counted(reeve.api, "it")
    hosts = reeve.json("report", "it", "--json")["hosts"]
    told = {(h["kind"], h["protocol"]): h for h in hosts if "nscd" not in h["address"]}
    for protocol, name in (("tcp", "127.0.0.1"), ("unix", "here")):
        assert told["connected", protocol]["times"] == 3
        accepted = told.pop(("accepted", protocol), None)
        if capability(reeve.api, "network")["support"] == "supported":
            assert (accepted["address"], accepted["times"]) == (name, 3)
            assert (accepted["bytesSent"], accepted["bytesReceived"]) == (60, 30)
    assert len(told) == 4  # each once: listening, connected


def test_a_report_knows_a_directory_by_any_spelling(reeve):
    script = "mkdir ./one; mkdir one//two/; rmdir one/two; rmdir one/"
    reeve.ok("run", "--name", "it", "--observe", "file", "sh", "-c", script)
    counted(reeve.api, "it")
    files = reeve.json("report", "it", "--json")["files"]
    made = {f["path"]: f["removed"] for f in files if f["created"]}
    assert made == {f"{reeve.home}/one": True, f"{reeve.home}/one/two": True}
