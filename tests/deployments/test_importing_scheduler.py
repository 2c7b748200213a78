"""openclaw-scheduler's jobs: each field becomes what the table of the job document says, or is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.catalogue import Catalogue
from deployments.importing import scheduler
from deployments.importing.settle import Settlement, State, settle
from ocs.spec import parse
from tests.foreign import NOBODY, ROOM, child, scheduler_database, shell, turn

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DATED = {"schedule_kind": "at", "schedule_at": "2026-12-01 16:00:00"}


def settled(tmp_path: Path, *jobs: dict[str, Any], **options: Any) -> Settlement:
    path = scheduler_database(tmp_path / "scheduler.db", jobs, **options)
    return settle(scheduler.read(path, NOW), Catalogue(tmp_path, "project"))


def only(tmp_path: Path, job: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The document that one job becomes, without what all of them have."""
    (found,) = settled(tmp_path, job, **options).jobs
    said = {"id", "name", "enabled", "aliases", "tags", "origin"}
    return {key: value for key, value in found.document.items() if key not in said}


def test_a_job_is_disabled_known_by_its_old_id_and_called_by_its_name(tmp_path: Path) -> None:
    (found,) = settled(tmp_path, shell("f702ad4b-c960", "Disk Space Check!", payload_message="df")).jobs
    assert found.document == {
        "id": "disk-space-check",
        "name": "Disk Space Check!",
        "enabled": False,
        "aliases": ["f702ad4b-c960"],
        "origin": "system",
        "tags": ["openclaw-scheduler"],
        "schedule": {"cron": "*/15 * * * *", "timezone": "UTC"},
        "run": {"shell": {"command": "df"}},
    }


@pytest.mark.parametrize(
    ("row", "document"),
    [
        (
            shell("a", "a", schedule_tz="Europe/Vienna"),
            {"schedule": {"cron": "*/15 * * * *", "timezone": "Europe/Vienna"}},
        ),
        (shell("a", "a", **DATED), {"schedule": {"at": "2026-12-01T16:00:00Z"}}),
        (shell("a", "a", run_timeout_ms=1500), {"run": {"shell": {"command": "df -h /"}, "timeout": "1.5s"}}),
        (
            shell("a", "a", delivery_guarantee="at-least-once"),
            {"run": {"shell": {"command": "df -h /"}, "guarantee": "at-least-once"}},
        ),
        (
            shell("a", "a", resource_pool="db", overlap_policy="queue", max_queued_dispatches=3, max_trigger_fanout=2),
            {"limits": {"pool": "db", "overlap": "queue", "max_queued": 3, "max_fanout": 2}},
        ),
        (shell("a", "a", max_retries=3), {"retry": {"max": 3}}),
        (
            shell(
                "a", "a", approval_required=1, approval_timeout_s=60, approval_auto="approve", max_pending_approvals=2
            ),
            {"approval": {"required": True, "on": "chain", "timeout": "1m", "on_timeout": "approve", "max_pending": 2}},
        ),
        (shell("a", "a", **ROOM), {"deliver": {"to": "telegram:123"}}),
        (
            shell("a", "a", **{**ROOM, "delivery_mode": "announce-always", "delivery_to": "@ops"}),
            {"deliver": {"when": "always", "to": "ops"}},
        ),
        (
            shell("a", "a", **{**ROOM, "delivery_channel": None, "delivery_to": "slack:C1"}),
            {"deliver": {"to": "slack:C1"}},
        ),
        (
            shell("a", "a", delivery_opt_out_reason="loud"),
            {"deliver": {"when": "never", "opt_out_reason": "loud"}},
        ),
        (
            shell("a", "a", output_store_limit_bytes=4096, output_offload_threshold_bytes=8192),
            {"output": {"store": 4096, "offload": 8192, "summary": 5000, "excerpt": 2000}},
        ),
        (shell("a", "a", ttl_hours=48, delete_after_run=1), {"lifecycle": {"ttl": "2d", "delete_after_run": True}}),
        (
            turn(
                "a",
                "a",
                agent_id="ops",
                payload_model="openai/gpt",
                payload_thinking="high",
                payload_timeout_seconds=90,
                payload_scope="global",
                auth_profile="openai:team",
                context_retrieval="hybrid",
                context_retrieval_limit=3,
                execution_intent="plan",
                execution_read_only=1,
                job_class="pre_compaction_flush",
            ),
            {
                "run": {
                    "agent": {
                        "message": "Summarize.",
                        "agent": "ops",
                        "model": "openai/gpt",
                        "thinking": "high",
                        "idle_timeout": "90s",
                        "scope": "global",
                        "auth_profile": "openai:team",
                        "context": {"from": "hybrid", "limit": 3},
                        "intent": "plan",
                        "read_only": True,
                        "job_class": "pre_compaction_flush",
                    }
                }
            },
        ),
        (
            turn("a", "a", preferred_session_key="reports"),
            {"run": {"agent": {"message": "Summarize.", "session": "reports"}}},
        ),
        (
            turn("a", "a", **NOBODY),
            {"deliver": {"when": "never", "opt_out_reason": "openclaw-scheduler told nobody either"}},
        ),
        (
            turn("a", "a", session_target="main", payload_kind="systemEvent"),
            {"run": {"main": {"message": "Summarize."}}},
        ),
        (
            turn("a", "a", session_target="main", payload_kind="systemEvent", payload_model="openai/gpt"),
            {"run": {"agent": {"message": "Summarize.", "session": "main", "model": "openai/gpt"}}},
        ),
        (
            shell(
                "a",
                "a",
                job_type="watchdog",
                watchdog_target_label="build-42",
                watchdog_check_cmd="./done.sh",
                watchdog_timeout_min=45,
                watchdog_alert_channel="telegram",
                watchdog_alert_target="ops",
                watchdog_self_destruct=0,
                watchdog_started_at="2026-11-30 10:00:00",
            ),
            {
                "run": {
                    "watchdog": {
                        "label": "build-42",
                        "check": "./done.sh",
                        "timeout": "45m",
                        "alert": "ops",
                        "self_destruct": False,
                        "started_at": "2026-11-30T10:00:00Z",
                    }
                }
            },
        ),
    ],
)
def test_a_field_becomes(tmp_path: Path, row: dict[str, Any], document: dict[str, Any]) -> None:
    found = only(tmp_path, row, aliases={"ops": ("telegram", "-1001")})
    wanted = parse({"id": "a", "run": "df -h /", **_delivers(row), **document})
    for group in document:
        assert getattr(parse({"id": "a", **found}), group) == getattr(wanted, group)


def _delivers(row: dict[str, Any]) -> dict[str, Any]:
    return {"deliver": {"to": "telegram:123"}} if row["delivery_mode"] != "none" else {}


def test_chains_keep_their_parents_conditions_and_delays(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        child(turn("c", "Tell"), "b", "failure", trigger_condition="regex:ERROR.*x"),
        child(shell("b", "Check it"), "a", "complete", trigger_delay_s=60, trigger_condition="contains:OK"),
        shell("a", "Dump"),
    )
    after = {job.job_id: job.document.get("after") for job in found.jobs}
    assert after == {
        "dump": None,
        "check-it": {"job": "dump", "on": "complete", "delay": "1m", "match": {"contains": "OK"}},
        "tell": {"job": "check-it", "on": "failure", "match": {"regex": "ERROR.*x"}},
    }


def test_ids_that_collide_are_numbered_and_names_without_letters_take_the_old_id(tmp_path: Path) -> None:
    found = settled(tmp_path, shell("1", "Tidy up"), shell("2", "Tidy-Up"), shell("3", "tidy up!"), shell("4f", "清理"))
    assert {job.found.source_id: job.job_id for job in found.jobs} == {
        "1": "tidy-up",
        "2": "tidy-up-2",
        "3": "tidy-up-3",
        "4f": "job-4f",
    }


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (shell("a", "a", schedule_kind="at", schedule_at="2026-13-01 00:00:00"), "is no moment"),
        (shell("a", "a", **DATED, last_run_at="2026-12-01 16:00:03"), "has had its only run"),
        (shell("a", "a", schedule_cron="0 0 30 2 *"), "never happens"),
        (shell("a", "a", schedule_tz="Mars/Base"), "not a time zone"),
        (shell("a", "x" * 201), "201 characters"),
        (shell("a", "a", payload_kind="agentTurn"), "go not together"),
        (shell("a", "a", job_type="watchdog"), "without a watchdog_check_cmd"),
        (shell("a", "a", contract_sandbox="strict"), "contract, which is not supported yet"),
        (shell("a", "a", identity_run_as="root", authorization_ref="x"), "authorization, identity"),
        (shell("a", "a", child_credential_policy="inherit"), "child_credentials"),
        (shell("a", "a", run_timeout_ms=2**62), "is not of the form that is known"),
        (shell("a", "a", run_timeout_ms="soon"), "is not of the form that is known"),
        (shell("a", "a", output_excerpt_limit_bytes=10), "at least 64"),
        (child(shell("a", "a"), "gone"), "its parent is not there any more"),
        (child(shell("a", "a"), "a"), "after itself"),
        (child(shell("a", "a"), "b", trigger_condition="glob:*"), "neither contains: nor regex:"),
    ],
)
def test_what_cannot_be_a_job_is_left_with_its_reason(tmp_path: Path, row: dict[str, Any], why: str) -> None:
    found = settled(tmp_path, row, shell("good", "good"))
    assert [job.job_id for job in found.jobs] == ["good"]
    (left,) = found.left
    assert (left.source_id, left.name) == ("a", row["name"])
    assert why in left.why


def test_what_runs_after_a_job_that_is_left_is_left_too(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        shell("a", "Root", schedule_tz="Mars/Base"),
        child(shell("b", "Middle"), "a"),
        child(shell("c", "Leaf"), "b"),
        shell("d", "Guarded", contract_sandbox="strict"),
        child(shell("e", "Behind"), "d"),
    )
    assert not found.jobs
    said = {left.name: left.why for left in found.left}
    assert said["Middle"] == "its parent root is not carried over"
    assert said["Leaf"] == "its parent middle is not carried over"
    assert said["Behind"] == "its parent Guarded is not carried over"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (shell("a", "a", schedule_cron="0 0 31 2 *"), "schedule_cron"),
        (shell("a", "a", payload_message="PGPASSWORD=x pg_dump"), "payload_message"),
        (shell("a", "a", **{**ROOM, "delivery_channel": None}), "delivery_channel"),
        (turn("a", "a", preferred_session_key="cron:x"), "preferred_session_key"),
        (turn("a", "a", auth_profile="openai:team"), "run.agent.auth_profile"),
    ],
)
def test_what_of_a_job_is_lost_or_differs_is_named(tmp_path: Path, row: dict[str, Any], field: str) -> None:
    (found,) = settled(tmp_path, row).jobs
    assert [loss.field for loss in found.found.losses] == [field]


def test_a_job_that_was_off_is_to_stay_off(tmp_path: Path) -> None:
    on, off = settled(tmp_path, shell("1", "on"), shell("2", "off", enabled=0)).jobs
    assert (on.document["tags"], off.document["tags"]) == (["openclaw-scheduler"], ["openclaw-scheduler", "stays-off"])


def test_again_it_is_known_by_its_alias_whatever_it_is_called_now(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "scheduler.db", [shell("1", "Tidy"), shell("2", "Sweep")])
    source = scheduler.read(path, NOW)
    before = {job.job_id: parse(job.document) for job in settle(source, Catalogue(tmp_path, "p")).jobs}
    mine = {
        "clean": before["tidy"].changed({"id": "clean", "enabled": True, "aliases": ["1", "old"]}),
        "sweep": before["sweep"].changed({"retry": {"max": 2}}),
        "tidy": parse({"id": "tidy", "run": "another one"}),
    }
    again = settle(source, Catalogue(tmp_path, "p", jobs=mine))
    assert [(job.job_id, job.state) for job in again.jobs] == [("clean", State.THERE), ("sweep", State.DIFFERS)]
    anew = settle(source, Catalogue(tmp_path, "p", jobs=mine), replace_them=True)
    clean, sweep = (parse(job.document) for job in anew.jobs)
    assert (clean.enabled, clean.aliases, clean.name) == (True, ("1", "old"), "Tidy")
    assert sweep == before["sweep"]
    assert settle(source, Catalogue(tmp_path, "p", jobs=before)).jobs[0].state is State.THERE
