# SPDX-License-Identifier: Apache-2.0
"""What `strace -f -y` saw, as the facts that observed events are compared with.

A fact is a tuple that begins with its category: ("file", pid, kind, result, path, path2),
("network", pid, kind, endpoint, result), ("process", pid, kind, what), ("bytes", path, read, written).
"""

import collections
import errno
import os
import re
import signal

CALLS = (
    "open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,link,"
    "linkat,symlink,symlinkat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,"
    "mknod,mknodat,mmap,connect,bind,listen,accept,accept4,execve,execveat,clone,clone3,fork,vfork,"
    "chdir,fchdir,read,write,pread64,pwrite64,readv,writev,preadv,pwritev,preadv2,pwritev2,sendfile,"
    "copy_file_range"
)

# Where the arguments are: (directory, path) or (descriptor,).
PATH_CALLS = {
    "unlink": ("unlinked", None, 0),
    "rmdir": ("rmdir", None, 0),
    "mkdir": ("mkdir", None, 0),
    "mkdirat": ("mkdir", 0, 1),
    "truncate": ("truncated", None, 0),
    "chmod": ("chmod", None, 0),
    "fchmodat": ("chmod", 0, 1),
    "chown": ("chown", None, 0),
    "lchown": ("chown", None, 0),
    "fchownat": ("chown", 0, 1),
    "mknod": ("created", None, 0),
    "mknodat": ("created", 0, 1),
}
TWO_PATH_CALLS = {
    "rename": ("renamed", None, 0, None, 1),
    "renameat": ("renamed", 0, 1, 2, 3),
    "renameat2": ("renamed", 0, 1, 2, 3),
    "link": ("linked", None, 0, None, 1),
    "linkat": ("linked", 0, 1, 2, 3),
}
FD_CALLS = {"ftruncate": "truncated", "fchmod": "chmod", "fchown": "chown"}
READS = {"read", "pread64", "readv", "preadv", "preadv2"}
WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
FORKS = {"clone", "clone3", "fork", "vfork"}

LINE = re.compile(r"^(\d+) +(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(.*)$", re.S)
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([0-7]{1,3})|(.))")
LETTERS = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "a": "\a", "b": "\b"}


def unescape(text):
    def one(match):
        hexadecimal, octal, letter = match.groups()
        if letter is not None:
            return LETTERS.get(letter, letter)
        return chr(int(hexadecimal, 16) if hexadecimal else int(octal, 8))

    return ESCAPE.sub(one, text)


def split_arguments(text):
    """At the commas that are in no string, bracket or annotation."""
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        c = text[i]
        if c == '"':
            i = next(j for j in range(i + 1, len(text)) if text[j] == '"' and not odd(text, i, j))
        elif c == "<" and i > 0 and (text[i - 1].isalnum()):
            i = text.index(">", i)
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
        i += 1
    parts.append(text[start:].strip())
    return parts


def odd(text, begin, end):
    """Whether an odd number of backslashes stands before `end`: it is escaped."""
    n = 0
    while end - 1 - n > begin and text[end - 1 - n] == "\\":
        n += 1
    return n % 2 == 1


def string(argument):
    return unescape(argument[1 : argument.rindex('"')]) if argument.startswith('"') else None


def path_of_fd(text):
    """Of `3</a/b>` or `AT_FDCWD</a>`."""
    match = re.match(r"[\w-]+<([^>]*)>", text)
    return unescape(match.group(1)) if match else None


def join(base, path):
    if path is None or path.startswith("/"):
        return path
    return (base if base.endswith("/") else base + "/") + path


class Trace:
    """Reads the file that `strace -f -y -o` wrote. `claimed`: as a call's arguments say, whatever
    came of it."""

    def __init__(self, lines, cwd, claimed=False):
        self.claimed = claimed
        self.facts = collections.Counter()
        self.moved = collections.defaultdict(lambda: [0, 0])
        self.opened, self.threads, self.root = set(), {}, None
        self.pids, self.cwds, self.pending = set(), {}, {}
        self.places = set()  # of `facts`: opened as places only, O_PATH
        self.unsaid = set()  # how a connection went; which port the kernel chose
        for line in lines:
            match = LINE.match(line.rstrip("\n"))
            if match:
                tid = int(match.group(1))
                if self.root is None:
                    self.root = tid
                    self.cwds[tid] = cwd
                    self.pids.add(tid)
                self.take(tid, match.group(2))
        self.facts = self.leave_unsaid(self.facts)
        for path in self.opened:
            read, written = self.moved[path]
            if read or written:
                self.facts["bytes", path, read, written] += 1

    def leave_unsaid(self, facts, pid_of=lambda pid: pid):
        """Without what strace cannot know of network facts."""
        unsaid = {(pid_of(pid), *rest) for pid, *rest in self.unsaid}
        result = collections.Counter()
        for fact, n in facts.items():
            if fact[0] == "network" and fact[3]:
                pid, kind, point = pid_of(fact[1]), *fact[2:4]
                chosen = point[: point.rfind(":") + 1]
                if (pid, kind, point) in unsaid:
                    fact = (*fact[:4], "later")
                elif (pid, kind, chosen) in unsaid:
                    fact = (*fact[:3], chosen, fact[4])
            result[fact] += n
        return result

    def take(self, tid, text):
        if text.endswith("<unfinished ...>"):
            self.pending[tid] = text[: -len("<unfinished ...>")].rstrip()
            return
        resumed = re.match(r"^<\.\.\. \w+ resumed>(.*)$", text, re.S)
        if resumed:
            text = self.pending.pop(tid, "") + resumed.group(1)
        ended = re.match(r"^\+\+\+ (?:exited with (\d+)|killed by (\w+).*) \+\+\+$", text)
        if ended:
            self.end(tid, ended)
            return
        match = CALL.match(text)
        if match and match.group(3) != "?":
            self.call(tid, match)

    def end(self, tid, match):
        if tid in self.threads:
            return
        code = int(match.group(1)) if match.group(1) else -int(signal.Signals[match.group(2)])
        self.facts["process", tid, "exited", code] += 1

    def cwd(self, tid):
        return self.cwds.get(self.threads.get(tid, tid)) or self.cwds[self.root]

    def call(self, tid, match):
        name, result, rest = match.group(1), int(match.group(3)), match.group(4)
        if result == -1:
            code = re.match(r" (E\w+)", rest)
            result = -getattr(errno, code.group(1)) if code else -1
        arguments = split_arguments(match.group(2))
        pid = self.threads.get(tid, tid)
        if name in FORKS:
            self.fork(tid, pid, match.group(2), result)
        elif name in ("chdir", "fchdir"):
            self.chdir(pid, name, arguments, result)
        elif name in ("execve", "execveat"):
            self.execute(pid, arguments, result)
        elif name in READS | WRITES or name in ("sendfile", "copy_file_range"):
            self.transfer(name, arguments, result)
        elif name in ("connect", "bind", "listen", "accept", "accept4"):
            self.socket(pid, name, arguments, result)
        else:
            self.file(pid, name, arguments, result, rest)

    def fork(self, tid, pid, arguments, result):
        if result <= 0:
            return
        if "CLONE_THREAD" in arguments:
            self.threads[result] = pid
            return
        self.cwds.setdefault(result, self.cwd(tid))
        self.pids.add(result)
        self.facts["process", pid, "forked", result] += 1

    def chdir(self, pid, name, arguments, result):
        if result < 0:
            return
        if name == "fchdir":
            self.cwds[pid] = path_of_fd(arguments[0])
        else:
            self.cwds[pid] = os.path.realpath(join(self.cwd(pid), string(arguments[0])))

    def execute(self, pid, arguments, result):
        if self.claimed:
            path = join(self.cwd(pid), string(arguments[0]))
            self.facts["process", pid, "executed", path] += 1
            return
        if result < 0:
            return
        path = os.path.realpath(join(self.cwd(pid), string(arguments[0])))
        for _ in range(4):  # a script of a script
            try:
                with open(path, "rb") as file:
                    head = file.readline(256)
            except FileNotFoundError:  # removed meanwhile
                break
            if not head.startswith(b"#!"):
                break
            path = os.path.realpath(head[2:].split()[0].decode())
        self.facts["process", pid, "executed", path] += 1

    def transfer(self, name, arguments, result):
        if result < 0:
            return
        reads, writes = name in READS, name in WRITES
        if name == "sendfile":
            reader, writer = arguments[1], arguments[0]
        elif name == "copy_file_range":
            reader, writer = arguments[0], arguments[2]
        else:
            reader = arguments[0] if reads else None
            writer = arguments[0] if writes else None
        if reader and (path := path_of_fd(reader)):
            self.moved[path][0] += result
        if writer and (path := path_of_fd(writer)):
            self.moved[path][1] += result

    def socket(self, pid, name, arguments, result):
        kind = {"connect": "connected", "bind": "bound", "listen": "listening"}.get(name, "accepted")
        if kind == "accepted" and result < 0:
            return
        address = next((a for a in arguments if a.startswith("{sa_family=")), None)
        point = endpoint(address) if address else None
        if address and point is None:
            return  # netlink and other families
        if kind in ("listening", "accepted"):
            point = None
        if kind == "bound" and point and point.endswith(":0"):
            self.unsaid.add((pid, kind, point[:-1]))
        if result == -errno.EINPROGRESS:
            self.unsaid.add((pid, kind, point))
        self.facts["network", pid, kind, point, min(result, 0)] += 1

    def file(self, pid, name, arguments, result, rest):
        cwd = self.cwd(pid)
        path2 = None
        if name in ("open", "creat", "openat", "openat2"):
            kind = "opened"
            at = 1 if name.startswith("openat") else 0
            base = path_of_fd(arguments[0]) if at else cwd
            path = join(base or cwd, string(arguments[at]))
            if result >= 0 and not self.claimed:
                path = path_of_fd(f"{result}{rest.strip()}") or path
                self.opened.add(path)
        elif name == "mmap":
            if "PROT_EXEC" not in arguments[2] or "MAP_ANONYMOUS" in arguments[3]:
                return
            kind, path = "mapped", path_of_fd(arguments[4])
            result = 0 if result > 0 else result
        elif name in FD_CALLS:
            kind, path = FD_CALLS[name], path_of_fd(arguments[0])
            if path is None:
                return
        elif name in TWO_PATH_CALLS:
            kind, d1, p1, d2, p2 = TWO_PATH_CALLS[name]
            path = self.named(cwd, arguments, d1, p1)
            path2 = self.named(cwd, arguments, d2, p2)
        elif name in ("symlink", "symlinkat"):
            kind, path = "symlinked", string(arguments[0])
            at = name == "symlinkat"
            path2 = self.named(cwd, arguments, 1 if at else None, 2 if at else 1)
        elif name == "unlinkat":
            kind = "rmdir" if "AT_REMOVEDIR" in arguments[2] else "unlinked"
            path = self.named(cwd, arguments, 0, 1)
        else:
            kind, directory, place = PATH_CALLS[name]
            path = self.named(cwd, arguments, directory, place)
        fact = ("file", pid, kind, min(result, 0), path, path2)
        self.facts[fact] += 1
        if kind == "opened" and any("O_PATH" in argument for argument in arguments):
            self.places.add(fact)

    @staticmethod
    def named(cwd, arguments, directory, place):
        base = cwd if directory is None else path_of_fd(arguments[directory]) or cwd
        return join(base, string(arguments[place]))


def endpoint(address):
    """Of `{sa_family=AF_INET, sin_port=htons(80), ...}`; None for other families."""
    port = re.search(r"sin6?_port=htons\((\d+)\)", address)
    ip = re.search(r'(?:inet_addr\(|AF_INET6, )"([^"]+)"', address)
    path = re.search(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"', address)
    if port and ip:
        return f"{ip.group(1)}:{port.group(1)}"
    if path:
        return path.group(1) + unescape(path.group(2))
    return None
