"""The small types the job document is made of: durations, sizes, slugs, text without control characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
LONGEST = timedelta(days=3650)
LARGEST = 100 * 1024**2
"""What is kept of an output passes through memory and one row of the store."""
CROSS_FIELD = "across_fields"
ALSO = "x-also"
"""Keyword for what a document may say too, beside what a form in the Prefect UI should offer."""
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(" + "|".join(SIZES) + ")")
LONGEST_QUOTE = 130
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Part(BaseModel):
    """A group of the job document: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """Defaults as the document writes them: forms are filled with them, and pydantic would write PT5M."""
        reference = handler(core_schema)
        written = cls.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
        for key, schema in handler.resolve_ref_schema(reference).get("properties", {}).items():
            if isinstance(written.get(key), dict):
                schema.pop("default", None)
            elif "default" in schema:
                schema["default"] = written[key]
        return reference


def broken(rules: Mapping[str, str]) -> PydanticCustomError:
    """The error of a group whose fields are right one by one, but not together: a message for each path in it."""
    told = "; ".join(f"{path}: {message}" if path else message for path, message in rules.items())
    return PydanticCustomError(CROSS_FIELD, "{told}", {"told": told, "paths": dict(rules)})


def on_a_line(text: object) -> str:
    """What others wrote, as our messages show it: on one line, not endless, and printable everywhere."""
    given = str(text)
    shown = given if len(given) <= LONGEST_QUOTE else given[:LONGEST_QUOTE] + "..."
    return _NOT_SHOWN.sub(lambda found: repr(found[0])[1:-1], shown)


def quoted(text: str) -> str:
    """What the author of a document wrote, in quotes."""
    return f'"{on_a_line(text)}"'


def parse_duration(text: str) -> timedelta:
    """A decimal number and one of s, m, h, d: `30s`, `1.5h`.

    Raises:
        ValueError: it is not of that form, or longer than ten years.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        number = text.strip()
        bare = number.isdecimal() and len(number) < 10
        hint = f"write {number}s or {number}m" if bare else "write 30s, 15m, 2h, 1d or 1.5h"
        raise ValueError(f"{quoted(text)} is not a duration; {hint}")
    return _seconds(Decimal(found[1]) * UNITS[found[2].lower()])


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back to the same."""
    for unit in ("d", "h", "m"):
        count, rest = divmod(value, timedelta(seconds=UNITS[unit]))
        if count and not rest:
            return f"{count}{unit}"
    whole, fraction = divmod(value, timedelta(seconds=1))
    return f"{whole}.{fraction.microseconds:06d}".rstrip("0").rstrip(".") + "s"


def parse_size(text: str) -> int:
    """Bytes from `64KiB`, `2KB` or `512B`.

    Raises:
        ValueError: it is not of that form.
    """
    found = _SIZE.fullmatch(text.strip())
    size = Decimal(found[1]) * SIZES[found[2]] if found else None
    if size is None or size != size.to_integral_value():
        raise ValueError(f"{quoted(text)} is not a size; write 64KiB, 2KB or a number of bytes")
    return int(size)


def format_size(value: int) -> str:
    """The shortest form that `parse_size` reads back to the same."""
    divisible = [unit for unit, factor in SIZES.items() if value and value % factor == 0]
    unit = max(divisible, key=lambda unit: SIZES[unit], default="B")
    return f"{value // SIZES[unit]}{unit}"


def _seconds(count: Decimal | float) -> timedelta:
    if count > LONGEST.total_seconds():
        raise ValueError(f"must be at most {format_duration(LONGEST)}")
    if count < 0:
        raise ValueError("must not be negative")
    return timedelta(microseconds=round(count * 1_000_000))


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return _seconds(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a duration such as 30s, not {on_a_line(repr(value))}")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"a number means whole seconds, not {value:g}; write a text such as 1.5s")
    return _seconds(value)


def _size(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a size such as 64KiB, not true or false")
    return parse_size(value) if isinstance(value, str) else value


class AtLeast:
    """The shortest duration a field takes."""

    def __init__(self, shortest: str) -> None:
        self.shortest = shortest

    def __call__(self, value: timedelta) -> timedelta:
        if value < parse_duration(self.shortest):
            raise ValueError(f"must be at least {self.shortest}, not {format_duration(value)}")
        return value


def _printable(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return no_control_characters(value)


def no_control_characters(value: str) -> str:
    """The text, if it has no control characters but tab and the ends of lines."""
    if found := _CONTROL.search(value):
        raise ValueError(f"contains the control character {found[0]!r}; take it out")
    return value


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


_DURATION_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "pattern": r"^\s*\d+(\.\d+)?[smhdSMHD]\s*$",
        "examples": ["30s", "15m", "1.5h"],
        ALSO: {"type": "integer", "minimum": 0, "description": "Whole seconds."},
    }
)
_DURATION_TEXT = PlainSerializer(format_duration, return_type=str, when_used="json")

Duration = Annotated[timedelta, BeforeValidator(_duration), _DURATION_TEXT, _DURATION_SCHEMA]
"""A span of time that may be zero, at most ten years."""

PositiveDuration = Annotated[
    timedelta, BeforeValidator(_duration), AfterValidator(AtLeast("1s")), _DURATION_TEXT, _DURATION_SCHEMA
]
"""A span of time of at least a second."""

_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([KMG]i?)?B\s*$"

_AS_SIZE = BeforeValidator(_size)
_ALSO_SIZE: dict[str, Any] = {ALSO: {"type": "string", "pattern": _SIZE_PATTERN, "examples": ["64KiB"]}}

SizeFrom64 = Annotated[int, Field(strict=True, ge=64, le=LARGEST, json_schema_extra=_ALSO_SIZE), _AS_SIZE]
"""A number of bytes, at least 64."""

SizeFrom128 = Annotated[int, Field(strict=True, ge=128, le=LARGEST, json_schema_extra=_ALSO_SIZE), _AS_SIZE]
"""A number of bytes, at least 128."""

Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
"""How many, at least one."""

CountOrNone = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
"""How many, zero included."""

PRINTABLE = AfterValidator(_printable)
"""Not blank, and without control characters but tab and the ends of lines."""

BLANK_IS_NONE = BeforeValidator(_blank_is_none)
"""For fields that may be left out: a form that is emptied sends a blank text."""

Text64 = Annotated[str, StringConstraints(max_length=64), PRINTABLE]
Text128 = Annotated[str, StringConstraints(max_length=128), PRINTABLE]
Text200 = Annotated[str, StringConstraints(max_length=200), PRINTABLE]
Text256 = Annotated[str, StringConstraints(max_length=256), PRINTABLE]
Text512 = Annotated[str, StringConstraints(max_length=512), PRINTABLE]
Text1024 = Annotated[str, StringConstraints(max_length=1024), PRINTABLE]
Text4096 = Annotated[str, StringConstraints(max_length=4096), PRINTABLE]

Maybe64 = Annotated[Text64 | None, BLANK_IS_NONE]
Maybe128 = Annotated[Text128 | None, BLANK_IS_NONE]
Maybe200 = Annotated[Text200 | None, BLANK_IS_NONE]
Maybe256 = Annotated[Text256 | None, BLANK_IS_NONE]
Maybe512 = Annotated[Text512 | None, BLANK_IS_NONE]
Maybe4096 = Annotated[Text4096 | None, BLANK_IS_NONE]

LONGEST_SLUG = 64
_SLUG = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
Slug = Annotated[str, StringConstraints(max_length=LONGEST_SLUG, pattern=_SLUG)]
"""A job's id: small letters, digits and dashes inside."""


def is_slug(text: str) -> bool:
    """Whether a text can be a job's id."""
    return len(text) <= LONGEST_SLUG and re.fullmatch(_SLUG, text) is not None


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
