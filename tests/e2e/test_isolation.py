"""What is wrong with one job harms that job only, however many others are due in the same moment."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import State

from ocs.rules.dispatch import RunStatus
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e
GOOD = tuple(f"good-{number}" for number in range(6))


async def broken_in_the_api(ocs: RunningSystem, name: str, **changes: object) -> None:
    """Change what is rolled out past all our checks, as any client of Prefect can."""
    deployment = await ocs.client.read_deployment_by_name(f"job/{ocs.id(name)}")
    if "parameters" in changes:
        await ocs.client.update_deployment(deployment.id, DeploymentUpdate(enforce_parameter_schema=False))
    await ocs.client.update_deployment(deployment.id, DeploymentUpdate.model_validate(changes))


async def ends(ocs: RunningSystem, flow_run_id: UUID) -> State:
    async def look() -> State | None:
        state = (await ocs.client.read_flow_run(flow_run_id)).state
        return state if state is not None and state.is_final() else None

    return await ocs.eventually(look)


async def test_poison_jobs_of_every_kind_harm_only_themselves(ocs: RunningSystem) -> None:
    """Broken spec in the API, parameters that are no job, a missing secret, a flow that is not there (W26)."""
    for name in (*GOOD, "no-spec", "no-job", "no-flow"):
        ocs.write(name, run="true")
    ocs.write("no-secret", run={"shell": {"command": "true", "secrets": {"PASSWORD": ocs.id("nowhere")}}})
    await ocs.deploy()
    await broken_in_the_api(ocs, "no-spec", parameters={"job": {"id": ocs.id("no-spec"), "run": {"shell": 7}}})
    await broken_in_the_api(ocs, "no-job", parameters={"work": "none"})
    await broken_in_the_api(ocs, "no-flow", entrypoint="flows.nowhere.run_job")

    poison = ("no-spec", "no-job", "no-flow", "no-secret")
    deployments = {
        name: (await ocs.client.read_deployment_by_name(f"job/{ocs.id(name)}")).id for name in (*poison, *GOOD)
    }
    runs = await asyncio.gather(*map(ocs.client.create_flow_run_from_deployment, deployments.values()))
    states = dict(zip(deployments, [await ends(ocs, run.id) for run in runs], strict=True))

    assert {name: states[name].name for name in GOOD} == dict.fromkeys(GOOD, "Ok")
    for name, says in {"no-spec": "shell", "no-job": "job", "no-flow": "flows.nowhere", "no-secret": "nowhere"}.items():
        assert not states[name].is_completed(), name
        assert says in str(states[name].message), states[name].message


async def test_what_a_child_wants_neither_fails_nor_holds_up_its_parent(ocs: RunningSystem) -> None:
    """An expression that explodes on what was printed, and an output that no reader of JSON bears."""
    ocs.write("many", run=f"printf '[\"%s!\"]' {'a' * 40}")
    ocs.write("explodes", run="true", after={"job": "many", "match": {"jsonpath": "$[?match(@, '(a|a)+')]"}})
    ocs.write("beside", run="true", after={"job": "many", "match": {"jsonpath": "$[0]"}})
    ocs.write("deep", run="head -c 20000 /dev/zero | tr '\\0' '['")
    ocs.write("deeper", run="true", after={"job": "deep", "match": {"jsonpath": "$..rows"}})
    await ocs.deploy()
    await ocs.run("many")
    await ocs.run("deep")
    (beside,), (many,), (deep,) = await ocs.ended("beside"), await ocs.ended("many"), await ocs.ended("deep")
    assert (many.status, deep.status, beside.parent_run) == (RunStatus.OK, RunStatus.OK, many.id)
    left_out = f"{ocs.id('explodes')} did not run: its condition took longer than 1 s on this output."
    assert many.summary.endswith(left_out)
    assert deep.summary.endswith(f"{ocs.id('deeper')} did not run: the output is nested too deeply.")
    assert not await ocs.runs_of("explodes")
    assert not await ocs.runs_of("deeper")


async def test_a_poisoned_job_goes_again_as_soon_as_it_is_mended(ocs: RunningSystem) -> None:
    ocs.write("mended", run="true")
    await ocs.deploy()
    await broken_in_the_api(ocs, "mended", parameters={"job": {"id": ocs.id("mended"), "run": 7}})
    await ocs.run("mended")

    async def failed() -> bool:
        flow_runs = await ocs.flow_runs_of("mended")
        return any(run.state is not None and run.state.is_final() for run in flow_runs)

    await ocs.eventually(failed)
    await ocs.deploy()
    await ocs.run("mended")
    (run,) = await ocs.ended("mended")
    assert run.status is RunStatus.OK
