# SPDX-License-Identifier: Apache-2.0
"""The first hour of a developer at a shell, line by line."""

import json
import re

from conftest import wait_for
from ports import free_port
from shell import Terminal, ok, script, sh


def test_a_web_server_from_its_start_to_its_replacement(reeve):
    port = free_port()
    (reeve.home / "page").write_text("it works")
    serve = f"reeve run -d --name web -- python3 -m http.server {port} --bind 127.0.0.1"
    first = ok(
        reeve, f"{serve} && reeve wait web --until port={port} && curl -s localhost:{port}/page"
    )
    session, page = first.split("\n")
    assert session.startswith("pipe-") and page == "it works"

    with Terminal(reeve, "reeve logs -f -n50 -t --since 10m web") as logs:
        seen = logs.read_until(b"GET /page").decode()
        assert re.search(r"^\d{4}-\d\d-\d\dT[\d:.]+Z .*\"GET /page", seen, re.M)
        ok(reeve, f"curl -s localhost:{port}/again")
        assert logs.read_until(b"GET /again").count(b"GET /page") == 1

    assert ok(reeve, "reeve ps -q") == session
    again = ok(reeve, f"reeve stop web && {serve} && reeve wait web --until port={port}")
    assert again.split("\n")[0] == "web" and again.split("\n")[1] != session
    assert ok(reeve, "reeve ps -q") == again.split("\n")[1]
    assert "GET /page" in ok(reeve, f"reeve logs {session}"), "the old output is still there"

    ok(reeve, "reeve rm -f $(reeve ps -aq)")
    assert ok(reeve, "reeve ps -aq") == ""
    ok(reeve, "reeve rm -f $(reeve ps -aq)")


def test_a_port_of_another_program_is_not_the_sessions(reeve):
    port = free_port()
    ok(reeve, f"reeve run -d --name other -- python3 -m http.server {port} --bind 127.0.0.1")
    ok(reeve, f"reeve wait other --until port={port}")
    ok(reeve, "reeve run -d --name web -- sleep 1000")
    assert sh(reeve, f"reeve wait web --until port={port} --timeout 200ms")[0] == 124


def test_a_line_that_is_no_program_gets_the_hint(reeve):
    for detached in ("", "-d"):
        status, out, err = sh(reeve, f"reeve run {detached} 'echo a b'")
        assert (status, out) == (127, "") and "-c" in err and '"echo a b"' in err
    assert ok(reeve, "reeve run -c 'echo a b'") == "a b"


def test_options_behind_the_command_are_the_commands(reeve):
    script(reeve, "npm", 'echo "npm got $*"\n')
    assert ok(reeve, "reeve run npm start --port 3000") == "npm got start --port 3000"
    assert ok(reeve, "reeve run npm run -d --name x -- -c") == "npm got run -d --name x -- -c"


def test_a_session_to_come_back_to(reeve):
    line = "reeve run -A --name work -- sh -c 'echo started $$; cat; exit 3'"
    with Terminal(reeve, line) as first:
        started = re.search(rb"started (\d+)", first.read_until(b"\n")).group(1)
        session = wait_for(lambda: ok(reeve, "reeve ps -q"))
        first.hang_up()
        first.wait()
    assert ok(reeve, "reeve ps -q") == session, "closing the terminal ends nothing"
    assert ok(reeve, "reeve run -A -d --name work -- false") == session
    with Terminal(reeve, "reeve run -A --name work -- false; echo status $?") as second:
        wait_for(lambda: json.loads(ok(reeve, "reeve inspect work"))["attached"])
        second.type(b"typed\n")
        second.read_until(b"typed\r\ntyped\r\n")
        second.type(b"\x04")
        second.read_until(b"status 3")
        assert second.seen.count(b"started " + started) == 1, "the screen is drawn, not told again"
    again = ok(reeve, "reeve run -A --name work -- echo anew")
    assert again == "anew", "it does not run any more, so it is made"


def test_the_last_session_needs_no_name(reeve):
    ok(reeve, "reeve run -d -- sleep 1000")
    ok(reeve, "reeve run -d --name second -c 'echo here; exec sleep 1000'")
    reeve.api.spawn("sleep", "1000")  # another program's
    ok(reeve, "reeve wait @last --until log=here")
    assert ok(reeve, "reeve logs @last") == "here"
    assert ok(reeve, "reeve stop @last") != ""
    assert ok(reeve, "reeve wait second; echo $?") == "143"
    assert len(ok(reeve, "reeve ps -q").split()) == 2


def test_there_is_no_last_session_at_first(reeve):
    status, _, err = sh(reeve, "reeve logs @last")
    assert status == 1 and "@last" in err and "reeve run" in err


def test_help_is_there_at_every_step(reeve):
    assert "Commands:" in ok(reeve, "reeve --help")
    assert "--until" in ok(reeve, "reeve help wait")
    status, _, err = sh(reeve, "reeve strat web")
    assert status == 2 and '"strat"' in err and "--help" in err
    status, _, err = sh(reeve, "reeve stop wbe")
    assert status == 1 and '"wbe"' in err and "reeve ps -a" in err
