"""The flow every job is a deployment of: prepare, execute by strategy, finalize."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Awaitable, Generator
from datetime import datetime
from typing import cast

from prefect import State, flow

from ocs import settings, tracing
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus
from ocs.signals import on_signals
from ocs.spec import Job
from ocs.store import ApprovalRequested, Claimed, Declined, Forbidden, Queued, Rejected
from tasks import cancellation
from tasks.adapter import log_lines, runtime
from tasks.adapter.pausing import go_on_when_paused
from tasks.adapter.states import queued, state_of
from tasks.approvals.form import suspend
from tasks.approvals.gate import Withdrawn
from tasks.execute import execute
from tasks.finalize import finalize
from tasks.prepare import prepare
from tasks.recovery.heartbeat import leased


@flow(
    name=settings.FLOW_NAME,
    description="Runs one job: may it run, run it, record what follows.",
    persist_result=False,
    validate_parameters=True,
)
async def run_job(job: Job) -> State:
    """Run one job once and end in the state that says how it went, or suspend until a person has decided.

    Safe to enter again with the same flow run id: prepare finds what was already recorded.
    """
    go_on_when_paused()
    log_lines.put_right()
    began = runtime.clock()
    with cancellation.cancellable(runtime.current_flow_run().id) as scope, _stoppable_by_signal(scope):
        try:
            prepared = await prepare(job)
        except cancellation.Cancelled:
            return state_of(RunStatus.CANCELLED, "Cancelled before it started; nothing was run.")
        job, claimed = prepared.job, prepared.verdict
        match claimed:
            case Rejected(skip=skip, status=status):
                return state_of(status, skip.why)
            case Forbidden(why=why):
                return state_of(RunStatus.ERROR, why)
            case Queued(wait=wait):
                return queued(wait.why)
            case ApprovalRequested():
                await suspend(claimed)
            case Withdrawn(why=why):
                return state_of(RunStatus.CANCELLED, why)
            case Declined(context=context, why=why):
                declined = DispatchResult(RunStatus.CANCELLED, error=why, declined=True)
                outcome = await finalize(job, context, declined)
            case Claimed(context=context):
                with _traced(job, context, began) as traced:
                    async with leased(context):
                        with tracing.span("execute", {"ocs.strategy": job.run.strategy}) as executing:
                            result = await _execute(job, prepared.project, context)
                            _tell(executing, result.status)
                            executing.say({"process.exit.code": result.exit_code})
                        with tracing.span("finalize"):
                            outcome = await finalize(job, context, result, prepared.seen)
                    _tell(traced, outcome.status)
        return state_of(outcome.status, outcome.why)


@contextlib.contextmanager
def _traced(job: Job, context: DispatchContext, began: datetime) -> Generator[tracing.Span]:
    """The run's trace, from the beginning of this entry on; linked to the run that caused it."""
    dispatch = context.dispatch
    said = {
        "ocs.job.id": job.id,
        "ocs.run.id": str(context.run_id),
        "ocs.run.kind": str(dispatch.kind),
        "ocs.run.attempt": dispatch.attempt,
        "ocs.run.scheduled_for": dispatch.scheduled_for.isoformat(),
        "ocs.flow_run.id": str(context.flow_run_id),
    }
    came_from = (dispatch.source_run, dispatch.retry_of)
    with tracing.run(context.run_id, f"run {job.id}", said, began=began, after=came_from) as traced:
        tracing.past("prepare", began)
        yield traced


def _tell(traced: tracing.Span, status: RunStatus) -> None:
    traced.say({"ocs.run.status": str(status)})
    if status is not RunStatus.OK:
        traced.fail(str(status))


async def _execute(job: Job, project: str | None, context: DispatchContext) -> DispatchResult:
    """A job that fails leaves a red task behind and is a result all the same; so is a defect of ours.

    Its key stays claimed: after a defect nobody knows whether the command had begun.
    """
    ended = await cast("Awaitable[State[DispatchResult]]", execute(job, project, context, return_state=True))
    result = await ended.aresult(raise_on_failure=False)
    if isinstance(result, Exception):
        return DispatchResult(RunStatus.ERROR, error=f"It could not be executed: {result!r}")
    if isinstance(result, BaseException):
        raise result
    return result


def _stoppable_by_signal(scope: cancellation.Scope) -> contextlib.AbstractContextManager[None]:
    """Prefect's process worker stops a run by SIGTERM to the process that holds only this run."""
    return on_signals(scope.request, signal.SIGTERM) if runtime.ends_with_its_run() else contextlib.nullcontext()
