# SPDX-License-Identifier: Apache-2.0
"""What observers commonly get wrong: for each a test that runs, or words that say so to the user."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("REEVE_BUILD") or ROOT / "build")
DRIVER = BUILD / "tests" / "truth" / "observed-run"

# The trap, and the tests (a file under tests, a name in it) that walk into it.
TESTED = {
    "a path in memory is changed before the kernel reads it": [
        ("unit/test_observe_ebpf_traps.c", "the_path_is_what_was_opened_and_not_what_was_claimed"),
        ("unit/test_observe_ptrace.c", "a_path_is_what_the_kernel_opened"),
    ],
    "calls fail when their listener or tracer dies": [
        ("e2e/test_observe_backends.py", "test_the_command_goes_on_when_engines_die"),
        ("e2e/test_observe_backends.py", "test_what_was_traced_ends_with_its_tracer"),
    ],
    "what a dead engine had received is never announced again": [
        ("unit/test_observe_notify_handover.c",
         "a_successor_tells_of_what_was_received_and_not_stored"),
    ],
    "a sibling may not read memory (Yama)": [
        ("unit/test_observe_notify.c", "where_memory_cannot_be_read_it_does_not_say_yes"),
        ("unit/test_observe_notify_lent.c", "each_call_is_told_with_what_was_lent_for_it"),
        ("e2e/test_observe_memory_lent.py", "test_what_is_lent_tells_the_same"),
    ],
    "io_uring makes no calls": [
        ("unit/test_observe_ebpf_traps.c", "what_goes_through_io_uring_is_told_by_its_opcode"),
        ("unit/test_observe_ebpf_tiers.c", "changes_through_io_uring_are_told_as_the_tier_can"),
    ],
    "calls of i386 have other numbers": [
        ("unit/test_observe_ebpf_files.c", "calls_of_i386_are_seen"),
        ("unit/test_observe_notify.c", "calls_of_32_bit_programs_are_seen"),
    ],
    "a refused connection has no port any more": [
        ("unit/test_observe_ebpf_network.c", "a_refused_connection_says_where_it_was_to_go"),
    ],
    "what was accepted has no owner at first": [
        ("unit/test_observe_ebpf_network.c", "a_connection_is_seen_from_both_ends_with_its_bytes"),
    ],
    "a process can have one listener": [
        ("unit/test_observe_notify.c", "inside_an_observed_session_it_says_why_not"),
    ],
    "the kernel counts pids of the first namespace": [
        ("unit/test_observe_ebpf_traps.c", "pids_are_those_that_the_observer_knows"),
    ],
    "receiving is blocked where installing is not": [
        ("unit/test_observe_notify.c", "where_receiving_is_blocked_it_does_not_say_yes"),
    ],
}  # fmt: skip

# What a backend says of itself, by category.
SAID = [
    ("seccomp-user-notify", "file", "io_uring"),
    ("seccomp-user-notify", "file", "paths as claimed"),
    ("seccomp-user-notify", "network", "io_uring"),
    ("ptrace", "file", "io_uring"),
    ("ebpf", "file", "io_uring by opcode only"),
    ("ebpf", "network", "io_uring by opcode only"),
    ("fanotify", "file", "like events are merged"),
]


@pytest.mark.parametrize("trap", TESTED)
def test_it_is_walked_into(trap):
    for file, name in TESTED[trap]:
        text = (ROOT / "tests" / file).read_text()
        assert text.count(name) >= (1 if file.endswith(".py") else 2), f"{file} does not run {name}"


def reason_of(backend, category, prefix=()):
    words = [*prefix, DRIVER, "--probe", backend]
    ran = subprocess.run(words, stdout=subprocess.PIPE, timeout=300)
    for line in ran.stdout.decode().splitlines():
        name, support, reason = line.split("\t")
        if name == category:
            return support, reason
    return "unavailable", "there is no such backend in this build"


@pytest.mark.parametrize(("backend", "category", "words"), SAID)
def test_it_is_said(backend, category, words):
    support, reason = reason_of(backend, category)
    if support == "unavailable":
        pytest.skip(json.dumps(reason))
    assert words in reason


@pytest.mark.parametrize("backend", ["seccomp-user-notify", "ptrace"])
def test_an_ordinary_user_reads_that_sudo_fails_inside(backend):
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    support, reason = reason_of(backend, "file", user if os.getuid() == 0 else ())
    if support == "unavailable":
        pytest.skip(json.dumps(reason))
    assert "sudo" in reason
