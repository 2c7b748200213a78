"""How a command answers: one JSON document for programs, tables and sentences for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from ocs.errors import OcsError
from ocs.rules.plain_text import uncoloured, undisguised
from ocs.rules.wording import utc

COLOURS = {
    "ok": "green",
    "error": "red",
    "timeout": "red",
    "crashed": "red",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "cyan",
    "retrying": "yellow",
    "waiting_approval": "magenta",
    "pending": "magenta",
    "approved": "green",
    "rejected": "red",
    "timed_out": "red",
    "withdrawn": "dim",
    "warning": "yellow",
    "problem": "red",
    "fixed": "green",
}
UNCUT = 100_000
"""A width that no line reaches: what goes into a pipe or a file is not folded."""
GAP = 2
"""Between two columns."""
LONGEST_SENTENCE = 2000
HALF = 900


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    folds = (stream is not None and stream.isatty()) or "COLUMNS" in os.environ
    # Whatever is shown is somebody's words: `:100:` in them is no picture.
    return Console(stderr=stderr, highlight=False, emoji=False, width=None if folds else UNCUT)


out = _console(stderr=False)
err = _console(stderr=True)


class Mode:
    """Whether this call speaks JSON."""

    json = False


def answer(payload: Mapping[str, Any], people: Callable[[], None]) -> None:
    """Say the result: `payload` as JSON, or whatever `people` prints."""
    if Mode.json:
        print_json({"ok": True, **payload})
    else:
        people()


def print_json(document: Mapping[str, Any]) -> None:
    """The one document of this call."""
    sys.stdout.write(json.dumps(document, indent=2, default=_plain, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def say(sentence: str, *, style: str | None = None) -> None:
    """A part of the result, for people. Lines stay as long as they are, so that they can be copied."""
    _print(out, sentence, style)


def tell(sentence: str, *, style: str | None = None) -> None:
    """A sentence on standard error, so that it never mixes with a result."""
    _print(err, undisguised(sentence), style)


def _print(console: Console, sentence: str, style: str | None) -> None:
    """As it stands: given as a text, rich would write spaces for tabs."""
    console.print(Segments([Segment(f"{uncoloured(sentence)}\n")]), style=style, soft_wrap=True)


def fail(error: OcsError, more: Mapping[str, Any] | None = None) -> int:
    """Say what went wrong, with `more` keys in its JSON; returns the exit status."""
    if Mode.json:
        problems = [
            {"path": problem.path, "message": problem.message, "file": problem.file, "line": problem.line}
            for problem in error.problems
        ]
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        print_json({"ok": False, "error": said, "errors": problems, **(more or {})})
        return error.exit_status
    for problem in error.problems:
        tell(_cut(str(problem)))
    message, hint = escape(_cut(uncoloured(error.message))), escape(_cut(uncoloured(error.hint or "")))
    err.print(f"[red]{message}[/red]" + (f"  {hint}" if hint else ""), soft_wrap=True)
    return error.exit_status


def _cut(text: str) -> str:
    """An error repeats what was typed, and that may be a whole file."""
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:HALF]} [...] {text[-HALF:]}"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], spare: Sequence[str] = ()) -> None:
    """Print a table for people."""
    out.print(drawn_table(headings, rows, spare))


def drawn_table(headings: Sequence[str], rows: Sequence[Sequence[object]], spare: Sequence[str] = ()) -> Table:
    """A table; a status shows its colour. On a narrow terminal `spare` columns are left out before words are split."""
    drawn = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headings))
    cells = [[_cell(value) for value in row] for row in rows]
    kept = _kept(headings, cells, spare)
    for index in kept:
        drawn.add_column(headings[index], overflow="fold")
    for row in cells:
        drawn.add_row(*(row[index] for index in kept))
    return drawn


def _kept(headings: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[str]) -> list[int]:
    """Which columns have room for their longest words; those of `spare` go first, in that order."""
    columns = range(len(headings))
    longest = [
        max(cell_len(word) for text in (headings[index], *(row[index] for row in cells)) for word in _words(text))
        for index in columns
    ]
    kept = list(columns)
    for heading in spare:
        if sum(longest[index] + GAP for index in kept) - GAP <= out.width:
            break
        kept.remove(headings.index(heading))
    return kept


def _words(cell: str) -> list[str]:
    return Text.from_markup(cell, emoji=False).plain.split() or [""]


def _cell(value: object) -> str:
    text = "" if value is None else undisguised(uncoloured(str(value)))
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else escape(text)


def _plain(value: object) -> object:
    return utc(value) if isinstance(value, datetime) else str(value)
