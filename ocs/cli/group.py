"""A group of commands: without one it shows its help, and with --json it says so in JSON."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ocs.cli.render.output import Mode
from ocs.errors import UsageError


class Group(TyperGroup):
    """Typer prints help before anybody could object to it in one JSON document."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and Mode.json and self.no_args_is_help:
            raise UsageError(f"{ctx.command_path} needs a command.", hint=f"See them: {ctx.command_path} --help")
        return super().parse_args(ctx, args)


def group(help: str) -> typer.Typer:
    """A group to put commands into."""
    return typer.Typer(cls=Group, no_args_is_help=True, help=help)
