"""`ocs budgets`: what agents may spend in a day or a month."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.arguments import BudgetName, SomeAgent, SomeJob
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say, table
from ocs.errors import UsageError
from ocs.rules.budgets import Action, Per, Scope
from ocs.rules.costs import of_dollars, told
from ocs.rules.wording import local
from ocs.service import budgets, session

app = typer.Typer()


@app.command("list", epilog="Example:  ocs budgets list")
def list_budgets() -> None:
    """List the budgets: what was spent of each, and what runs at work hold."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return await budgets.budgets(store)

    views = session.run(found())

    def people() -> None:
        if not views:
            say("There are no budgets. Set one with:  ocs budgets set 1 --job brief --per day --action stop")
            return
        sums = ("limit_usd", "spent_usd", "held_usd", "left_usd")
        rows = [
            (view["name"], view["action"], *(_usd(view[each]) for each in sums), local(view["until"])) for view in views
        ]
        table(
            ("BUDGET", "ACTION", "LIMIT", "SPENT", "HELD", "LEFT", "WHOLE AGAIN"), rows, spare=("WHOLE AGAIN", "HELD")
        )

    answer({"budgets": views}, people)


@app.command("set", epilog="Example:  ocs budgets set 1 --job brief --per day --action stop")
def set_budget(
    amount: Annotated[str, typer.Argument(help="US dollars, such as 1 or 0.50.")],
    per: Annotated[Per, typer.Option("--per", help="After what time it is whole again, in UTC.")],
    job: SomeJob = None,
    agent: SomeAgent = None,
    project: Annotated[bool, typer.Option("--project", help="Everything that uses this store.")] = False,
    action: Annotated[
        Action,
        typer.Option("--action", help="What becomes of a run that does not fit: skipped, asked for, or only told of."),
    ] = Action.STOP,
) -> None:
    """Set what may be spent in US dollars, by a job, by an agent, or by everything. Runs at work go on."""
    whose = _whose(job, agent, project=project)

    async def changed() -> dict[str, Any]:
        async with session.store() as store:
            return await budgets.set_budget(
                store, amount, whose=whose, per=per, action=action, by=person(), listener=Ear()
            )

    view = session.run(changed())
    left = f"{_usd(view['limit_usd'])} a {per}, of which {_usd(view['left_usd'])} is left"
    answer({"budget": view}, lambda: say(f"The budget {view['name']} is {left}. Over it: {action}."))


@app.command("remove", epilog="Example:  ocs budgets remove job:brief:day")
def remove_budget(name: BudgetName) -> None:
    """Take a budget away. What is skipped or asked for because of it stays so."""

    async def removed() -> None:
        from ocs.store import spending

        async with session.store() as store:
            await spending.remove_budget(store, name, by=person())

    session.run(removed())
    answer({"removed": name}, lambda: say(f"The budget {name} is gone."))


def _whose(job: str | None, agent: str | None, *, project: bool) -> tuple[Scope, str]:
    given = [
        whose
        for whose in ((Scope.JOB, job), (Scope.AGENT, agent), (Scope.PROJECT, "" if project else None))
        if whose[1] is not None
    ]
    if len(given) != 1:
        raise UsageError("Whose budget is it? Give --job, --agent or --project, and only one.")
    scope, subject = given[0]
    return scope, subject or ""


def _usd(amount: float | None) -> str:
    return told(of_dollars(amount, at_least=False))
