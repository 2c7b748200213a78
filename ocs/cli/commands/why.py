"""`ocs why` and `ocs calendar`: what became of every occurrence, and what is to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import JobId, SomeJobId, moment_of
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import UsageError
from ocs.rules.why import Line, What
from ocs.rules.wording import SHORT, first_line, local, utc
from ocs.service import session
from ocs.service.explaining import MOST, chosen_job, is_cut, line_view, told_of
from ocs.service.incidents import in_words, incident_views
from ocs.service.job_views import schedule_text
from ocs.service.moments import checked_moment

if TYPE_CHECKING:
    from ocs.spec import Job

DAY = timedelta(days=1)
AROUND = timedelta(seconds=60)
WEEK = 7


app = typer.Typer()


@app.command(epilog="Example:  ocs why nightly-report --since 7d")
def why(
    job: JobId,
    at: Annotated[str | None, typer.Option(help="What was due at this moment, such as 2026-11-24T03:00.")] = None,
    since: Annotated[str | None, typer.Option(help="All that was due since: 2d, or a moment. By default 1d.")] = None,
) -> None:
    """Say of every occurrence of a job what became of it, and why: also of those while everything was down.

    In JSON, `cut` says that there were more than are told, and that these are the newest.
    """
    if at is not None and since is not None:
        raise UsageError("Say --at or --since, not both.")
    chosen = session.run(chosen_job(job))
    now = session.now()
    moment = _moment(at) if at else None
    begins, ends = (moment - AROUND, moment + AROUND) if moment else (moment_of(since or "1d") or now - DAY, now)
    begins = begins.astimezone(UTC)
    found = session.run(told_of([chosen], begins, ends, now))[chosen.id]
    _tell(chosen, found, _nearest(chosen, moment) if moment and not found else [], now, session.run(_incident(chosen)))


@app.command(epilog="Example:  ocs calendar nightly-report")
def calendar(
    job: SomeJobId = None,
    week: Annotated[int, typer.Option(help="Which: 0 is this one, -1 the one before.", min=-520, max=520)] = 0,
) -> None:
    """Show a week of one job or of all: what ran, what did not, what is to come."""
    catalogue = session.catalogue()
    jobs = [session.job_of(catalogue, job)] if job else [each for each in catalogue.jobs.values() if each.enabled]
    now = session.now()
    today = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday() - WEEK * week)
    days = [(monday.replace(tzinfo=None) + timedelta(days=number)).astimezone() for number in range(WEEK + 1)]
    span = (days[0].astimezone(UTC), days[-1].astimezone(UTC) - timedelta(microseconds=1))
    told = session.run(told_of(jobs, *span, now))
    if cut := [job_id for job_id, found in told.items() if is_cut(found, now)]:
        tell(f"Of what was due, the newest {MOST:,} are counted: {', '.join(cut)}.", style="yellow")
    weeks = {job_id: [_of_day(found, days, number) for number in range(WEEK)] for job_id, found in told.items()}

    def people() -> None:
        headings = ("JOB", *(f"{day:%a %d}".upper() for day in days[:WEEK]))
        table(headings, [(job_id, *map(_cell, each)) for job_id, each in weeks.items()])
        if job:
            say("")
            _table([line for line in told[jobs[0].id] if line.what is not What.COMING or line.due < now + DAY])

    views = [
        {"job": job_id, "days": [_day(of_day, day) for of_day, day in zip(each, days, strict=False)]}
        for job_id, each in weeks.items()
    ]
    answer({"week": days[0].date().isoformat(), "jobs": views}, people)


def _moment(text: str) -> datetime:
    try:
        return checked_moment("--at", text).astimezone(UTC)
    except ValueError:
        raise UsageError(f'--at "{text}": write a moment such as 2026-11-24T03:00') from None


async def _incident(job: Job) -> dict[str, Any] | None:
    """Its open incident; it has one at most."""
    if not session.has_store():
        return None
    async with session.store() as store:
        return next(iter(await incident_views(store, job=job.id)), None)


def _nearest(job: Job, moment: datetime) -> list[datetime]:
    """What was due just before and is due just after a moment at which nothing is."""

    from ocs.rules.occurrences import newest_between, next_occurrence

    if job.schedule is None:
        return []
    before = newest_between(job.schedule, moment - timedelta(days=40), moment, 1)
    after = next_occurrence(job.schedule, moment)
    return [*before, *([after] if after else [])]


def _tell(
    job: Job, found: Sequence[Line], nearest: Sequence[datetime], now: datetime, incident: Mapping[str, Any] | None
) -> None:
    from ocs.rules.occurrences import next_occurrence

    coming = next_occurrence(job.schedule, now) if job.schedule and job.enabled else None

    def people() -> None:
        if found:
            _table(found)
            if is_cut(found, now):
                tell(f"These are the newest {MOST:,}; of an earlier one --at tells.", style="yellow")
        elif nearest:
            say(f"Nothing of {job.id} was due then; nearest: {', '.join(local(moment) for moment in nearest)}.")
        else:
            say(f"Nothing of {job.id} was due: it runs {schedule_text(job) or 'only by hand'}.")
        if incident:
            tell(f"{job.id} is {in_words(incident)}.", style="yellow")
        if not job.enabled:
            tell(f"{job.id} is off now.  ocs jobs enable {job.id}", style="yellow")
        elif coming:
            say(f"Next: {local(coming)}")

    payload = {
        "job": job.id,
        "occurrences": [line_view(line) for line in found],
        "cut": is_cut(found, now),
        "nearest": [utc(moment) for moment in nearest],
        "next": utc(coming),
        "incident": incident,
    }
    answer(payload, people)


def _table(found: Sequence[Line]) -> None:
    rows = [
        (
            local(line.due),
            line.what,
            "" if line.kind == "scheduled" else line.kind,
            str(line.run_id)[:SHORT] if line.run_id else "",
            line.by or "",
            first_line(line.why, 90),
        )
        for line in found
    ]
    table(("DUE", "", "KIND", "RUN", "BY", "WHY"), rows, spare=("BY", "KIND"))


def _of_day(found: Sequence[Line], days: Sequence[datetime], number: int) -> list[Line]:
    return [line for line in found if days[number] <= line.due < days[number + 1]]


def _day(found: Sequence[Line], day: datetime) -> dict[str, Any]:
    return {"day": day.date().isoformat(), "counts": _counts(found), "occurrences": [line_view(line) for line in found]}


def _counts(found: Sequence[Line]) -> dict[str, int]:
    told = [line for line in found if line.what is not What.NO_RECORD]
    return {what.value: count for what in What if (count := sum(line.what is what for line in told))}


def _cell(found: Sequence[Line]) -> str:
    return ", ".join(f"{count} {what}" for what, count in _counts(found).items())
