"""The small types the job document is made of: durations, sizes, slugs, text without control characters."""

from __future__ import annotations

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

from ocs.spec.docstrings import below_attributes
from ocs.spec.written import (
    LONGEST_SLUG,
    SLUG,
    format_duration,
    no_control_characters,
    on_a_line,
    parse_duration,
    parse_size,
    span_of,
)

LARGEST = 100 * 1024**2
"""What is kept of an output passes through memory and one row of the store."""
CROSS_FIELD = "across_fields"
ALSO = "x-also"
"""Keyword for what a document may say too, beside what a form in the Prefect UI should offer."""


class Part(BaseModel):
    """A group of the job document: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """Defaults as the document writes them: forms are filled with them, and pydantic would write PT5M.

        A field is described by what stands below it.
        """
        reference = handler(core_schema)
        written = cls.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
        descriptions = cls._descriptions()
        for key, schema in handler.resolve_ref_schema(reference).get("properties", {}).items():
            if isinstance(written.get(key), dict):
                schema.pop("default", None)
            elif "default" in schema:
                schema["default"] = written[key]
            if (told := descriptions.get(key)) is not None:
                schema.setdefault("description", told)
        return reference

    @classmethod
    def _descriptions(cls) -> dict[str, str]:
        told: dict[str, str] = {}
        for each in reversed(cls.__mro__):
            told |= below_attributes(each) if issubclass(each, Part) else {}
        return {field.alias or name: told[name] for name, field in cls.model_fields.items() if name in told}


def broken(rules: Mapping[str, str]) -> PydanticCustomError:
    """The error of a group whose fields are right one by one, but not together: a message for each path in it."""
    told = "; ".join(f"{path}: {message}" if path else message for path, message in rules.items())
    return PydanticCustomError(CROSS_FIELD, "{told}", {"told": told, "paths": dict(rules)})


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return span_of(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a duration such as 30s, not {on_a_line(repr(value))}")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"a number means whole seconds, not {value:g}; write a text such as 1.5s")
    return span_of(value)


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

Slug = Annotated[str, StringConstraints(max_length=LONGEST_SLUG, pattern=SLUG)]
"""A job's id: small letters, digits and dashes inside."""


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
