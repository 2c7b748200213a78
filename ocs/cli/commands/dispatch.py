"""`ocs dispatch`: tasks for agents, started, followed, ended and reported done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import duration_of
from ocs.cli.commands.dispatch_steer import steers_told
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import OcsError, Refused, UsageError
from ocs.rules.costs import of_dollars, told
from ocs.rules.tasks import TEMPLATE, Wish, due
from ocs.rules.trackers import ThenOn, checked_tracker
from ocs.rules.wording import SHORT, count_of, first_line, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from ocs.store.tasks import Begun

app = typer.Typer()
Label = Annotated[str, typer.Argument(help="The task's label.")]
As = Annotated[str, typer.Option("--as", help="The job that serves as template; one with run.agent.")]
To = Annotated[list[str] | None, typer.Option("--to", help="Who hears the result: ops, telegram:4711. Repeatable.")]
Tell = Annotated[
    list[str] | None, typer.Option("--tell", help="An agent whose inbox gets the result, such as main. Repeatable.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Tell nobody.")]
PoolName = Annotated[str | None, typer.Option("--pool", help="A pool of slots that it shares with others.")]
CHECK = "A command that has to succeed after the turn, within a minute."
CONTINUE = "The label of a task that has ended: this one goes on in its conversation."
KEY = "Makes a repetition harmless: asked for again with the same key, it is the task that was started first."
AT = "When it begins: so long from now (2h), or an instant (2027-02-01T16:00:00Z)."
SILENT = "Only running ones of which nothing was heard for so long (15m); ends with status 1 if there are any."


class SilentTasks(OcsError):
    """Tasks run, and give no sign of life."""

    code = "silent"


@app.command(epilog="Example:  ocs dispatch start 'Review the last commit.' --label review --to telegram:4711")
def start(
    text: Annotated[str | None, typer.Argument(help="What the agent shall do; - reads it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="A file that holds it.")] = None,
    env: Annotated[str | None, typer.Option(help="An environment variable that holds it.")] = None,
    label: Annotated[str | None, typer.Option(help="Its name, by which it is asked for.")] = None,
    template: As = TEMPLATE,
    agent: Annotated[str | None, typer.Option(help="The agent's id, instead of the template's.")] = None,
    model: Annotated[str | None, typer.Option(help="provider/model, instead of the agent's own.")] = None,
    thinking: Annotated[str | None, typer.Option(help="How hard it should think.")] = None,
    timeout: Annotated[str | None, typer.Option(help="How long it may take: 2h.")] = None,
    idle: Annotated[str | None, typer.Option(help="How long it may give no sign of life: 5m.")] = None,
    to: To = None,
    tell_agent: Tell = None,
    quiet: Quiet = False,
    goes_on_with: Annotated[
        str | None,
        typer.Option("--continue", help="The label of a task that has ended: it goes on in its conversation."),
    ] = None,
    pool: PoolName = None,
    check: Annotated[str | None, typer.Option(help=CHECK)] = None,
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    track: Annotated[str | None, typer.Option(help="The tracker that it is a member of, under its label.")] = None,
    at: Annotated[str | None, typer.Option(help=AT)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it and end with its outcome.")] = False,
) -> None:
    """Hand a task to an agent: one turn with all that follows from it, delivered once, whatever restarts meanwhile."""
    from ocs.service.wishes import checked, options, text_of

    said = text_of(text, file, env)
    asked = options(
        label=label, agent=agent, model=model, thinking=thinking, timeout=timeout, idle=idle, to=to, tell=tell_agent,
        quiet=quiet, goes_on_with=goes_on_with, pool=pool, check=check, key=key, track=track,
    )  # fmt: skip
    begins = due(at, session.now()) if at is not None else None
    wish = checked(Wish(text=said, template=template, at=begins, **asked))
    raise typer.Exit(session.run(_start(wish, wait=wait)))


async def _start(wish: Wish, *, wait: bool) -> int:
    from ocs.service.dispatching import Place, task_view
    from ocs.service.dispatching import start as start_tasks
    from ocs.service.spawning import who_asks
    from ocs.store import tasks

    async with session.server() as client, session.store() as store:
        asker, by = await who_asks(store, person())
        ((begun, flow_run_id),) = await start_tasks(client, store, [(wish, Place())], asker=asker, by=by)
        label = begun.task.label
        if wait:
            tell(f"Started {label}.")
            return await _wait(label)
        view = {**task_view(await tasks.by_label(store, label)), **_sent(flow_run_id)}
        answer({"task": view, "already": begun.already}, lambda: say(_started(begun, flow_run_id)))
        return 0


def _sent(flow_run_id: UUID | None) -> dict[str, Any]:
    if flow_run_id is None:
        return {}
    return {"flow_run_id": str(flow_run_id), "ui_url": session.flow_run_link(flow_run_id)}


def _started(begun: Begun, flow_run_id: UUID | None) -> str:
    label = begun.task.label
    if begun.already:
        return f"{label} was started before, by the same wish.  See: ocs dispatch show {label}"
    where = session.flow_run_link(flow_run_id) if flow_run_id else None
    return f"Started {label} with {begun.task.agent}, as {begun.task.template}.  {where or 'It is sent later.'}"


@app.command(epilog="Example:  ocs dispatch batch reviews.jsonl --pool night --slots 4 --to ops")
def batch(
    file: Annotated[Path, typer.Argument(help='A task a line: {"text": "...", "label": "a", "timeout": "1h"}.')],
    *,
    template: As = TEMPLATE,
    to: To = None,
    tell_agent: Tell = None,
    quiet: Quiet = False,
    pool: PoolName = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many of the pool run at the same time.")] = None,
    track: Annotated[
        str | None, typer.Option(help="The tracker that all are members of; it is made unless one is open.")
    ] = None,
    then: Annotated[str | None, typer.Option(help="The job that runs when all have ended, with --track.")] = None,
    on: Annotated[ThenOn, typer.Option(help="At which end that job runs.")] = ThenOn.COMPLETE,
    summary_to: Annotated[
        list[str] | None, typer.Option(help="Who hears once, when all have ended, with --track. Repeatable.")
    ] = None,
) -> None:
    """Start many tasks, all or none; each line has the names of start's options, and what is given here is for all."""
    from ocs.service.spawning import is_a_run
    from ocs.service.wishes import batch as read_batch
    from ocs.service.wishes import options

    if is_a_run():
        raise UsageError("A run starts its tasks one by one: ocs dispatch start --label NAME")
    if slots is not None and pool is None:
        raise UsageError("--slots is a number of a pool's slots; name the pool: --pool night")
    if track is None and (then is not None or summary_to):
        raise UsageError("--then and --summary-to belong to a tracker; name it: --track night")
    asked = options(to=to, tell=tell_agent, quiet=quiet, pool=pool, track=track)
    wishes = read_batch(file, Wish(text="", template=template, **asked))

    async def started() -> list[dict[str, Any]]:
        from ocs.service.dispatching import start as start_tasks
        from ocs.service.trackers import checked
        from ocs.store import set_slots
        from ocs.store.membership import NewTracker

        async with session.server() as client, session.store() as store:
            tracker = None
            if track is not None:
                name = checked_tracker(track)
                tracker = NewTracker(name=name, targets=tuple(summary_to or ()), then_job=then, then_on=on)
                tracker = await checked(tracker)
            if pool is not None and slots is not None:
                await set_slots(store, pool, slots, by=person())
            begun = await start_tasks(client, store, wishes, tracker=tracker, by=person())
            return [
                {"label": each.task.label, "id": str(each.task.id), "already": each.already, **_sent(flow_run_id)}
                for each, flow_run_id in begun
            ]

    views = session.run(started())
    new = sum(not view["already"] for view in views)
    see = f"ocs tasks show {track}" if track is not None else "ocs dispatch list --running"
    answer({"tasks": views, "tracker": track}, lambda: say(f"Started {count_of(new, 'task')}.  See them: {see}"))


@app.command("list", epilog="Example:  ocs dispatch list --silent 15m")
def list_tasks(
    running: Annotated[bool, typer.Option("--running", help="Only those that have not ended.")] = False,
    silent: Annotated[str | None, typer.Option("--silent", help=SILENT)] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List tasks, newest first: how each stands, and what its agent does now."""
    longest = duration_of("--silent", silent) if silent is not None else None
    views = session.run(_listed(count, running=running, silent_for=longest))
    answer({"tasks": views}, lambda: _show_list(views))
    if longest is not None and views:
        raise typer.Exit(SilentTasks.exit_status)


async def _listed(count: int, *, running: bool, silent_for: timedelta | None) -> list[dict[str, Any]]:
    from ocs.service.dispatching import is_silent, task_view
    from ocs.store import tasks

    async with session.store() as store:
        if silent_for is not None:
            found = [told for told in await tasks.open_ones(store) if is_silent(told, silent_for, session.now())][
                :count
            ]
        else:
            found = (await tasks.open_ones(store))[:count] if running else await tasks.newest(store, limit=count)
    return [task_view(told) for told in found]


def _show_list(views: list[dict[str, Any]]) -> None:
    if not views:
        say("No task.  Start one: ocs dispatch start 'Review the last commit.' --quiet")
        return
    rows = [
        (
            view["label"],
            view["status"],
            view["agent"] or "a command",
            local(utc(view["started_at"])),
            first_line(view["doing"] or view["error"] or view["summary"]),
        )
        for view in views
    ]
    table(("task", "status", "agent", "started", "what"), rows, ("started",))


@app.command(epilog="Example:  ocs dispatch show ticket-42")
def show(label: Label) -> None:
    """Show a task: how it stands, what its agent does now, what it has used, and what it said."""
    view = session.run(_view(label))

    def people() -> None:
        say(f"{view['label']}  {view['status']}")
        for name, value in [*_facts(view), *steers_told(view["steers"])]:
            say(f"  {name + ':':12}{value}")

    answer({"task": view}, people)


def _facts(view: dict[str, Any]) -> list[tuple[str, object]]:
    tokens, cost = view["tokens"], view["cost_usd"]
    used = f"{tokens['in']:,} tokens read, {tokens['out']:,} written" if tokens else None
    price = f", {told(of_dollars(cost, at_least=view['cost_at_least']))}" if used and cost is not None else ""
    run = f"{view['run'][:SHORT]}, attempt {view['attempt']}" if view["run"] else None
    facts = {
        "doing": view["doing"],
        "heard of": local(utc(view["last_activity_at"])) if view["last_activity_at"] else None,
        "used": f"{used}{price}" if used else None,
        "agent": f"{view['agent'] or 'a command'}, as {view['template']}",
        "model": view["model"],
        "run": run,
        "begins": local(view["due_at"]) if view["status"] == "queued" else None,
        "session": view["session_key"],
        "asked by": f"{view['created_by']}, {local(utc(view['created_at']))}",
        "reported": view["report"]["summary"] if view["report"] else None,
        "error": view["error"],
        "said": first_line(view["summary"]) if view["summary"] != view["error"] else None,
        "page": view["ui_url"],
    }
    return [(name, value) for name, value in facts.items() if value]


@app.command(epilog="Example:  ocs dispatch wait ticket-42")
def wait(label: Label) -> None:
    """Wait for a task's end, with what its agent says as it comes; ends with its outcome."""
    raise typer.Exit(session.run(_wait(label)))


async def _wait(label: str) -> int:
    from ocs.cli.follow import answer_end
    from ocs.cli.render.views import run_views
    from ocs.service.dispatching import follow_task, task_view
    from ocs.store import tasks

    async with session.server() as client, session.store() as store:
        run = await follow_task(client, store, label, Ear())
        (view,) = await run_views(store, [run])
        task = task_view(await tasks.by_label(store, label))
        return answer_end({"task": task}, run, view, session.flow_run_link(run.flow_run_id))


@app.command(epilog="Example:  ocs dispatch result ticket-42")
def result(label: Label) -> None:
    """Print what a task's agent said in the end, whole. Ends with status 1 when the task has failed, or not ended."""

    async def found() -> tuple[dict[str, Any], str]:
        from ocs.service import reading
        from ocs.service.dispatching import task_view
        from ocs.store import tasks

        async with session.store() as store:
            told = await tasks.by_label(store, label)
            if told.status.is_open or told.last is None:
                raise Refused(f"{label} has no result: it is {told.status}.", hint=f"Wait: ocs dispatch wait {label}")
            said = await reading.output(store, str(told.last.id), "stdout")
            return task_view(told), said.text()

    view, text = session.run(found())
    if view["status"] != "ok":
        why = f"{label} ended with status {view['status']}: {view['error']}"
        if text:
            tell(text)
        raise Refused(why, hint=f"See: ocs dispatch show {label}")
    answer({"task": view, "result": text}, lambda: say(text))


@app.command(epilog="Example:  ocs dispatch cancel ticket-42")
def cancel(label: Label) -> None:
    """End a task: its turn and its sub-agents are ended in the gateway; one that waits is withdrawn."""

    async def ended() -> dict[str, Any]:
        from ocs.service.dispatching import cancel as cancel_task
        from ocs.service.dispatching import task_view

        async with session.store() as store:
            return task_view(await cancel_task(store, label, by=person()))

    view = session.run(ended())
    answer({"task": view}, lambda: say(f"{label} is {view['status']}."))


@app.command(
    epilog="""Example:  ocs dispatch done ticket-42 --summary 'It works.' --checklist '{"work_complete": true}'"""
)
def done(
    label: Label,
    *,
    summary: Annotated[str, typer.Option(help="What was done, in a sentence.")],
    checklist: Annotated[str, typer.Option(help='A JSON object; "work_complete" has to be true.')],
    sha: Annotated[str | None, typer.Option(help="The commit that holds the work.")] = None,
    folder: Annotated[Path, typer.Option("--dir", help="The repository it is in.")] = Path(),
) -> None:
    """Report a task done: its agent's word, kept with the task. The task ends when its turn does, not by this."""

    async def reported() -> dict[str, Any]:
        from ocs.service.dispatching import report_done, task_view

        async with session.store() as store:
            told = await report_done(
                store, label, summary=summary, checklist=checklist, sha=sha, folder=folder, by=person()
            )
            return task_view(told)

    view = session.run(reported())
    answer({"task": view}, lambda: say(f"{label} is reported done; it ends when its turn does."))


async def _view(label: str) -> dict[str, Any]:
    from ocs.service.dispatching import task_view
    from ocs.service.steering import steers_view
    from ocs.store import tasks

    async with session.store() as store:
        told = await tasks.by_label(store, label)
        return {**task_view(told), "steers": await steers_view(store, told)}
