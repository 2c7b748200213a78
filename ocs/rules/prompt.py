"""The prompt of an agent's turn: the job's message, and before it what the agent has to know."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocs.rules.dispatch import RunStatus, StreamOutput
from ocs.rules.fence import NOTICE, fenced
from ocs.rules.messages import InboxMessage, told
from ocs.rules.plain_text import without_blank_ends
from ocs.rules.shell_result import cut

if TYPE_CHECKING:
    from ocs.rules.retrieval import Earlier
    from ocs.spec import Agent, Job

OUTPUT_OF_PARENT = 3000
REPLY_OF_PARENT = 5000
ERROR_OF_PARENT = 2000
TEXT_OF_EARLIER = 2000
"""Bytes of each."""

PLAN_ONLY = (
    "Execution boundary: this is planning only. Do not carry anything out; answer with recommendations and the steps "
    "that you would take."
)
READ_ONLY = (
    "Execution boundary: this is read-only. Do not write, send, delete or change anything anywhere; look, and answer "
    "with findings and recommendations."
)
FLUSH = (
    "This is a flush before the session is compacted. Write a structured summary of the decisions, constraints, owners "
    "and open questions that have to survive. If there is nothing to keep, answer exactly: NO_FLUSH"
)
GLOBAL_SCOPE = (
    "Scope: global. Where you list sessions, use the session listing tool without a filter, so that you see the "
    "sessions of all agents."
)
TAKEN_UP = (
    "You were cut off while you worked at this. If it is above, so is your own work, as far as you came: see what of "
    "it is done and go on from there. Do nothing twice, and answer as if you had not been cut off; IDEMPOTENT_SKIP is "
    "no answer to what you did yourself. What was asked, once more:"
)


AGAIN = (
    "This is a further attempt at what you were asked before. What is above is your own work; the attempt before this "
    "one ended so: {why}\nSee what of it is done and go on from there; do nothing twice. What was asked, once more:"
)
ENDS_WITH = (
    "End with your result, in words for a person: they are all that is passed on. If you cannot do it, end with "
    "TASK_FAILED: and why."
)
REPORT = (
    "Before you end, report the task done with this command, and mend what it refuses:\n"
    "ocs dispatch done {label} --summary '<one sentence>' --checklist "
    '\'{{"work_complete": true, "tests_passed": true}}\' [--sha <commit>]'
)
MAY_START = (
    "You may hand tasks to other agents: call the tool ocs_dispatch, or ocs_schedule for a later time. Where they are "
    'not among your tools, call tool_call with the id "client:client:ocs_dispatch" or "client:client:ocs_schedule" and '
    'args such as {{"text": "...", "label": "follow-up"}}. Templates: {templates}.'
)
NOT_REPORTED = "You have ended without a report that the task is done. "


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that this one follows. `is_reply` says that its output is what an agent said."""

    job_id: str
    status: RunStatus
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    stdout: StreamOutput = field(default_factory=StreamOutput)
    stderr: StreamOutput = field(default_factory=StreamOutput)

    @property
    def is_reply(self) -> bool:
        return self.exit_code is None and self.signal is None


def build(
    job: Job,
    task: Agent,
    *,
    inbox: Sequence[InboxMessage] = (),
    parent: Parent | None = None,
    earlier: Sequence[Earlier] = (),
    members: Sequence[str] = (),
    key: str | None = None,
    label: str | None = None,
) -> str:
    """The whole prompt. `members` is what those of a tracker said that the run follows.

    `key` is the idempotency key of a run that may be repeated (at-least-once), `label` a task's. The message stands
    last, but for how a task ends.
    """
    data = [*_inbox(inbox), *_parent(parent), *members, *_earlier(earlier)]
    parts = [
        f"[scheduler:{job.id} {job.name or job.id}]",
        *_boundary(task),
        *_thinking(task),
        *((FLUSH,) if task.job_class == "pre_compaction_flush" else ()),
        *((GLOBAL_SCOPE,) if task.scope == "global" else ()),
        *((NOTICE,) if data else ()),
        *data,
        *_once(key),
        *_spawn(job),
        task.message,
        *_of_task(task, label),
    ]
    return "\n\n".join(parts)


def taken_up(prompt: str) -> str:
    """The prompt of a turn that goes on in the conversation of one that was cut off."""
    return f"{TAKEN_UP}\n\n{prompt}"


def tried_again(prompt: str, why: str) -> str:
    """The prompt of a further attempt that goes on in the conversation of one that failed."""
    return f"{AGAIN.format(why=cut(why, ERROR_OF_PARENT))}\n\n{prompt}"


def to_be_reported(label: str) -> str:
    """The prompt of one more turn, for a task that was not reported done."""
    return f"{NOT_REPORTED}{REPORT.format(label=shlex.quote(label))}"


def _of_task(task: Agent, label: str | None) -> list[str]:
    """How a task ends, for its result is all that is passed on."""
    if label is None:
        return []
    return [ENDS_WITH, *([REPORT.format(label=shlex.quote(label))] if task.report == "required" else [])]


def _spawn(job: Job) -> list[str]:
    """A gateway may list tools of ours only where the agent searches for them, which it does for what it knows of."""
    if job.spawn is None:
        return []
    return [MAY_START.format(templates=", ".join(job.spawn.may))]


def _boundary(task: Agent) -> list[str]:
    notes = [PLAN_ONLY] if task.intent == "plan" else []
    return [*notes, READ_ONLY] if task.read_only else notes


def _thinking(task: Agent) -> list[str]:
    if task.thinking is None:
        return []
    return [f"Depth of reasoning asked for: {task.thinking}. Think as long as that takes before you answer."]


def _inbox(messages: Sequence[InboxMessage]) -> list[str]:
    """Each in a fence of its own, so that none can pass for another: who sent it is a part of what is fenced."""
    if not messages:
        return []
    letters = [fenced(f"message {message.id.hex[:8]} to {message.recipient}", told(message)) for message in messages]
    return ["From your inbox, in the order of their weight:", *letters]


def _parent(parent: Parent | None) -> list[str]:
    if parent is None:
        return []
    facts = [f'This run follows a run of the job "{parent.job_id}", which ended as {parent.status}.']
    if parent.exit_code is not None:
        facts.append(f"Its exit code was {parent.exit_code}.")
    if parent.signal:
        facts.append(f"It was ended by {parent.signal}.")
    told = [" ".join(facts)]
    if parent.error:
        told.append(fenced(f"why {parent.job_id} failed", cut(parent.error, ERROR_OF_PARENT)))
    longest = REPLY_OF_PARENT if parent.is_reply else OUTPUT_OF_PARENT
    streams = {"reply" if parent.is_reply else "output": parent.stdout, "errors": parent.stderr}
    for name, stream in streams.items():
        if stream.text.strip():
            whole = f" (all {stream.bytes} bytes are in {stream.path})" if stream.path else ""
            told.append(fenced(f"{name} of {parent.job_id}{whole}", cut(stream.text, longest)))
    return told


def _earlier(runs: Sequence[Earlier]) -> list[str]:
    if not runs:
        return []
    entries = [f"[{run.at:%Y-%m-%d %H:%M:%S} UTC] {cut(without_blank_ends(run.text), TEXT_OF_EARLIER)}" for run in runs]
    return [fenced("what earlier runs of this job said", "\n\n".join(entries))]


def _once(key: str | None) -> list[str]:
    if key is None:
        return []
    return [
        f"This run may be a repetition after a crash. Its idempotency key is {key}. If what is asked for was already "
        "done under this key, do nothing and answer exactly: IDEMPOTENT_SKIP"
    ]
