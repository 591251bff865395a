# SPDX-License-Identifier: Apache-2.0
"""A process that leaves its cgroup, takes another mark and loses its parent does not get away."""

import os
import signal
import subprocess

import pytest
from conftest import BUILD, alive, command_line, wait_for

# Forks twice and then sleeps, in a session of its own and with the environment that is said. Leaves
# the cgroup for one above it where that is allowed.
GETAWAY = """
import os, resource, sys, time
path, environment, then = sys.argv[1:]
if os.fork() == 0:
    where = next((l[3:].strip() for l in open("/proc/self/cgroup") if l.startswith("0::")), "/")
    mounts = [l.split() for l in open("/proc/self/mountinfo")]
    roots = [m[4] for m in mounts if m[m.index("-") + 1] == "cgroup2"]
    while roots and where != "/":
        where = os.path.dirname(where)
        try:
            open(roots[0] + where + "/cgroup.procs", "w").write("0")
        except OSError:
            pass
    resource.setrlimit(10, (1, 1))  # RLIMIT_LOCKS
    os.setsid()
    if os.fork() == 0:
        while os.getppid() == os.getsid(0):
            time.sleep(0.001)
        with open(path + "-", "w") as file:
            file.write(str(os.getpid()))
        os.rename(path + "-", path)
        os.execve("/bin/sleep", ["sleep", "1000"], os.environ if environment == "kept" else {})
    os._exit(0)
os.wait()
while not os.path.exists(path):
    time.sleep(0.001)
# Until its execve is over it has the environment of its maker, or none: that comes after the name.
while open("/proc/" + open(path).read() + "/cmdline").read() != "sleep\\0001000\\0":
    time.sleep(0.001)
if then == "stays":
    os.execv("/bin/sleep", ["sleep", "1000"])
"""


def get_away(reeve, environment, then):
    """The session, and the pid of what left it."""
    path = reeve.home / "got-away"
    command = ["/usr/bin/python3", "-SEc", GETAWAY, path, environment, then]
    session = reeve.api.spawn(*map(str, command), leftovers="keep")
    wait_for(path.exists)
    pid = int(path.read_text())
    wait_for(lambda: command_line(pid) == "sleep 1000 ")
    return session, pid


@pytest.mark.parametrize("then", ["stays", "ends"])
def test_stop_ends_what_still_has_its_environment(reeve, then):
    session, pid = get_away(reeve, "kept", then)
    if then == "ends":
        reeve.api.wait(session)
        wait_for(lambda: "leftovers" in reeve.api.show(session)["exit"])
        shown = reeve.api.show(session)
        assert shown["treeAlive"] and [o["pid"] for o in shown["exit"]["leftovers"]] == [pid]
    tree = reeve.api.get(reeve.api.path_of(session, "/tree")).json["items"]
    assert pid in [process["pid"] for process in tree]
    assert reeve.api.stop(session)["treeAlive"] is False
    assert not alive(pid)


def test_what_nothing_tells_from_others_ends_with_the_daemon_and_is_named(reeve):
    session, pid = get_away(reeve, "cleared", "ends")
    reeve.api.wait(session, "tree")
    assert alive(pid), "nobody knows whose it is"
    reeve.ok("daemon", "stop")
    assert not alive(pid)
    assert f"PID {pid} (sleep) got away from its session" in reeve.log()


def test_a_daemon_that_stops_spares_what_its_starter_had_begun(reeve):
    line = f"sleep 1000 & echo $!; exec '{BUILD}/reeve-keeper' --dir '{reeve.dir}' --foreground"
    keeper = subprocess.Popen(["sh", "-c", line], env=reeve.env, stdout=subprocess.PIPE)
    pid = int(keeper.stdout.readline())
    try:
        wait_for(reeve.status)
        reeve.ok("daemon", "stop")
        assert keeper.wait(20) == 0 and alive(pid)
    finally:
        keeper.stdout.close()
        os.kill(pid, signal.SIGKILL)
