"""How a job behaves around its runs: limits, retry, approval, delivery, output, lifecycle."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from ocs.spec.target import Targets
from ocs.spec.values import (
    ALSO,
    AtLeast,
    Count,
    CountOrNone,
    Duration,
    Maybe128,
    Maybe256,
    Part,
    PositiveDuration,
    SizeFrom64,
    SizeFrom128,
    broken,
)
from ocs.spec.written import format_duration, quoted


class Limits(Part):
    """What may happen at the same time, and how much may wait."""

    overlap: Literal["skip", "queue", "allow", "replace"] = "skip"
    """What a dispatch does when the job is still running; replace ends what runs, and begins then."""
    pool: Maybe128 = None
    """A named pool of slots shared with other jobs."""
    max_queued: Count = 25
    """How many dispatches of the job may wait."""
    max_fanout: Count = 25
    """How many children one end of the job may start."""


def _percent(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(Decimal(value.strip().removesuffix("%")) / 100) if value.strip().endswith("%") else value
        except InvalidOperation:
            raise ValueError(f"{quoted(value)} is not a percentage; write 10%") from None
    return value


def _as_percent(value: float) -> str:
    return f"{(Decimal(repr(value)) * 100).normalize():f}%"


Percentage = Annotated[
    float,
    BeforeValidator(_percent),
    Field(strict=True, ge=0, le=1),
    PlainSerializer(_as_percent, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*\d+(\.\d+)?%\s*$",
            "examples": ["10%"],
            ALSO: {"type": "number", "minimum": 0, "maximum": 1},
        }
    ),
]
RetriedStatus = Literal["error", "timeout"]


def _each_once(statuses: tuple[RetriedStatus, ...]) -> tuple[RetriedStatus, ...]:
    return tuple(sorted(set(statuses)))


class Retry(Part):
    """Further attempts of a run that failed: delay, delay x factor, ... up to cap, spread by jitter."""

    max: CountOrNone = 0
    """How many retries after the first attempt."""
    delay: Duration = timedelta(seconds=30)
    """Before the first retry."""
    factor: Annotated[float, Field(strict=True, ge=1, le=10)] = 2
    """By how much each further delay is longer."""
    cap: Duration = timedelta(hours=1)
    """The longest delay."""
    jitter: Percentage = 0.1
    """How much a delay is varied, so that many failed jobs do not return at once."""
    on: Annotated[tuple[RetriedStatus, ...], Field(min_length=1), AfterValidator(_each_once)] = ("error", "timeout")
    """Which ends are retried."""

    @model_validator(mode="after")
    def _cap_above_delay(self) -> Retry:
        if self.cap < self.delay:
            longer = format_duration(self.delay)
            raise broken(
                {"cap": f"{format_duration(self.cap)} is shorter than delay ({longer}); make it {longer} or more"}
            )
        return self


class Approval(Part):
    """A person has to agree before the job runs."""

    # Prefect's server takes every key called "required" out of a schema before it checks a deployment's parameters
    # with it, a property of that name too. This says the same of the property once more.
    model_config = ConfigDict(json_schema_extra={"patternProperties": {"^required$": {"type": "boolean"}}})

    required: bool = False
    """Whether it needs one."""
    on: Literal["all", "chain"] = "all"
    """Every run, or only those that follow another job."""
    timeout: PositiveDuration = timedelta(hours=1)
    """How long a decision is waited for."""
    on_timeout: Literal["reject", "approve"] = "reject"
    """What happens when nobody decides."""
    max_pending: Count = 10
    """How many runs of the job may wait for a decision."""

    @model_validator(mode="before")
    @classmethod
    def _yes_or_no(cls, value: Any) -> Any:
        return {"required": value} if isinstance(value, bool) else value


class Deliver(Part):
    """Who hears how a run ended."""

    when: Literal["failure", "always", "never"] = "failure"
    """Only of failures, always, or never."""
    to: Targets = Field((), examples=[["ops"]])
    """Whom: delivery targets (ops), channel:target of the gateway, or notification blocks (slack-webhook/ops)."""
    on_failure: Targets = ()
    """Who hears of failures, where that is somebody else."""
    after: Count = 1
    """Failures are told from so many in a row on; retries belong to the failure that they follow."""
    recovery: bool = False
    """Tells once when the job is well again."""
    repeat: Annotated[PositiveDuration, AfterValidator(AtLeast("5m"))] | None = None
    """Tells again, so often, while the job is not well."""
    opt_out_reason: Maybe256 = None
    """Why an agent's job delivers never."""

    @property
    def is_by_incident(self) -> bool:
        """Whether failures in a row are told as one incident, and not each by itself."""
        return self.when != "never" and (self.after > 1 or self.recovery or self.repeat is not None)

    @property
    def of_failures(self) -> tuple[str, ...]:
        """Who hears of failures."""
        return self.on_failure or self.to

    @property
    def named(self) -> tuple[str, ...]:
        """Every target that it names, each once."""
        return tuple(dict.fromkeys((*self.to, *self.on_failure)))


class Output(Part):
    """How much of what a job prints is kept where."""

    store: SizeFrom128 = 65536
    """At most this much of each stream in the store."""
    excerpt: SizeFrom64 = 2000
    """At most this much of each stream where it is shown or delivered."""
    summary: SizeFrom64 = 5000
    """At most this much in the run's summary."""
    offload: SizeFrom128 = 65536
    """A stream larger than this is kept whole in a file."""
    keep: SizeFrom128 = 10 * 2**20
    """At most this much of it, from its beginning and its end; none while the disk is nearly full."""

    @model_validator(mode="after")
    def _in_order(self) -> Output:
        rules: dict[str, str] = {}
        if self.excerpt > self.store:
            rules["excerpt"] = f"{self.excerpt} is more than store ({self.store}); lower it, or raise store"
        if self.summary < self.excerpt:
            rules["summary"] = f"{self.summary} is less than excerpt ({self.excerpt}); raise it, or lower excerpt"
        if rules:
            raise broken(rules)
        return self


class Lifecycle(Part):
    """When the job and its history go away."""

    delete_after_run: bool = False
    """Remove the job after its run."""
    ttl: Annotated[PositiveDuration, AfterValidator(AtLeast("1h"))] | None = None
    """Remove the job this long after it was disabled."""
    keep_runs: Count = 100
    """How many runs are kept."""
