"""Every recipe of the documentation, done as written in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.documented import ROOT, Section, do, sections

pytestmark = pytest.mark.e2e
RECIPES = sections(ROOT / "docs" / "recipes.md")


def test_there_are_ten_recipes_and_more() -> None:
    assert len(RECIPES) >= 10


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_works_as_written(recipe: Section, up: Ocs, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: recipes\n")
    kitchen = Ocs(folder, up.home, {"HOME": str(tmp_path)})
    do(recipe, kitchen)
    for path in (folder / "deployments" / "jobs").iterdir():
        path.unlink()
    kitchen.json("deploy", "--prune")
