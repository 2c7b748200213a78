"""A worker is killed while its run has something to tell: the message comes, and a receiver can know it by its id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from blocks.target import DeliveryTarget
from ocs.rules.dispatch import RunStatus
from ocs.store.tables_delivery import Delivery
from tests.crash.points import ALL, DELIVERY, REPEATS, Reached
from tests.crash.rig import Rig
from tests.delivery.receiver import receiver

pytestmark = pytest.mark.e2e
LATER = 600
"""Seconds by which the second worker's clock is ahead, so that what failed is due again."""


@pytest.fixture
async def target(rig: Rig) -> AsyncIterator[str]:
    """A block that leads to the scene's mailbox."""
    with receiver() as mailbox:
        rig.scene.mailbox = mailbox
        name = rig.system.id("ops")
        block = DeliveryTarget.model_validate({"kind": "webhook", "url": mailbox.url})
        await block.save(name)  # pyright: ignore[reportGeneralTypeIssues]
        yield name


async def lose_the_lease(rig: Rig) -> None:
    """As when the time is over for which a message belongs to its sender, which is dead."""
    ours = col(Delivery.job_id).endswith(rig.system.suffix), col(Delivery.lease_until).is_not(None)
    async with rig.system.store.transaction() as session:
        await session.execute(update(Delivery).where(*ours).values(lease_until=rig.system.now() - timedelta(days=1)))


@pytest.mark.parametrize("point", ["while the shell runs", "after finish", *DELIVERY])
async def test_a_message_is_told_once_whenever_the_worker_is_killed(rig: Rig, target: str, point: str) -> None:
    rig.start_worker(kill_at=point)
    rig.scene.write("load", rig.scene.waiting(), deliver={"when": "always", "to": target})
    await rig.system.deploy()
    await rig.scene.run("load")
    if not ALL[point].shell_waits:
        rig.scene.gate.touch()
    await rig.killed()
    rig.scene.gate.touch()
    await lose_the_lease(rig)
    rig.start_worker(clock=LATER)
    rig.jump()
    seen = await rig.scene.at_rest()
    (run,) = seen.runs
    assert run.status is (RunStatus.CRASHED if ALL[point].reached is Reached.CLAIMED else RunStatus.OK)
    assert len(rig.scene.mailbox.received) == (2 if point == REPEATS else 1)
