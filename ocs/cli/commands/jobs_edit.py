"""`ocs jobs edit`, `enable`, `disable`, `remove`: changing what is there. What is refused changes nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ocs.cli.arguments import JobId, NoDeploy, Settings, SomeJobId, SomeWholeJobId, Tag, settings_of
from ocs.cli.care import Yes, ask, whole
from ocs.cli.changing import NOT_ASKED, tell_changed, tell_each
from ocs.cli.person import Ear, person
from ocs.cli.render.output import Mode, answer, fail, say, tell
from ocs.errors import InvalidJob, Refused, UsageError
from ocs.service import session, several

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from ocs.service.changing import Changed, Removed

EDITORS = ("VISUAL", "EDITOR")


app = typer.Typer()


@app.command(epilog="Example:  ocs jobs edit nightly-report --set run.timeout=20m --set retry.max=2")
def edit(job: JobId, values: Settings = None, no_deploy: NoDeploy = False) -> None:
    """Change a job: values with --set, or its file in $EDITOR. Comments and order stay; a bad edit changes nothing."""
    from deployments import catalogue, yaml_text
    from deployments.reading import read_text

    found = session.catalogue()
    chosen = session.pick(job, session.ids_of(found), session.aliases_of(found))
    path = catalogue.path_of(found.project, chosen)
    before = read_text(path, str(path.relative_to(found.project)))
    changes = settings_of(values)
    if changes.get("id", chosen) != chosen:
        raise UsageError("--set: an id cannot be changed, its history hangs on it.", hint="Add a new job instead.")
    if changes:
        catalogue.parse_text(before, str(path))
        _write(found.project, chosen, yaml_text.with_values(before, changes), no_deploy=no_deploy)
        return
    if Mode.json or not sys.stdin.isatty():
        raise UsageError("Without a terminal there is no editor.", hint="Use --set path=value.")
    _edit_in_editor(found.project, chosen, before, no_deploy=no_deploy)


@app.command(epilog="Example:  ocs jobs enable nightly-report")
def enable(job: SomeJobId = None, tag: Tag = None, no_deploy: NoDeploy = False) -> None:
    """Let a job's schedule run again, also when it was paused in the UI."""
    _switch(job, tag, enabled=True, no_deploy=no_deploy)


@app.command(epilog="Example:  ocs jobs disable nightly-report")
def disable(job: SomeJobId = None, tag: Tag = None, no_deploy: NoDeploy = False) -> None:
    """Pause a job's schedule; it can still be run by hand."""
    _switch(job, tag, enabled=False, no_deploy=no_deploy)


@app.command(epilog="Example:  ocs jobs remove old-report")
def remove(job: SomeWholeJobId = None, tag: Tag = None, yes: Yes = False, no_deploy: NoDeploy = False) -> None:
    """Remove a job: its file and its deployment; what runs or waits of it is ended. Its history stays."""
    from ocs.service import changing

    several.either(job, tag)
    found = session.catalogue()
    if job is None:
        raise typer.Exit(_remove_tagged(found, tag or "", yes=yes, no_deploy=no_deploy))
    chosen = whole(job, session.pick(job, session.ids_of(found), session.aliases_of(found)), "ocs jobs remove")
    ask(f"Remove {chosen}: its file and its deployment?", yes=yes)
    work = changing.remove(found, chosen, deploy=not no_deploy, by=person(), listener=Ear())
    removed = session.run(work)

    def people() -> None:
        say(f"Removed {removed.job_id}; its history stays.")
        if not removed.undeployed:
            why_not = removed.away or NOT_ASKED
            tell(f"If it was rolled out, it still is: {why_not}  End that with: ocs deploy --prune")

    answer({"job": removed.job_id, "removed": True, "deployment_removed": removed.undeployed}, people)


def _remove_tagged(found: Catalogue, tag: str, *, yes: bool, no_deploy: bool) -> int:
    from ocs.service import changing

    chosen = several.tagged(found.jobs.values(), tag)
    ask(f"Remove {', '.join(chosen)}: their files and their deployments?", yes=yes)

    async def removed(job_id: str) -> Removed:
        return await changing.remove(session.catalogue(), job_id, deploy=not no_deploy, by=person(), listener=Ear())

    done = session.run(several.each(chosen, removed))
    said = {
        "jobs": [{"job": each.job_id, "deployment_removed": each.undeployed} for each in done.by_job.values()],
    }
    if failure := done.failure():
        return fail(failure, said)
    answer(said, lambda: say(f"Removed {', '.join(done.by_job)}; their history stays."))
    return 0


def _switch(job: str | None, tag: str | None, *, enabled: bool, no_deploy: bool) -> None:
    from ocs.service import changing

    several.either(job, tag)
    verb = "Enabled" if enabled else "Disabled"

    async def switched(job_id: str) -> Changed:
        return await changing.switch(
            session.catalogue(), job_id, enabled=enabled, deploy=not no_deploy, by=person(), listener=Ear()
        )

    if job is not None:
        tell_changed(verb, session.run(switched(job)))
        return
    chosen = several.tagged(session.catalogue().jobs.values(), tag or "")
    raise typer.Exit(tell_each(verb, session.run(several.each(chosen, switched))))


def _write(project: Path, job_id: str, text: str, *, no_deploy: bool) -> None:
    from ocs.service import changing

    work = changing.rewrite(project, job_id, text, deploy=not no_deploy, by=person(), listener=Ear())
    tell_changed("Changed", session.run(work))


def _edit_in_editor(project: Path, job_id: str, before: str, *, no_deploy: bool) -> None:
    """Edit a draft, again while it is wrong and the person wants to; the file itself changes only when all is well."""
    with tempfile.TemporaryDirectory(prefix="ocs-") as folder:
        draft = Path(folder) / f"{job_id}.yaml"
        draft.write_text(before, encoding="utf-8")
        while True:
            _open_editor(draft)
            after = _read_draft(draft)
            if after == before:
                answer({"job": None, "deployed": False}, lambda: say(f"{job_id} is as it was."))
                return
            try:
                _write(project, job_id, after, no_deploy=no_deploy)
            except InvalidJob as invalid:
                for problem in invalid.problems:
                    tell(str(problem), style="red")
                if not typer.confirm("Edit again?", default=True, err=True):
                    raise Refused(f"{job_id} is as it was: {invalid.message}") from invalid
            else:
                return


def _read_draft(draft: Path) -> str:
    from deployments.reading import read_bytes

    if not draft.exists():
        raise Refused("The editor left no file behind; nothing was changed.")
    try:
        return read_bytes(draft, draft.name).decode("utf-8", errors="replace")
    except InvalidJob as unread:
        why = ", ".join(problem.message for problem in unread.problems)
        raise Refused(f"What the editor left {why}; nothing was changed.") from unread


def _open_editor(draft: Path) -> None:
    command = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    try:
        ended = subprocess.run([*shlex.split(command), str(draft)], check=False)
    except (OSError, ValueError) as failed:
        raise Refused(f"The editor {command} cannot be started: {failed}", hint="Set EDITOR, or use --set.") from failed
    if ended.returncode != 0:
        raise Refused(f"The editor {command} ended with status {ended.returncode}; nothing was changed.")
