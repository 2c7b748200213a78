"""Prefect's recorder of task runs, on a database of Prefect's own: what cannot be recorded is dropped alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from prefect.server.database import PrefectDBInterface, provide_database_interface
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.services import task_run_recorder
from prefect.server.utilities.messaging.memory import MemoryMessage
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

from ocs.server.task_runs import isolating


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[PrefectDBInterface]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        db = provide_database_interface()
        await db.create_db()
        yield db
        await (await db.engine()).dispose()


async def two_flow_runs(db: PrefectDBInterface) -> list[UUID]:
    async with db.session_context(begin_transaction=True) as session:
        flow = db.Flow(name="any")
        session.add(flow)
        await session.flush()
        flow_runs = [db.FlowRun(flow_id=flow.id, name=name, flow_version="1") for name in ("one", "two")]
        session.add_all(flow_runs)
        await session.flush()
        return [flow_run.id for flow_run in flow_runs]


def report(flow_run: UUID) -> ReceivedEvent:
    """What a client says of a task run that has begun."""
    now = datetime.now(UTC)
    return ReceivedEvent.model_validate(
        {
            "id": str(uuid4()),
            "occurred": now.isoformat(),
            "received": now.isoformat(),
            "event": "prefect.task-run.Running",
            "resource": {"prefect.resource.id": f"prefect.task-run.{uuid4()}", "prefect.orchestration": "client"},
            "related": [{"prefect.resource.id": f"prefect.flow-run.{flow_run}", "prefect.resource.role": "flow-run"}],
            "payload": {
                "validated_state": {"type": "RUNNING", "name": "Running", "message": "", "data": None},
                "task_run": {"name": "any", "task_key": "any", "dynamic_key": str(uuid4())},
            },
        }
    )


async def test_a_task_run_of_a_deleted_flow_run_takes_no_other_with_it(
    database: PrefectDBInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "record_bulk_task_run_events"
    monkeypatch.setattr(task_run_recorder, name, isolating(task_run_recorder.record_bulk_task_run_events))
    kept = [report(flow_run) for flow_run in await two_flow_runs(database)]
    async with task_run_recorder.consumer(write_batch_size=3, flush_every=3600) as take:
        for event in (kept[0], report(uuid4()), kept[1]):
            await take(MemoryMessage(data=event.model_dump_json().encode(), attributes={}))
    async with database.session_context() as session:
        found = set((await session.execute(sa.select(database.TaskRun.id))).scalars())
    assert found == {event.resource.prefect_object_id("prefect.task-run") for event in kept}
