"""How a changed job is told: what was done, and what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocs.cli.person import Ear
from ocs.cli.render.output import answer, fail, say, tell
from ocs.service import session
from ocs.service.job_views import job_view

if TYPE_CHECKING:
    from ocs.service.changing import Changed
    from ocs.service.several import Done

NOT_ASKED = "--no-deploy was given."


def tell_each(verb: str, done: Done[Changed]) -> int:
    """Say what became of several jobs' files; returns the exit status."""
    views = [
        {"job": job_view(changed.job, None, session.now(), listener=Ear()), "deployed": changed.deployed}
        for changed in done.by_job.values()
    ]
    if failure := done.failure():
        return fail(failure, {"jobs": views})

    def people() -> None:
        say(f"{verb} {', '.join(done.by_job)}.")
        if why_not := next((changed.away or NOT_ASKED for changed in done.by_job.values() if not changed.deployed), ""):
            tell(f"Not rolled out: {why_not}  Do it with: ocs deploy (ocs up does it too)")

    answer({"jobs": views}, people)
    return 0


def tell_changed(verb: str, changed: Changed, remarks: Sequence[str] = ()) -> None:
    """Say what became of a job's file."""
    job = changed.job

    def people() -> None:
        say(f"{verb} {job.id}" + (" and rolled it out." if changed.deployed else ": it is written."))
        for remark in remarks:
            say(remark)
        if not changed.deployed:
            why_not = changed.away or NOT_ASKED
            tell(f"Not rolled out: {why_not}  Do it with: ocs deploy (ocs up does it too)")

    answer({"job": job_view(job, None, session.now(), listener=Ear()), "deployed": changed.deployed}, people)
