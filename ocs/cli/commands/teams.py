"""`ocs team`: who belongs together, what stands before them, and what they have not acknowledged."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.arguments import TeamName
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, first_line, local
from ocs.service import session, teams

app = typer.Typer()


@app.command("list", epilog="Example:  ocs team list")
def list_teams() -> None:
    """List the teams: who belongs to each, and which of its gates are open."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await teams.listed(store)

    views = session.run(found())

    def people() -> None:
        if not views:
            say("No team.  Make one: ocs team set docs --member writer --member reviewer")
            return
        rows = [(view["name"], ", ".join(view["members"]), ", ".join(view["open_gates"])) for view in views]
        table(("TEAM", "MEMBERS", "OPEN GATES"), rows)

    answer({"teams": views}, people)


@app.command(epilog="Example:  ocs team show docs")
def show(team: TeamName) -> None:
    """Show a team: what its members do, its gates, and its mailbox with who has not acknowledged what."""

    async def found() -> dict[str, Any]:
        async with session.store() as store:
            return await teams.view(store, team)

    view = session.run(found())
    answer({"team": view}, lambda: _show(view))


def _show(view: dict[str, Any]) -> None:
    members = [
        (each["id"], each["status"] or "never seen", local(each.get("last_seen_at")), _can(each))
        for each in view["members"]
    ]
    table(("MEMBER", "STATUS", "LAST SEEN", "CAN"), members)
    if view["gates"]:
        say("")
        gates = [(gate["name"], gate["gate"], _open_members(gate), gate["then"]) for gate in view["gates"]]
        table(("GATE", "STATUS", "WAITS FOR", "THEN"), gates)
    if view["mailbox"]:
        say("")
        letters = [
            (
                each["id"][:SHORT],
                each["from"],
                local(each["ack_by"]),
                ", ".join(each["not_acknowledged_by"]),
                first_line(each["subject"] or each["body"], 60),
            )
            for each in view["mailbox"]
        ]
        table(("MESSAGE", "FROM", "ACK BY", "NOT ACKNOWLEDGED BY", ""), letters)


def _can(agent: dict[str, Any]) -> str:
    return ", ".join(agent.get("capabilities", ()))


def _open_members(gate: dict[str, Any]) -> str:
    return ", ".join(each["label"] for each in gate["members"] if each["status"] in ("pending", "running"))


@app.command("set", epilog="Example:  ocs team set docs --member writer --member reviewer --member tester")
def set_team(
    team: TeamName,
    member: Annotated[
        list[str], typer.Option("--member", "-m", help="An agent's id, or another name that messages are sent to.")
    ],
) -> None:
    """Make a team, or say anew who belongs to it. A message to team:NAME is for each of its members."""

    async def changed() -> dict[str, Any]:
        async with session.store() as store:
            return await teams.set_team(store, team, member, by=person())

    view = session.run(changed())
    names = ", ".join(each["id"] for each in view["members"])
    answer({"team": view}, lambda: say(f"The team {view['name']}: {names}.  Write to it: --to team:{view['name']}"))


@app.command(epilog="Example:  ocs team remove docs")
def remove(team: TeamName) -> None:
    """End a team. Its gates go on, and what was sent to it stays with nobody to read it."""

    async def removed() -> None:
        async with session.store() as store:
            await teams.remove_team(store, team, by=person())

    session.run(removed())
    answer({"team": {"name": team}}, lambda: say(f"There is no team {team} any more."))
