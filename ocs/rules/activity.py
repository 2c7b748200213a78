"""Activity: what a message in a session's history shows of what its agent does, and the model call behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ocs.rules.costs import Call, Tokens, micros_told
from ocs.rules.plain_text import one_line

SHOWN = 200
LONGEST_NAME = 256
TELLING = ("command", "path", "query", "url", "task", "message", "title")
"""Of a tool's arguments the first of these says most."""
OF_THE_GATEWAY = "openclaw"
"""The provider of messages that the gateway itself puts into a session; no model was called for them."""
SEARCHED = "tool_call"
"""The tool by which the gateway has others called that it keeps behind a search."""


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
    return "writes its answer" if is_answer(message) else None


def is_answer(message: Mapping[str, Any]) -> bool:
    """Whether the turn ends with this message by itself."""
    return message.get("stopReason") == "stop"


def model_call(message: Mapping[str, Any]) -> Call | None:
    """The model call behind this message, None where there is none.

    One that failed in the provider is none: nothing was used. Of one that was broken off nobody knows what it has used.
    """
    provider, model = message.get("provider"), message.get("model")
    if message.get("role") != "assistant" or "usage" not in message or provider == OF_THE_GATEWAY:
        return None
    named = f"{provider}/{model}" if isinstance(provider, str) and isinstance(model, str) else ""
    usage = _inside(message, "usage")
    read, cached, stored, written = (
        _number(usage.get(name)) for name in ("input", "cacheRead", "cacheWrite", "output")
    )
    tokens = Tokens(read, cached, stored, written)
    if tokens == Tokens():
        return None if message.get("stopReason") == "error" else Call(one_line(named, LONGEST_NAME), None)
    return Call(one_line(named, LONGEST_NAME), tokens, micros_told(_inside(usage, "cost").get("total")))


def turn_usage(usage: object, model: str | None) -> Call:
    """What a turn has used whose messages are not seen: tokens alone, as its reply ends with."""
    said = cast("dict[str, Any]", usage) if isinstance(usage, dict) else {}
    read, written = _number(said.get("prompt_tokens")), _number(said.get("completion_tokens"))
    cached = min(_number(_inside(said, "prompt_tokens_details").get("cached_tokens")), read)
    tokens = Tokens(read - cached, cached, 0, written)
    return Call(model or "", tokens if tokens != Tokens() else None)


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


def _number(value: object) -> int:
    """A count that can be one: never negative, no nonsense that a database would refuse."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 and not isinstance(value, bool) else 0
