"""`ocs jobs tree` and `export`: the catalogue as a family, and as documents to take elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from ocs.cli.arguments import JobIds
from ocs.cli.commands.jobs import states_of_jobs
from ocs.cli.render.output import COLOURS, Mode, answer, fail, out, say, tell
from ocs.errors import InvalidJob
from ocs.rules.wording import count_of
from ocs.service import session
from ocs.service.job_views import schedule_text

if TYPE_CHECKING:
    from rich.tree import Tree

    from ocs.spec import Job


app = typer.Typer()


@app.command(epilog="Example:  ocs jobs tree")
def tree() -> None:
    """Show which jobs run after which, and on what condition."""
    found = session.catalogue()
    for problem in found.problems:
        tell(str(problem), style="yellow")
    last = {job_id: str(state.last_status) for job_id, state in session.run(states_of_jobs()).items()}
    roots = [job for job in found.jobs.values() if job.after is None or job.after.job not in found.jobs]
    branches = [_branch(job, found.jobs, last) for job in sorted(roots, key=lambda job: job.id)]

    def people() -> None:
        if not branches:
            say("There are no jobs yet. Make the first:  ocs jobs add hello --shell 'echo hello' --every 5m")
        for branch in branches:
            out.print(_drawn(branch))

    answer({"tree": branches}, people)


@app.command(epilog="Example:  ocs jobs export nightly-report | ssh other-host ocs jobs add --file -")
def export(jobs: JobIds = None) -> None:
    """Print job documents as they are written, several with --- between them; what has problems is left out."""
    from deployments import catalogue

    found = session.catalogue()
    chosen = [session.job_of(found, job) for job in jobs or ()]
    broken = found.problems if not chosen else ()
    chosen = chosen or [job for _, job in sorted(found.jobs.items())]
    texts = [catalogue.path_of(found.project, job.id).read_text(encoding="utf-8").rstrip() for job in chosen]
    payload = {"jobs": [job.document() for job in chosen]}
    if not Mode.json:
        say("\n---\n".join(texts))
    if broken:
        left_out = InvalidJob(f"{count_of(len(broken), 'problem')}; jobs that have one were left out.", problems=broken)
        raise typer.Exit(fail(left_out, payload))
    answer(payload, lambda: None)


def _branch(job: Job, jobs: Mapping[str, Job], last: Mapping[str, str]) -> dict[str, Any]:
    children = sorted(other.id for other in jobs.values() if other.after and other.after.job == job.id)
    return {
        "id": job.id,
        "enabled": job.enabled,
        "runs": _condition(job) or schedule_text(job) or "by hand",
        "last_status": last.get(job.id),
        "children": [_branch(jobs[child], jobs, last) for child in children],
    }


def _condition(job: Job) -> str | None:
    """What has to be true of the parent's end."""

    from ocs.spec import format_duration

    after = job.after
    if after is None:
        return None
    match = after.match
    said = match.contains or match.regex or match.jsonpath if match else None
    parts = [f"on {after.on}", f"matching {said!r}" if said else "", f"{format_duration(after.delay)} later"]
    return ", ".join(part for part in parts[: 3 if after.delay else 2] if part)


def _drawn(branch: Mapping[str, Any], parent: Tree | None = None) -> Tree:
    from rich.markup import escape
    from rich.tree import Tree

    status = branch["last_status"] or ""
    colour = COLOURS.get(status, "dim")
    off = "" if branch["enabled"] else "  [dim](disabled)[/dim]"
    label = f"[bold]{branch['id']}[/bold]{off}  {escape(branch['runs'])}  [{colour}]{status}[/{colour}]"
    here = parent.add(label) if parent else Tree(label)
    for child in branch["children"]:
        _drawn(child, here)
    return here
