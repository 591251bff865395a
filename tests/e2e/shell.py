# SPDX-License-Identifier: Apache-2.0
"""Lines typed at a shell, with `reeve` in its path."""

import os
import pty
import select
import subprocess
import time

from conftest import BUILD, TIMEOUT


def environment(reeve, **more):
    return {**reeve.env, "PATH": f"{reeve.home}/bin:{BUILD}:{reeve.env['PATH']}", **more}


def script(reeve, name, text):
    """A program of that name, found before all others."""
    path = reeve.home / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def sh(reeve, line, timeout=TIMEOUT, **env):
    """What the line gives in a shell without a terminal: exit status, stdout, stderr."""
    done = subprocess.run(
        ["bash", "-c", line], env=environment(reeve, **env), cwd=reeve.home, timeout=timeout,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def ok(reeve, line, **kw):
    """The same of a line that must succeed; stdout without the last newline."""
    status, out, err = sh(reeve, line, **kw)
    assert status == 0, (line, status, out, err)
    return out.removesuffix("\n")


class Terminal:
    """A shell line with a terminal of its own, of which it is the session leader."""

    def __init__(self, reeve, line, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(reeve.home)
            os.execvpe("bash", ["bash", "-c", line], environment(reeve, TERM="xterm", **env))
        self.seen = b""
        self.status = None

    def read_until(self, text, timeout=TIMEOUT):
        """Reads until `text` was seen; returns all that was."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # EIO: nobody has it open any more
                    data = b""
                assert data, f"the terminal ended without {text!r}: {self.seen!r}"
                self.seen += data
        return self.seen

    def type(self, data):
        os.write(self.fd, data)

    def hang_up(self):
        """Closes the terminal, as a window or a connection is closed."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def wait(self):
        """The exit status of the line, -N for signal N."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        self.wait()
