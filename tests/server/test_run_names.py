"""Runs that Prefect's scheduler makes, in a database of Prefect's own: named when they are made, and taken once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from prefect.server import schemas
from prefect.server.database import PrefectDBInterface, provide_database_interface
from prefect.server.models import deployments
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

from ocs.rules.dispatch import DispatchKind
from ocs.server.run_names import name_scheduled_runs
from tasks.adapter.naming import kind_tag, run_name

HOURLY = schemas.schedules.IntervalSchedule(interval=timedelta(hours=1))


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[PrefectDBInterface]:
    generate = deployments._generate_scheduled_flow_runs
    monkeypatch.setattr(deployments, "_generate_scheduled_flow_runs", generate)  # taken back at the end
    name_scheduled_runs()
    url = f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        db = provide_database_interface()
        await db.create_db()
        yield db
        await (await db.engine()).dispose()


async def scheduled(db: PrefectDBInterface, *tags: str) -> list[schemas.core.FlowRun]:
    """The runs that the server makes of a deployment with these tags; a second time it makes none."""
    async with db.session_context(begin_transaction=True) as session:
        flow = db.Flow(name=str(uuid4()))
        session.add(flow)
        await session.flush()
        hourly = schemas.core.DeploymentSchedule(schedule=HOURLY)
        deployment = await deployments.create_deployment(
            session, schemas.core.Deployment(name="any", flow_id=flow.id, tags=list(tags), schedules=[hourly])
        )
        assert deployment is not None
        made = await deployments.schedule_runs(session, deployment_id=deployment.id, min_runs=3, max_runs=3)
        assert len(made) == 3
        assert not await deployments.schedule_runs(session, deployment_id=deployment.id, min_runs=3, max_runs=3)
        found = await session.execute(sa.select(db.FlowRun).where(db.FlowRun.deployment_id == deployment.id))
        return [schemas.core.FlowRun.model_validate(run, from_attributes=True) for run in found.scalars()]


async def test_a_run_of_our_schedules_has_the_name_and_the_tag_that_it_would_get_at_its_start(
    database: PrefectDBInterface,
) -> None:
    for run in await scheduled(database, "ocs", "project:p", "job:nightly"):
        assert run.expected_start_time is not None
        assert run.name == run_name("nightly", DispatchKind.SCHEDULED, 1, run.expected_start_time)
        assert {kind_tag(DispatchKind.SCHEDULED), "auto-scheduled", "job:nightly"} <= set(run.tags)


@pytest.mark.parametrize("tags", [(), ("job:nightly",), ("ocs",)], ids=" ".join)
async def test_runs_of_others_are_left_alone(database: PrefectDBInterface, tags: tuple[str, ...]) -> None:
    for run in await scheduled(database, *tags):
        assert run.name
        assert "nightly" not in run.name
        assert kind_tag(DispatchKind.SCHEDULED) not in run.tags
