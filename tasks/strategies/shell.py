"""The shell strategy: run a command in a session of its own and a clean environment until all of it has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from ocs.rules import shell_result
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.masking import Masking
from ocs.rules.plain_text import without_blank_ends
from ocs.rules.shell_result import Ending, Place
from ocs.spec import Output, Shell
from ocs.timing import timing
from tasks.strategies import environment
from tasks.strategies.capture import Capture
from tasks.strategies.command import Command
from tasks.strategies.sessions import Process

SPEAKS_UNTIL = 0.5
"""Seconds for the pipes to end once the session has; a daemon that left it may hold them for ever."""

RECORDED_WITHIN = 1.0
"""Seconds that `on_start` may take after the process has ended."""


async def run_shell(
    shell: Shell,
    *,
    run_id: str,
    timeout: timedelta,
    output: Output,
    secrets: Mapping[str, str],
    folder: Path,
    artifacts: Path,
    on_line: Callable[[str, str], None],
    on_start: Callable[[int, float], Awaitable[None]],
) -> DispatchResult:
    """Run the command to its end, and everything it started with it.

    `folder` is where it starts. `on_line` gets each line with the name of its stream while it runs. `on_start` is
    given the process id and start time, and goes on beside the command, whose time it does not use up. Cancelling the
    task ends the whole session; the result then has what was said until then.
    """
    variables = environment.environment(shell, secrets)
    try:
        command = Command([shell.interpreter, "-c", shell.command], cwd=str(folder), env=variables, run=run_id)
    except OSError as failed:
        return DispatchResult(RunStatus.ERROR, error=_could_not_start(shell, folder, failed), folder=str(folder))
    masking = Masking(secrets.values())
    captures = {
        stream: Capture(
            artifacts / f"{stream}.txt",
            output,
            secrets=masking,
            show=partial(on_line, stream),
        )
        for stream in ("stdout", "stderr")
    }
    try:
        ending = await _watch(command, captures, timeout, on_start)
    finally:
        command.close()
    place = Place(str(folder), variables.get("PATH", ""))
    ending = replace(ending, success_codes=shell.success_codes)
    return _masked(_result(ending, captures["stdout"], captures["stderr"], output, place), masking)


async def _watch(
    command: Command,
    captures: Mapping[str, Capture],
    timeout: timedelta,
    on_start: Callable[[int, float], Awaitable[None]],
) -> Ending:
    reading = asyncio.gather(
        captures["stdout"].read(command.stdout), captures["stderr"].read(command.stderr), return_exceptions=True
    )
    by_itself = timed_out = cancelled = False
    recording = asyncio.ensure_future(on_start(command.pid, command.started_at))
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            await command.wait()
            by_itself = True
    except TimeoutError:
        timed_out = True
    except asyncio.CancelledError:
        cancelled = True
    finally:
        ending = asyncio.create_task(_end_all(command, reading, recording, by_itself=by_itself))
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                cancelled = True  # it ends already, and the result says what could not be ended
        for capture in captures.values():
            capture.finish()
    left, survivors = ending.result()
    return Ending(command.returncode or 0, timed_out, timeout, cancelled, left, survivors)


async def _end_all(
    command: Command,
    reading: asyncio.Future[Any],
    recording: asyncio.Future[None],
    *,
    by_itself: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """End what lingers: a run is over when all it started is. Returns what it left running, and what lives on."""
    left: list[Process] = await command.left(timing().linger) if by_itself else []
    survivors = await command.end() if left or not by_itself else []
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reading, SPEAKS_UNTIL)
    await asyncio.wait({recording}, timeout=RECORDED_WITHIN)
    recording.cancel()  # nobody has to find a process that has ended
    return tuple(process.name for process in left), tuple(map(str, survivors))


def _result(ending: Ending, stdout: Capture, stderr: Capture, output: Output, place: Place) -> DispatchResult:
    status = shell_result.status_of(ending)
    clean, images = shell_result.take_images(without_blank_ends(stdout.text))
    errors = without_blank_ends(stderr.text)
    said, complained = stdout.stored(clean), stderr.stored(errors)
    notes = tuple(filter(None, (shell_result.left_running(ending), stdout.trouble, stderr.trouble)))
    error = shell_result.error_of(ending, errors, place)
    shown = shell_result.preview(said, complained, output, error)
    return DispatchResult(
        status,
        summary=shell_result.cut("\n\n".join((shown, *notes)), output.summary),
        content=shell_result.content(status, clean, errors),
        error=error,
        exit_code=ending.returncode if ending.returncode >= 0 else None,
        signal=shell_result.signal_of(ending),
        stdout=said,
        stderr=complained,
        images=images,
        notes=notes,
        folder=place.folder,
    )


def _masked(result: DispatchResult, masking: Masking) -> DispatchResult:
    """Where two streams stand together a secret may be whole that was in neither of them."""
    error = None if result.error is None else masking.text(result.error)
    return replace(result, summary=masking.text(result.summary), content=masking.text(result.content), error=error)


def _could_not_start(shell: Shell, folder: Path, failed: OSError) -> str:
    """The system blames the command for a missing folder too: say which it was."""
    if not folder.is_dir():
        return f"Its folder {folder} does not exist; make it, or change run.shell.cwd. Nothing was run."
    if isinstance(failed, FileNotFoundError):
        return f"The interpreter {shell.interpreter} does not exist; change run.shell.interpreter. Nothing was run."
    return f"{shell.interpreter} could not be started in {folder}: {failed.strerror}. Nothing was run."
