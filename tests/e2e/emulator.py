# SPDX-License-Identifier: Apache-2.0
"""A real terminal emulator for tests: tmux, a server of the test's own, one window a pane."""

import contextlib
import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
import threading
import time

import pytest
from conftest import BUILD, alive, wait_for

TERM = "tmux-256color"
FLAGS = (
    "alternate_on cursor_flag insert_flag keypad_cursor_flag keypad_flag mouse_any_flag "
    "mouse_sgr_flag origin_flag wrap_flag scroll_region_upper"
).split()


class Emulator:
    def __init__(self, directory, env):
        if not shutil.which("tmux"):
            pytest.fail("tmux is missing: ./dev setup installs it")
        self.socket = directory / "tmux"
        self.settings = directory / "tmux.conf"
        self.settings.write_text("set -g remain-on-exit on\n")
        self.env = {**env, "TERM": TERM, "PS1": "$ ", "SHELL": "/bin/sh"}
        self.pids = []

    def tmux(self, *args, input=None):
        words = ["tmux", "-S", self.socket, "-f", self.settings, *map(str, args)]
        done = subprocess.run(words, input=input, capture_output=True, env=self.env, timeout=30)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode(errors="replace").removesuffix("\n")

    def open(self, *command, rows=24, cols=80):
        """A pane in which `command` runs (a shell when none is given)."""
        words = command or ("sh", "-i")
        size = ("-x", cols, "-y", rows)
        start = ["new-session", "-d", "-P", "-F", "#{pane_id} #{pane_pid} #{pane_tty}", *size]
        pane, pid, tty = self.tmux(*start, "--", *words).split()
        self.tmux("set-option", "-t", pane, "window-size", "manual")
        self.pids.append(int(pid))
        opened = Pane(self, pane, int(pid), tty)
        if not command:
            opened.shows("$")
        return opened

    def end(self):
        with contextlib.suppress(AssertionError, OSError):
            self.tmux("kill-server")
        wait_for(lambda: not any(map(alive, self.pids)), what="the end of the panes")


class Pane:
    def __init__(self, emulator, pane, pid, tty):
        self.emulator, self.pane, self.pid, self.tty = emulator, pane, pid, tty

    def tmux(self, command, *args, **kw):
        return self.emulator.tmux(command, "-t", self.pane, *args, **kw)

    def ask(self, form):
        return self.tmux("display-message", "-p", form)

    # keys

    def type(self, text):
        if text.endswith(";"):  # which ends a command of tmux
            text = text[:-1] + "\\;"
        self.tmux("send-keys", "-l", "--", text)

    def key(self, *names):
        """tmux's names: Enter, C-c, Escape, Up."""
        self.tmux("send-keys", *names)

    def line(self, text):
        self.type(text)
        self.key("Enter")

    def paste(self, data, bracketed=False):
        """Gives bytes to the terminal as they are."""
        self.emulator.tmux("load-buffer", "-b", "paste", "-", input=data)
        options = ["-p"] if bracketed else []
        self.tmux("paste-buffer", "-d", "-r", *options, "-b", "paste")

    # the screen

    def lines(self):
        return [line.rstrip() for line in self.tmux("capture-pane", "-p").split("\n")]

    def text(self):
        return "\n".join(line for line in self.lines() if line)

    def history(self):
        """The screen and what has scrolled off it."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-")

    def shows(self, text, timeout=20):
        try:
            wait_for(lambda: text in self.text(), timeout)
        except pytest.fail.Exception:
            pytest.fail(f"{text!r} is not on the screen, but:\n{self.text()}")

    def hides(self, text):
        wait_for(lambda: text not in self.text(), what=f"{text!r} to leave the screen")

    def flags(self):
        """The terminal's modes, by tmux's names."""
        values = self.ask(" ".join("#{%s}" % name for name in FLAGS)).split()
        return dict(zip(FLAGS, map(int, values)))

    def stty(self):
        """The settings of the line, as stty names them."""
        words = subprocess.run(["stty", "-a", "-F", self.tty], capture_output=True, timeout=30)
        return set(words.stdout.decode().replace(";", " ").split())

    def attached(self):
        """Waits until a client has the terminal."""
        wait_for(lambda: {"-icanon", "-opost"} <= self.stty(), what="a client on the terminal")

    def left(self):
        """Waits until the shell has it again: what is typed before goes to the session."""
        wait_for(lambda: "opost" in self.stty(), what="the shell on the terminal")

    def says_status(self, status):
        self.left()
        self.line("echo status $?")
        self.shows(f"status {status}")

    @property
    def title(self):
        return self.ask("#{pane_title}")

    def resize(self, rows, cols):
        self.tmux("resize-window", "-x", cols, "-y", rows)

    # programs

    def status(self):
        """The exit status of the command that the pane was opened for, once it has ended."""
        form = "#{pane_dead} #{pane_dead_status}"
        end = wait_for(lambda: self.ask(form).split()[1:], what="the end of the pane's command")
        return int(end[0])

    def reeve(self, *words):
        """Types a command of reeve."""
        self.line(" ".join([str(BUILD / "reeve"), *words]))


def clients(pane):
    """The pids of the reeve commands that run below a pane."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline") as words:
                parent = int(stat.read().rpartition(")")[2].split()[1])
                if parent == pane.pid and "/reeve\0" in words.read():
                    found.append(int(name))
    return found


class SlowTerminal:
    """A terminal that takes so many bytes a second and shows nothing: keeps what it took."""

    def __init__(self, words, env, rate, rows=24, cols=80):
        self.rate, self.taken = rate, b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("<4H", rows, cols, 0, 0))
        self.process = subprocess.Popen(
            [str(word) for word in words],
            env={**env, "TERM": TERM},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 512):
                self.taken += data
                if self.rate:
                    time.sleep(len(data) / self.rate)

    def type(self, data):
        os.write(self.master, data)

    def end(self):
        self.rate = None
        self.process.kill()
        self.process.wait()
        self.reader.join()
        os.close(self.master)
