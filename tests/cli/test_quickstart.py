"""The quickstart, typed again in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.documented import ROOT, Section, do, sections
from tests.cli.forked import WITH_A_SERVER, program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_first_quarter_of_an_hour_goes_as_written(
    outside: Ocs, with_database: Callable[[Path], Path], tmp_path: Path
) -> None:
    with_database(outside.home)
    parts = sections(ROOT / "docs" / "quickstart.md")
    whole = Section("quickstart", tuple(block for part in parts for block in part.blocks))
    try:
        with program(tmp_path, WITH_A_SERVER, outside.environment()) as programs:
            do(whole, outside, programs, within=500)
    finally:
        outside("down", "--now")
