"""Compile: a job to the Prefect deployment it becomes, as plain values for prefect.yaml and for the API alike."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocs import settings
from ocs.rules.approval import what_runs
from ocs.rules.markdown import code_block, sentence
from ocs.rules.occurrences import EVERY_ANCHOR
from ocs.rules.timetable import timetable
from ocs.spec import EventTrigger, Job, Times, format_duration
from ocs.spec.braces import guard

ENTRYPOINT = "flows.job.run_job"
DIGEST_LENGTH = 16
FENCE = 4
"""So many marks at least enclose a command; with others the description of a job that is rolled out would differ."""
SHOWN = 5
"""Days that are left out, of however many there are."""
TRIGGER = ": event "
JOB_VARIABLES = {"env": {"PYTHONSAFEPATH": "1"}}
"""Under Prefect's process worker a `tasks.py` in the current folder must not stand in for ours."""


@dataclass(frozen=True, slots=True)
class CompiledDeployment:
    """Everything that a rollout sends. `version` is a digest of all the rest: equal means nothing to send."""

    name: str
    tags: list[str]
    description: str
    parameters: dict[str, Any]
    paused: bool
    schedules: list[dict[str, Any]]
    triggers: list[dict[str, Any]]
    version: str = ""
    entrypoint: str = ENTRYPOINT
    work_pool: str = settings.WORK_POOL
    job_variables: dict[str, Any] = field(default_factory=lambda: JOB_VARIABLES)

    def in_yaml(self) -> dict[str, Any]:
        """The form of an entry under `deployments` in prefect.yaml."""
        return {
            "name": self.name,
            "version": self.version,
            "tags": self.tags,
            "description": self.description,
            "entrypoint": self.entrypoint,
            "parameters": self.parameters,
            "paused": self.paused,
            "schedules": self.schedules,
            "triggers": self.triggers,
            "work_pool": {"name": self.work_pool, "job_variables": self.job_variables},
        }


def compile_job(job: Job, project: str) -> CompiledDeployment:
    """The deployment of a job in a project."""
    compiled = CompiledDeployment(
        name=job.id,
        tags=[guard(tag) for tag in _tags(job, project)],
        description=guard(_description(job)),
        parameters={"job": guard(job.document())},
        paused=not job.enabled,
        schedules=timetable(job.schedule) if job.schedule else [],
        triggers=[_trigger(job, number, trigger) for number, trigger in enumerate(job.on_event, start=1)],
    )
    return _with_version(compiled)


def compile_maintenance() -> CompiledDeployment:
    """The deployment of the flow that keeps the house; it belongs to no project."""
    every = {"interval": 600.0, "anchor_date": EVERY_ANCHOR.isoformat(), "timezone": "UTC", "active": True}
    return _with_version(
        CompiledDeployment(
            name="every-10-minutes",
            tags=["ocs:maintenance"],
            description="Ends what a crash left, dispatches what was missed, ends jobs that are done, prunes records.",
            parameters={},
            paused=False,
            schedules=[every],
            triggers=[],
            entrypoint="flows.maintenance.maintain",
        )
    )


def _with_version(compiled: CompiledDeployment) -> CompiledDeployment:
    canonical = json.dumps(asdict(compiled), sort_keys=True, ensure_ascii=True)
    return replace(compiled, version=hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH])


def project_tag(project: str) -> str:
    """The tag that says which project a deployment belongs to."""
    return f"project:{project}"


def _tags(job: Job, project: str) -> list[str]:
    family = [f"after:{job.after.job}"] if job.after else []
    watched = [settings.WATCHED] if job.is_watched else []
    return ["ocs", project_tag(project), f"job:{job.id}", *family, *watched, *job.tags]


def is_trigger_of(job_id: str | None, name: str) -> bool:
    """Whether an automation of that name is one that a rollout of the job makes."""
    return job_id is not None and name.startswith(f"{job_id}{TRIGGER}")


def _trigger(job: Job, number: int, trigger: EventTrigger) -> dict[str, Any]:
    return {
        "name": f"{job.id}{TRIGGER}{number}",
        "type": "event",
        "enabled": job.enabled,
        "expect": [trigger.expect] if isinstance(trigger.expect, str) else list(trigger.expect),
        "match": dict(trigger.match),
        "match_related": dict(trigger.match_related),
        "after": list(trigger.after),
        "for_each": list(trigger.for_each),
        "posture": trigger.posture,
        "threshold": trigger.threshold,
        "within": trigger.within.total_seconds(),
    }


def _description(job: Job) -> str:
    """What the deployment's page in the UI says, in markdown."""
    parts = [job.description or "", f"**Runs** {_when(job)}.", code_block(what_runs(job), "bash", "~", FENCE)]
    if job.origin:
        parts.append(f"Asked for by {sentence(job.origin)}.")
    parts.append(f"Defined in `deployments/jobs/{job.id}.yaml`; change it there and run `ocs deploy`.")
    return "\n\n".join(part for part in parts if part)


def _when(job: Job) -> str:
    if job.after is not None:
        delay = f", {format_duration(job.after.delay)} later" if job.after.delay else ""
        return f"after `{job.after.job}` ({job.after.on}){delay}"
    schedule = job.schedule
    if schedule is None:
        return "by hand or on events" if job.on_event else "by hand"
    if schedule.moment is not None:
        return f"once, at {schedule.moment:%Y-%m-%d %H:%M:%S} UTC"
    left_out = schedule.except_
    besides = [*([f"holidays in {left_out.holidays}"] if left_out.holidays else []), *map(str, left_out.dates[:SHOWN])]
    more = [f"{len(left_out.dates) - SHOWN} more days"] if len(left_out.dates) > SHOWN else []
    but = f", but not on {', '.join([*besides, *more])}" if besides else ""
    return " and ".join(_at(times) for times in schedule.each) + but


def _at(times: Times) -> str:
    if times.every is not None:
        return f"every {format_duration(times.every)}"
    return f"`{times.cron or times.rrule}` ({times.timezone})"
