"""docs/guarantees.md, security.md and parity.md: every test they name is there, and every promise names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
PARITY = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", GUARANTEES + SECURITY + PARITY)))
LINES = re.findall(r"^\| (\d+) \| [^|]+ \| (works|differs|not yet)([^|]*) \|([^|]*)\|$", PARITY, re.MULTILINE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: str(part).rpartition("/")[2])
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    defined = re.findall(r"^(?:async )?def (test_\w+)\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert not test or test in defined


def test_every_capability_of_openclaw_scheduler_has_a_line() -> None:
    assert [int(line) for line, *_ in LINES] == [*range(1, 115)]


def test_what_works_or_differs_names_its_proof_and_what_differs_says_why() -> None:
    for line, here, why, proof in LINES:
        assert ("::test_" in proof) is (here != "not yet"), line
        assert why.startswith(": ") or here != "differs", line


def test_each_promise_names_its_proof() -> None:
    (table,) = re.findall(r"^\| Promise \|.*\n\|---.*\n((?:\|.*\n)+)", GUARANTEES, re.MULTILINE)
    assert all("::test_" in line for line in table.splitlines())


def test_each_line_against_an_attacker_names_its_proof() -> None:
    tables = re.findall(r"^\| What holds \|.*\n\|---.*\n((?:\|.*\n)+)", SECURITY, re.MULTILINE)
    assert len(tables) >= 6
    assert all("::test_" in line or "make lint" in line for table in tables for line in table.splitlines())
