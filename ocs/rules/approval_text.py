"""What people read when they are asked to approve a run, and when it has been decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ocs.rules.approval import ApprovalStatus, OnTimeout
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.markdown import code, code_block, sentence

SHORT = 8
SHOWN = 4000
"""So much of a command fits a form or a message; the whole is in `ocs approvals show`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an approval, as it is shown. `changed` names what differs from the rolled out job."""

    id: str
    job_id: str
    what: str
    why: str
    changed: tuple[str, ...]
    expires_at: datetime
    on_timeout: OnTimeout
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A subject line and a text."""

    subject: str
    body: str


def cause(dispatch: Dispatch, *, asked_by: str | None, parent_job: str | None) -> str:
    """Why the run exists and who asked for it, as the end of "It runs ..."."""
    asker = f", asked for by {asked_by}" if asked_by else ""
    match dispatch.kind:
        case DispatchKind.SCHEDULED:
            return f"by its schedule, for {_moment(dispatch.scheduled_for)}"
        case DispatchKind.CHAIN | DispatchKind.QUEUED:
            return f"after {parent_job}, run {_short(dispatch.source_run)}" if parent_job else "after another job"
        case DispatchKind.RETRY:
            return f"as attempt {dispatch.attempt}, after run {_short(dispatch.retry_of)}{asker}"
        case DispatchKind.REPLAY:
            return f"again, because run {_short(dispatch.retry_of)} crashed"
        case DispatchKind.MANUAL:
            return f"by hand{asker or ', asked for in the UI or through the API'}"


def form(request: Request) -> str:
    """The text above the form in the UI, in markdown."""
    changed = tuple(map(code, request.changed))
    parts = [
        f"**{request.job_id}** waits for you. It runs {sentence(request.why)}.",
        code_block(_cut(request.what), "bash", "~"),
        _changed(changed),
        _until(request),
        f"On the command line: `ocs approvals approve {request.id[:SHORT]}`",
    ]
    return "\n\n".join(part for part in parts if part)


def message(request: Request) -> Notice:
    """What the job's target is told: what waits, and how to decide."""
    lines = [
        f"{request.job_id} runs {request.why}, and needs your approval:",
        "",
        *(f"    {line}" for line in _cut(request.what).split("\n")),
        "",
        *([_changed(request.changed), ""] if request.changed else []),
        f"Approve:  ocs approvals approve {request.id[:SHORT]}",
        f"Reject:   ocs approvals reject {request.id[:SHORT]} --reason '...'",
        *([f"In the UI: {request.page}"] if request.page else []),
        "",
        _until(request),
    ]
    return Notice(f"{request.job_id} waits for approval", "\n".join(lines))


def decided(job_id: str, status: ApprovalStatus, why: str) -> Notice:
    """What the job's target is told when it has been decided."""
    went_on = status is ApprovalStatus.APPROVED
    then = "The run goes on." if went_on else "Nothing was run."
    return Notice(f"{job_id} was {'approved' if went_on else 'not approved'}", f"{why} {then}")


def _changed(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    return f"Changed for this run, other than the job is rolled out: {', '.join(paths)}."


def _until(request: Request) -> str:
    then = "it runs" if request.on_timeout is OnTimeout.APPROVE else "it is rejected"
    return f"If nobody decides until {_moment(request.expires_at)}, {then}."


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\n... ({len(text) - SHOWN:,} more characters)"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _short(run: object) -> str:
    return str(run)[:SHORT]
