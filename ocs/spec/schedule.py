"""When a job runs by itself: cron, every, rrule or at, and what becomes of occurrences that were missed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from ocs.spec.cron import check as check_cron
from ocs.spec.left_out import LeftOut
from ocs.spec.rrule import check as check_rrule
from ocs.spec.rrule import in_utc
from ocs.spec.values import Duration, Part, PositiveDuration, Text128, broken
from ocs.spec.written import on_a_line, quoted

TIMES = ("cron", "every", "rrule", "at")
FURTHER = ("cron", "every", "rrule")
YEARS = range(1970, 3000)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        pass
    else:
        if name in _zones():
            return name
    nearest = difflib.get_close_matches(name, _zones(), n=1)
    hint = f". Nearest: {nearest[0]}." if nearest else "; write an IANA name such as Europe/Vienna"
    raise ValueError(f"{quoted(name)} is not a time zone{hint}")


@cache
def _zones() -> frozenset[str]:
    """Those that IANA names; a system's own files may hold more."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  the schedule's zone applies
    if not isinstance(value, str):
        raise ValueError(f"must be a date and time such as 2027-02-01T16:00:00Z, not {on_a_line(repr(value))}")
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError as wrong:
        raise ValueError(
            f"{quoted(value)} is not a moment ({_reason(wrong)}); write it like 2027-02-01T16:00:00Z"
        ) from None


def _reason(wrong: ValueError) -> str:
    return "it is not an ISO 8601 date" if "isoformat" in str(wrong) else on_a_line(wrong)


def moment_in(zone: str, value: datetime) -> datetime:
    """The moment in UTC; without an offset of its own it is meant in `zone`.

    Raises:
        ValueError: clocks in the zone never show it, or it is too far away.
    """
    if value.year not in YEARS:
        raise ValueError(f"must be between {YEARS[0]} and {YEARS[-1]}, not in {value.year}")
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    instant = value.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != value:
        raise ValueError(f"clocks in {zone} jump over {value:%Y-%m-%d %H:%M}; name another time, or an offset")
    return instant


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(lambda value: value.isoformat().replace("+00:00", "Z"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-02-01T16:00:00Z"]}),
]


class Times(Part):
    """Further times of a schedule: exactly one of cron, every and rrule."""

    cron: Annotated[str, AfterValidator(check_cron)] | None = Field(None, examples=["0 9 * * sat"])
    """Five fields, six with seconds first, or a nickname such as @daily."""
    every: PositiveDuration | None = Field(None, examples=["15m"])
    """A fixed interval."""
    rrule: Annotated[str, AfterValidator(check_rrule)] | None = Field(None, examples=["FREQ=MONTHLY;BYDAY=-1FR"])
    """A recurrence rule of RFC 5545."""
    timezone: Annotated[Text128, AfterValidator(_zone)] | None = None
    """The IANA zone that they are meant in; the schedule's by default."""

    @model_validator(mode="before")
    @classmethod
    def _cron_as_text(cls, value: Any) -> Any:
        return {"cron": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Times:
        given = [name for name in FURTHER if getattr(self, name) is not None]
        if len(given) != 1:
            found = "; keep one of " + " and ".join(given) if given else "; it has none of them"
            raise ValueError(f"needs exactly one of cron, every and rrule{found}")
        return self


class Schedule(Part):
    """Exactly one of cron, every, rrule and at."""

    cron: Annotated[str, AfterValidator(check_cron)] | None = Field(None, examples=["0 2 * * mon-fri"])
    """Five fields, six with seconds first, or a nickname such as @daily."""
    every: PositiveDuration | None = Field(None, examples=["15m"])
    """A fixed interval."""
    rrule: Annotated[str, AfterValidator(check_rrule)] | None = Field(None, examples=["FREQ=MONTHLY;BYDAY=-1FR"])
    """A recurrence rule of RFC 5545."""
    timezone: Annotated[Text128, AfterValidator(_zone)] = "UTC"
    """The IANA zone that cron, rrule and at are meant in."""
    at: Moment | None = None
    """Once, at this moment; without an offset, in the schedule's time zone. Kept in UTC."""
    jitter: Duration = timedelta(0)
    """Spreads starts over this long after the due time; never early."""
    misfire: Literal["coalesce", "skip", "all"] = "coalesce"
    """What happens to occurrences that come more than a minute late: the newest runs, none, or all."""
    grace: PositiveDuration | None = None
    """An occurrence later than this is skipped; unlimited when absent."""
    run_now: bool = False
    """The first rollout also runs the job once."""
    except_: LeftOut = Field(LeftOut(), alias="except")
    """Days on which it does not run."""
    also: tuple[Times, ...] = ()
    """Further times at which the job runs; all else that the schedule says holds for them too."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """A text is a cron expression; of a list the first says what holds for all."""
        if isinstance(value, list | tuple):
            first, *rest = cast("list[Any]", value) or [{}]
            held: Any = {"cron": first} if isinstance(first, str) else first
            return {**cast("Mapping[str, Any]", held), "also": rest} if isinstance(held, Mapping) else first
        return {"cron": value} if isinstance(value, str) else value

    @field_validator("at")
    @classmethod
    def _at_in_utc(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        """Prefect counts whole seconds: a fraction is rounded up, since nothing may start early."""
        if value is None:
            return None
        moment = moment_in(info.data.get("timezone", "UTC"), value)
        return moment.replace(microsecond=0) + timedelta(seconds=1) if moment.microsecond else moment

    @model_validator(mode="after")
    def _hold_together(self) -> Schedule:
        if rules := dict(self._across_fields()):
            raise broken(rules)
        return self

    def _across_fields(self) -> Iterator[tuple[str, str]]:
        given = [name for name in TIMES if getattr(self, name) is not None]
        if len(given) != 1:
            found = "; keep one of " + " and ".join(given) if given else "; it has none of them"
            yield "", f"needs exactly one of cron, every, rrule and at{found}"
        if self.every and self.jitter >= self.every:
            yield "jitter", "must be shorter than every, or occurrences would overtake each other"
        if self.at and self.also:
            yield "also", "a single moment stands alone; remove at, or the other times"
        if self.at and self.except_ != LeftOut():
            yield "except", "a single moment has no days to leave out; remove it"
        for number, times in enumerate(self.also):
            if times.every and self.jitter >= times.every:
                yield f"also.{number}.every", "must be longer than jitter, or occurrences would overtake each other"
        if len(set(self.each)) < len(self.each):
            yield "also", "the same times stand twice; keep one"
        if self.rrule and self.timezone != "UTC" and in_utc(self.rrule):
            yield "rrule", f"its times are meant in {self.timezone}; take the Z off them"

    @property
    def each(self) -> tuple[Times, ...]:
        """Its own times and the further ones, each with its time zone."""
        own = Times.model_construct(cron=self.cron, every=self.every, rrule=self.rrule, timezone=self.timezone)
        return (own, *(times.model_copy(update={"timezone": times.timezone or self.timezone}) for times in self.also))

    @property
    def moment(self) -> datetime | None:
        """`at`, in UTC."""
        return self.at
