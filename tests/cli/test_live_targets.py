"""Targets and deliveries from the command line, on a server and a worker, with a webhook of the test's own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.command import Ocs
from tests.cli.live import eventually
from tests.delivery.receiver import Answer, Receiver, receiver
from tests.delivery.test_transports import PIXEL

pytestmark = pytest.mark.e2e
SECRET = "correct-horse-battery"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def desk(up: Ocs, hook: Receiver) -> Iterator[str]:
    added = up(
        "targets", "add", "desk", "--webhook", "-", "--secret-env", "KEY", stdin=f"{hook.url}/{SECRET}\n", KEY=SECRET
    )
    assert (added.status, SECRET in added.out) == (0, False), added
    yield "desk"
    up("targets", "remove", "desk")


def run(ocs: Ocs, job: str, command: str, deliver: str) -> dict[str, Any]:
    ocs.write(job, f"id: {job}\nrun: {command}\ndeliver: {deliver}\n")
    ocs.json("deploy", job)
    ocs("jobs", "run", job, "--wait")
    (ran, *_) = ocs.json("runs", "list", "--job", job)["runs"]
    return ran


def sent(ocs: Ocs, run_id: str) -> dict[str, Any]:
    """The run's only delivery, once it is sent: on a busy machine the run ends before."""

    def look() -> dict[str, Any] | None:
        (delivery,) = ocs.json("runs", "show", run_id)["run"]["deliveries"]
        return delivery if delivery["status"] == "sent" else None

    return eventually(look)


def clear(ocs: Ocs, *jobs: str) -> None:
    for job in jobs:
        ocs.json("jobs", "remove", job)


def test_targets_are_listed_tried_changed_and_removed(up: Ocs, desk: str, hook: Receiver) -> None:
    (target,) = up.json("targets", "list")["targets"]
    assert (target["name"], target["kind"], target["where"]) == ("desk", "webhook", "http://127.0.0.1/...")
    assert SECRET not in up("targets", "list").out
    tried = up("targets", "test", "desk")
    assert ("took the message" in tried.out, tried.err) == (True, "")
    assert hook.received[0].path == f"/{SECRET}"
    assert "webhook-signature" in hook.received[0].headers
    completed = up(_OCS_COMPLETE="complete_bash", COMP_WORDS="ocs targets test de", COMP_CWORD="3")
    assert "desk" in completed.out.split()
    (up.folder / "chart.png").write_bytes(PIXEL)
    assert "took the messages" in up("targets", "test", "desk", "--image", "chart.png").out
    assert hook.received.pop().json["image"]["name"] == "chart.png"
    assert "does not exist" in up("targets", "test", "desk", "--image", "gone.png").err
    hook.answer = lambda _: Answer(500)
    assert "answered 500" in up.json("targets", "test", "desk", status=1)["error"]["message"]
    changed = up.json("targets", "add", "desk", "--to", "telegram:-100", "--note", "the team")["target"]
    assert (changed["where"], changed["note"]) == ("telegram:-100", "the team")
    assert up.json("targets", "remove", "desk")["target"]["name"] == "desk"
    assert up.json("targets", "list")["targets"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ("targets add ops", 2, "exactly one"),
        ("targets add ops --to telegram:1 --block slack-webhook/ops", 2, "exactly one"),
        ("targets add Ops --to telegram:1", 2, "target's name"),
        ("targets add ops --webhook https://example.com --secret-env NOT_SET_ANYWHERE", 2, "NOT_SET_ANYWHERE"),
        ("targets add ops --to telegram", 1, "nothing was changed"),
        ("targets add ops --block ops", 1, "nothing was changed"),
        ("targets remove nobody", 1, "There is no target"),
        ("targets test nobody", 1, "There is no delivery target"),
        ("targets test 'Ops Room'", 2, "is no target"),
        ("queue retry ffff", 1, "No delivery"),
    ],
)
def test_what_cannot_work_is_told_and_changes_nothing(up: Ocs, arguments: str, status: int, told: str) -> None:
    error = up.json(*shlex.split(arguments), status=status)["error"]
    assert told in error["message"]
    assert up.json("targets", "list")["targets"] == []


def test_a_failure_is_told_and_seen_everywhere(up: Ocs, desk: str, hook: Receiver) -> None:
    ran = run(up, "fails", "echo broken; exit 3", "{to: desk}")
    delivery = sent(up, ran["id"])
    assert (delivery["target"], delivery["error"]) == ("desk", None)
    (got,) = hook.received
    assert (got.json["job"], got.json["run"], got.json["subject"]) == ("fails", ran["id"], "fails: failed")
    assert (got.json["status"], got.json["exit_code"], got.json["attempt"]) == ("error", 3, 1)
    assert (got.json["duration_s"], got.json["flow_run"]) == (ran["duration_s"], ran["flow_run_id"])
    assert got.json["text"].startswith("Exited with code 3.\n\nbroken\n\nRun: http://127.0.0.1:")
    assert ran["flow_run_id"] in got.json["text"]
    story = up("runs", "show", ran["id"]).out
    assert "Deliveries" in story
    assert "desk" in story
    assert [target["jobs"] for target in up.json("targets", "list")["targets"]] == [["fails"]]
    clear(up, "fails")


def test_a_message_that_was_given_up_is_seen_and_sent_once_more(up: Ocs, desk: str, hook: Receiver) -> None:
    hook.answer = lambda _: Answer(410)
    ran = run(up, "refused", "exit 3", "{to: '@desk'}")
    (dead,) = [each for each in up.json("queue", "list")["deliveries"] if each["run"] == ran["id"]]
    assert (dead["status"], "answered 410" in dead["error"]) == ("failed", True)
    assert "given up after 1 attempt" in up("queue", "list").out
    checks = up("doctor", "--json").json["checks"]
    (found,) = [check for check in checks if check["name"] == "deliveries"]
    assert (found["state"], dead["id"][:8] in found["mend"]) == ("warning", True)
    hook.answer = lambda _: Answer(200)
    assert up.json("queue", "retry", dead["id"][:8])["deliveries"][0]["status"] == "pending"
    sent(up, ran["id"])
    assert up.json("queue", "retry", dead["id"][:8], status=1)["error"]["code"] == "not_found"
    clear(up, "refused")


def test_a_message_to_nobody_waits_is_explained_and_can_be_withdrawn(up: Ocs) -> None:
    ran = run(up, "lonely", "exit 3", "{to: no-such-desk}")
    (waiting,) = [each for each in up.json("queue", "list")["deliveries"] if each["run"] == ran["id"]]
    assert waiting["status"] == "pending"
    assert "ocs targets add no-such-desk" in waiting["error"]
    checks = up("doctor", "--json").json["checks"]
    assert [check["finding"] for check in checks if check["name"] == "targets"] == [
        "lonely: there is no delivery target no-such-desk."
    ]
    assert up.json("queue", "cancel", waiting["id"][:8])["delivery"]["status"] == "withdrawn"
    assert waiting["id"] not in {each["id"] for each in up.json("queue", "list")["deliveries"]}
    clear(up, "lonely")


def test_a_job_that_did_well_tells_only_when_asked(up: Ocs, desk: str, hook: Receiver) -> None:
    assert run(up, "quiet", "echo fine", "{to: desk}")["deliveries"] == []
    assert len(run(up, "chatty", "echo fine", "{to: desk, when: always}")["deliveries"]) == 1
    assert [each.json["subject"] for each in hook.received] == ["chatty: done"]
    clear(up, "quiet", "chatty")


def test_a_rollout_names_a_target_that_nobody_has_made(up: Ocs) -> None:
    up.write("unheard", "id: unheard\nrun: exit 1\ndeliver: {to: nobody-there}\n")
    said = up("deploy", "unheard")
    assert said.status == 0
    assert "there is no delivery target nobody-there" in said.err
    assert "ocs targets add nobody-there" in said.err
    clear(up, "unheard")
