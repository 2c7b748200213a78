"""docs/guarantees.md: every test it names is there, and every acceptance row has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", TEXT)))
ROWS = {*range(19, 44), *range(50, 95), *range(112, 115)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: str(part).rpartition("/")[2])
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    defined = re.findall(r"^(?:async )?def (test_\w+)\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert not test or test in defined


def test_each_acceptance_row_names_its_proof() -> None:
    proved = {int(row) for row in re.findall(r"^\| (\d+) \|.*`tests/\S+::test_\w+`", TEXT, re.MULTILINE)}
    assert proved == ROWS


def test_each_promise_names_its_proof() -> None:
    (table,) = re.findall(r"^\| Promise \|.*\n\|---.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert all("::test_" in line for line in table.splitlines())
