"""Runs, from being created by anybody to their final state, on a real server."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.states import Scheduled, Suspended

from ocs.worker import OpenClawWorker, execution, stream
from tests.conftest import Times
from tests.worker.rig import Rig

pytestmark = pytest.mark.e2e


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_run_completes_with_its_tasks_and_its_log_in_the_ui(rig: Rig) -> None:
    async with rig.worker():
        flow_run = await rig.run(await rig.deploy("three_tasks"))
        assert (await rig.ends(flow_run)).is_completed()
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))

        async def three_ended_tasks() -> bool:
            runs = await rig.client.read_task_runs(flow_run_filter=only)
            return [run.state_type for run in runs] == [StateType.COMPLETED] * 3

        async def line_in_log() -> bool:
            logs = await rig.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])))
            return "a line of the run" in [log.message for log in logs]

        assert await rig.eventually(three_ended_tasks)
        assert await rig.eventually(line_in_log)
        ended = await rig.client.read_flow_run(flow_run.id)
        assert ended.run_count == 1
        assert ended.start_time is not None


async def test_a_run_costs_three_requests(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its creation: Pending, Running, Completed. Polls are shared by all runs and not counted."""
    monkeypatch.setattr(execution, "FRESH", timedelta(minutes=1))  # how busy the machine is must not count
    requests: Counter[str] = Counter()

    async def count(request: httpx.Request) -> None:
        requests[re.sub(r"[0-9a-f-]{36}", "ID", f"{request.method} {request.url.path}")] += 1

    async with rig.worker() as worker:
        deployment = await rig.deploy("three_tasks")
        await rig.ends(await rig.run(deployment))
        worker.client._client.event_hooks["request"].append(count)
        for _ in range(3):
            await rig.ends(await rig.run(deployment))
    shared = r"/(work_pools/.*|flow_runs/filter)$"
    assert {request: n for request, n in requests.items() if not re.search(shared, request)} == {
        "POST /api/flow_runs/ID/set_state": 9
    }


async def test_a_run_starts_when_it_is_due_and_never_before(rig: Rig) -> None:
    async with rig.worker():
        due = soon(2.5)
        flow_run = await rig.run(await rig.deploy("three_tasks"), at=due)
        await rig.ends(flow_run)
        assert rig.noted_at("started") >= due
        read = await rig.client.read_flow_run(flow_run.id)
        assert read.start_time is not None
        assert read.start_time >= due


async def test_a_run_that_is_put_off_is_held_to_its_new_time(rig: Rig) -> None:
    async with rig.worker() as worker:
        flow_run = await rig.run(await rig.deploy("three_tasks"), at=soon(8))
        await rig.eventually(lambda: len(worker._due_queue))
        later = soon(10)
        await rig.client.set_flow_run_state(flow_run.id, Scheduled(scheduled_time=later), force=True)
        await rig.ends(flow_run)
        assert rig.noted_at("started") >= later


async def test_a_run_that_was_deleted_while_it_was_held_is_not_run(rig: Rig) -> None:
    async with rig.worker() as worker:
        deployment = await rig.deploy("three_tasks")
        due = soon(8)
        flow_run = await rig.run(deployment, at=due, to=str(rig.folder / "deleted"))
        await rig.eventually(lambda: len(worker._due_queue))
        await rig.client.delete_flow_run(flow_run.id)
        await rig.ends(await rig.run(deployment, at=due + timedelta(seconds=1)))
    assert not (rig.folder / "deleted").exists()


async def test_first_due_first_served_within_the_limit(rig: Rig) -> None:
    await rig.make_pool()
    deployment = await rig.deploy("three_tasks")
    base = datetime.now(UTC)
    order = [3, 1, 4, 2]
    runs = {
        n: await rig.run(deployment, at=base - timedelta(seconds=10 - n), to=str(rig.folder / str(n))) for n in order
    }
    async with rig.worker(limit=1):
        for flow_run in runs.values():
            await rig.ends(flow_run)
    started = {n: (await rig.client.read_flow_run(flow_run.id)).start_time for n, flow_run in runs.items()}
    assert sorted(order, key=lambda n: str(started[n])) == [1, 2, 3, 4]


async def test_a_long_run_holds_up_nobody_within_the_limit_and_the_limit_is_kept(rig: Rig) -> None:
    async with rig.worker(limit=2) as worker:
        gated = await rig.deploy("until_gate")
        quick = await rig.deploy("three_tasks")
        long = [await rig.run(gated, gate=str(rig.gate), to=str(rig.folder / "long"))]
        await rig.reaches(long[0], lambda state: state.is_running())
        await rig.ends(await rig.run(quick))
        long.append(await rig.run(gated, gate=str(rig.gate), to=str(rig.folder / "long")))
        await rig.reaches(long[1], lambda state: state.is_running())
        waiting = await rig.run(quick)
        await rig.eventually(lambda: len(worker._due_queue) == 1)
        assert worker.executing == 2
        assert (await rig.state(waiting)).is_scheduled()
        rig.gate.touch()
        for flow_run in [*long, waiting]:
            assert (await rig.ends(flow_run)).is_completed()


async def test_a_limit_of_the_pool_is_kept_and_used(rig: Rig) -> None:
    await rig.make_pool()
    from prefect.client.schemas.actions import WorkPoolUpdate

    await rig.client.update_work_pool(rig.pool, WorkPoolUpdate(concurrency_limit=1))
    deployment = await rig.deploy("three_tasks")
    async with rig.worker():
        runs = [await rig.run(deployment) for _ in range(4)]
        for flow_run in runs:
            assert (await rig.ends(flow_run)).is_completed()
    spans = sorted([(run.start_time, run.end_time) for run in [await rig.client.read_flow_run(r.id) for r in runs]])
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


async def test_a_run_that_suspends_gives_its_slot_back_and_goes_on_when_resumed(rig: Rig) -> None:
    async with rig.worker(limit=1) as worker:
        flow_run = await rig.run(await rig.deploy("asks"))
        await rig.reaches(flow_run, lambda state: state.is_paused())
        await rig.eventually(lambda: worker.executing == 0)
        await rig.ends(await rig.run(await rig.deploy("three_tasks")))
        await rig.client.resume_flow_run(flow_run.id)
        assert (await rig.ends(flow_run)).is_completed()
    assert rig.notes().count("answered") == 1
    assert rig.notes().count("asking") == 2


async def stops_when_suspended(rig: Rig) -> None:
    async with rig.worker() as working:
        flow_run = await rig.run(await rig.deploy("ticks"))
        await rig.eventually(rig.notes)
        await rig.client.set_flow_run_state(flow_run.id, Suspended(timeout_seconds=60))
        await rig.eventually(lambda: working.executing == 0)
        assert (await rig.state(flow_run)).is_paused()


async def test_a_run_that_somebody_suspends_stops_at_its_next_task(rig: Rig) -> None:
    await stops_when_suspended(rig)


async def test_a_suspension_of_which_no_event_tells_is_found(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, times: Times
) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(stream, "get_events_subscriber", refuse)
    times(sweep=0.2)
    await stops_when_suspended(rig)


async def test_a_retry_in_the_ui_runs_the_same_run_again(rig: Rig) -> None:
    async with rig.worker():
        flow_run = await rig.run(await rig.deploy("counts"))
        await rig.ends(flow_run)
        await rig.client.set_flow_run_state(flow_run.id, Scheduled(name="AwaitingRetry"), force=True)
        await rig.eventually(lambda: rig.notes() == ["count 1", "count 2"])


async def broken(rig: Rig, kind: str) -> FlowRun:
    match kind:
        case "poison":
            deployment = await rig.deploy("three_tasks", enforce_parameter_schema=False)
            return await rig.client.create_flow_run_from_deployment(deployment, parameters={"bad": 1})
        case "missing":
            return await rig.run(await rig.deploy("three_tasks", entrypoint="no.such.module.at_all", name="missing"))
        case _:
            return await rig.run(await rig.deploy(kind))


@pytest.mark.parametrize(
    ("kind", "type_", "says"),
    [
        ("poison", StateType.CRASHED, "to"),
        ("missing", StateType.CRASHED, "no.such.module.at_all cannot be loaded"),
        ("blocking", StateType.CRASHED, "is not an async function"),
        ("fails", StateType.FAILED, "as it was written"),
    ],
)
async def test_what_is_wrong_with_one_run_is_said_in_its_state_and_the_worker_goes_on(
    rig: Rig, kind: str, type_: StateType, says: str
) -> None:
    async with rig.worker():
        flow_run = await broken(rig, kind)
        state = await rig.ends(flow_run)
        assert state.type is type_
        assert says in (state.message or "")
        assert (await rig.ends(await rig.run(await rig.deploy("three_tasks")))).is_completed()


async def test_a_worker_that_drains_says_so_until_it_ends(rig: Rig) -> None:
    async with rig.worker() as worker:
        await rig.run(await rig.deploy("ticks"))
        await rig.eventually(rig.notes)
        worker.drain()
        await rig.eventually(lambda: rig.maintenance.drains == [False, True])
    assert rig.maintenance.drains == [False, True, False]


async def test_a_result_that_cannot_be_pickled_harms_nobody(rig: Rig) -> None:
    async with rig.worker():
        await rig.ends(await rig.run(await rig.deploy("unpicklable")))
        assert (await rig.ends(await rig.run(await rig.deploy("three_tasks")))).is_completed()


async def test_the_worker_is_online_in_the_ui_and_upkeep_is_done(rig: Rig) -> None:
    async with rig.worker() as worker:

        async def online() -> bool:
            workers = await rig.client.read_workers_for_work_pool(rig.pool)
            return [(w.name, w.status) for w in workers] == [(worker.name, WorkerStatus.ONLINE)]

        assert await rig.eventually(online)
        assert rig.maintenance.ticks == 1
        assert worker.is_worker_still_polling(query_interval_seconds=10)
    assert rig.maintenance.closed


async def test_run_once_runs_what_is_due_and_ends(rig: Rig) -> None:
    await rig.make_pool()
    deployment = await rig.deploy("three_tasks")
    runs = [await rig.run(deployment, at=soon(seconds)) for seconds in (-5, 1)]
    worker = OpenClawWorker(rig.pool, name="once", maintenance=rig.maintenance)
    await worker.start(run_once=True, printer=lambda *_: None)
    for flow_run in runs:
        assert (await rig.state(flow_run)).is_completed()
