"""`ocs jobs import openclaw-scheduler` and `openclaw`: their jobs become job files, and what cannot is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli import importing
from ocs.cli.render.output import answer, say, table, tell
from ocs.files import FOR_OWNER, READABLE, is_hidden
from ocs.rules.wording import SHORT, count_of
from ocs.service import session
from ocs.service.job_views import schedule_text

if TYPE_CHECKING:
    from deployments.importing.foreign import Source
    from deployments.importing.settle import Settled, Settlement

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Write jobs anew that were imported before and differ; by default they stay.")
]


app = typer.Typer()


@app.command(
    importing.SCHEDULER,
    epilog="Example:  ocs jobs import openclaw-scheduler ~/.openclaw/scheduler/scheduler.db --dry-run",
)
def openclaw_scheduler(
    database: Annotated[
        Path | None, typer.Argument(help="Its database; by default SCHEDULER_DB, or the usual place.")
    ] = None,
    dry_run: DryRun = False,
    replace: Replace = False,
    disabled: importing.Disabled = True,  # noqa: ARG001  there is no other way
) -> None:
    """Make a job of each job of openclaw-scheduler, and name what cannot be carried over. Again, it changes nothing."""
    _import(importing.read(importing.SCHEDULER, database), dry_run=dry_run, replace_them=replace)


@app.command(importing.OPENCLAW, epilog="Example:  ocs jobs import openclaw automations.json --dry-run")
def openclaw(
    place: Annotated[
        Path | None,
        typer.Argument(
            help="Its state folder, or what openclaw automations list --all --json says; by default ~/.openclaw."
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The zone of times without one; by default this machine's.")
    ] = None,
    dry_run: DryRun = False,
    replace: Replace = False,
    disabled: importing.Disabled = True,  # noqa: ARG001  there is no other way
) -> None:
    """Make a job of each automation of OpenClaw, and name what cannot be carried over. Again, it changes nothing."""
    _import(importing.read(importing.OPENCLAW, place, timezone), dry_run=dry_run, replace_them=replace)


def _import(source: Source, *, dry_run: bool, replace_them: bool) -> None:
    from deployments.importing.settle import settle
    from deployments.importing.write import write

    found = session.catalogue().checked()
    settled = settle(source, found, replace_them=replace_them)
    mode = FOR_OWNER if is_hidden(Path(source.where)) else READABLE
    if mode == FOR_OWNER and any(job.is_written for job in settled.jobs):
        source = changed(source, hints=(*source.hints, importing.FOR_YOU_ONLY.format(where=source.where)))
    if not dry_run:
        write(found, settled.jobs, mode)
    targets = importing.make_targets(source.addresses, dry_run=dry_run)
    _tell(source, settled, targets, dry_run=dry_run)


def _tell(source: Source, settled: Settlement, targets: Sequence[dict[str, Any]], *, dry_run: bool) -> None:
    lost = [
        {"id": job.found.source_id, "name": job.found.name, "job": job.job_id, "what": loss.field, "why": loss.why}
        for job in settled.jobs
        for loss in job.found.losses
    ]
    left = [{"id": job.source_id, "name": job.name, "job": None, "what": "", "why": job.why} for job in settled.left]

    def people() -> None:
        if settled.jobs:
            rows = [(job.job_id, _runs(job), job.found.name, job.state) for job in settled.jobs]
            table(("JOB", "RUNS", "WAS", ""), rows, spare=("WAS",))
        for each in left:
            tell(f"Not carried over: {each['name']} ({str(each['id'])[:SHORT]})\n    {each['why']}", style="yellow")
        for each in lost:
            tell(f"{each['job']}: {each['what']}: {each['why']}", style="yellow")
        importing.tell_targets(targets)
        for hint in source.hints:
            tell(f"All: {hint}.")
        _say_next(source, settled, dry_run=dry_run)

    jobs = [_view(job) for job in settled.jobs]
    payload = {
        "source": source.where,
        "dry_run": dry_run,
        "imported": jobs,
        "not_carried_over": [*left, *lost],
        "targets": targets,
        "hints": list(source.hints),
    }
    answer(payload, people)


def _view(job: Settled) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "id": job.found.source_id,
        "name": job.found.name,
        "enabled_there": job.found.enabled,
        "runs": _runs(job),
        "state": job.state,
    }


def _runs(job: Settled) -> str:
    from ocs.spec import Job

    return schedule_text(Job.model_validate(job.document)) or "by hand"


def _say_next(source: Source, settled: Settlement, *, dry_run: bool) -> None:
    written = count_of(sum(job.is_written for job in settled.jobs), "job")
    behind = f", {len(settled.left)} not carried over" if settled.left else ""
    if dry_run:
        say(f"Would write {written}{behind}; nothing was changed.")
    elif any(job.is_written for job in settled.jobs):
        say(f"Wrote {written}, disabled{behind}. Compare both, then switch over:")
        say(f"  ocs jobs preview --against {source.program} --source {quote(source.where)}")
        say(f"  {importing.switch_command(source)}")
    else:
        say(f"No job was changed: all of {count_of(len(settled.jobs), 'job')} are there already{behind}.")
    if any(job.state == "there already, differs" for job in settled.jobs):
        say("Those that differ stay as they are here; write them anew with --replace.")
