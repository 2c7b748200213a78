"""What the runs of a job may start by themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ocs.spec.values import Part, Slug
from ocs.spec.written import quoted

MOST_OPEN = 50
"""So many may be open of all jobs together; no job may have more for itself."""


def _each_once(templates: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((name for name in templates if templates.count(name) > 1), None):
        raise ValueError(f"names {quoted(twice)} twice")
    return templates


class Spawn(Part):
    """What its runs may start by themselves, and how much of it; every limit holds for all runs of the job together."""

    may: Annotated[tuple[Slug, ...], Field(max_length=100), AfterValidator(_each_once)] = Field(
        (), examples=[["coder", "research"]]
    )
    """Templates of the tasks that it may start."""
    jobs: Literal["none", "agent", "shell"] = "none"
    """Jobs of its own making: none, turns of agents, or shell commands too, each of which a person has to approve."""
    depth: Annotated[int, Field(strict=True, ge=1, le=5)] = 1
    """How many generations follow from it; with 1 what it starts may start nothing."""
    max_open: Annotated[int, Field(strict=True, ge=1, le=MOST_OPEN)] = 5
    """How many may be open at the same time."""
    per_hour: Annotated[int, Field(strict=True, ge=1, le=1000)] = 30
    """How many may be started within an hour."""

    @model_validator(mode="after")
    def _something(self) -> Spawn:
        if not self.may and self.jobs == "none":
            raise ValueError("allows nothing; name templates in may, or say which jobs")
        return self
