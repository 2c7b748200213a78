"""`ocs` alone: where one stands, and what to do next."""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import TYPE_CHECKING

from ocs import settings
from ocs.cli.ending import ending_since
from ocs.cli.person import Ear
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import count_of, local, utc
from ocs.service import plainly, session
from ocs.service.job_views import next_run

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue

SOON = 3
DAY = timedelta(days=1)


def show() -> None:
    """Show project, server, the next occurrences, and the next step."""
    from ocs.server import answers, running

    running()  # forgets an embedded server that was killed
    address = settings.api_url()
    is_up = address is not None and answers(address)
    found = session.catalogue() if session.has_project() else None
    failed, undecided, proposed = session.run(_past())
    coming = _coming(found, is_up=is_up) if found else []
    steps = _next_steps(found, is_up=is_up, failed=failed, undecided=undecided, proposed=proposed)

    def people() -> None:
        table(("", ""), [("Project", _project(found)), ("Server", _server(address, is_up=is_up))])
        if coming:
            say("\nNext", style="bold")
            table(("", ""), [(local(at), job) for job, at in coming])
        say("\nWhat to do", style="bold")
        table(("", ""), steps)

    project = {"name": found.name, "folder": str(found.project), "jobs": len(found.jobs)} if found else None
    answer(
        {
            "project": project,
            "problems": len(found.problems) if found else 0,
            "server": {"api_url": address, "up": is_up},
            "failed_last_day": failed,
            "approvals": undecided,
            "proposals": proposed,
            "next": [{"job": job, "at": at} for job, at in coming],
            "steps": [command for command, _ in steps],
        },
        people,
    )


def _project(found: Catalogue | None) -> str:
    if found is None:
        return "none here"
    disabled = sum(not job.enabled for job in found.jobs.values())
    broken = len({problem.file for problem in found.problems})
    more = [f"{disabled} disabled" if disabled else "", f"{count_of(broken, 'file')} with problems" if broken else ""]
    return ", ".join([f"{found.name}: {count_of(len(found.jobs), 'job')}", *filter(None, more)])


def _server(address: str | None, *, is_up: bool) -> str:
    if address is None:
        return "none running"
    if since := ending_since():
        return f"{address.removesuffix('/api')}, ending since {local(since)}: nothing new begins"
    return address.removesuffix("/api") if is_up else f"{address} does not answer"


def _coming(found: Catalogue, *, is_up: bool) -> list[tuple[str, str]]:
    """The next occurrences of all jobs together that are enabled and that nobody has paused."""
    now = session.now()
    times = [(moment, job.id) for job in found.jobs.values() if (moment := next_run(job, now, Ear()))]
    heapq.heapify(times)
    coming: list[tuple[str, str]] = []
    while times and len(coming) < SOON:
        nearest = [heapq.heappop(times) for _ in range(min(SOON, len(times)))]
        paused = plainly.paused(found.name, [job for _, job in nearest]) if is_up else set[str]()
        coming += [(job, utc(moment) or "") for moment, job in nearest if job not in paused]
    return coming[:SOON]


async def _past() -> tuple[int, int, int]:
    """How many runs failed in the last day, and how many runs and how many proposals wait for a person."""
    if not session.has_store():
        return 0, 0, 0
    from ocs.rules.dispatch import RunStatus
    from ocs.store import queries
    from ocs.store.approvals import approvals
    from ocs.store.proposals import number_open

    async with session.store() as store:
        bad = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CRASHED)
        failed = await queries.runs(store, status=bad, since=session.now() - DAY, limit=1000)
        undecided = await approvals(store, pending_only=True, limit=1000)
        return len(failed), len(undecided), await number_open(store)


def _next_steps(
    found: Catalogue | None, *, is_up: bool, failed: int, undecided: int, proposed: int
) -> list[tuple[str, str]]:
    """Commands, and what they are for: what is most wanting first, three at most."""
    steps: list[tuple[bool, str, str]] = [
        (found is None, "ocs init my-jobs", "start a project"),
        (found is not None and bool(found.problems), "ocs jobs validate", "see what is wrong in the job files"),
        (found is not None and not is_up, "ocs up --detach", "start the server, and roll the jobs out"),
        (undecided > 0, "ocs approvals list", f"see what waits for your decision ({count_of(undecided, 'run')})"),
        (proposed > 0, "ocs proposals list", f"see jobs that agents would have ({count_of(proposed, 'proposal')})"),
        (failed > 0, "ocs runs list --since 1d --status error", f"see what failed ({count_of(failed, 'run')})"),
        (found is not None and not found.jobs, "ocs jobs add hello --shell 'echo hello'", "add a first job"),
        (is_up and found is not None and bool(found.jobs), "ocs deploy --plan", "see what a rollout would change"),
        (is_up, "ocs status", "see what runs and waits"),
        (found is not None and bool(found.jobs), "ocs jobs list", "see the jobs"),
        (True, "ocs --help", "see every command"),
    ]
    return [(command, why) for holds, command, why in steps if holds][:SOON]
