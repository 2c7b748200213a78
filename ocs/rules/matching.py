"""Matching: whether an output fulfils a condition. Imports nothing of ours, for a process that does only this."""

from __future__ import annotations

import json
from enum import StrEnum


class How(StrEnum):
    """How an output is looked at."""

    CONTAINS = "contains"
    REGEX = "regex"
    JSONPATH = "jsonpath"


TOO_DEEP = "the output is nested too deeply"
TOO_LARGE = "it needs too much memory on this output"


def matches(how: How, wanted: str, content: str) -> bool | str:
    """Whether the output fulfils the condition; the end of a sentence when nobody can say.

    It sets itself no limit, and the process may not survive it: the caller limits both.
    """
    try:
        match how:
            case How.CONTAINS:
                return wanted in content
            case How.REGEX:
                return _regex(wanted, content)
            case How.JSONPATH:
                return _jsonpath(wanted, content)
    except RecursionError:
        return TOO_DEEP
    except MemoryError:
        return TOO_LARGE


def _regex(pattern: str, content: str) -> bool | str:
    import regex

    try:
        return regex.search(pattern, content) is not None
    except regex.error as wrong:
        return f"its expression cannot be used ({wrong})"


def _jsonpath(path: str, content: str) -> bool | str:
    import jsonpath

    try:
        document = json.loads(content)
    except json.JSONDecodeError:
        return False
    except ValueError as wrong:  # a number of thousands of digits
        return f"the output cannot be read ({wrong})"
    try:
        return next(iter(jsonpath.finditer(path, document)), None) is not None
    except jsonpath.JSONPathError as wrong:
        return f"its path cannot be used on this output ({wrong.args[0]})"
