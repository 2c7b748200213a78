"""Double braces in a rolled-out document: `prefect deploy` would take them for its own placeholders.

A command such as `docker ps --format '{{.Names}}'` would reach the server without its `{{.Names}}`. So the
rolled-out form has a word joiner, which is invisible and has no width, between the braces, and reading a job
takes it out again.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

OPENING = "{{"
GUARDED = "{\N{WORD JOINER}{"

T = TypeVar("T")


def guard(value: T) -> T:
    """The value with every pair of opening braces guarded, all the way down."""
    return _replace(value, OPENING, GUARDED)


def unguard(value: T) -> T:
    """The value as its author wrote it."""
    return _replace(value, GUARDED, OPENING)


def _replace(value: T, old: str, new: str) -> T:
    held: Any = value
    if isinstance(held, str):
        # Once is not enough for `{{{`: the second and third brace are a pair too.
        while old in held:
            held = held.replace(old, new)
        return cast("T", held)
    if isinstance(held, dict):
        entries = cast("dict[Any, Any]", held).items()
        return cast("T", {_replace(key, old, new): _replace(inner, old, new) for key, inner in entries})
    if isinstance(held, list | tuple):
        items = cast("list[Any]", held)
        return cast("T", type(items)(_replace(inner, old, new) for inner in items))
    return value
