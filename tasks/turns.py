"""Turns of agents: what the store and the job say of one, put together for the strategy."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

from blocks.gateway import ChatTurn, OpenClawGateway, gateway
from ocs.rules import prompt, retrieval
from ocs.rules import session_key as session
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus, StreamOutput
from ocs.rules.prompt import Parent
from ocs.rules.retrieval import CANDIDATES, Earlier
from ocs.rules.session_key import Before
from ocs.spec import Agent, Job, Main
from ocs.store import Store, inbox, queries, record_session
from ocs.store.tables import Run
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.strategies.agent import run_turn, send_event
from tasks.strategies.work import Work


async def run_agent(task: Agent, work: Work) -> DispatchResult:
    """A turn of the job's agent."""
    return await _turn(await gateway(), task, work)


async def run_main(task: Main, work: Work) -> DispatchResult:
    """A turn of the default agent's main session, or an event for it that nobody waits for."""
    reached = await gateway()
    as_agent = Agent(message=task.message, agent=reached.default_agent, session="main")
    if task.mode == "turn":
        return await _turn(reached, as_agent, work)
    text = await _prompt(work.job, as_agent, work.context)
    return await send_event(reached, text, session_key=_session_key(as_agent, work.context))


async def _turn(reached: OpenClawGateway, task: Agent, work: Work) -> DispatchResult:
    message = await _prompt(work.job, task, work.context)
    earlier = session.gone_on_with(await _attempt_before(work.context))
    key = earlier or _session_key(task, work.context)
    await _remember(work.context.run_id, key)
    # In the main session inheriting its profile is what happens anyway.
    profile = None if task.session == "main" else task.auth_profile
    return await run_turn(
        reached,
        ChatTurn(task.agent, prompt.taken_up(message) if earlier else message, key, task.model, profile),
        idle=task.idle_timeout,
        timeout=work.job.run.timeout,
        output=work.job.output,
        artifacts=work.artifacts,
        on_line=partial(work.show, "stdout"),
        goes_on=earlier is not None,
    )


async def _attempt_before(context: DispatchContext) -> Before | None:
    """The attempt that this one follows. A crash cuts a turn off, too."""
    before = context.dispatch.retry_of
    if before is None:
        return None

    async def look_up() -> Run | None:
        return await queries.run(await runtime.store(), before)

    run = await retry_transient("look up the attempt before", look_up)
    return Before(run.session_key, run.cut_off or run.status is RunStatus.CRASHED) if run else None


async def _remember(run_id: UUID, key: str) -> None:
    """Record the conversation, so that people find the turn in the gateway while it goes on, and after a crash."""

    async def note() -> None:
        await record_session(await runtime.store(), run_id, key)

    await retry_transient(f"record the conversation of run {run_id}", note)


def _session_key(task: Agent, context: DispatchContext) -> str:
    return session.session_key(task.session, agent=task.agent, job_id=context.job_id, run_id=context.run_id)


async def _prompt(job: Job, task: Agent, context: DispatchContext) -> str:
    """Build the prompt; asked again, it has the same messages of the inbox."""
    return await retry_transient("put the prompt together", partial(_put_together, job, task, context))


async def _put_together(job: Job, task: Agent, context: DispatchContext) -> str:
    store = await runtime.store()
    # Beside the event loop, as the search is: what was said before may be long.
    return await asyncio.to_thread(
        prompt.build,
        job,
        task,
        parent=await _parent(store, context.dispatch.source_run),
        earlier=await _earlier(store, task, context),
        key=await _key_of_first_attempt(store, context) if job.run.guarantee == "at-least-once" else None,
        # The run holds them until it ends, so that no other turn is shown them meanwhile.
        inbox=await inbox.take(store, task.agent, context.run_id, now=runtime.clock()),
    )


async def _key_of_first_attempt(store: Store, context: DispatchContext) -> str:
    """Each attempt has a key of its own; the agent knows what must run once by that of the first."""
    run = await queries.run(store, context.run_id)
    first = (await queries.attempts(store, run))[0] if run else None
    return (first.idempotency_key if first else None) or context.idempotency_key


async def _parent(store: Store, run_id: UUID | None) -> Parent | None:
    """The run that caused this one; a run that is gone is no parent."""
    run = await queries.run(store, run_id) if run_id else None
    if run is None:
        return None
    return Parent(
        run.job_id,
        run.status,
        run.exit_code,
        run.signal,
        run.error,
        StreamOutput(run.stdout, run.stdout_bytes, run.stdout_path),
        StreamOutput(run.stderr, run.stderr_bytes, run.stderr_path),
    )


async def _earlier(store: Store, task: Agent, context: DispatchContext) -> list[Earlier]:
    """What earlier runs said; their metadata says nothing."""
    wanted = task.context
    if wanted.from_ == "none":
        return []
    limit = wanted.limit if wanted.from_ == "recent" else max(CANDIDATES, wanted.limit)
    runs = await queries.said_before(store, context.job_id, before=context.run_id, limit=limit)
    said = [Earlier(run.started_at, run.stdout) for run in runs]
    if wanted.from_ == "recent":
        return retrieval.recent(said, wanted.limit)
    return await asyncio.to_thread(retrieval.hybrid, task.message, said, wanted.limit)
