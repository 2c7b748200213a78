"""When a job runs after another one, and after events of other flows."""

from __future__ import annotations

import re
from datetime import timedelta
from math import prod
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ocs.spec.values import ALSO, Count, Duration, Part, Slug, Text256, Text1024, broken
from ocs.spec.written import on_a_line, quoted

CONDITIONS = ("contains", "regex", "jsonpath")
MOST_REPEATS = 10_000
_REPEAT = re.compile(r"\{([0-9]*)(?:,([0-9]*))?\}")


def _regex(pattern: str) -> str:
    import regex

    if _repeats(pattern) > MOST_REPEATS:
        raise ValueError(
            f"{quoted(pattern)} repeats more than {MOST_REPEATS} times over; write smaller counts in its braces"
        )
    try:
        regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as wrong:
        raise ValueError(f"{quoted(pattern)} is not a regular expression: {on_a_line(wrong)}") from None
    return pattern


def _repeats(pattern: str) -> int:
    """How large counted repeats may grow when nested: each is unrolled in memory when the pattern is compiled."""
    counts = (max(int(found[1] or 0), int(found[2] or 0), 1) for found in _REPEAT.finditer(pattern))
    return prod(counts)


def _jsonpath(path: str) -> str:
    import jsonpath

    try:
        jsonpath.JSONPathEnvironment(strict=True).compile(path)
    except jsonpath.JSONPathError as wrong:
        raise ValueError(
            f"{quoted(path)} is not a JSONPath: {on_a_line(wrong.args[0])}; write it like $.rows[?@ > 0]"
        ) from None
    return path


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _labels(labels: dict[str, Any]) -> dict[str, Any]:
    """What Prefect takes as a resource specification: a text, or several of which one has to fit."""
    for name, wanted in labels.items():
        texts: list[Any] = list(cast("list[Any]", wanted)) if isinstance(wanted, list | tuple) else [wanted]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{on_a_line(name)} must be text or a list of texts, not {on_a_line(texts)}")
    return labels


Labels = Annotated[
    dict[str, Any],
    AfterValidator(_labels),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        }
    ),
]
Events = Annotated[
    tuple[Text256, ...],
    BeforeValidator(_one_or_many),
    Field(json_schema_extra={ALSO: {"type": "string"}}),
]


class Match(Part):
    """A condition on the parent's output: exactly one of contains, regex and jsonpath."""

    contains: Text1024 | None = None
    """The output contains this text, upper and lower case told apart."""
    regex: Annotated[Text1024, AfterValidator(_regex)] | None = None
    """The output matches this expression somewhere; evaluation is time-limited."""
    jsonpath: Annotated[Text1024, AfterValidator(_jsonpath)] | None = None
    """The output is JSON in which this path (RFC 9535) finds something; evaluation is time-limited."""

    @model_validator(mode="before")
    @classmethod
    def _text_as_contains(cls, value: Any) -> Any:
        return {"contains": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Match:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if len(given) != 1:
            found = "; keep one of " + " and ".join(given) if given else "; it has none of them"
            raise ValueError(f"needs exactly one of contains, regex and jsonpath{found}")
        return self


class After(Part):
    """Makes the job a child: it runs when its parent has ended."""

    job: Slug
    """The parent's id."""
    on: Literal["success", "failure", "complete"] = "success"
    """Which ends of the parent start this job; failure means after its last attempt."""
    delay: Duration = timedelta(0)
    """How long after the parent's end."""
    match: Match | None = None
    """Only when the parent's output fulfils this."""


class EventTrigger(Part):
    """Runs the job when Prefect sees an event, such as the end of another flow's run."""

    expect: Annotated[Events, Field(min_length=1, examples=[["prefect.flow-run.Completed"]])]
    """The event, or events, to wait for; a trailing * stands for anything."""
    match: Labels = Field(default_factory=dict)
    """Labels the event's resource must have."""
    match_related: Labels = Field(default_factory=dict)
    """Labels a related resource must have."""
    after: Events = ()
    """Only once one of these events was seen."""
    for_each: Events = ()
    """Labels by which events are counted apart."""
    posture: Literal["Reactive", "Proactive"] = "Reactive"
    """Run when the event happens, or when it fails to happen within the span."""
    threshold: Count = 1
    """How many such events it takes."""
    within: Duration = timedelta(0)
    """The span in which they must happen; at least 10s when Proactive."""

    @model_validator(mode="after")
    def _proactive_takes_time(self) -> EventTrigger:
        if self.posture == "Proactive" and self.within < timedelta(seconds=10):
            raise broken({"within": "must be at least 10s when posture is Proactive"})
        return self
