"""What is kept and said of a shell's output: cut to size, images taken out, one sentence for the end."""

from __future__ import annotations

import re
import signal as signals
from dataclasses import dataclass
from datetime import timedelta

from ocs.rules.dispatch import RunStatus, StreamOutput
from ocs.rules.plain_text import without_blank_ends
from ocs.spec import Output, format_duration

MARK = "\n[... cut ...]\n"
CANCELLED = "Cancelled; everything it had started was ended."
NOT_FOUND = 127
NOT_EXECUTABLE = 126
_IMAGE = re.compile(r"\[IMAGE:(/[^\]\n]+)\]")


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended. `returncode` is as the system gives it: negative for a signal."""

    returncode: int
    timed_out: bool
    timeout: timedelta
    cancelled: bool = False


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8: the beginning and the end, a mark between them, no character split.

    Both ends are kept because a failure is usually explained by the last lines (the reference kept only the
    first, B-4.3).
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
    """The text without its `[IMAGE:<absolute path>]` lines, and those paths (B-4.3).

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
    return RunStatus.OK if ending.returncode == 0 else RunStatus.ERROR


def signal_of(ending: Ending) -> str | None:
    """The name of the signal that ended it."""
    if ending.returncode >= 0:
        return None
    try:
        return signals.Signals(-ending.returncode).name
    except ValueError:
        return f"signal {-ending.returncode}"


def error_of(ending: Ending, stderr: str) -> str | None:
    """One sentence on what went wrong, None when nothing did (B-4.3)."""
    if ending.cancelled:
        return CANCELLED
    if ending.timed_out:
        return f"Timed out after {format_duration(ending.timeout)}; everything it had started was ended."
    if name := signal_of(ending):
        return f"Ended by {name}."
    match ending.returncode:
        case 0:
            return None
        case code if code in (NOT_FOUND, NOT_EXECUTABLE):
            why = "a command was not found" if code == NOT_FOUND else "a command could not be executed"
            last = stderr.strip().split("\n")[-1:] if stderr.strip() else []
            return f"Exited with code {code}: {why}" + (f" ({last[0]})." if last else ".")
        case code:
            return f"Exited with code {code}."


def preview(stdout: StreamOutput, stderr: StreamOutput, output: Output, error: str | None) -> str:
    """What a person is shown: each stream that said something under its label, and where the whole is (B-4.3)."""
    blocks: list[str] = []
    for label, stream in (("stdout", stdout), ("stderr", stderr)):
        text = cut(without_blank_ends(stream.text), output.excerpt)
        if text:
            whole = f"\n(all {stream.bytes:,} bytes: {stream.path})" if stream.path else ""
            blocks.append(f"{label}:\n{text}{whole}")
    return "\n\n".join(blocks) or error or "(no output)"


def content(status: RunStatus, stdout: str, stderr: str) -> str:
    """What children's `match` looks at: what the job printed, and for a failed one its errors too.

    Unlike in the reference there are no labels in it, so that JSON stays JSON.
    """
    if status is RunStatus.OK:
        return stdout or stderr
    return "\n".join(part for part in (stdout, stderr) if part)
