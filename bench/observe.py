# SPDX-License-Identifier: Apache-2.0
"""What observing costs: the time of a load under a backend, as a ratio to the same load bare.

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
ALL = "file,network,process"

# By backend: what is paid at most for exec, open, make.
TARGETS = {
    "ebpf": (1.08, 1.6, 1.04),
    "seccomp-user-notify": (1.15, 4, 1.7),
}
# What ptrace adds to a build, to what strace adds that stops only where this does, for the same
# categories. strace is not asked for reads and writes, of which ptrace tells the totals.
TRACED = 0.5
STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=%file,%network,%process", "-o", "/dev/null"]
BYSTANDER = [("process", 1.02), (ALL, 1.15)]


def driver(build):
    return build / "tests" / "truth" / "observed-run"


def ordinary(backend):
    """What both runs begin with. Who answers a call and who makes it take turns: that works when
    the kernel wakes the one on the processor of the other, which real time rules out. So under
    --realtime they come before all that are ordinary, but are so themselves."""
    if backend != "seccomp-user-notify" or os.sched_getscheduler(0) == os.SCHED_OTHER:
        return []
    return ["chrt", "--other", "0", "nice", "-n", "-20"]


def seconds_of(words):
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"bench: {words[0]}: status {done.returncode}: {done.stderr.decode()}")
    return float(done.stdout.decode().splitlines()[-1])


def works(build, backend):
    words = [driver(build), backend, ALL, "-", "/bin/true"]
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=TIMEOUT)
    if done.returncode != 0:
        print(f"{backend}: {done.stderr.decode().strip()}")
    return done.returncode == 0


def write_sources(directory):
    for i in range(SOURCES):
        lines = [f"int f{i}_{j}(int x) {{ return x * {j} + {i}; }}" for j in range(200)]
        (directory / f"f{i}.c").write_text("#include <stdio.h>\n" + "\n".join(lines) + "\n")
    objects = " ".join(f"f{i}.o" for i in range(SOURCES))
    (directory / "Makefile").write_text(
        f"all: {objects}\nclean:\n\trm -f {objects}\n%.o: %.c\n\t@gcc -O1 -c -o $@ $<\n"
    )


@contextlib.contextmanager
def observed(build, backend, categories):
    """A process under the backend, that does nothing."""
    words = [driver(build), backend, categories, "-", "/bin/cat"]
    with subprocess.Popen(
        [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as idle:
        idle.stdin.write(b"1\n")
        idle.stdin.flush()
        idle.stdout.readline()  # it has passed the gate
        yield
        idle.stdin.close()


def figures(rounds, build, figure):
    """`figure(name, target)` makes one; yields each when it is complete."""
    bench = build / "bench"
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as name:
        directory = pathlib.Path(name)
        write_sources(directory)
        (directory / "file").write_text("x" * 100)
        load = [bench / "bench-load", "open", OPENS, directory / "file"]
        make = [
            bench / "bench-bare", "each", 1,
            "/bin/sh", "-c", f"make -s -C {directory} clean && make -s -j2 -C {directory}",
        ]  # fmt: skip
        loads = {"exec": [bench / "bench-bare", "spawn", EXECS, "/bin/true"], "open": load, "make": make}
        for backend, targets in TARGETS.items():
            if not works(build, backend):
                continue
            for (what, words), target in zip(loads.items(), targets):
                one = figure(f"{backend}, all categories: {what}", target)
                first = ordinary(backend)
                for _ in range(rounds):
                    ceiling = seconds_of([*first, *words])
                    under = [*first, driver(build), backend, ALL, "-", *words]
                    one.add(seconds_of(under) / ceiling)
                yield one
        if works(build, "ptrace"):
            one = figure("ptrace, all categories: make, to strace", TRACED)
            for _ in range(rounds):
                ceiling = seconds_of(make)
                added = seconds_of([driver(build), "ptrace", ALL, "-", *make]) - ceiling
                one.add(added / (seconds_of([*STRACE, *make]) - ceiling))
            yield one
        for categories, target in BYSTANDER if works(build, "ebpf") else []:
            one = figure(f"ebpf, a bystander of {categories}", target)
            for _ in range(rounds):
                ceiling = seconds_of(load)
                with observed(build, "ebpf", categories):
                    one.add(seconds_of(load) / ceiling)
            yield one
