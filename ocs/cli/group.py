"""A group of commands, each of which is imported when it is called; until then it is a line of the group's list."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from ocs.cli.registry import Branch, Command
from ocs.cli.render.output import Mode
from ocs.errors import UsageError

OURS = "ocs.cli"


class Group(TyperGroup):
    """Typer prints help before anybody could object to it in one JSON document.

    `module` is where stands what it does by itself; None when it does nothing, or that is loaded.
    """

    module: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and Mode.json and self.no_args_is_help:
            raise UsageError(f"{ctx.command_path} needs a command.", hint=f"See them: {ctx.command_path} --help")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = found = super().resolve_command(ctx, args)
        return found if name is None else (name, self.loaded(name), rest)

    def loaded(self, name: str) -> Any:
        """The command of that name as its module has it."""
        command = self.commands[name]
        if isinstance(command, Listed):
            command = self.commands[name] = command.load()
        elif isinstance(command, Group):
            command.load_itself()
        return command

    def load_itself(self) -> None:
        """Import what it does without one of its commands."""
        if self.module is None:
            return
        app: typer.Typer = importlib.import_module(f"{OURS}.{self.module}").app
        own = typer.main.get_group(app)
        self.callback, self.params, self.epilog, self.module = own.callback, own.params, own.epilog, None


class Listed(TyperCommand):
    """A command that is not imported yet."""

    def __init__(self, name: str, place: Command) -> None:
        super().__init__(name, help=place.summary)
        self.module = f"{OURS}.{place.module}"

    def load(self) -> Any:
        """The command itself."""
        app: typer.Typer = importlib.import_module(self.module).app
        return typer.main.get_group(app).commands[str(self.name)]


def put_into(group: Group, listed: Mapping[str, Branch | Command]) -> Group:
    """Give a group its commands."""
    for name, each in listed.items():
        inner = Listed(name, each) if isinstance(each, Command) else _branch(name, each)
        group.commands[name] = cast("Any", inner)
    return group


def load_all(group: Group) -> Group:
    """Import every command, for those who look at all of them at once."""
    for name in group.commands:
        if isinstance(command := group.loaded(name), Group):
            load_all(command)
    return group


def _branch(name: str, branch: Branch) -> Group:
    alone = branch.module is not None
    group = Group(name=name, help=branch.summary, invoke_without_command=alone, no_args_is_help=not alone)
    group.module = branch.module
    return put_into(group, branch.commands)
