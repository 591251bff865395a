# SPDX-License-Identifier: Apache-2.0
"""Sessions whose output is known."""

ROUND = 1 << 20  # bytes; the default backlog of a stream


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
