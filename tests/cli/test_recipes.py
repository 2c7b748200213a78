"""The documentation's recipes and its page on moving in, done as written in projects of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.documented import ROOT, Section, do, sections
from tests.cli.forked import Mother
from tests.foreign import automation, automations_file, child, scheduler_database, shell

pytestmark = pytest.mark.e2e
RECIPES = sections(ROOT / "docs" / "recipes.md")
MOVES = sections(ROOT / "docs" / "moving.md")
# Programs that one moves in from, each with what it runs in a file beside it.
CRONTAB = """#!/bin/sh
file="${0%/*}/crontab.txt"
if [ "$1" = -l ]; then cat "$file"; else cat > "$file.new" && mv "$file.new" "$file"; fi
"""
SCHEDULER = """#!{python}
import pathlib, sqlite3, sys
with sqlite3.connect(pathlib.Path.home() / ".openclaw" / "scheduler" / "scheduler.db") as database:
    database.execute("UPDATE jobs SET enabled = 0 WHERE id = ?", sys.argv[3:])
"""
OPENCLAW = """#!/bin/sh
file="${0%/*}/automations.txt"
if [ "$2" = list ]; then cat "$file"; else sed -i 's/"enabled": true/"enabled": false/' "$file"; fi
"""


def test_there_are_ten_recipes_and_more() -> None:
    assert len(RECIPES) >= 10


@pytest.fixture(scope="module")
def programs(bare: Mother, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a shell finds `ocs`, beside the programs that one moves in from."""
    folder = tmp_path_factory.mktemp("programs")
    for program in bare.programs.iterdir():
        (folder / program.name).symlink_to(program)
    return folder


@pytest.fixture(scope="module")
def others(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a crontab, openclaw-scheduler and OpenClaw have jobs."""
    home = tmp_path_factory.mktemp("others")
    programs_of_theirs = {
        "crontab": CRONTAB,
        "openclaw-scheduler": SCHEDULER.format(python=sys.executable),
        "openclaw": OPENCLAW,
    }
    for name, text in programs_of_theirs.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o700)
    (programs / "crontab.txt").write_text("15 4 * * 1-5 /usr/local/bin/rotate.sh --all\n0 3 * * * tidy.sh\n")
    (home / ".openclaw" / "scheduler").mkdir(parents=True)
    nightly = shell("11111111-aaaa", "Nightly Backup", schedule_cron="0 2 * * *")
    verify = child(shell("22222222-aaaa", "Verify Backup"), "11111111-aaaa")
    scheduler_database(home / ".openclaw" / "scheduler" / "scheduler.db", [nightly, verify])
    command = {"kind": "command", "argv": ["uptime"]}
    once = automation("0e5c", "Uptime", {"kind": "cron", "expr": "0 8 * * 1-5", "tz": "Europe/Vienna"}, command)
    automations_file(programs / "automations.txt", [once])
    return home


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.title)
def test_moving_in_goes_as_written(
    move: Section, up: Ocs, bare: Mother, programs: Path, others: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moving"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: moving\n")
    newcomer = Ocs(folder, up.home, {"HOME": str(others)}, bare)
    do(move, newcomer, programs)
    if any(kind == "yaml" for kind, _ in move.blocks):
        newcomer.json("deploy")
    for path in (folder / "deployments" / "jobs").iterdir():
        path.unlink()
    newcomer.json("deploy", "--prune")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_works_as_written(recipe: Section, up: Ocs, bare: Mother, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: recipes\n")
    kitchen = Ocs(folder, up.home, {"HOME": str(tmp_path)}, bare)
    do(recipe, kitchen, bare.programs)
    for path in (folder / "deployments" / "jobs").iterdir():
        path.unlink()
    kitchen.json("deploy", "--prune")
