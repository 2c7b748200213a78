"""The jobs of a crontab as another scheduler's: which of ours has which line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deployments.crontab import parse
from deployments.crontab_jobs import ORIGIN, bare, command_of, origin_of
from deployments.importing.foreign import Found, Source
from ocs.spec import Job

PROGRAM = "crontab"
OWN = "crontab -l"
"""Where one's own is read from."""


def place(where: str) -> str:
    """Where a crontab is, so that it is the same from every folder."""
    return where if where in (OWN, "-") else str(Path(where).absolute())


def read(text: str, where: str, jobs: Iterable[Job], timezone: str) -> Source:
    """Those lines that a job was imported from; `timezone` is cron's own.

    A line is a job's also when only variables above it have changed, and in whichever form the file is: one line too
    many is looked at by a person, one too few runs twice.
    """
    ours = [job for job in jobs if (job.origin or "").startswith(ORIGIN)]
    by_origin = {bare(job.origin or ""): job for job in ours}
    by_words = {_words(job): job for job in ours}
    found: dict[tuple[str, str], Found] = {}
    for entry in (*parse(text).entries, *parse(text, with_user=True).entries):
        job = by_origin.get(origin_of(entry)) or by_words.get((entry.schedule, command_of(entry)))
        if job is None:
            continue
        zone = entry.environment.get("CRON_TZ") or timezone
        document = {"schedule": {"cron": entry.schedule, "timezone": zone}}
        found.setdefault((job.id, entry.text), Found(job.id, entry.text, True, document))
    return Source(PROGRAM, where, tuple(found.values()))


def _words(job: Job) -> tuple[str | None, str | None]:
    command: str | None = getattr(job.run.work, "command", None)
    return (job.schedule.cron if job.schedule else None), command
