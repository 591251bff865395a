# SPDX-License-Identifier: Apache-2.0
"""Where only ancestors may read a process, the keeper opens for the engine what that asks for."""

import contextlib
import os
import resource
import signal
import sys

import pytest
from conftest import alive, stat_fields, wait_for
from observers import counted, events, exactly, path_of, status
from test_observe_backends import goes_on_when_engines_die, need, works

BACKEND = "seccomp-user-notify"
ALL = ["file", "process", "network"]
CALLERS = 12
EACH = 20

# Calls of each kind, and programs begun in each way: fork, vfork, in the place of another.
PROGRAM = """
import os, socket, subprocess, sys
os.chdir(sys.argv[1])
open("one", "w").close()
os.rename("one", "two")
os.symlink("two", "three")
os.mkdir("four")
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
socket.create_connection(("127.0.0.1", port)).close()
local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
local.bind("five")
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "five")
subprocess.run(["/bin/sh", "-c", ": > six; exec /bin/sh -c ': > seven'"], check=True)
os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", ": > eight"], {}), 0)
if os.fork() == 0:
    open("nine", "w").close()
    os.execv("/bin/sh", ["sh", "-c", ": > ten"])
os.wait()
os.unlink("two")
"""


def observing(*categories, **more):
    backends = dict.fromkeys(categories, BACKEND)
    return {"categories": categories, "backends": backends, "ringCapacityEvents": 8192, **more}


@pytest.fixture
def lending(reeve):
    """A daemon whose engine reads nothing that was not lent."""
    reeve.env["REEVE_MEMORY"] = "keeper"
    need(reeve.api, BACKEND, "file")
    return reeve


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: stat_fields(pid)[0] == "T")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def announcing(api, tmp_path):
    """Waits to be let go on, says that it was, and then opens a file."""
    script = f"cd {tmp_path}; : > before; read x; printf now; : > held || exit 9; : > after"
    session = api.sh(script, stdin="pipe", observe=observing("file"))
    wait_for((tmp_path / "before").exists)
    return session


def held(api, session):
    """Lets it go on, until it sleeps in its call."""
    pid = api.show(session)["pid"]
    api.stdin(session, b"\n")
    wait_for(lambda: api.raw(session) == b"now" and stat_fields(pid)[0] in "SD")
    return pid


def inside(seen, directory):
    return [e["path"] for e in seen if e.get("path", "").startswith(f"{directory}/")]


def essence(event):
    """What two runs of a program have in common, but for the port that they got."""
    kept = {
        k: event.get(k)
        for k in ("kind", "path", "path2", "argv", "cwd", "flags", "mode", "family", "protocol")
    }
    for side in ("local", "remote"):
        kept[side] = event.get(side) and {k: v for k, v in event[side].items() if k != "port"}
    return kept


def told(reeve, way, directory):
    """What is told of the program, where it runs in the directory."""
    reeve.env["REEVE_MEMORY"] = way
    need(reeve.api, BACKEND, "file")
    directory.mkdir()
    session = reeve.api.spawn(
        *[sys.executable, "-ISB", "-c", PROGRAM, str(directory)],
        observe=observing(*[c for c in ALL if works(reeve.api, c, BACKEND)]),
    )
    assert reeve.api.ended(session)["exit"]["exitCode"] == 0, reeve.api.raw(session)
    assert counted(reeve.api, session)["missedEvents"] == 0
    seen = events(reeve.api, session)
    exactly(seen)
    reeve.ok("daemon", "stop")
    for made in directory.iterdir():
        made.rmdir() if made.is_dir() and not made.is_symlink() else made.unlink()
    directory.rmdir()
    return [
        essence(e)
        for e in seen
        if e["category"] == "network"
        or e["kind"] == "executed"
        or e.get("path", "").startswith(f"{directory}/")
    ]


def test_what_is_lent_tells_the_same(reeve, tmp_path):
    directory = tmp_path / "directory"
    whole = told(reeve, "", directory)
    assert len(whole) >= 10
    assert told(reeve, "keeper", directory) == whole


def test_the_reason_says_who_reads(lending):
    found = lending.api.get("/v1/capabilities?probe=true").json["backends"]
    for backend in found:
        if backend["backend"] == BACKEND and works(lending.api, backend["category"], BACKEND):
            assert "by way of an ancestor" in backend["reason"], backend


def test_the_keeper_is_not_asked_where_the_engine_may_read(reeve, tmp_path):
    need(reeve.api, BACKEND, "file")
    if "by way of an ancestor" in str(reeve.api.get("/v1/capabilities?probe=true").json):
        pytest.skip("the engine may read nothing by itself here (Yama)")
    session = announcing(reeve.api, tmp_path)
    with stopped(reeve.status()["keeperPid"]):
        reeve.api.stdin(session, b"\n")
        wait_for((tmp_path / "after").exists)
    assert reeve.api.ended(session)["exit"]["exitCode"] == 0


def test_others_go_on_while_the_keeper_is_waited_for(lending, tmp_path):
    api = lending.api
    session = announcing(api, tmp_path)
    other = api.spawn("cat", stdin="pipe")
    with stopped(lending.status()["keeperPid"]):
        held(api, session)
        api.stdin(other, b"hello\n")
        wait_for(lambda: api.raw(other) == b"hello\n")
        assert not (tmp_path / "held").exists()
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert inside(events(api, session), tmp_path) == [
        f"{tmp_path}/{name}" for name in ("before", "held", "after")
    ]


def test_the_next_engine_asks_again(lending, tmp_path):
    api = lending.api
    session = announcing(api, tmp_path)
    status_before = lending.status()
    with stopped(status_before["keeperPid"]):
        held(api, session)
        os.kill(status_before["enginePid"], signal.SIGKILL)
        wait_for(lambda: not alive(status_before["enginePid"]))
    assert lending.api.ended(session)["exit"]["exitCode"] == 0
    assert lending.status()["enginePid"] != status_before["enginePid"]
    assert inside(events(lending.api, session), tmp_path) == [
        f"{tmp_path}/{name}" for name in ("before", "held", "after")
    ]


def test_the_next_keeper_is_asked_again(lending, tmp_path):
    """It may be no ancestor of the command, but the command goes on, and each call is told of."""
    api = lending.api
    session = announcing(api, tmp_path)
    keeper = lending.status()["keeperPid"]
    with stopped(keeper):
        held(api, session)
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: not alive(keeper))
    api.ended(session)
    assert (tmp_path / "after").exists()
    seen = [e for e in events(api, session) if e["kind"] == "opened"]
    assert inside(seen, tmp_path)[:1] == [f"{tmp_path}/before"]
    assert "lets nobody read" in lending.log() or len(inside(seen, tmp_path)) == 3


def test_who_is_killed_in_its_call_is_told_of_no_more(lending, tmp_path):
    api = lending.api
    session = announcing(api, tmp_path)
    with stopped(lending.status()["keeperPid"]):
        pid = held(api, session)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid))
    assert api.ended(session)["exit"]["signal"] == "SIGKILL"
    assert inside(events(api, session), tmp_path) == [f"{tmp_path}/before"]
    assert not (tmp_path / "held").exists()


def test_it_goes_on_when_nobody_observes_it_any_more(lending, tmp_path):
    api = lending.api
    session = announcing(api, tmp_path)
    with stopped(lending.status()["keeperPid"]):
        held(api, session)
        assert api.delete(path_of(api, session)).status in (200, 204)
        wait_for((tmp_path / "after").exists)
    assert api.ended(session)["exit"]["exitCode"] == 0


def test_calls_go_on_when_there_is_no_room_for_what_is_lent(lending, tmp_path):
    api = lending.api
    script = f"cd {tmp_path}; until [ -e go ]; do sleep 0.02; done; : > held; : > after"
    session = api.sh(script, observe=observing("file"))
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 1)
    before = lending.status()
    engine = before["enginePid"]
    limits = resource.prlimit(engine, resource.RLIMIT_NOFILE)
    resource.prlimit(engine, resource.RLIMIT_NOFILE, (3, limits[1]))  # these are always taken
    (tmp_path / "go").touch()
    wait_for((tmp_path / "after").exists)
    resource.prlimit(engine, resource.RLIMIT_NOFILE, limits)
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert "lets nobody read" in lending.log()
    assert [lending.status()[name] for name in ("enginePid", "keeperPid")] == [
        before[name] for name in ("enginePid", "keeperPid")
    ]


@pytest.mark.parametrize("categories", [["file"], ["file", "process"]])
def test_each_of_many_callers_is_told_of(lending, tmp_path, categories):
    api = lending.api
    need(api, BACKEND, *categories)
    one = f"i=0; while [ $i -lt {EACH} ]; do : > $n.$i || exit 9; i=$((i+1)); /bin/true; done"
    script = f"cd {tmp_path}; n=0; while [ $n -lt {CALLERS} ]; do n=$((n+1)); ({one}) & done; wait"
    session = api.sh(script, observe=observing(*categories))
    assert api.ended(session)["exit"]["exitCode"] == 0
    seen = events(api, session)
    exactly(seen)
    expected = {f"{tmp_path}/{n}.{i}" for n in range(1, CALLERS + 1) for i in range(EACH)}
    assert sorted(inside(seen, tmp_path)) == sorted(expected)
    assert counted(api, session)["missedEvents"] == 0
    ran = [e for e in seen if e["kind"] == "executed" and e["path"] == "/bin/true"]
    assert len(ran) == (CALLERS * EACH if "process" in categories else 0)


def test_no_call_fails_when_engines_die(lending, tmp_path):
    goes_on_when_engines_die(lending, tmp_path, BACKEND)
