# SPDX-License-Identifier: Apache-2.0
"""A keeper that is killed, or held up, while it makes a child: nobody notices."""

import contextlib
import os
import signal
import time

import frames
import pytest
from commands import signal_teller
from conftest import alive, descendants, open_files, wait_for

KINDS = pytest.mark.parametrize("kind", ["pipe", "pty"])


def spawner_of(keeper):
    """The spawner is a copy of the keeper, under a name that it gives itself."""

    def find():
        for pid in descendants(keeper):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
                if file.read() == "reeve-spawner\n":
                    return pid

    return wait_for(find, what="a spawner")


def start_counted(reeve, kind, *options):
    """`reeve run` of a command that counts its runs, up to the place where nobody makes it."""
    api = reeve.api
    script = 'echo run >>"$1"; echo said; exit 7'
    client = reeve.popen("run", f"--{kind}", *options, "--", "sh", "-c", script, "sh", runs(reeve))
    wait_for(lambda: api.get("/v1/sessions").json["items"])
    return client


def runs(reeve):
    return reeve.home / "runs"


def ran_once(reeve, client):
    out, err = client.communicate(timeout=20)
    assert (client.returncode, err) == (7, b""), (out, reeve.log())
    assert out.split() == [b"said"]
    assert runs(reeve).read_text() == "run\n"
    (session,) = reeve.api.get("/v1/sessions").json["items"]
    assert session["status"] == "exited"
    return session


def replaced(reeve, keeper):
    wait_for(lambda: (reeve.status() or {}).get("keeperPid") not in (None, keeper))


@KINDS
def test_a_command_that_the_spawner_had_not_begun_runs_all_the_same(reeve, kind):
    keeper = reeve.start()["keeperPid"]
    os.kill(spawner_of(keeper), signal.SIGSTOP)
    client = start_counted(reeve, kind)
    os.kill(keeper, signal.SIGKILL)
    session = ran_once(reeve, client)
    wait_for(lambda: not alive(keeper))
    # it is a child of the next keeper's own, which alone can tell this
    assert session["exit"]["rusage"]["maxRssKib"] > 0


def test_a_command_is_not_called_hung_for_the_time_that_the_keeper_was_held_up(reeve):
    """As on a machine that stood still."""
    keeper, api = reeve.start()["keeperPid"], reeve.api
    teller = signal_teller(api)

    def the_keeper_has_come_by():
        before = api.raw(teller).count(b"SIGUSR1")
        api.kill(teller, "USR1")
        wait_for(lambda: api.raw(teller).count(b"SIGUSR1") > before, what="a signal")

    spawner = spawner_of(keeper)
    os.kill(spawner, signal.SIGSTOP)
    client = reeve.popen("run", "--", "sh", "-c", "echo said; exit 7")
    wait_for(lambda: len(api.get("/v1/sessions").json["items"]) == 2)
    the_keeper_has_come_by()  # and so the spawner has been asked
    os.kill(keeper, signal.SIGSTOP)
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() > begin + 3)
    os.kill(keeper, signal.SIGCONT)
    the_keeper_has_come_by()
    os.kill(spawner, signal.SIGCONT)
    out, err = client.communicate(timeout=60)
    assert (client.returncode, out, err) == (7, b"said\n", b""), reeve.log()


@KINDS
def test_a_command_that_the_keeper_had_not_heard_of_runs_all_the_same(reeve, kind):
    keeper = reeve.start()["keeperPid"]
    os.kill(keeper, signal.SIGSTOP)
    client = start_counted(reeve, kind)
    os.kill(keeper, signal.SIGKILL)
    ran_once(reeve, client)


def test_a_command_survives_several_keepers_that_cannot_make_it(reeve):
    keeper = reeve.start()["keeperPid"]
    os.kill(keeper, signal.SIGSTOP)
    client = start_counted(reeve, "pipe")
    for _ in range(3):
        os.kill(keeper, signal.SIGKILL)
        replaced(reeve, keeper)
        keeper = reeve.status()["keeperPid"]
    ran_once(reeve, client)


def test_a_command_that_was_stopped_before_it_was_made_does_not_run(reeve):
    keeper, api = reeve.start()["keeperPid"], reeve.api
    os.kill(spawner_of(keeper), signal.SIGSTOP)
    client = start_counted(reeve, "pipe")
    (session,) = api.get("/v1/sessions").json["items"]
    stopper = reeve.popen("stop", session["id"])
    wait_for(lambda: api.show(session)["status"] == "stopping")
    os.kill(keeper, signal.SIGKILL)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 1 and b"replaced" in err, err
    assert reeve.api.show(session)["status"] == "failed"
    assert stopper.wait(20) == 0
    assert not runs(reeve).exists()


def test_a_signal_that_the_keeper_had_not_heard_of_is_sent_all_the_same(reeve):
    keeper = reeve.start()["keeperPid"]
    session = signal_teller(reeve.api)
    os.kill(keeper, signal.SIGSTOP)
    assert reeve.api.kill(session, "USR1").status == 200
    assert reeve.api.kill(session, "USR2").status == 200
    os.kill(keeper, signal.SIGKILL)
    assert reeve.api.output(session) == b"ready\nSIGUSR1\nSIGUSR2\n"


def test_a_signal_to_a_command_that_is_still_being_made_reaches_it(reeve):
    keeper, api = reeve.start()["keeperPid"], reeve.api
    spawner = spawner_of(keeper)
    os.kill(spawner, signal.SIGSTOP)
    client = reeve.popen("run", "--", "sleep", "600")
    (session,) = wait_for(lambda: api.get("/v1/sessions").json["items"])
    with api.attach(session, steal="true") as attached:
        attached.signal(signal.SIGKILL)
        attached.input(0, b"x")
        attached.until(frames.Type.ACCEPTED)  # and so it has read what came before
        os.kill(spawner, signal.SIGCONT)
        assert frames.exit_of(attached.until(frames.Type.EXIT)[-1]).code == -9
    client.wait(20)


def test_the_keeper_holds_one_end_of_a_terminal_that_a_command_may_close_and_open_again(reeve):
    session = reeve.api.spawn("sleep", "600", kind="pty")
    keeper = reeve.status()["keeperPid"]
    ends = open_files(keeper)
    assert len([end for end in ends if end.startswith("/dev/pts/")]) == 1, ends
    assert len([end for end in ends if end.endswith("ptmx")]) == 1, ends


def test_what_is_closed_or_removed_while_a_keeper_takes_over_is_so_for_it(reeve):
    api = reeve.api
    cats = [api.spawn("cat", stdin="pipe")["id"] for _ in range(150)]
    gone = [api.spawn("true")["id"] for _ in range(150)]
    for session in gone:
        api.wait(session, "tree")
    held = len(os.listdir(f"/proc/{reeve.start()['keeperPid']}/fd"))
    keeper = reeve.status()["keeperPid"]
    os.kill(keeper, signal.SIGKILL)
    for cat, session in zip(cats, gone, strict=True):
        assert api.stdin(cat, b"", eof="true").status == 200
        api.delete(api.path_of({"id": session}))
    for cat in cats:
        assert api.wait(cat)["exitCode"] == 0
    replaced(reeve, keeper)
    api.post("/v1/sessions/purge")
    successor = reeve.status()["keeperPid"]
    few = held - 3 * len(cats) - len(gone)
    wait_for(lambda: len(os.listdir(f"/proc/{successor}/fd")) < few + 30)
