"""`ocs dispatch steer`: what a person says to a task's agent while it works, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ocs.cli.person import person
from ocs.cli.render.output import answer, say
from ocs.rules.steering import SteerOutcome
from ocs.rules.wording import first_line, local, utc
from ocs.service import session

app = typer.Typer()
NOW = "End the turn for it: the agent goes on in the same conversation with this, and tools that work are ended."
HAS_READ = "Its agent has read it."
NEXT_STEP = "Its agent reads it at its next step."
AFTER_THE_TURN = "It is read after this turn. Sooner: --now, or allow sessions_send in gateway.tools.allow."
FIRST_TURN = "It is read with its next turn."
KEPT = "It is kept until a worker tells it."
ENDED_FOR_IT = "The turn was ended for it, and goes on with it."
OUTCOMES = {
    SteerOutcome.PENDING: "not told yet",
    SteerOutcome.HELD: "read after this turn",
    SteerOutcome.SENT: "told",
    SteerOutcome.READ: "read",
    SteerOutcome.UNSURE: "told; whether it was read is not known",
    SteerOutcome.UNHEARD: "not read: the task has ended before",
}


@app.command(epilog="Example:  ocs dispatch steer ticket-42 'Leave the fixtures alone.'")
def steer(
    label: Annotated[str, typer.Argument(help="The task's label.")],
    text: Annotated[str, typer.Argument(help="What its agent is told; - reads it from standard input.")],
    *,
    now: Annotated[bool, typer.Option("--now", help=NOW)] = False,
) -> None:
    """Tell a task's agent something while it works. It is kept until it was read; show says what became of it."""
    from ocs.service.wishes import words

    said = words(text)

    async def steered() -> tuple[dict[str, Any], dict[str, Any]]:
        from ocs.service.dispatching import task_view
        from ocs.service.steering import steer as steer_task
        from ocs.service.steering import steer_view

        async with session.store() as store:
            told, written = await steer_task(store, label, said, at_once=now, by=person())
            return task_view(told), steer_view(written, told)

    task, view = session.run(steered())
    answer({"task": task, "steer": view}, lambda: say(f"{label} is {task['status']}. {_what_follows(task, view)}"))


def _what_follows(task: dict[str, Any], view: dict[str, Any]) -> str:
    if task["status"] != "running":
        return FIRST_TURN
    match SteerOutcome(view["outcome"]):
        case SteerOutcome.HELD:
            return AFTER_THE_TURN
        case SteerOutcome.PENDING:
            return KEPT
        case _ if view["now"]:
            return ENDED_FOR_IT
        case SteerOutcome.READ:
            return HAS_READ
        case _:
            return NEXT_STEP


def steers_told(views: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each steer on a line, with what became of it."""
    return [
        ("steered", f"{first_line(view['text'])}  ({view['actor']}, {local(utc(view['created_at']))}; {_became(view)})")
        for view in views
    ]


def _became(view: dict[str, Any]) -> str:
    return OUTCOMES[SteerOutcome(view["outcome"])]
