# SPDX-License-Identifier: Apache-2.0
"""The manual says what the command says of itself, and is well formed."""

import pathlib
import re
import subprocess

import pytest

MAN = pathlib.Path(__file__).resolve().parents[2] / "man"
PAGES = sorted(path.name for path in MAN.glob("*.scd"))


def commands(reeve, *parents):
    """Every command that does something, as its words."""
    shown = reeve.ok("help", *parents)
    for name in re.findall(r"^  (\w+) {2,}", shown.partition("Commands:\n")[2], re.M):
        words = (*parents, name)
        if "\nCommands:\n" in reeve.ok("help", *words):
            yield from commands(reeve, *words)
        else:
            yield words


def sections():
    """{command: what reeve.1 says of it}."""
    text = (MAN / "reeve.1.scd").read_text()
    parts = re.split(r"^#+ (.*)$", text, flags=re.M)
    return {
        " ".join(re.findall(r"(?<![\[|])\b[a-z]+\b(?![|\]])", title.split("[")[0])): body
        for title, body in zip(parts[1::2], parts[2::2])
        if title.startswith("reeve ")
    }


def options(reeve, words):
    """The options of a command, as `--long` and `-s`."""
    shown = reeve.ok("help", *words).partition("Options:\n")[2]
    for letter, name in re.findall(r"^  (?:(-\w),|   ) (--[\w-]+)", shown, re.M):
        yield from filter(None, (letter, name))


def test_every_command_and_option_is_in_the_manual(shared_reeve):
    described, missing = sections(), []
    for words in commands(shared_reeve):
        body = described.get(" ".join(("reeve", *words)))
        if body is None:
            missing.append(" ".join(words))
            continue
        missing += [
            f"{' '.join(words)} {option}"
            for option in options(shared_reeve, words)
            if option not in ("-h", "--help") and f"*{option}*" not in body
        ]
    assert missing == [], "describe these in man/reeve.1.scd"


def test_the_manual_describes_nothing_that_is_not_there(shared_reeve):
    known = {" ".join(("reeve", *words)): set(options(shared_reeve, words))
             for words in commands(shared_reeve)}  # fmt: skip
    described = sections()
    assert set(described) - set(known) == set()
    for command, body in described.items():
        heads = [line for line in body.splitlines() if line.startswith("*-")]
        named = set(re.findall(r"\*(--?[\w-]+)\*", " ".join(heads)))
        assert named - known[command] == set(), command


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_well_formed(page):
    made = subprocess.run(["scdoc"], stdin=open(MAN / page), capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count(b".SH") >= 3


def test_pages_point_at_pages_that_are_there():
    ours = {re.sub(r"(.*)\.(\d)\.scd", r"\1(\2)", name) for name in PAGES}
    for name in PAGES:
        text = (MAN / name).read_text()
        assert set(re.findall(r"\*(reeve[\w-]*)\*(\(\d\))", text)) <= {
            (page[:-3], page[-3:]) for page in ours
        }, name
