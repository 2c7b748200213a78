"""Plan before apply: what would change is shown, what people did in the UI too, and their pauses stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.command import Ocs
from tests.cli.live import ask

pytestmark = pytest.mark.e2e


def steps(ocs: Ocs, *options: str) -> dict[str, Any]:
    return {step["job"]: step for step in ocs.json("deploy", *options)["steps"]}


class Ui:
    """What a person does in Prefect's UI: the requests it sends."""

    def __init__(self, ocs: Ocs, job: str) -> None:
        self.ocs = ocs
        self.path = f"/deployments/{ocs.json('jobs', 'show', job)['job']['deployment_id']}"

    def state(self) -> dict[str, Any]:
        return ask(self.ocs, "GET", self.path)

    def change(self, **values: Any) -> None:
        ask(self.ocs, "PATCH", self.path, values)

    def switch_schedule(self, *, active: bool) -> None:
        (schedule,) = self.state()["schedules"]
        ask(self.ocs, "PATCH", f"{self.path}/schedules/{schedule['id']}", {"active": active})


def test_a_plan_changes_nothing_and_names_what_differs(up: Ocs) -> None:
    up.write("planned", "id: planned\nrun: echo 1\n")
    up.json("deploy", "planned")
    up.write("planned", "id: planned\nrun: echo 2\nretry: {max: 3}\n")
    before = (up.folder / "prefect.yaml").read_text()
    steps = {step["job"]: step for step in up.json("deploy", "--plan")["steps"]}
    assert steps["planned"]["action"] == "update"
    assert steps["planned"]["changes"] == ["retry", "run.shell.command"]
    assert (up.folder / "prefect.yaml").read_text() == before
    assert "retry" in up("deploy", "--plan").out
    assert up.json("deploy")["applied"]
    assert all(step["action"] == "unchanged" for step in up.json("deploy", "--plan")["steps"])
    (up.folder / "deployments" / "jobs" / "planned.yaml").unlink()
    assert "--prune" in up("deploy").out
    steps = {step["job"]: step for step in up.json("deploy", "--prune")["steps"]}
    assert steps["planned"]["action"] == "remove"
    assert "planned" not in {step["job"] for step in up.json("deploy", "--plan")["steps"]}


def test_a_rollout_that_fails_for_one_job_does_the_others_and_says_which_failed(up: Ocs) -> None:
    up.write("past", "id: past\nschedule: {at: 2026-01-01T00:00:00Z}\nrun: 'true'\n")
    up.write("neighbour", "id: neighbour\nrun: 'true'\n")
    assert "past" in up("jobs", "validate").err
    told = up.json("deploy", status=1)
    assert told["error"]["code"] == "not_all_rolled_out"
    assert [problem["message"] for problem in told["errors"]] == ["past never runs: 2026-01-01 00:00:00 UTC is past"]
    actions = {step["job"]: step["action"] for step in told["steps"]}
    assert (actions["past"], actions["neighbour"]) == ("over", "create")
    said = up("deploy")
    assert said.status == 1
    assert "past never runs" in said.err
    planned = up.json("deploy", "--plan", status=1)  # ends as the rollout would
    assert {step["job"]: step["action"] for step in planned["steps"]}["neighbour"] == "unchanged"
    never = up.json("jobs", "run", "past", status=1)["error"]
    assert ("never runs" in never["message"], "ocs jobs edit past" in never["hint"]) == (True, True)
    up.write("broken", "id: broken\nrun: [\n")
    assert up.json("deploy", status=1)["error"]["code"] == "invalid_job"
    before = (up.folder / "prefect.yaml").read_text()
    alone = up("deploy", "neighbour")
    assert (alone.status, "broken.yaml" in alone.err) == (0, True)
    assert (up.folder / "prefect.yaml").read_text() == before
    (up.folder / "deployments" / "jobs" / "broken.yaml").unlink()
    found = up.json("doctor", status=1)["checks"]
    assert any(check["name"] == "schedules" and check["finding"].startswith("past never runs") for check in found)
    for job in ("past", "neighbour"):
        up("jobs", "remove", job)
    assert "schedules" not in {check["name"] for check in up("--json", "doctor").json["checks"]}


def test_a_plan_is_a_diff_of_the_document(up: Ocs) -> None:
    up.write("shown", "id: shown\nrun: echo {{ 1 }}\nretry: {max: 1}\n")
    up.json("deploy")
    up.write("shown", "id: shown\nrun: echo {{ 2 }}\n")
    said = up("deploy", "--plan").out.splitlines()
    assert "-    command: echo {{ 1 }}" in said
    assert "+    command: echo {{ 2 }}" in said
    assert "-retry:" in said
    assert steps(up, "--plan")["shown"]["diff"].startswith("--- shown: rolled out")
    up.json("jobs", "remove", "shown")


def test_what_was_edited_in_the_ui_is_shown_and_set_back(up: Ocs) -> None:
    up.json("jobs", "add", "edited", "--shell", "echo ours", "--cron", "@yearly")
    ui = Ui(up, "edited")
    parameters = ui.state()["parameters"]
    parameters["job"]["run"]["shell"]["command"] = "echo theirs"
    ui.change(parameters=parameters, tags=[*ui.state()["tags"], "theirs"])
    step = steps(up, "--plan")["edited"]
    assert (step["action"], step["edited_in_ui"]) == ("update", ["parameters", "tags"])
    assert "-    command: echo theirs" in step["diff"]
    assert "edited in the UI" in up("deploy", "--plan").out
    up.json("deploy")
    assert ui.state()["parameters"]["job"]["run"]["shell"]["command"] == "echo ours"
    assert steps(up, "--plan")["edited"]["action"] == "unchanged"
    up.json("jobs", "remove", "edited")


@pytest.mark.parametrize("way", ["the job", "its schedule"])
def test_a_persons_pause_stays_until_they_end_it(up: Ocs, way: str) -> None:
    up.json("jobs", "add", "halted", "--shell", "echo 1", "--cron", "@yearly")
    ui = Ui(up, "halted")
    if way == "the job":
        ui.change(paused=True)
    else:
        ui.switch_schedule(active=False)
    assert steps(up, "--plan")["halted"]["paused_in_ui"]
    job = up.json("jobs", "show", "halted")["job"]
    assert (job["paused_in_ui"], job["next_run"]) == (True, None)
    assert "ocs jobs enable halted" in up("jobs", "show", "halted").err
    (listed,) = [job for job in up.json("jobs", "list")["jobs"] if job["id"] == "halted"]
    assert (listed["paused_in_ui"], listed["next_run"]) == (True, None)
    assert "paused in the UI" in up("jobs", "list").out
    assert "halted" not in [each["job"] for each in up.json()["next"]]
    answer = up.json("jobs", "edit", "halted", "--set", "run.timeout=7m", "--set", "schedule=@monthly")
    assert answer["deployed"]
    said = up("deploy")
    assert "halted was paused in the UI and stays paused" in said.err
    state = ui.state()
    assert state["paused"] or not state["schedules"][0]["active"]
    assert state["parameters"]["job"]["run"]["timeout"] == "7m"
    up.json("jobs", "enable", "halted")
    state = ui.state()
    assert (state["paused"], [schedule["active"] for schedule in state["schedules"]]) == (False, [True])
    assert up.json("jobs", "show", "halted")["job"]["next_run"]
    up.json("jobs", "remove", "halted")


def moved(ui: Ui) -> dict[str, Any]:
    """Into a queue that the worker is not asked to serve, as the form of a deployment does it."""
    pool = ui.state()["work_pool_name"]
    return {"work_pool_name": pool, "work_queue_name": "elsewhere"}


EVERYTHING: dict[str, Any] = {
    "parameters": {"parameters": {"job": {"id": "set-back", "run": {"shell": {"command": "echo theirs"}}}}},
    "tags": {"tags": ["ocs", "project:live", "job:set-back", "theirs"]},
    "description": {"description": "theirs"},
    "entrypoint": {"entrypoint": "theirs.flow"},
    "work queue": moved,
    "job variables": {"job_variables": {"env": {"THEIRS": "1"}}},
    "concurrency limit": {"concurrency_limit": 1},
    "path": {"path": "/theirs"},
    "pull steps": {"pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "/tmp"}}]},
    "schema enforcement": {"enforce_parameter_schema": False},
    "schedules": {"parameters": {"job": {"id": "set-back", "run": "true", "approval": {"required": False}}}},
}


@pytest.fixture(scope="module")
def set_back(up: Ocs) -> Iterator[Ui]:
    up.json("jobs", "add", "set-back", "--shell", "echo ours", "--cron", "@yearly")
    yield Ui(up, "set-back")
    up.json("jobs", "remove", "set-back")


@pytest.mark.parametrize("what", EVERYTHING)
def test_whatever_was_edited_is_shown_and_set_back(up: Ocs, set_back: Ui, what: str) -> None:
    values = EVERYTHING[what]
    if what == "schedules":
        (schedule,) = set_back.state()["schedules"]
        ask(up, "PATCH", f"{set_back.path}/schedules/{schedule['id']}", values)
    else:
        set_back.change(**(values(set_back) if callable(values) else values))
    step = steps(up, "--plan")["set-back"]
    assert (step["action"], step["edited_in_ui"]) == ("update", [what])
    assert any(what in check["finding"] for check in up("--json", "doctor").json["checks"] if check["name"] == "drift")
    up.json("deploy")
    assert steps(up, "--plan")["set-back"]["action"] == "unchanged"


def automations(ocs: Ocs, job: str) -> list[dict[str, Any]]:
    found = ask(ocs, "POST", "/automations/filter", {"limit": 200})
    return [automation for automation in found if automation["name"].startswith(f"{job}: event")]


@pytest.mark.parametrize("way", ["deleted", "edited", "renamed"])
def test_an_automation_that_was_edited_is_made_anew(up: Ocs, way: str) -> None:
    up.write("on-event", "id: on-event\nrun: echo 1\non_event: [{expect: theirs.happened}]\n")
    up.json("deploy", "on-event")
    (automation,) = automations(up, "on-event")
    path = f"/automations/{automation['id']}"
    if way == "deleted":
        ask(up, "DELETE", path)
    else:
        changed = {key: value for key, value in automation.items() if key not in ("id", "created", "updated")}
        if way == "renamed":
            changed["name"] = "theirs"
        else:
            changed["trigger"]["expect"] = ["something.else"]
        ask(up, "PUT", path, changed)
    step = steps(up, "--plan")["on-event"]
    assert (step["action"], step["edited_in_ui"]) == ("update", ["events"])
    up.json("deploy")
    (again,) = automations(up, "on-event")
    assert (again["trigger"]["expect"], again["enabled"]) == (["theirs.happened"], True)
    assert steps(up, "--plan")["on-event"]["action"] == "unchanged"
    up.json("jobs", "remove", "on-event")
    assert not automations(up, "on-event")


def test_an_automation_that_a_person_paused_stays_paused_until_they_end_it(up: Ocs) -> None:
    up.write("waits", "id: waits\nrun: echo 1\non_event: [{expect: theirs.happened}]\n")
    up.json("deploy", "waits")
    (automation,) = automations(up, "waits")
    ask(up, "PATCH", f"/automations/{automation['id']}", {"enabled": False})
    step = steps(up, "--plan")["waits"]
    assert (step["action"], step["paused_in_ui"]) == ("unchanged", True)
    up.json("jobs", "edit", "waits", "--set", "run=echo 2")
    assert [each["enabled"] for each in automations(up, "waits")] == [False]
    up.json("jobs", "enable", "waits")
    assert [each["enabled"] for each in automations(up, "waits")] == [True]
    up.json("jobs", "remove", "waits")


def test_a_work_pool_that_was_deleted_is_told_and_a_rollout_brings_its_jobs_back(up: Ocs, set_back: Ui) -> None:
    """The worker makes a pool of that name again, which no deployment is in."""
    ask(up, "DELETE", "/work_pools/openclaw")
    step = steps(up, "--plan")["set-back"]
    assert (step["action"], step["edited_in_ui"]) == ("update", ["work pool"])
    said = up("deploy", "--plan").out
    assert "keeps the house" in said
    assert up.json("deploy", "--plan")["maintenance"] == ["work pool"]
    unwell = up("--json", "doctor").json["checks"]
    assert any("no work pool" in check["finding"] and check["mend"] for check in unwell)
    up.json("deploy")
    planned = up.json("deploy", "--plan")
    assert ({step["action"] for step in planned["steps"]}, planned["maintenance"]) == ({"unchanged"}, [])
    assert up.json("jobs", "run", "set-back", "--wait")["run"]["status"] == "ok"
