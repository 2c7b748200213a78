"""Session keys: which conversation of an agent a turn belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_OF_ONE_RUN = re.compile(r"agent:[^:]+:scheduler:[^:]+:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Before:
    """The attempt before this one: its conversation, and whether something cut it off in the middle of a turn."""

    session_key: str | None
    cut_off: bool


def session_key(session: str, *, agent: str, job_id: str, run_id: UUID) -> str:
    """The key for the policy `fresh` (a conversation per run), `job` (one per job), `main`, or a key of one's own.

    Runs of a job share nothing unless they ask for it. Keys belong to the agent. The gateway knows small letters only:
    in a session that was asked for with others an agent cannot wait for its sub-agents.
    """
    match session:
        case "fresh":
            key = f"scheduler:{job_id}:{run_id}"
        case "job":
            key = f"scheduler:{job_id}"
        case _:
            key = session
    return (key if key.startswith("agent:") else f"agent:{agent}:{key}").lower()


def gone_on_with(before: Before | None) -> str | None:
    """The conversation in which a further attempt goes on with a turn that was cut off; None for one of its own.

    A gateway that was killed finishes a turn by itself when it is back: asked anew elsewhere, the work were done twice.
    """
    return before.session_key if before is not None and before.cut_off else None


def is_of_one_run(key: str) -> bool:
    """Whether nobody else speaks in the conversation, so that all that goes on in it may be ended."""
    return _OF_ONE_RUN.fullmatch(key) is not None
