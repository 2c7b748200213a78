"""`ocs jobs add`: a job from options or from a document, checked with the whole catalogue before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from ocs import settings
from ocs.cli.arguments import NoDeploy
from ocs.cli.changing import tell_changed
from ocs.cli.commands.jobs import read_text
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say
from ocs.errors import UsageError
from ocs.service import changing, session
from ocs.spec import parse_duration


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example:  ocs jobs add backup --cron '0 3 * * *' --shell './backup.sh' --retry 2")(add)


def add(  # noqa: PLR0917  each is an option that people type
    job: Annotated[str | None, typer.Argument(help="The new job's id; may stand in the file instead.")] = None,
    cron: Annotated[str | None, typer.Option(help="A cron expression.")] = None,
    every: Annotated[str | None, typer.Option(help="An interval, such as 15m.")] = None,
    rrule: Annotated[str | None, typer.Option(help="A recurrence rule (RFC 5545).")] = None,
    at: Annotated[str | None, typer.Option(help="Once, at this moment.")] = None,
    wait: Annotated[str | None, typer.Option("--in", help="Once, after this long, such as 1.5h.")] = None,
    after: Annotated[str | None, typer.Option(help="After this job.")] = None,
    on: Annotated[str | None, typer.Option(help="success, failure or complete, with --after.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The zone of the schedule, such as Europe/Vienna.")] = None,
    shell: Annotated[str | None, typer.Option(help="The shell command.")] = None,
    cwd: Annotated[str | None, typer.Option(help="The folder it starts in.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable.")] = None,
    timeout: Annotated[str | None, typer.Option(help="When it is ended, such as 10m.")] = None,
    retry: Annotated[int | None, typer.Option(help="How often a failure is retried.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    file: Annotated[str | None, typer.Option(help="A whole document from a file, or - for standard input.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show; write nothing.")] = False,
    no_deploy: NoDeploy = False,
) -> None:
    """Add a job: checks the whole catalogue with it, writes its file, and rolls it out."""
    options = {
        "description": description,
        "tags": tag,
        "schedule": _without_empty(
            {"cron": cron, "every": every, "rrule": rrule, "at": at, "in": wait, "timezone": timezone}
        ),
        "after": _without_empty({"job": after, "on": on}),
        "run": _without_empty({"shell": _shell(shell, cwd, env or []), "timeout": timeout}),
        "retry": _without_empty({"max": retry}),
    }
    text = _text_of_file(file, job, options) if file else _text_of_options(job, options)
    _add(text, dry_run=dry_run, no_deploy=no_deploy)


def _add(text: str, *, dry_run: bool, no_deploy: bool) -> None:
    project = settings.project_dir()
    if dry_run:
        job = changing.new_job(project, text, deploy=not no_deploy)
        answer({"dry_run": True, "job": job.id, "document": job.document()}, lambda: say(text.rstrip()))
        return
    work = changing.add(project, text, deploy=not no_deploy, by=person(), listener=Ear())
    tell_changed("Added", session.run(work))


def _text_of_options(job: str | None, options: Mapping[str, Any]) -> str:
    from deployments import yaml_text

    if job is None:
        raise UsageError("Give the job an id.", hint="Such as: ocs jobs add hello --shell 'echo hello'")
    document = _without_empty({"id": job, **options, "origin": session.user()})
    schedule = document.get("schedule", {})
    if "in" in schedule:
        schedule["at"] = _moment_in(schedule.pop("in"), schedule.get("at"))
    short = {"schedule": _alone(schedule, "cron"), "run": _alone(document.get("run", {}), "shell", "command")}
    document = _without_empty({**document, **short})
    order = ("id", "description", "origin", "tags", "schedule", "after", "run", "retry")
    return yaml_text.dump({key: document[key] for key in order if key in document})


def _alone(group: dict[str, Any], *keys: str) -> Any:
    """The value at `keys` when the group holds nothing else, as people write it by hand; else the group."""
    value: Any = group
    for key in keys:
        if list(value) != [key]:
            return group
        value = value[key]
    return value


def _text_of_file(name: str, job: str | None, options: Mapping[str, Any]) -> str:
    """The file as it is, comments and all; only a missing id is put into it."""
    from deployments import yaml_text
    from deployments.catalogue import parse_text

    if _without_empty(options):
        raise UsageError("--file is the whole document; write what the other options say into it.")
    text = read_text(name)
    document = parse_text(text, name)
    if job is not None and document.get("id", job) != job:
        raise UsageError(f'The file says id "{document["id"]}", and you say "{job}"; they have to be the same.')
    is_json = text.lstrip().startswith("{")
    return yaml_text.dump({"id": job, **document}) if is_json or (job and "id" not in document) else text


def _moment_in(wait: str, at: str | None) -> str:
    if at is not None:
        raise UsageError("--in and --at both say when; give one of them.")
    try:
        moment = datetime.now().astimezone() + parse_duration(wait)
    except (ValueError, OverflowError) as wrong:
        raise UsageError(f"--in: {wrong}") from wrong
    return moment.replace(microsecond=0).isoformat()


def _shell(command: str | None, cwd: str | None, env: list[str]) -> dict[str, Any]:
    for pair in env:
        if "=" not in pair:
            raise UsageError(f'--env "{pair}": write NAME=VALUE, such as LANG=C.UTF-8')
    pairs = {name: value for name, _, value in (pair.partition("=") for pair in env)}
    return _without_empty({"command": command, "cwd": cwd, "env": pairs})


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, {}, [])}
