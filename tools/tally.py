#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tally.py DIR: adds up what the test runners of tools/test.sh left in DIR.

NAME.status holds a runner's exit status, NAME.xml its JUnit report or NAME.tap its TAP output,
NAME.json what Meson says of each test program: the report does not show that one crashed or hung.
Closes with the line
`N passed, N failed`; the exit status is 0 only when tests ran and none failed.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count(report):
    """Returns how many passed and were skipped in a JUnit report, and the names of what failed."""
    passed = skipped = 0
    bad = []
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            bad.append(f'{case.get("classname")}::{case.get("name")}')
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, skipped, bad


def count_tap(output):
    """The same of TAP output, of one program or of many."""
    lines = output.read_text(errors="replace").splitlines()
    skipped = sum(line.startswith("ok ") and "# SKIP" in line for line in lines)
    bad = [line.removeprefix("not ok ") for line in lines if line.startswith("not ok ")]
    return sum(line.startswith("ok ") for line in lines) - skipped, skipped, bad


def broken(programs, bad):
    """Names the test programs that did not end well though none of their tests in `bad` failed."""
    for line in programs.read_text().splitlines():
        program = json.loads(line)
        name = program["name"].rpartition(" / ")[2]
        if program["result"] not in ("OK", "SKIP") and not any(f".{name}::" in b for b in bad):
            yield f'{program["name"]}: {program["result"]}'


def main(directory):
    total_passed = total_failed = 0
    for status_file in sorted(directory.glob("*.status"), key=lambda f: f.stat().st_mtime_ns):
        status = int(status_file.read_text())
        passed, skipped, bad = 0, 0, []
        for suffix, read in ((".xml", count), (".tap", count_tap)):
            report = status_file.with_suffix(suffix)
            if report.exists():
                passed, skipped, bad = read(report)
        programs = status_file.with_suffix(".json")
        if programs.exists():
            bad += list(broken(programs, bad))
        if status != 0 and not bad:
            bad = [f"exit status {status}"]
        if not passed and not bad and not skipped:
            continue  # a build
        print(f"{status_file.stem:32} {passed:5} passed {len(bad):4} failed {skipped:4} skipped")
        for name in bad:
            print(f"    FAILED {name}")
        total_passed += passed
        total_failed += len(bad)
    print(f"{total_passed} passed, {total_failed} failed")
    return 0 if total_passed > 0 and total_failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
