"""`ocs jobs spawn`: a run makes a job of its own, which runs once, now or later."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.commands.jobs import read_text
from ocs.cli.person import person
from ocs.cli.render.output import answer, say
from ocs.errors import Refused
from ocs.service import session

app = typer.Typer()


@app.command(epilog="Example:  ocs jobs spawn --file follow-up.yaml")
def spawn(
    file: Annotated[str, typer.Option(help="The job's document from a file, or - for standard input.")],
) -> None:
    """Have a job run once, now or at its schedule.at: for runs whose own job says spawn."""
    view = session.run(_spawned(read_text(file)))
    label = view["task"]["label"]
    done = "was started before, by the same wish" if view["already"] else f"is {view['task']['status']}"
    answer(view, lambda: say(f"{label} {done}.  See: ocs dispatch show {label}"))


async def _spawned(text: str) -> dict[str, Any]:
    from ocs.service.dispatching import task_view
    from ocs.service.spawning import spawn_job, who_asks
    from ocs.store import tasks

    async with session.server() as client, session.store() as store:
        asker, by = await who_asks(store, person())
        if asker is None:
            raise Refused(
                "ocs jobs spawn is for runs whose job says spawn, and this is none.",
                hint="Make the job: ocs jobs add --file FILE   Or hand on a task: ocs dispatch start",
            )
        begun = await spawn_job(client, store, text, asker=asker, by=by)
        task = task_view(await tasks.by_label(store, begun.task.label))
    return {"task": task, "already": begun.already}
