"""Jobs that runs make: what such a document may say, and as what it runs. It runs once, and nothing is rolled out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from ocs.errors import Problem
from ocs.rules.tasks import BUILT_IN, BUILT_IN_SHELL
from ocs.spec.written import format_duration

if TYPE_CHECKING:
    from ocs.spec import Job, Spawn

ALLOWED = ("id", "name", "description", "run", "schedule", "deliver", "retry", "output")
NOT_OF_AN_AGENT = ("session", "auth_profile", "scope", "context", "check", "job_class")
NOT_OF_A_SHELL = ("secrets", "inherit_env")
KINDS = {"agent": ("agent", "shell"), "shell": ("shell",)}
"""Which values of spawn.jobs allow which strategy."""
LONGEST = timedelta(hours=2)
RUNS_AS = {"agent": BUILT_IN, "shell": BUILT_IN_SHELL}


def of_job(job: Job, grant: Spawn, *, read_only: bool) -> Iterator[Problem]:
    """What such a document may not say; `read_only` is who asks."""
    document = job.document()
    for key in document:
        if key not in ALLOWED:
            yield Problem(key, f"is not for a job that a run makes, which may say {', '.join(ALLOWED)}")
    strategy = job.run.strategy
    if grant.jobs not in KINDS.get(strategy, ()):
        yield Problem(f"run.{strategy}", f"is not allowed: spawn.jobs is {grant.jobs}")
    if strategy == "shell" and read_only:
        yield Problem("run.shell", "may change something, and who asks is read-only")
    said = cast("dict[str, Any]", document["run"]).get(strategy)
    for key in {"agent": NOT_OF_AN_AGENT, "shell": NOT_OF_A_SHELL}.get(strategy, ()):
        if isinstance(said, dict) and key in said and not _is_its_own(key, cast("dict[str, Any]", said)):
            yield Problem(f"run.{strategy}.{key}", "is not for a job that a run makes")
    if job.run.timeout > LONGEST:
        yield Problem("run.timeout", f"is longer than {format_duration(LONGEST)}")
    if job.schedule is not None and job.schedule.at is None:
        yield Problem("schedule", "is a time: such a job runs once, at schedule.at, or now")


def _is_its_own(key: str, said: Mapping[str, Any]) -> bool:
    """All attempts at it have one conversation, which is its own."""
    return key == "session" and said[key] == "task"


def runs_as(job: Job) -> dict[str, Any]:
    """The document of the run: a job of the built-in template of its strategy. A shell command is asked about."""
    built_in = RUNS_AS[job.run.strategy]
    found = {key: value for key, value in job.document().items() if key != "schedule"}
    found |= {"id": built_in["id"], "name": job.name or job.id, "limits": built_in["limits"]}
    if job.run.strategy == "shell":
        return {**found, "approval": built_in["approval"]}
    run = cast("dict[str, Any]", found["run"])
    return {**found, "run": {**run, "agent": {**run["agent"], "session": "task"}}}
