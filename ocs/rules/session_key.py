"""Session keys: which conversation of an agent a turn belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_OF_ONE_RUN = re.compile(r"agent:[^:]+:scheduler:[^:]+:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Before:
    """The attempt before this one: its conversation, how it ended, and whether a turn of it may still go on."""

    session_key: str | None
    cut_off: bool
    why: str = ""


def session_key(session: str, *, agent: str, job_id: str, run_id: UUID) -> str:
    """The key for a job's policy, or a key of one's own.

    `fresh` is a conversation per run, `task` one for all attempts (`run_id` is what they have in common), `job` one per
    job, `main` the agent's main session. Runs of a job share nothing unless they ask for it. Keys belong to the agent.
    The gateway knows small letters only: in a session that was asked for with others an agent cannot wait for its
    sub-agents.
    """
    match session:
        case "fresh" | "task":
            key = f"scheduler:{job_id}:{run_id}"
        case "job":
            key = f"scheduler:{job_id}"
        case _:
            key = session
    return (key if key.startswith("agent:") else f"agent:{agent}:{key}").lower()


def gone_on_with(session: str, before: Before | None) -> str | None:
    """The conversation in which a further attempt goes on with the one before; None for one of its own.

    A gateway that was killed finishes a turn by itself when it is back: asked anew elsewhere, the work were done twice.
    A task is one conversation however its attempts end.
    """
    if before is None or not (before.cut_off or session == "task"):
        return None
    return before.session_key


def is_of_one_run(key: str) -> bool:
    """Whether nobody else speaks in the conversation, so that all that goes on in it may be ended."""
    return _OF_ONE_RUN.fullmatch(key) is not None
