"""Triggers: which children follow the end of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ocs.rules.dispatch import RunStatus
from ocs.spec import Job, Match

REGEX_SECONDS = 0.5
"""The longest a child's expression may be matched, so that a bad one stalls nobody (W44)."""
FAILURES = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CRASHED)


@dataclass(frozen=True, slots=True)
class Fired:
    """The children that run, and a sentence for each that had a reason worth telling not to."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]


def children_to_fire(children: Sequence[Job], status: RunStatus, content: str, max_fanout: int) -> Fired:
    """Choose by how the parent ended, then by its output, then cut to `max_fanout` (B-5.5; there cut before matching).

    The order is that of the ids, so that the cut is always the same.
    """
    chosen: list[Job] = []
    notes: list[str] = []
    for child in sorted(children, key=lambda job: job.id):
        if child.after is None or not child.enabled or not _wants(child.after.on, status):
            continue
        matched = child.after.match is None or matches(child.after.match, content)
        if isinstance(matched, str):
            notes.append(f"{child.id} did not run: {matched}.")
        elif matched:
            chosen.append(child)
    notes.extend(f"{child.id} did not run: at most {max_fanout} children are started." for child in chosen[max_fanout:])
    return Fired(tuple(chosen[:max_fanout]), tuple(notes))


def _wants(on: str, status: RunStatus) -> bool:
    """Cancelled and skipped runs have no consequences; success is ok, failure is every other end."""
    if status is RunStatus.OK:
        return on in ("success", "complete")
    return status in FAILURES and on in ("failure", "complete")


def matches(condition: Match, content: str) -> bool | str:
    """Whether the output fulfils the condition; a sentence when it could not be told."""
    if condition.contains is not None:
        return condition.contains in content
    if condition.regex is not None:
        return _regex(condition.regex, content)
    return _jsonpath(condition.jsonpath or "$", content)


def _regex(pattern: str, content: str) -> bool | str:
    import regex

    try:
        return regex.search(pattern, content, timeout=REGEX_SECONDS) is not None
    except TimeoutError:
        return f"its expression took longer than {REGEX_SECONDS:g} s on this output"
    except regex.error as wrong:
        return f"its expression cannot be used ({wrong})"


def _jsonpath(path: str, content: str) -> bool | str:
    import jsonpath

    try:
        document = json.loads(content)
    except ValueError:
        return False
    try:
        return len(jsonpath.findall(path, document)) > 0
    except jsonpath.JSONPathError as wrong:
        return f"its path cannot be used on this output ({wrong})"
