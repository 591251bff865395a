# SPDX-License-Identifier: Apache-2.0
"""Sessions whose output is known."""

ROUND = 1 << 20  # bytes; the default backlog of a stream

# Of a script: waits until its last background job has become what it is to be.
SETTLED = 'while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done'


def big(n):
    """n bytes in which each place can be told from any other."""
    return b"".join(b"%07d\n" % i for i in range(n // 8 + 1))[:n]


def writer(n, then=""):
    script = (
        f"import sys, time\n"
        f"sys.stdout.buffer.write(b''.join(b'%07d\\n' % i for i in range({n} // 8 + 1))[:{n}])\n"
        f"sys.stdout.flush()\n{then}"
    )
    return ("/usr/bin/python3", "-c", script)


def cat(api, **fields):
    return api.spawn("cat", stdin="pipe", **fields)


def written(api, session, stream="stdout"):
    return api.show(session)["streams"][stream]["written"]


# Says `ready`, then the name of each signal that it gets; ends by USR2. Nothing is lost to a race: a
# signal waits until the one before was told.
SIGNAL_TELLER = (
    "/usr/bin/python3",
    "-SEc",
    "import os, signal\n"
    "mine = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, mine)\n"
    "os.write(1, b'ready\\n')\n"
    "got = None\n"
    "while got != signal.SIGUSR2:\n"
    "    got = signal.sigwait(mine)\n"
    "    os.write(1, got.name.encode() + b'\\n')\n",
)


def signal_teller(api):
    session = api.spawn(*SIGNAL_TELLER)
    api.post(api.path_of(session, "/wait"), {"until": [{"match": "ready"}], "timeout": "20s"})
    return session
