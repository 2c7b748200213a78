"""The agenda: runs that are known and not begun, in the order in which they are due."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun


@dataclass(frozen=True, slots=True)
class Held:
    """A run that waits until `starts_at`. It was seen waiting in the server's answer of `seen_at`."""

    flow_run: FlowRun
    starts_at: datetime
    seen_at: datetime


class Agenda:
    """First come, first served by due time; equals in the order in which they were seen."""

    def __init__(self) -> None:
        self._held: dict[UUID, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def update(self, found: Iterable[Held], *, complete: bool, except_for: AbstractSet[UUID]) -> list[Held]:
        """Take over what the server answered; returns what is new.

        When the answer is `complete`, what it does not name was deleted, paused, taken or put off, and is dropped.
        Runs in `except_for` were begun since the question was asked: the answer is older than that.
        """
        answer = {held.flow_run.id: held for held in found if held.flow_run.id not in except_for}
        new = [held for key, held in answer.items() if key not in self._held]
        if complete:
            self._held = {key: held for key, held in self._held.items() if key in answer}
        self._held |= answer
        return new

    def take(self, before: datetime) -> Held | None:
        """The run that is due first, if that is before the given moment; it is not held any more."""
        first = self._first()
        if first is None or first.starts_at > before:
            return None
        return self._held.pop(first.flow_run.id)

    def next_start(self) -> datetime | None:
        """When the first run is due."""
        first = self._first()
        return first.starts_at if first else None

    def drop(self, flow_run_id: UUID) -> None:
        """Hold it no longer, if it is held."""
        self._held.pop(flow_run_id, None)

    def clear(self) -> int:
        """Hold nothing any more; returns how many runs were held."""
        held = len(self._held)
        self._held = {}
        return held

    def _first(self) -> Held | None:
        return min(self._held.values(), key=lambda held: held.starts_at, default=None)
