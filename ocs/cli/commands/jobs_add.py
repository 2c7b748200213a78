"""`ocs jobs add`: a job from options or from a document, checked with the whole catalogue before it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs import settings
from ocs.cli.arguments import SETTING, NoDeploy, settings_of
from ocs.cli.changing import tell_changed
from ocs.cli.commands.jobs import read_text
from ocs.cli.importing import local_zone
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say
from ocs.errors import UsageError
from ocs.rules.wording import in_zone, local
from ocs.service import session
from ocs.service.job_views import next_run

if TYPE_CHECKING:
    from ocs.spec import Job

ZONE = "The zone of the schedule, such as Europe/Vienna; by default the project's, else this machine's."
ANY = f"Any other value of the document: {SETTING}"


app = typer.Typer()


@app.command(epilog="Example:  ocs jobs add backup --cron '0 3 * * *' --shell './backup.sh' --retry 2")
def add(  # noqa: PLR0917  each is an option that people type
    job: Annotated[str | None, typer.Argument(help="The new job's id; may stand in the file instead.")] = None,
    cron: Annotated[str | None, typer.Option(help="A cron expression.")] = None,
    every: Annotated[str | None, typer.Option(help="An interval, such as 15m.")] = None,
    rrule: Annotated[str | None, typer.Option(help="A recurrence rule (RFC 5545).")] = None,
    at: Annotated[str | None, typer.Option(help="Once, at this moment.")] = None,
    wait: Annotated[str | None, typer.Option("--in", help="Once, after this long, such as 1.5h.")] = None,
    after: Annotated[str | None, typer.Option(help="After this job.")] = None,
    on: Annotated[str | None, typer.Option(help="success, failure or complete, with --after.")] = None,
    match: Annotated[str | None, typer.Option(help="Only when the parent printed this text, with --after.")] = None,
    timezone: Annotated[str | None, typer.Option(help=ZONE)] = None,
    shell: Annotated[str | None, typer.Option(help="The shell command.")] = None,
    cwd: Annotated[str | None, typer.Option(help="The folder it starts in; by default the project's.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable.")] = None,
    secret: Annotated[list[str] | None, typer.Option(help="NAME=SECRET (see ocs secrets), repeatable.")] = None,
    timeout: Annotated[str | None, typer.Option(help="When it is ended, such as 10m.")] = None,
    retry: Annotated[int | None, typer.Option(help="How often a failure is retried.")] = None,
    approval: Annotated[bool, typer.Option("--approval", help="A person has to agree to each run.")] = False,
    deliver: Annotated[str | None, typer.Option(help="Whom to tell of failures: a target, or channel:target.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help=ANY)] = None,
    file: Annotated[str | None, typer.Option(help="A whole document from a file, or - for standard input.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show; write nothing.")] = False,
    no_deploy: NoDeploy = False,
) -> None:
    """Add a job: checks the whole catalogue with it, writes its file, and rolls it out."""
    changes = settings_of(values)
    if (on or match) and not (after or file or _sets("after", changes)):
        raise UsageError("--on and --match say which end of another job is followed.", hint="Name it: --after JOB")
    if timezone and not (cron or every or rrule or at or wait or file or _sets("schedule", changes)):
        raise UsageError("--timezone is the zone of a schedule, and there is none.", hint="Such as: --cron '0 3 * * *'")
    options = {
        "description": description,
        "tags": tag,
        "schedule": _without_empty(
            {"cron": cron, "every": every, "rrule": rrule, "at": at, "in": wait, "timezone": timezone}
        ),
        "after": _without_empty({"job": after, "on": on, "match": match}),
        "run": _without_empty({"shell": _shell(shell, cwd, env or [], secret or []), "timeout": timeout}),
        "retry": _without_empty({"max": retry}),
        "approval": approval or None,
        "deliver": _without_empty({"to": deliver}),
        "set": changes,
    }
    text = _text_of_file(file, job, options) if file else _text_of_options(job, options)
    _add(text, dry_run=dry_run, no_deploy=no_deploy)


def _sets(group: str, changes: Mapping[str, Any]) -> bool:
    return any(path == group or path.startswith(f"{group}.") for path in changes)


def _add(text: str, *, dry_run: bool, no_deploy: bool) -> None:
    from ocs.service import changing

    project = settings.project_dir()
    if dry_run:
        job = changing.new_job(project, text, deploy=not no_deploy)
        answer({"dry_run": True, "job": job.id, "document": job.document()}, lambda: say(text.rstrip()))
        return
    work = changing.add(project, text, deploy=not no_deploy, by=person(), listener=Ear())
    added = session.run(work)
    tell_changed("Added", added, list(_remarks(added.job)))


def _remarks(job: Job) -> Iterator[str]:
    """What one would look up next: when it runs first, in its zone and here, and of what somebody is told."""
    if job.schedule is not None and (first := next_run(job, session.now(), Ear())):
        zone, here = in_zone(first, job.schedule.timezone), local(first)
        same = zone == here or job.schedule.every is not None  # an interval has no zone
        yield f"First due: {here}." if same else f"First due: {zone} {job.schedule.timezone}; here {here}."
    if job.deliver is not None and job.deliver.when == "failure":
        told = ", ".join(job.deliver.of_failures)
        yield f"Told of failures only: {told}.  Of every run: ocs jobs edit {job.id} --set deliver.when=always"


def _text_of_options(job: str | None, options: Mapping[str, Any]) -> str:
    from deployments import yaml_text

    if job is None:
        raise UsageError("Give the job an id.", hint="Such as: ocs jobs add hello --shell 'echo hello'")
    document = _without_empty({"id": job, **options, "origin": session.user()})
    schedule = document.get("schedule", {})
    if "in" in schedule:
        schedule["at"] = _moment_in(schedule.pop("in"), schedule.get("at"))
    if _needs_zone(schedule):
        schedule["timezone"] = _default_zone()
    document = _without_empty({**document, "run": _alone(document.get("run", {}), "shell", "command")})
    order = ("id", "description", "origin", "tags", "schedule", "after", "run", "retry", "approval", "deliver")
    text = yaml_text.dump({key: document[key] for key in order if key in document})
    return yaml_text.with_values(text, options["set"]) if options["set"] else text


def _needs_zone(schedule: Mapping[str, Any]) -> bool:
    """Whether its times are meant in a zone, and none is named: an interval has none, and some times name their own."""
    from ocs.spec.rrule import in_utc

    if "timezone" in schedule or not {"cron", "rrule", "at"} & schedule.keys():
        return False
    if "rrule" in schedule:
        return not in_utc(schedule["rrule"])
    with contextlib.suppress(ValueError):
        return "at" not in schedule or datetime.fromisoformat(schedule["at"]).tzinfo is None
    return True


def _default_zone() -> str:
    """The project's, else this machine's."""
    from deployments import catalogue

    defaults, _ = catalogue.read_defaults(settings.project_dir())
    return str(defaults.get("timezone") or local_zone())


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
    from ocs.spec import parse_duration

    if at is not None:
        raise UsageError("--in and --at both say when; give one of them.")
    try:
        moment = datetime.now().astimezone() + parse_duration(wait)
    except (ValueError, OverflowError) as wrong:
        raise UsageError(f"--in: {wrong}") from wrong
    return moment.replace(microsecond=0).isoformat()


def _shell(command: str | None, cwd: str | None, env: list[str], secrets: list[str]) -> dict[str, Any]:
    group = {
        "env": _pairs("--env", env, "LANG=C.UTF-8"),
        "secrets": _pairs("--secret", secrets, "PGPASSWORD=pg-report"),
    }
    return _without_empty({"command": command, "cwd": cwd, **group})


def _pairs(option: str, given: list[str], example: str) -> dict[str, str]:
    for pair in given:
        if "=" not in pair:
            raise UsageError(f'{option} "{pair}": write NAME=VALUE, such as {example}')
    return {name: value for name, _, value in (pair.partition("=") for pair in given)}


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, {}, [])}
