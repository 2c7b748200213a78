"""What a caller is answered: never more than it can read, and what others have said fenced, so that it is data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from ocs.rules.fence import NOTICE, fenced
from ocs.rules.shell_result import cut
from ocs.rules.wording import utc

MOST = 24_000
"""Characters of the facts in an answer; about 6,000 tokens."""
MOST_VALUE = 3000
"""Characters of one of them that is no list."""
MOST_TEXT = 12_000
"""Bytes of a text beside them."""
CUT = "This was cut: ask for fewer, or for one."


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody or something has said, under the name of what it is."""

    label: str
    text: str


def told(label: str, facts: Mapping[str, Any], *texts: Text) -> str:
    """Facts as one JSON object, and texts below it, each in a fence. Of long lists the ends are left out, and said."""
    parts = [NOTICE, fenced(label, _within(facts))]
    parts += [fenced(each.label, cut(each.text, MOST_TEXT)) for each in _fitting(texts)]
    return "\n\n".join(parts)


def done(sentence: str, facts: Mapping[str, Any]) -> str:
    """What was done, in our own words."""
    return f"{sentence}\n{_within(facts)}"


def _fitting(texts: Sequence[Text]) -> list[Text]:
    """The first texts, as many as have room together; what is left out is named."""
    kept: list[Text] = []
    room = MOST
    for number, each in enumerate(texts):
        room -= min(len(each.text), MOST_TEXT)
        if room < 0 and kept:
            return [*kept, Text("left out", f"{len(texts) - number} more. {CUT}")]
        kept.append(each)
    return kept


def _within(facts: Mapping[str, Any]) -> str:
    """One JSON object; a list stands with one entry a line, and ends where there is no more room."""
    written = {key: _bounded(value) for key, value in facts.items() if not isinstance(value, list)}
    room = MOST - sum(map(len, written.values()))
    left_out: dict[str, int] = {}
    for key, value in facts.items():
        if isinstance(value, list):
            entries, left = _entries(cast("list[object]", value), room)
            written[key] = "[" + ",".join(f"\n  {entry}" for entry in entries) + "]"
            room -= len(written[key])
            left_out |= {key: left} if left else {}
    if left_out:
        written |= {"left_out": _json(left_out), "note": _json(CUT)}
    return "{" + ",\n ".join(f"{_json(key)}: {value}" for key, value in written.items()) + "}"


def _bounded(value: object) -> str:
    whole = _json(value)
    return whole if len(whole) <= MOST_VALUE else _json(f"{whole[:MOST_VALUE]} [... cut ...]")


def _entries(values: Sequence[object], room: int) -> tuple[list[str], int]:
    """As many of a list's first entries as have room, and how many have none."""
    kept: list[str] = []
    for number, value in enumerate(values):
        entry = _json(value)
        room -= len(entry)
        if room < 0:
            return kept, len(values) - number
        kept.append(entry)
    return kept, 0


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    return utc(value) if isinstance(value, datetime) else str(value)
