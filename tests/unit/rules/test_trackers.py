"""Trackers as rules: how a member stands, when it is dead, how a group ends, what is told and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.errors import Refused, UsageError
from ocs.rules import trackers as rule
from ocs.rules.tasks import TaskStatus
from ocs.rules.trackers import Member, MemberStatus, ThenOn, TrackerStatus

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("task", "member"),
    [
        (TaskStatus.QUEUED, MemberStatus.PENDING),
        (TaskStatus.WAITING, MemberStatus.PENDING),
        (TaskStatus.WAITING_APPROVAL, MemberStatus.PENDING),
        (TaskStatus.RUNNING, MemberStatus.RUNNING),
        (TaskStatus.RETRYING, MemberStatus.RUNNING),
        (TaskStatus.OK, MemberStatus.COMPLETED),
        (TaskStatus.ERROR, MemberStatus.FAILED),
        (TaskStatus.TIMEOUT, MemberStatus.FAILED),
        (TaskStatus.SKIPPED, MemberStatus.FAILED),
        (TaskStatus.CRASHED, MemberStatus.FAILED),
        (TaskStatus.CANCELLED, MemberStatus.FAILED),
        (TaskStatus.WITHDRAWN, MemberStatus.FAILED),
    ],
)
def test_a_task_s_standing_is_its_member_s(task: TaskStatus, member: MemberStatus) -> None:
    assert rule.of_task(task) is member
    assert member.ended is not task.is_open


@pytest.mark.parametrize(
    ("heard", "begun", "now", "dead"),
    [
        (None, False, HOUR - timedelta(seconds=1), None),
        (None, False, HOUR, "It had not begun by the deadline."),
        (None, True, 9 * HOUR, None),  # a task: it has its own timeouts
        (HOUR - timedelta(minutes=5), True, HOUR, "Nothing was heard of it since 2026-11-30 12:55:00 UTC"),
        (HOUR - timedelta(minutes=4), True, HOUR, None),
        (8 * HOUR, True, 8 * HOUR + timedelta(minutes=4), None),
        (timedelta(0), True, HOUR - timedelta(seconds=1), None),
    ],
)
def test_a_member_is_dead_after_the_deadline_when_nothing_is_heard_of_it(
    heard: timedelta | None, begun: bool, now: timedelta, dead: str | None
) -> None:
    """Acceptance rows 95 and 96: silence alone is no death before the deadline, and heartbeats keep alive after it."""
    why = rule.why_dead(
        created_at=NOON,
        deadline=NOON + HOUR,
        heard_at=NOON + heard if heard is not None else None,
        begun=begun,
        now=NOON + now,
    )
    assert (why is None) if dead is None else (why is not None and why.startswith(dead))


def test_a_short_tracker_has_less_patience_and_one_without_deadline_has_no_dead() -> None:
    known = {"created_at": NOON, "heard_at": NOON + timedelta(seconds=55), "begun": True}
    assert rule.why_dead(deadline=NOON + timedelta(seconds=10), now=NOON + timedelta(seconds=64), **known) is None
    assert rule.why_dead(deadline=NOON + timedelta(seconds=10), now=NOON + timedelta(seconds=65), **known)
    assert rule.why_dead(deadline=None, now=NOON + 1000 * HOUR, **known) is None


@given(st.lists(st.sampled_from([status for status in MemberStatus if status.ended]), min_size=1))
def test_a_tracker_has_completed_when_all_members_have(ends: list[MemberStatus]) -> None:
    completed = rule.ended_as(ends) is TrackerStatus.COMPLETED
    assert completed == all(end is MemberStatus.COMPLETED for end in ends)


def test_the_next_job_runs_at_the_end_it_asks_for() -> None:
    fires = {(on, status) for on, status in product(ThenOn, TrackerStatus) if rule.fires(on, status)}
    assert fires == {
        (ThenOn.SUCCESS, TrackerStatus.COMPLETED),
        (ThenOn.COMPLETE, TrackerStatus.COMPLETED),
        (ThenOn.FAILURE, TrackerStatus.FAILED),
        (ThenOn.COMPLETE, TrackerStatus.FAILED),
    }


def test_what_is_told_has_a_line_for_each_member_and_those_first_that_did_not_complete() -> None:
    members = [
        Member("a", MemberStatus.COMPLETED, "All\nis well."),
        Member("b", MemberStatus.DEAD, "It had not begun by the deadline."),
    ]
    assert rule.subject("release", TrackerStatus.FAILED, members) == "release: failed (1 of 2 completed)"
    assert rule.summary(members, "mend") == (
        "- b: dead: It had not begun by the deadline.\n- a: completed: All is well.\n\nmend runs next."
    )


def test_what_follows_is_shown_all_results_as_data_and_of_many_as_much_as_there_is_room() -> None:
    first, *fenced = rule.results("r", TrackerStatus.COMPLETED, [Member("a", MemberStatus.COMPLETED, "x" * 9000)])
    assert (first.startswith('This run follows the tracker "r"'), "x" * 9000 in fenced[0]) == (True, True)
    told = rule.results(
        "r", TrackerStatus.FAILED, [Member(str(n), MemberStatus.FAILED, "y" * 9000) for n in range(500)]
    )
    assert sum(len(part.encode()) for part in told) < 2 * rule.RESULTS
    assert told[-1] == "380 more members: ocs tasks show r"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "Name at least one member."),
        (["writer", "tester", " writer"], '"writer" stands there twice.'),
        (["a\nb"], "The member has control characters or more than one line."),
        ([f"m{n}" for n in range(5001)], "A tracker has 5,000 members at most."),
    ],
)
def test_members_that_are_refused(labels: list[str], said: str) -> None:
    with pytest.raises((Refused, UsageError)) as refused:
        rule.checked_members(labels)
    assert refused.value.message == said


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), timedelta(days=367)])
def test_a_timeout_is_positive_and_has_an_end(timeout: timedelta) -> None:
    with pytest.raises(Refused):
        rule.checked_timeout(timeout)
