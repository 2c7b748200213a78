"""What a watchdog's check means: acceptance rows 81 and 82, and W9."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text

from ocs.rules import watchdog
from ocs.rules.dispatch import DispatchResult, RunStatus, StreamOutput
from ocs.rules.watchdog import Finding, decide
from ocs.spec import Watchdog

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def watched(**fields: Any) -> Watchdog:
    return Watchdog.model_validate({"label": "build-42", "check": "./is-done.sh --verbose", "alert": "ops", **fields})


def check(code: int | None, out: str = "", err: str = "", *, status: RunStatus | None = None) -> DispatchResult:
    ended = status or (RunStatus.OK if code == 0 else RunStatus.ERROR)
    error = None if code == 0 else f"Exited with code {code}."
    return DispatchResult(ended, error=error, exit_code=code, stdout=StreamOutput(out), stderr=StreamOutput(err))


LATE = {"started_at": NOW - timedelta(minutes=46), "timeout": "45m"}
DONE = json.dumps({"status": "done", "deliveryText": " ", "lastReply": "Built in 3 min."})


@pytest.mark.parametrize(
    ("checked", "fields", "finding", "over"),
    [
        (check(0), {}, Finding.RUNNING, False),
        (check(0, '{"status": "busy"}'), {}, Finding.RUNNING, False),
        (check(0, "[1, 2]"), {}, Finding.RUNNING, False),
        (check(0, DONE), {}, Finding.DONE, True),
        (check(0, f"checking...\n{DONE}\nbye"), {}, Finding.DONE, True),
        (check(0, '{"terminal": true}'), {}, Finding.DONE, True),
        (check(0, '{"terminal": true, "error": "no disk"}'), {}, Finding.FAILED, True),
        (check(0, '{"status": "interrupted"}'), {}, Finding.FAILED, True),
        (check(0, '{"status": "spawn-warning"}'), {}, Finding.FAILED, True),
        (check(0, DONE), LATE, Finding.DONE, True),
        (check(1), {}, Finding.STUCK, False),
        (check(None, status=RunStatus.TIMEOUT), {}, Finding.STUCK, False),
        (check(0), LATE, Finding.OVERDUE, False),
        (check(7), LATE, Finding.OVERDUE, False),
        (check(0), {**LATE, "timeout": "47m"}, Finding.RUNNING, False),
        (check(2), LATE, None, False),
        (check(7), {}, None, False),
        (check(127), {}, None, False),
    ],
)
def test_what_a_check_finds(
    checked: DispatchResult, fields: dict[str, Any], finding: Finding | None, over: bool
) -> None:
    decision = decide(watched(**fields), checked, known=None, now=NOW)
    assert (decision.finding, decision.over) == (finding, over)
    assert (decision.text is not None) == (finding in (Finding.DONE, Finding.FAILED, Finding.STUCK, Finding.OVERDUE))
    assert decision.broken == (checked.exit_code in (7, 127) and not fields)


def test_an_alarm_is_raised_once_for_each_change() -> None:
    """The reference alarms at every check."""
    known: Finding | None = None
    alarms: list[str] = []
    checks = [check(1), check(1), check(2), check(1), check(0), check(1), check(7), check(1), check(0, DONE)]
    for checked in checks:
        decision = decide(watched(), checked, known=known, now=NOW)
        known = decision.finding or known
        alarms.append("alarm" if decision.text else "")
    assert alarms == ["alarm", "", "", "", "", "alarm", "", "", "alarm"]


def test_an_alarm_says_what_one_has_to_know() -> None:
    long = f"./is-done.sh {'x' * 100}"
    decision = decide(watched(**LATE, check=long), check(1, "#" * 900, "no answer"), known=None, now=NOW)
    assert decision.text is not None
    for part in ("build-42", "2026-11-24 11:14 UTC, 46m of 45m ago", "./is-done.sh ... (shortened)", "no answer"):
        assert part in decision.text
    assert decision.text.count("#") == 500


def result(checked: DispatchResult, **fields: Any) -> DispatchResult:
    dog = watched(**fields)
    return watchdog.result(dog, checked, decide(dog, checked, known=None, now=NOW), (dog.alert,) if dog.alert else ())


def test_an_alarm_goes_to_its_target_whatever_the_mode_and_is_a_good_run() -> None:
    stuck = result(check(1))
    assert (stuck.status, stuck.delivery_targets, stuck.skip_delivery) == (RunStatus.OK, ("ops",), False)
    assert stuck.delivery_override is not None
    assert stuck.finding == "stuck"
    assert stuck.skip_children
    assert not stuck.retire_job


def test_a_watchdog_survives_its_first_good_check() -> None:
    """W9: in the reference it was gone after it."""
    running = result(check(0))
    assert (running.status, running.skip_delivery, running.retire_job) == (RunStatus.OK, True, False)


@pytest.mark.parametrize(("self_destruct", "retired"), [(True, True), (False, False)])
def test_it_goes_away_when_the_watch_is_over_and_it_was_asked_to(self_destruct: bool, retired: bool) -> None:
    over = result(check(0, DONE), self_destruct=self_destruct)
    assert over.retire_job is retired
    assert over.delivery_override == "build-42 is done.\n\nBuilt in 3 min."


def test_without_a_target_nobody_is_told() -> None:
    dog = watched(alert=None)
    decision = decide(dog, check(1), known=None, now=NOW)
    told = watchdog.result(dog, check(1), decision, ())
    assert (told.delivery_targets, told.delivery_override, told.skip_delivery) == ((), None, True)


def test_a_check_that_does_not_work_is_a_failed_run() -> None:
    broken = result(check(127))
    assert (broken.status, broken.skip_delivery, broken.content) == (RunStatus.ERROR, False, "")
    assert broken.error == "The check of build-42 does not work: Exited with code 127."


@given(text())
def test_whatever_a_check_prints_is_judged(printed: str) -> None:
    assert decide(watched(), check(0, printed), known=None, now=NOW).finding is not None
