"""Markdown: texts for the OpenClaw gateway, which takes every message for Markdown and renders it for the channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ocs.rules.shell_result import MARK, cut

SHORTEST_FENCE = 3
LONGEST_INFO = 40
"""Characters of what stands beside the mark that opens a code block; it is repeated in each part."""
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
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~&#@!$]|:(?=//)|(?<=www)\.|^[-+=]", re.IGNORECASE)
_ITEM = re.compile(r"^(\d+)([.)])")
_LINK = "://"
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
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
    return "\n\n".join([*paragraphs[:first], code_block(block), *paragraphs[last:]])


def code_block(text: str, info: str = "", mark: str = "`", shortest: int = SHORTEST_FENCE) -> str:
    """The text in a code block that no line of it can close, however it is indented."""
    longest = max((len(found) for found in re.findall(rf"{mark}+", text)), default=0)
    fence = mark * max(shortest, longest + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def code(text: str) -> str:
    """The text as code within a line."""
    line = " ".join(text.split())
    longest = max((len(found) for found in re.findall("`+", line)), default=0)
    fence, apart = "`" * (longest + 1), " " * line.startswith(("`", " ")) or " " * line.endswith(("`", " "))
    return f"{fence}{apart}{line}{apart}{fence}"


def sentence(text: str) -> str:
    """The text as a part of a Markdown line: nothing of it is markup, a link, or a cell of its own."""
    return _ITEM.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", " ".join(text.split())))


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """The lines, and whether each is in a code block, or opens or closes one."""
    opened = ""
    for line in text.split("\n"):
        before, opened = opened, _still_open(opened, line)
        yield line, bool(before or opened)


def cut_between(text: str, limit: int) -> str:
    """At most `limit` bytes of it: the beginning and the end. A code block that is cut is one in both of them."""
    kept = cut(text, limit)
    if kept == text or MARK not in kept:
        return kept
    room = limit - 2 * (LONGEST_INFO + 2 * SHORTEST_FENCE)
    before, _, after = cut(text, room).partition(MARK) if room > len(MARK) else kept.partition(MARK)
    opened = _still_open("", before)
    closing = f"\n{_marks(opened)}" if opened else ""
    reopened = _still_open("", text[: len(text) - len(after)])
    opening = f"{reopened}\n" if reopened else ""
    return f"{before}{closing}{MARK}{opening}{after}"


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
            opened = f"{marks}{info.strip()[:LONGEST_INFO]}"
        elif not info.strip() and marks.startswith(_marks(opened)):
            opened = ""
    return opened


def _marks(opening: str) -> str:
    return opening[: len(opening) - len(opening.lstrip(opening[0]))]
