"""Execute: run the job by its strategy, until it ends or is stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from logging import INFO, WARNING
from typing import cast

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_logger, get_run_logger
from prefect.logging.loggers import PrefectLogAdapter
from prefect.states import Completed, Failed

from ocs import projects, settings
from ocs.errors import OcsError
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus
from ocs.rules.shell_result import CANCELLED
from ocs.spec import Agent, Job, Main, Run, Shell, Watchdog
from ocs.store import record_process
from tasks import secrets
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.cancellation import Cancelled, scope_of
from tasks.strategies import environment
from tasks.strategies.shell import run_shell
from tasks.turns import run_agent, run_main
from tasks.watchdogs import run_watchdog


def _never_again(*_state: object) -> bool:
    """Whether to try again: never, a retry is a run of its own.

    Asked, Prefect does not write the whole result into the log, as it does for a task that has no retries.
    """
    return False


@task(
    name="execute",
    task_run_name="execute",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_condition_fn=_never_again,
)
async def execute(job: Job, project: str | None, context: DispatchContext) -> State[DispatchResult]:
    """Run the job, of that project, and say how it went. What a job can do wrong is a result, not an exception.

    The result is the data of a state that shows in the UI whether the job did well.
    """
    result = await _result(job, project, context)
    if result.status is RunStatus.OK:
        return Completed(name="Ok", data=result)
    return Failed(name=result.status.title(), message=result.error, data=result)


async def _result(job: Job, project: str | None, context: DispatchContext) -> DispatchResult:
    try:
        return await scope_of(context.flow_run_id).run(_strategy(job, project, context))
    except Cancelled:
        return DispatchResult(RunStatus.CANCELLED, error=CANCELLED)
    except OcsError as refused:
        return DispatchResult(RunStatus.ERROR, error=_sentence(refused))


async def _strategy(job: Job, project: str | None, context: DispatchContext) -> DispatchResult:
    match job.run:
        case Run(shell=Shell() as shell):
            return await _shell(job, project, context, shell, job.run.timeout)
        case Run(agent=Agent() as agent):
            return await run_agent(job, agent, context, partial(_show(), "stdout"))
        case Run(main=Main() as main):
            return await run_main(job, main, context, partial(_show(), "stdout"))
        case Run(watchdog=Watchdog() as watchdog):
            return await run_watchdog(job, watchdog, partial(_shell, job, project, context))
        case _:
            raise RuntimeError(f"{job.id} has nothing to run")


def _show() -> Callable[[str, str], None]:
    """Puts a line of a stream into the run's log."""
    logger = cast("PrefectLogAdapter", get_run_logger())
    streams = {stream: logger.getChild(stream) for stream in ("stdout", "stderr")}

    def show(stream: str, line: str) -> None:
        streams[stream].log(INFO if stream == "stdout" else WARNING, "%s", line)

    return show


async def _shell(
    job: Job, project: str | None, context: DispatchContext, shell: Shell, timeout: timedelta
) -> DispatchResult:
    values = await retry_transient("look up the job's secrets", partial(secrets.resolve, shell.secrets))
    for warning in secrets.warnings_about(values):
        get_run_logger().warning("%s", warning)
    return await run_shell(
        shell,
        run_id=str(context.run_id),
        timeout=timeout,
        output=job.output,
        secrets=values,
        folder=environment.folder_of(shell, projects.folder_of(project)),
        artifacts=settings.outputs_of(context.run_id),
        on_line=_show(),
        on_start=_recorder(context),
    )


def _recorder(context: DispatchContext) -> Callable[[int, float], Awaitable[None]]:
    """Remember the process, so that it can be ended even when this worker is gone. The run does not fail of it."""

    async def record(pid: int, started_at: float) -> None:
        async def note() -> None:
            await record_process(await runtime.store(), context.run_id, pid, started_at)

        try:
            await retry_transient(f"record the process of run {context.run_id}", note)
        except Exception as failed:
            get_logger(__name__).warning("The process of run %s is not recorded: %r", context.run_id, failed)

    return record


def _sentence(error: OcsError) -> str:
    return f"{error.message} {error.hint}" if error.hint else error.message
