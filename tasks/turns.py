"""Turns of agents: what the store and the job say of one, put together for the strategy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from blocks.gateway import ChatTurn, OpenClawGateway, gateway
from ocs import tracing
from ocs.rules import prompt, retrieval
from ocs.rules import session_key as session
from ocs.rules.costs import Price, tokens_of
from ocs.rules.dispatch import DispatchContext, DispatchKind, DispatchResult, RunStatus, StreamOutput
from ocs.rules.model_choice import Asked, model_of
from ocs.rules.prompt import Parent
from ocs.rules.retrieval import CANDIDATES, Earlier
from ocs.rules.session_key import Before
from ocs.rules.trackers import results
from ocs.spec import Agent, Job, Main
from ocs.store import Store, costs, inbox, queries, record_session, steers, trackers
from ocs.store.tables import Run
from ocs.store.tables_tasks import Task
from ocs.store.tasks import task_of_dispatch
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.doing import Doing
from tasks.done import checked, reported
from tasks.spawning import tools_of
from tasks.spending import held_by, within
from tasks.steering import Ear
from tasks.strategies.agent import run_turn, send_event
from tasks.strategies.conversation import Watch
from tasks.strategies.work import Work


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where an attempt stands: the first one of its dispatch, the one before it, the task that they are.

    `asked` is the model of the one before.
    """

    first: Run | None = None
    before: Before | None = None
    task: Task | None = None
    asked: Asked | None = None


async def run_agent(task: Agent, work: Work) -> DispatchResult:
    """A turn of the job's agent."""
    return await _turn(await gateway(), task, work)


async def run_main(task: Main, work: Work) -> DispatchResult:
    """A turn of the default agent's main session, or an event for it that nobody waits for."""
    reached = await gateway()
    as_agent = Agent(message=task.message, agent=reached.default_agent, session="main")
    if task.mode == "turn":
        return await _turn(reached, as_agent, work)
    lineage = await _lineage(work.context)
    text = await _prompt(work.job, as_agent, work.context, lineage)
    return await send_event(reached, text, session_key=_session_key(as_agent, work.context, lineage))


async def _turn(reached: OpenClawGateway, task: Agent, work: Work) -> DispatchResult:
    lineage = await _lineage(work.context)
    message = await _prompt(work.job, task, work.context, lineage)
    earlier = session.gone_on_with(task.session, lineage.before)
    key = earlier or _session_key(task, work.context, lineage)
    model = model_of((task.model, *task.fallback_models), lineage.asked)
    await _remember(work.context.run_id, key, task.agent, model)
    # In the main session inheriting its profile is what happens anyway.
    profile = None if task.session == "main" else task.auth_profile
    goes_on = earlier is not None or (lineage.task is not None and lineage.task.conversation != lineage.task.id)
    turn = ChatTurn(task.agent, _asked(message, earlier, lineage.before), key, model, profile)
    doing = Doing(work.context.run_id, partial(work.show, "activity"), await _prices())
    ear = await _ear(reached, lineage, work, key, anew=lineage.before is not None and earlier is None)
    take = partial(
        run_turn,
        reached,
        idle=task.idle_timeout,
        timeout=work.job.run.timeout,
        output=work.job.output,
        artifacts=work.artifacts,
        on_line=partial(work.show, "stdout"),
        watch=Watch(_both(doing, ear), partial(doing.take_usage, model=model), doing.take_help),
        tools=tools_of(work.job, task, work),
    )

    async def done(result: DispatchResult) -> DispatchResult:
        if lineage.task is not None and task.report == "required":
            ask = replace(turn, message=prompt.to_be_reported(lineage.task.label))
            once_more = partial(take, ask, artifacts=work.beside("report").artifacts)
            result = await reported(lineage.task.id, work.context, result, once_more)
        return await checked(task, work, result)

    async def taken() -> DispatchResult:
        if ear is None:
            return await done(await take(turn, goes_on=goes_on))
        return await _steered(ear, turn, partial(take, ear=ear), done, goes_on=goes_on)

    held = await held_by(work.context.run_id)
    with _traced(turn) as traced:
        async with doing.kept(), ear.open() if ear else contextlib.nullcontext():
            result = await within(held, work.context.run_id, doing, taken())
        tokens = tokens_of(doing.used)
        used = {"gen_ai.usage.input_tokens": tokens.read, "gen_ai.usage.output_tokens": tokens.output}
        traced.say({name: number or None for name, number in used.items()})
        if result.status is not RunStatus.OK:
            traced.fail(str(result.status))
        return replace(result, used=doing.used, session_key=result.session_key or key)


async def _prices() -> dict[str, Price]:
    async def look_up() -> dict[str, Price]:
        return await costs.prices(await runtime.store())

    return await retry_transient("look up the prices of models", look_up)


def _traced(turn: ChatTurn) -> contextlib.AbstractContextManager[tracing.Span]:
    """The turn as a span: who was asked and with which model; neither what was said nor in which conversation."""
    said = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openclaw",
        "gen_ai.agent.name": turn.agent,
        "gen_ai.request.model": turn.model,
    }
    return tracing.span(f"invoke_agent {turn.agent}", said, calls=True)


async def _steered(
    ear: Ear,
    turn: ChatTurn,
    take: Callable[..., Awaitable[DispatchResult]],
    done: Callable[[DispatchResult], Awaitable[DispatchResult]],
    *,
    goes_on: bool,
) -> DispatchResult:
    """Have the turn taken, with what people said before it, and once more for what they say until it is done."""
    if said := await ear.next(ended_well=False):
        turn = replace(turn, message=f"{turn.message}\n\n{said}")
    while True:
        result = await take(turn, goes_on=goes_on)
        if result.retry_in is not None:
            await ear.take_back()
        result = await done(result)
        if (said := await ear.end(result)) is None:
            return result
        turn, goes_on = replace(turn, message=said), True


async def _ear(reached: OpenClawGateway, lineage: Lineage, work: Work, key: str, *, anew: bool) -> Ear | None:
    """What hears what people say to the task; a conversation that begins anew knows nothing of what they said."""
    task = lineage.task
    if task is None:
        return None

    async def forget() -> None:
        await steers.renew(await runtime.store(), task.id)

    if anew:
        await retry_transient("have steers told again", forget)
    return Ear(task.id, work.context.run_id, reached, key, partial(work.show, "activity"))


def _both(doing: Doing, ear: Ear | None) -> Callable[[Mapping[str, Any]], None]:
    """Takes in what comes into the session."""
    if ear is None:
        return doing.take

    def take(message: Mapping[str, Any]) -> None:
        doing.take(message)
        ear.saw(message)

    return take


def _asked(message: str, earlier: str | None, before: Before | None) -> str:
    if earlier is None or before is None:
        return message
    return prompt.taken_up(message) if before.cut_off else prompt.tried_again(message, before.why)


async def _lineage(context: DispatchContext) -> Lineage:
    """What the attempts before this one were. A crash cuts a turn off, too."""

    async def look_up() -> Lineage:
        store = await runtime.store()
        run = await queries.run(store, context.run_id)
        first = (await queries.attempts(store, run))[0] if run else None
        dispatch = first.dispatch_id if first else context.dispatch.id
        task = await task_of_dispatch(store, dispatch) if dispatch else None
        earlier = context.dispatch.retry_of
        before = await queries.run(store, earlier) if earlier else None
        if before is None:
            return Lineage(first, task=task)
        return Lineage(first, _before(before), task, Asked(before.model, before.model_failed))

    return await retry_transient("look up the attempts before", look_up)


def _before(run: Run) -> Before:
    return Before(run.session_key, run.cut_off or run.status is RunStatus.CRASHED, run.error or run.summary)


async def _remember(run_id: UUID, key: str, agent: str, model: str | None) -> None:
    """Record whose turn it is, and the conversation, which people find in the gateway, also after a crash."""

    async def note() -> None:
        await record_session(await runtime.store(), run_id, key, agent=agent, model=model)

    await retry_transient(f"record the conversation of run {run_id}", note)


def _session_key(task: Agent, context: DispatchContext, lineage: Lineage) -> str:
    """Of a task all attempts have one key, and so has a task that goes on with it; of any other run its own."""
    owner = context.run_id
    if task.session == "task":
        first = lineage.first.id if lineage.first else context.run_id
        owner = lineage.task.conversation if lineage.task else first
    return session.session_key(task.session, agent=task.agent, job_id=context.job_id, run_id=owner)


async def _prompt(job: Job, task: Agent, context: DispatchContext, lineage: Lineage) -> str:
    """Build the prompt; asked again, it has the same messages of the inbox."""
    return await retry_transient("put the prompt together", partial(_put_together, job, task, context, lineage))


async def _put_together(job: Job, task: Agent, context: DispatchContext, lineage: Lineage) -> str:
    store = await runtime.store()
    # Each attempt has a key of its own; the agent knows what must run once by that of the first.
    key = (lineage.first.idempotency_key if lineage.first else None) or context.idempotency_key
    is_gone_on_with = session.gone_on_with(task.session, lineage.before) is not None
    # Beside the event loop, as the search is: what was said before may be long.
    return await asyncio.to_thread(
        prompt.build,
        job,
        task,
        parent=await _parent(store, context.dispatch.source_run),
        members=await _members(store, lineage.first),
        earlier=await _earlier(store, task, context),
        # In the same conversation the agent sees what is done; skipping it would keep back the result.
        key=key if job.run.guarantee == "at-least-once" and not is_gone_on_with else None,
        # The run holds them until it ends, so that no other turn is shown them meanwhile.
        inbox=await inbox.take(store, task.agent, context.run_id, now=runtime.clock()),
        label=lineage.task.label if lineage.task else None,
    )


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


async def _members(store: Store, first: Run | None) -> list[str]:
    """What the members of a tracker said whose end this run follows."""
    if first is None or first.kind is not DispatchKind.CHAIN or first.dispatch_id is None:
        return []
    found = await trackers.of_dispatch(store, first.dispatch_id)
    if found is None:
        return []
    tracker, members = found
    return await asyncio.to_thread(results, tracker.name, tracker.status, members)


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
