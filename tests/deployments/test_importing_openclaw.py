"""OpenClaw's automations: each becomes a job, or is named with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.catalogue import Catalogue
from deployments.importing import automations
from deployments.importing.settle import Settlement, settle
from ocs.spec import parse
from tests.foreign import automation, automations_file

CRON = {"kind": "cron", "expr": "0 8 * * 1-5"}
TURN = {"kind": "agentTurn", "message": "Summarize.", "toolsAllow": ["*"]}
COMMAND = {"kind": "command", "argv": ["sh", "-lc", "df -h /"]}
NONE = {"mode": "none"}


def settled(tmp_path: Path, *jobs: Any, timezone: str = "UTC") -> Settlement:
    path = automations_file(tmp_path / "automations.json", jobs)
    return settle(automations.read(path, timezone), Catalogue(tmp_path, "project"))


@pytest.mark.parametrize(
    ("job", "document"),
    [
        (
            automation("1", "Brief", {**CRON, "tz": "Europe/Vienna"}, {**TURN, "model": "a/b", "thinking": "high"}),
            {
                "schedule": {"cron": "0 8 * * 1-5", "timezone": "Europe/Vienna"},
                "run": {"agent": {"message": "Summarize.", "model": "a/b", "thinking": "high"}, "timeout": "1h"},
                "deliver": {"when": "never", "opt_out_reason": "OpenClaw told nobody either"},
            },
        ),
        (
            automation("1", "Disk", {"kind": "every", "everyMs": 900_000}, {**COMMAND, "timeoutSeconds": 60}),
            {"schedule": {"every": "15m"}, "run": {"shell": {"command": "sh -lc 'df -h /'"}, "timeout": "1m"}},
        ),
        (
            automation("1", "Disk", {**CRON, "staggerMs": 30_000}, {**COMMAND, "cwd": "/srv", "env": {"A": "b"}}),
            {
                "schedule": {"cron": "0 8 * * 1-5", "timezone": "America/New_York", "jitter": "30s"},
                "run": {"shell": {"command": "sh -lc 'df -h /'", "cwd": "/srv", "env": {"A": "b"}}, "timeout": "10m"},
            },
        ),
        (
            automation(
                "1",
                "Remind",
                {"kind": "at", "at": "2027-02-01T16:00:00.000Z"},
                {"kind": "systemEvent", "text": "The draft"},
                sessionTarget="main",
                deleteAfterRun=True,
            ),
            {
                "schedule": {"at": "2027-02-01T16:00:00Z"},
                "run": {"main": {"message": "The draft", "mode": "event"}},
                "lifecycle": {"delete_after_run": True},
            },
        ),
        (
            automation(
                "1",
                "Work",
                CRON,
                TURN,
                agentId="ops",
                sessionTarget="session:build",
                delivery={"mode": "announce", "channel": "telegram", "to": "12"},
            ),
            {
                "run": {"agent": {"message": "Summarize.", "agent": "ops", "session": "build"}, "timeout": "1h"},
                "deliver": {"when": "always", "to": "telegram:12"},
            },
        ),
        (
            automation("1", "Work", CRON, COMMAND, delivery={"mode": "announce", "channel": "last", "to": "slack:C1"}),
            {"deliver": {"when": "always", "to": "slack:C1"}},
        ),
    ],
)
def test_an_automation_becomes(tmp_path: Path, job: Any, document: dict[str, Any]) -> None:
    (found,) = settled(tmp_path, job, timezone="America/New_York").jobs
    assert (found.document["enabled"], found.document["aliases"]) == (False, ["1"])
    made = parse(found.document)
    wanted = parse({**found.document, **document})
    for group in document:
        assert getattr(made, group) == getattr(wanted, group)


def test_a_webhook_becomes_a_target_and_its_address_is_not_shown(tmp_path: Path) -> None:
    url = "https://hooks.example.org/T0/secret"
    jobs = [
        automation(str(number), f"Report {number}", CRON, COMMAND, delivery={"mode": "webhook", "to": url})
        for number in (1, 2)
    ]
    source = automations.read(automations_file(tmp_path / "a.json", jobs), "UTC")
    (address,) = source.addresses
    assert (address.name, address.where, address.url) == ("report-1", "https://hooks.example.org/...", url)
    assert url not in repr(address)
    assert [job.document["deliver"] for job in source.jobs] == [{"when": "always", "to": "report-1"}] * 2


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (automation("1", "a", {"kind": "on-exit", "command": "make"}, TURN), "begins when a command ends"),
        (automation("1", "a", {"kind": "stream", "command": ["x"]}, TURN), "lines that a running command prints"),
        (automation("1", "a", CRON, {"kind": "script", "script": "1"}), "JavaScript"),
        (automation("1", "a", CRON, {"kind": "heartbeat"}), "heartbeat"),
        (automation("1", "a", CRON, TURN, declarationKey="memory-core:dreaming"), "belongs to the gateway itself"),
        (automation("1", "a", CRON, TURN, trigger={"script": "x"}), "only when a script inside the gateway says so"),
        (automation("1", "a", {"kind": "lunar"}, TURN), 'of the kind "lunar"'),
        (automation("1", "a", CRON, {"kind": "telepathy"}), 'of the kind "telepathy"'),
        (automation("1", "a", {"kind": "at", "at": "soon"}, TURN), '"soon" cannot be read'),
        (automation("1", "a", {"kind": "at", "atMs": 10**17}, TURN), "not of the form that is known"),
        (automation("1", "a", {"kind": "at", "atMs": 10**20}, TURN), "not of the form that is known"),
        (automation("1", "a", {"kind": "every", "everyMs": 10}, TURN), "at least 1s"),
        (automation("1", "a", {"kind": "every"}, TURN), "not of the form that is known"),
        (automation("1", "a", {**CRON, "expr": "0 9 15 * +1"}, TURN), "cron"),
        (automation("1", "a", {"kind": "cron"}, TURN), "not of the form that is known"),
        (
            automation(
                "1", "a", {"kind": "at", "at": "2026-02-01T16:00:00Z"}, TURN, state={"lastRunAtMs": 1795492121241}
            ),
            "has had its only run",
        ),
        ({"id": "1", "name": "a", "schedule": [1], "payload": TURN}, "schedule is no group of keys"),
        ({"id": "1", "name": "a"}, 'its schedule is of the kind "None"'),
    ],
)
def test_what_cannot_be_a_job_is_left_with_its_reason(tmp_path: Path, job: Any, why: str) -> None:
    found = settled(tmp_path, job, automation("2", "good", CRON, COMMAND))
    assert [each.job_id for each in found.jobs] == ["good"]
    (left,) = found.left
    assert why in left.why


def test_of_two_with_one_id_the_first_becomes_a_job_and_the_second_is_named(tmp_path: Path) -> None:
    found = settled(tmp_path, automation("1", "First", CRON, COMMAND), automation("1", "Second", CRON, COMMAND))
    assert [(each.job_id, each.found.name) for each in found.jobs] == [("first", "First")]
    assert [(each.name, each.why) for each in found.left] == [("Second", "has the id of another job before it")]


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (automation("1", "a", {"kind": "every", "everyMs": 60_000}, COMMAND), "schedule.anchorMs"),
        (automation("1", "a", CRON, {**TURN, "fallbacks": ["x/y"]}, delivery=NONE), "payload.fallbacks"),
        (automation("1", "a", CRON, {**TURN, "timeoutSeconds": 0}, delivery=NONE), "payload.timeoutSeconds"),
        (automation("1", "a", CRON, TURN, delivery={"mode": "announce", "channel": "last"}), "delivery.to"),
        (automation("1", "a", CRON, TURN, delivery={"mode": "carrier-pigeon"}), "delivery.mode"),
        (automation("1", "a", CRON, TURN, sessionTarget="current"), "sessionTarget"),
        (automation("1", "a", CRON, COMMAND, failureAlert={"after": 2}), "failureAlert"),
        (automation("1", "a", CRON, {**TURN, "toolsAllow": ["read"]}), "payload.toolsAllow"),
    ],
)
def test_what_of_a_job_is_lost_or_differs_is_named(tmp_path: Path, job: Any, field: str) -> None:
    (found,) = settled(tmp_path, job).jobs
    assert [loss.field for loss in found.found.losses] == [field]


def test_a_turn_with_limited_tools_stays_off_until_somebody_looks(tmp_path: Path) -> None:
    (found,) = settled(tmp_path, automation("1", "a", CRON, {**TURN, "toolsAllow": ["read"]})).jobs
    assert found.document["tags"] == ["openclaw", "stays-off"]
