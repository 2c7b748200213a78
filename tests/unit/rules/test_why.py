"""Why: every occurrence has a line, whatever is on record of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.why import Attempt, Gap, InLine, Past, Switched, What, lines, not_followed
from ocs.spec import parse

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DUE = NOW - timedelta(hours=2)
HOUR = timedelta(hours=1)
RUN = UUID(int=1)


def attempt(status: RunStatus, **more: Any) -> Attempt:
    return Attempt(RUN, more.pop("due", DUE), more.pop("kind", DispatchKind.SCHEDULED), status, DUE, **more)


def only(past: Past, *, enabled: bool = True, due: datetime = DUE) -> tuple[What, str]:
    (line,) = lines([due], past, enabled=enabled, now=NOW)
    return line.what, line.why


@pytest.mark.parametrize(
    ("past", "what", "why"),
    [
        (Past([attempt(RunStatus.OK, said="12 rows")]), What.RAN, "12 rows"),
        (Past([attempt(RunStatus.OK, attempt=3)]), What.RAN, "Attempt 3."),
        (Past([attempt(RunStatus.ERROR, said="exit code 3")]), What.FAILED, "error: exit code 3"),
        (Past([attempt(RunStatus.CRASHED)]), What.FAILED, "crashed"),
        (Past([attempt(RunStatus.RUNNING)]), What.RUNNING, "at work"),
        (Past([attempt(RunStatus.WAITING_APPROVAL)]), What.WAITING, "approval"),
        (Past([attempt(RunStatus.CANCELLED, is_declined=True, said="not today")]), What.REFUSED, "not today"),
        (Past([attempt(RunStatus.SKIPPED, skip_reason=SkipReason.OVERLAP, said="busy")]), What.SKIPPED, "busy"),
        (Past([attempt(RunStatus.SKIPPED, skip_reason=SkipReason.MISSED, said="late")]), What.MISSED, "late"),
        (Past([attempt(RunStatus.SKIPPED, skip_reason=SkipReason.DISABLED, said="off")]), What.OFF, "off"),
        (Past([attempt(RunStatus.SKIPPED, skip_reason=SkipReason.EXCLUDED, said="a day")]), What.EXCLUDED, "a day"),
        (Past(in_line=[InLine(DUE, False, "It waits for its pool.")]), What.WAITING, "pool"),
        (Past(in_line=[InLine(DUE, True, "")]), What.REFUSED, "withdrawn"),
        (Past(gaps=[Gap(DUE - HOUR, DUE + HOUR, 1)]), What.MISSED, "Everything was down, and a newer one ran"),
        (Past(gaps=[Gap(DUE, DUE, 0)]), What.MISSED, "none was made up for"),
        (Past(switches=[Switched(DUE - HOUR, False, "ann")]), What.OFF, "off since 2026-11-30 09:00:00 UTC"),
        (Past(switches=[Switched(DUE + HOUR, True, "ann")]), What.OFF, "off until 2026-11-30 11:00:00 UTC"),
        (Past(begins=DUE - HOUR, looked_until=DUE - HOUR), What.LATE, "7200 s late"),
        (Past(begins=DUE - HOUR, looked_until=NOW), What.UNKNOWN, "pruned"),
        (Past(begins=DUE + HOUR, looked_until=NOW), What.NO_RECORD, "before all that is on record"),
        (Past(), What.NO_RECORD, "before all that is on record"),
    ],
)
def test_what_became_of_an_occurrence(past: Past, what: What, why: str) -> None:
    found, said = only(past)
    assert found is what
    assert why in said


def test_a_job_that_is_off_and_was_never_switched_is_off() -> None:
    assert only(Past(), enabled=False) == (What.OFF, "The job is off.")


def test_what_is_to_come_is_no_failure() -> None:
    assert only(Past(), due=NOW + HOUR)[0] is What.COMING


def test_who_decided_is_named() -> None:
    (line,) = lines(
        [DUE], Past([attempt(RunStatus.CANCELLED, is_declined=True, decided_by="bob")]), enabled=True, now=NOW
    )
    assert line.by == "bob"
    (line,) = lines([DUE], Past(switches=[Switched(DUE - HOUR, False, "ann")]), enabled=False, now=NOW)
    assert line.by == "ann"


def test_a_start_that_came_late_says_so() -> None:
    late = Attempt(RUN, DUE - HOUR, DispatchKind.SCHEDULED, RunStatus.OK, DUE, said="done")
    assert only(Past([late]), due=DUE - HOUR) == (What.RAN, "3600 s late. done")


def test_runs_that_nobody_scheduled_have_a_line_too() -> None:
    by_hand = attempt(RunStatus.OK, due=DUE + HOUR, kind=DispatchKind.MANUAL)
    found = lines([DUE], Past([by_hand], begins=DUE - HOUR, looked_until=NOW), enabled=True, now=NOW)
    assert [(line.due, line.kind) for line in found] == [(DUE, "scheduled"), (DUE + HOUR, "manual")]


@given(
    due=some.sets(some.integers(-48, 48), max_size=20),
    had=some.sets(some.integers(-48, 48), max_size=20),
    switched=some.lists(some.tuples(some.integers(-60, 0), some.booleans()), max_size=5),
    enabled=some.booleans(),
)
def test_no_occurrence_is_without_a_line_and_none_has_two(
    due: set[int], had: set[int], switched: list[tuple[int, bool]], enabled: bool
) -> None:
    instants = [NOW + HOUR * number for number in due]
    past = Past(
        [attempt(RunStatus.OK, due=NOW + HOUR * number) for number in had],
        switches=[Switched(NOW + HOUR * number, on, "ann") for number, on in sorted(switched)],
    )
    found = [line.due for line in lines(instants, past, enabled=enabled, now=NOW)]
    assert found == sorted({*instants, *(NOW + HOUR * number for number in had)})


CHILD = {"id": "tell", "run": "echo", "after": {"job": "tidy"}}


@pytest.mark.parametrize(
    ("document", "status", "what", "why"),
    [
        (CHILD, RunStatus.ERROR, What.SKIPPED, "ended error (00000000), and this runs on its success"),
        ({**CHILD, "enabled": False}, RunStatus.OK, What.OFF, "this is off"),
        ({**CHILD, "enabled": False}, RunStatus.ERROR, What.SKIPPED, "on its success"),
        ({**CHILD, "after": {"job": "tidy", "match": {"contains": "x"}}}, RunStatus.OK, What.SKIPPED, "after.match"),
        (CHILD, RunStatus.OK, What.UNKNOWN, "nothing is on record"),
    ],
)
def test_why_a_child_did_not_follow(document: dict[str, Any], status: RunStatus, what: What, why: str) -> None:
    (line,) = not_followed(parse(document), [attempt(status)], Past())
    assert line.what is what
    assert why in line.why


def test_a_child_that_followed_or_will_has_no_second_line() -> None:
    ends = [attempt(RunStatus.OK), attempt(RunStatus.RUNNING)]
    ran = attempt(RunStatus.OK, kind=DispatchKind.CHAIN, parent_run=RUN)
    assert not_followed(parse(CHILD), ends, Past([ran])) == []
    assert not_followed(parse(CHILD), ends, Past(in_line=[InLine(DUE, False, "", RUN)])) == []
    assert not_followed(parse({"id": "tell", "run": "echo"}), ends, Past()) == []
