"""The drill: a backup under load, everything deleted, restored, started again; nothing runs twice, nothing is stuck."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from ocs.rules.dispatch import RunStatus
from ocs.rules.guards import SkipReason
from ocs.store import open_store, queries
from ocs.store.tables import Run
from tests.cli.command import OCS, Ocs
from tests.cli.forked import Mother
from tests.crash.invariants import Seen
from tests.crash.rig import MARK, Scene
from tests.e2e.system import RunningSystem

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ASKED = 5
SECRET = "geheim-4711"
UNTRACED = ("keeps-x", "backup-x")
NAMES = ("tick", "tock")
EVER = datetime.min.replace(tzinfo=UTC)


class WhatIsKnown(Scene):
    """Without what ran after the backup, of which nothing but its traces is left."""

    def write(self, name: str, then: str = "", **document: Any) -> str:
        """As a job of anybody's worker."""
        shell = {"command": f'echo "$OCS_RUN_ID" >> {self.traces}; {then or "true"}', "env": {MARK: self.mark}}
        return self.system.write(name, run={"shell": shell, **document.pop("run", {})}, **document)

    async def look(self, occurrences: Mapping[str, Sequence[datetime]]) -> Seen:
        seen = await super().look(occurrences)
        known = {run.id for run in seen.runs}
        traced = [run for run in seen.runs if run.job_id not in UNTRACED]
        asked = [row for row in seen.dispatches if row.job_id not in UNTRACED]
        executed = [run_id for run_id in seen.executed if run_id in known]
        return replace(seen, runs=traced, dispatches=asked, executed=executed)


@asynccontextmanager
async def scene_of(ocs: Ocs, folder: Path) -> AsyncIterator[Scene]:
    """What runs in a home, for as long as that is there."""
    said = ocs.json("env")["env"]
    store = open_store(f"sqlite+aiosqlite:///{ocs.home / 'store.db'}")
    known = {PREFECT_API_URL: said["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: said["PREFECT_API_AUTH_STRING"]}
    try:
        with temporary_settings(known):
            async with get_client() as client:
                yield WhatIsKnown(RunningSystem(ocs.folder, store, client, "x"), folder)
    finally:
        await store.close()


def write(ocs: Ocs, scene: Scene) -> None:
    """Jobs of every kind that a restore may lose or double."""
    scene.write("tick", schedule={"every": "10s"}, limits={"overlap": "allow"})
    scene.write("tock", schedule={"every": "10s"}, limits={"overlap": "allow"}, run={"guarantee": "at-least-once"})
    scene.write("next", after={"job": "tick", "on": "complete"})
    done = scene.folder / "line"
    scene.write("line", f"echo done >> {done}; sleep 1", limits={"overlap": "queue"})
    keeps = f'test "$SECRET" = {SECRET} && echo kept >> {scene.folder / "secrets"}'
    shell = {"command": keeps, "secrets": {"SECRET": "drill"}}
    ocs.write("keeps-x", f"id: keeps-x\nrun: {{shell: {shell!r}}}\n")
    making = {"command": f"{OCS} backup create --folder {scene.folder / 'kept'} --keep 3", "env": {}}
    making["env"] = {"OCS_HOME": str(ocs.home)}
    ocs.write("backup-x", f"id: backup-x\nrun: {{shell: {making!r}}}\n")


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


async def test_what_is_restored_goes_on_and_runs_nothing_twice(
    tmp_path: Path, with_database: Callable[[Path], Path], bare: Mother
) -> None:
    project = tmp_path / "project"
    (project / "deployments" / "jobs").mkdir(parents=True)
    (project / "prefect.yaml").write_text("name: drill\n")
    ocs = Ocs(project, with_database(tmp_path / "home"), env={"OCS_TIMING_TICK": "3"}, mother=bare)
    try:
        ocs.json("up", "--detach", "--port", "0")
        made_at = await load_and_lose(ocs, tmp_path)
        await restore_and_go_on(ocs, tmp_path, made_at)
    finally:
        ocs("down", "--now")


async def load_and_lose(ocs: Ocs, folder: Path) -> datetime:
    """Back up in the middle of everything, let it go on for a while, and delete all of it."""
    async with scene_of(ocs, folder) as scene:
        write(ocs, scene)
        ocs.json("deploy")
        assert ocs("secrets", "set", "drill", stdin=SECRET).status == 0
        # Prefect plans what is due some seconds after a rollout: what it has not planned is in no backup.
        await scene.system.eventually(lambda: all_ran(scene))
        for _ in range(ASKED):
            await scene.run("line")
        await scene.system.eventually(lambda: has(scene, lambda: len(lines(folder / "line")) > 1))
        await scene.run("backup")
        made = await scene.system.ended_run("backup")
        assert made.status is RunStatus.OK, made
        assert len(lines(folder / "line")) < ASKED, "the backup was to be made while some waited"
        # What runs from here on is nowhere but in its own traces.
        await scene.system.eventually(lambda: has(scene, lambda: len(lines(folder / "line")) == ASKED))
        await scene.system.eventually(lambda: all_ran(scene, after=made.finished_at))
    ocs.json("down", "--now")
    shutil.rmtree(ocs.home)
    shutil.rmtree(ocs.folder)
    return made.started_at


async def restore_and_go_on(ocs: Ocs, folder: Path, made_at: datetime) -> None:
    ocs.folder.mkdir()
    (backup,) = (folder / "kept").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    restored = ocs.json("backup", "restore", str(backup))["restored"]
    assert (restored["secrets"], restored["key"]) == (1, "inside")
    lost_at = datetime.fromisoformat(restored["lost_at"])
    ocs.json("up", "--detach", "--port", "0")
    assert ocs("jobs", "run", "keeps-x", "--wait").status == 0
    assert lines(folder / "secrets") == ["kept"]
    async with scene_of(ocs, folder) as scene:
        await scene.system.eventually(lambda: runs_again(scene, lost_at))
        for name in ("tick-x", "tock-x"):
            ocs.json("jobs", "disable", name)
        await scene.at_rest()
        await check(scene, made_at, lost_at)
    assert lines(folder / "line") == ["done"] * ASKED


async def check(scene: Scene, made_at: datetime, lost_at: datetime) -> None:
    """What may have run before all was lost has run again only where that was agreed to."""
    tick, tock = [await queries.runs(scene.system.store, job=f"{name}-x", limit=1000) for name in NAMES]
    again = [run for run in tick if made_at < run.scheduled_for <= lost_at and run.started_at > lost_at]
    assert again
    assert all(run.skip_reason is SkipReason.MISSED for run in again)
    assert "from a backup" in again[0].summary
    assert any(is_made_up_for(run, lost_at) for run in tock)


def is_made_up_for(run: Run, lost_at: datetime) -> bool:
    return run.status is RunStatus.OK and run.scheduled_for <= lost_at < run.started_at


async def all_ran(scene: Scene, after: datetime = EVER) -> bool:
    """Both have run an occurrence that was due after that."""
    found = [await scene.system.runs_of(name) for name in NAMES]
    return all(any(run.status is RunStatus.OK and run.scheduled_for > after for run in runs) for runs in found)


async def has(_scene: Scene, look: Callable[[], bool]) -> bool:
    return look()


async def runs_again(scene: Scene, lost_at: datetime) -> bool:
    """Both have had occurrences that were due afterwards, and what was made up for has run."""
    found = [await scene.system.runs_of(name) for name in NAMES]
    tick, tock = [[run for run in runs if run.status is RunStatus.OK] for runs in found]
    later = [any(run.scheduled_for > lost_at for run in runs) for runs in (tick, tock)]
    return all(later) and any(is_made_up_for(run, lost_at) for run in tock)
