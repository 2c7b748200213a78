"""What is kept and said of a shell's output: cut to size, images taken out, one sentence for the end."""

from __future__ import annotations

import re
import signal as signals
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ocs.rules.dispatch import RunStatus, StreamOutput
from ocs.rules.plain_text import without_blank_ends
from ocs.spec import format_duration

if TYPE_CHECKING:
    from ocs.spec import Output

MARK = "\n[... cut ...]\n"
ALL_ENDED = "all processes of its session were ended."
NAMED = 5
"""How many processes are named, of however many there are."""
CANCELLED = f"Cancelled; {ALL_ENDED}"
NOT_FOUND = 127
NOT_EXECUTABLE = 126
_IMAGE = re.compile(r"\[IMAGE:(/[^\]\n]+)\]")


LABELS = ("stdout:", "stderr:")


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended. `returncode` is as the system gives it: negative for a signal.

    `success_codes` are those with which it did well. `left` are the programs that it left running when it had ended by
    itself, `survivors` the processes that live on although they were killed, by number and name.
    """

    returncode: int
    timed_out: bool
    timeout: timedelta
    cancelled: bool = False
    left: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    success_codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command was run: its folder, and the `PATH` on which programs were looked for."""

    folder: str
    path: str


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8: the beginning and the end, a mark between them, no character split.

    Both ends are kept because a failure is usually explained by the last lines.
    """
    data = text.encode()
    if len(data) <= limit:
        return text
    room = max(0, limit - len(MARK.encode()))
    tail = data[len(data) - (room - room // 2) :] if room else b""
    return _whole(data[: room // 2]) + (MARK if room else MARK[:limit]) + _whole(tail)


def _whole(data: bytes) -> str:
    return data.decode(errors="ignore")


def take_images(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without its `[IMAGE:<absolute path>]` lines, and those paths.

    Of blank lines around one that is taken out one stays; all else is as it was.
    """
    images: list[str] = []
    kept: list[str] = []
    was_taken = was_apart = False
    for line in text.split("\n"):
        if found := _IMAGE.fullmatch(line):
            images.append(found[1])
            was_taken = True
            while kept and not kept[-1].strip():
                kept.pop()
                was_apart = True
        elif was_taken and not line.strip():
            was_apart = True
        else:
            if was_taken and was_apart and kept:
                kept.append("")
            was_taken = was_apart = False
            kept.append(line)
    return ("\n".join(kept), tuple(images)) if images else (text, ())


def status_of(ending: Ending) -> RunStatus:
    """ok, error, timeout or cancelled."""
    if ending.cancelled:
        return RunStatus.CANCELLED
    if ending.timed_out:
        return RunStatus.TIMEOUT
    return RunStatus.OK if ending.returncode in ending.success_codes else RunStatus.ERROR


def signal_of(ending: Ending) -> str | None:
    """The name of the signal that ended it."""
    if ending.returncode >= 0:
        return None
    try:
        return signals.Signals(-ending.returncode).name
    except ValueError:
        return f"signal {-ending.returncode}"


def error_of(ending: Ending, stderr: str, place: Place) -> str | None:
    """One sentence on what went wrong, None when nothing did."""
    if ending.cancelled:
        return f"Cancelled; {_ended(ending)}"
    if ending.timed_out:
        return f"Timed out after {format_duration(ending.timeout)}; {_ended(ending)}"
    if name := signal_of(ending):
        return f"Ended by {name}."
    match ending.returncode:
        case code if code in ending.success_codes:
            return None
        case 0:
            return "Exited with code 0, which is none of its success_codes."
        case code if code in (NOT_FOUND, NOT_EXECUTABLE):
            why = "a command was not found" if code == NOT_FOUND else "a command could not be executed"
            last = stderr.strip().split("\n")[-1:] if stderr.strip() else []
            said = f"{why} ({last[0]})" if last else why
            mend = "run.shell.cwd sets another folder, run.shell.env.PATH another PATH."
            return f"Exited with code {code}: {said}. It ran in {place.folder} with PATH={place.path}; {mend}"
        case code:
            return f"Exited with code {code}."


def left_running(ending: Ending) -> str | None:
    """What became of what the command had left running when it ended by itself, None when there was nothing."""
    if not ending.left:
        return None
    one = len(ending.left) == 1
    what = f"{_processes(len(ending.left))} that it left running"
    if ending.survivors:
        return f"Of {what}, {not_ended(ending.survivors)}"
    names = [name if count == 1 else f"{name} x {count}" for name, count in Counter(ending.left).items()]
    return f"{what} {'was' if one else 'were'} ended: {_listed(names)}; use setsid or a service."


def not_ended(survivors: Sequence[str]) -> str:
    """That these processes could not be ended, as the end of a sentence."""
    return f"{_processes(len(survivors))} could not be ended: {_listed(survivors)}."


def _ended(ending: Ending) -> str:
    return not_ended(ending.survivors) if ending.survivors else ALL_ENDED


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def without_labels(summary: str) -> str:
    """What was said in a summary, without the labels that `preview` puts above each stream."""
    return "\n".join(line for line in summary.splitlines() if line not in LABELS)


def preview(stdout: StreamOutput, stderr: StreamOutput, output: Output, error: str | None) -> str:
    """What a person is shown: each stream that said something under its label, and where the whole is."""
    blocks: list[str] = []
    for label, stream in (("stdout", stdout), ("stderr", stderr)):
        text = cut(without_blank_ends(stream.text), output.excerpt)
        if text:
            every = "" if stream.dropped else "all "
            whole = f"\n({every}{stream.extent}: {stream.path})" if stream.path else ""
            blocks.append(f"{label}:\n{text}{whole}")
    return "\n\n".join(blocks) or error or "(no output)"


def content(status: RunStatus, stdout: str, stderr: str) -> str:
    """What children's `match` looks at: what the job printed, and for a failed one its errors too.

    There are no labels in it, so that JSON stays JSON.
    """
    if status is RunStatus.OK:
        return stdout or stderr
    return "\n".join(part for part in (stdout, stderr) if part)
