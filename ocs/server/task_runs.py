"""A task run that cannot be recorded takes no other with it: a private name of Prefect's server that we touch.

Prefect's server records the task runs that its clients report many at a time. As shipped, one whose flow run was
deleted meanwhile breaks a foreign key, the whole batch is tried again five times, and then dropped: a person who
deletes one flow run in the UI empties the pages of others that ran at the same time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prefect.server.services import task_run_recorder
from sqlalchemy.exc import IntegrityError

Record = Callable[[list[Any]], Awaitable[None]]


def record_each_by_itself() -> None:
    """Have Prefect's recorder part with the reports that cannot be recorded, and with no others."""
    task_run_recorder.record_bulk_task_run_events = isolating(task_run_recorder.record_bulk_task_run_events)


def isolating(record: Record) -> Record:
    """Record a batch at once, or each report by itself when one breaks a constraint; drop only that one."""

    async def isolated(events: Sequence[Any]) -> None:
        try:
            await record(list(events))
        except IntegrityError as error:
            if len(events) == 1:
                task_run_recorder.logger.warning("Dropped a report of a task run: %s", error.orig)
                return
            for event in events:
                await isolated([event])

    return isolated
