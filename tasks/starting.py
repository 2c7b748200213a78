"""Starting tasks: wishes become tasks, all or none, whoever wishes: a person, or a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from ocs.errors import InvalidJob, Problem, Refused, SpawnRefused
from ocs.rules.attribution import Attribution
from ocs.rules.tasks import Wish, checked_key, checked_label, document
from ocs.rules.trackers import checked_tracker

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.rules.spawn import Asker
    from ocs.spec import Job
    from ocs.store import Store
    from ocs.store.membership import NewTracker
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
    template: Callable[[str], Awaitable[Job]],
    *,
    tracker: NewTracker | None = None,
    asker: Asker | None = None,
    by: Attribution,
) -> list[tuple[Begun, UUID | None]]:
    """Start tasks, all or none, and send them; returns each with its flow run (None: it is sent later).

    `template` looks one up. `tracker` is made for those that name it, unless one of its name is open. `asker` is the
    run that wants them, where it is one.

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
        await audited(store, asker, wished, by, spawning.objected(store, asker, wished, by.now))
    templates = {name: await template(name) for name in sorted({wish.template for wish, _ in wishes})}
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
    begun = await (audited(store, asker, wished, by, starting) if asker else starting)
    sent = await publish(client, store, [each.dispatch for each in begun if each.dispatch is not None])
    flow_runs = {dispatch_id: flow_run.id for dispatch_id, flow_run in sent.items()}
    return [(each, flow_runs.get(each.task.id)) for each in begun]


async def audited(
    store: Store, asker: Asker, wanted: Sequence[Wish | Job], by: Attribution, asking: Coroutine[Any, Any, T]
) -> T:
    """What a run asks for and is refused is audited."""
    from ocs.rules.spawn import label_of
    from ocs.store import spawning

    try:
        return await asking
    except SpawnRefused as refused:
        await spawning.note_refusal(store, asker, [label for each in wanted if (label := label_of(each))], refused, by)
        raise


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
        due_at=wish.at,
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
