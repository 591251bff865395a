# SPDX-License-Identifier: Apache-2.0
"""An ordinary user's daemon observes with BPF through reeve-observe-helper, and sees no more than
that user may."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from conftest import BUILD, alive, open_files, wait_for
from lent import BPF, HELPER, NET_ADMIN, PERFMON, Lent, cgroup2, grant, lent
from ordinary import NOBODY

SEEN = ("file", "network", "process")
pytestmark = pytest.mark.skipif(not (BUILD / HELPER).exists(), reason="built without BPF programs")


@pytest.fixture
def user():
    """None for who may not grant anything."""
    if os.geteuid() != 0:
        yield None
        return
    with lent() as instance:
        yield instance


def paths(seen, kind):
    return [e.get("path") for e in seen if e["kind"] == kind]


def test_who_may_not_load_is_told_what_would_help():
    instance = Lent()
    try:
        for category in SEEN:
            support, backend, reason = instance.reasons()[category]
            assert (support, backend) != ("supported", "ebpf")
            assert "needs CAP_BPF and CAP_PERFMON: `sudo reeve daemon install --observe`" in reason
        (instance.programs / HELPER).unlink()
        reason = instance.reasons()["file"][2]
        assert f"is not installed: there is no {instance.programs / HELPER}" in reason
    finally:
        instance.end()


def test_another_program_finds_the_helper_where_reeve_is_installed():
    place = pathlib.Path(tempfile.mkdtemp(prefix="rvb", dir="/tmp"))
    try:
        place.chmod(0o755)
        (place / "bin").mkdir()
        (place / "libexec" / "reeve").mkdir(parents=True)
        program = shutil.copy(BUILD / "tests" / "truth" / "observed-run", place / "bin")
        helper = shutil.copy(BUILD / HELPER, place / "libexec" / "reeve")
        switch = {}
        if os.geteuid() == 0:
            grant(helper, BPF, PERFMON, NET_ADMIN)
            switch = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        ran = subprocess.run([program, "--probe", "ebpf"], stdout=subprocess.PIPE, **switch)
        lines = [line.split("\t") for line in ran.stdout.decode().splitlines()]
        assert len(lines) >= len(SEEN)
        for _, support, reason in lines:
            if switch:
                assert support != "unavailable", reason
            else:
                assert "needs CAP_BPF and CAP_PERFMON: `sudo" in reason
    finally:
        shutil.rmtree(place)


STRANGER = """#!/usr/bin/python3
import socket, struct
with socket.socket(fileno=3) as client:
    client.send(struct.pack("iI364sI", 0, 0, b"", 1))
    client.recv(1)
"""


def test_a_helper_of_another_version_is_not_used(user):
    if not user:
        return
    program = user.programs / HELPER
    program.write_text(STRANGER)
    grant(program, BPF, PERFMON, NET_ADMIN)  # a write takes them away
    assert f"{program} is of another version of reeve" in user.reasons()["file"][2]


def test_the_helper_makes_all_categories_supported(user):
    if not user:
        return
    for support, backend, reason in (user.reasons()[c] for c in SEEN):
        assert (support, backend) == ("supported", "ebpf"), reason
        assert "not what runs with other rights than yours" in reason
    wait_for(lambda: not user.helpers(), what="none until somebody observes")
    seen, missed = user.observed("sh", "-c", "cat /etc/hostname; /bin/false; exit 4")
    assert set(missed.values()) == {0}
    assert "/etc/hostname" in paths(seen, "opened")
    assert [p for p in paths(seen, "executed") if p.endswith(("/cat", "/false"))] != []
    codes = [e["exitCode"] for e in seen if e["kind"] == "exited" and e["category"] == "process"]
    assert sorted(codes) == [0, 1, 4]
    helper = user.helper()
    user.ok("daemon", "stop")
    wait_for(lambda: not alive(helper), what="the end of the helper")


def test_the_whole_machine_is_not_shown_to_a_user(user):
    if not user:
        return
    answer = user.json("capabilities", "--json", "--probe", "--scope", "system-wide")
    ebpf = [b for b in answer["backends"] if b["backend"] == "ebpf"]
    assert {b["support"] for b in ebpf} == {"unavailable"}
    assert all("root only" in b["reason"] for b in ebpf)


def test_no_event_is_lost_or_doubled_when_the_engine_dies(user):
    if not user:
        return
    loop = "read x; i=0; while [ $i -lt 100 ]; do ( : ); i=$((i+1)); done;"
    script = loop + loop + "exit 0"
    session = user.ok("run", "-d", "--stdin", "--observe", "process", "--", "sh", "-c", script)
    wait_for(lambda: user.subscription(session)["deliveredEvents"] >= 1)
    helper = user.helper()
    user.ok("send", session, "go")
    os.kill(user.status()["enginePid"], signal.SIGKILL)
    user.ok("send", session, "on")
    user("wait", session)
    wait_for(lambda: user.subscription(session)["over"])
    seen = user.events(session)
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    assert len([e for e in seen if e["kind"] == "forked"]) == 200
    assert user.subscription(session)["missedEvents"] == 0
    assert user.helper() == helper
    # It serves those who come after it, too.
    seen, missed = user.observed("/bin/true", categories="file,process")
    assert "executed" in [e["kind"] for e in seen] and set(missed.values()) == {0}
    assert user.helper() == helper


def a_program_of_roots(user, name="reader"):
    """Runs with root's rights, whoever starts it."""
    path = user.programs / name
    shutil.copy("/bin/cat", path)
    path.chmod(0o4755)
    return path


def test_what_runs_with_the_rights_of_another_is_not_told(user):
    if not user:
        return
    secret = user.programs / "secret"
    secret.write_text("for root's eyes")
    secret.chmod(0o600)
    reader = a_program_of_roots(user)
    plain = user.programs / "plain"
    plain.write_text("for all")
    seen, missed = user.observed("sh", "-c", f"{reader} {secret}; cat {plain}")
    assert str(plain) in paths(seen, "opened")
    assert not [e for e in seen if e["comm"] == "reader"], seen
    assert str(secret) not in str(seen)
    # Its execution and its end happened, and were not told.
    assert missed == {"file": 0, "network": 0, "process": 2}


def test_what_hides_its_memory_is_not_told(user):
    if not user:
        return
    script = (
        "import ctypes; open('/etc/hostname').close(); ctypes.CDLL(None).prctl(4, 0);"
        "open('/etc/passwd').close()"
    )
    seen, _ = user.observed(sys.executable, "-c", script, categories="file")
    assert "/etc/hostname" in paths(seen, "opened")
    assert "/etc/passwd" not in str(seen)


def test_what_has_capabilities_is_not_told(user):
    if not user:
        return
    reader = user.programs / "reader"
    shutil.copy("/bin/cat", reader)
    grant(reader, NET_ADMIN)
    script = f"{reader} /etc/hostname > /dev/null; cat /etc/passwd > /dev/null"
    seen, _ = user.observed("sh", "-c", script)
    assert "/etc/passwd" in paths(seen, "opened") and "/etc/hostname" not in str(seen)


def test_what_a_user_does_in_a_namespace_of_its_own_is_told(user):
    if not user:
        return
    may = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if subprocess.run([*may, "unshare", "-Ur", "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    seen, _ = user.observed("unshare", "-Ur", "cat", "/etc/hostname", categories="file")
    assert "/etc/hostname" in paths(seen, "opened")


def test_nobody_gets_at_what_the_helper_holds(user):
    """Not even the user for whom it works."""
    if not user:
        return
    session = user.ok("run", "-d", "--observe", "file", "--", "sleep", "1000")
    helper = user.helper()
    status = dict(
        line.split(":\t", 1) for line in pathlib.Path(f"/proc/{helper}/status").read_text().splitlines()
    )
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == sum(1 << c for c in (NET_ADMIN, PERFMON, BPF))
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["Uid"].split() == [str(NOBODY)] * 4
    look = subprocess.run(["ls", f"/proc/{helper}/fd"], capture_output=True, **user.switch)
    assert look.returncode != 0 and b"Permission denied" in look.stderr
    for pid in (user.status()["keeperPid"], user.status()["enginePid"]):
        held = open_files(pid)
        assert not [name for name in held if "prog" in name or "link" in name]
        assert len([name for name in held if name == "anon_inode:bpf-map"]) == 4
    user.ok("stop", session)


@contextlib.contextmanager
def delegated():
    """A cgroup that root gave to the user, where the daemon's commands have cgroups of their own."""
    path = pathlib.Path(cgroup2()) / f"reeve-lent-{os.getpid()}"
    path.mkdir()
    try:
        for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(path / name, NOBODY, NOBODY)
        yield path
    finally:
        for directory, _, _ in os.walk(path, topdown=False):
            wait_for(lambda: removed(directory), what=f"the end of {directory}")  # noqa: B023


def removed(directory):
    with contextlib.suppress(OSError):
        os.rmdir(directory)
    return not os.path.exists(directory)


def inside(cgroup, *command):
    """Such a command in a cgroup, as root, to its end."""
    script = 'echo $$ > "$0/cgroup.procs" && "$@"'
    subprocess.run(["sh", "-c", script, cgroup, *command], check=True, capture_output=True)


def test_another_users_process_in_the_sessions_cgroup_is_not_told():
    if os.geteuid() != 0:
        return
    may = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with delegated() as place, lent() as user:
        start = [*may, "env", *(f"{k}={v}" for k, v in user.env.items())]
        inside(place, *start, user.programs / "reeve", "daemon", "start")
        script = "read x; cat /etc/hostname"
        options = ["-d", "--stdin", "--observe", "file,network,process"]
        session = user.ok("run", *options, "--", "sh", "-c", script)
        pid = user.json("inspect", session)["pid"]
        below = pathlib.Path(f"/proc/{pid}/cgroup").read_text().partition("0::/")[2].split()[0]
        leaf = pathlib.Path(cgroup2()) / below
        assert place in leaf.parents
        inside(leaf, "sh", "-c", "cat /etc/shadow; cat /etc/shadow")
        inside(leaf, *may, "sh", "-c", "cat /etc/passwd; cat /etc/passwd")
        user.ok("send", session, "go")
        user("wait", session)
        wait_for(lambda: user.subscription(session)["over"])
        seen = user.events(session)
        assert "/etc/hostname" in paths(seen, "opened")
        assert "/etc/passwd" in paths(seen, "opened")  # the user's own, wherever it came from
        assert "/etc/shadow" not in str(seen)
        assert user.subscription(session)["missedBy"]["process"] > 0  # they were counted


def test_a_helper_that_is_killed_is_told_and_replaced(user):
    if not user:
        return
    session = user.ok("run", "-d", "--observe", "process", "--", "sleep", "1000")
    helper = user.helper()
    os.kill(helper, signal.SIGKILL)
    wait_for(lambda: "was killed; it is not observed any more" in user.log())
    assert user.subscription(session)["missedEvents"] == 1
    seen, missed = user.observed("/bin/true", categories="process")
    assert "executed" in [e["kind"] for e in seen] and missed == {"process": 0}
    assert user.helper() != helper
    user.ok("stop", session)


def test_under_no_new_privs_it_is_said_why_there_is_nothing(user):
    if not user:
        return
    start = ["setpriv", "--no-new-privs", user.programs / "reeve", "daemon", "start"]
    subprocess.run(start, env=user.env, check=True, capture_output=True, **user.switch)
    support, _, reason = user.reasons()["file"]
    assert support != "supported" and "no_new_privs" in reason


def test_without_cap_net_admin_it_does_without_hooks_of_cgroups():
    if os.geteuid() != 0:
        return
    with lent(BPF, PERFMON) as user:
        support, backend, reason = user.reasons()["network"]
        assert (support, backend) == ("supported", "ebpf"), reason


def test_without_cap_perfmon_it_loads_nothing():
    if os.geteuid() != 0:
        return
    with lent(BPF) as user:
        support, _, reason = user.reasons()["file"]
        assert support != "supported" and "CAP_PERFMON" in reason
