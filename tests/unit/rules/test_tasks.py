"""Tasks: the job that one runs, how one stands, and which reports of completion are believed."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.errors import Refused
from ocs.rules.dispatch import RunStatus
from ocs.rules.tasks import (
    BUILT_IN,
    TaskStatus,
    Wish,
    asks_for_git,
    checked_key,
    checked_label,
    checked_report,
    document,
    status_of,
)
from ocs.spec import Job, unsupported, violations

TEMPLATE = Job.model_validate(BUILT_IN)
DONE = '{"work_complete": true}'


def test_the_built_in_template_can_be_rolled_out() -> None:
    assert unsupported(TEMPLATE) == []


def test_a_task_is_the_template_with_what_is_asked_for_in_its_place() -> None:
    wish = Wish(
        text="Review.", agent="coder", model="x/y", thinking="high", timeout="3h", idle="10m", to=("ops",),
        tell=("main",), pool="night", check="make test", label="ticket-42",
    )  # fmt: skip
    found = document(TEMPLATE, wish)
    assert violations(found) == []
    job = Job.model_validate(found)
    expected = {
        "message": "Review.", "agent": "coder", "model": "x/y", "thinking": "high", "session": "task",
        "idle_timeout": "10m", "check": "make test",
    }  # fmt: skip
    assert job.document()["run"]["agent"] == expected
    assert job.name == "ticket-42"
    assert (job.document()["run"]["timeout"], job.limits.pool, job.limits.overlap) == ("3h", "night", "allow")
    assert job.deliver is not None
    assert (job.deliver.when, job.deliver.to) == ("always", ("ops", "inbox:main"))


def test_what_is_not_asked_for_is_as_in_the_template() -> None:
    mine = Job.model_validate({**BUILT_IN, "id": "coder", "deliver": {"when": "always", "to": "ops"}})
    found = document(mine, Wish(text="Review.", quiet=True))
    assert found["deliver"]["when"] == "never"
    assert {**found, "deliver": None} == {
        **mine.document(), "deliver": None,
        "run": {**mine.document()["run"], "agent": {**mine.document()["run"]["agent"], "message": "Review."}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dispatch", "attempts", "coming", "waits", "status"),
    [
        ("pending", [], False, False, TaskStatus.QUEUED),
        ("published", [], False, False, TaskStatus.QUEUED),
        ("waiting", [], False, True, TaskStatus.WAITING),
        ("cancelled", [], False, False, TaskStatus.WITHDRAWN),
        (None, [], False, False, TaskStatus.WITHDRAWN),
        ("done", [RunStatus.RUNNING], False, False, TaskStatus.RUNNING),
        ("done", [RunStatus.WAITING_APPROVAL], False, False, TaskStatus.WAITING_APPROVAL),
        ("done", [RunStatus.ERROR], True, False, TaskStatus.RETRYING),
        ("done", [RunStatus.ERROR, RunStatus.RUNNING], False, False, TaskStatus.RUNNING),
        ("done", [RunStatus.CRASHED, RunStatus.OK], False, False, TaskStatus.OK),
        (None, [RunStatus.TIMEOUT], False, False, TaskStatus.TIMEOUT),
    ],
)
def test_how_a_task_stands(
    dispatch: str | None, attempts: list[RunStatus], coming: bool, waits: bool, status: TaskStatus
) -> None:
    found = status_of(dispatch, attempts, coming=coming, waits=waits)
    assert found is status
    assert found.is_open is (status in ("queued", "waiting", "running", "waiting_approval", "retrying"))


@pytest.mark.parametrize("label", ["", " ", "a\nb", "a\tb", "\x1b[31mred", "x" * 129])
def test_such_labels_are_refused(label: str) -> None:
    with pytest.raises(Refused):
        checked_label(label)
    with pytest.raises(Refused):
        checked_key(label)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"summary": " "}, "The summary is empty."),
        ({"checklist": "{"}, "The checklist is not JSON"),
        ({"checklist": "[]"}, "no object"),
        ({"checklist": "{}"}, '"work_complete": true'),
        ({"checklist": '{"work_complete": "yes"}'}, '"work_complete": true'),
        ({"checklist": '{"work_complete": true, "tests_passed": false}'}, '"tests_passed": false'),
        ({"checklist": '{"work_complete": true, "pushed": false}'}, '"pushed": false'),
        ({"checklist": '{"work_complete": true, "n": NaN}'}, "not JSON"),
        ({"sha": "abc"}, "7 to 40"),
        ({"sha": "zzzzzzzz"}, "7 to 40"),
        ({"task": "Then git push it."}, "needs the commit"),
        ({"checklist": f'{{"work_complete": true, "x": "{"x" * 20_000}"}}'}, "longer than"),
    ],
)
def test_a_report_that_says_itself_that_it_is_not_done_is_refused(said: dict[str, Any], why: str) -> None:
    """Acceptance row 107."""
    given: dict[str, Any] = {"summary": "It works.", "checklist": DONE, "sha": None, "task": "Mend it.", **said}
    with pytest.raises(Refused) as refused:
        checked_report(given["summary"], given["checklist"], given["sha"], task=given["task"])
    assert why in refused.value.message


def test_a_report_is_kept_as_it_was_said() -> None:
    report = checked_report(" It works. ", '{"work_complete": true, "n": 3}', "ABCDEF1", task="Then git push it.")
    assert (report.summary, report.checklist, report.sha) == ("It works.", {"work_complete": True, "n": 3}, "abcdef1")


@pytest.mark.parametrize(
    ("task", "asks"),
    [
        ("Mend it, and git push the branch.", True),
        ("Use --force-with-lease.", True),
        ("Mend it. Do not git push anything.", False),
        ("Never touch it with git rebase.", False),
        ("Look at git log.", False),
        ("", False),
    ],
)
def test_which_tasks_leave_a_commit_behind(task: str, asks: bool) -> None:
    assert asks_for_git(task) is asks
