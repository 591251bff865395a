#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tally.py DIR: adds up what the test runners of tools/test.sh left in DIR.

NAME.status holds a runner's exit status, NAME.xml its JUnit report or NAME.tap its TAP output,
NAME.json what Meson says of each test program: the report does not show that one crashed or hung.
Closes with the line
`N passed, N failed`; the exit status is 0 only when tests ran and none failed.
"""

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


def main(directory):
    total_passed = total_failed = 0
    for status_file in sorted(directory.glob("*.status"), key=lambda f: f.stat().st_mtime_ns):
        status = int(status_file.read_text())
        report = status_file.with_suffix(".xml")
        passed, skipped, bad = count(report) if report.exists() else (0, 0, [])
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
