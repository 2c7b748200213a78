"""`ocs jobs preview --against`: when another scheduler runs its jobs next, and when ours run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocs.cli import importing
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import NotFound, Refused
from ocs.rules.wording import count_of, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from deployments.importing.twins import Twin


def compare(program: str, place: Path | None, job: str | None, count: int) -> None:
    """Show the next times of both side by side, and where they part."""
    from deployments.importing.twins import twins

    found = session.catalogue().checked()
    source = importing.read(program, place)
    pairs = twins(source, found.jobs.values())
    if job is not None:
        chosen = session.job_of(found, job)
        pairs = [twin for twin in pairs if twin.job.id == chosen.id]
    if not pairs:
        raise NotFound(f"Nothing here is from {program}.", hint=f"Import it: ocs jobs import {program} --help")
    views = [_view(twin, count) for twin in pairs]
    timed = [view for view in views if view["theirs"] or view["ours"]]
    differing = [view for view in views if view["differs"]]

    def people() -> None:
        rows = [
            (view["job"], _first(view["theirs"]), _first(view["ours"]), "differs" if view["differs"] else "the same")
            for view in timed
        ]
        if rows:
            table(("JOB", f"NEXT IN {program.upper()}", "NEXT HERE", f"OF {count}"), rows)
        if chained := len(views) - len(timed):
            say(f"Without times of their own: {count_of(chained, 'job')}.")
        for view in differing:
            tell(f"{view['job']}: {view['differs']}.", style="yellow")
        if not differing:
            switch = importing.switch_command(source)
            say(f"All {count_of(len(views), 'job')} run at the same times. Switch over: {switch}")

    answer({"against": program, "jobs": views}, people)


def _view(twin: Twin, count: int) -> dict[str, Any]:
    from deployments.importing.twins import difference, theirs
    from ocs.rules.occurrences import occurrences

    now = session.now()
    ours = occurrences(twin.job.schedule, now, count) if twin.job.schedule else []
    try:
        their = theirs(twin.found, now, count)
        differs = difference(their, ours)
    except Refused as refused:
        their, differs = [], refused.message
    return {
        "job": twin.job.id,
        "id": twin.found.source_id,
        "enabled": twin.job.enabled,
        "enabled_there": twin.found.enabled,
        "theirs": [utc(moment) for moment in their],
        "ours": [utc(moment) for moment in ours],
        "differs": differs,
    }


def _first(times: list[str]) -> str:
    return local(times[0]) if times else "never"
