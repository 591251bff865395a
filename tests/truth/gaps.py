# SPDX-License-Identifier: Apache-2.0
"""What each backend is documented not to tell: the only differences to strace that it may have.

A gap is a category, the words of the capability's reason that document it, and what makes the facts
of both sides alike again: a function of (seen, told), two Counters of facts, that returns both.
"""

import collections
import functools
import pathlib
import posixpath
import re

# Where fanotify has no marks, and what has no name at all.
UNMARKED = ("/proc", "/sys", "/dev/pts", "/dev/shm", "pipe:", "socket:", "anon_inode:", "/memfd:")


def each(change):
    """A gap that changes facts one by one on both sides; None leaves one out."""

    def both(seen, told):
        return tuple(altered(side, change) for side in (seen, told))

    return both


def altered(facts, change):
    result = collections.Counter()
    for fact, n in facts.items():
        other = change(fact)
        if other is not None:
            result[other] += n
    return result


def only_of(category, change):
    return each(lambda fact: change(fact) if fact[0] == category else fact)


def without(category, *kinds):
    return only_of(category, lambda fact: None if fact[2] in kinds else fact)


def without_bytes(seen, told):
    return altered(seen, lambda fact: None if fact[0] == "bytes" else fact), told


def file_results(fact):
    return (*fact[:3], None, *fact[4:])


def network_results(fact):
    return (*fact[:4], None)


def exit_codes(fact):
    return (*fact[:3], None) if fact[2] == "exited" else fact


def executed_paths(seen, told):
    """That and when is told; which program only while the process was still there to be asked."""
    paths = {fact[1:4:2] for fact in seen if fact[2] == "executed"}

    def known(fact):
        if fact[0] != "process" or fact[2] != "executed":
            return fact
        return (*fact[:3], None) if fact[3] is None or fact[1:4:2] in paths else fact

    def unnamed(fact):
        return (*fact[:3], None) if fact[2] == "executed" else fact

    return altered(seen, unnamed), altered(told, known)


def short_lived(seen, told):
    """What is told is true; nothing else need be."""
    return seen & told, collections.Counter(set(told))


# --- fanotify -------------------------------------------------------------------------------------


def canonical(fact):
    if fact[0] != "file":
        return fact
    return (*fact[:4], *(path and posixpath.normpath(path) for path in fact[4:6]))


def succeeded(seen, told):
    return altered(seen, lambda fact: None if fact[0] == "file" and fact[3] < 0 else fact), told


@functools.lru_cache(maxsize=None)
def mounts():
    """(where, the type of file system), the deepest first."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    both = [line.partition(" - ")[::2] for line in lines]
    return sorted(((a.split()[4], b.split()[0]) for a, b in both), key=lambda m: -len(m[0]))


def is_hosts(path):
    """Whether it lies in what an emulated machine sees of its host: some kernels can mark that."""
    kinds = (kind for where, kind in mounts() if path.startswith(where.rstrip("/") + "/"))
    return path.startswith("/") and next(kinds, None) == "virtiofs"


def local_files(seen, told):
    def local(fact):
        return None if fact[0] == "file" and is_hosts(fact[4] or "") else fact

    def marked(fact):
        return None if fact[0] == "file" and (fact[4] or "").startswith(UNMARKED) else local(fact)

    return altered(seen, marked), altered(told, local)


def merged(seen, told):
    return collections.Counter(set(seen)), collections.Counter(set(told))


def in_gone_directories(seen, told):
    gone = {fact[4] for fact in seen if fact[2] == "rmdir"}

    def may_be_missed(fact):
        path = fact[4] or "" if fact[0] == "file" else ""
        return any(path == name or path.startswith(name + "/") for name in gone)

    def lost(fact):
        return fact[0] == "file" and (fact[4] is None or (fact[2] == "renamed" and fact[5] is None))

    seen = {fact for fact in seen if not may_be_missed(fact) or fact in told}
    told = {fact for fact in told if not (gone and lost(fact))}
    return collections.Counter(seen), collections.Counter(told)


def only_that_they_appear(seen, told):
    """Who is created, by whatever call, is told; strace does not know what was there before."""
    opened = {(fact[1], fact[4]) for fact in seen if fact[2] in ("opened", "created")}
    named = {(fact[1], fact[5]) for fact in seen if fact[2] in ("linked", "symlinked")}
    told = {
        fact
        for fact in told
        if fact[2] != "created" or (fact[1], fact[4]) not in opened | named
    }  # fmt: skip
    kept = {fact for fact in seen if fact[2] not in ("linked", "symlinked", "created")}
    return collections.Counter(kept), collections.Counter(told)


def executed_files(seen, told):
    """The kernel opens a program and its interpreter; no call of the process does."""
    ran = {fact[3] for fact in seen if fact[2] == "executed"}
    opened = {fact for fact in told if fact[2] == "opened" and fact not in seen}
    by_kernel = {fact for fact in opened if fact[4] in ran or "/ld-" in (fact[4] or "")}
    told = {fact for fact in told if fact not in by_kernel}
    return collections.Counter(seen), collections.Counter(told)


GAPS = {
    "ebpf": [],
    "ptrace": [],
    "seccomp-user-notify": [
        ("file", "no results", only_of("file", file_results)),
        ("file", "no bytes", without_bytes),
        ("file", "mapping", without("file", "mapped")),
        ("network", "no results", only_of("network", network_results)),
        ("network", "no accepted connections", without("network", "accepted")),
        ("process", "without exit codes", only_of("process", exit_codes)),
    ],
    "fanotify": [
        ("file", "what succeeded", succeeded),
        ("file", "no results, bytes", without_bytes),
        ("file", "modes, truncation or mapping",
         without("file", "chmod", "chown", "truncated", "mapped")),
        ("file", "in local file systems", local_files),
        ("file", "like events are merged", merged),
        ("file", "executed files are opened", executed_files),
        ("file", "links", only_that_they_appear),
        ("file", "paths in directories that are gone are missed", in_gone_directories),
    ],
    "perf": [
        ("process", "without exit codes", only_of("process", exit_codes)),
        ("process", "path and arguments are read afterwards", executed_paths),
    ],
    "proc-connector": [
        ("process", "path and arguments are read afterwards", executed_paths),
    ],
    "subreaper-proc-poll": [
        ("process", "exit codes of all but the command", only_of("process", exit_codes)),
        ("process", "paths of those that just ended", executed_paths),
        ("process", "misses processes that live shorter", short_lived),
    ],
}  # fmt: skip

# Those that tell what is asked for, before anybody knows what comes of it.
CLAIMING = {"seccomp-user-notify": [("file", "paths as claimed"), ("process", "failed ones too")]}


# A process has one tracer: these see a run of their own, with other pids and temporary names.
ALONE = {"ptrace"}
TEMPORARY = re.compile(
    r"(?<=/proc/)\d+|(?<=/cc)\w{6}|(?<=/tmp)[a-z0-9_]{8}\b|(?<=tmp_obj_)\w{6}|(?<=[.]git/t)\w{6}"
)


def of_any_run(fact):
    """Without pids, and the same for each run."""
    texts = (TEMPORARY.sub("X", part) if isinstance(part, str) else part for part in fact)
    if fact[0] == "bytes":
        kind, path, *counts = texts
        if path.startswith(("/proc/", "/sys/")) or path.endswith(".pid"):
            # The kernel writes them anew each time; a pid may have a digit more.
            counts = [min(count, 1) for count in counts]
        return (kind, path, *counts)
    category, _, *rest = texts
    return (category, None, "forked", None) if fact[2] == "forked" else (category, None, *rest)


def pid_of(backend):
    """What of a fact's pid is the same in both runs."""
    return (lambda _: None) if backend in ALONE else (lambda pid: pid)


def close(backend, trace, told):
    """What stays of both sides, without what the gaps explain."""
    seen = trace.facts
    if backend in ALONE:
        seen, told = merged(altered(seen, of_any_run), altered(told, of_any_run))
    if backend == "fanotify":  # O_PATH opens nothing
        seen = altered(seen, lambda fact: fact if fact not in trace.places else None)
        seen, told = altered(seen, canonical), altered(told, canonical)
    for _, _, gap in GAPS[backend]:
        seen, told = gap(seen, told)
    return seen, told


def documented(backend):
    """(category, words) of all gaps."""
    return [gap[:2] for gap in GAPS[backend]] + CLAIMING.get(backend, [])
