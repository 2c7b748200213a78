"""The job document: its parts, its rules, its messages. The ground floor: imports nothing else of ours.

Making its models takes a tenth of a second, so that each part is imported when one of its names is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocs.exports import lazily

if TYPE_CHECKING:
    from ocs.spec.catalogue_rules import check_catalogue
    from ocs.spec.chain import After, EventTrigger, Match
    from ocs.spec.defaults import contradictions, defaults_problems, with_defaults
    from ocs.spec.job import Job
    from ocs.spec.policies import Deliver, Limits, Output, Retry
    from ocs.spec.problems import parse, parse_stored, violations
    from ocs.spec.run import Agent, Main, Retrieval, Run, Shell, Watchdog
    from ocs.spec.schedule import Schedule, Times
    from ocs.spec.schema import job_schema
    from ocs.spec.spawn import Spawn
    from ocs.spec.support import unsupported
    from ocs.spec.written import format_duration, format_size, is_slug, parse_duration, parse_size

HOMES = {
    "ocs.spec.catalogue_rules": ("check_catalogue",),
    "ocs.spec.chain": (
        "After",
        "EventTrigger",
        "Match",
    ),
    "ocs.spec.defaults": (
        "contradictions",
        "defaults_problems",
        "with_defaults",
    ),
    "ocs.spec.job": ("Job",),
    "ocs.spec.policies": (
        "Deliver",
        "Limits",
        "Output",
        "Retry",
    ),
    "ocs.spec.problems": (
        "parse",
        "parse_stored",
        "violations",
    ),
    "ocs.spec.run": (
        "Agent",
        "Main",
        "Retrieval",
        "Run",
        "Shell",
        "Watchdog",
    ),
    "ocs.spec.schedule": (
        "Schedule",
        "Times",
    ),
    "ocs.spec.schema": ("job_schema",),
    "ocs.spec.spawn": ("Spawn",),
    "ocs.spec.support": ("unsupported",),
    "ocs.spec.written": ("format_duration", "format_size", "is_slug", "parse_duration", "parse_size"),
}

__all__ = [
    "After",
    "Agent",
    "Deliver",
    "EventTrigger",
    "Job",
    "Limits",
    "Main",
    "Match",
    "Output",
    "Retrieval",
    "Retry",
    "Run",
    "Schedule",
    "Shell",
    "Spawn",
    "Times",
    "Watchdog",
    "check_catalogue",
    "contradictions",
    "defaults_problems",
    "format_duration",
    "format_size",
    "is_slug",
    "job_schema",
    "parse",
    "parse_duration",
    "parse_size",
    "parse_stored",
    "unsupported",
    "violations",
    "with_defaults",
]

__getattr__, __dir__ = lazily(__name__, HOMES)
