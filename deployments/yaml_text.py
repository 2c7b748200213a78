# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""YAML with line numbers, comments and order: all that is known here of ruamel.yaml, which has no complete types."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, ScalarEvent, SequenceStartEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode

from deployments import yaml_bounds
from deployments.yaml_bounds import TooMuch
from deployments.yaml_comments import move_comment, reconcile
from ocs.errors import Problem, UsageError

SHORT_FORMS = {
    "run": "shell",
    "shell": "command",
    "agent": "message",
    "main": "message",
    "schedule": "cron",
    "also": "cron",
    "match": "contains",
    "approval": "required",
}
"""What a single value in the place of a group means."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def load(text: str) -> Any:
    """The values of a document.

    Raises:
        YAMLError: it is not YAML, or more than any job is (`TooMuch`).
    """
    yaml_bounds.check(text)
    try:
        return _plain().load(text)
    except (ValueError, OverflowError, RecursionError) as failed:  # a tag such as !!float on what is none
        raise YAMLError(f"a value cannot be read: {failed}") from failed


def dump(document: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """A document as YAML, with comments behind the values of dotted paths."""
    buffer = io.StringIO()
    held = _commentable(document)
    for dotted, comment in (comments or {}).items():
        *groups, last = dotted.split(".")
        group = functools.reduce(lambda inside, key: inside[key], groups, held)
        group.yaml_add_eol_comment(comment, last, column=0)
    _round_trip().dump(held, buffer)
    return buffer.getvalue()


def _commentable(document: Mapping[str, Any]) -> Any:
    return CommentedMap(
        {key: _commentable(value) if isinstance(value, Mapping) else value for key, value in document.items()}
    )


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """The text with dotted paths set to values, or taken away where the value is None; comments and order stay.

    A number names one of several: schedule.1.cron is the second schedule's.

    Raises:
        UsageError: a path leads through a value that has no keys, or there are fewer.
    """
    yaml = _round_trip()
    document: Any = yaml.load(text)
    reconcile(document)
    for dotted, value in values.items():
        _set(document, dotted, value)
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


def problem_of(broken: YAMLError, shown: str) -> Problem:
    """What is wrong with a text that is not YAML, with line and column."""
    if not isinstance(broken, MarkedYAMLError) or broken.problem_mark is None:
        return Problem("", f"is not YAML: {broken}", shown, 1)
    mark = broken.problem_mark
    if isinstance(broken, TooMuch):
        return Problem("", str(broken.problem), shown, mark.line + 1)
    if isinstance(broken, DuplicateKeyError):
        quoted = str(broken.problem).split('"')
        key = f'"{quoted[1]}"' if len(quoted) > 1 else "a key"
        return Problem("", f"{key} stands twice in one group; keep one", shown, mark.line + 1)
    return Problem("", f"is not YAML: {broken.problem} (column {mark.column + 1})", shown, mark.line + 1)


def line_of(text: str, dotted: str) -> int:
    """The line of a dotted path, or of the nearest group around it that is there."""
    line = 1
    here = _with_lines(text)
    for step in filter(None, dotted.split(".")):
        try:
            if isinstance(here, CommentedMap):
                line = here.lc.key(step)[0] + 1
                here = cast("Any", here)[step]
            elif isinstance(here, CommentedSeq):
                line = here.lc.item(int(step))[0] + 1
                here = cast("Any", here)[int(step)]
        except (KeyError, IndexError, ValueError):
            break
    return line


@functools.lru_cache(maxsize=8)
def _with_lines(text: str) -> Any:
    """The document with the line of each value: read once for all that is wrong with it."""
    try:
        return _round_trip().load(text)
    except (YAMLError, ValueError, RecursionError):
        return None


def written_at(text: str, dotted: str) -> str | None:
    """The value of a dotted path as its author wrote it, such as 08 or 1.10; None where there is no such value."""
    try:
        here: Any = _plain().compose(text)
    except (YAMLError, ValueError, RecursionError):
        return None
    for step in filter(None, dotted.split(".")):
        if not isinstance(here, MappingNode):
            return None
        here = next((value for key, value in here.value if getattr(key, "value", None) == step), None)
    return str(here.value) if isinstance(here, ScalarNode) else None


def first_text(text: str, key: str) -> str | None:
    """The text of one key of the document itself. Nothing behind it is read, however much that is.

    Raises:
        YAMLError: what stands before it is not YAML.
    """
    depth, here = 0, None
    for event in _plain().parse(text):
        match event:
            case SequenceStartEvent() if depth == 0:
                return None
            case CollectionStartEvent():
                depth, here = depth + 1, None
            case CollectionEndEvent():
                depth -= 1
            case ScalarEvent() if depth == 1 and here is None:
                here = str(event.value)
            case ScalarEvent() if depth == 1:
                if here == key:
                    return str(event.value)
                here = None
            case _:
                pass
    return None


def _set(document: Any, dotted: str, value: Any) -> None:
    """Set a value, making the groups on the way and opening short forms (`run: "..."`); None takes the key away."""
    *groups, last = dotted.split(".")
    here, named = document, ""
    for group, following in pairwise([*groups, last]):
        there = here.get(group) if isinstance(here, dict) else None
        if value is None and isinstance(here, dict) and there is None:
            return
        if isinstance(here, list):
            here = _opened(here, _index(here, group, dotted), named, dotted)
        elif isinstance(there, list) and following.isdigit():
            here = there
        else:
            here = _opened(here, group, group, dotted)
        named = group
    place: Any = _index(here, last, dotted) if isinstance(here, list) else last
    if value is not None:
        here[place] = value
    elif isinstance(here, list):
        del here[place]
    else:
        here.pop(place, None)


def _index(several: list[Any], given: str, dotted: str) -> int:
    if not given.isdigit() or int(given) >= len(several):
        raise UsageError(f"--set {dotted}: of {len(several)} there is no {given}; the first is 0.")
    return int(given)


def _opened(document: Any, place: str | int, name: str, dotted: str) -> Any:
    """The group there, made where there is none; a short form's comment stays with its value.

    A list of schedules says in its first what holds for all of them; one in the place of days left out is their dates.
    """
    inner = document.get(place) if isinstance(document, dict) else document[place]
    if isinstance(inner, dict):
        return inner
    if name == "schedule" and isinstance(inner, list) and inner:
        return _opened(inner, 0, name, dotted)
    short = "dates" if name == "except" and isinstance(inner, list) else SHORT_FORMS.get(name)
    if inner is not None and (short is None or (isinstance(inner, list) and short != "dates")):
        raise UsageError(f"--set {dotted}: {name} has a value, and no keys.", hint=f"Set it whole: --set {name}=...")
    document[place] = opened = CommentedMap()
    if inner is not None and short is not None:
        opened[short] = inner
        if isinstance(document, CommentedMap) and isinstance(place, str):
            move_comment(document, place, opened, short)
    return opened


class _WholeCharacters:
    """JSON writes a character beyond the first plane as two halves (`\\ud83c\\udf89`), which YAML reads one by one."""

    def construct_scalar(self, node: Any) -> Any:
        if isinstance(node.value, str) and _PAIR.search(node.value):
            node.value = _PAIR.sub(_joined, node.value)
        return super().construct_scalar(node)  # pyright: ignore[reportAttributeAccessIssue]


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


class _RoundTrip(_WholeCharacters, RoundTripConstructor):
    """For documents that are written again."""


class _TimesAsText(_WholeCharacters, SafeConstructor):
    """Moments stay as they are written: the job document reads them itself, with its own time zone."""

    def construct_yaml_int(self, node: Any) -> int:
        yaml_bounds.checked_digits(node)
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: Any) -> float:
        yaml_bounds.checked_digits(node)
        return super().construct_yaml_float(node)


def _as_text(_constructor: SafeConstructor, node: ScalarNode) -> str:
    return str(node.value)


_TimesAsText.add_constructor("tag:yaml.org,2002:timestamp", _as_text)
_TimesAsText.add_constructor("tag:yaml.org,2002:int", _TimesAsText.construct_yaml_int)
_TimesAsText.add_constructor("tag:yaml.org,2002:float", _TimesAsText.construct_yaml_float)


def _plain() -> Any:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Constructor = _TimesAsText
    return yaml


def _round_trip() -> Any:
    yaml: Any = YAML()
    yaml.Constructor = _RoundTrip
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
