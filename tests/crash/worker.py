"""The real worker, in a process that kills itself at a named point: `python -m tests.crash.worker --kill-at ...`.

It is `ocs.worker` with one function wrapped, or several at which runs of given jobs hold. Once the note of its death is
there it lives as any other worker, so that whoever starts it again (a supervisor, too) starts a plain one.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tasks.adapter.runtime
import tasks.commands
from ocs import settings
from ocs.parent_death import end_with_parent
from ocs.rules.dispatch import DispatchResult
from ocs.spec import Shell
from ocs.timing import timing
from ocs.worker.__main__ import work
from tasks.strategies.shell import run_shell
from tests.crash.points import ALL

RUN_ID = "CRASH_TEST_RUN"
"""Shells find the id of their run here, so that a job's side effects tell which run had them."""


def main(given: Sequence[str] | None = None) -> None:
    """Parse, arm and work."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.worker")
    parser.add_argument("--kill-at", choices=[*ALL])
    parser.add_argument("--note", type=Path, help="where its death is written down; once it is there it works on")
    parser.add_argument("--hold", action="append", default=[], metavar="JOB=POINT", help="where a run waits")
    parser.add_argument("--holds", type=Path, help="where it is written down that runs wait, and told to go on")
    parser.add_argument("--clock", type=float, help="by how many seconds the clock goes wrong, once --jump is there")
    parser.add_argument("--jump", type=Path)
    parser.add_argument("--pool", default=settings.WORK_POOL)
    parser.add_argument("--name", default="crash")
    parser.add_argument("--limit", type=int, default=20)
    asked = parser.parse_args(given)
    tasks.commands.run_shell = _telling_its_run
    if asked.kill_at is not None and not asked.note.exists():
        ALL[asked.kill_at].kill(asked.note)
    for hold in asked.hold:
        job_id, _, point = hold.partition("=")
        ALL[point].hold(job_id, asked.holds)
    if asked.clock is not None:
        tasks.adapter.runtime.clock = lambda: datetime.now(UTC) + timedelta(seconds=asked.clock * asked.jump.exists())
    end_with_parent(timing().worker_end)
    asyncio.run(work(asked.pool, asked.name, asked.limit))


async def _telling_its_run(shell: Shell, *, artifacts: Path, **options: Any) -> DispatchResult:
    env = {**shell.env, RUN_ID: artifacts.name}
    return await run_shell(shell.model_copy(update={"env": env}), artifacts=artifacts, **options)


if __name__ == "__main__":
    main()
