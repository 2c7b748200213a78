"""Every recipe of the documentation, done as written in a project of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.documented import ROOT, Section, do, sections
from tests.cli.forked import WITH_A_SERVER, program

pytestmark = pytest.mark.e2e
RECIPES = sections(ROOT / "docs" / "recipes.md")


def test_there_are_ten_recipes_and_more() -> None:
    assert len(RECIPES) >= 10


@pytest.fixture(scope="module")
def programs(up: Ocs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a shell finds `ocs`."""
    with program(tmp_path_factory.mktemp("programs"), WITH_A_SERVER, up.environment()) as folder:
        yield folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_works_as_written(recipe: Section, up: Ocs, programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: recipes\n")
    kitchen = Ocs(folder, up.home, {"HOME": str(tmp_path)})
    do(recipe, kitchen, programs)
    for path in (folder / "deployments" / "jobs").iterdir():
        path.unlink()
    kitchen.json("deploy", "--prune")
