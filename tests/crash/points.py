"""The named points at which a worker kills itself or holds, each a production function that is wrapped from outside.

Nothing in the product knows of them: a point names the function where its caller looks it up, and a name that is not
there any more fails the test that uses it.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

GO = "go"
"""The file in the folder of holds that lets all of them go on."""


class Reached(Enum):
    """What had become of the run, in the store, when its worker was killed."""

    NOTHING = auto()
    CLAIMED = auto()
    FINISHED = auto()


@dataclass(frozen=True, slots=True)
class Point:
    """Before or after the `nth` call of a function. `shell_waits`: the job's shell still runs then."""

    module: str
    name: str
    when: Literal["before", "after"]
    reached: Reached
    nth: int = 1
    shell_waits: bool = False

    def kill(self, note: Path) -> None:
        """From now on this process kills itself there, once it has written into `note` that it does."""

        async def at_point() -> None:
            die(note)

        self._wrap(at_point, lambda _: True)

    def hold(self, job_id: str, folder: Path) -> None:
        """From now on the job's run waits there, and it is written into `folder` that it does, and that it went on."""

        async def at_point() -> None:
            (folder / job_id).touch()
            while not (folder / GO).exists():
                await asyncio.sleep(0.05)

        self._wrap(at_point, lambda arguments: f"job:{job_id}" in _flow_run(arguments).tags, folder / passed(job_id))

    def _wrap(
        self,
        at_point: Callable[[], Awaitable[None]],
        concerns: Callable[[tuple[Any, ...]], bool],
        passed: Path | None = None,
    ) -> None:
        owner: Any = importlib.import_module(self.module)
        *path, name = self.name.split(".")
        for part in path:
            owner = getattr(owner, part)
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)
        calls = 0

        @functools.wraps(original)
        async def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += (counts := concerns(arguments))
            here = counts and calls == self.nth
            if here and self.when == "before":
                await at_point()
            answer = await original(*arguments, **named)
            if here and self.when == "after":
                await at_point()
            if here and passed is not None:
                passed.touch()
            return answer

        setattr(owner, name, wrapped)


def die(note: Path) -> None:
    """Write down that it was here, and end as a power cut would: nothing is flushed, closed or told."""
    with note.open("x") as written:
        written.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def passed(job_id: str) -> str:
    """The file that tells that a run which was held has gone on beyond its point."""
    return f"{job_id}.passed"


def _flow_run(arguments: tuple[Any, ...]) -> FlowRun:
    """The run that a call is about: the one under way, that of the execution it belongs to, or one it is given."""
    context = FlowRunContext.get()
    told = (context and context.flow_run, *arguments, getattr(arguments[0], "flow_run", None))
    return next(thing for thing in told if isinstance(thing, FlowRun))


POINTS = {
    "after Pending": Point("ocs.worker.execution", "Execution._take_it", "after", Reached.NOTHING),
    "after Running, before claim": Point("tasks.prepare", "claim", "before", Reached.NOTHING),
    "after claim": Point("tasks.prepare", "claim", "after", Reached.CLAIMED),
    "before the shell starts": Point("tasks.commands", "run_shell", "before", Reached.CLAIMED),
    "before the shell is recorded": Point(
        "tasks.commands", "record_process", "before", Reached.CLAIMED, shell_waits=True
    ),
    "while the shell runs": Point("tasks.commands", "record_process", "after", Reached.CLAIMED, shell_waits=True),
    "after the shell ended": Point("tasks.commands", "run_shell", "after", Reached.CLAIMED),
    "before finish": Point("tasks.finalize", "finish", "before", Reached.CLAIMED),
    "after finish": Point("tasks.finalize", "finish", "after", Reached.FINISHED),
    "after a child was sent, before that is noted": Point(
        "tasks.adapter.publish", "mark_published", "before", Reached.FINISHED
    ),
    "between two children": Point("tasks.adapter.publish", "mark_published", "after", Reached.FINISHED),
    "after publish": Point("tasks.finalize", "publish", "after", Reached.FINISHED),
    "before the final state": Point("flows.job", "finalize", "after", Reached.FINISHED),
}
"""In the order in which a run passes them."""

IN_LINE = {"after it was put in line": Point("tasks.prepare", "claim", "after", Reached.NOTHING, nth=2)}
"""The second run of a job whose first one still runs."""

RECOVERY = {
    "before recovery ends a run": Point("tasks.recovery.recover", "finish", "before", Reached.CLAIMED),
    "after recovery ended a run": Point("tasks.recovery.recover", "finish", "after", Reached.CLAIMED),
    "after recovery sent what follows": Point("tasks.recovery.recover", "publish", "after", Reached.CLAIMED),
}
"""Points in the life of the worker that comes after a killed one."""

GIVING_BACK = {
    "before a run that was taken is given back": Point(
        "ocs.worker.stopping", "Stopping._was_orphaned", "after", Reached.NOTHING, nth=2
    ),
    "before a run that had begun is given back": Point(
        "tasks.recovery.reconcile", "_is_still_orphaned", "after", Reached.NOTHING
    ),
}
"""Where a worker has seen for the last time that another one left a run."""

REPEATS = "after a message was sent, before that is noted"
DELIVERY = {
    "before a message is sent": Point("blocks.webhook_transport", "WebhookTransport.send", "before", Reached.FINISHED),
    REPEATS: Point("blocks.webhook_transport", "WebhookTransport.send", "after", Reached.FINISHED),
    "after it was noted that a message was sent": Point("ocs.store.deliveries", "note_part", "after", Reached.FINISHED),
}
"""Points in the life of a message."""

ASKING = {
    "after it asked for approval": Point("tasks.prepare", "claim", "after", Reached.NOTHING),
    "before it suspends": Point("flows.job", "suspend", "before", Reached.NOTHING),
}
FORMLESS = {
    "after it was suspended": Point("tasks.approvals.form", "acreate_flow_run_input", "before", Reached.NOTHING),
    "between the text of its form and the form": Point(
        "tasks.approvals.form", "acreate_flow_run_input", "after", Reached.NOTHING
    ),
}
"""A run is suspended, and nobody can answer yet."""
DECIDED = {
    "before an approved run is claimed": Point("tasks.prepare", "claim", "before", Reached.NOTHING, nth=2),
    "after an approved run was claimed": Point("tasks.prepare", "claim", "after", Reached.CLAIMED, nth=2),
}
"""Before and after a person has decided, in a run that was suspended meanwhile."""

SPAWNED = "after a child is written, before it is sent and its parent is told"
SPAWNING = {SPAWNED: Point("ocs.store.tasks", "start", "after", Reached.CLAIMED)}
"""A turn starts a task."""

TAKING = {"before Pending": Point("ocs.worker.execution", "Execution._take_it", "before", Reached.NOTHING)}
"""Where a worker has seen a run that another one takes."""

ALL = TAKING | POINTS | IN_LINE | RECOVERY | GIVING_BACK | DELIVERY | ASKING | FORMLESS | DECIDED | SPAWNING
