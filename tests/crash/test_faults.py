"""Server, store, disk or clock misbehave for a while: nothing is lost, and all is well afterwards without a hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url
from sqlmodel import col, delete

from ocs.rules.dispatch import RunStatus
from ocs.server.child import Child
from ocs.store.tables import IdempotencyKey, JobState, Run
from tests.crash.nursery import TICKS, nursery
from tests.crash.relay import Mood, Relay
from tests.crash.rig import Rig, Scene
from tests.e2e.system import running_system

pytestmark = pytest.mark.e2e
CHUNK = 65536
TRIED = 3
"""Connections that met the trouble before it ends: it was noticed, and tried again."""


@asynccontextmanager
async def rig_with(
    server: tuple[str, Child],
    folder: Path,
    *,
    api_url: str | None = None,
    store_url: str | None = None,
    workers_store: str | None = None,
) -> AsyncIterator[Rig]:
    """A rig with a home of its own, whose worker reaches server or store by another way."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = {**TICKS, **({"OCS_STORE_URL": workers_store} if workers_store else {})}
    # A server that hangs is given up sooner than in a minute.
    env["PREFECT_API_REQUEST_TIMEOUT"] = "5"
    with nursery(api_url=api_url or server[0], home=home, log=folder / "workers.log", env=env) as workers:
        async with running_system(server[0], home, folder / "project", store_url=store_url) as system:
            made = Rig(Scene(system, folder), server[0], server[1], workers)
            try:
                yield made
            finally:
                made.kill_workers()


async def at_work(rig: Rig) -> None:
    """A job with a child, whose run is held while its shell waits, and one that runs by itself."""
    rig.scene.write("load", rig.scene.waiting())
    rig.scene.write("next", after={"job": "load", "on": "complete"})
    rig.scene.write("other", limits={"overlap": "allow"})
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.system.eventually(lambda: runs(rig))


async def runs(rig: Rig) -> bool:
    """Whether the shell of the job is at work."""
    return any(run.pid for run in await rig.system.runs_of("load"))


async def all_is_well(rig: Rig) -> None:
    """The run that met the trouble went well, its child followed, and a new run goes as ever."""
    await rig.scene.run("other")
    seen = await rig.scene.at_rest()
    assert {run.status for run in seen.runs} == {RunStatus.OK}
    assert {run.job_id for run in seen.runs} == set(seen.jobs)


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.FAIL, Mood.HANG], ids=lambda mood: mood.name.lower())
async def test_a_server_in_trouble_costs_a_run_that_ends_meanwhile_nothing(
    crash_server: tuple[str, Child], tmp_path: Path, mood: Mood
) -> None:
    address = urlsplit(crash_server[0])
    relay = Relay(str(address.hostname), int(address.port or 0))
    async with relay.running():
        api_url = f"http://127.0.0.1:{relay.port}/api"
        async with rig_with(crash_server, tmp_path, api_url=api_url) as rig:
            rig.start_worker()
            await at_work(rig)
            await relay.turn(mood)
            rig.scene.gate.touch()
            await met(rig, relay)
            await relay.turn(Mood.PASS_ON)
            await all_is_well(rig)


@pytest.mark.postgres
async def test_a_store_that_goes_away_costs_a_run_that_ends_meanwhile_nothing(
    crash_server: tuple[str, Child], own_database: str, tmp_path: Path
) -> None:
    """The worker's way to Postgres is cut, while a run executes and another one begins."""
    address = make_url(own_database)
    relay = Relay(str(address.host), int(address.port or 5432))
    async with relay.running():
        through = address.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
        async with rig_with(crash_server, tmp_path, store_url=own_database, workers_store=through) as rig:
            rig.start_worker()
            await at_work(rig)
            await rig.scene.run("other")
            await relay.turn(Mood.REFUSE)
            rig.scene.gate.touch()
            await met(rig, relay)
            await relay.turn(Mood.PASS_ON)
            await all_is_well(rig)


async def met(rig: Rig, relay: Relay) -> None:
    """Wait until the trouble was met."""

    async def look() -> bool:
        return relay.troubled >= TRIED

    await rig.system.eventually(look)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes, which only root may mount."""
    disk = tmp_path / "home"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_loses_nothing_that_there_was_room_for(
    crash_server: tuple[str, Child], small_disk: Path, tmp_path: Path
) -> None:
    """Store and outputs are on it; it is full when the run ends, and has room again later."""
    async with rig_with(crash_server, tmp_path) as rig:
        rig.start_worker()
        await at_work(rig)
        fill(small_disk / "filler")
        rig.scene.gate.touch()

        async def noticed() -> bool:
            return "trying again" in (tmp_path / "workers.log").read_text()

        await rig.system.eventually(noticed)
        (small_disk / "filler").unlink()
        await all_is_well(rig)


async def test_a_job_that_prints_more_than_the_disk_holds_harms_nobody(
    crash_server: tuple[str, Child], small_disk: Path, tmp_path: Path
) -> None:
    """Its output is not kept whole, and takes nobody's room."""
    async with rig_with(crash_server, tmp_path) as rig:
        rig.start_worker()
        rig.scene.write("load", "head -c 20000000 /dev/zero | tr '\\0' 'x'")
        rig.scene.write("next", after={"job": "load", "on": "complete"})
        rig.scene.write("other")
        await rig.system.deploy()
        await rig.scene.run("load")
        run = await rig.system.ended_run("load")
        assert (run.stdout_bytes, run.stdout_path) == (20_000_000, None)
        assert "make room there" in run.summary
        assert not [path for path in (small_disk / "artifacts").rglob("*") if path.is_file()]
        await all_is_well(rig)


def fill(path: Path) -> None:
    """Write until there is no more room."""
    with path.open("wb", buffering=0) as file:
        for size in (CHUNK, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@pytest.mark.parametrize("jump", [86_400, -86_400], ids=["a day ahead", "a day back"])
async def test_a_clock_that_jumps_ends_no_run_and_loses_none(rig: Rig, jump: int) -> None:
    """The clock by which leases are given and taken for over jumps while a run executes, and stays there."""
    rig.start_worker(clock=jump)
    rig.scene.write("load", rig.scene.waiting())
    rig.scene.write("other")
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.system.eventually(lambda: runs(rig))
    rig.jump()
    await rig.scene.run("other")
    await rig.system.ended("other")
    rig.scene.gate.touch()
    await all_is_well(rig)


async def test_a_run_whose_record_was_deleted_while_it_ran_is_told_and_harms_nobody(rig: Rig) -> None:
    rig.start_worker()
    await at_work(rig)
    (run,) = await rig.system.runs_of("load")
    async with rig.system.store.transaction() as session:
        await session.execute(delete(Run).where(col(Run.id) == run.id))
    rig.scene.gate.touch()

    async def ended() -> str | None:
        state = (await rig.system.flow_run(run)).state
        return state.message if state is not None and state.is_final() else None

    assert "record is gone" in str(await rig.system.eventually(ended))
    await rig.scene.run("other")
    await rig.system.ended_run("other")


async def test_rows_that_somebody_took_out_of_the_store_are_made_anew(rig: Rig) -> None:
    """The ledger's and the job's state: a run ends and the next one goes as ever without them."""
    rig.start_worker()
    await at_work(rig)
    async with rig.system.store.transaction() as session:
        for table in (IdempotencyKey, JobState):
            await session.execute(delete(table).where(col(table.job_id) == rig.system.id("load")))
    rig.scene.gate.touch()
    await all_is_well(rig)
    await rig.scene.run("load")
    await rig.scene.at_rest()
