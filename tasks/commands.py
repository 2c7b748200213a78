"""Shell jobs: the job's secrets and the record of its process, put together for the strategy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from uuid import UUID

from prefect.logging import get_logger, get_run_logger

from ocs.rules.dispatch import DispatchContext, DispatchResult
from ocs.rules.spawn import RUN_TOKEN
from ocs.spec import Job, Shell, Spawn
from ocs.store import record_process, spawning
from tasks import secrets
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.strategies import environment
from tasks.strategies.shell import run_shell
from tasks.strategies.work import Work

NO_TOKEN: Mapping[str, str] = MappingProxyType({})


async def run_job(command: Shell, work: Work) -> DispatchResult:
    """The job's command, which is told by what it is known where it may start others."""
    token = await _token(work.context.run_id, work.job, work.job.spawn) if work.job.spawn else {}
    return await run_command(command, work, work.job.run.timeout, token)


async def _token(run_id: UUID, job: Job, grant: Spawn) -> dict[str, str]:
    async def issue() -> str:
        tells = job.deliver.named if job.deliver else ()
        return await spawning.issue_token(await runtime.store(), run_id, grant, tells)

    return {RUN_TOKEN: await retry_transient(f"make the token of run {run_id}", issue)}


async def run_command(
    command: Shell, work: Work, timeout: timedelta, token: Mapping[str, str] = NO_TOKEN
) -> DispatchResult:
    """A command of the job, for so long at most; `token` is a secret of the run itself."""
    values = await retry_transient("look up the job's secrets", partial(secrets.resolve, command.secrets))
    values |= token
    for warning in secrets.warnings_about(values):
        get_run_logger().warning("%s", warning)
    return await run_shell(
        command,
        run_id=str(work.context.run_id),
        timeout=timeout,
        output=work.job.output,
        secrets=values,
        folder=environment.folder_of(command, work.project),
        artifacts=work.artifacts,
        on_line=work.show,
        on_start=_recorder(work.context),
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
