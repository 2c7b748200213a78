"""Markdown: texts for the OpenClaw gateway, which takes every message for Markdown and renders it for the channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

SHORTEST_FENCE = 3
_CHANGED = re.compile(
    r"""
      [*`~<>|\\^\t]                  # emphasis, code, HTML, tables, spoilers, escapes
    | (?<!\w)_ | _(?!\w)             # but not in snake_case
    | &(?:\#|\w+;)                   # entities
    | \]\( | \]: | \[\[ | \]\]       # links, and what the gateway takes for an instruction to it
    | [ ]{2} | [ ]$                  # spaces that would be taken out, or make a line end
    | ^(?:[ ]|[#+=-]|\d+[.)]|MEDIA:) # what makes a line a heading, an item, an attachment
    """,
    re.VERBOSE | re.MULTILINE,
)
_LINK = "://"
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_BACKTICKS = re.compile(r"`+")
_NUMBER = re.compile(r"\[\d+/\d+\] ")


def literal(text: str) -> str:
    """Markdown that shows exactly the text.

    Paragraphs that Markdown would change, and all between them, stand in one code block. The others stay as they
    are, so that a sentence is read like one and the address at the end can be followed.
    """
    paragraphs = text.split("\n\n")
    changed = [
        number
        for number, paragraph in enumerate(paragraphs)
        if _CHANGED.search(paragraph) or (_LINK in paragraph and number < len(paragraphs) - 1)
    ]
    if not changed:
        return text
    first, last = changed[0], changed[-1] + 1
    block = "\n\n".join(paragraphs[first:last])
    longest = max((len(found) for found in _BACKTICKS.findall(block)), default=0)
    fence = "`" * max(SHORTEST_FENCE, longest + 1)
    return "\n\n".join([*paragraphs[:first], f"{fence}\n{block}\n{fence}", *paragraphs[last:]])


def with_whole_blocks(parts: Sequence[str]) -> tuple[str, ...]:
    """Numbered parts of one Markdown text: a code block that a cut goes through is one in both of them."""
    return tuple(_mended(parts))


def _mended(parts: Sequence[str]) -> Iterator[str]:
    opened = ""
    for part in parts:
        number = found[0] if (found := _NUMBER.match(part)) else ""
        body = part.removeprefix(number)
        # A fence begins a line; before the first one stands the part's number.
        text = f"{number.rstrip()}\n{opened}\n{body}" if opened else part
        if not opened and _FENCE.match(body) and number:
            text = f"{number.rstrip()}\n{body}"
        opened = _still_open(opened, body)
        yield f"{text}\n{_marks(opened)}" if opened else text


def _still_open(opened: str, body: str) -> str:
    """The line that opened the code block in which the body ends; empty when it ends in none."""
    for marks, info in _FENCE.findall(body):
        if not opened:
            opened = f"{marks}{info}"
        elif not info.strip() and marks.startswith(_marks(opened)):
            opened = ""
    return opened


def _marks(opening: str) -> str:
    return opening[: len(opening) - len(opening.lstrip(opening[0]))]
