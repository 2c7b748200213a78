"""What is expected of a job: how often it succeeds, and by when. Where it is not so, somebody is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from ocs.spec.values import AtLeast, Duration, Part, PositiveDuration
from ocs.spec.written import on_a_line, quoted

if TYPE_CHECKING:
    from ocs.spec.job import Job

SHARE = 10
"""Without a grace of its own an expectation has a tenth of its span: runs do not all take the same time."""
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def _time_of_day(value: Any) -> Any:
    if isinstance(value, time):
        return value
    if not isinstance(value, str):
        raise ValueError(f'must be a time of day such as "06:30", in quotes, not {on_a_line(repr(value))}')
    found = _TIME.fullmatch(value.strip())
    if found is None:
        raise ValueError(f'{quoted(value)} is not a time of day; write hours and minutes, such as "06:30"')
    return time(int(found[1]), int(found[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*([01]\d|2[0-3]):[0-5]\d\s*$", "examples": ["06:30"]}),
]
"""Hours and minutes on a clock."""


class Expect(Part):
    """When somebody is told that nothing has succeeded; the job's deliver says who hears of it."""

    success_every: Annotated[PositiveDuration, AfterValidator(AtLeast("1m"))] | None = Field(None, examples=["1d"])
    """An alert when nothing has succeeded for so long, though it was due. Days are counted on the schedule's clock."""
    grace: Duration | None = None
    """So much later at the earliest; a tenth of success_every when absent."""
    deadline: TimeOfDay | None = None
    """An alert when what was due since the deadline before has not succeeded by this time, in the schedule's zone."""

    @property
    def patience(self) -> timedelta:
        """The grace, its own or the one that it has by default."""
        if self.grace is not None:
            return self.grace
        return (self.success_every or timedelta(0)) / SHARE


def expectation_rules(job: Job) -> Iterator[tuple[str, str]]:
    """What cannot be expected of such a job, as (path, message)."""
    expect = job.expect
    if expect is None:
        return
    if expect.success_every is None and expect.deadline is None:
        yield "expect", "expects nothing; say success_every or deadline"
    elif job.schedule is None and job.after is None and not job.on_event:
        yield "expect", "a job that only runs by hand is never due; give it a schedule, or remove expect"
    elif job.schedule is None and expect.deadline is not None:
        yield "expect.deadline", "needs a schedule: without one nobody knows on which day the job is due"
    if expect.grace is not None and expect.success_every is None:
        yield "expect.grace", "belongs to success_every; a deadline has none"
    if expect.success_every is not None and job.schedule is not None and job.schedule.at is not None:
        yield "expect.success_every", "a job with schedule.at succeeds once; say deadline, or remove it"
    if job.deliver is None or job.deliver.when == "never" or not job.deliver.of_failures:
        yield (
            "expect",
            "nobody would be told; name whom in deliver.to, or for all jobs in deployments/defaults.yaml",
        )
