"""`ocs agents`: what each agent does now, what it can do, and where its results go."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.arguments import AgentName, target_names
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import first_line, local
from ocs.service import session, teams

app = typer.Typer()
CAN = "What it can do, in a word; all of them together. Repeatable; '' takes them away."
TO = "Who hears of a task of it that does not say who. Repeatable; '' takes them away."


@app.command("list", epilog="Example:  ocs agents list --can python")
def list_agents(
    can: Annotated[str | None, typer.Option(help="Only those that were said to be able to do this.")] = None,
) -> None:
    """List agents: which work now, by the turns that really run, and when they did last."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await teams.agents_listed(store, can=can)

    views = session.run(found())

    def people() -> None:
        if not views:
            say("No agent on record: one is once it has taken a turn, or with: ocs agents set coder --can python")
            return
        table(("AGENT", "STATUS", "LAST SEEN", "CAN", "RESULTS GO TO"), [_row(view) for view in views])

    answer({"agents": views}, people)


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    busy = f"busy ({view['turns']} turns)" if view["turns"] > 1 else view["status"]
    return (view["id"], busy, local(view["last_seen_at"]), ", ".join(view["capabilities"]), ", ".join(view["to"]))


@app.command(epilog="Example:  ocs agents show coder")
def show(agent: AgentName) -> None:
    """Show an agent: what it does now, its tasks that have not ended, and what it has not read."""

    async def found() -> dict[str, Any]:
        async with session.store() as store:
            return await teams.agent(store, agent)

    view = session.run(found())
    answer({"agent": view}, lambda: _show(view))


def _show(view: dict[str, Any]) -> None:
    name = f"  {view['name']}" if view["name"] else ""
    say(f"{view['id']}{name}  {view['status']}")
    facts = {
        "last seen": local(view["last_seen_at"]),
        "can": ", ".join(view["capabilities"]),
        "tells": ", ".join(view["to"]),
        "unread": view["unread"],
    }
    for fact, value in facts.items():
        if value:
            say(f"  {fact + ':':12}{value}")
    if view["tasks"]:
        rows = [(each["label"], each["status"], first_line(each["doing"] or "")) for each in view["tasks"]]
        table(("TASK", "STATUS", "DOING"), rows)


@app.command("set", epilog="Example:  ocs agents set coder --can python --can review --to ops")
def set_agent(
    agent: AgentName,
    *,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    can: Annotated[list[str] | None, typer.Option(help=CAN)] = None,
    to: Annotated[list[str] | None, typer.Option(help=TO, autocompletion=target_names)] = None,
) -> None:
    """Say what an agent can do, and who hears the results of its tasks. What is not given stays."""

    async def changed() -> dict[str, Any]:
        async with session.store() as store:
            return await teams.set_agent(store, agent, name=name, capabilities=can, to=to, by=person())

    view = session.run(changed())
    answer({"agent": view}, lambda: _show(view))
