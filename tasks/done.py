"""Done: whether a turn that has ended well has done what it was asked, as its report and the job's check say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from ocs.rules.dispatch import DispatchContext, DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.shell_result import cut
from ocs.spec import Agent, Shell
from ocs.store.tasks import task_of_dispatch
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.commands import run_command
from tasks.strategies.work import Work

LONGEST_CHECK = timedelta(minutes=1)
SHOWN = 1000
"""Bytes of a failed check's output that stand in the run's error."""


async def reported(
    task_id: UUID, context: DispatchContext, result: DispatchResult, ask_again: Callable[[], Awaitable[DispatchResult]]
) -> DispatchResult:
    """The result, if the task was reported done in this attempt; else one more turn is asked for that, and then failed.

    The answer to what was asked stays the result.
    """
    if result.status is not RunStatus.OK or await _is_reported(task_id, context):
        return result
    asked = await ask_again()
    if await _is_reported(task_id, context):
        return result
    if asked.status is not RunStatus.OK:
        return asked
    return _failed(result, "It ended without a report that the task is done (ocs dispatch done).")


async def checked(task: Agent, work: Work, result: DispatchResult) -> DispatchResult:
    """The result, if the job's check succeeds; the check sees what the turn has left behind."""
    if task.check is None or result.status is not RunStatus.OK:
        return result
    work.show("activity", f"check: {task.check}")
    check = await run_command(Shell.model_validate(task.check), work.beside("check"), LONGEST_CHECK)
    if check.status is RunStatus.OK:
        return result
    if check.status is RunStatus.CANCELLED:
        return check
    said = "\n".join(filter(None, (check.stdout.text, check.stderr.text)))
    return _failed(result, f"The check failed: {check.error}" + (f"\n{cut(said, SHOWN)}" if said else ""))


def _failed(result: DispatchResult, why: str) -> DispatchResult:
    return replace(result, status=RunStatus.ERROR, error=why, idempotency_action=IdempotencyAction.RELEASE)


async def _is_reported(task_id: UUID, context: DispatchContext) -> bool:
    return await retry_transient("look for the task's report", partial(_look, task_id, context))


async def _look(task_id: UUID, context: DispatchContext) -> bool:
    task = await task_of_dispatch(await runtime.store(), task_id)
    return task is not None and task.reported_at is not None and task.reported_at >= context.started_at
