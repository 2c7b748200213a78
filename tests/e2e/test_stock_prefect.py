"""What stock Prefect does with our project: `prefect deploy --all`, and its process worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.states import Cancelling

from deployments import catalogue, prefect_yaml
from ocs import settings
from ocs.rules.dispatch import RunStatus
from ocs.server import embedded_server
from tasks.adapter.schedules import key_of
from tests.e2e.system import RunningSystem, running_system, stock_worker, worker_process

pytestmark = pytest.mark.e2e

WRITTEN_BY_THE_SERVER = {
    "id", "created", "updated", "created_by", "updated_by", "last_polled", "status", "work_queue_id",
    "version_id", "version_info", "branch", "base", "root", "handle",
}  # fmt: skip


IDS = ("id", "owner_resource", "deployment_id", "created", "updated")


def as_sent(deployment: Any) -> dict[str, Any]:
    """What of a deployment was sent, without what the server adds to it."""
    document = deployment.model_dump(mode="json", exclude=WRITTEN_BY_THE_SERVER)
    document["schedules"] = [
        {"schedule": _as_it_runs(schedule), "active": schedule.active} for schedule in deployment.schedules
    ]
    return document


def _as_it_runs(schedule: DeploymentSchedule) -> Any:
    """A rule without its start: `ocs deploy` sends a recent one, and stock Prefect adds its own, of the same phase."""
    if isinstance(schedule.schedule, RRuleSchedule):
        return key_of(schedule.schedule)
    return schedule.schedule.model_dump(mode="json")


async def deployed(ocs: RunningSystem, names: list[str]) -> dict[str, dict[str, Any]]:
    found = [await ocs.client.read_deployment_by_name(f"job/{name}") for name in names]
    return {deployment.name: as_sent(deployment) for deployment in found}


async def automations_of(ocs: RunningSystem) -> list[dict[str, Any]]:
    found = await ocs.client.read_automations()
    mine = [automation for automation in found if automation.name.startswith(ocs.id("on-event"))]
    return [_without_ids(automation.model_dump(mode="json")) for automation in mine]


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(inner) for key, inner in value.items() if key not in IDS}
    return [_without_ids(inner) for inner in value] if isinstance(value, list) else value


async def remove_everything(ocs: RunningSystem) -> None:
    """Take the deployments away by a rollout of no jobs, and put the files back."""
    jobs = ocs.project / "deployments" / "jobs"
    aside = jobs.rename(ocs.project / "aside")
    jobs.mkdir()
    await ocs.deploy(prune=True)
    jobs.rmdir()
    aside.rename(jobs)


def prefect_deploy_all(ocs: RunningSystem, api_url: str, **exported: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(ocs.project / ".prefect"), "DO_NOT_TRACK": "1"}
    environment |= exported
    command = [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, cwd=ocs.project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_prefect_deploy_makes_the_same_deployments(ocs: RunningSystem, prefect_server: str) -> None:
    names = [
        ocs.write("cron", schedule={"cron": "0 2 * * mon-fri", "timezone": "Europe/Vienna"}, run="true"),
        ocs.write("seconds", schedule="*/10 * * * * *", run="true", tags=["a", "b"]),
        ocs.write("every", schedule={"every": "15m", "jitter": "10s"}, run="true"),
        ocs.write("rrule", schedule={"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}, run="true"),
        ocs.write("at", schedule={"at": "2037-02-01T16:00:00Z"}, run="true"),
        ocs.write("off", enabled=False, schedule="@daily", run="true"),
        ocs.write("child", after={"job": "cron", "match": {"regex": "a{2}"}, "delay": "5s"}, run="true"),
        ocs.write("on-event", on_event=[{"expect": "prefect.flow-run.Completed"}], run="true"),
        ocs.write(
            "braces",
            run="docker ps --format '{{.Names}} {{ prefect.variables.x }} {{ $HOME }} {{{a}}}'",
            description="Prints {{ these }}.",
        ),
    ]
    await ocs.deploy()
    ours, our_automations = await deployed(ocs, names), await automations_of(ocs)
    assert our_automations
    await remove_everything(ocs)
    assert not await automations_of(ocs)

    prefect_yaml.regenerate(catalogue.read(ocs.project))
    prefect_deploy_all(ocs, prefect_server)

    assert await deployed(ocs, names) == ours
    assert await automations_of(ocs) == our_automations
    assert not [step for step in (await ocs.deploy()).steps if step.action != "unchanged"]


async def test_braces_reach_the_shell_as_they_were_written(ocs: RunningSystem, prefect_server: str) -> None:
    ocs.write("braces", run="echo '{{.Names}} {{ x }}'")
    await ocs.deploy()
    prefect_yaml.regenerate(catalogue.read(ocs.project))
    prefect_deploy_all(ocs, prefect_server)
    await ocs.run("braces")
    assert (await ocs.ended_run("braces")).stdout.strip() == "{{.Names}} {{ x }}"


async def suspended(ocs: RunningSystem, name: str) -> bool:
    flow_runs = await ocs.flow_runs_of(name)
    return any(flow_run.state is not None and flow_run.state.is_paused() for flow_run in flow_runs)


async def test_the_same_jobs_run_under_the_stock_process_worker(
    tmp_path: Path, with_database: Callable[[Path], Path]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # Somebody else's modules in the worker's folder must not stand in for ours.
    (home / "tasks.py").write_text("raise ImportError('not ours')")
    (home / "flows").mkdir()
    (home / "flows" / "__init__.py").write_text("raise ImportError('not ours')")
    marker = tmp_path / "alive"
    server = with_database(tmp_path / "server")
    with embedded_server(server, auth=True) as (api_url, _):
        password = (server / "password").read_text()
        exported = {"PREFECT_API_AUTH_STRING": password}  # as `ocs env` prints it
        async with running_system(api_url, home, tmp_path / "project", password=password) as ocs:
            await ocs.client.create_work_pool(WorkPoolCreate(name=settings.WORK_POOL, type="process"))
            ocs.write("first", run="echo rows: 1")
            ocs.write("second", after={"job": "first", "match": {"contains": "rows"}}, run="true")
            ocs.write("guarded", run="echo ran", approval={"required": True})
            ocs.write("endless", run=f"while true; do date > {marker}; sleep 0.1; done", retry={"max": 2})
            prefect_yaml.regenerate(catalogue.read(ocs.project))
            prefect_deploy_all(ocs, api_url, **exported)
            worker = stock_worker(settings.WORK_POOL)
            fast = {"PREFECT_WORKER_QUERY_SECONDS": "1", **exported}
            with worker_process(worker, api_url=api_url, home=home, log=tmp_path / "worker.log", env=fast):
                await ocs.run("first")
                second = await ocs.ended_run("second")
                first = await ocs.ended_run("first")
                assert (first.status, second.status) == (RunStatus.OK, RunStatus.OK)
                assert second.parent_run == first.id

                guarded_by = await ocs.client.read_deployment_by_name(f"job/{ocs.id('guarded')}")
                open_door = {"id": ocs.id("guarded"), "run": {"shell": {"command": "echo ran"}}}
                await ocs.client.create_flow_run_from_deployment(guarded_by.id, parameters={"job": open_door})
                await ocs.eventually(lambda: suspended(ocs, "guarded"))
                (waiting,) = await ocs.runs_of("guarded")
                await ocs.client.resume_flow_run(waiting.flow_run_id, {"decision": "approve", "by": "ann"})
                guarded = await ocs.ended_run("guarded")
                assert (guarded.id, guarded.status) == (waiting.id, RunStatus.OK)

                await ocs.run("endless")

                async def started() -> bool:
                    return marker.exists()

                assert await ocs.eventually(started)
                (endless,) = await ocs.runs_of("endless")
                await ocs.client.set_flow_run_state(endless.flow_run_id, Cancelling())
                endless = await ocs.ended_run("endless")
                assert endless.status is RunStatus.CANCELLED
                state = (await ocs.flow_run(endless)).state
                assert state is not None
                assert state.type is StateType.CANCELLED
