"""What a job may already ask for, and what is only understood so far."""

from __future__ import annotations

from ocs.errors import Problem
from ocs.spec.job import Job


def unsupported(job: Job) -> list[Problem]:
    """Every value whose behaviour is not built yet. Such a job is refused at rollout, never run without it."""
    asked_for = {
        f"run.{job.kind}": job.kind != "shell",
        "deliver.to": job.deliver is not None and job.deliver.when != "never",
        "identity": job.identity is not None,
        "authorization": job.authorization is not None,
        "evidence": job.evidence is not None,
        "contract": job.contract is not None,
        "child_credentials": job.child_credentials != "none",
    }
    return [
        Problem(path, "understood, but not supported yet; take it out to roll this job out")
        for path, asked in asked_for.items()
        if asked
    ]
