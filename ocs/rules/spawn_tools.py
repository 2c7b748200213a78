"""The tools by which an agent asks for tasks in its turn: what they are called, and what a call means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from ocs.errors import InvalidJob, Problem, Refused
from ocs.rules.tasks import Wish, due
from ocs.spec.spawn import Spawn

DISPATCH = "ocs_dispatch"
SCHEDULE = "ocs_schedule"
LONGEST = 256 * 1024
"""Bytes of a call's arguments."""
_WORDS = {
    "text": "What the agent shall do, with all that it has to know; it sees nothing of this conversation.",
    "label": "A short name for the task. Asked for again under the same label it is not started twice.",
    "template": "Which kind of task.",
    "timeout": "How long it may take: 30m.",
    "tell": "The id of an agent whose inbox gets the result; yours, if you name nobody.",
    "to": "The target that gets the result, instead of an inbox.",
    "at": "When it begins: so long from now (2h), or an instant (2027-02-01T16:00:00Z).",
}
_ABOUT = {
    DISPATCH: "Hand a task to an agent, which begins at once. You do not wait for it; say so where it matters.",
    SCHEDULE: "Hand a task to an agent, which begins at that time, once. So you book a follow-up.",
}
_ALWAYS = ("text", "label")


def offered(grant: Spawn) -> list[dict[str, Any]]:
    """The tools, as a turn offers them."""
    return [_tool(DISPATCH, grant), _tool(SCHEDULE, grant)]


def _tool(name: str, grant: Spawn) -> dict[str, Any]:
    properties: dict[str, Any] = {key: {"type": "string", "description": _WORDS[key]} for key in _keys(name)}
    properties["template"]["enum"] = list(grant.may)
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [*_required(name, grant)],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": _ABOUT[name], "parameters": parameters}}


def _keys(name: str) -> list[str]:
    return [key for key in _WORDS if key != "at" or name == SCHEDULE]


def _required(name: str, grant: Spawn) -> list[str]:
    template = ["template"] if len(grant.may) > 1 else []
    return [*_ALWAYS, *template, *(["at"] if name == SCHEDULE else [])]


def wish_of(name: str, arguments: str, grant: Spawn, *, agent: str, now: datetime) -> Wish:
    """What a call asks for; `agent` is who asks, and hears of the result unless it names somebody else.

    Raises:
        InvalidJob: it is no call of one of the tools; everything that is wrong is told.
        Refused: its time is none.
    """
    if name not in _ABOUT:
        raise Refused(f'There is no tool "{name}".', hint=f"There are {DISPATCH} and {SCHEDULE}.")
    said = _object(arguments)
    keys = _keys(name)
    problems = [Problem(key, f"is no argument; there are {', '.join(keys)}") for key in said if key not in keys]
    problems += [Problem(key, "is missing") for key in _required(name, grant) if key not in said]
    problems += [Problem(key, wrong) for key, value in said.items() if (wrong := _wrong(value))]
    if problems:
        raise InvalidJob("Nothing was started.", problems=problems)
    given = {key: str(value) for key, value in said.items()}
    to, tell = given.get("to"), given.get("tell")
    return Wish(
        text=given["text"],
        label=given["label"],
        template=given.get("template", grant.may[0] if grant.may else ""),
        timeout=given.get("timeout"),
        to=(to,) if to else (),
        tell=(tell,) if tell else (() if to else (agent,)),
        at=due(given["at"], now) if "at" in given else None,
    )


def _object(arguments: str) -> Mapping[str, Any]:
    if len(arguments.encode(errors="replace")) > LONGEST:
        raise Refused(f"The arguments are longer than {LONGEST // 1024} KiB; nothing was started.")
    try:
        found: Any = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"The arguments are not JSON: {wrong}") from None
    if not isinstance(found, dict):
        raise Refused("The arguments are no JSON object.")
    return cast("dict[str, Any]", found)


def _wrong(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "is no text, or empty"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half characters"
    return "has a NUL character" if "\0" in value else None
