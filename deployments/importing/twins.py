"""Twins: a job here and the one of another scheduler that it was imported from, side by side."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from deployments.crontab_jobs import place_of
from deployments.importing import automations, crontab_lines, scheduler
from deployments.importing.foreign import STAYS_OFF, Found, Source
from ocs.errors import Refused
from ocs.rules.occurrences import newest_between, occurrences
from ocs.spec import Job, Schedule
from ocs.spec.written import on_a_line

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Twin:
    """The two of them."""

    job: Job
    found: Found

    @property
    def is_begun_there(self) -> bool:
        """Whether the other program begins it by itself: a child follows whoever has its parent."""
        return self.found.enabled and self.found.parent is None


def twins(source: Source, jobs: Iterable[Job]) -> list[Twin]:
    """Each job of the source that has one here."""
    ours = list(jobs)
    if source.program == crontab_lines.PROGRAM:
        known = {job.id: job for job in ours}
    else:
        known = {alias: job for job in ours for alias in job.aliases}
    return [Twin(known[found.source_id], found) for found in source.jobs if found.source_id in known]


def taken_over(source: Source, jobs: Iterable[Job]) -> list[Job]:
    """The jobs that a switch enables: imported from there, not to stay off, and no one-shot that is gone over there."""
    pairs = {twin.job.id for twin in twins(source, jobs)}
    return [
        job
        for job in jobs
        if source.program in job.tags
        and STAYS_OFF not in job.tags
        and (job.id in pairs or job.schedule is None or job.schedule.at is None)
    ]


def is_from(source: Source, job: Job) -> bool | None:
    """Whether a job that the source does not have came from there; None where that is not known."""
    if source.program != crontab_lines.PROGRAM:
        return None  # another database lacks it just as well as the one that has let go of it
    place = place_of(job.origin or "")
    return None if place is None else place == crontab_lines.place(source.where)


def theirs(found: Found, now: datetime, count: int) -> list[datetime]:
    """When the other program runs a job next, as far as it has said so itself, and by its schedule from then on.

    Raises:
        Refused: it has a schedule by now that means nothing here.
    """
    try:
        return _theirs(found, now, count)
    except ValidationError as wrong:
        said = wrong.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(f"its schedule there cannot be read: {on_a_line(said)}") from wrong
    except ArithmeticError as wrong:  # an interval of nothing, or beyond the last year
        raise Refused("its schedule there has no times") from wrong


def _theirs(found: Found, now: datetime, count: int) -> list[datetime]:
    if "schedule" not in found.document:
        return []
    schedule = Schedule.model_validate(found.document["schedule"])
    due, every = found.standing.due, found.standing.every
    if due is not None and every is not None:
        first = due + max(-((due - now) // every), 0) * every
        return [first + number * every for number in range(count)]
    if due is None or due <= now:
        return occurrences(schedule, now, count)
    return [due, *occurrences(schedule, due, count - 1)]


def difference(their: Sequence[datetime], our: Sequence[datetime]) -> str | None:
    """Where two series part, None when they are the same."""
    if list(their) == list(our):
        return None
    first = next((number for number, pair in enumerate(zip(their, our, strict=False)) if pair[0] != pair[1]), None)
    if first is None:
        return f"there {len(their)} times, here {len(our)}"
    return f"there {their[first]:%Y-%m-%d %H:%M:%S}, here {our[first]:%Y-%m-%d %H:%M:%S} UTC"


def owed(twin: Twin, now: datetime) -> datetime | None:
    """The newest occurrence that is past and has not been run over there; earlier ones have merged into it."""
    schedule, standing = twin.job.schedule, twin.found.standing
    since = standing.due - SECOND if standing.due else None if twin.found.enabled else standing.since
    if schedule is None or since is None or since >= now:
        return None
    if schedule.moment is not None:
        return schedule.moment if since < schedule.moment <= now else None
    newest = newest_between(schedule, since, now, 1)
    return newest[-1] if newest else (standing.due if standing.due and standing.due <= now else None)


def how_to_stop(source: Source, pairs: Sequence[Twin]) -> str:
    """The command with which a person takes the jobs away from the other program."""
    begun = [twin.found for twin in pairs if twin.is_begun_there]
    if source.program == crontab_lines.PROGRAM:
        lines = " ".join(f"-e {_word(found.name)}" for found in begun)
        if source.where == crontab_lines.OWN:
            return f"crontab -l | grep -vxF {lines} | crontab -"
        file, kept = _word(source.where), _word(f"{source.where}.kept~")
        before = _word(f"{source.where}.before~")
        # No cron reads names that end in ~, also in cron.d. The copy has the file's owner and mode,
        # and takes its place in one step: a failed write leaves the file.
        return (
            f"cp -p {file} {before} && cp -p {file} {kept} && "
            f"{{ grep -vxF {lines} {before} > {kept} || [ $? -eq 1 ]; }} && mv {kept} {file}"
        )
    ids = " ".join(_word(found.source_id) for found in begun)
    where = Path(source.where).absolute()
    if source.program == automations.PROGRAM:
        return f'for id in {ids}; do openclaw automations disable "$id"; done'
    named = "" if where == scheduler.place().absolute() else f"SCHEDULER_DB={_word(str(where))} "
    return f'for id in {ids}; do {named}openclaw-scheduler jobs disable "$id"; done'


def _word(text: str) -> str:
    """A word of a shell. What a screen would not show, or show elsewhere, is escaped as bash and zsh read it."""
    if text.isprintable():
        return shlex.quote(text)
    said = "".join(
        "\\" + each
        if each in "\\'"
        else each
        if each.isprintable()
        else "".join(f"\\{byte:03o}" for byte in each.encode("utf-8", "surrogateescape"))
        for each in text
    )
    return f"$'{said}'"
