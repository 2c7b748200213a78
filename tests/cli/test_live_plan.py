"""Plan before apply: what would change is shown, what people did in the UI too, and their pauses stay."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.cli.command import Ocs

pytestmark = pytest.mark.e2e


def steps(ocs: Ocs, *options: str) -> dict[str, Any]:
    return {step["job"]: step for step in ocs.json("deploy", *options)["steps"]}


class Ui:
    """What a person does in Prefect's UI: the requests it sends."""

    def __init__(self, ocs: Ocs, job: str) -> None:
        self.api = ocs.json("status")["server"]["api_url"]
        self.address = f"{self.api}/deployments/{ocs.json('jobs', 'show', job)['job']['deployment_id']}"

    def state(self) -> dict[str, Any]:
        return httpx.get(self.address).raise_for_status().json()

    def change(self, **values: Any) -> None:
        httpx.patch(self.address, json=values).raise_for_status()

    def switch_schedule(self, *, active: bool) -> None:
        (schedule,) = self.state()["schedules"]
        httpx.patch(f"{self.address}/schedules/{schedule['id']}", json={"active": active}).raise_for_status()


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
