"""Tasks: runs of an agent's job that serves as a template. What is asked for, how one stands, when one is done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from ocs.errors import Refused
from ocs.rules.dispatch import RunStatus
from ocs.rules.messages import checked_name
from ocs.spec.written import parse_duration

if TYPE_CHECKING:
    from ocs.spec import Job

TEMPLATE = "subagent"
"""The template of a task that names none; a project's own job of this id takes its place."""
BUILT_IN: dict[str, Any] = {
    "id": TEMPLATE,
    "name": "Sub-agent",
    "description": "The template of tasks that are handed to an agent: ocs dispatch start",
    "run": {
        "agent": {"message": "(the task)", "session": "task", "idle_timeout": "5m"},
        "timeout": "2h",
        "guarantee": "at-least-once",
    },
    "limits": {"overlap": "allow", "max_queued": 500},
    "retry": {"max": 3, "delay": "30s", "factor": 2, "cap": "2m"},
    "deliver": {"when": "never", "opt_out_reason": "each task says who hears of it"},
    "lifecycle": {"keep_runs": 1000},
}
SHELL_TEMPLATE = "subshell"
"""What commands run as that a run has asked for."""
BUILT_IN_SHELL: dict[str, Any] = {
    "id": SHELL_TEMPLATE,
    "name": "Command of a run",
    "description": "The template of shell commands that runs ask for: ocs jobs spawn",
    "run": {"shell": "echo 'This is what commands run as that a run asks for; it does nothing by itself.'"},
    "limits": {"overlap": "allow", "max_queued": 50},
    "approval": {"required": True},
    "lifecycle": {"keep_runs": 1000},
}
QUIET = "nobody is told: ocs dispatch start --quiet"
INBOX = "inbox"
"""The channel of targets that are readers of messages: `inbox:main`."""
FURTHEST = timedelta(days=366)
"""How far ahead a task may be put."""
LONGEST_SUMMARY = 4000
LONGEST_CHECKLIST = 16 * 1024
_SHA = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)
_GIT = re.compile(r"\bgit\s+(?:push|rebase|cherry-pick|commit|merge|tag)\b|--force(?:-with-lease)?\b")
_DENIED = re.compile(r"\b(?:do not|don't|never|without|no)\b[^.\n]{0,40}$", re.IGNORECASE)


class TaskStatus(StrEnum):
    """How a task stands: the last of its attempts, or what stands before the first."""

    QUEUED = "queued"
    WAITING = "waiting"
    WITHDRAWN = "withdrawn"
    RETRYING = "retrying"
    WAITING_APPROVAL = "waiting_approval"
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether something of it goes on, or is to come."""
        return self in OPEN


OPEN = (
    TaskStatus.QUEUED,
    TaskStatus.WAITING,
    TaskStatus.RETRYING,
    TaskStatus.WAITING_APPROVAL,
    TaskStatus.RUNNING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A task as somebody asks for it. What is None is as in the template.

    `text` is what the agent shall do. `to` are targets, `tell` are agents whose inbox gets the result; `quiet` says
    that nobody is told. `goes_on_with` is the label of a task that has ended and whose conversation it goes on in,
    `key` makes a repetition of the wish harmless, `track` is the tracker that it is a member of. It begins `at` an
    instant, or now.
    """

    text: str
    label: str | None = None
    template: str = TEMPLATE
    agent: str | None = None
    model: str | None = None
    thinking: str | None = None
    timeout: str | None = None
    idle: str | None = None
    to: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()
    quiet: bool = False
    goes_on_with: str | None = None
    pool: str | None = None
    check: str | None = None
    key: str | None = None
    track: str | None = None
    at: datetime | None = None

    @property
    def says_who_hears(self) -> bool:
        """Whether somebody hears of it, by itself or with its tracker, or nobody shall."""
        return bool(self.to or self.tell or self.quiet or self.track)

    @property
    def targets(self) -> tuple[str, ...]:
        """Who hears of it."""
        return targets_of(self.to, self.tell)


def targets_of(to: Sequence[str], tell: Sequence[str]) -> tuple[str, ...]:
    """The targets that are named, and the inboxes of the agents that are."""
    return (*to, *(f"{INBOX}:{agent_id}" for agent_id in tell))


def due(text: str, now: datetime) -> datetime:
    """When a task begins: so long from now (2h), or at an instant with its offset.

    Raises:
        Refused: it is neither, or more than a year ahead.
    """
    try:
        at = now + parse_duration(text)
    except (ValueError, OverflowError):
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise Refused(f'"{text}" says no time.', hint="Write 2h, or 2027-02-01T16:00:00Z.") from None
    if at > now + FURTHEST:
        raise Refused(f'"{text}" is more than a year ahead.', hint="Write 2h, or 2027-02-01T16:00:00Z.")
    return at.astimezone(UTC)


def checked_label(label: str) -> str:
    """A name for a task, cleaned.

    Raises:
        Refused: it is empty, too long, or more than plain text on a line.
    """
    return checked_name("label", label)


def checked_key(key: str) -> str:
    """What makes a repetition of a wish harmless, cleaned.

    Raises:
        Refused: it is empty, too long, or more than plain text on a line.
    """
    return checked_name("key", key)


def document(template: Job, wish: Wish) -> dict[str, Any]:
    """The job document of a task, not checked yet: the template with what is asked for in its place.

    Its label is its name: whoever hears of it knows which it is.
    """
    found = template.document()
    run = cast("dict[str, Any]", found["run"])
    agent = {"message": wish.text, "agent": wish.agent, "model": wish.model, "thinking": wish.thinking}
    asked = {**agent, "idle_timeout": wish.idle, "check": wish.check}
    old = cast("dict[str, Any]", run["agent"])
    run["agent"] = {**old, **{key: value for key, value in asked.items() if value is not None}}
    if wish.goes_on_with is not None:
        run["agent"]["session"] = "task"
    if wish.timeout is not None:
        run["timeout"] = wish.timeout
    if wish.label is not None:
        found["name"] = wish.label
    if wish.pool is not None:
        found["limits"] = {**found.get("limits", {}), "pool": wish.pool}
    if wish.targets:
        found["deliver"] = {"when": "always", "to": list(wish.targets)}
    elif wish.quiet:
        found["deliver"] = {"when": "never", "opt_out_reason": QUIET}
    return found


def status_of(dispatch: str | None, statuses: Sequence[RunStatus], *, coming: bool, waits: bool = False) -> TaskStatus:
    """How a task stands: by its dispatch's status (None: it is gone), those of its attempts, and what is to come.

    `coming` says that a further attempt is written and has not begun, `waits` that the dispatch waits for a slot.
    """
    if statuses:
        return TaskStatus.RETRYING if coming and statuses[-1].final else TaskStatus(statuses[-1])
    if dispatch is None or dispatch == "cancelled":
        return TaskStatus.WITHDRAWN
    return TaskStatus.WAITING if waits else TaskStatus.QUEUED


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent says of a task that it holds for done."""

    summary: str
    checklist: Mapping[str, Any]
    sha: str | None = None


def checked_report(summary: str, checklist: str, sha: str | None, *, task: str) -> Report:
    """A completion report that may be believed as far as words go; `task` is what the agent was asked to do.

    Raises:
        Refused: it says itself that the task is not done, or lacks what would show that it is.
    """
    said = summary.strip()
    if not said:
        raise Refused("The summary is empty.", hint="Say in a sentence what was done.")
    if len(said) > LONGEST_SUMMARY:
        raise Refused(f"The summary has {len(said):,} characters, and {LONGEST_SUMMARY:,} are allowed.")
    found = _checklist(checklist)
    if found.get("work_complete") is not True:
        raise Refused('The checklist does not say "work_complete": true.', hint="Finish the work, then report it.")
    for name in ("tests_passed", "pushed"):
        if found.get(name) is False:
            raise Refused(f'The checklist says "{name}": false.', hint="Mend that, then report it.")
    if sha is not None and not _SHA.fullmatch(sha):
        raise Refused(f'"{sha}" is no commit: it has to be 7 to 40 hexadecimal digits.')
    if sha is None and asks_for_git(task):
        raise Refused("The task has git commands, so its report needs the commit.", hint="Add: --sha <commit>")
    return Report(said, found, sha.lower() if sha else None)


def asks_for_git(task: str) -> bool:
    """Whether a task asks for commands that leave a commit behind."""
    return any(not _DENIED.search(task[max(0, found.start() - 60) : found.start()]) for found in _GIT.finditer(task))


def _checklist(text: str) -> dict[str, Any]:
    if len(text.encode(errors="replace")) > LONGEST_CHECKLIST:
        raise Refused(f"The checklist is longer than {LONGEST_CHECKLIST // 1024} KiB.")
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError) as wrong:
        example = '{"work_complete": true, "tests_passed": true}'
        raise Refused(f"The checklist is not JSON: {wrong}", hint=f"Write an object: {example}") from wrong
    if not isinstance(found, dict):
        raise Refused("The checklist is JSON, but no object.", hint='Write an object: {"work_complete": true}')
    return cast("dict[str, Any]", found)
