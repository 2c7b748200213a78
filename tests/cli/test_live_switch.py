"""Switching over on a running system: what the other scheduler has run is not run again, what it owes is run once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Ocs
from tests.cli.live import eventually
from tests.foreign import automation, automations_file, child, ledger_key, scheduler_database, shell

pytestmark = pytest.mark.e2e
FORM = "%Y-%m-%d %H:%M:%S"


def test_nothing_runs_twice_and_nothing_that_was_due_is_lost(up: Ocs, tmp_path: Path) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    past, coming = f"{hour:{FORM}}", f"{hour + timedelta(hours=1):{FORM}}"
    moment = f"{hour - timedelta(minutes=5):{FORM}}"
    off: dict[str, Any] = {
        "enabled": 1,
        "schedule_cron": "0 * * * *",
        "next_run_at": coming,
        "payload_message": "echo it",
    }
    rows = [
        shell("sw-owed", "Owed", **{**off, "next_run_at": past}),
        shell("sw-had", "Had", **{**off, "next_run_at": past}),
        shell("sw-well", "Well", **off),
        shell("sw-once", "Once", **{**off, "schedule_kind": "at", "schedule_at": moment}),
        shell("sw-late", "Late", **off),
        child(shell("sw-leaf", "Leaf", payload_message="echo leaf"), "sw-late"),
    ]
    up.json("jobs", "import", "openclaw-scheduler", str(scheduler_database(tmp_path / "on.db", rows)))
    claimed = {
        "job_id": "sw-had",
        "run_id": "r1",
        "claimed_at": past,
        "expires_at": f"{hour + timedelta(days=7):{FORM}}",
    }
    queue = {"job_id": "sw-late", "dispatch_kind": "retry", "scheduled_for": past, "retry_of_run_id": "r0"}
    stopped = scheduler_database(
        tmp_path / "off.db",
        [{**row, "enabled": int(bool(row.get("parent_id")))} for row in rows],
        aliases={"switchers": ("telegram", "-5")},
        more={
            "runs": [{"id": "r0", "job_id": "sw-late", "status": "error", "started_at": past}],
            "idempotency_ledger": [{"key": ledger_key("sw-had", past), **claimed}],
            "job_dispatch_queue": [{"id": "11111111-2222-4333-8444-555555555555", **queue}],
        },
    )
    answer = up.json("jobs", "switch", "openclaw-scheduler", str(stopped))
    assert sorted(answer["enabled"]) == ["had", "late", "leaf", "once", "owed", "well"]
    assert answer["carried"]["keys"] == 1
    assert answer["carried"]["dispatches"] == ["11111111-2222-4333-8444-555555555555"]
    assert sorted(each["job"] for each in answer["carried"]["owed"]) == ["once", "owed"]
    assert [target["state"] for target in answer["targets"]] == ["made"]

    again = up.json("jobs", "switch", "openclaw-scheduler", str(stopped))
    assert (again["enabled"], again["carried"]) == ([], {"keys": 0, "dispatches": [], "owed": []})

    def runs(job: str) -> list[dict[str, Any]]:
        return up.json("runs", "list", "--job", job)["runs"]

    eventually(lambda: all(any(run["status"] == "ok" for run in runs(job)) for job in ("owed", "once", "late", "leaf")))
    assert [(run["kind"], run["status"]) for run in runs("owed")] == [("scheduled", "ok")]
    assert [(run["kind"], run["status"]) for run in runs("once")] == [("scheduled", "ok")]
    assert [(run["kind"], run["attempt"]) for run in runs("late")] == [("retry", 1)]
    assert runs("had") == runs("well") == []
    assert len(up.json("idem", "list", "--job", "had")["keys"]) == 1
    for job in ("leaf", "late", "owed", "once", "had", "well"):
        up.json("jobs", "remove", job)
    up.json("targets", "remove", "switchers")


def test_an_address_to_which_nothing_can_be_sent_is_left_out_by_its_name(up: Ocs, tmp_path: Path) -> None:
    delivery = {"mode": "webhook", "to": "example.com/hook"}
    command = {"kind": "command", "argv": ["df"]}
    job = automation("sw-hook", "hooked", {"kind": "cron", "expr": "@daily"}, command, delivery=delivery)
    answer = up.json("jobs", "import", "openclaw", str(automations_file(tmp_path / "a.json", [job])))
    assert [target["state"] for target in answer["targets"]] == ["no address"]
    up.json("jobs", "remove", "hooked")
