#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""unit.py BUILD REPORT [UID HOME]: runs the unit test programs of a build directory.

Writes a JUnit report, and the output of a program that failed to stderr. With UID, each runs as that
user, from a copy below HOME. (`meson test` runs them, too, but counts programs instead of tests, and
does not understand how cmocka writes a skipped test in TAP.)
"""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

LIMIT = 600  # seconds, for one program: it hangs, however busy the machine is
RESULT = re.compile(r"(ok|not ok) \d+ (- |# SKIP )(.*)")


def programs(build):
    """(name, command) of the test programs of the suite `unit`."""
    command = ["meson", "introspect", "--tests", build]
    for test in json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout):
        if any(suite.rpartition(":")[2] == "unit" for suite in test["suite"]):
            yield test["name"], test["cmd"]


def results(output):
    """(name, "passed", "failed" or "skipped") for each test in cmocka's TAP output."""
    for line in output.splitlines():
        if match := RESULT.fullmatch(line):
            ok, kind, name = match.groups()
            if kind != "- ":
                yield name, "skipped"
            else:
                yield name, "passed" if ok == "ok" else "failed"


def run(command, uid, home):
    """Runs one program; returns its results and its output. One that takes arguments is not of
    cmocka: it is a single test."""
    options = {}
    if uid is not None:
        command = [shutil.copy(command[0], home)]
        options = {"user": uid, "group": uid, "extra_groups": [], "cwd": home}
        options["env"] = {"HOME": home, "PATH": "/usr/bin:/bin"}
    else:
        options["env"] = dict(os.environ)
    options["env"]["CMOCKA_MESSAGE_OUTPUT"] = "TAP"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            **options,
        )
        output, end = done.stdout, f"exit status {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        output, end = expired.stdout or b"", f"no end within {LIMIT} s"
    output = output.decode(errors="replace")
    if len(command) > 1:
        result = "passed" if end == "exit status 0" else "failed"
        return [(os.path.basename(command[0]), result)], output
    found = list(results(output))
    # a plan for each group of tests that the program runs
    planned = [int(n) for n in re.findall(r"^1\.\.(\d+)$", output, re.MULTILINE)]
    whole = planned and sum(planned) == len(found)
    failed = any(result == "failed" for _, result in found)
    if not whole or (end != "exit status 0" and not failed):
        found.append((end, "failed"))
    return found, output


def main(build, report, uid=None, home=None):
    uid = None if uid is None else int(uid)
    # The arguments name files that another user may not be able to read.
    tests = sorted(test for test in programs(build) if uid is None or len(test[1]) == 1)
    suites = ElementTree.Element("testsuites")
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(lambda test: run(test[1], uid, home), tests)
        for (program, _), (found, output) in zip(tests, outcomes):
            suite = ElementTree.SubElement(suites, "testsuite", name=program)
            for name, result in found:
                case = ElementTree.SubElement(suite, "testcase", name=name, classname=program)
                if result != "passed":
                    ElementTree.SubElement(case, {"failed": "failure"}.get(result, result))
            if any(result == "failed" for _, result in found):
                failed = True
                print(f"{program}:\n{output}", file=sys.stderr)
    ElementTree.ElementTree(suites).write(report)
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
