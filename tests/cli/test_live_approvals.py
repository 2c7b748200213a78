"""Deciding from the command line, and what the audit trail has of it, on the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE, Ocs
from tests.cli.live import eventually, run_of

pytestmark = pytest.mark.e2e

JOB = "id: {job}\nrun: echo {job} ran\napproval: {{required: true}}\n"


def waiting(ocs: Ocs, job: str) -> dict[str, Any]:
    """The job's pending approval, once its run waits."""

    def asked() -> dict[str, Any] | None:
        found = ocs.json("approvals", "list")["approvals"]
        return next((approval for approval in found if approval["job"] == job), None)

    return eventually(asked)


def ended(ocs: Ocs, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run = run_of(ocs, job)
        return run if run and run["finished_at"] else None

    return eventually(look)


@pytest.fixture
def job(up: Ocs, request: pytest.FixtureRequest) -> str:
    """A job that needs approval, and a run of it that was asked for."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    up.write(name, JOB.format(job=name))
    up.json("deploy", name)
    up.json("jobs", "run", name)
    return name


@pytest.fixture(scope="module")
def bad_input(up: Ocs) -> Iterator[None]:
    """One run that waits, for all that cannot decide it."""
    up.write("bad-input", JOB.format(job="bad-input"))
    up.json("deploy", "bad-input")
    up.json("jobs", "run", "bad-input")
    yield
    up.json("jobs", "remove", "bad-input")


def test_approve(up: Ocs, job: str) -> None:
    approval = waiting(up, job)
    assert approval["what"] == f"echo {job} ran"
    assert run_of(up, job)["status"] == "waiting_approval"  # type: ignore[index]
    assert up.json("status")["approvals"] >= 1
    assert "ocs approvals list" in up.json()["steps"]
    shown = up("approvals", "show", approval["id"][:8]).out
    assert f"echo {job} ran" in shown
    assert f"ocs approvals approve {approval['id'][:8]}" in shown
    decided = up.json("approvals", "approve", approval["id"][:8], "--by", "ann", "--reason", "it is time")["approval"]
    assert (decided["status"], decided["decided_by"], decided["decided_from"]) == ("approved", "ann", "cli")
    assert ended(up, job)["status"] == "ok"
    # The second decision is told who was first.
    error = up.json("approvals", "reject", approval["id"], status=1)["error"]
    assert error["code"] == "refused"
    assert "Approved by ann: it is time." in error["message"]
    story = up.json("runs", "show", decided["run"])["run"]
    assert [asked["said"] for asked in story["approvals"]] == ["Approved by ann: it is time."]
    (told,) = [event for event in up.json("audit", "list", "--job", job)["audit"] if event["actor"] == "ann"]
    assert (told["action"], told["source"], told["run"]) == ("approval-approved", "cli", decided["run"])
    assert (told["before"]["status"], told["after"]["status"]) == ("pending", "approved")
    assert told["after"]["login"]
    up.json("jobs", "remove", job)


def test_reject_by_the_name_of_the_job(up: Ocs, job: str) -> None:
    waiting(up, job)
    decided = up.json("approvals", "reject", job, "--reason", "not on a Friday")["approval"]
    run = ended(up, job)
    assert run["status"] == "cancelled"
    assert run["error"] == f"Rejected by {decided['decided_by']}: not on a Friday."
    error = up.json("approvals", "approve", job, status=1)["error"]
    assert f"Rejected by {decided['decided_by']}: not on a Friday." in error["message"]
    assert job not in [approval["job"] for approval in up.json("approvals", "list")["approvals"]]
    listed = up.json("approvals", "list", "--all", "--job", job)["approvals"]
    assert [approval["status"] for approval in listed] == ["rejected"]
    up.json("jobs", "remove", job)


def test_cancel_what_waits(up: Ocs, job: str) -> None:
    approval = waiting(up, job)
    run = up.json("runs", "cancel", approval["run"])["run"]
    assert run["status"] == "cancelled"
    assert "Cancelled by" in up.json("approvals", "approve", approval["id"], status=1)["error"]["message"]
    assert up.json("approvals", "show", approval["id"])["approval"]["status"] == "withdrawn"
    actions = [event["action"] for event in up.json("audit", "list", "--job", job)["audit"]]
    assert {"approval-asked", "approval-withdrawn", "cancel", "run"} <= set(actions)
    up.json("jobs", "remove", job)


def test_remove_what_waits(up: Ocs, job: str) -> None:
    approval = waiting(up, job)
    up.json("jobs", "remove", job)
    assert up.json("approvals", "show", approval["id"])["approval"]["status"] == "withdrawn"
    assert up.json("runs", "show", approval["run"])["run"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--by", ""), "name is empty"),
        (("--by", " "), "name is empty"),
        (("--by", "a\nb"), "more than one line"),
        (("--reason", "x" * 100_000), "at most 2,000"),
        (("--reason", "bell \x07"), "control character"),
    ],
    ids=["no name", "a blank name", "two lines", "100 kB", "control character"],
)
def test_bad_input_decides_nothing(up: Ocs, bad_input: None, options: tuple[str, str], wrong: str) -> None:
    approval = waiting(up, "bad-input")
    assert wrong in up.json("approvals", "approve", "bad-input", *options, status=1)["error"]["message"]
    assert up.json("approvals", "show", approval["id"])["approval"]["status"] == "pending"


def test_a_run_that_is_waited_for_says_that_it_waits(up: Ocs) -> None:
    up.write("patient", JOB.format(job="patient"))
    up.json("deploy", "patient")
    with up.started("jobs", "run", "patient", "--wait") as following:
        waiting(up, "patient")
        log = eventually(lambda: _suspended(up))
        up.json("approvals", "approve", "patient")
        said, told = following.communicate(timeout=PATIENCE)
    assert following.returncode == 0
    assert "waits for approval" in told
    assert "patient ran" in said
    assert {line["level"] for line in log} == {"INFO"}  # that it waits is no error
    up.json("jobs", "remove", "patient")


def _suspended(up: Ocs) -> list[dict[str, Any]] | None:
    lines = up.json("runs", "logs", "patient")["logs"]
    return lines if any("decision" in line["message"] for line in lines) else None


def test_without_a_server_the_decision_is_kept(up: Ocs, job: str, tmp_path: Path) -> None:
    """The worker that has the server sends it on its way with its next tick."""
    waiting(up, job)
    said = up("--json", "approvals", "approve", job, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert said.status == 0
    assert "takes effect when a worker has the server back" in said.err
    assert said.json["approval"]["status"] == "approved"
    assert ended(up, job)["status"] == "ok"
    up.json("jobs", "remove", job)


def test_what_is_changed_by_hand_is_in_the_audit_trail(up: Ocs) -> None:
    up.json("jobs", "add", "changing", "--shell", "true")
    up.json("jobs", "edit", "changing", "--set", "run.timeout=1h")
    up.json("jobs", "disable", "changing")
    up.json("jobs", "enable", "changing")
    up.json("jobs", "remove", "changing")
    events = up.json("audit", "list", "--job", "changing")["audit"]
    assert [event["action"] for event in reversed(events)] == [
        "job-added",
        "job-changed",
        "job-disabled",
        "job-enabled",
        "job-removed",
    ]
    assert events[2]["after"] == {"enabled": False}
    assert "disabled" in up("audit", "list", "--since", "1h").out
    assert up.json("audit", "list", "--since", "2030-01-01")["audit"] == []
    assert up.json("audit", "list", "--since", "yesterday", status=2)["error"]["code"] == "usage"
