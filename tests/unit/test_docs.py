"""What is generated from the code is current, and what documents link to is there."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = runpy.run_path(str(ROOT / "docs" / "reference.py"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize(
    ("name", "written_by"), [("job.md", "job_document"), ("cli.md", "command_line"), ("ocs.1", "manual")]
)
def test_the_reference_is_what_the_code_says(name: str, written_by: str) -> None:
    write: Callable[[], str] = REFERENCE[written_by]
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == write(), "run: make docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_twelve_questions_are_answered_by_a_path_each() -> None:
    """The path is there, and names what the answer names."""
    section = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Twelve questions\n")[2]
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \| `([^`|]+)` \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) == 12
    for question, answer, path in rows:
        assert (ROOT / path).is_file(), question
        named = re.match(r"`(\w+)`", answer)
        if named is not None:
            defined = {getattr(node, "name", None) for node in ast.parse((ROOT / path).read_text("utf-8")).body}
            assert named[1] in defined, question
