"""Conditions: what children want of their parent's output, evaluated before the finish transaction, and never in it.

Expressions are other people's programs over other people's text. Processes of their own evaluate them and stay for the
next ones, and the system ends one that takes too long.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ocs.rules import triggers
from ocs.rules.dispatch import RunStatus
from ocs.rules.matching import How, matches
from ocs.rules.triggers import Answer
from ocs.spec import Job
from tasks.conditions.matcher import CPU_SECONDS
from tasks.side_process import start_side_process

AT_ONCE = 2
MOST_GIVEN_UP = 3
"""After so many of one parent's conditions have failed, the rest is not evaluated."""
PATIENCE = 60.0
"""Seconds of the clock for all conditions of a parent: what limits them is the time of the processor."""
TOO_LONG = f"its condition took longer than {CPU_SECONDS:g} s on this output"
COULD_NOT = "its condition could not be evaluated on this output"
ENDED_BY_TIME = (-signal.SIGPROF, -signal.SIGKILL)
NOT_ASKED = "conditions of other children took too long on this output"

Condition = tuple[How, str]


async def answers(children: Sequence[Job], status: RunStatus, content: str) -> dict[str, Answer]:
    """Whether the output fulfils the condition of each child that follows such an end under one.

    Never raises, and takes a bounded time: why one could not be evaluated is the end of a sentence.
    """
    asked = triggers.conditions(children, status)
    told: dict[str, Answer] = {
        child: matches(how, wanted, content) for child, (how, wanted) in asked.items() if how is How.CONTAINS
    }
    left = {child: condition for child, condition in asked.items() if child not in told}
    if left:
        told |= await _evaluated(left, content)
    return told


async def _evaluated(asked: Mapping[str, Condition], content: str) -> dict[str, Answer]:
    evaluating = asyncio.get_running_loop().run_in_executor(_threads, _evaluate, [*asked.values()], content)
    try:
        async with asyncio.timeout(PATIENCE):
            found = await evaluating
    except TimeoutError:
        found = [NOT_ASKED] * len(asked)
    except Exception as failed:
        found = [f"its condition could not be evaluated ({failed!r})"] * len(asked)
    return dict(zip(asked, found, strict=True))


def _evaluate(conditions: Sequence[Condition], content: str) -> list[Answer]:
    """In a thread: ask this thread's process, and a new one for what is left when it dies of a condition."""
    found: list[Answer] = []
    given_up = 0
    while len(found) < len(conditions):
        if given_up == MOST_GIVEN_UP:
            return found + [NOT_ASKED] * (len(conditions) - len(found))
        some, why_no_more = _process.ask(conditions[len(found) :], content)
        found += some
        if why_no_more is not None:
            found.append(why_no_more)
            given_up += 1
    return found


class _Process(threading.local):
    """A matcher of each thread's own, started when it is needed."""

    running: subprocess.Popen[bytes] | None = None

    def ask(self, conditions: Sequence[Condition], content: str) -> tuple[list[Answer], str | None]:
        """The answers it gave until all were given; or until it died of the next one, and why that was."""
        process = self.running = self.running if self.running and self.running.poll() is None else _start()
        backstop = threading.Timer(PATIENCE, process.kill)
        backstop.start()
        try:
            found = list(_said(process, {"content": content, "conditions": conditions}, len(conditions)))
        finally:
            backstop.cancel()
        if len(found) == len(conditions):
            return found, None
        self.running = None
        return found, TOO_LONG if _end(process) in ENDED_BY_TIME else COULD_NOT


def _said(process: subprocess.Popen[bytes], request: Mapping[str, object], count: int) -> Iterator[Answer]:
    if process.stdin is None or process.stdout is None:
        return
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{json.dumps(request)}\n".encode())
        process.stdin.flush()
        for _ in range(count):
            if not (line := process.stdout.readline()):
                return
            yield json.loads(line)


def _start() -> subprocess.Popen[bytes]:
    process = start_side_process("-m", "tasks.conditions.matcher", stdout=subprocess.PIPE)
    _started.add(process)
    return process


def _end(process: subprocess.Popen[bytes]) -> int:
    """End it if it has not ended; returns how it did."""
    with contextlib.suppress(BrokenPipeError), process:
        process.kill()
    _started.discard(process)
    return process.wait()


@atexit.register
def _end_all() -> None:
    for process in list(_started):
        _end(process)


_started: set[subprocess.Popen[bytes]] = set()
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="conditions")
_process = _Process()
