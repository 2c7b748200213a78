"""The jobs of a crontab as another scheduler's: which of ours has which line."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.crontab import parse
from deployments.crontab_jobs import ORIGIN, origin_of
from deployments.importing.foreign import Found, Source
from ocs.spec import Job

PROGRAM = "crontab"
OWN = "crontab -l"
"""Where one's own is read from."""


def read(text: str, where: str, jobs: Iterable[Job], timezone: str) -> Source:
    """Those lines that a job was imported from; `timezone` is cron's own. An entry is known by its whole text."""
    ours = {job.origin: job for job in jobs if (job.origin or "").startswith(ORIGIN)}
    found: list[Found] = []
    for entry in parse(text).entries:
        if (job := ours.get(origin_of(entry))) is None:
            continue
        zone = entry.environment.get("CRON_TZ") or timezone
        document = {"schedule": {"cron": entry.schedule, "timezone": zone}}
        found.append(Found(job.id, entry.text, True, document))
    return Source(PROGRAM, where, tuple(found))
