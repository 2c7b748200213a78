"""Who hears of a run and in which words: the decision table of B-5.3, and what is cleaned away (B-8.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text

from ocs.rules.delivery import LONGEST_BODY, Notification, cleaned, hearers, of_run, printable
from ocs.rules.dispatch import DispatchResult, RunStatus, StreamOutput
from ocs.spec import Job

WHY = "Exited with code 3. Retry 1 of 2 follows in 30s."
SHELL_OK = DispatchResult(
    RunStatus.OK, summary="stdout:\nrows: 3", content="rows: 3", stdout=StreamOutput("rows: 3", bytes=8)
)
SHELL_ERROR = DispatchResult(
    RunStatus.ERROR,
    summary="stdout:\nout\n\nstderr:\nbroken",
    content="out\nbroken",
    error="Exited with code 3.",
    stdout=StreamOutput("out", bytes=4),
    stderr=StreamOutput("broken", bytes=7),
)
AGENT_OK = DispatchResult(
    RunStatus.OK,
    summary="All well, in sh...",
    content="All well, in short: yes.",
    stdout=StreamOutput("All well, in short: yes.", bytes=24),
    session_key="agent:main:scheduler:load",
)
AGENT_ERROR = DispatchResult(
    RunStatus.ERROR,
    content="I could not.",
    error="The agent said that it failed.",
    session_key="agent:main:scheduler:load",
)


def job(**deliver: Any) -> Job:
    return Job.model_validate({"id": "load", "run": "true", "deliver": deliver or None})


def with_(result: DispatchResult, **changes: Any) -> DispatchResult:
    return DispatchResult(**{name: getattr(result, name) for name in DispatchResult.__slots__} | changes)


@pytest.mark.parametrize(
    ("result", "when_failure", "when_always"),
    [
        pytest.param(SHELL_OK, None, "rows: 3", id="shell ok"),
        pytest.param(
            SHELL_ERROR, f"{WHY}\n\nout\n\nstderr:\nbroken", f"{WHY}\n\nout\n\nstderr:\nbroken", id="shell error"
        ),
        pytest.param(
            with_(SHELL_ERROR, status=RunStatus.TIMEOUT), *[f"{WHY}\n\nout\n\nstderr:\nbroken"] * 2, id="timeout"
        ),
        pytest.param(AGENT_OK, None, "All well, in short: yes.", id="an agent's whole reply, not its summary"),
        pytest.param(AGENT_ERROR, f"{WHY}\n\nI could not.", f"{WHY}\n\nI could not.", id="agent, soft error"),
        pytest.param(DispatchResult(RunStatus.ERROR, error="x"), WHY, WHY, id="an exception"),
        pytest.param(DispatchResult(RunStatus.CRASHED, error="x"), WHY, WHY, id="a crash (W52)"),
        pytest.param(with_(AGENT_OK, content="HEARTBEAT_OK"), None, None, id="nothing but a sentinel"),
        pytest.param(with_(AGENT_OK, content=""), None, WHY, id="done without a word"),
        pytest.param(with_(SHELL_OK, skip_delivery=True), None, None, id="the strategy says not to"),
        pytest.param(DispatchResult(RunStatus.CANCELLED, content="x"), None, None, id="cancelled (112)"),
        pytest.param(DispatchResult(RunStatus.SKIPPED, content="x"), None, None, id="skipped"),
        pytest.param(with_(AGENT_OK, delivery_override="Exactly this."), None, "Exactly this.", id="override"),
    ],
)
def test_the_decision_table(result: DispatchResult, when_failure: str | None, when_always: str | None) -> None:
    told = {
        when: notification.body if (notification := of_run(job(when=when, to="ops"), result, WHY)) else None
        for when in ("failure", "always", "never")
    }
    assert told == {"failure": when_failure, "always": when_always, "never": None}


@pytest.mark.parametrize(
    ("result", "kind"), [(SHELL_OK, "run"), (SHELL_ERROR, "run"), (AGENT_OK, "reply"), (AGENT_ERROR, "run")]
)
def test_only_what_an_agent_answered_is_a_reply(result: DispatchResult, kind: str) -> None:
    notification = of_run(job(when="always", to="ops"), result, WHY)
    assert notification is not None
    assert notification.kind == kind


def test_a_failure_carries_its_last_lines_whatever_they_are() -> None:
    line = "2026-11-24 12:00:00,123 - load - {} - disk of db2 at 99 %"
    for level in ("WARNING", "INFO", "ERROR"):
        said = line.format(level)
        result = with_(SHELL_ERROR, summary=f"stderr:\n{said}", content=said, stdout=StreamOutput())
        notification = of_run(job(to="ops"), result, WHY)
        assert notification is not None
        assert notification.body == f"{WHY}\n\n{said}"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("**HEARTBEAT_OK**.", None),
        ("NO_REPLY", None),
        ("HEARTBEAT_OK\n\ndisk of db2 at 97 %, decide today", "disk of db2 at 97 %, decide today"),
    ],
)
def test_an_alert_beside_a_word_for_silence_is_told(reply: str, told: str | None) -> None:
    for result in (with_(AGENT_OK, content=reply), with_(SHELL_OK, summary=f"stdout:\n{reply}", content=reply)):
        notification = of_run(job(when="always", to="ops"), result, WHY)
        assert (notification.body if notification else None) == told


def test_a_job_without_deliver_tells_nobody() -> None:
    assert of_run(job(), SHELL_ERROR, WHY) is None


def test_several_are_told_and_others_of_failures() -> None:
    both = job(when="always", to=["news", "ops", "news"], on_failure=["ops", "night-shift"])
    good, bad = of_run(both, SHELL_OK, WHY), of_run(both, SHELL_ERROR, WHY)
    assert good is not None
    assert bad is not None
    assert (good.targets, bad.targets) == (("news", "ops"), ("ops", "night-shift"))
    only_failures = of_run(job(on_failure="ops"), SHELL_ERROR, WHY)
    assert only_failures is not None
    assert only_failures.targets == ("ops",)


def test_the_letter_says_what_it_is_about_and_where_to_look() -> None:
    named = Job.model_validate({**job(to="ops").document(), "name": "Load the\nwarehouse"})
    result = with_(SHELL_ERROR, images=("/tmp/chart.png",))
    notification = of_run(named, result, WHY, "http://127.0.0.1:4200/runs/flow-run/1")
    assert notification is not None
    assert notification == Notification(("ops",), "Load the warehouse: failed", notification.body, ("/tmp/chart.png",))
    assert notification.body.endswith("Run: http://127.0.0.1:4200/runs/flow-run/1")


@pytest.mark.parametrize("deliver", [{}, {"when": "never"}, {"to": "ops"}])
def test_a_watchdogs_alert_goes_where_the_watchdog_says(deliver: dict[str, Any]) -> None:
    alert = DispatchResult(RunStatus.OK, delivery_targets=("telegram:1",), delivery_override="build-42 is stuck.")
    notification = of_run(job(**deliver), alert, WHY)
    assert notification is not None
    # The check went well, and what it tells did not: the subject does not say that anything is done.
    assert (notification.targets, notification.subject, notification.body) == (
        ("telegram:1",),
        "load",
        "build-42 is stuck.",
    )
    assert of_run(job(**deliver), with_(alert, skip_delivery=True), WHY) is None
    assert of_run(job(**deliver), with_(alert, delivery_override="  "), WHY) is None


@pytest.mark.parametrize(
    ("given_text", "left"),
    [
        ("All fine.\nHEARTBEAT_OK\n", "All fine."),
        ("All fine. HEARTBEAT_OKAY", "All fine. HEARTBEAT_OKAY"),
        ("HEARTBEAT_OK is what I would say", "HEARTBEAT_OK is what I would say"),
        ("done NO_FLUSH", "done"),
        ("stdout:\nrows: 3", "rows: 3"),
        ("stderr: this is prose", "stderr: this is prose"),
        ("a\n\n\n \n\nb", "a\n\nb"),
        ("2026-11-24 12:00:00,123 INFO starting\nrows: 3\n2026-11-24T12:00:01Z DEBUG x", "rows: 3"),
        ("[2026-11-24 12:00:00] - load - INFO - slow\nrows: 3", "rows: 3"),
        *(
            (line, line)
            for line in (
                "[2026-11-24 12:00:00] - load - WARNING - slow\nrows: 3",
                "2026-11-24 12:00:00 WARN disk at 91 %",
                "2026-11-24 12:00:00 ERROR could not read INFO file",
                "2026-11-24 12:00:00 load FATAL no DEBUG",
                "```py\na = 1\n\n\n2026-11-24 12:00:00 INFO in a block\n```",
            )
        ),
        ("    if x:\n        y", "    if x:\n        y"),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("HEARTBEAT_OK\n\ndisk of db2 at 97 %, decide today", "disk of db2 at 97 %, decide today"),
        ("2026-11-24 12:00:00 ERROR broken", "2026-11-24 12:00:00 ERROR broken"),
        ("\x1b[31mred\x1b[0m\r\nnext\x00\x07", "red\nnext"),
        ("\x1b]0;title\x07text \ud800!", "text !"),
    ],
)
def test_cleaning(given_text: str, left: str) -> None:
    assert cleaned(given_text) == left


@given(text())
def test_what_is_printable_can_be_stored_and_sent_and_stays_so(raw: str) -> None:
    once = printable(raw)
    assert "\x00" not in once
    assert once.encode().decode() == once
    assert printable(once) == once


def test_an_endless_reply_is_cut() -> None:
    assert len(printable("x" * 10_000_000).encode()) <= LONGEST_BODY


def test_a_long_name_is_cut() -> None:
    notification = of_run(Job.model_validate({**job(to="ops").document(), "name": "x" * 200}), SHELL_ERROR, WHY)
    assert notification is not None
    assert notification.subject == "x" * 97 + "...: failed"


@pytest.mark.parametrize(
    ("deliver", "successes", "failures"),
    [
        ({}, (), ()),
        ({"to": "ops"}, (), ("ops",)),
        ({"to": "ops", "on_failure": "night", "when": "always"}, ("ops",), ("night",)),
        ({"when": "never"}, (), ()),
    ],
)
def test_who_hears_of_what(deliver: dict[str, Any], successes: tuple[str, ...], failures: tuple[str, ...]) -> None:
    assert hearers(job(**deliver).deliver) == {"successes": successes, "failures": failures}
