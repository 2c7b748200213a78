"""Help: every command has an example, and every example is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from ocs.cli.group import Listed, load_all
from ocs.cli.main import command_line
from tests.cli.command import Ocs


def commands(command: Any, path: tuple[str, ...] = ("ocs",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


LISTED = {path: command for path, command in commands(command_line()) if isinstance(command, Listed)}
ALL = dict(commands(load_all(command_line())))
LEAVES = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def takes(path: tuple[str, ...], words: list[str]) -> None:
    """The command reads its own words without an objection; nothing is done."""
    own = [word for word in words[len(path) :] if word != "--json"]  # that is read before the command is
    LEAVES[path].make_context(path[-1], own)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    assert ALL[path].help


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_lists_show_the_first_paragraph_of_its_help(path: tuple[str, ...]) -> None:
    shown = ALL[path].help.split("\n\n")[0]
    assert LISTED[path].help == " ".join(shown.split())


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_an_example_that_it_takes(path: tuple[str, ...]) -> None:
    epilog = LEAVES[path].epilog
    assert epilog
    assert epilog.startswith("Example:")
    words = shlex.split(re.split("[>|]", epilog.removeprefix("Example:"))[0])
    assert tuple(words[: len(path)]) == path
    takes(path, words)


def test_the_example_of_the_whole_is_made_of_commands_that_exist() -> None:
    for part in str(ALL["ocs",].epilog).removeprefix("Example:").split("&&"):
        words = shlex.split(part)
        path = next((tuple(words[:length]) for length in (3, 2) if tuple(words[:length]) in LEAVES), None)
        if words[0] == "ocs":
            assert path is not None
            takes(path, words)


def test_help_is_shown(outside: Ocs) -> None:
    said = outside("--help", COLUMNS="200")
    assert said.status == 0
    assert "Example:" in said.out


@pytest.mark.parametrize("columns", ["20", "40", "300"])
def test_help_is_shown_on_terminals_of_any_width(outside: Ocs, columns: str) -> None:
    said = outside("jobs", "add", "--help", COLUMNS=columns)
    assert said.status == 0
    assert "Example" in said.out


def test_a_group_without_a_command_shows_its_help_and_is_wrong_usage(outside: Ocs) -> None:
    said = outside("jobs")
    assert said.status == 2
    assert "validate" in said.out


def test_version(outside: Ocs) -> None:
    said = outside("--version")
    assert said.status == 0
    assert said.out.startswith("ocs ")
    told = outside.json("--version")
    assert said.out == f"ocs {told['version']} (Prefect {told['prefect']})\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ocs jo", "jobs"),
        ("ocs jobs va", "validate"),
        ("ocs jobs show he", "hello"),
        ("ocs jobs run he", "hello"),
        ("ocs jobs run --tag re", "reports"),
        ("ocs pools set da", "database"),
    ],
)
def test_a_shell_completes_commands_jobs_tags_and_pools(ocs: Ocs, words: str, offered: str) -> None:
    ocs.write("hello", "id: hello\ntags: [reports]\nlimits: {pool: database}\nrun: echo hello\n")
    typed = str(len(words.split()) - 1)
    said = ocs(_OCS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=typed)
    assert offered in said.out.split()
