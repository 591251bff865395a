# SPDX-License-Identifier: Apache-2.0
"""What capabilities give as the reason is true where the daemon runs, and names what would help."""

import contextlib
import os
import subprocess

import pytest
from conftest import BUILD, Reeve, end_with
from lent import HELPER, Lent
from ordinary import Ordinary

CONTAINER = "docker run --cap-add BPF --cap-add PERFMON"


@contextlib.contextmanager
def daemon(instance, *inside):
    """A daemon that was started by such a command, which may give up what it has."""
    try:
        start = [*inside, instance.programs / "reeve", "daemon", "start"]
        switch = getattr(instance, "switch", {})
        if inside and inside[0] in ("unshare-as-root", "setpriv-as-root"):
            start[0] = inside[0].removesuffix("-as-root")
            switch = {}
        begun = subprocess.run(
            start, env=instance.env, cwd=instance.home, capture_output=True, timeout=60, **switch
        )
        if begun.returncode != 0:
            pytest.skip(f"{inside[0]} is not possible here: {begun.stderr.decode()}")
        yield instance
    finally:
        end_with(instance)


def reasons(instance, scope="launched-tree"):
    """By (backend, category): (support, reason)."""
    answer = instance.json("capabilities", "--json", "--probe", "--scope", scope)
    return {(b["backend"], b["category"]): (b["support"], b["reason"]) for b in answer["backends"]}


def ebpf_is_built():
    return (BUILD / HELPER).exists()


def test_root_of_a_user_namespace_is_told_to_go_outside():
    with daemon(Ordinary(), "unshare", "-Ur") as user:
        found = reasons(user)
    if ebpf_is_built():
        for category in ("file", "network", "process"):
            support, reason = found["ebpf", category]
            assert support == "unavailable" and "in a user namespace" in reason, reason
    assert "outside of all user namespaces" in found["fanotify", "file"][1]
    assert "tells nobody in a user or pid namespace" in found["proc-connector", "process"][1]


def test_in_a_network_namespace_the_proc_connector_says_so():
    if os.geteuid() != 0:
        return
    with daemon(Reeve(), "unshare", "-n") as reeve:
        found = reasons(reeve)
    for key in (("proc-connector", "process"), ("fanotify", "file")):
        support, reason = found[key]
        assert support == "unavailable" and "first network namespace only" in reason, reason


def test_root_without_capabilities_is_told_who_can_add_them():
    if os.geteuid() != 0:
        return
    drop = "--drop=cap_bpf,cap_perfmon,cap_sys_admin,cap_dac_read_search"
    with daemon(Reeve(), "capsh", drop, "--", "-c", 'exec "$@"', "x") as reeve:
        found = reasons(reeve)
    if ebpf_is_built():
        support, reason = found["ebpf", "file"]
        assert support == "unavailable" and CONTAINER in reason, reason
    assert "which this root lacks, as in a container" in found["fanotify", "file"][1]


def test_a_bounding_set_without_them_is_named_before_what_it_would_not_help_to_grant():
    if os.geteuid() != 0 or not ebpf_is_built():
        return
    start = ["setpriv-as-root", "--bounding-set=-bpf,-perfmon", "--reuid=65534", "--regid=65534"]
    with daemon(Lent(), *start, "--clear-groups") as user:
        support, reason = reasons(user)["ebpf", "file"]
        assert support == "unavailable" and "in its bounding set" in reason, reason
        assert "install" not in reason


def test_no_new_privs_is_named_before_what_it_would_not_help_to_grant():
    if not ebpf_is_built():
        return
    with daemon(Ordinary(), "setpriv", "--no-new-privs") as user:
        support, reason = reasons(user)["ebpf", "file"]
        assert support == "unavailable" and "under no_new_privs" in reason, reason
        assert "install" not in reason


def test_the_whole_machine_is_for_root():
    """What install grants would not help."""
    with daemon(Ordinary()) as user:
        found = reasons(user, "system-wide")
    if ebpf_is_built():
        support, reason = found["ebpf", "file"]
        assert support == "unavailable" and "told to root only" in reason, reason
        assert "install" not in reason
    support, reason = found["perf", "process"]
    with open("/proc/sys/kernel/perf_event_paranoid") as f:
        paranoid = int(f.read())
    if paranoid > 0:
        assert support == "unavailable"
        assert f"kernel.perf_event_paranoid is {paranoid}: `sudo sysctl" in reason
        assert "kernel.perf_event_paranoid=0`" in reason


def test_who_watches_is_told_what_is_not_seen(reeve):
    """Inside, an ordinary user cannot observe files; root can."""
    inner, words = reeve.home / "inner", f"{BUILD}/reeve observe --categories file -- true"
    script = (
        f"export REEVE_DIR={inner}; mkdir -m 700 {inner}; {words};"
        f"{BUILD}/reeve capabilities; {BUILD}/reeve daemon stop > /dev/null"
    )
    options = ["--observe", "file", "--backend", "file=seccomp-user-notify"]
    result = reeve("run", *options, "--", "sh", "-c", script)
    cells = [line.split(maxsplit=3) for line in result.stdout.decode().splitlines()]
    support, reason = next((c[1], c[3]) for c in cells if c[0] == "file")
    said = f"reeve: file is not observed: {reason}" in result.stderr.decode()
    assert said == (support == "unavailable")


def test_inside_an_observed_session_it_is_said_that_there_can_be_one_filter(reeve):
    inner = reeve.home / "inner"
    script = (
        f"export REEVE_DIR={inner}; mkdir -m 700 {inner}; {BUILD}/reeve capabilities --probe;"
        f"{BUILD}/reeve daemon stop > /dev/null"
    )
    options = ["--observe", "file", "--backend", "file=seccomp-user-notify"]
    text = reeve.ok("run", *options, "--", "sh", "-c", script)
    lines = [line for line in text.splitlines() if " seccomp-user-notify " in line]
    assert len(lines) == 3
    assert all("under a listener of seccomp already" in line for line in lines), lines
