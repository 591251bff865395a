# SPDX-License-Identifier: Apache-2.0
"""Which sessions a command means: several by name, or all that fit a description."""

import json

import pytest
from conftest import wait_for


def sleeper(reeve, *options):
    return reeve.ok("run", "-d", *options, "--", "sleep", "1000")


def running(reeve):
    return set(reeve.ok("ps", "-q").split())


@pytest.fixture
def fleet(reeve):
    """Two of the app `web`, one of them mine, and one other."""
    return {
        "mine": sleeper(
            reeve, "-l", "app=web", "-l", "tier=1", "--originator", "me", "--name", "mine"
        ),
        "yours": sleeper(reeve, "-l", "app=web", "--originator", "you", "--name", "yours"),
        "other": sleeper(reeve, "-l", "app=db", "--name", "other"),
    }


WEB = ("-l", "app=web")


@pytest.mark.parametrize(
    "options, meant",
    [
        (["-l", "app=web"], {"mine", "yours"}), (["-l", "app"], {"mine", "yours", "other"}),
        (["--originator", "me"], {"mine"}), (["-l", "app=web", "--originator", "you"], {"yours"}),
        (["--status", "running"], {"mine", "yours", "other"}), (["--status", "exited"], set()),
        (["-l", "app=web", "-l", "tier=1"], {"mine"}), (["-l", "app", "-l", "tier=2"], set()),
        (["-l", "app=web", "-l", "app=db"], set()), (["-l", "app=none"], set()), (["-l", "app=web", "--older-than", "1h"], set()),
        (["--older-than", "0s", "--originator", "me"], {"mine"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_stop_ends_all_that_fit_and_no_other(reeve, fleet, options, meant):
    stopped = set(reeve.ok("stop", *options).split())
    assert stopped == {fleet[name] for name in meant}
    assert running(reeve) == set(fleet.values()) - stopped


def test_only_what_is_old_enough_is_stopped(reeve, fleet):
    assert reeve.ok("stop", "--older-than", "1h") == ""
    assert running(reeve) == set(fleet.values())

    def all_have_become_old():
        reeve.ok("stop", "--older-than", "200ms")
        return not running(reeve)

    wait_for(all_have_become_old)


def test_every_verb_takes_a_description(reeve, fleet):
    web = [fleet["yours"], fleet["mine"]]
    assert [s["id"] for s in reeve.json("inspect", *WEB)] == web
    assert reeve.ok("tree", *WEB).count("sleep 1000") == 2
    assert reeve.ok("kill", "-s", "TERM", *WEB).split() == web
    result = reeve("wait", *WEB)
    assert result.returncode == 128 + 15
    assert result.stdout.decode().splitlines() == [f"{id} 143" for id in web]
    assert [s["id"] for s in reeve.json("inspect", "--status", "exited")] == web
    assert reeve.ok("rm", *WEB).split() == web
    assert reeve.ok("ps", "-aq") == fleet["other"]
    assert reeve.ok("rm", "-f", "-l", "app").split() == [fleet["other"]]


ALL_LABELS = ("-l", "app=web", "-l", "tier")


def test_every_verb_takes_several_labels_that_must_all_be_there(reeve, fleet):
    mine = fleet["mine"]
    assert reeve.ok("ps", "-q", *ALL_LABELS) == mine
    assert [s["id"] for s in reeve.json("inspect", *ALL_LABELS)] == [mine]
    assert reeve.ok("tree", *ALL_LABELS).count("sleep 1000") == 1
    assert reeve.ok("kill", "-s", "TERM", *ALL_LABELS) == mine
    assert reeve("wait", *ALL_LABELS).stdout.decode() == f"{mine} 143\n"
    assert reeve.ok("logs", *ALL_LABELS) == ""
    assert reeve.ok("ps", "-aq", "--older-than", "0s", *ALL_LABELS) == mine
    assert reeve.ok("purge", "--status", "stopped", *ALL_LABELS) == "0 removed"
    assert reeve.ok("purge", "--status", "exited", "--older-than", "1h") == "0 removed"
    assert reeve.ok("purge", "--status", "exited", *ALL_LABELS) == "1 removed"
    assert running(reeve) == {fleet["yours"], fleet["other"]}


@pytest.mark.parametrize("verb", ["stop", "kill", "rm", "purge", "ps", "inspect", "logs", "wait"])
def test_an_empty_label_describes_nothing(reeve, fleet, verb):
    result = reeve(verb, "-l", "app", "-l", "")
    assert result.returncode == 2 and b"KEY=VALUE" in result.stderr and not result.stdout
    assert running(reeve) == set(fleet.values())


def test_one_that_is_described_is_still_a_list(reeve, fleet):
    assert len(reeve.json("inspect", "--originator", "me")) == 1
    reeve.ok("stop", "--originator", "me")
    result = reeve("wait", "--originator", "me")
    assert result.stdout.decode() == f"{fleet['mine']} 143\n"


def test_a_text_is_sent_to_all_that_fit(reeve):
    cats = [
        reeve.ok("run", "-d", "--stdin", "-l", "kind=cat", "--name", f"cat{i}", "cat")
        for i in range(3)
    ]
    reeve.ok("send", "-l", "kind=cat", "to all")
    assert reeve("send", "--eof", "-l", "kind=cat", input=b"and\0more").returncode == 0
    for cat in cats:
        assert reeve("wait", cat).returncode == 0
        assert reeve("logs", cat).stdout == b"to all\nand\0more"


def test_one_that_cannot_be_sent_to_does_not_keep_others_from_it(reeve):
    sleeper(reeve, "-l", "all=1", "--name", "deaf")
    cat = reeve.ok("run", "-d", "--stdin", "-l", "all=1", "--name", "cat", "cat")
    sleeper(reeve, "-l", "all=1", "--name", "deaf2")
    result = reeve("send", "--eof", "-l", "all=1", "x")
    assert result.returncode == 1 and result.stderr.count(b"/dev/null") == 2
    assert reeve("wait", cat).returncode == 0
    assert reeve.ok("logs", "cat") == "x"


@pytest.mark.parametrize("verb", ["stop", "kill", "wait", "inspect", "tree", "rm", "logs"])
def test_names_and_a_description_exclude_each_other(shared_reeve, verb):
    result = shared_reeve(verb, "web", "-l", "app=web")
    assert result.returncode == 2 and b'"web"' in result.stderr


@pytest.mark.parametrize("verb", ["stop", "rm", "inspect"])
def test_a_status_that_there_is_not_is_refused(shared_reeve, verb):
    result = shared_reeve(verb, "--status", "sleeping")
    assert result.returncode == 2 and b"sleeping" in result.stderr


def test_many_ended_sessions_are_all_listed_and_removed(reeve):
    api = reeve.api
    ids = {api.spawn("true")["id"] for _ in range(80)}
    for session in ids:
        api.wait(session, "tree")
    assert set(reeve.ok("ps", "-a", "-q").split()) == ids
    assert len(reeve.ok("ps", "-a").splitlines()) == 81
    assert len(reeve.ok("ps", "-a", "-n", "5").splitlines()) == 6
    assert set(reeve.ok("rm", "--status", "exited").split()) == ids
    assert reeve.ok("ps", "-aq") == ""


def test_the_last_session_is_that_of_this_client(reeve):
    reeve.ok("run", "--name", "mine", "--", "true")
    reeve.api.spawn("true", name="theirs")
    assert reeve.json("inspect", "@last")["name"] == "mine"
    reeve.ok("run", "--name", "next", "--rm", "--", "true")
    assert reeve("inspect", "@last").returncode == 1
    assert b"pipe-" in reeve("inspect", "@last").stderr, "it is not an older one instead"


def test_the_last_session_is_noted_over_the_one_before_whatever_its_length(reeve):
    note = reeve.dir / "last"
    reeve.ok("run", "-d", "--", "true")
    made = note.stat().st_ino
    for kind in ("--pty", "--pipe", "--pty"):
        session = reeve.ok("run", "-d", kind, "--", "true")
        assert reeve.json("inspect", "@last")["id"] == session
    assert (note.stat().st_ino, note.stat().st_mode & 0o777) == (made, 0o600)
    assert set(note.read_text().split()[:2]) == {session}


def test_half_of_one_last_session_and_half_of_another_is_none(reeve):
    session = reeve.ok("run", "-d", "--", "true")
    (reeve.dir / "last").write_text(f"{session}\n{session[:-1]}x\n")
    assert reeve("inspect", "@last").returncode == 1
    (reeve.dir / "last").write_text(f"{session}\n")
    assert reeve.json("inspect", "@last")["id"] == session


def test_the_last_session_is_known_after_the_daemon_was_ended(reeve):
    session = reeve.ok("run", "-d", "--", "sleep", "1000")
    reeve.ok("daemon", "restart")
    assert reeve.ok("stop", "@last") == "@last" or reeve.json("inspect", "@last")["id"] == session


def test_a_session_goes_so_long_after_its_end(reeve):
    session = reeve.ok("run", "-d", "--ttl", "100ms", "--", "true")
    wait_for(lambda: session not in reeve.ok("ps", "-aq"), what="the removal")
    kept = reeve.ok("run", "-d", "--ttl", "1h", "--", "true")
    reeve("wait", kept)
    assert reeve.ok("ps", "-aq") == kept


@pytest.mark.parametrize(
    "words",
    [
        ["-A", "true"], ["-A", "--name", "x", "--replace", "true"], ["--rm", "--ttl", "1s", "true"],
        ["--pty", "--pipe", "true"], ["-A", "--name", "x", "--key", "k", "true"],
        ["--pty", "--merge-stderr", "true"], ["--ttl", "soon", "true"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_of_run_that_do_not_go_together(shared_reeve, words):
    result = shared_reeve("run", *words)
    assert result.returncode == 2 and b"--" in result.stderr and not result.stdout


def test_two_that_make_the_same_session_at_once_get_one(reeve):
    reeve.start()
    line = ("run", "-A", "-d", "--name", "one", "--", "sleep", "1000")
    clients = [reeve.popen(*line) for _ in range(8)]
    ids = {client.communicate(timeout=20)[0] for client in clients}
    assert [client.returncode for client in clients] == [0] * 8
    assert len(ids) == 1 and ids.pop().decode().strip() == reeve.ok("ps", "-q")


def test_a_name_that_leftovers_hold_is_told(reeve):
    reeve.ok("run", "--name", "x", "--leftovers", "keep", "-c", "sleep 1000 & exit 0")
    result = reeve("run", "-A", "-d", "--name", "x", "--", "true")
    if result.returncode:  # else the name was given up
        assert b"reeve stop" in result.stderr and not result.stdout
    assert json.loads(reeve.ok("ps", "--json"))["items"]
