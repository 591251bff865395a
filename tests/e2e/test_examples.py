# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/ do what its README says, in each language."""

import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import BUILD
from ports import free_port

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = ("host.sh", "host.py", "host.js")

pytestmark = pytest.mark.shared


def promised():
    """What the README shows behind the command."""
    text = (EXAMPLES / "README.md").read_text()
    return re.search(r"\n    \$ examples/.*\n((?:    .*\n)+)", text).group(1).replace("    ", "")


def run(program, port, **environment):
    interpreter = {"host.js": ["node"], "host.py": ["/usr/bin/python3", "-B"]}.get(program, ["sh"])
    assert shutil.which(interpreter[0]), f"{interpreter[0]} is not installed"
    return subprocess.run(
        [*interpreter, EXAMPLES / program, str(port)],
        env={**environment, "PATH": f"{BUILD}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_example_shows_what_its_readme_promises(shared_reeve, api, program):
    done = run(program, free_port(), **shared_reeve.env)
    # What was left may be seen before its execve, and is a copy of the shell then.
    shown = re.sub(r"(left by the build: ).*sleep 1000.*", r"\1sleep 1000", done.stdout)
    assert (shown, done.stderr, done.returncode) == (promised(), "", 0)
    assert api.get("/v1/sessions").json["items"] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_example_fails_with_the_words_of_the_daemon(api, program):
    done = run(program, 0, REEVE_SOCKET=api.path)
    assert done.returncode != 0 and "takes a number from 1" in done.stdout + done.stderr, done
