"""What happens to a job's occurrences when somebody changes or runs it (rows 19 to 25 and 111 of the reference)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.command import Ocs
from tests.cli.live import ask, eventually, run_of, running

pytestmark = pytest.mark.e2e


def job(ocs: Ocs, job_id: str) -> dict[str, Any]:
    return ocs.json("jobs", "show", job_id)["job"]


def coming(ocs: Ocs, job_id: str) -> list[str]:
    """The instants that Prefect's scheduler has made flow runs for."""
    wanted = {
        "flow_runs": {"tags": {"all_": [f"job:{job_id}"]}, "state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    found = ask(ocs, "POST", "/flow_runs/filter", wanted)
    return [flow_run["expected_start_time"][:19] for flow_run in found]


def test_changing_or_enabling_again_moves_the_next_run(up: Ocs) -> None:
    up.json("jobs", "add", "moves", "--cron", "0 3 * * *", "--timezone", "UTC", "--shell", "true")
    assert job(up, "moves")["next_run"].endswith("T03:00:00Z")
    # Prefect plans beside us, and does not look whether it was overtaken.
    assert eventually(lambda: coming(up, "moves"))
    up.json("jobs", "edit", "moves", "--set", "schedule=30 4 * * *")
    assert job(up, "moves")["next_run"].endswith("T04:30:00Z")
    planned = eventually(lambda: coming(up, "moves"))
    assert {moment[11:] for moment in planned} == {"04:30:00"}
    up.json("jobs", "disable", "moves")
    assert job(up, "moves")["next_run"] is None
    assert eventually(lambda: coming(up, "moves") == [] or None)
    up.json("jobs", "enable", "moves")
    assert job(up, "moves")["next_run"].endswith("T04:30:00Z")
    assert eventually(lambda: coming(up, "moves"))
    up.json("jobs", "remove", "moves")
    assert coming(up, "moves") == []


def test_a_child_becomes_a_root_and_a_root_a_child(up: Ocs) -> None:
    up.json("jobs", "add", "mother", "--shell", "true")
    up.json("jobs", "add", "daughter", "--after", "mother", "--shell", "true")
    refused = up.json("jobs", "edit", "daughter", "--set", "schedule=@daily", status=1)
    assert {problem["path"] for problem in refused["errors"]} & {"after", "schedule"}
    up.json("jobs", "edit", "daughter", "--set", "schedule=@daily", "--set", "after=null")
    root = job(up, "daughter")
    assert (root["parent"], bool(root["next_run"])) == (None, True)
    up.json("jobs", "edit", "daughter", "--set", "schedule=null", "--set", "after.job=mother")
    child = job(up, "daughter")
    assert (child["parent"], child["next_run"]) == ("mother", None)
    assert eventually(lambda: coming(up, "daughter") == [] or None)
    up.json("jobs", "run", "mother", "--wait")
    assert eventually(lambda: run_of(up, "daughter"))["kind"] == "chain"
    for name in ("daughter", "mother"):
        up.json("jobs", "remove", name)


def test_a_manual_run_leaves_the_schedule_where_it_is(up: Ocs) -> None:
    up.json("jobs", "add", "stays", "--cron", "@yearly", "--shell", "true")
    before = (job(up, "stays")["next_run"], eventually(lambda: coming(up, "stays")))
    assert up.json("jobs", "run", "stays", "--wait")["run"]["kind"] == "manual"
    assert (job(up, "stays")["next_run"], coming(up, "stays")) == before
    up.json("jobs", "remove", "stays")


def test_no_more_manual_runs_wait_than_a_job_allows(up: Ocs) -> None:
    up.write("few", "id: few\nlimits: {overlap: queue, max_queued: 1}\nrun: sleep 600\n")
    up.json("deploy")
    up.json("jobs", "run", "few")
    running(up, "few")
    up.json("jobs", "run", "few")
    eventually(lambda: [row for row in up.json("queue", "list")["queue"] if row["job"] == "few"])
    refused = up.json("jobs", "run", "few", status=1)["error"]
    assert "max_queued is 1" in refused["message"]
    ended = up.json("jobs", "cancel", "few")
    assert (len(ended["cancelled"]), ended["withdrawn"]) == (1, 1)
    up.json("jobs", "remove", "few")


def test_a_job_may_be_put_off_by_seconds(up: Ocs) -> None:
    """Prefect looks at new schedules every few seconds only; a nearer moment would be lost."""
    up.json("jobs", "add", "in-a-moment", "--in", "1s", "--shell", "echo in time")

    def ended() -> bool:
        runs = up.json("runs", "list", "--job", "in-a-moment")["runs"]
        return [(run["status"], run["kind"]) for run in runs] == [("ok", "scheduled")]

    eventually(ended)
    up.json("jobs", "remove", "in-a-moment")


def test_a_job_may_run_once_with_its_first_rollout(up: Ocs) -> None:
    up.write("eager", "id: eager\nschedule: {cron: '@yearly', run_now: true}\nrun: echo eager\n")
    up.json("deploy")
    run = eventually(lambda: run_of(up, "eager"))
    assert datetime.fromisoformat(run["scheduled_for"]) < datetime.now(UTC) + timedelta(minutes=1)
    up.json("jobs", "edit", "eager", "--set", "run.timeout=8m")
    assert len(up.json("runs", "list", "--job", "eager")["runs"]) == 1
    up.json("jobs", "remove", "eager")


def test_the_status_counts_what_is_there(up: Ocs) -> None:
    up.json("jobs", "add", "counted", "--shell", "sleep 600")
    up.json("jobs", "add", "fails", "--shell", "exit 1")
    up.json("jobs", "run", "counted")
    running(up, "counted")
    up.json("jobs", "run", "fails", "--wait", status=1)
    status = up.json("status")
    assert status["running"] == len(up.json("runs", "list", "--status", "running", "-n", "1000")["runs"])
    assert status["waiting"] == len(up.json("queue", "list")["queue"])
    assert status["jobs"] == len(up.json("jobs", "list", "--all")["jobs"])
    failed = up.json("runs", "list", "--status", "error", "--since", "1d", "-n", "1000")["runs"]
    assert {entry["job"]: entry["times"] for entry in status["failures"]}["fails"] == sum(
        run["job"] == "fails" for run in failed
    )
    up.json("jobs", "cancel", "counted")
    for name in ("counted", "fails"):
        up.json("jobs", "remove", name)


def test_the_status_has_the_budgets(up: Ocs) -> None:
    """Acceptance row 111."""
    up.write("budget", "id: budget\nrun: seq 100000; sleep 600\nlimits: {overlap: queue, max_queued: 1}\n")
    up.json("deploy", "budget")
    up.json("jobs", "run", "budget")
    running(up, "budget")
    before = up.json("status")
    assert not [spot for spot in before["budget_hotspots"] if spot["job"] == "budget"]
    up.json("jobs", "run", "budget")
    eventually(lambda: "an earlier run of the job" in [row["waits_for"] for row in up.json("queue", "list")["queue"]])
    status = up.json("status")
    waits_for = [row["waits_for"] for row in up.json("queue", "list")["queue"]]
    assert status["budgets"]["pending_dispatches"] == len(waits_for)
    assert status["budgets"]["overlap_queued_dispatches"] == waits_for.count("an earlier run of the job")
    assert {"job": "budget", "waiting": 1, "max_queued": 1} in status["budget_hotspots"]
    up.json("jobs", "cancel", "budget")
    after = up.json("status")["budgets"]
    assert after["offloaded_shell_runs"] == before["budgets"]["offloaded_shell_runs"] + 1
    assert after["shell_output_bytes"] > before["budgets"]["shell_output_bytes"] + 500_000
    up.json("jobs", "remove", "budget")


def test_three_broken_files_among_thirty_are_named_and_nothing_is_rolled_out(up: Ocs) -> None:
    names = [f"one-of-many-{number}" for number in range(30)]
    for name in names:
        up.write(name, f"id: {name}\nrun: echo\n")
    for name, line in zip(names[5:8], ("run: [", "retry: {max: many}", "schedule: '61 * * * *'"), strict=True):
        up.write(name, f"id: {name}\nrun: echo\n{line}\n")
    refused = up.json("deploy", status=1)
    assert {problem["file"] for problem in refused["errors"]} == {
        f"deployments/jobs/{name}.yaml" for name in names[5:8]
    }
    assert up.json("jobs", "show", names[0])["job"]["deployment_id"] is None
    for name in names:
        (up.folder / "deployments" / "jobs" / f"{name}.yaml").unlink()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("identity.run_as=nobody", "identity"),
        ("contract.sandbox=strict", "contract.sandbox"),
        ("contract.max_cost_usd=1", "contract.max_cost_usd"),
        ("child_credentials=inherit", "child_credentials"),
    ],
)
def test_what_a_rollout_refuses_is_refused_for_one_run(up: Ocs, value: str, path: str) -> None:
    before = up.json("runs", "list", "--job", "hello")["runs"]
    refused = up.json("jobs", "run", "hello", "--set", value, status=1)
    assert [problem["path"] for problem in refused["errors"]] == [path]
    assert up.json("runs", "list", "--job", "hello")["runs"] == before
    assert up.json("queue", "list")["queue"] == []
