"""The named points at which a worker kills itself, each a production function that is wrapped from outside.

Nothing in the product knows of them: a point names the function where its caller looks it up, and a name that is not
there any more fails the test that kills there.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal


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

    def arm(self, note: Path) -> None:
        """From now on this process kills itself there, once it has written into `note` that it does."""
        owner: Any = importlib.import_module(self.module)
        *path, name = self.name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, name, self._deadly(getattr(owner, name), note))

    def _deadly(self, original: Callable[..., Awaitable[Any]], note: Path) -> Callable[..., Awaitable[Any]]:
        calls = 0

        @functools.wraps(original)
        async def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            at_last = calls == self.nth
            if at_last and self.when == "before":
                die(note)
            answer = await original(*arguments, **named)
            if at_last and self.when == "after":
                die(note)
            return answer

        return wrapped


def die(note: Path) -> None:
    """Write down that it was here, and end as a power cut would: nothing is flushed, closed or told."""
    with note.open("x") as written:
        written.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


POINTS = {
    "after Pending": Point("ocs.worker.execution", "Execution._take_it", "after", Reached.NOTHING),
    "after Running, before claim": Point("tasks.prepare", "claim", "before", Reached.NOTHING),
    "after claim": Point("tasks.prepare", "claim", "after", Reached.CLAIMED),
    "before the shell starts": Point("tasks.execute", "run_shell", "before", Reached.CLAIMED),
    "before the shell is recorded": Point(
        "tasks.execute", "record_process", "before", Reached.CLAIMED, shell_waits=True
    ),
    "while the shell runs": Point("tasks.execute", "record_process", "after", Reached.CLAIMED, shell_waits=True),
    "after the shell ended": Point("tasks.execute", "run_shell", "after", Reached.CLAIMED),
    "before finish": Point("tasks.finalize", "finish", "before", Reached.CLAIMED),
    "after finish": Point("tasks.finalize", "finish", "after", Reached.FINISHED),
    "after a child was sent, before that is noted": Point(
        "tasks.publish", "mark_published", "before", Reached.FINISHED
    ),
    "between two children": Point("tasks.publish", "mark_published", "after", Reached.FINISHED),
    "after publish": Point("tasks.finalize", "publish", "after", Reached.FINISHED),
    "before the final state": Point("flows.job", "finalize", "after", Reached.FINISHED),
}
"""In the order in which a run passes them."""
