"""A worker is killed at each named point of a run's life, and started again: nothing is lost, doubled or stuck."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.invariants import Seen
from tests.crash.points import POINTS, RECOVERY, Reached
from tests.crash.rig import Rig

pytestmark = pytest.mark.e2e
RUNS = "while the shell runs"


async def family(rig: Rig, *, does: str = "true", **document: Any) -> None:
    """A job with a child for each way to end, and one that comes after any; and a run of it."""
    rig.scene.write("load", does, **document)
    rig.scene.write("left", after={"job": "load", "on": "success"})
    rig.scene.write("right", after={"job": "load", "on": "complete"})
    rig.scene.write("tell", after={"job": "load", "on": "failure"})
    await rig.system.deploy()
    await rig.scene.run("load")


def ends(rig: Rig, seen: Seen, name: str = "load") -> list[RunStatus]:
    runs = [run for run in seen.runs if run.job_id == rig.system.id(name)]
    return [run.status for run in sorted(runs, key=lambda run: run.started_at)]


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_at_a_point_leaves_nothing_lost_doubled_or_stuck(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await family(rig, does=rig.scene.waiting() if POINTS[point].shell_waits else "true")
    await rig.killed()
    rig.scene.gate.touch()
    rig.start_worker()
    seen = await rig.scene.at_rest()
    first = RunStatus.CRASHED if POINTS[point].reached is Reached.CLAIMED else RunStatus.OK
    assert ends(rig, seen) == [first]
    await rig.scene.run("load")
    assert ends(rig, await rig.scene.at_rest()) == [first, RunStatus.OK]


@pytest.mark.parametrize("point", RECOVERY)
async def test_a_worker_killed_while_it_recovers_leaves_the_rest_to_the_next(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at="after claim")
    await family(rig)
    await rig.killed()
    rig.start_worker(kill_at=point)
    await rig.killed()
    rig.start_worker()
    assert ends(rig, await rig.scene.at_rest()) == [RunStatus.CRASHED]


async def test_what_a_killed_worker_and_its_reaper_left_running_is_ended(rig: Rig) -> None:
    rig.start_worker()
    await family(rig, does=rig.scene.waiting())
    await rig.system.eventually(lambda: recorded(rig))
    rig.kill_worker(reaper_too=True)
    assert (await rig.scene.look({})).alive
    rig.start_worker()
    assert ends(rig, await rig.scene.at_rest()) == [RunStatus.CRASHED]


async def recorded(rig: Rig) -> bool:
    """Whether the store knows the process of the job's run."""
    return any(run.pid for run in await rig.system.runs_of("load"))


async def test_a_replay_repeats_what_was_cut_off_and_only_that(rig: Rig) -> None:
    rig.start_worker(kill_at=RUNS)
    await family(rig, does=rig.scene.waiting(), run={"guarantee": "at-least-once"})
    await rig.killed()
    rig.scene.gate.touch()
    rig.start_worker()
    assert ends(rig, await rig.scene.at_rest()) == [RunStatus.CRASHED, RunStatus.OK]


async def test_replays_are_bounded_and_the_failure_is_told_after_the_last(rig: Rig) -> None:
    """A job that takes its worker down with it does so no more often than it may (W24)."""
    rig.start_worker(kill_at=RUNS)
    await family(rig, does=rig.scene.waiting(), run={"guarantee": "at-least-once", "max_replays": 2})
    for _ in range(2):
        await rig.killed()
        rig.start_worker(kill_at=RUNS)
    await rig.killed()
    rig.scene.gate.touch()
    rig.start_worker()
    seen = await rig.scene.at_rest()
    assert ends(rig, seen) == [RunStatus.CRASHED] * 3
    assert ends(rig, seen, "tell") == [RunStatus.OK]


@pytest.mark.parametrize("point", ["after finish", "after a child was sent, before that is noted"])
async def test_a_retry_follows_once_when_the_worker_dies_before_it_was_sent(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await family(rig, does="exit 3", retry={"max": 1, "delay": "1s"})
    await rig.killed()
    rig.start_worker()
    seen = await rig.scene.at_rest()
    assert ends(rig, seen) == [RunStatus.ERROR, RunStatus.ERROR]
    assert ends(rig, seen, "tell") == [RunStatus.OK]


async def test_a_crash_lets_the_next_of_its_pool_and_of_its_queue_go_on(rig: Rig) -> None:
    rig.start_worker(kill_at=RUNS)
    await family(rig, does=rig.scene.waiting(), limits={"overlap": "queue", "pool": rig.system.id("pool")})
    await rig.scene.run("load")
    await rig.killed()
    rig.scene.gate.touch()
    rig.start_worker()
    assert ends(rig, await rig.scene.at_rest()) == [RunStatus.CRASHED, RunStatus.OK]


async def test_a_worker_killed_when_it_put_a_run_in_line_loses_neither(rig: Rig) -> None:
    rig.start_worker(kill_at="after it was put in line")
    await family(rig, does=rig.scene.waiting(), limits={"overlap": "queue"})
    await rig.system.eventually(lambda: recorded(rig))
    await rig.scene.run("load")
    await rig.killed()
    rig.scene.gate.touch()
    rig.start_worker()
    # The flow run that was put in line may begin again after its dispatch went on in another one: then it is skipped.
    both = [status for status in ends(rig, await rig.scene.at_rest()) if status is not RunStatus.SKIPPED]
    assert both == [RunStatus.CRASHED, RunStatus.OK]
