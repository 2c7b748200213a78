"""Which flow a run's deployment means, and what this worker does not run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocs.worker.loader import CannotRun, Flows
from tests.worker import flows as deployed
from tests.worker.rig import Rig

pytestmark = pytest.mark.e2e
LATER = datetime.now(UTC) + timedelta(days=1)


async def test_a_flow_is_loaded_once_for_all_deployments_and_keeps_its_options(rig: Rig) -> None:
    await rig.make_pool()
    flows = Flows(rig.client)
    one = await rig.run(await rig.deploy("three_tasks", name="one"), at=LATER)
    two = await rig.run(await rig.deploy("three_tasks", name="two"), at=LATER)
    loaded = await flows.of(one)
    assert await flows.of(two) is loaded
    assert (loaded.name, loaded.fn) == ("three-tasks", deployed.three_tasks.fn)
    assert loaded.persist_result is False


async def test_a_file_beside_a_path_is_loaded_without_changing_the_folder(rig: Rig) -> None:
    await rig.make_pool()
    here = Path.cwd()
    (rig.folder / "mine.py").write_text("from prefect import flow\n@flow\nasync def mine(to: str): ...\n")
    deployment = await rig.deploy("counts", entrypoint="mine.py:mine", path=str(rig.folder), name="mine")
    loaded = await Flows(rig.client).of(await rig.run(deployment, at=LATER))
    assert (loaded.name, Path.cwd()) == ("mine", here)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"entrypoint": None}, "names no entrypoint"),
        ({"entrypoint": "nowhere.py:nothing", "path": "."}, "cannot be loaded"),
        ({"entrypoint": "tests.worker.flows.not_there"}, "cannot be loaded"),
        ({"entrypoint": "tests.worker.flows.blocking"}, "is not an async function"),
        (
            {"entrypoint": "a.py:b", "pull_steps": [{"prefect.deployments.steps.set_working_directory": {}}]},
            "pull steps",
        ),
    ],
)
async def test_what_cannot_be_run_here_is_refused_with_a_sentence(
    rig: Rig, options: dict[str, object], says: str
) -> None:
    await rig.make_pool()
    flow_run = await rig.run(await rig.deploy("counts", **options), at=LATER)
    with pytest.raises(CannotRun, match=says):
        await Flows(rig.client).of(flow_run)


async def test_the_run_of_a_deleted_deployment_is_refused(rig: Rig) -> None:
    await rig.make_pool()
    deployment = await rig.deploy("counts")
    flow_run = await rig.run(deployment, at=LATER)
    await rig.client.delete_deployment(deployment)
    with pytest.raises(CannotRun, match="deleted"):
        await Flows(rig.client).of(flow_run)
