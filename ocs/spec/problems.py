"""What is wrong with a document, in sentences: every violation at once, at the path its author wrote."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ocs.errors import InvalidJob, Problem
from ocs.spec.job import Job
from ocs.spec.run import Run
from ocs.spec.strategy import STRATEGIES, Unavailable
from ocs.spec.values import CROSS_FIELD
from ocs.spec.written import on_a_line, quoted

Location = tuple[int | str, ...]

AsWritten = Callable[[str], str | None]

STAND_INS: Mapping[str, Any] = {"id": "any-job", "run": "true", "schedule": "@daily"}
"""Good values in the place of broken ones, so that the rules across fields can be asked about the others."""


def _unknown(_path: str) -> None:
    """How it was written is not known: it did not come as text."""


def parse(document: Mapping[str, Any]) -> Job:
    """The job a document describes.

    Raises:
        InvalidJob: it breaks rules; `problems` has all of them.
    """
    return _whole(document, _read(document))


def parse_stored(document: Mapping[str, Any]) -> Job:
    """The job of a document that was rolled out or stored: a strategy that is not here any more fails as it runs.

    Raises:
        InvalidJob: it breaks other rules.
    """
    return _whole(document, _read_stored(document))


def _whole(document: Mapping[str, Any], job: Job | list[Problem]) -> Job:
    if isinstance(job, Job):
        return job
    name = document.get("id") if isinstance(document, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    called = f'Job "{name}"' if isinstance(name, str) else "The job"
    raise InvalidJob(f"{called} is not valid: {'; '.join(map(str, job))}", problems=job)


def violations(document: Mapping[str, Any], as_written: AsWritten = _unknown) -> list[Problem]:
    """All rules the document breaks; empty when it is a job.

    `as_written` gives the value of a dotted path as the author of the text wrote it: 08 has become 8 in the document.
    """
    job = _read(document, as_written)
    return [] if isinstance(job, Job) else job


def _read(document: Mapping[str, Any], as_written: AsWritten = _unknown) -> Job | list[Problem]:
    job = _read_stored(document, as_written)
    return [problem] if isinstance(job, Job) and (problem := _unavailable(job.run)) else job


def _read_stored(document: Mapping[str, Any], as_written: AsWritten = _unknown) -> Job | list[Problem]:
    try:
        return Job.model_validate(document)
    except ValidationError as invalid:
        details = invalid.errors(include_url=False)
    except RecursionError:
        return [Problem("", "is nested too deeply, or refers to itself; spell it out")]
    if not isinstance(document, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return [Problem("", f"a job is a group of keys such as id and run, not {_shown(document)}")]
    return [*_problems(details, document, as_written), *_hidden(details, document)]


def _unavailable(run: Run) -> Problem | None:
    """Who reads a job takes it for what it is; who writes one is told that nothing here can run it."""
    if not isinstance(run.work, Unavailable):
        return None
    if run.strategy in STRATEGIES.names():
        return Problem(f"run.{run.strategy}", run.work.why)
    return Problem(f"run.{on_a_line(run.strategy)}", _unknown_key(("run", run.strategy)))


def _hidden(details: Sequence[ErrorDetails], document: Mapping[str, Any]) -> Iterator[Problem]:
    """Rules across fields are only checked on valid fields: check those that are, leaving the broken ones out."""
    wrong = {detail["loc"][0] for detail in details if detail["loc"]}
    if not wrong:
        return
    rest: dict[str, Any] = {key: value for key, value in document.items() if key not in wrong}
    try:
        Job.model_validate(rest | {key: good for key, good in STAND_INS.items() if key in wrong})
    except ValidationError as invalid:
        across = [detail for detail in invalid.errors(include_url=False) if not detail["loc"]]
        yield from _problems(across, document)


def _problems(
    details: Sequence[ErrorDetails], document: Mapping[str, Any], as_written: AsWritten = _unknown
) -> Iterator[Problem]:
    for detail in details:
        if detail["type"] == "too_short" and any(_is_inside(other["loc"], detail["loc"]) for other in details):
            continue  # its items are there, and wrong
        path = _path(detail["loc"], document)
        if detail["type"] == CROSS_FIELD:
            for inner, message in detail.get("ctx", {})["paths"].items():
                yield Problem(".".join(filter(None, (path, inner))), message)
        else:
            yield Problem(path, _sentence(detail, as_written(path)))


def _path(location: Location, document: Mapping[str, Any]) -> str:
    """The dotted path as written: a short form (`run: "..."`) has no deeper path than its own."""
    location = _in_list(location, document)
    parts: list[str] = []
    here: Any = document
    for step in location:
        if not isinstance(here, Mapping | Sequence) or isinstance(here, str):
            break
        parts.append(on_a_line(step))
        held = cast("Any", here)
        here = held.get(step) if isinstance(here, Mapping) else held[step] if _within(held, step) else None
    return ".".join(part for part in parts if part != "[key]")


def _in_list(location: Location, document: Mapping[str, Any]) -> Location:
    """Of a list of schedules the first is the schedule itself, the others are its further times."""
    if location[:1] != ("schedule",) or not isinstance(document.get("schedule"), list | tuple):
        return location
    match location[1:]:
        case ("also", int(number), *rest):
            return ("schedule", number + 1, *rest)
        case rest:
            return ("schedule", 0, *rest) if rest else location


def _is_inside(location: Location, group: Location) -> bool:
    return len(location) > len(group) and location[: len(group)] == group


def _within(sequence: Sequence[Any], step: int | str) -> bool:
    return isinstance(step, int) and step < len(sequence)


def _sentence(detail: ErrorDetails, written: str | None) -> str:
    kind = detail["type"]
    given = _shown(detail["input"])
    context = detail.get("ctx", {})
    if kind in _LIMITS:
        wanted, bound = _LIMITS[kind]
        return f"must be {wanted} {_number(context.get(bound, 0))}, not {given}"
    match kind:
        case "extra_forbidden":
            return _unknown_key(detail["loc"])
        case "missing":
            return "is missing; " + _what_belongs(detail["loc"])
        case "literal_error":
            return _not_a_choice(str(context.get("expected", "")), detail["input"])
        case "string_too_long":
            return f"is {len(detail['input'])} characters long; at most {context.get('max_length')} are allowed"
        case "too_short":
            return "is empty; name at least one"
        case "string_pattern_mismatch":
            return _pattern(detail["loc"], detail["input"])
        case "string_type" if isinstance(detail["input"], int | float):
            return f'must be text; put it in quotes: "{written or _in_yaml(detail["input"])}"'
        case "value_error":
            return str(context.get("error", detail["msg"]))
        case _:
            return f"must be {_WANTED.get(kind, _wanted(detail['msg']))}, not {given}"


_LIMITS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
_WANTED = {
    "string_type": "text",
    "string_unicode": "text in Unicode",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
    "invalid_key": "a key of text",
}


def _in_yaml(value: object) -> str:
    return _shown(value) if isinstance(value, bool) else str(value)


def _wanted(message: str) -> str:
    return message.removeprefix("Input should be ")


def _number(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def _shown(value: object) -> str:
    """What was given, short enough for a line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, Mapping):
        return "a group of keys"
    return quoted(value) if isinstance(value, str) else on_a_line(repr(value))


def _not_a_choice(expected: str, given: object) -> str:
    choices = expected.replace("'", "").replace(" or ", ", ")
    nearest = difflib.get_close_matches(str(given), choices.split(", "), n=1)
    told = f"must be one of {choices}, not {_shown(given)}"
    return f"{told}. Nearest: {nearest[0]}." if nearest else told


def _pattern(location: Location, given: object) -> str:
    if location[-1] == "[key]":
        return f"{quoted(str(given))} is not a name for an environment variable; use letters, digits and _"
    slug = re.sub("[^a-z0-9]+", "-", str(given).lower()).strip("-")
    hint = f'; write "{slug}"' if slug else ""
    return f"{quoted(str(given))} may only have small letters, digits and dashes, and no dash at its ends{hint}"


def _what_belongs(location: Location) -> str:
    examples = {
        "id": "every job has an id, such as nightly-report",
        "run": "say what to run, such as  run: ./backup.sh",
    }
    return examples.get(".".join(map(str, location)), "add it")


def _unknown_key(location: Location) -> str:
    if location == ("schedule", "in"):
        return "unknown key. Write the moment itself as  at: ...; ocs jobs add --in 1.5h reckons it."
    known = _keys_at(location[:-1])
    key = str(location[-1])
    elsewhere = sorted(
        (path for path in _paths(Job) if path.rpartition(".")[2] == key), key=lambda path: path.count(".")
    )
    installed = f" Installed strategies: {', '.join(STRATEGIES.names())}." if location[:-1] == ("run",) else ""
    if elsewhere:
        return f"unknown key. It belongs to: {', '.join(elsewhere[:3])}.{installed}"
    if nearest := difflib.get_close_matches(key, known, n=1, cutoff=0.5):
        return f"unknown key. Nearest: {nearest[0]}.{installed}"
    return f"unknown key. Known: {', '.join(known)}.{installed}"


def _paths(model: type[BaseModel], under: str = "") -> Iterator[str]:
    """Every path of the document that a key can have."""
    for name, inner in _fields(model):
        path = f"{under}{name}"
        yield path
        if inner is not None:
            yield from _paths(inner, f"{path}.")


def _keys_at(location: Location) -> list[str]:
    model: type[BaseModel] = Job
    for step in location:
        model = dict(_fields(model)).get(str(step)) or model
    return [name for name, _ in _fields(model)]


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel] | None]]:
    """The keys of a group, and the group that each holds, if any."""
    if issubclass(model, Run):
        yield from ((name, strategy.document) for name, strategy in STRATEGIES.usable().items())
    for name, field in model.model_fields.items():
        yield field.alias or name, _model_in(field.annotation)


def _model_in(hint: Any) -> type[BaseModel] | None:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    return next((found for part in get_args(hint) if (found := _model_in(part))), None)
