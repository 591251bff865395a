# SPDX-License-Identifier: Apache-2.0
"""What observing costs: the time of a load in a session, as a ratio to the same load bare.

What the kernel's part of that costs by itself stands beside: the load under a program that does
nothing but answer each call that is held up (bench-notify), in the way that is best for a single
caller; the same of one that reads the path of each from a process in a session of its own, as those
observed are; and a bystander while an empty BPF program is called at each return from a system call
(bench-tracepoint).

`exec` is 2,000 times fork and execve, `open` 200,000 times open, read and close, `make` a parallel
build of 20 small C files. A bystander does `open` outside of the session that is observed.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

EXECS = 2000
OPENS = 200000
SOURCES = 20
TIMEOUT = 300
ALL = ["file", "network", "process"]
NOBODY = "nobody observes"

# By backend: what is paid at most for exec, open, make. What nobody observes costs 1.00.
TARGETS = {
    NOBODY: (1.005, 1.005, 1.005),
    "ebpf": (1.08, 1.6, 1.04),
    "seccomp-user-notify": (1.15, 4, 1.7),
}
FILTERS = {"seccomp-user-notify"}
# What ptrace adds to a build, to what strace adds that stops only where this does, for the same
# categories. strace is not asked for reads and writes, of which ptrace tells the totals.
TRACED = 0.5
STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=%file,%network,%process", "-o", "/dev/null"]
BYSTANDER = [(["process"], 1.02), (ALL, 1.15)]


def ordinary(backend):
    """What both runs begin with. Who answers a call and who makes it take turns: that works when
    the kernel wakes the one on the processor of the other, which real time rules out. So under
    --realtime they come before all that are ordinary, but are so themselves."""
    if backend != "seccomp-user-notify" or os.sched_getscheduler(0) == os.SCHED_OTHER:
        return []
    own = 'echo -20 2>/dev/null >/proc/self/autogroup; exec "$@"'  # else niceness is nothing there
    return ["chrt", "--other", "0", "nice", "-n", "-20", "/bin/sh", "-c", own, "sh"]


def seconds_of(words):
    """A load prints the seconds that it took, in its last line."""
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"bench: {words[0]}: status {done.returncode}: {done.stderr.decode()}")
    return float(done.stdout.decode().splitlines()[-1])


def seconds_in(daemon, words, backend):
    """The same in a session."""
    body = {"command": [str(word) for word in words], "cwd": "/"}
    if backend != NOBODY:
        body["observe"] = {"categories": ALL, "backends": dict.fromkeys(ALL, backend)}
    session = "/v1/sessions/" + daemon.post("/v1/sessions", body)["id"]
    daemon.post(f"{session}/wait", {"until": [{"eof": True}], "timeout": f"{TIMEOUT}s"})
    text = daemon.request("GET", f"{session}/logs?format=json")["text"]
    daemon.purge()
    return float(text.splitlines()[-1])


def works(daemon, backend):
    if backend == NOBODY:
        return True
    entries = daemon.request("GET", "/v1/capabilities?probe=true")["backends"]
    entries = [entry for entry in entries if entry["backend"] == backend]
    for entry in entries:
        if entry["support"] == "unavailable":
            print(f"{backend}: {entry['reason']}")
    return entries and all(entry["support"] != "unavailable" for entry in entries)


def write_sources(directory):
    for i in range(SOURCES):
        lines = [f"int f{i}_{j}(int x) {{ return x * {j} + {i}; }}" for j in range(200)]
        (directory / f"f{i}.c").write_text("#include <stdio.h>\n" + "\n".join(lines) + "\n")
    objects = " ".join(f"f{i}.o" for i in range(SOURCES))
    (directory / "Makefile").write_text(
        f"all: {objects}\nclean:\n\trm -f {objects}\n%.o: %.c\n\t@gcc -O1 -c -o $@ $<\n"
    )


@contextlib.contextmanager
def observed(daemon, categories):
    """A process that does nothing."""
    body = {
        "command": ["/bin/sleep", "86400"],
        "observe": {"categories": categories, "backends": dict.fromkeys(categories, "ebpf")},
    }
    session = daemon.post("/v1/sessions", body)["id"]
    yield
    daemon.request("DELETE", f"/v1/sessions/{session}?force=true")


def loads(bench, directory):
    own = bench.BUILD / "bench"
    make = f"make -s -C {directory} clean && make -s -j2 -C {directory}"
    return {
        "exec": [own / "bench-bare", "spawn", EXECS, "/bin/true"],
        "open": [own / "bench-load", "open", OPENS, directory / "file"],
        "make": [own / "bench-bare", "each", 1, "/bin/sh", "-c", make],
    }


def under(backend, targets, rounds, bench, directory):
    first = ordinary(backend)
    with bench.Daemon(*first) as daemon:
        if not works(daemon, backend):
            return
        for (what, words), target in zip(loads(bench, directory).items(), targets):
            of = backend if backend == NOBODY else f"{backend}, all categories"
            one = bench.Figure(f"{of}: {what}", target, at_least=False, unit=" x")
            least = {
                (): bench.Figure(f"calls that are answered, no more: {what}", unit=" x"),
                ("-p",): bench.Figure(f"calls whose path is read, no more: {what}", unit=" x"),
            }
            for _ in range(rounds):
                ceiling = seconds_of([*first, *words])
                one.add(seconds_in(daemon, [*first, *words], backend) / ceiling)
                for options, figure in least.items() if backend in FILTERS else ():
                    answered = [*first, bench.program("notify"), *options, *words]
                    figure.add(seconds_of(answered) / ceiling)
            yield one
            if backend in FILTERS:
                yield from least.values()


def traced(rounds, bench, directory):
    words = loads(bench, directory)["make"]
    with bench.Daemon() as daemon:
        if not works(daemon, "ptrace"):
            return
        name = "ptrace, all categories: what it adds to make, to what strace adds"
        one = bench.Figure(name, TRACED, at_least=False, unit=" x")
        for _ in range(rounds):
            ceiling = seconds_of(words)
            added = seconds_in(daemon, words, "ptrace") - ceiling
            one.add(added / (seconds_of([*STRACE, *words]) - ceiling))
        yield one


def bystanders(rounds, bench, directory):
    load = loads(bench, directory)["open"]
    with bench.Daemon() as daemon:
        for categories, target in BYSTANDER if works(daemon, "ebpf") else []:
            name = f"ebpf, a bystander of {','.join(categories)}"
            one = bench.Figure(name, target, at_least=False, unit=" x")
            for _ in range(rounds):
                ceiling = seconds_of(load)
                with observed(daemon, categories):
                    one.add(seconds_of(load) / ceiling)
            yield one
        least = bench.Figure("an empty BPF program at each return: a bystander", unit=" x")
        for _ in range(rounds if os.geteuid() == 0 else 0):
            ceiling = seconds_of(load)
            least.add(seconds_of([bench.program("tracepoint"), *load]) / ceiling)
        if least.values:
            yield least


def figures(rounds, bench):
    """`bench`: the module that measures the rest."""
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as name:
        directory = pathlib.Path(name)
        write_sources(directory)
        (directory / "file").write_text("x" * 100)
        for backend, targets in TARGETS.items():
            yield from under(backend, targets, rounds, bench, directory)
        yield from traced(rounds, bench, directory)
        yield from bystanders(rounds, bench, directory)
