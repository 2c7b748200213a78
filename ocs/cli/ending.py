"""The embedded server is ending: what every view says of it, and who may not ask for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ocs.errors import Refused
from ocs.rules.wording import SHORT, count_of, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from ocs.spec import Job
    from ocs.store.tables import Run

RUN_ID = "OCS_RUN_ID"
"""By it a job's command knows its run."""
AGAIN = "Start it again when it has ended: ocs up --detach   End its runs too: ocs down --now"


def ending_since() -> str | None:
    """Since when the embedded server that commands talk to takes nothing new; None while it goes on."""
    up = session.embedded_at()
    return up.ending_since if up else None


def view(running: Sequence[Run], jobs: dict[str, Job]) -> dict[str, Any] | None:
    """That it is ending, for how many runs it waits, and until when at the latest, where their jobs say so."""
    since = ending_since()
    if since is None:
        return None
    ends = [run.started_at + jobs[run.job_id].run.timeout for run in running if run.job_id in jobs]
    until = max(ends) if len(ends) == len(running) and ends else None
    return {"since": since, "waits_for": len(running), "until": utc(until)}


def sentence(ending: dict[str, Any]) -> str:
    """The same for people."""
    until = f", until {local(ending['until'])} at the latest" if ending["until"] else ""
    return f"ending since {local(ending['since'])}; waits for {count_of(ending['waits_for'], 'run')}{until}"


def warn_if_ending() -> str | None:
    """What is said to whoever starts something that will not begin; None while it will."""
    since = ending_since()
    return f"The server is ending since {local(since)}, so nothing new begins.  {AGAIN}" if since else None


async def refuse_from_inside(what: str) -> None:
    """A run of this installation cannot end the installation: its end would wait for its own.

    Raises:
        Refused: this is a run that is at work here.
    """
    from ocs.store import queries

    given = os.environ.get(RUN_ID)
    if given is None or not session.has_store():
        return
    async with session.store() as store:
        try:
            run = await queries.run(store, UUID(given))
        except ValueError:
            return
    if run is not None and not run.status.final:
        raise Refused(
            f"This is run {given[:SHORT]} of {run.job_id}, which {what} would wait for, and end.",
            hint=f"Type it elsewhere than in a job of this installation: {what}",
        )
