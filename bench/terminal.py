# SPDX-License-Identifier: Apache-2.0
"""What a terminal under reeve costs, against a bare one and against dtach, tmux and screen."""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
TOTAL = 256 * MIB
BLOCKS = [("64 KiB", 65536), ("4 KiB", 4096), ("100 B", 100)]
KEYS = 1000
SESSIONS = 500
ECHO = ["/bin/sh", "-c", "stty raw -echo; exec cat"]
BLOCK_TOTALS = {100: 32 * MIB}


def settle(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench: waited 30 s for {what}")
        time.sleep(0.02)


def drain(rounds, bench):
    """Nobody attached; then one who loses nothing."""
    for name, block in BLOCKS:
        total = BLOCK_TOTALS.get(block, TOTAL)
        detached = bench.Figure(f"terminal, detached, writes of {name}", 0.9)
        attached = bench.Figure(f"terminal, attached, lossless, writes of {name}", 0.7)
        words = (bench.program("writer"), block, total)
        with bench.Daemon() as daemon:
            for _ in range(rounds):
                ceiling = float(bench.run(bench.program("terminal"), "read", total, *words))
                detached.add(ceiling / daemon.client("eof", 1, 1, 1, "--pty", *words))
                written = daemon.sessions()[0]["streams"]["pty"]["written"]
                if written != total:
                    sys.exit(f"bench: {written} bytes were captured, not {total}")
                ceiling = float(bench.run(bench.program("terminal"), "read", total, *words))
                attached.add(ceiling / daemon.reeve("each", 1, "run", "--pty", "--", *words))
                daemon.purge()
        yield detached
        yield attached


# --- from a key to its echo ----------------------------------------------------------------------


def echo(bench, *client, env=None):
    """(p50, p99) in microseconds."""
    printed = bench.run(bench.program("terminal"), "echo", KEYS, *client, env=env)
    times = sorted(map(float, printed.split()))
    return times[len(times) // 2], times[len(times) * 99 // 100]


@contextlib.contextmanager
def reeve_client(bench, directory):
    with bench.Daemon() as daemon:
        words = [str(bench.BUILD / "reeve"), "run", "-d", "--pty", "--", *ECHO]
        session = bench.run(*words, env=daemon.env).strip()
        env = {**daemon.env, "TERM": "xterm"}
        yield [bench.BUILD / "reeve", "attach", session], env


@contextlib.contextmanager
def dtach_client(bench, directory):
    socket = os.path.join(directory, "dtach")
    program = shutil.which("dtach")
    holder = subprocess.Popen([program, "-N", socket, *ECHO], stdin=subprocess.DEVNULL)
    settle(lambda: os.path.exists(socket), "dtach")
    try:
        yield [program, "-a", socket, "-E", "-z"], {**os.environ, "TERM": "xterm"}
    finally:
        holder.kill()
        holder.wait()


@contextlib.contextmanager
def tmux_client(bench, directory):
    program = [shutil.which("tmux"), "-S", os.path.join(directory, "tmux"), "-f", "/dev/null"]
    env = {**os.environ, "TERM": "xterm"}
    env.pop("TMUX", None)
    start = [*program, "new-session", "-d", "-x", "80", "-y", "24", *ECHO, ";"]
    subprocess.run([*start, "set", "-g", "status", "off"], check=True, env=env)
    try:
        yield [*program, "attach"], env
    finally:
        subprocess.run([*program, "kill-server"], check=True, env=env)


@contextlib.contextmanager
def screen_client(bench, directory):
    place = os.path.join(directory, "screen")
    os.mkdir(place, 0o700)
    env = {**os.environ, "TERM": "xterm", "SCREENDIR": place}
    program = shutil.which("screen")
    subprocess.run([program, "-c", "/dev/null", "-dmS", "bench", *ECHO], check=True, env=env)
    settle(lambda: os.listdir(place), "screen")
    try:
        yield [program, "-c", "/dev/null", "-r", "bench"], env
    finally:
        subprocess.run([program, "-S", "bench", "-X", "quit"], check=True, env=env)


CLIENTS = {
    "dtach": dtach_client,
    "reeve": reeve_client,
    "tmux": tmux_client,
    "screen": screen_client,
}


def keys(rounds, bench):
    """Microseconds; what counts is the ratio to dtach's, which shares the machine's mood."""
    missing = [name for name in CLIENTS if name != "reeve" and not shutil.which(name)]
    if missing:
        sys.exit(f"bench: {', '.join(missing)} missing: ./dev bench installs them")
    us = [
        bench.Figure(f"key to echo, {name}, {which}", unit=" us")
        for name in CLIENTS
        for which in ("p50", "p99")
    ]
    p50 = bench.Figure("key to echo, p50, reeve / dtach", 1.5, at_least=False, unit=" x")
    p99 = bench.Figure("key to echo, p99, reeve / dtach", 1, at_least=False, unit=" x")
    for _ in range(rounds):
        found = []
        for client in CLIENTS.values():
            with tempfile.TemporaryDirectory(prefix="rb.", dir="/tmp") as directory:
                with client(bench, directory) as (words, env):
                    found += echo(bench, *words, env=env)
        for figure, value in zip(us, found):
            figure.add(value)
        p50.add(found[2] / found[0])
        p99.add(found[3] / found[1])
    if statistics.median(us[2].values) <= 100:
        p50.target = None  # 100 microseconds are enough, whatever dtach needs
    yield from (*us, p50, p99)


# --- a slow terminal in a flood ------------------------------------------------------------------

FLOOD = ["/usr/bin/yes", "a line of a flood, as long as a line of a flood can well be"]
SLOW = 10_000  # bytes a second
BESIDE = 256 * MIB


def beside(bench, daemon, session):
    """Seconds for the output of another session; microseconds from key to echo in a third."""
    words = (bench.program("writer"), 65536, BESIDE)
    seconds = daemon.client("eof", 1, 1, 1, *words)
    env = {**daemon.env, "TERM": "xterm"}
    p50, _ = echo(bench, bench.BUILD / "reeve", "attach", session, env=env)
    return seconds, p50


@contextlib.contextmanager
def slow_terminal(bench, daemon, session):
    words = [bench.program("terminal"), "slow", str(SLOW), bench.BUILD / "reeve", "attach", session]
    terminal = subprocess.Popen(words, env={**daemon.env, "TERM": "xterm"})
    try:
        settle(lambda: daemon.show(session)["attached"], "the slow terminal")
        yield terminal
        terminal.wait(30)
    finally:
        terminal.kill()
        terminal.wait()


def ctrl_c(daemon, terminal, session):
    """Milliseconds from the key to the end of the flood."""
    begin = time.monotonic()
    terminal.send_signal(signal.SIGUSR1)
    body = {"until": [{"exit": True}], "timeout": "20s"}
    if daemon.post(f"/v1/sessions/{session}/wait", body)["fired"] != "exit":
        sys.exit("bench: ctrl-C in a slow terminal did not end the flood")
    return (time.monotonic() - begin) * 1000


def flooded(rounds, bench):
    """The same flood runs in both halves of a round; in the second, a slow terminal shows it."""
    output = bench.Figure("output beside a slow terminal / without it", 0.9)
    key = bench.Figure("key to echo beside a slow terminal / without it", 1.1, False, " x")
    interrupt = bench.Figure("ctrl-C in a slow terminal, to the flood's end", 200, False, " ms")
    for _ in range(rounds):
        with bench.Daemon() as daemon:
            flood = daemon.post("/v1/sessions", {"kind": "pty", "command": FLOOD})["id"]
            keys = daemon.post("/v1/sessions", {"kind": "pty", "command": ECHO})["id"]
            seconds, us = beside(bench, daemon, keys)
            with slow_terminal(bench, daemon, flood) as terminal:
                slow_seconds, slow_us = beside(bench, daemon, keys)
                interrupt.add(ctrl_c(daemon, terminal, flood))
        output.add(seconds / slow_seconds)
        key.add(slow_us / us)
    yield from (output, key, interrupt)


# --- memory --------------------------------------------------------------------------------------


def memory(rounds, bench):
    idle = bench.Figure(f"memory of an idle terminal, of {SESSIONS}", 16, False, " KiB")
    for _ in range((rounds + 1) // 2):
        with bench.Daemon() as daemon:
            pss = bench.pss_kib(daemon.processes())
            daemon.client("start", 4, SESSIONS, "--pty", "/bin/sleep", 86400)
            idle.add((bench.pss_kib(daemon.processes()) - pss) / SESSIONS)
    yield idle


def figures(rounds, bench):
    """`bench`: the module that measures the rest."""
    yield from drain(rounds, bench)
    yield from keys(rounds, bench)
    yield from flooded(rounds, bench)
    yield from memory(rounds, bench)
