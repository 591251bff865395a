# SPDX-License-Identifier: Apache-2.0
"""Backends that hold up the commands they observe: these must never notice."""

import contextlib
import os
import pathlib
import resource
import signal

import pytest
from conftest import alive, descendants, wait_for
from observers import counted, events, exactly, path_of, status
from ordinary import ordinary

HOLDING = ["seccomp-user-notify", "ptrace"]
OPENS = 300


found = []  # what works here, asked once


def works(api, category, backend):
    if not found:
        found.extend(api.get("/v1/capabilities?probe=true").json["backends"])
    return any(
        b["support"] != "unavailable"
        for b in found
        if (b["category"], b["backend"]) == (category, backend)
    )


def need(api, backend, *categories):
    """Skips the test where the kernel, or who we are, does not let the backend tell of these."""
    for category in categories:
        if not works(api, category, backend):
            pytest.skip(f"{backend} does not tell of {category} here")


@pytest.fixture(params=HOLDING)
def backend(request, reeve):
    need(reeve.api, request.param, "file")
    return request.param


def opening(api, tmp_path, backend, **observe):
    """Opens as many files as there are, waits in between, and fails when one cannot be opened."""
    script = (
        f"cd {tmp_path} && i=0; while [ $i -lt {OPENS} ]; do : > f$i || exit 9; i=$((i+1));"
        "  [ $i = 100 ] && read x; done; exit 0"
    )
    observe = {"categories": ["file"], "ringCapacityEvents": 4096, **observe}
    return api.sh(script, stdin="pipe", observe={"backends": {"file": backend}, **observe})


def opened(seen, tmp_path):
    names = [e["path"] for e in seen if e["kind"] in ("opened", "created")]
    return [n for n in names if n.startswith(f"{tmp_path}/f")]


def all_names(tmp_path):
    return [f"{tmp_path}/f{i}" for i in range(OPENS)]


def test_each_file_is_seen_once(reeve, tmp_path, backend):
    api = reeve.api
    session = opening(api, tmp_path, backend)
    api.stdin(session, b"\n")
    assert api.ended(session)["exit"]["exitCode"] == 0
    seen = events(api, session)
    exactly(seen)
    assert opened(seen, tmp_path) == all_names(tmp_path)
    assert {e["source"] for e in seen} == {backend}
    assert counted(api, session)["missedEvents"] == 0


def test_where_a_command_is_searched_for_is_not_told(reeve, backend):
    """Only what the command does is, and it is not held up at places that do not have it."""
    observe = {"categories": ["process"], "backends": {"process": backend}}
    env = {"PATH": f"/nonexistent:{reeve.home}:/usr/bin:/bin"}
    session = reeve.api.spawn("true", env=env, observe=observe)
    reeve.api.ended(session)
    executed = [e for e in events(reeve.api, session) if e["kind"] == "executed"]
    assert [(e["argv"], e["path"]) for e in executed] == [(["true"], "/usr/bin/true")]


def goes_on_when_engines_die(reeve, tmp_path, backend):
    """No call fails, no event is lost, none comes twice."""
    api = reeve.api
    session = opening(api, tmp_path, backend)
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 100)
    reeve.kill_engine()
    api.stdin(session, b"\n")
    reeve.kill_engine()
    assert api.ended(session)["exit"]["exitCode"] == 0
    seen = events(api, session)
    exactly(seen)
    assert opened(seen, tmp_path) == all_names(tmp_path)
    assert counted(api, session)["missedEvents"] == 0


def test_the_command_goes_on_when_engines_die(reeve, tmp_path, backend):
    goes_on_when_engines_die(reeve, tmp_path, backend)


def test_the_command_goes_on_when_nobody_observes_it_any_more(reeve, tmp_path, backend):
    api = reeve.api
    session = opening(api, tmp_path, backend)
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 100)
    assert api.delete(path_of(api, session)).status in (200, 204)
    api.stdin(session, b"\n")
    assert api.ended(session)["exit"]["exitCode"] == 0
    assert (tmp_path / f"f{OPENS - 1}").exists()


def test_nobody_observes_it_and_engines_die(reeve, tmp_path, backend):
    api = reeve.api
    session = opening(api, tmp_path, backend)
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 100)
    assert api.delete(path_of(api, session)).status in (200, 204)
    reeve.kill_engine()
    api.stdin(session, b"\n")
    assert api.ended(session)["exit"]["exitCode"] == 0


def test_the_command_goes_on_when_the_keeper_dies(reeve, tmp_path, backend):
    api = reeve.api
    session = opening(api, tmp_path, backend)
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 100)
    keeper = reeve.status()["keeperPid"]
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: not alive(keeper) and "took over the sessions" in reeve.log())
    api.stdin(session, b"\n")
    api.ended(session)
    assert (tmp_path / f"f{OPENS - 1}").exists()
    seen = events(api, session)
    assert opened(seen, tmp_path) == all_names(tmp_path)


def test_a_command_that_nobody_could_observe_does_not_run(tmp_path):
    """Its calls would fail one by one."""
    with ordinary() as reeve:
        run = ["run", "--observe", "file", "--backend", "file=ptrace", "--"]
        if reeve(*run, "true").returncode != 0:
            pytest.skip("ptrace does not work here")
        engine = reeve.status()["enginePid"]
        soft, _ = resource.prlimit(0, resource.RLIMIT_NPROC)
        reeve.limit(engine, "nproc=0:")  # no tracer is started
        refused = reeve(*run, "sh", "-c", "echo ran")
        assert (refused.returncode, refused.stdout) == (1, b""), refused
        assert b"observe: " in refused.stderr and b"ptrace" in refused.stderr, refused.stderr
        reeve.limit(engine, f"nproc={'unlimited' if soft < 0 else soft}:")
        assert reeve.ok(*run, "echo", "ran") == "ran"


def tracer_of(keeper):
    def is_tracer(pid):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{pid}/comm").read_text() == "reeve-tracer\n"
        return False

    return next((pid for pid in descendants(keeper) if is_tracer(pid)), None)


def test_what_was_traced_ends_with_its_tracer(reeve, tmp_path):
    """Without it calls would fail with ENOSYS, and the program would go on with that."""
    api = reeve.api
    if not works(api, "file", "ptrace"):
        pytest.skip("ptrace does not work here")
    script = f"i=0; while :; do : > {tmp_path}/f$i || exit 9; i=$(((i+1)%50)); done"
    session = api.sh(
        f"({script}) & {script}", observe={"categories": ["file"], "backends": {"file": "ptrace"}}
    )
    wait_for(lambda: status(api, session)["deliveredEvents"] >= 50)
    os.kill(tracer_of(reeve.status()["keeperPid"]), signal.SIGKILL)
    assert api.ended(session)["exit"]["signal"] == "SIGKILL"
    assert api.output(session, "stderr") == b""
    assert counted(api, session)["missedEvents"] > 0  # how much it would have told nobody knows
    assert "its tracer was killed" in reeve.log()
    assert reeve.status()["enginePid"]


def test_a_subscriber_that_blocks_makes_the_command_wait_and_misses_nothing(
    reeve, tmp_path, backend
):
    api = reeve.api
    # More than any buffer on the way has room for.
    script = (
        f"cd {tmp_path}; i=0; while [ $i -lt 9000 ]; do : > f$((i%7)) || exit 9; i=$((i+1)); done"
    )
    observe = {"categories": ["file"], "ringCapacityEvents": 64, "backpressure": "block"}
    session = api.sh(script, observe={**observe, "backends": {"file": backend}})
    wait_for(lambda: status(api, session)["waitingEvents"] >= 64)
    assert api.wait(session, "exit", timeout="700ms")["fired"] == "timeout"
    held = status(api, session)["waitingEvents"]
    assert held == 64 if backend == "seccomp-user-notify" else held >= 64
    reeve.kill_engine()  # the next one holds it, too
    assert api.wait(session, "exit", timeout="300ms")["fired"] == "timeout"
    seen = events(api, session, follow="true")
    assert api.ended(session)["exit"]["exitCode"] == 0
    exactly(seen)
    assert len(opened(seen, tmp_path)) == 9000
    assert counted(api, session)["missedEvents"] == 0


def test_a_command_that_waits_for_its_reader_can_be_stopped(reeve, tmp_path, backend):
    api = reeve.api
    observe = {"categories": ["file"], "ringCapacityEvents": 8, "backpressure": "block"}
    script = f"while :; do : > {tmp_path}/f; done"
    session = api.sh(script, observe={**observe, "backends": {"file": backend}})
    wait_for(lambda: status(api, session)["waitingEvents"] >= 8)
    api.stop(session, grace="200ms")
    assert api.ended(session)["exit"]["outcome"] in ("soft", "hard")


def test_a_command_goes_on_when_who_blocked_it_leaves(reeve, tmp_path, backend):
    api = reeve.api
    observe = {"categories": ["file"], "ringCapacityEvents": 8, "backpressure": "block"}
    session = api.sh(
        f"i=0; while [ $i -lt 9000 ]; do : > {tmp_path}/f; i=$((i+1)); done",
        observe={**observe, "backends": {"file": backend}},
    )
    wait_for(lambda: status(api, session)["waitingEvents"] >= 8)
    assert api.delete(path_of(api, session)).status in (200, 204)
    assert api.ended(session)["exit"]["exitCode"] == 0
