"""What a job may already ask for, and what is only understood so far."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ocs.errors import Problem
from ocs.spec.job import Job
from ocs.spec.run import RESERVED_SESSIONS, Agent
from ocs.spec.trust import Contract
from ocs.spec.values import Part
from ocs.spec.written import quoted

_WITH_PROFILE = re.compile(r"@[^/@:]+:")


def unsupported(job: Job) -> list[Problem]:
    """Every value whose behaviour is not built yet. Such a job is refused at rollout, never run without it."""
    asked_for = {
        "identity": job.identity is not None,
        "authorization": job.authorization is not None,
        "evidence": job.evidence is not None,
        **_of_contract(job.contract),
        "child_credentials": job.child_credentials != "none",
    }
    not_yet = [
        Problem(path, "understood, but not supported yet; take it out to roll this job out")
        for path, asked in asked_for.items()
        if asked
    ]
    return [*not_yet, *_uncapped(job), *_beyond_the_gateway(job.run.work)]


def _of_contract(contract: Contract | None) -> dict[str, bool]:
    """A contract that names a cap is kept; whatever else it names is not yet."""
    if contract is None:
        return {}
    named = [name for name in Contract.model_fields if getattr(contract, name) is not None]
    if not named:
        return {"contract": True}
    return {f"contract.{name}": True for name in named if name != "max_cost_usd"}


def _uncapped(job: Job) -> Iterator[Problem]:
    """A cap that nothing could hold a run to."""
    if job.contract is None or job.contract.max_cost_usd is None:
        return
    if not isinstance(job.run.work, Agent):
        yield Problem("contract.max_cost_usd", "is for run.agent, whose model calls cost something; take it out")
    elif job.run.work.session not in ("fresh", "task"):
        yield Problem(
            "contract.max_cost_usd",
            "needs session: fresh or task; in a conversation that others speak in nobody sees what is this run's",
        )


def _beyond_the_gateway(agent: Part) -> Iterator[Problem]:
    """What the gateway refuses or has no way to be asked for; without it the turn would be another one."""
    if not isinstance(agent, Agent):
        return
    if agent.session.startswith(RESERVED_SESSIONS):
        kept = ", ".join(RESERVED_SESSIONS)
        yield Problem("run.agent.session", f"the gateway keeps {kept} for itself; choose another key")
    if agent.model is not None and _WITH_PROFILE.search(agent.model):
        yield Problem(
            "run.agent.model", "the gateway passes over a profile behind a model's name; name it in auth_profile"
        )
    if problem := _profile_problem(agent):
        yield Problem("run.agent.auth_profile", problem)
    yield from _fallback_problems(agent)


def _fallback_problems(agent: Agent) -> Iterator[Problem]:
    provider = (agent.auth_profile or "").partition(":")[0]
    for at, model in enumerate(agent.fallback_models):
        path = f"run.agent.fallback_models.{at}"
        if _WITH_PROFILE.search(model):
            yield Problem(path, "the gateway passes over a profile behind a model's name; leave it out")
        if provider not in ("", "inherit", model.partition("/")[0]):
            yield Problem(path, f"{quoted(model)} is of another provider than auth_profile; use one, or leave that out")


def _profile_problem(agent: Agent) -> str | None:
    profile = agent.auth_profile
    if profile is None or (profile == "inherit" and agent.session == "main"):
        return None
    if agent.session not in ("fresh", "task"):
        return (
            "needs session: fresh or task, because a conversation keeps the profile that was once chosen for it; "
            "choose it in the gateway instead (/model provider/model@profile), or use inherit with session: main"
        )
    model = agent.model or ""
    if "/" not in model:
        return "needs model: provider/model; the gateway takes a profile only together with one"
    if profile != "inherit" and profile.partition(":")[0] != model.partition("/")[0]:
        return f"{quoted(profile)} is no profile for {quoted(model)}; the gateway would take another one unasked"
    return None
