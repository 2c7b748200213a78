"""Care: what destroys something asks first, where somebody is there to answer."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ocs.cli.render.output import Mode
from ocs.errors import NotFound, Refused

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def whole(given: str, chosen: str, command: str) -> str:
    """The id, when it was given as a whole: a beginning is enough to look at something, not to destroy it.

    Raises:
        NotFound: it was not.
    """
    if given != chosen:
        raise NotFound(f'"{given}" is not a whole id.', hint=f"If you mean {chosen}: {command} {chosen}")
    return chosen


def ask(question: str, *, yes: bool) -> None:
    """Have a person at a terminal agree.

    Raises:
        Refused: they did not.
    """
    if not agreed(question, yes=yes):
        raise Refused("Nothing was changed.")


def agreed(question: str, *, yes: bool) -> bool:
    """Whether a person at a terminal says yes; where nobody can be asked, the command itself has said it."""
    if yes or Mode.json or not sys.stdin.isatty():
        return True
    return typer.confirm(question, default=False, err=True)
