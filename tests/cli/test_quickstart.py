"""The quickstart, and the first page on the same server, typed again in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.documented import ROOT, Section, do, sections
from tests.cli.forked import Mother

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_first_quarter_of_an_hour_goes_as_written(
    outside: Ocs, bare: Mother, with_database: Callable[[Path], Path]
) -> None:
    with_database(outside.home)
    project, server, *rest = sections(ROOT / "docs" / "quickstart.md")
    _install, first = sections(ROOT / "docs" / "index.md")
    ((kind, typed),) = first.blocks
    begun = ("$ ocs init my-jobs && cd my-jobs\n", "$ ocs up --detach\n")
    assert typed.startswith("".join(begun))
    goes_on = Section(first.title, ((kind, typed.removeprefix("".join(begun))),))
    whole = Section("quickstart", tuple(block for part in (project, server, goes_on, *rest) for block in part.blocks))
    try:
        do(whole, outside, bare.programs, within=500)
    finally:
        outside("down", "--now")
