"""Triggers: which children follow the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocs.rules.dispatch import RunStatus
from ocs.rules.matching import How

if TYPE_CHECKING:
    from ocs.spec import Job, Match

FAILURES = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CRASHED)
NOT_EVALUATED = "its condition was not evaluated"

Answer = bool | str
"""Whether an output fulfils a condition, or the end of a sentence when that could not be told."""


@dataclass(frozen=True, slots=True)
class Fired:
    """The children that run, and a sentence for each that had a reason worth telling not to."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]


def conditions(children: Sequence[Job], status: RunStatus) -> dict[str, tuple[How, str]]:
    """What the children that follow such an end want of the parent's output, by their ids."""
    following = (child for child in children if follows(child, status))
    return {child.id: _condition(child.after.match) for child in following if child.after and child.after.match}


def follows(child: Job, status: RunStatus) -> bool:
    """Whether a child runs after such an end, if the output is as it wants it."""
    return child.after is not None and child.enabled and _wants(child.after.on, status)


def children_to_fire(
    children: Sequence[Job], status: RunStatus, answers: Mapping[str, Answer], max_fanout: int
) -> Fired:
    """Choose by how the parent ended, then by its output, then cut to `max_fanout`.

    Cut before, children that match could be left out for others that do not.

    `answers` says of each child with a condition whether that is fulfilled. The order is that of the ids, so that the
    cut is always the same.
    """
    chosen: list[Job] = []
    notes: list[str] = []
    for child in sorted(children, key=lambda job: job.id):
        if child.after is None or not follows(child, status):
            continue
        matched = child.after.match is None or answers.get(child.id, NOT_EVALUATED)
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


def _condition(match: Match) -> tuple[How, str]:
    given = {How.CONTAINS: match.contains, How.REGEX: match.regex, How.JSONPATH: match.jsonpath}
    return next((how, wanted) for how, wanted in given.items() if wanted is not None)


def is_unheard(job: Job, others: Iterable[Job]) -> bool:
    """Whether nobody hears of its failures, though it does not say so: no delivery, and no child for all of them."""
    if job.deliver is not None:
        return False
    children = (other for other in others if other.enabled and other.after and other.after.job == job.id)
    return not any(child.after and child.after.on == "failure" and child.after.match is None for child in children)
