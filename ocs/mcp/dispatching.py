"""Tools for tasks: work that is handed to an agent, followed, steered and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocs.mcp.answers import Text, done, told
from ocs.mcp.arguments import LONGEST_ID, LONGEST_TEXT, Label, Limit
from ocs.mcp.caller import attribution, caller
from ocs.rules.tasks import TEMPLATE, Wish
from ocs.rules.wording import first_line
from ocs.service import reading, session
from ocs.service.dispatching import Place, task_view
from ocs.service.dispatching import cancel as cancel_one
from ocs.service.dispatching import start as start_tasks
from ocs.service.steering import steer, steer_view, steers_view
from ocs.service.wishes import EMPTY, checked

if TYPE_CHECKING:
    from ocs.store.tasks import Told

from ocs.errors import UsageError

IN_LISTS = ("label", "status", "agent", "template", "created_by", "created_at", "started_at", "finished_at")
LINE = 200
Name = Annotated[str | None, Field(max_length=LONGEST_ID)]


async def list_tasks(
    only_open: Annotated[bool, Field(description="Only those that have not ended.")] = False, limit: Limit = 20
) -> str:
    """List tasks that were handed to agents, newest first: how each stands, and what its agent does now."""
    from ocs.store import tasks

    async with session.store() as store:
        found = (await tasks.open_ones(store))[:limit] if only_open else await tasks.newest(store, limit=limit)
    return told("tasks", {"tasks": [_line(each) for each in found]})


async def show_task(task: Label) -> str:
    """Show a task: how it stands, what its agent does now, what it was told meanwhile, and what it said in the end."""
    from ocs.store import tasks

    async with session.store() as store:
        found = await tasks.by_label(store, task)
        facts = {**task_view(found), "steers": await steers_view(store, found)}
        texts = [Text("what it was asked", found.task.text)]
        if found.last is not None and not found.status.is_open:
            said = await reading.output(store, str(found.last.id), "stdout")
            texts.append(Text("what its agent said in the end", said.kept))
    return told(f"task {found.task.label}", {**facts, "summary": first_line(str(facts["summary"]), LINE)}, *texts)


async def start_task(
    text: Annotated[str, Field(description="What the agent shall do, in full.", max_length=LONGEST_TEXT)],
    label: Annotated[Name, Field(description="Its name, by which it is asked for; without one it gets one.")] = None,
    template: Annotated[
        str, Field(max_length=LONGEST_ID, description="The job that serves as template; one with run.agent.")
    ] = TEMPLATE,
    agent: Annotated[Name, Field(description="The agent's id, instead of the template's.")] = None,
    to: Annotated[
        list[str] | None,
        Field(max_length=10, description="Targets that hear the result, such as ops. By default your inbox gets it."),
    ] = None,
    timeout: Annotated[Name, Field(description="How long it may take, such as 2h.")] = None,
    continues: Annotated[
        Name, Field(description="The label of a task that has ended: this one goes on in its conversation.")
    ] = None,
    key: Annotated[
        Name, Field(description="Makes a repetition harmless: with the same key, it is the task that was first.")
    ] = None,
) -> str:
    """Hand a task to an agent: it works by itself, and the result is delivered once. Answers at once; see show_task."""
    if not text.strip():
        raise UsageError(EMPTY)
    heard = () if to else (caller().name,)
    wish = Wish(
        text=text,
        label=label,
        template=template,
        agent=agent,
        timeout=timeout,
        goes_on_with=continues,
        key=key,
        to=tuple(to or ()),
        tell=heard,
    )
    async with session.server() as client, session.store() as store:
        ((begun, flow_run_id),) = await start_tasks(client, store, [(checked(wish), Place())], by=attribution())
    name = begun.task.label
    said = f"{name} was started before, with the same key." if begun.already else f"Started {name}."
    link = session.flow_run_link(flow_run_id) if flow_run_id else None
    return done(said, {"label": name, "agent": begun.task.agent, "already": begun.already, "ui_url": link})


async def steer_task(
    task: Label,
    text: Annotated[str, Field(description="What its agent is told.", max_length=LONGEST_TEXT)],
    at_once: Annotated[bool, Field(description="End its turn for it, and the tools that work.")] = False,
) -> str:
    """Tell a task's agent something while it works. It is kept until it was read; show_task says what became of it."""
    async with session.store() as store:
        found, written = await steer(store, task, text, at_once=at_once, by=attribution())
        view = steer_view(written, found)
    facts = {"label": found.task.label, "status": str(found.status), "outcome": view["outcome"], "told": view["told"]}
    return done(f"{found.task.label} is {found.status}; what you said is {view['outcome']}.", facts)


async def cancel_task(task: Label) -> str:
    """End a task with all its agent has started; one that waits is withdrawn. Waits until it has ended."""
    async with session.store() as store:
        ended = await cancel_one(store, task, by=attribution())
    return done(f"{ended.task.label} is {ended.status}.", {"label": ended.task.label, "status": str(ended.status)})


def _line(found: Told) -> dict[str, Any]:
    view = task_view(found)
    what = view["doing"] or view["error"] or view["summary"]
    kept = {key: view[key] for key in IN_LISTS if view[key] is not None}
    return {**kept, "asked": first_line(found.task.text, LINE), "what": first_line(what, LINE)}
