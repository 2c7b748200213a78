"""Secrets: from Secret blocks as the UI makes them, into the job's environment, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prefect.blocks.system import Secret
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from ocs.rules.dispatch import RunStatus
from ocs.rules.masking import MASK
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e
VALUE = "correct-horse-battery"


@pytest.fixture
async def block(ocs: RunningSystem) -> AsyncIterator[str]:
    name = ocs.id("password")
    await Secret(value=VALUE).save(name)
    yield name
    await Secret.adelete(name)


async def everything_said(ocs: RunningSystem, job: str) -> str:
    """All that anybody could read of the job's runs: store, logs, artifacts, deployment."""
    (run,) = await ocs.ended(job)
    logs = await ocs.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.flow_run_id])), limit=200)
    flow_run = await ocs.flow_run(run)
    artifacts = [str(artifact.data) for artifact in await ocs.client.read_artifacts(limit=200)]
    deployment = await ocs.client.read_deployment_by_name(f"job/{ocs.id(job)}")
    return "\n".join(
        [
            run.model_dump_json(),
            *(line.message for line in logs),
            flow_run.model_dump_json(),
            *artifacts,
            deployment.model_dump_json(),
        ]
    )


async def test_the_job_gets_the_value_and_nobody_sees_it(ocs: RunningSystem, block: str) -> None:
    command = f'test ${{#PASSWORD}} = {len(VALUE)} && echo "it is $PASSWORD" && echo "$PASSWORD" >&2'
    ocs.write("uses", run={"shell": {"command": command, "secrets": {"PASSWORD": block}}})
    await ocs.deploy()
    await ocs.run("uses")
    run = await ocs.ended_run("uses")
    assert run.status is RunStatus.OK, run.error
    assert run.stdout.strip() == f"it is {MASK.decode()}"

    async def logged() -> bool:
        return f"it is {MASK.decode()}" in await everything_said(ocs, "uses")

    assert await ocs.eventually(logged)
    assert VALUE not in await everything_said(ocs, "uses")


async def test_another_job_does_not_get_it(ocs: RunningSystem, block: str) -> None:
    ocs.write("asks-not", run='echo "[${PASSWORD-nothing}]"')
    await ocs.deploy()
    await ocs.run("asks-not")
    assert (await ocs.ended_run("asks-not")).stdout.strip() == "[nothing]"


async def test_a_block_that_does_not_exist_is_named_and_nothing_runs(ocs: RunningSystem) -> None:
    ocs.write("lacks", run={"shell": {"command": "echo ran", "secrets": {"PASSWORD": "nobody-made-it"}}})
    await ocs.deploy()
    await ocs.run("lacks")
    run = await ocs.ended_run("lacks")
    assert (run.status, run.stdout) == (RunStatus.ERROR, "")
    assert 'no Secret block "nobody-made-it"' in run.error
