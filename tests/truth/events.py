# SPDX-License-Identifier: Apache-2.0
"""What a backend told, as the same facts as in strace.py."""

import collections
import ipaddress
import json
import socket


def endpoint(event, which):
    address = event.get(which, {})
    family = address.get("family")
    if family == socket.AF_UNIX:
        return address["path"]
    raw = bytes.fromhex(address.get("bytes", "")) if address else b""
    if family == socket.AF_INET:
        return f"{ipaddress.IPv4Address(raw[:4])}:{address['port']}"
    if family == socket.AF_INET6:
        return f"{ipaddress.IPv6Address(raw)}:{address['port']}"
    return None


def file_facts(event):
    kind, result = event["kind"], event.get("result", 0)
    if kind in ("closed", "moved", "read", "written"):
        return
    flat = "opened" if kind == "created" and "flags" in event else kind
    yield "file", event["pid"], flat, result, event.get("path"), event.get("path2")


def network_facts(event):
    kind = event["kind"]
    if kind not in ("connected", "bound", "listening", "accepted"):
        return
    point = endpoint(event, {"connected": "remote", "bound": "local"}.get(kind, ""))
    yield "network", event["pid"], kind, point, event.get("result", 0)


def process_facts(event):
    if event.get("result", 0) < 0:
        return  # an execution that failed
    what = {
        "forked": event.get("childPid"),
        "executed": event.get("path"),
        "exited": event.get("exitCode"),
    }[event["kind"]]
    yield "process", event["pid"], event["kind"], what


FACTS = {"file": file_facts, "network": network_facts, "process": process_facts}


class Told:
    """Reads the file that observed-run wrote; of the processes `pids` only, of all when None."""

    def __init__(self, path, pids):
        self.facts = collections.Counter()
        moved = collections.defaultdict(lambda: [0, 0])
        with open(path, encoding="ascii") as file:
            *events, self.last = map(json.loads, file)
        for event in events:
            if pids is not None and event["pid"] not in pids:
                continue
            self.facts.update(FACTS[event["category"]](event))
            if (event["category"], event["kind"]) == ("file", "closed") and "bytesRead" in event:
                moved[event.get("path")][0] += event["bytesRead"]
                moved[event.get("path")][1] += event["bytesWritten"]
        for name, (read, written) in moved.items():
            if read or written:
                self.facts["bytes", name, read, written] += 1
