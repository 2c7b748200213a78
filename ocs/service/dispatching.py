"""Handing tasks to agents: started all or none, followed, withdrawn or ended, reported done."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from ocs.errors import InvalidJob, Problem, Refused, SpawnRefused
from ocs.rules.attribution import Attribution
from ocs.rules.costs import Total, dollars, total_of_runs
from ocs.rules.tasks import TEMPLATE, TaskStatus, Wish, checked_key, checked_label, checked_report, document
from ocs.rules.trackers import checked_tracker
from ocs.service import session
from ocs.service.commits import is_commit
from ocs.service.deployed import deployed_job
from ocs.service.listener import Listener

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from prefect.client.orchestration import PrefectClient

    from ocs.rules.spawn import Asker
    from ocs.spec import Job
    from ocs.store import Store
    from ocs.store.membership import NewTracker
    from ocs.store.tables import Run
    from ocs.store.tasks import Begun, NewTask, Told

T = TypeVar("T")
OPTIONS = {
    "run.agent.message": "text",
    "run.agent.agent": "agent",
    "run.agent.model": "model",
    "run.agent.thinking": "thinking",
    "run.agent.idle_timeout": "idle",
    "run.agent.check": "check",
    "run.timeout": "timeout",
    "limits.pool": "pool",
    "deliver.to": "to",
}
"""What people write for which key of the job that runs."""


NO_RECEIVER = "Who hears the result? Give --to, --tell or --quiet."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a wish stands, when it is one of many."""

    file: str | None = None
    line: int | None = None

    def problem(self, problem: Problem) -> Problem:
        """The problem, in the words of who wished, with its place."""
        path = next((name for key, name in OPTIONS.items() if problem.path.startswith(key)), problem.path)
        return Problem(path, problem.message, self.file, self.line)


async def start(
    client: PrefectClient,
    store: Store,
    wishes: Sequence[tuple[Wish, Place]],
    *,
    tracker: NewTracker | None = None,
    asker: Asker | None = None,
    by: Attribution,
) -> list[tuple[Begun, UUID | None]]:
    """Start tasks, all or none, and send them; returns each with its flow run (None: it is sent later).

    `tracker` is made for those that name it, unless one of its name is open. `asker` is the run that wants them, where
    it is one.

    Raises:
        SpawnRefused: the run that asks may not start them; the audit trail has it.
        NotFound: a template is not rolled out, a task that is to be gone on with is unknown, or a tracker is.
        InvalidJob: what is asked for cannot be run; everything that is wrong is told, with its place.
        Refused: a label is that of a task that has not ended, or too many wait.
    """
    from ocs.store import spawning, tasks
    from tasks.adapter.publish import publish

    wished = [wish for wish, _ in wishes]
    if asker is not None:
        # Before it is said which templates and labels there are.
        await _audited(store, asker, wished, by, spawning.objected(store, asker, wished, by.now))
    templates = {name: await _template(client, name) for name in sorted({wish.template for wish, _ in wishes})}
    named = [(*_named(wish, place), place) for wish, place in wishes]
    known = await tasks.known_keys(store, [wish.key for wish, _, _ in named if wish.key is not None])
    new: list[NewTask] = []
    problems: list[Problem] = []
    for wish, wrong, place in named:
        found = wrong or await _new(store, templates[wish.template], wish, place, wish.key in known, asker)
        if isinstance(found, list):
            problems += found
        else:
            new.append(found)
    if problems:
        raise InvalidJob("Nothing was started.", problems=problems)
    most = {job.id: job.limits.max_queued for job in templates.values()}
    ask = tasks.Ask(asker, [wish for wish, _, _ in named]) if asker else None
    starting = tasks.start(store, new, max_queued=most, tracker=tracker, ask=ask, by=by)
    begun = await (_audited(store, asker, wished, by, starting) if asker else starting)
    sent = await publish(client, store, [each.dispatch for each in begun if each.dispatch is not None])
    flow_runs = {dispatch_id: flow_run.id for dispatch_id, flow_run in sent.items()}
    return [(each, flow_runs.get(each.task.id)) for each in begun]


async def _audited(
    store: Store, asker: Asker, wishes: Sequence[Wish], by: Attribution, asking: Coroutine[Any, Any, T]
) -> T:
    """What a run asks for and is refused is audited."""
    from ocs.store import spawning

    try:
        return await asking
    except SpawnRefused as refused:
        await spawning.note_refusal(store, asker, [wish.label for wish in wishes if wish.label], refused, by)
        raise


async def _template(client: PrefectClient, given: str) -> Job:
    from deployments.built_in import ensure_template
    from ocs.spec import Agent

    if given == TEMPLATE:
        await ensure_template(client)
    job = await deployed_job(client, given)
    if not isinstance(job.run.work, Agent):
        raise Refused(f'"{job.id}" is a {job.run.strategy} job; --as needs a job with run.agent.')
    return job


async def _new(
    store: Store, template: Job, wish: Wish, place: Place, already: bool, asker: Asker | None
) -> NewTask | list[Problem]:
    """The task to write, or what is wrong with it. What was started `already` by its key is not asked whether it could
    be started again: a repetition is harmless however the first one stands by now."""
    from ocs.rules.spawn import as_child, longer_than
    from ocs.spec import Agent, Job, unsupported, violations
    from ocs.store import agents, tasks
    from ocs.store.tasks import NewTask

    before = await tasks.by_label(store, wish.goes_on_with) if wish.goes_on_with is not None else None
    if before is not None and before.status.is_open and not already:
        raise _has_not_ended(before)
    if before is not None:
        wish = replace(wish, agent=wish.agent or before.task.agent, model=wish.model or before.task.model)
    found = document(template, wish)
    found = as_child(found, asker) if asker else found
    wrong = violations(found)
    job = Job.model_validate(found) if not wrong else None
    wrong = wrong or unsupported(cast("Job", job)) or (longer_than(template, cast("Job", job)) if asker else [])
    if job is None or wrong:
        return [place.problem(problem) for problem in wrong]
    work = cast("Agent", job.run.work)
    if not wish.says_who_hears:
        # So it names an agent, of which somebody may have said who hears of its tasks.
        if not (to := await agents.results_of(store, work.agent)):
            hint = f"{NO_RECEIVER} Or, for all tasks of {work.agent}: ocs agents set {work.agent} --to ops"
            return [place.problem(Problem("to", hint))]
        return await _new(store, template, replace(wish, to=to), place, already, asker)
    return NewTask(
        label=wish.label,
        template=template.id,
        agent=work.agent,
        model=work.model,
        text=wish.text,
        document=job.document(),
        key=wish.key,
        goes_on_with=before.task if before else None,
        track=wish.track,
    )


def _named(wish: Wish, place: Place) -> tuple[Wish, list[Problem]]:
    """The wish with its label and its key as they are kept."""
    problems: list[Problem] = []
    for name, check in (("label", checked_label), ("key", checked_key), ("track", checked_tracker)):
        given = getattr(wish, name)
        try:
            wish = replace(wish, **{name: check(given)}) if given is not None else wish
        except Refused as refused:
            problems.append(Problem(name, refused.message, place.file, place.line))
    return wish, problems


def _has_not_ended(told: Told) -> Refused:
    label = told.task.label
    return Refused(f"{label} has not ended: it is {told.status}.", hint=f"Wait for it: ocs dispatch wait {label}")


async def follow_task(client: PrefectClient, store: Store, label: str, listener: Listener) -> Run:
    """Wait for the end of a task's last attempt.

    Raises:
        NotFound: there is no such task.
        Refused: it ended before it began.
        ServerUnreachable: the server has been away for a minute; the task goes on.
    """
    from ocs.service.following import follow
    from ocs.store import tasks

    told = await tasks.by_label(store, label)
    if not told.status.is_open and told.last is not None:
        return told.last
    ended = await follow(client, store, told.task.id, told.task.template, listener)
    if ended is None:
        raise Refused(f"{label} was ended before it began.", hint=f"See: ocs dispatch show {label}")
    return (await tasks.by_label(store, label)).last or ended


async def cancel(store: Store, label: str, *, by: Attribution) -> Told:
    """End a task: what runs of it is ended with all it started, what waits is withdrawn. Returns how it stands then.

    Raises:
        NotFound: there is no such task.
        Refused: it has ended, or did not end in time.
        ServerUnreachable: there is no server to tell it.
    """
    from ocs.service.stopping import stop_run, tell_to_end
    from ocs.store import queries, tasks, withdraw_one

    told = await tasks.by_label(store, label)
    if not told.status.is_open:
        raise tasks.has_ended(told)
    last = told.last
    async with session.server() as client:
        if last is not None and not last.status.final:
            await stop_run(client, store, last, by)
        else:
            coming = [row for row in await queries.queue(store, job=told.task.template) if _is_of(row, told)]
            for row in coming:
                if flow_run := await withdraw_one(store, row.id, by=by):
                    await tell_to_end(client, flow_run, by)
    return await tasks.by_label(store, label)


def _is_of(row: Any, told: Told) -> bool:
    return row.id == told.task.id or (told.last is not None and row.retry_of == told.last.id)


async def report_done(
    store: Store, label: str, *, summary: str, checklist: str, sha: str | None, folder: Path, by: Attribution
) -> Told:
    """Record that the agent holds a task for done. Its run ends when its turn does, not by this.

    Raises:
        NotFound: there is no such task.
        Refused: it has ended, or the report says itself that it is not done, or names no commit.
    """
    from ocs.store import tasks

    told = await tasks.by_label(store, label)
    if not told.status.is_open:
        raise tasks.has_ended(told)
    report = checked_report(summary, checklist, sha, task=told.task.text)
    if report.sha is not None and not await is_commit(report.sha, folder):
        raise Refused(f'"{report.sha}" is no commit in {folder}.', hint="Name the repository's folder: --dir")
    await tasks.write_report(store, told.task, report, by=by)
    return await tasks.by_label(store, label)


def is_silent(told: Told, longest: timedelta, now: datetime) -> bool:
    """Whether a task runs of which nothing was heard for so long."""
    if told.status is not TaskStatus.RUNNING or told.last is None:
        return False
    return now - (told.last.last_activity_at or told.last.started_at) >= longest


def task_view(told: Told) -> dict[str, Any]:
    """A task as programs see it. Tokens and cost are those of all its attempts."""
    last, runs = told.last, told.runs
    read = [run.tokens_in for run in runs if run.tokens_in is not None]
    written = [run.tokens_out for run in runs if run.tokens_out is not None]
    cost = total_of_runs(Total(run.cost, run.cost_at_least) for run in runs if run.tokens_in is not None)
    return {
        "label": told.task.label,
        "id": str(told.task.id),
        "run": str(last.id) if last else None,
        "status": str(told.status),
        "template": told.task.template,
        "agent": told.task.agent,
        "model": told.task.model,
        "attempt": last.attempt if last else 0,
        "session_key": last.session_key if last else None,
        "created_at": told.task.created_at,
        "created_by": told.task.created_by,
        "started_at": runs[0].started_at if runs else None,
        "finished_at": last.finished_at if last and not told.status.is_open else None,
        "last_activity_at": last.last_activity_at if last else None,
        "doing": last.doing if last and told.status is TaskStatus.RUNNING else None,
        "tokens": {"in": sum(read), "out": sum(written)} if read or written else None,
        "cost_usd": dollars(cost.micros),
        "cost_at_least": cost.at_least,
        "report": told.task.report,
        "summary": last.summary if last else "",
        "error": last.error if last else None,
        "flow_run_id": str(last.flow_run_id) if last else None,
        "ui_url": session.flow_run_link(last.flow_run_id) if last else None,
    }
