"""What a job may already ask for, and what is only understood so far."""

from __future__ import annotations

from collections.abc import Iterator

from ocs.errors import Problem
from ocs.spec.job import Job
from ocs.spec.run import RESERVED_SESSIONS, Agent


def unsupported(job: Job) -> list[Problem]:
    """Every value whose behaviour is not built yet. Such a job is refused at rollout, never run without it."""
    asked_for = {
        "identity": job.identity is not None,
        "authorization": job.authorization is not None,
        "evidence": job.evidence is not None,
        "contract": job.contract is not None,
        "child_credentials": job.child_credentials != "none",
    }
    not_yet = [
        Problem(path, "understood, but not supported yet; take it out to roll this job out")
        for path, asked in asked_for.items()
        if asked
    ]
    return [*not_yet, *_beyond_the_gateway(job.run.agent)]


def _beyond_the_gateway(agent: Agent | None) -> Iterator[Problem]:
    """What the gateway refuses or has no way to be asked for; without it the turn would be another one."""
    if agent is None:
        return
    if agent.session.startswith(RESERVED_SESSIONS):
        kept = ", ".join(RESERVED_SESSIONS)
        yield Problem("run.agent.session", f"the gateway keeps {kept} for itself; choose another key")
    if agent.auth_profile is not None and not (agent.auth_profile == "inherit" and agent.session == "main"):
        yield Problem(
            "run.agent.auth_profile",
            "the gateway takes no profile with a turn; set it in the gateway (openclaw models auth) and take it out "
            "here, or use inherit with session: main",
        )
