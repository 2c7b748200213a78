"""`ocs deploy`: roll the catalogue out, sending only what changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.arguments import JobIds
from ocs.cli.person import Ear, person
from ocs.cli.render.difference import changed_paths, diff, show_diff
from ocs.cli.render.output import Mode, answer, err, fail, say, table, tell
from ocs.service import session

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.rollout import Plan, Step

DEFAULTS = "defaults"
FEW = 3
"""A rollout of fewer jobs is over before a progress bar is read."""


app = typer.Typer()


@app.command(epilog="Example:  ocs deploy --plan")
def deploy(
    jobs: JobIds = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change; change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove deployments whose file is gone.")] = False,
) -> None:
    """Roll out what changed in the catalogue, and regenerate prefect.yaml."""
    from deployments import prefect_yaml

    found = session.catalogue()
    chosen = [session.pick(job, session.ids_of(found), session.aliases_of(found)) for job in jobs or ()]
    _check(found, chosen)
    if plan:
        planned = session.run(_plan(found, chosen))
    else:
        if not found.problems:  # else it stays as it is: the entries of files that are wrong must not be lost
            prefect_yaml.regenerate(found)
        planned = session.run(roll_out(found, chosen, prune=prune))
    _show(planned, done=not plan, prune=prune)


def _check(found: Catalogue, chosen: Sequence[str]) -> None:
    """What is named has to be valid; where nothing is, everything."""
    mine = [problem for problem in found.problems if not chosen or Path(problem.file or "").stem in {*chosen, DEFAULTS}]
    if mine:
        replace(found, problems=tuple(mine)).checked()
    if found.problems:
        files = sorted({problem.file or "" for problem in found.problems})
        tell(f"Left out, because they are not valid: {', '.join(files)}.  See: ocs jobs validate", style="yellow")


async def _plan(found: Catalogue, only: Sequence[str]) -> Plan:
    from ocs.service import rollout

    async with session.server() as client, session.store() as store:
        return await rollout.plan(client, store, found, only)


async def roll_out(
    found: Catalogue,
    only: Sequence[str] = (),
    *,
    prune: bool = False,
    resume: bool = False,
    api_url: str | None = None,
) -> Plan:
    """Roll out with a progress bar."""

    from ocs.service import rollout

    async with session.server(api_url) as client, session.store() as store:
        with _progress() as show:
            return await rollout.roll_out(
                client,
                store,
                found,
                only,
                prune=prune,
                resume=resume,
                by=person(),
                listener=Ear(),
                on_progress=show,
            )


def _show(planned: Plan, *, done: bool, prune: bool) -> None:
    """Say what was, or would be, done to each job."""

    from deployments.rollout import Action
    from ocs.service.rollout import not_rolled_out

    changed = [step for step in planned.steps if step.action is not Action.UNCHANGED]
    steps = [
        {
            "job": step.job_id,
            "action": str(step.action),
            "changes": changed_paths(step),
            "edited_in_ui": list(step.edited_in_ui),
            "paused_in_ui": step.paused_in_ui,
            "diff": diff(step) if step.action is Action.UPDATE else "",
            "why": step.why,
        }
        for step in planned.steps
    ]

    def people() -> None:
        if changed:
            table(("JOB", "ACTION", ""), [(step.job_id, step.action, _remark(step, prune=prune)) for step in changed])
        for step in planned.having(Action.UPDATE) if not done else ():
            show_diff(diff(step))
        for step in planned.steps:
            if step.paused_in_ui:
                tell(f"{step.job_id} was paused in the UI and stays paused; go on with: ocs jobs enable {step.job_id}")
        if planned.maintenance:
            how = "was set back" if done else "would be set back"
            say(f"The deployment that keeps the house {how}: {', '.join(planned.maintenance)}.")
        gone = planned.having(Action.REMOVE)
        sent = planned.having(Action.CREATE, Action.UPDATE)
        verb, removed = ("Rolled out", "Removed") if done else ("Would change", "Would remove")
        of_all = f"{len(sent)} of {len(planned.steps) - len(gone)} jobs of {planned.project}."
        say(f"{verb}: {of_all}" + (f"  {removed}: {len(gone)}." if prune and gone else ""))

    payload = {"project": planned.project, "applied": done, "steps": steps, "maintenance": list(planned.maintenance)}
    if (failed := not_rolled_out(planned)) is None:
        answer(payload, people)
        return
    if not Mode.json:
        people()
    raise typer.Exit(fail(failed, payload))


def _remark(step: Step, *, prune: bool) -> str:
    if step.action == "remove" and not prune:
        return "its file is gone; remove it with --prune"
    if step.action == "done":
        return f"it has run and was removed; take its file away with: ocs jobs remove {step.job_id}"
    if step.why:
        return step.why
    edited = f"set back what was edited in the UI: {', '.join(step.edited_in_ui)}" if step.edited_in_ui else ""
    return edited or ", ".join(changed_paths(step))


@contextlib.contextmanager
def _progress() -> Generator[Callable[[int, int], None]]:
    """A progress bar on standard error, where a rollout is long enough to need one."""

    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=Mode.json or not err.is_terminal) as bar:

        def show(sent: int, of_all: int) -> None:
            if of_all >= FEW:
                if not bar.tasks:
                    bar.add_task("Rolling out", total=of_all)
                bar.update(bar.tasks[0].id, completed=sent)

        yield show
