"""Activity: what a message in a session's history shows of what its agent does, and what its model calls have used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ocs.rules.plain_text import one_line

SHOWN = 200
TELLING = ("command", "path", "query", "url", "task", "message", "title")
"""Of a tool's arguments the first of these says most."""
MOST_TOKENS = 2**63 - 1
"""What a column holds: nonsense of a gateway must not keep a run from being recorded."""
SEARCHED = "tool_call"
"""The tool by which the gateway has others called that it keeps behind a search."""


@dataclass(frozen=True, slots=True)
class Used:
    """What model calls have used: tokens read and written, and US dollars, where the gateway knows prices."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Used) -> Used:
        tokens_in = min(self.tokens_in + other.tokens_in, MOST_TOKENS)
        tokens_out = min(self.tokens_out + other.tokens_out, MOST_TOKENS)
        return Used(tokens_in, tokens_out, self.cost_usd + other.cost_usd)


def place_of(message: Mapping[str, Any]) -> int:
    """The number of a message in its session, 0 for one that does not say."""
    place = _inside(message, "__openclaw").get("seq")
    return place if isinstance(place, int) else 0


def doing(message: Mapping[str, Any]) -> str | None:
    """What the agent does by this message, on a line: the tool it calls, or that it writes. None: nothing new."""
    if message.get("role") != "assistant":
        return None
    content: Any = message.get("content")
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    calls = [cast("dict[str, Any]", part) for part in parts if isinstance(part, dict)]
    told = [_call(part) for part in calls if part.get("type") == "toolCall"]
    if told:
        return one_line("; ".join(told), SHOWN)
    return "writes its answer" if message.get("stopReason") == "stop" else None


def used(message: Mapping[str, Any]) -> Used:
    """What the model call behind this message has used; cached tokens are tokens that were read."""
    usage = _inside(message, "usage")
    read = sum(_number(usage.get(name)) for name in ("input", "cacheRead", "cacheWrite"))
    cost = _number(_inside(usage, "cost").get("total"))
    return Used(int(read), int(_number(usage.get("output"))), float(cost))


def _call(part: Mapping[str, Any]) -> str:
    name, arguments = str(part.get("name") or "a tool"), _inside(part, "arguments")
    if name == SEARCHED and "id" in arguments:
        name, arguments = str(arguments["id"]), _inside(arguments, "args")
    telling = next((arguments[key] for key in TELLING if isinstance(arguments.get(key), str)), None)
    shown = telling if telling is not None else (json.dumps(arguments, default=str) if arguments else "")
    return f"{name}: {shown}" if shown else name


def _inside(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner: Any = message.get(key)
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}


def _number(value: object) -> float:
    """A count that can be one: never negative, no nonsense that a database would refuse."""
    return value if isinstance(value, int | float) and 0 <= value < 2**53 and not isinstance(value, bool) else 0
