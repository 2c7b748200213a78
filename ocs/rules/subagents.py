"""Sub-agents: what a gateway says of those that a session has spawned, and whether the session is at rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

SPAWNED = ("subagent", "acp")
"""What a session's list of tasks calls agents; the rest of it are automations and media that nobody waits for."""
UNDER_WAY = ("queued", "running")
OWED = "pending"
LATEST = 2**53
"""Milliseconds that are no nonsense: neither more than a float holds, nor NaN."""


@dataclass(frozen=True, slots=True)
class SubAgent:
    """A sub-agent of a session, by the gateway's id of its task or, where that is not said, of its run.

    `owes` says that it has ended and its session was not told yet, which will wake it. `seen` is its last sign of
    life, in the gateway's own milliseconds; `task` whether the id is one that a cancel takes.
    """

    id: str
    running: bool
    owes: bool = False
    seen: float = 0.0
    task: bool = True


def listed(details: Mapping[str, Any], besides: Collection[str] = ()) -> tuple[SubAgent, ...]:
    """The sub-agents in what the gateway's tool `subagents` lists, without those whose ids are in `besides`.

    One that runs stands in it twice, as a task and as an active run: each list has what the other lacks.
    """
    tasks = [_task(row) for row in _rows(details, "tasks") if row.get("runtime") in SPAWNED]
    active = [SubAgent(str(row.get("runId")), running=True, task=False) for row in _rows(details, "active")]
    return tuple(each for each in (*tasks, *active) if each.id not in besides)


def at_rest(family: Collection[SubAgent]) -> bool:
    """Whether nothing goes on, and nothing is coming that wakes the session."""
    return not any(each.running or each.owes for each in family)


def how_many_run(family: Collection[SubAgent]) -> int:
    """How many of them are at work."""
    return max(sum(each.running for each in family if each.task is kind) for kind in (True, False))


def messages_in(history: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a session's history."""
    return _rows(history, "items")


def last_said(history: Mapping[str, Any]) -> str | None:
    """The text of the last answer in a session's history; None when the agent has ended none."""
    answers = [row for row in messages_in(history) if row.get("role") == "assistant"]
    texts = (_text(row) for row in reversed(answers) if row.get("stopReason") == "stop")
    return next(filter(None, texts), None)


def _text(message: Mapping[str, Any]) -> str:
    content: Any = message.get("content")
    if isinstance(content, str):
        return content
    parts = (part.get("text") for part in _rows(message, "content") if part.get("type") == "text")
    return "".join(part for part in parts if isinstance(part, str))


def _task(row: Mapping[str, Any]) -> SubAgent:
    running = row.get("status") in UNDER_WAY
    execution: Any = row.get("execution")
    seen: Any = cast("dict[str, Any]", execution).get("lastActivityAt") if isinstance(execution, dict) else None
    return SubAgent(
        str(row.get("taskId")),
        running,
        owes=not running and row.get("deliveryStatus") == OWED,
        seen=float(seen) if isinstance(seen, int | float) and abs(seen) < LATEST else 0.0,
    )


def _rows(details: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows: Any = details.get(name)
    found = cast("list[Any]", rows) if isinstance(rows, list) else []
    return [cast("dict[str, Any]", row) for row in found if isinstance(row, dict)]
