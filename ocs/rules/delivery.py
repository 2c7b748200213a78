"""Delivery: who hears of a finished run, and in which words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.markdown import cut_between, lines_of
from ocs.rules.plain_text import one_line, uncoloured, without_blank_ends
from ocs.rules.silence import asks_for_silence, without_words

if TYPE_CHECKING:
    from ocs.spec import Deliver, Job

LONGEST_NAME = 100
LONGEST_BODY = 64 * 1024
"""Bytes; a longer text is cut in the middle, so that one reply never becomes hundreds of messages."""
TOLD_IN_SUBJECT = {
    RunStatus.OK: "done",
    RunStatus.ERROR: "failed",
    RunStatus.TIMEOUT: "timed out",
    RunStatus.CRASHED: "crashed",
}
"""Skipped and cancelled runs tell nobody."""
RUN = "run"
REPLY = "reply"
"""Kinds of what is told of a run: how it ended, and what an agent answered, which is written in Markdown."""
NO_OUTPUT = "(no output)"
_LABEL = re.compile(r"\A\s*(?:stdout|stderr):[ \t]*(?:\n|\Z)")
_WORSE = r"\[?(?:WARN|ERR|CRIT|FATAL|SEVERE|ALERT|EMERG|PANIC)"
_LOG_LINE = re.compile(
    rf"\[?\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:(?!{_WORSE})\S+\s+){{0,4}}?\[?(?:INFO|DEBUG|TRACE)\b"
)
"""What a log says of things that go as they should; warnings are for people."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What each of its targets hears. `images` are paths on the host the job ran on."""

    targets: tuple[str, ...]
    subject: str
    body: str
    images: tuple[str, ...] = ()
    kind: str = RUN


def of_run(job: Job, result: DispatchResult, why: str, link: str | None = None) -> Notification | None:
    """The message that follows from the end of a run; None when nobody hears of it.

    `why` is the sentence that says how it ended and what follows, `link` the run's page. Targets that the strategy
    itself names (a watchdog's alert) hear of it in the place of the job's `deliver`.
    """
    targets = result.delivery_targets or _asked_for(job.deliver, result.status)
    if not targets or result.skip_delivery or result.status not in TOLD_IN_SUBJECT:
        return None
    subject = one_line(job.name or job.id, LONGEST_NAME)
    if result.delivery_override is not None:
        # It speaks for itself: a check that went well may tell of what did not.
        body = printable(result.delivery_override)
    else:
        subject = f"{subject}: {TOLD_IN_SUBJECT[result.status]}"
        body = _told(result, why, link)
    kind = REPLY if _is_spoken(result) and result.status is RunStatus.OK else RUN
    return Notification(targets, subject, body, result.images, kind) if body else None


def belongs_to_incident(job: Job, result: DispatchResult) -> bool:
    """Whether an end that is told belongs to the job's incident, and not to a message of its own.

    What a strategy says to targets of its own (a watchdog's alert) is told as it says.
    """
    own = result.delivery_targets or result.delivery_override is not None
    return result.status is not RunStatus.OK and not own and job.deliver is not None and job.deliver.is_by_incident


def cleaned(text: str) -> str:
    """What a person wants to read of an output that is good: no word for silence, no label, no log lines.

    Of blank lines in a row one stays, so that paragraphs stay apart. In a code block
    everything stays.
    """
    kept: list[str] = []
    for line, is_code in lines_of(without_words(_LABEL.sub("", printable(text)))):
        is_blank_again = not line.strip() and not (kept and kept[-1].strip())
        if is_code or not (is_blank_again or _LOG_LINE.match(line)):
            kept.append(line)
    return without_blank_ends("\n".join(kept))


def printable(text: str) -> str:
    """The text without colours and control characters, which neither databases nor chats take, and not endless."""
    return without_blank_ends(cut_between(uncoloured(text), LONGEST_BODY))


def hearers(deliver: Deliver | None) -> dict[str, tuple[str, ...]]:
    """Whom a job tells of its successes and of its failures."""
    ends = {"successes": RunStatus.OK, "failures": RunStatus.ERROR}
    return {what: _asked_for(deliver, status) for what, status in ends.items()}


def _asked_for(deliver: Deliver | None, status: RunStatus) -> tuple[str, ...]:
    if deliver is None or deliver.when == "never":
        return ()
    if status is not RunStatus.OK:
        return deliver.of_failures
    return deliver.to if deliver.when == "always" else ()


def _is_spoken(result: DispatchResult) -> bool:
    """Whether it is an agent's words; what a command printed belongs to no conversation."""
    return result.session_key is not None


def _told(result: DispatchResult, why: str, link: str | None) -> str | None:
    """The output alone when it did well; else first what went wrong and what follows.

    Of what was printed an excerpt, of what an agent has spoken all.
    """
    printed = result.stdout.bytes or result.stderr.bytes
    raw = result.summary if printed and not _is_spoken(result) else result.content
    went_well = result.status is RunStatus.OK
    if went_well and asks_for_silence(_LABEL.sub("", raw)):
        return None
    # Of a failure every line is told: the last of a log are what explains it.
    said = cleaned(raw) if went_well else _LABEL.sub("", printable(raw))
    if said in (NO_OUTPUT, result.error):
        said = ""
    told = [said or why] if went_well else [why, said]
    return "\n\n".join([*filter(None, map(printable, told)), *([f"Run: {link}"] if link else [])])
