"""Wishes: what somebody asks an agent to do, read from where it stands: words, a file, a variable, lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from ocs.errors import InvalidJob, Problem, Refused, UsageError
from ocs.rules.tasks import Wish, due
from ocs.service import session
from ocs.service.dispatching import NO_RECEIVER, Place

FROM_INPUT = "-"
MOST_TEXT = 1024 * 1024
MOST_BATCH = 64 * 1024 * 1024
MOST_TASKS = 5000
EMPTY = "The task is empty. Give its text, --file, or - for standard input."
NAMES = {"as": "template", "continue": "goes_on_with"}
SEVERAL = ("to", "tell")


def text_of(text: str | None, file: Path | None, variable: str | None) -> str:
    """The task's text from the one place that was named, as it stands there.

    Raises:
        UsageError: it is nowhere, in two places, empty, or cannot be read.
    """
    given = {"TEXT": text, "--file": file, "--env": variable}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} both hold the task.")
    if file is not None:
        found = _decoded(_read(file), str(file))
    elif variable is not None:
        if variable not in os.environ:
            raise UsageError(f"There is no environment variable {variable}.")
        found = os.environ[variable]
    else:
        found = words(text or "")
    if not found.strip():
        raise UsageError(EMPTY)
    return found


def words(text: str) -> str:
    """What was typed; - stands for standard input.

    Raises:
        UsageError: that is too long, or no text.
    """
    return _decoded(_typed(), "standard input") if text == FROM_INPUT else text


def _typed() -> bytes:
    return _not_longer(sys.stdin.buffer.read(MOST_TEXT + 1), "Standard input", MOST_TEXT)


def checked(wish: Wish) -> Wish:
    """The wish, if it says who hears of it, or names an agent of which that may be known.

    Raises:
        UsageError: nobody does, or both somebody and nobody.
    """
    if not (wish.says_who_hears or wish.agent):
        raise UsageError(NO_RECEIVER)
    if wish.quiet and (wish.to or wish.tell):
        raise UsageError("--quiet tells nobody; take it out, or --to and --tell.")
    return wish


def batch(file: Path, common: Wish) -> list[tuple[Wish, Place]]:
    """The wishes in a file of JSON lines, each an object with the names of options; `common` holds for all.

    Raises:
        UsageError: the file cannot be read, or has none.
        InvalidJob: some lines are wrong; all of them are named.
    """
    lines = _decoded(_read(file, MOST_BATCH), str(file)).split("\n")
    wishes: list[tuple[Wish, Place]] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            wishes.append((_of_line(line, common), Place(str(file), number)))
        except (UsageError, Refused) as wrong:
            problems.append(Problem("", wrong.message, str(file), number))
    if problems:
        raise InvalidJob("Nothing was started.", problems=problems)
    if not wishes:
        raise UsageError(f"{file} has no task.", hint='Write one a line: {"text": "Review a.py.", "label": "a"}')
    if len(wishes) > MOST_TASKS:
        raise UsageError(f"{file} has {len(wishes):,} tasks, and {MOST_TASKS:,} are allowed at once.")
    return wishes


def _of_line(line: str, common: Wish) -> Wish:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as wrong:
        raise UsageError(f"is not JSON: {wrong}") from wrong
    if not isinstance(found, dict):
        raise UsageError("is no JSON object")
    said = cast("dict[str, Any]", found)
    known = {field.name for field in fields(Wish)} - set(NAMES.values()) | set(NAMES)
    if unknown := sorted(said.keys() - known):
        raise UsageError(f'"{unknown[0]}" is no option of a task; there are {", ".join(sorted(known))}')
    wish = replace(common, **{NAMES.get(name, name): _value(name, value) for name, value in said.items()})
    if not wish.text.strip():
        raise UsageError("text is missing or empty")
    return checked(wish)


def _value(name: str, value: Any) -> Any:
    if name == "quiet":
        if not isinstance(value, bool):
            raise UsageError("quiet is true or false")
        return value
    if name == "at":
        return due(_text(name, value), session.now())
    if name in SEVERAL:
        several = cast("list[Any]", value) if isinstance(value, list) else [value]
        return tuple(_text(name, each) for each in several)
    return _text(name, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} is no text, or empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} has half characters, which no database takes") from None
    if "\0" in value:
        raise UsageError(f"{name} has a NUL character, which no database takes")
    return value


def _read(file: Path, most: int = MOST_TEXT) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as failed:
        raise UsageError(f"{file} cannot be read: {failed.strerror}.") from failed
    return _not_longer(data, str(file), most)


def _not_longer(data: bytes, where: str, most: int) -> bytes:
    """A task without its end would be another task."""
    if len(data) > most:
        raise UsageError(f"{where} is larger than {most // 1024**2} MiB.")
    return data


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"What stands in {where} is not UTF-8 text.") from None


def options(**given: str | list[str] | bool | None) -> Mapping[str, Any]:
    """What was typed, without what was not."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value}
