"""A worker is killed while it ends a tracker's last member: the tracker ends once, is told once and followed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from sqlmodel import col, select

from blocks.gateway import BLOCK, OpenClawGateway
from blocks.target import DeliveryTarget
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.rules.tasks import BUILT_IN
from ocs.rules.trackers import TrackerStatus
from ocs.spec import Job
from ocs.store import tasks, trackers
from ocs.store.membership import NewTracker
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.store.tasks import NewTask
from tasks.adapter.publish import publish
from tests.crash.points import ALL, Reached
from tests.crash.rig import Rig
from tests.delivery.receiver import receiver
from tests.gateway.server import Server, serving

pytestmark = pytest.mark.e2e
POINTS = ("before finish", "after finish", "after a child was sent, before that is noted")


@pytest.fixture
async def gateway() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.mark.parametrize("point", POINTS)
async def test_a_tracker_ends_once_whenever_the_worker_is_killed(rig: Rig, gateway: Server, point: str) -> None:
    system, name = rig.system, rig.system.id("release")
    await cast("Any", OpenClawGateway(url=gateway.url).save(BLOCK, overwrite=True))
    with receiver() as mailbox:
        await cast("Any", DeliveryTarget.model_validate({"kind": "webhook", "url": mailbox.url}).save(name))
        template = system.write("coder", **{key: BUILT_IN[key] for key in ("run", "limits", "deliver")})
        rig.scene.write("publish")
        await system.deploy()
        rig.start_worker(kill_at=point)
        await begin_the_only_member(rig, template, name)
        await rig.killed()
        rig.start_worker()

        async def has_ended() -> bool:
            tracker, _ = await trackers.by_name(system.store, name)
            return tracker.ended_at is not None and bool(mailbox.received)

        await system.eventually(has_ended)
        (followed,) = await system.ended("publish")
        tracker, (member,) = await trackers.by_name(system.store, name)
        assert (tracker.status, followed.status) == (TrackerStatus.COMPLETED, RunStatus.OK)
        assert (followed.dispatch_id, str(member.status)) == (tracker.then_dispatch, "completed")
        lost = [RunStatus.CRASHED] if ALL[point].reached is Reached.CLAIMED else []
        assert [run.status for run in await system.runs_of("coder")] == [*lost, RunStatus.OK]
        assert [delivery.status for delivery in await told(rig, name)] == [DeliveryStatus.SENT]
        assert len(mailbox.received) == 1


async def begin_the_only_member(rig: Rig, template: str, name: str) -> None:
    system, by = rig.system, Attribution("ann", "test", rig.system.now())
    tracker = NewTracker(name=name, targets=(name,), then_job=system.id("publish"))
    document = Job.model_validate({**BUILT_IN, "id": template}).document()
    task = NewTask(label=name, template=template, agent="main", text="Do it.", document=document, track=name)
    (begun,) = await tasks.start(system.store, [task], max_queued={template: 500}, tracker=tracker, by=by)
    assert begun.dispatch is not None
    await publish(system.client, system.store, [begun.dispatch])


async def told(rig: Rig, target: str) -> list[Delivery]:
    async with rig.system.store.reading() as session:
        return list(await session.scalars(select(Delivery).where(col(Delivery.target) == target)))
