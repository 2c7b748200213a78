"""The job: the whole document, and the rules that hold across its groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ocs.spec.braces import unguard
from ocs.spec.chain import After, EventTrigger
from ocs.spec.expect import Expect, expectation_rules
from ocs.spec.policies import Approval, Deliver, Lifecycle, Limits, Output, Retry
from ocs.spec.run import Agent, Run
from ocs.spec.schedule import Schedule
from ocs.spec.spawn import Spawn
from ocs.spec.trust import Authorization, Contract, Evidence, Identity
from ocs.spec.values import Maybe200, Maybe256, Maybe4096, Part, Slug, Text200, Text256, broken
from ocs.spec.written import quoted

OUR_TAGS = ("job:", "after:", "project:", "kind:", "parent-run:", "retry-of:", "ocs:")
"""What deployments and runs are found by; a job that took one for itself would be taken for another."""
SPAWNERS = ("shell", "agent")
"""Strategies whose work can ask for a task or a job."""


def _free(tag: str) -> str:
    if tag == "ocs" or tag.startswith(OUR_TAGS):
        raise ValueError(f"{quoted(tag)} is a tag that ocs sets itself; choose another")
    return tag


class Job(Part):
    """One job: what to run, when or after what, who may approve it, who hears of it."""

    id: Slug = Field(examples=["nightly-report"])
    """Unique; equals the file's and the deployment's name."""
    name: Maybe200 = None
    """Shown instead of the id."""
    description: Maybe4096 = None
    """What it is for."""
    enabled: bool = True
    """False pauses its schedules."""
    origin: Maybe256 = None
    """Who or what asked for the job."""
    tags: tuple[Annotated[Text200, AfterValidator(_free)], ...] = ()
    """Free tags."""
    aliases: tuple[Text256, ...] = ()
    """Other ids it is known by, such as one it was imported under."""
    schedule: Schedule | None = None
    """When it runs by itself; a string is a cron expression."""
    after: After | None = None
    """Runs after another job, instead of by a schedule."""
    on_event: tuple[EventTrigger, ...] = ()
    """Also runs on events that Prefect sees."""
    run: Run
    """What it does; a string is a shell command."""
    limits: Limits = Limits()
    """What may happen at the same time."""
    retry: Retry = Retry()
    """Further attempts after a failure."""
    backoff: bool = True
    """Scheduled runs pause for longer the more of them fail in a row."""
    approval: Approval = Approval()
    """A person has to agree."""
    deliver: Deliver | None = None
    """Who hears how it ended; nobody when absent."""
    expect: Expect | None = None
    """What has to have succeeded, and by when; else somebody is told."""
    output: Output = Output()
    """How much of its output is kept."""
    lifecycle: Lifecycle = Lifecycle()
    """When it goes away."""
    spawn: Spawn | None = None
    """What its runs may start by themselves; nothing when absent."""
    identity: Identity | None = None
    """As whom it runs."""
    authorization: Authorization | None = None
    """By what right."""
    evidence: Evidence | None = None
    """What has to be recorded."""
    contract: Contract | None = None
    """The limits it has to keep."""
    child_credentials: Literal["none", "inherit", "downscope", "independent"] = "none"
    """What its children inherit of its identity."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return unguard(value)

    @model_validator(mode="after")
    def _hold_together(self) -> Job:
        if rules := dict(_across_fields(self)):
            raise broken(rules)
        return self

    @property
    def is_watched(self) -> bool:
        """Whether it can have an incident: something is expected of it, or its failures are told as one."""
        return self.expect is not None or (self.deliver is not None and self.deliver.is_by_incident)

    def document(self) -> dict[str, Any]:
        """The smallest JSON form that reads back to an equal job."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def changed(self, changes: Mapping[str, Any]) -> Job:
        """A copy with other values in some top-level fields, checked anew."""
        return Job.model_validate({**self.document(), **changes})


def _across_fields(job: Job) -> Iterator[tuple[str, str]]:
    """The rules across groups that protect people, as (path, message)."""
    if job.after is not None:
        if job.schedule is not None:
            yield "schedule", "a job that runs after another has no time of its own; remove schedule or after"
        if job.after.job == job.id:
            yield "after.job", "a job cannot run after itself; name another job"
    yield from _delivery(job)
    yield from _fallbacks(job)
    yield from _spawning(job)
    yield from expectation_rules(job)
    blob = (job.identity.document if job.identity else None) or {}
    if job.run.strategy != "shell":
        for key in ("presentation", "credential_handoff"):
            if isinstance(blob.get(key), dict):
                yield f"identity.document.{key}", "is only for shell jobs; take it out"


def _fallbacks(job: Job) -> Iterator[tuple[str, str]]:
    """Models that no attempt would ever ask for are a promise that is not kept."""
    agent = job.run.work
    if not isinstance(agent, Agent) or not agent.fallback_models:
        return
    asked = [agent.model, *agent.fallback_models]
    if twice := next((model for model in agent.fallback_models if asked.count(model) > 1), None):
        yield "run.agent.fallback_models", f"names {quoted(twice)} twice; after a model that failed comes another one"
    if job.retry.max == 0 or "error" not in job.retry.on:
        yield (
            "run.agent.fallback_models",
            "are asked by retries, and this job has none; set retry.max, with error in retry.on",
        )


def _spawning(job: Job) -> Iterator[tuple[str, str]]:
    """What nobody could ever ask for is no limit, but a mistake."""
    if job.spawn is None:
        return
    if job.run.strategy not in SPAWNERS:
        yield "spawn", "is for jobs with run.shell or run.agent; take it out"
    elif job.run.strategy == "agent" and job.spawn.jobs != "none":
        yield "spawn.jobs", "is for shell jobs, which can say ocs jobs spawn; an agent starts tasks of templates: may"


def _delivery(job: Job) -> Iterator[tuple[str, str]]:
    """A shell job without `deliver` tells nobody; an agent's job must say whom, or why nobody."""
    deliver = job.deliver
    needs = {"always": "to", "failure": "of_failures"}.get(deliver.when) if deliver else None
    if needs is not None and not getattr(deliver, needs):
        yield "deliver.to", "is missing; name whom to tell, or write when: never"
    if job.run.strategy != "agent" or job.after is not None:
        return
    if deliver is None:
        yield (
            "deliver",
            "is missing; say where the agent's reply goes (to), or when: never and an opt_out_reason",
        )
    elif deliver.when == "never" and deliver.opt_out_reason is None:
        yield "deliver.opt_out_reason", "is missing; an agent's job that delivers never has to say why"
