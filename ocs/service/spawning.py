"""Who asks: a person, or a run that may start others and says so by its token."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocs.errors import InvalidJob
from ocs.rules.attribution import Attribution
from ocs.rules.wording import SHORT
from ocs.service import session

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.rules.spawn import Asker
    from ocs.store import Store
    from ocs.store.tasks import Begun

SOURCE = "run"


def is_a_run() -> bool:
    """Whether the command was typed by a run that may start others."""
    from ocs.rules.spawn import RUN_TOKEN

    return RUN_TOKEN in os.environ


async def who_asks(store: Store, person: Attribution) -> tuple[Asker | None, Attribution]:
    """The run by whose token a command is typed, and in whose name; without one it is the person's.

    Raises:
        Refused: the token is none of a run that runs.
    """
    from ocs.rules.spawn import RUN_TOKEN
    from ocs.store import spawning

    if (token := os.environ.get(RUN_TOKEN)) is None:
        return None, person
    asker = await spawning.asker_by_token(store, token)
    return asker, by_run(asker)


def by_run(asker: Asker) -> Attribution:
    """What a run does by itself."""
    return Attribution(f"{asker.job_id} (run {str(asker.run_id)[:SHORT]})", SOURCE, session.now())


async def spawn_job(client: PrefectClient, store: Store, text: str, *, asker: Asker, by: Attribution) -> Begun:
    """Start a job of the run's own making: once, now or at its `schedule.at`.

    Raises:
        InvalidJob: the document breaks rules; all of them are named.
        SpawnRefused: the run may not start it; the audit trail has it.
        Refused: its time is past, its id is the label of what has not ended, or too many wait.
    """
    from deployments.built_in import ensure_template
    from deployments.catalogue import parse_text
    from ocs.rules.spawn import as_child
    from ocs.rules.spawn_jobs import RUNS_AS, runs_as
    from ocs.rules.tasks import due
    from ocs.spec import Agent, Job, Shell, parse, unsupported
    from ocs.store import spawning, tasks
    from ocs.store.tasks import Ask, NewTask
    from tasks.adapter.publish import publish
    from tasks.starting import audited

    job = parse(parse_text(text, "The document"))
    await audited(store, asker, [job], by, spawning.objected(store, asker, [job], by.now))
    if problems := unsupported(job):
        raise InvalidJob("Nothing was started.", problems=problems)
    known = Job.model_validate(as_child(runs_as(job), asker))
    work = known.run.work
    new = NewTask(
        label=job.id,
        template=known.id,
        agent=work.agent if isinstance(work, Agent) else "",
        model=work.model if isinstance(work, Agent) else None,
        text=work.message if isinstance(work, Agent) else work.command if isinstance(work, Shell) else "",
        document=known.document(),
        due_at=due(job.schedule.moment.isoformat(), by.now) if job.schedule and job.schedule.moment else None,
    )
    await ensure_template(client, RUNS_AS[job.run.strategy])
    starting = tasks.start(store, [new], max_queued={known.id: known.limits.max_queued}, ask=Ask(asker, [job]), by=by)
    (begun,) = await audited(store, asker, [job], by, starting)
    if begun.dispatch is not None:
        await publish(client, store, [begun.dispatch])
    return begun
