"""Every job shown in the README and in the guide to agents is one, and can be rolled out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployments.yaml_text import load
from ocs.spec import parse, unsupported

ROOT = Path(__file__).parents[2]
SHOWN = "\n".join((ROOT / document).read_text() for document in ("README.md", "docs/agents.md"))
JOBS = re.findall(r"```yaml\n(id: .*?)```", SHOWN, flags=re.DOTALL)


def test_the_readme_shows_jobs() -> None:
    assert len(JOBS) >= 6


@pytest.mark.parametrize("text", JOBS, ids=[text.split()[1] for text in JOBS])
def test_a_job_of_the_readme_can_be_rolled_out(text: str) -> None:
    assert not unsupported(parse(load(text)))
