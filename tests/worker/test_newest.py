"""When more waits than an answer holds, of each job that is late the newest is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ocs.worker import newest
from ocs.worker.due_queue import Held
from tests.worker.rig import Rig

pytestmark = pytest.mark.e2e


async def test_of_each_job_that_is_late_the_newest_that_is_due(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "PAGE", 2)
    await rig.make_pool()
    now = datetime.now(UTC)
    often, seldom, punctual = [await rig.deploy("note", name=name) for name in ("often", "seldom", "punctual")]
    due = {
        often: [now - timedelta(minutes=minutes) for minutes in (9, 7, 5, 3)],
        seldom: [now - timedelta(minutes=8)],
        punctual: [now - timedelta(seconds=1), now + timedelta(minutes=9)],
    }
    runs = {key: [await rig.run(key, at=at) for at in instants] for key, instants in due.items()}
    oldest = [
        Held(each[0], due[key][0], now, late_from=due[key][0] + timedelta(minutes=1)) for key, each in runs.items()
    ]
    found = [flow_run.id for flow_run in await newest.newest_of_late(rig.client, rig.pool, oldest, now)]
    assert found == [runs[often][3].id, runs[often][2].id, runs[seldom][0].id]
