"""`ocs jobs`: looking at the catalogue, which needs no server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ocs import projects, settings
from ocs.cli.arguments import JobId, SomeJobId
from ocs.cli.person import Ear
from ocs.cli.render.output import answer, fail, say, table, tell
from ocs.errors import InvalidJob, NotFound, Problem, Refused, ServerUnreachable, UsageError
from ocs.rules.wording import count_of, in_zone, local, utc
from ocs.service import session
from ocs.service.incidents import in_words, incident_views
from ocs.service.job_views import job_view, schedule_text

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

    from deployments.catalogue import Catalogue
    from ocs.service.targets import Unusable
    from ocs.spec import Job
    from ocs.store.tables import JobState

UTC = "UTC"
DEFAULTS = "deployments/defaults.yaml"
app = typer.Typer()


@app.command("list", epilog="Example:  ocs jobs list --tag reports")
def list_jobs(
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Disabled jobs too.")] = False,
) -> None:
    """List the jobs: when they run next, and how they ended last.

    In JSON, `over` says that a one-shot has had its moment, and `belongs_to` names the other project that rolled out
    a job of this name on this server, if one has.
    """
    found = session.catalogue()
    for problem in found.problems:
        tell(str(problem), style="yellow")
    states, deployed = session.run(_live_of_all())
    now = session.now()
    taken = _of_another_project(found, deployed)
    own = {job_id: each for job_id, each in deployed.items() if job_id not in taken}
    jobs = [
        {**job_view(job, None if job.id in taken else states.get(job.id), now, own.get(job.id), listener=Ear())}
        | ({"belongs_to": taken[job.id], "next_run": None} if job.id in taken else {"belongs_to": None})
        for job in sorted(found.jobs.values(), key=lambda job: job.id)
        if (everything or job.enabled) and (tag is None or tag in job.tags)
    ]
    hidden = len(found.jobs) - len(jobs)

    def people() -> None:
        if not found.jobs:
            say("There are no jobs yet. Make the first:  ocs jobs add hello --shell 'echo hello' --every 5m")
            return
        rows = [
            (
                _marked(job),
                job["schedule"] or "by hand",
                _next(job),
                job["last_status"],
                local(job["last_run"]),
            )
            for job in jobs
        ]
        table(("JOB", "RUNS", "NEXT", "LAST", "AT"), rows)
        if hidden:
            tell(f"Not shown: {count_of(hidden, 'job')}, disabled or without the tag.  Disabled ones too: --all")
        _tell_taken(taken)

    answer({"jobs": jobs}, people)


@app.command(epilog="Example:  ocs jobs show nightly-report")
def show(job: JobId) -> None:
    """Show one job: its document, how it stands, whom it tells of how its runs end, and its last runs."""
    from ocs.rules.delivery import hearers

    chosen, text, inherited = _find(job)
    state, runs, deployed, incident = session.run(_live(chosen.id))
    taken = (
        _of_another_project(session.catalogue(), {chosen.id: deployed}) if deployed and session.has_project() else {}
    )
    if taken:
        state, runs, deployed = None, [], None
        _tell_taken(taken)
    view = {
        **job_view(chosen, state, session.now(), deployed, listener=Ear()),
        "starts_in": _starts_in(chosen, deployed),
    }
    told = hearers(chosen.deliver)

    def people() -> None:
        say(text.rstrip() + "\n")
        if inherited:
            say(f"From {DEFAULTS}, for all jobs of the project:", style="bold")
            table(("", ""), [(path, _in_words(value)) for path, value in inherited.items()])
        rows = [
            (key.replace("_", " "), local(value) if key in ("next_run", "last_run") else value)
            for key, value in view.items()
        ]
        rows += [(f"{ends} are told", ", ".join(targets) or "nobody") for ends, targets in told.items()]
        table(("", ""), [row for row in rows if row[1] not in (None, "")])
        if view["paused_in_ui"]:
            tell(f"It was paused in the UI; go on with: ocs jobs enable {chosen.id}", style="yellow")
        if incident:
            tell(f"It is {in_words(incident)}.  ocs why {chosen.id}", style="yellow")
        if runs:
            say("\nLast runs", style="bold")
            rows = [(run["id"][:8], run["status"], run["kind"], local(run["started_at"])) for run in runs]
            table(("RUN", "STATUS", "KIND", "STARTED"), rows)

    answer({"job": {**view, "told": told, "incident": incident, "document": chosen.document()}, "runs": runs}, people)


@app.command(epilog="Example:  ocs jobs validate deployments/jobs/nightly-report.yaml")
def validate(files: Annotated[list[str] | None, typer.Argument(help="Files, or - for standard input.")] = None) -> None:
    """Check the whole catalogue, or files. Changes nothing."""

    from ocs.rules.occurrences import why_over
    from ocs.spec import unsupported

    found = _of_files(files) if files else session.catalogue()
    try:
        found.checked()
    except InvalidJob as invalid:
        raise typer.Exit(fail(invalid, {"jobs": sorted(found.jobs)})) from None
    if refused := _refused_by_prefect(found):
        raise typer.Exit(fail(refused, {"jobs": sorted(found.jobs)}))
    for job in found.jobs.values():
        for problem in unsupported(job):
            tell(f"{job.id}: {problem}", style="yellow")
        if job.schedule and job.enabled and (over := why_over(job.schedule, session.now())):
            tell(f"{job.id} {over}", style="yellow")

    lacking, away = session.run(_lacking(found))
    for each in lacking:
        tell(f"{each.what}  Mend it with: {each.mend}", style="yellow")

    def people() -> None:
        say(f"{count_of(len(found.jobs), 'job')} in {count_of(found.files, 'file')}: all valid.")
        if away:
            tell(f"Whether their targets and secrets exist was not looked at: {away}")

    missing = None if away else [{"what": each.what, "mend": each.mend} for each in lacking]
    answer({"jobs": sorted(found.jobs), "errors": [], "missing": missing}, people)


@app.command(epilog="Example:  ocs jobs preview nightly-report -n 10")
def preview(
    job: SomeJobId = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 5,
    against: Annotated[
        str | None, typer.Option(help="Beside the times of crontab, openclaw-scheduler or openclaw, all jobs or one.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="With --against: its file; by default the usual one.")] = None,
) -> None:
    """Show when a job runs next, in local time and UTC."""

    from ocs.rules.occurrences import occurrences

    if against is not None:
        from ocs.cli.commands.jobs_against import compare

        compare(against, source, job, count)
        return
    if job is None:
        raise UsageError("Say which job.", hint="See all: ocs jobs list")
    chosen = session.job_of(session.catalogue(), job)
    times = occurrences(chosen.schedule, session.now(), count) if chosen.schedule else []
    if times and not chosen.enabled:
        tell(f"{chosen.id} is disabled; these are the times it would run at.  ocs jobs enable {chosen.id}")

    def people() -> None:
        if not times:
            say(f"{chosen.id} has no times of its own to come: it runs {schedule_text(chosen) or 'only by hand'}.")
            return
        zone = chosen.schedule.timezone if chosen.schedule else UTC
        columns = {"LOCAL": local, "UTC": utc} | ({} if zone == UTC else {zone: partial(in_zone, zone=zone)})
        table((*columns,), [tuple(shown(moment) for shown in columns.values()) for moment in times])

    answer({"job": chosen.id, "times": [utc(moment) for moment in times]}, people)


def _of_another_project(found: Catalogue, deployed: Mapping[str, DeploymentResponse]) -> dict[str, str]:
    """The project's jobs whose ids belong to another one on the server, and to which."""
    if not deployed:
        return {}
    from tasks.adapter.deployed import project_in  # imports Prefect, which is there when a server has answered

    owners = {job_id: project_in(deployed[job_id].tags) for job_id in found.jobs if job_id in deployed}
    return {job_id: owner for job_id, owner in owners.items() if owner is not None and owner != found.name}


def _tell_taken(taken: Mapping[str, str]) -> None:
    if taken:
        named = ", ".join(f"{job_id} ({owner})" for job_id, owner in sorted(taken.items()))
        said = "On this server these ids belong to other projects, so that these jobs cannot be rolled out"
        tell(f"{said}: {named}.  Give them other ids.", style="yellow")


def _starts_in(job: Job, deployed: DeploymentResponse | None) -> str | None:
    """The folder that its command starts in on this host, once it is rolled out from here."""

    from ocs.spec import Shell, Watchdog

    work = job.run.work
    shell = work.check if isinstance(work, Watchdog) else work
    if not isinstance(shell, Shell):
        return None
    from tasks.strategies import environment

    if deployed is None:
        folder = settings.project_dir() if session.has_project() else None
    else:
        from tasks.adapter.deployed import project_in  # imports Prefect, which is there when a server has answered

        folder = projects.folder_of(project_in(deployed.tags))
    return str(environment.folder_of(shell, folder))


async def _lacking(found: Catalogue) -> tuple[list[Unusable], str | None]:
    """What the jobs name and the server does not have, or why it was not asked."""
    if settings.api_url() is None:
        return [], "no Prefect server is running here."
    from ocs.service.missing import missing

    try:
        async with session.server() as client:
            return await missing(client, found.jobs.values()), None
    except (ServerUnreachable, Refused) as away:
        return [], away.message


def _refused_by_prefect(found: Catalogue) -> InvalidJob | None:
    """What Prefect would not build of the jobs; None when it takes all of them."""
    from deployments.buildable import not_built

    problems = [replace(problem, file=job.id) for job in found.jobs.values() for problem in not_built(job)]
    return (
        InvalidJob(f"{count_of(len(problems), 'problem')}; nothing was changed.", problems=problems)
        if problems
        else None
    )


def _find(given: str) -> tuple[Job, str, dict[str, Any]]:
    """The job, its document as written, and what it takes from the project's defaults.

    From the catalogue, or as it is rolled out when it stands only on the server.
    """
    from deployments import catalogue, yaml_text

    if session.has_project() or settings.api_url() is None:
        found = session.catalogue()
        try:
            job = session.job_of(found, given)
            text = catalogue.path_of(found.project, job.id).read_text(encoding="utf-8")
            return job, text, _inherited(catalogue.parse_text(text, job.id), found.defaults)
        except NotFound:
            if settings.api_url() is None:
                raise
    job = session.run(_on_the_server(given))
    return job, yaml_text.dump(job.document()), {}


def _inherited(written: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's values comes from the defaults, by path."""

    from ocs.rules.approval import values_by_path
    from ocs.spec import with_defaults

    own, merged = (values_by_path(each) for each in (written, with_defaults(written, defaults)))
    return {path: value for path, value in merged.items() if path not in own and not _opened(path, value, own)}


def _opened(path: str, value: Any, own: Mapping[str, Any]) -> bool:
    """Whether it stands in the file in a short form, as  run: text."""
    return any(path.startswith(f"{short}.") and said == value for short, said in own.items())


async def _on_the_server(given: str) -> Job:
    from ocs.service.deployed import deployed_job

    async with session.server() as client:
        return await deployed_job(client, given)


async def states_of_jobs() -> dict[str, JobState]:
    """Each job's state; none where there is no store yet."""
    if not session.has_store():
        return {}
    from ocs.store import queries

    async with session.store() as store:
        return await queries.job_states(store)


Live = tuple["JobState | None", list[dict[str, Any]], "DeploymentResponse | None", dict[str, Any] | None]
"""A job's state, its last runs, its deployment, its open incident."""


async def _live(job_id: str) -> Live:
    """What the store and, where there is one, the server know of a job."""
    from ocs.cli.render.views import run_views

    state, runs, deployed, incident = None, list[dict[str, Any]](), None, None
    if session.has_store():
        from ocs.store import queries

        async with session.store() as store:
            state = (await queries.job_states(store)).get(job_id)
            runs = await run_views(store, await queries.runs(store, job=job_id, limit=5))
            incident = next(iter(await incident_views(store, job=job_id)), None)
    if settings.api_url() is not None:
        from ocs.service.deployed import by_id

        try:
            async with session.server() as client:
                deployed = await by_id(client, job_id)
        except ServerUnreachable as away:
            tell(away.message)
    return state, runs, deployed, incident


async def _live_of_all() -> tuple[dict[str, JobState], dict[str, DeploymentResponse]]:
    """How the jobs stand by the store, and by the server when one runs: a pause in the UI stands in no file."""
    states = await states_of_jobs()
    if settings.api_url() is None:
        return states, {}
    from ocs.service.deployed import all_deployed

    try:
        async with session.server() as client:
            return states, await all_deployed(client)
    except ServerUnreachable as away:
        tell(away.message)
        return states, {}


def _of_files(names: list[str]) -> Catalogue:
    from deployments.catalogue import read_files

    texts: dict[str, str] = {}
    unread: list[Problem] = []
    for name in names:
        try:
            texts[name] = read_text(name)
        except InvalidJob as unreadable:
            unread += unreadable.problems
    return read_files(texts, unread, session.catalogue().defaults if session.has_project() else None)


def read_text(name: str) -> str:
    """A file's text, or what stands on standard input for `-`.

    Raises:
        NotFound: there is no such file.
        InvalidJob: it cannot be read, is no regular file, too large, or not UTF-8 text.
    """
    from deployments import reading

    if name == "-":
        return reading.read_input(name)
    try:
        Path(name).stat()
    except OSError as failed:
        raise NotFound(f"{name} cannot be read: {failed.strerror}.") from failed
    return reading.read_text(Path(name), name)


def _in_words(value: Any) -> str:
    """As one would write it: a list without brackets and quotes."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast("list[Any]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _next(job: dict[str, Any]) -> str:
    if job["belongs_to"]:
        return "not rolled out"
    if job["paused_in_ui"]:
        return "paused in the UI"
    return "done" if job["over"] and job["last_status"] else local(job["next_run"])


def _marked(job: dict[str, Any]) -> str:
    return job["id"] if job["enabled"] else f"{job['id']} (disabled)"
