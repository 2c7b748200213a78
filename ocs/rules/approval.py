"""Approval: which runs a person has to agree to, what exactly was agreed to, and the words for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from ocs.errors import Refused
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.plain_text import revealed
from ocs.spec import format_duration
from ocs.spec.written import no_control_characters

if TYPE_CHECKING:
    from ocs.spec import Job, Run

LONGEST_NAME = 256
LONGEST_REASON = 2000
DIGEST_LENGTH = 32
NOT_RUN = ("name", "description", "origin", "tags", "aliases", "enabled", "schedule", "after", "on_event", "approval")
"""What of a job says when it runs or how it is called: changing it does not change what a person agreed to."""


class ApprovalStatus(StrEnum):
    """Where a request for an approval stands. Only PENDING ones can be decided."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"


UI = "ui"
"""Where a decision came from that was made in Prefect's form, or through its API with the form's values."""
TIMEOUT = "timeout"
"""Who decided, and from where, when nobody did."""


class OnTimeout(StrEnum):
    """What happens when nobody decides."""

    REJECT = "reject"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was asked for this run before: how it stands, for which spec, and in words.

    `over_budget` says that it was asked because of what the run may cost.
    """

    status: ApprovalStatus
    digest: str
    why: str
    over_budget: bool = False


def is_needed(job: Job, dispatch: Dispatch) -> bool:
    """Whether a person has to approve it, however the dispatch came about.

    With `on: chain` also the further attempts of a run that followed another job.
    """
    if not job.approval.required:
        return False
    return job.approval.on == "all" or dispatch.kind is DispatchKind.CHAIN or dispatch.source_run is not None


def spec_digest(job: Job) -> str:
    """A fingerprint of everything that decides what a run does. Another digest needs another approval."""
    document = {key: value for key, value in job.document().items() if key not in NOT_RUN}
    canonical = json.dumps({"id": job.id, **document}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]


def stricter(job: Job, deployed: Job) -> Job:
    """The job with the approval it is rolled out with: values changed for one run cannot take that away."""
    return job.model_copy(update={"approval": deployed.approval}) if deployed.approval.required else job


def checked_name(by: str) -> str:
    """Who decides, cleaned.

    Raises:
        Refused: it is empty, longer than 256 characters, or has control characters.
    """
    name = by.strip()
    if not name:
        raise Refused("Who decides? The name is empty.", hint="Say it: --by NAME, or fill in the form.")
    if "\n" in name or "\t" in name:
        raise Refused("The name has more than one line.", hint="Give just a name.")
    return _checked("name", name, LONGEST_NAME)


def checked_reason(reason: str | None) -> str | None:
    """The reason, cleaned; None when there is none.

    Raises:
        Refused: it is longer than 2,000 characters, or has control characters other than tab and the ends of lines.
    """
    return _checked("reason", (reason or "").strip(), LONGEST_REASON) or None


def _checked(what: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise Refused(f"The {what} has {len(text):,} characters; at most {longest:,} are kept.", hint="Shorten it.")
    try:
        return no_control_characters(text)
    except ValueError as wrong:
        raise Refused(f"The {what} {wrong}.") from None


def sentence(
    status: ApprovalStatus, *, by: str | None, decided_from: str | None, reason: str | None, timeout: timedelta
) -> str:
    """How it was decided, as the run's state and the messages say it."""
    if decided_from == TIMEOUT:
        then = "approve" if status is ApprovalStatus.APPROVED else "reject"
        return f"Nobody decided within {format_duration(timeout)}, and approval.on_timeout is {then}."
    if status is ApprovalStatus.PENDING:
        return "It waits for a person to approve it."
    if status is ApprovalStatus.WITHDRAWN:
        return _ended(reason or "It was withdrawn")
    return _ended(f"{status.capitalize()} by {by}" + (f": {reason}" if reason else ""))


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def what_runs(job: Job) -> str:
    """What will be executed, as a person judges it: the command or the prompt, with everything that changes it.

    Secrets are named, never shown: they are blocks that are looked up only when the job runs. What would turn the
    direction of writing, or not be seen at all, is written out: what is read is what runs.
    """
    return revealed(_described(job.run))


def _described(run: Run) -> str:
    """In the strategy's words; where it has none, or cannot be asked, as the document says it: never nothing."""

    from ocs.spec.strategy import STRATEGIES

    try:
        said: object = STRATEGIES.get(run.strategy).describe(run.work)
    except Exception:  # of a package that is not ours, while a person waits to be asked
        said = None
    if isinstance(said, str) and said.strip():
        return said
    document = run.model_dump(mode="json", by_alias=True, exclude_defaults=True)[run.strategy]
    return f"# {run.strategy}\n{json.dumps(document, indent=2, ensure_ascii=False)}"


def changed_parts(job: Job, deployed: Job) -> list[str]:
    """Which values of what runs differ from the job as it is rolled out, by path."""
    ours, theirs = values_by_path(job.document()), values_by_path(deployed.document())
    differing = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    return sorted(path for path in differing if path.partition(".")[0] not in NOT_RUN)


def values_by_path(document: Mapping[str, Any]) -> dict[str, Any]:
    """A job document as flat values: `run.shell.command` and so on."""
    return dict(_leaves(document))


def _leaves(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{above}{key}.")
        else:
            yield f"{above}{key}", value
