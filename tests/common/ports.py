# SPDX-License-Identifier: Apache-2.0
"""Where a test's servers listen."""

import contextlib
import random
import socket


def free_port():
    """A port that nobody uses, below those that the kernel gives away by itself."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
