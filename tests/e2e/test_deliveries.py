"""Deliveries end to end: a real server, a real worker, and a receiver that checks what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from pydantic import SecretStr

from blocks.target import DeliveryTarget
from ocs.store import deliveries
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from tests.delivery.receiver import Answer, Receiver, receiver
from tests.delivery.test_transports import PIXEL, genuine
from tests.e2e.system import RunningSystem
from tests.otlp import Collector

pytestmark = pytest.mark.e2e
SECRET = "correct-horse-battery"


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
async def target(ocs: RunningSystem, hook: Receiver) -> AsyncIterator[str]:
    name = ocs.id("ops")
    block = DeliveryTarget(kind="webhook", url=SecretStr(hook.url), secret=SecretStr(SECRET))
    await block.save(name)  # pyright: ignore[reportGeneralTypeIssues]
    yield name
    await DeliveryTarget.adelete(name)


async def deliveries_of(ocs: RunningSystem, name: str) -> list[Delivery]:
    ids = [run.id for run in await ocs.runs_of(name)]
    found = await deliveries.of_runs(ocs.store, ids)
    return [row for run_id in ids for row in found.get(run_id, [])]


async def artifact_of(ocs: RunningSystem, name: str) -> str:
    run = await ocs.ended_run(name)
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.flow_run_id]))

    async def look() -> str | None:
        found = await ocs.client.read_artifacts(artifact_filter=of_run)
        return str(found[0].data) if found else None

    return await ocs.eventually(look)


async def test_a_failure_arrives_signed_with_its_image_and_is_on_the_runs_page(
    ocs: RunningSystem, target: str, hook: Receiver, collector: Collector, tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(PIXEL)
    ocs.write("fails", run=f"echo 'rows: 3'; echo '[IMAGE:{chart}]'; exit 3", deliver={"to": target})
    await ocs.deploy()
    await ocs.run("fails")
    run = await ocs.ended_run("fails")
    text, image = hook.received
    assert genuine(text.headers, text.body, SECRET)
    assert genuine(image.headers, image.body, SECRET)
    assert text.json["subject"] == f"{ocs.id('fails')}: failed"
    assert text.json["text"].startswith("Exited with code 3.\n\nrows: 3")
    assert f"/runs/flow-run/{run.flow_run_id}" in text.json["text"]
    assert (image.json["image"]["name"], image.json["part"], image.json["parts"]) == ("chart.png", 2, 2)
    assert f"{target}: sent at" in await artifact_of(ocs, "fails")
    traced = collector.of(run.id, f"run {run.job_id}", "deliver")
    assert traced["deliver"].parent_span_id == traced[f"run {run.job_id}"].span_id
    assert [traced[name].status.code for name in (f"run {run.job_id}", "deliver")] == [2, 0]


async def test_each_attempt_is_told_with_what_follows(ocs: RunningSystem, target: str, hook: Receiver) -> None:
    ocs.write("tries", run="exit 3", retry={"max": 1, "delay": "1s"}, deliver={"to": target})
    await ocs.deploy()
    await ocs.run("tries")
    await ocs.ended("tries", count=2)
    first, second = sorted(hook.texts(), reverse=True)
    assert "Retry 1 of 1 follows in" in first
    assert "Its one retry is used." in second


async def test_a_receiver_that_is_broken_fails_no_run_and_gets_it_from_the_workers_tick(
    ocs: RunningSystem, target: str, hook: Receiver
) -> None:
    hook.answer = lambda received: Answer(500 if len(received) == 1 else 200)
    ocs.write("speaks", run="echo hello", deliver={"to": target, "when": "always"})
    await ocs.deploy()
    await ocs.run("speaks")
    run = await ocs.ended_run("speaks")
    assert str(run.status) == "ok"
    assert "answered 500" in await artifact_of(ocs, "speaks")

    async def sent() -> bool:
        (row,) = await deliveries_of(ocs, "speaks")
        return row.status is DeliveryStatus.SENT

    assert await ocs.eventually(sent)
    assert [each.json["text"].partition("\n")[0] for each in hook.received] == ["hello", "hello"]
    assert len({each.headers["webhook-id"] for each in hook.received}) == 1


async def test_what_others_wrote_is_sent_by_the_worker(ocs: RunningSystem, target: str, hook: Receiver) -> None:
    async with ocs.store.transaction() as session:
        deliveries.enqueue(
            session,
            job_id=ocs.id("gone"),
            run_id=None,
            targets=[target],
            subject="gone: crashed",
            body="Its worker ended before it did.",
            kind="crash",
            now=datetime.now(UTC),
        )

    async def arrived() -> bool:
        return len(hook.received) == 1

    assert await ocs.eventually(arrived)
    assert hook.received[0].json["kind"] == "crash"


async def test_a_cancelled_run_tells_nobody(ocs: RunningSystem, target: str, hook: Receiver) -> None:
    ocs.write("long", run="sleep 600", deliver={"to": target, "when": "always"})
    await ocs.deploy()
    await ocs.run("long")

    async def running() -> bool:
        return any(str(run.status) == "running" and run.pid for run in await ocs.runs_of("long"))

    await ocs.eventually(running)
    from prefect.states import Cancelling

    (run,) = await ocs.runs_of("long")
    await ocs.client.set_flow_run_state(run.flow_run_id, Cancelling())
    await ocs.ended("long")
    assert (await deliveries_of(ocs, "long"), hook.received) == ([], [])
