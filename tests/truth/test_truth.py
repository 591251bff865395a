# SPDX-License-Identifier: Apache-2.0
"""Real commands under a backend, and under `strace -f -y` in the same run: both tell the same.

What only one of them tells is printed, a line a fact, unless it is a gap that the capability's
reason documents (gaps.py). A backend that says `supported` has no gap.
"""

import functools
import gaps
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from events import Told
from ports import free_port
from strace import CALLS, Trace

BUILD = pathlib.Path(
    os.environ.get("REEVE_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build"
)
DRIVER = BUILD / "tests" / "truth" / "observed-run"
UNAVAILABLE = 77
PATIENCE = 300  # an emulated machine is slow
REQUESTS = 1000
NGINX_PROGRAM = "/usr/sbin/nginx"


@functools.lru_cache(maxsize=None)
def reasons(backend):
    """By category, what the backend says of itself when it is tried out here."""
    words = [DRIVER, "--probe", backend]
    ran = subprocess.run(words, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    lines = (line.split("\t") for line in ran.stdout.decode().splitlines())
    return {category: (support, reason) for category, support, reason in lines}


def told_of(backend):
    """The categories that it serves here."""
    found = reasons(backend)
    told = {category for category, (support, _) in found.items() if support != "unavailable"}
    if not told:
        pytest.skip("; ".join(reason for _, reason in found.values()))
    return told | ({"bytes"} if "file" in told else set())


def run(words, work, during):
    """Runs it in `work`; at the same time `during(work)`, in a thread of ours."""
    helper = threading.Thread(target=during, args=(work,)) if during else None
    if helper:
        helper.start()
    try:
        return subprocess.run(
            words, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE,
            stderr=subprocess.PIPE, env=os.environ | {"HOME": str(work), "LC_ALL": "C"},
        )  # fmt: skip
    finally:
        (work / "over").touch()
        if helper:
            helper.join()


def observe(backend, command, cwd, during=None):
    """Runs the command under both; returns what strace and what the backend told."""
    trace, told = cwd / "strace.out", cwd / "events.json"
    work, before = cwd / "work", cwd / "before"
    work.mkdir(exist_ok=True)
    strace = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}",
              "-e", "quiet=attach,personality", "-o", trace]  # fmt: skip
    driver = [DRIVER, backend, "file,network,process", told]
    if backend in gaps.ALONE:
        shutil.copytree(work, before, symlinks=True)
        ran = run([*strace, *command], work, during)
        assert ran.returncode == 0, ran.stderr.decode()
        shutil.rmtree(work)
        before.rename(work)
        ran = run([*driver, *command], work, during)
    else:
        ran = run([*driver, *strace, *command], work, during)
    if ran.returncode == UNAVAILABLE:
        pytest.skip(ran.stderr.decode().strip())
    assert ran.returncode == 0, ran.stderr.decode()
    with open(trace, encoding="latin-1") as file:
        seen = Trace(file, str(work), claimed=backend in gaps.CLAIMING)
    return seen, Told(told, None if backend in gaps.ALONE else seen.pids)


def compare(backend, command, cwd, **options):
    seen, told = observe(backend, command, cwd, **options)
    assert told.last["missed"] == [0, 0, 0, 0]
    categories = told_of(backend)
    true, facts = gaps.close(
        backend, seen, seen.leave_unsaid(told.facts, gaps.pid_of(backend))
    )
    true = gaps.altered(true, lambda fact: fact if fact[0] in categories else None)
    if "tier: functions" in reasons(backend).get("file", ("", ""))[1]:
        # It tells names as the kernel walked them, not as they were spelled.
        true, facts = (gaps.altered(side, gaps.canonical) for side in (true, facts))
    untold, invented = true - facts, facts - true
    text = [f"strace only: {fact} x{n}" for fact, n in sorted(untold.items(), key=str)]
    text += [f"{backend} only: {fact} x{n}" for fact, n in sorted(invented.items(), key=str)]
    print(f"{sum(true.values())} of {sum(seen.facts.values())} facts; " + json.dumps(command[:2]))
    print("\n".join(text))
    assert not text, "\n".join(text[:50])
    return seen.facts


def kinds(facts, category):
    return {fact[2] for fact in facts if fact[0] == category}


@pytest.fixture(params=list(gaps.GAPS))
def backend(request):
    return request.param


def test_each_gap_is_documented(backend):
    """So that nobody reads silence as proof that nothing happened."""
    told_of(backend)
    for category, words in gaps.documented(backend):
        support, reason = reasons(backend)[category]
        assert support == "partial", category
        assert words in reason, (category, words, reason)


@pytest.fixture
def server():
    """A server on a port of 127.0.0.1 that answers `hello`."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd.server_address[1]
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_gcc_builds_a_program(backend, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.c").write_text('#include <stdio.h>\nint main(void) { puts("a"); return 0; }\n')
    facts = compare(backend, ["sh", "-c", "gcc -O1 -o a a.c && ./a && rm a"], tmp_path)
    assert {"opened", "unlinked", "mapped", "chmod"} <= kinds(facts, "file")


def test_git_clones_a_local_repository(backend, tmp_path):
    origin = tmp_path / "origin"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(origin)]
    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    for i in range(5):
        (origin / f"f{i}").write_text(f"{i}\n" * 100)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    facts = compare(backend, ["git", "clone", "-q", str(origin), "copy"], tmp_path)
    assert {"mkdir", "renamed", "linked"} <= kinds(facts, "file")


def test_tar_unpacks_an_archive(backend, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    for i in range(50):
        (tree / "deep" / "er" / f"file{i}").write_bytes(bytes(i * 1000))
    (tree / "link").symlink_to("deep")
    os.link(tree / "deep" / "er" / "file1", tree / "hard")
    subprocess.run(["tar", "-czf", tmp_path / "a.tgz", "-C", tmp_path, "tree"], check=True)
    facts = compare(backend, ["tar", "-xzf", str(tmp_path / "a.tgz")], tmp_path)
    assert {"mkdir", "symlinked", "linked", "opened"} <= kinds(facts, "file")


def test_python_runs_programs(backend, tmp_path):
    code = (
        "import subprocess, os, tempfile\n"
        "for c in (0, 3): subprocess.run(['sh', '-c', f'exit {c}'])\n"
        "subprocess.run(['sh', '-c', 'kill -9 $$'])\n"
        "subprocess.run(['./script', 'x'], check=True)\n"
        "with tempfile.TemporaryDirectory(dir='.') as d:\n"
        "    open(d + '/\\xe9\\n<x>', 'w').write('1' * 5000)\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "script").write_text("#!/bin/sh\nexit 0\n")
    (work / "script").chmod(0o755)
    facts = compare(backend, ["/usr/bin/python3", "-c", code], tmp_path)
    exits = {fact[3] for fact in facts if fact[2] == "exited"}
    assert {0, 3, -9} <= exits


def test_curl_asks_a_server(backend, tmp_path, server):
    url = f"http://127.0.0.1:{server}/"
    command = ["sh", "-c", f"curl -s -o out {url}; curl -s http://127.0.0.1:1/ || true"]
    facts = compare(backend, command, tmp_path)
    points = {fact[3] for fact in facts if fact[2] == "connected"}
    assert f"127.0.0.1:{server}" in points


SERVER = """
import http.server, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(open("page").read().encode())
    def log_message(self, *_): pass
s = http.server.HTTPServer(("127.0.0.1", 0), Hello)
s.request_queue_size = 100
open("port.new", "w").write(str(s.server_address[1]))
import os
os.rename("port.new", "port")
for i in range(int(sys.argv[1])):
    s.handle_request()
"""


def ask(port, times):
    for _ in range(times):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=20) as answer:
            assert answer.read() == b"hello"


def appears(path, work):
    """What stands in a file as soon as something does; nothing when the run is over before."""
    text = ""
    while not text and not (work / "over").exists():
        threading.Event().wait(0.01)
        text = path.read_text() if path.exists() else ""
    return text


def accepted(facts):
    return sum(n for fact, n in facts.items() if fact[2] == "accepted")


def test_a_server_answers_a_thousand_requests(backend, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "page").write_text("hello")

    def clients(work):
        port = appears(work / "port", work)
        if port:
            ask(port, REQUESTS)

    command = ["/usr/bin/python3", "-c", SERVER, str(REQUESTS)]
    facts = compare(backend, command, tmp_path, during=clients)
    assert accepted(facts) == REQUESTS


NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{ listen 127.0.0.1:{port}; root .; }}
}}
"""


def test_nginx_answers_a_thousand_requests(backend, tmp_path):
    if not pathlib.Path(NGINX_PROGRAM).exists():
        pytest.fail("nginx is not here: apt-get install nginx-light")
    port = free_port()
    work = tmp_path / "work"
    work.mkdir()
    (work / "page").write_text("hello")
    (work / "nginx.conf").write_text(NGINX.format(port=port))

    def clients(work):
        pid = appears(work / "nginx.pid", work)
        try:
            ask(port, REQUESTS if pid else 0)
        finally:
            if pid:
                os.kill(int(pid), signal.SIGQUIT)

    command = [NGINX_PROGRAM, "-p", str(work), "-e", "stderr", "-c", "nginx.conf"]
    facts = compare(backend, command, tmp_path, during=clients)
    assert accepted(facts) == REQUESTS
    pages = sum(n for fact, n in facts.items() if fact[2] == "opened" and "/page" in fact[4])
    assert pages == REQUESTS


def test_a_node_script(backend, tmp_path):
    if not shutil.which("node"):
        pytest.fail("node is not here: apt-get install nodejs")
    code = (
        "const fs = require('fs'), cp = require('child_process');"
        "fs.mkdirSync('d'); fs.writeFileSync('d/a', 'x'.repeat(70000));"
        "fs.readFile('d/a', (e, b) => { fs.renameSync('d/a', 'd/b');"
        "fs.promises.copyFile('d/b', 'd/c').then(() => fs.rmSync('d', {recursive: true}));"
        "cp.spawnSync('true'); cp.exec('exit 4', () => {}); });"
    )
    # Where its code lies decides whether node maps some of it once more: the same in both runs.
    place = ["setarch", "-R"] if backend in gaps.ALONE else []
    facts = compare(backend, [*place, "node", "-e", code], tmp_path)
    assert {"mkdir", "renamed", "rmdir", "unlinked"} <= kinds(facts, "file")


def test_a_shell_pipeline(backend, tmp_path):
    line = (
        "mkdir -p x/y && cd x/y && seq 1000 | sort -rn | tee all | head -n 3 > top;"
        "cd .. && mv y/top . && chmod 600 top && ln -s top l && cat l nothing; rm -r y; truncate -s 9 top;"
        "cd / && (cd /tmp; cat none) 2>&1 | wc -l; true"
    )
    facts = compare(backend, ["sh", "-c", line], tmp_path)
    assert {"mkdir", "renamed", "chmod", "symlinked", "truncated"} <= kinds(facts, "file")
