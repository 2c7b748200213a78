"""Calls of tools that a turn offers its agent: they end the reply, and are answered in the same conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

MOST_AT_ONCE = 32
"""Calls of one reply; those that come after are not answered."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the agent asks for: the tool's name, and its arguments as JSON, as the model wrote them."""

    id: str
    name: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A call, and what is answered."""

    call: ToolCall
    answer: str


class Calls:
    """Puts the calls of a reply together from their pieces."""

    def __init__(self) -> None:
        self.made: list[ToolCall] = []
        self._places: dict[Any, int] = {}

    def take(self, data: str) -> None:
        """Take in an event of the reply; what is no piece of a call is passed over."""
        if '"tool_calls"' not in data:
            return
        for piece in _pieces(data):
            self._piece(piece)

    def _piece(self, piece: Mapping[str, Any]) -> None:
        function: Any = piece.get("function")
        said = cast("dict[str, Any]", function) if isinstance(function, dict) else {}
        place, arguments = piece.get("index"), said.get("arguments")
        if isinstance(name := said.get("name"), str) and isinstance(made := piece.get("id"), str):
            if len(self.made) == MOST_AT_ONCE:
                return
            self._places[place] = len(self.made)
            self.made.append(ToolCall(made, name))
        at = self._places.get(place)
        if at is not None and isinstance(arguments, str):
            self.made[at] = replace(self.made[at], arguments=self.made[at].arguments + arguments)


def messages_of(answered: Sequence[Answered]) -> list[dict[str, Any]]:
    """The calls and their answers, as the messages of the request that goes on with the turn."""
    calls = [
        {"id": each.call.id, "type": "function", "function": {"name": each.call.name, "arguments": each.call.arguments}}
        for each in answered
    ]
    answers = [{"role": "tool", "tool_call_id": each.call.id, "content": each.answer} for each in answered]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *answers]


def _pieces(data: str) -> list[Mapping[str, Any]]:
    """What stands under the first choice's delta.tool_calls."""
    found: Any = json.loads(data)
    for key in ("choices", 0, "delta", "tool_calls"):
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return []
    rows = cast("list[Any]", found) if isinstance(found, list) else []
    pieces = [cast("dict[str, Any]", row) for row in rows if isinstance(row, dict)]
    return [piece for piece in pieces if isinstance(piece.get("index"), int)]
