"""`ocs costs`: what turns of agents have used and cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from ocs.cli.arguments import moment_of
from ocs.cli.render.output import answer, say, table
from ocs.rules.costs import By, of_dollars, told
from ocs.rules.wording import local
from ocs.service import costs, session

app = typer.Typer()
LATELY = timedelta(days=30)


@app.command("costs", epilog="Example:  ocs costs --by model --since 7d")
def show_costs(
    by: Annotated[By, typer.Option(help="What is summed up.")] = By.JOB,
    since: Annotated[str | None, typer.Option(help="Since when: 7d, or a moment; 30 days when not given.")] = None,
) -> None:
    """Show what turns of agents have used and cost, and what this month comes to. Unknown is never taken for 0."""
    began = moment_of(since) or session.now() - LATELY

    async def found() -> dict[str, Any]:
        async with session.store() as store:
            return await costs.costs(store, by, since=began)

    view = session.run(found())

    def people() -> None:
        if not view["costs"]:
            say(f"No turn of an agent has used anything since {local(began)}.")
        else:
            rows = [
                (
                    line["name"] or "unknown",
                    line["runs"],
                    line["tokens"]["in"],
                    line["tokens"]["cached"],
                    line["tokens"]["out"],
                    _told(line),
                )
                for line in view["costs"]
            ]
            table((by.value.upper(), "RUNS", "READ", "CACHED", "WRITTEN", "COST"), rows, spare=("CACHED",))
            say(f"\nSince {local(began)}: {_told(view['total'])}")
        month = view["month"]
        coming = month["projected_usd"]
        goes_on = f", about {told(of_dollars(coming, at_least=month['cost_at_least']))} by its end" if coming else ""
        if view["costs"]:
            say(f"This month: {_told(month)}{goes_on}")

    answer(view, people)


def _told(view: dict[str, Any]) -> str:
    return told(of_dollars(view["cost_usd"], at_least=view["cost_at_least"]))
