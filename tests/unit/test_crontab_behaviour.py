"""Forty lines of a crontab, run as jobs and by a model of cron: at the same times, in the same circumstances."""

from __future__ import annotations

import asyncio
import os
import pwd
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from deployments.crontab import parse
from deployments.crontab_jobs import Here, jobs_of
from ocs.rules.misfire import Newer, missed
from ocs.rules.occurrences import occurrences_between
from ocs.spec import Job, Shell
from tasks.strategies import environment
from tasks.strategies.shell import run_shell
from tests.unit import cron_model
from tests.unit.cron_model import Line

SHOW = 'echo "$HOME|$PWD|$LOGNAME|$SHELL|$PATH|$TZ|$GREETING|$0"; cat'
CRONTAB = f"""\
# m h dom mon dow command
*/5 * * * * {SHOW}
0 3 * * * {SHOW}
15 3 1,15 * * {SHOW} -
0 0 * * sun exit 3
0 9-17 * * 1-5 {SHOW}%a line%and another
30 2 13 * fri echo either
1-59/2 0-6/3 * * * {SHOW}
# old: 0 4 * * * echo gone
@daily {SHOW}
@hourly echo \\%H "100\\%"
@weekly {SHOW}%only\\%one
@monthly {SHOW}
@yearly {SHOW}
@midnight {SHOW}
GREETING="good day"
0 4 * jan,jul * {SHOW}
0 5 * * mon-fri {SHOW}
0 6 28 2 * {SHOW}
45 23 31 12 * {SHOW}
0 */4 * * * {SHOW}
10,40 8 * * * {SHOW}
SHELL=/bin/bash
5 4 * * 7 {SHOW}
6 4 * * 0 {SHOW}
7 4 * mar-may 1 {SHOW}
59 23 * * * [[ 1 == 1 ]] && {SHOW}
HOME=/tmp
0 1 * * * {SHOW}
0 2 * * * {SHOW}%%blank
*/20 1 * * 6 {SHOW}
TZ=Asia/Tokyo
0 12 * * * {SHOW}
0 13 1 */3 * {SHOW}
PATH=/bin
LOGNAME=nobody
0 14 * * * {SHOW}
0 15 29 2 * {SHOW}
GREETING=''
0 19 * * * {SHOW}
0 20 * * tue,thu {SHOW}
0 21 1-7 * * {SHOW}
0 22 */10 * * {SHOW}
-0 23 * * * {SHOW}
25 6 * * * exit 1
47 6 * * 7 kill -9 $$
52 6 1 * * {SHOW} 2>&1
20-25 7 * * * {SHOW}
@Daily echo ann%
"""
START = datetime(2027, 3, 1, tzinfo=UTC)
DAYS = 400
HOW_OFTEN = 100


def read() -> list[tuple[Line, Job]]:
    lines = cron_model.lines(CRONTAB)
    parsed = parse(CRONTAB)
    assert parsed.left == ()
    jobs = jobs_of(parsed.entries, Here("UTC", "ann"), known={}, taken=[])
    return list(zip(lines, (Job.model_validate(job.document) for job in jobs), strict=True))


READ = read()


def test_there_are_forty_and_each_is_due_when_cron_runs_it() -> None:
    assert len(READ) == 40
    for line, job in READ:
        assert job.schedule is not None
        before = START - timedelta(seconds=1)
        crons = list(islice(cron_model.wall_times(line.fields, before.replace(tzinfo=None), DAYS), HOW_OFTEN))
        until = crons[-1].replace(tzinfo=UTC)
        ours = occurrences_between(job.schedule, before, until)
        assert [moment.replace(tzinfo=None) for moment in ours] == crons, line


def test_each_finds_what_cron_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once: what it sees and says, and how it ends, from a worker whose own circumstances are others."""
    user = pwd.getpwuid(os.getuid())
    circumstances = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": "/bin/zsh"}
    for name, value in circumstances.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TZ", raising=False)

    async def both(number: int, line: Line, job: Job) -> tuple[tuple[int, str], tuple[int | None, str]]:
        assert isinstance(job.run.work, Shell)
        theirs = await cron_model.run(line, user.pw_name, user.pw_dir)
        ours = await run_shell(
            job.run.work,
            run_id=f"{number}",
            timeout=job.run.timeout,
            output=job.output,
            secrets={},
            folder=environment.folder_of(job.run.work, tmp_path),
            artifacts=tmp_path / f"{number}",
            on_line=lambda _stream, _line: None,
            on_start=_nothing,
        )
        return theirs, (-9 if ours.signal == "SIGKILL" else ours.exit_code, ours.content)

    async def all_of_them() -> list[tuple[tuple[int, str], tuple[int | None, str]]]:
        return await asyncio.gather(*(both(number, line, job) for number, (line, job) in enumerate(READ)))

    for (line, _), (theirs, ours) in zip(READ, asyncio.run(all_of_them()), strict=True):
        assert ours == theirs, line


async def _nothing(_pid: int, _started_at: float) -> None: ...


@pytest.mark.parametrize("job", [job for _, job in READ], ids=lambda job: job.id)
def test_failures_and_earlier_runs_stop_none_and_what_was_missed_is_not_made_up_for(job: Job) -> None:
    assert job.schedule is not None
    assert (job.limits.overlap, job.backoff, job.retry.max) == ("allow", False, 0)
    now = START + timedelta(hours=2)
    for newer in (None, Newer(now)):
        assert missed(job.schedule, START, now, newer) is not None
        assert missed(job.schedule, now, now, newer) is None
    assert job.run.timeout > timedelta(days=1)
