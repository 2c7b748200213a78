"""Watchdog: what a check says of the thing it watches, who is told, and whether the watch is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.plain_text import without_blank_ends
from ocs.spec import Watchdog, format_duration

LONGEST_CHECK = timedelta(seconds=60)
EXCERPT = 500
"""Characters of each stream in an alarm."""
SHORT_COMMAND = 80
OVER = ("done", "error", "interrupted", "spawn-warning")
DETAILS = ("deliveryText", "lastReply", "error", "summary")
DETAILS_OF_COMPLETION = ("deliveryText", "summary")
EXIT_STUCK = 1
EXIT_UNCLEAR = 2


class Finding(StrEnum):
    """What is known of the thing that is watched."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STUCK = "stuck"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a check. `text` is the alarm, `over` says that the watch has ended.

    `finding` is None when the check could not tell.
    """

    finding: Finding | None
    summary: str
    text: str | None = None
    over: bool = False
    broken: bool = False


def decide(watchdog: Watchdog, check: DispatchResult, *, known: Finding | None, now: datetime) -> Decision:
    """Judge a check, in this order: unclear, over, stuck or overdue, running, broken.

    `known` is the last finding before this one. What is known already raises no further alarm: nobody reads an alarm
    that comes at every check. A check that ran into its timeout counts as stuck.
    """
    if check.exit_code == EXIT_UNCLEAR:
        return Decision(None, f"The check of {watchdog.label} could not tell; it is tried again.")
    report = _report(check.stdout.text) if check.exit_code == 0 else None
    if report is not None and _is_over(report):
        return _ended(watchdog, report, known)
    if problem := _problem(watchdog, check, now):
        finding, reason = problem
        text = None if finding is known else _alarm(watchdog, check, reason, now)
        return Decision(finding, f"{watchdog.label}: {reason}", text)
    if check.exit_code == 0:
        still = "is still running" if report is None else "reports that it is still running"
        return Decision(Finding.RUNNING, f"{watchdog.label} {still}.")
    return Decision(None, f"The check of {watchdog.label} does not work: {check.error}", broken=True)


def result(watchdog: Watchdog, check: DispatchResult, decision: Decision, alert: tuple[str, ...]) -> DispatchResult:
    """The decision as the run's result. The check itself went well, unless it is broken."""
    told = decision.text if alert else None
    return DispatchResult(
        RunStatus.ERROR if decision.broken else RunStatus.OK,
        summary=decision.summary,
        content="" if decision.broken else decision.summary,
        error=decision.summary if decision.broken else None,
        exit_code=check.exit_code,
        signal=check.signal,
        stdout=check.stdout,
        stderr=check.stderr,
        delivery_targets=alert if told else (),
        delivery_override=told,
        # A broken check is notified like any failed job.
        skip_delivery=told is None and not decision.broken,
        skip_children=True,
        retire_job=decision.over and watchdog.self_destruct,
        finding=decision.finding,
    )


def _problem(watchdog: Watchdog, check: DispatchResult, now: datetime) -> tuple[Finding, str] | None:
    if check.status is RunStatus.TIMEOUT:
        return Finding.STUCK, "its check did not end in time."
    if check.exit_code == EXIT_STUCK:
        return Finding.STUCK, "its check says that it is stuck (exit code 1)."
    if watchdog.started_at is None or watchdog.timeout is None or now - watchdog.started_at < watchdog.timeout:
        return None
    return Finding.OVERDUE, f"it is not done after {format_duration(watchdog.timeout)}."


def _ended(watchdog: Watchdog, report: Mapping[str, Any], known: Finding | None) -> Decision:
    failed = report.get("status", "error" if report.get("error") else "done") != "done"
    finding, ended = (Finding.FAILED, "has failed") if failed else (Finding.DONE, "is done")
    said = f"{watchdog.label} {ended}."
    detail = _detail(report)
    text = f"{said}\n\n{detail}" if detail else said
    return Decision(finding, text, None if finding is known else text, over=True)


def _report(stdout: str) -> Mapping[str, Any] | None:
    """The JSON object that the check printed, alone or with something around it."""
    said = stdout.strip()
    for text in (said, said[said.find("{") : said.rfind("}") + 1]):
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return cast("dict[str, Any]", found)
    return None


def _is_over(report: Mapping[str, Any]) -> bool:
    return report.get("terminal") is True or report.get("status") in OVER


def _detail(report: Mapping[str, Any]) -> str:
    completion: Any = report.get("completion")
    inner = cast("dict[str, Any]", completion) if isinstance(completion, dict) else {}
    candidates = [*(report.get(name) for name in DETAILS), *(inner.get(name) for name in DETAILS_OF_COMPLETION)]
    return next((without_blank_ends(text) for text in candidates if isinstance(text, str) and text.strip()), "")


def _alarm(watchdog: Watchdog, check: DispatchResult, reason: str, now: datetime) -> str:
    command = watchdog.check.command
    shown = f"{command.split()[0]} ... (shortened)" if len(command) > SHORT_COMMAND else command
    lines = [f"Watchdog: {watchdog.label} needs attention: {reason}"]
    if watchdog.started_at is not None:
        elapsed = format_duration(timedelta(minutes=round((now - watchdog.started_at) / timedelta(minutes=1))))
        limit = f" of {format_duration(watchdog.timeout)}" if watchdog.timeout else ""
        lines.append(f"Started: {watchdog.started_at:%Y-%m-%d %H:%M} UTC, {elapsed}{limit} ago")
    lines.append(f"Check: {shown}")
    for name, stream in (("stderr", check.stderr), ("stdout", check.stdout)):
        if text := without_blank_ends(stream.text)[:EXCERPT]:
            lines.append(f"{name}: {text}")
    return "\n".join(lines)
