"""Retrying, watching and queueing from the command line, on the embedded server."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE, Ocs
from tests.cli.live import eventually, run_of, running

pytestmark = pytest.mark.e2e


def test_a_person_retries_what_failed(up: Ocs, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    up.json("jobs", "add", "mendable", "--shell", f"test -e {mended}")
    first = up.json("jobs", "run", "mendable", "--wait", status=1)["run"]
    mended.touch()
    answer = up.json("runs", "retry", first["id"][:8], "--wait")
    run = answer["run"]
    assert (answer["status"], run["kind"], run["attempt"], run["retry_of"]) == ("ok", "retry", 2, first["id"])
    assert run["id"][:8] in up.json("runs", "retry", first["id"], status=1)["error"]["message"]
    assert "did not fail" in up.json("runs", "retry", run["id"], status=1)["error"]["message"]
    assert [attempt["attempt"] for attempt in up.json("runs", "show", run["id"])["run"]["attempts"]] == [1, 2]
    up.json("jobs", "remove", "mendable")


def test_a_retry_may_change_values_and_needs_an_enabled_job(up: Ocs) -> None:
    up.json("jobs", "add", "changed", "--shell", "exit 3")
    first = up.json("jobs", "run", "changed", "--wait", status=1)["run"]
    up.json("jobs", "disable", "changed")
    assert "disabled" in up.json("runs", "retry", first["id"], status=1)["error"]["message"]
    up.json("jobs", "enable", "changed")
    answer = up.json("runs", "retry", first["id"], "--wait", "--set", "run.shell.command=echo other")
    assert answer["run"]["summary"].endswith("other")
    up.json("jobs", "remove", "changed")


def test_a_retry_that_comes_by_itself_is_not_made_twice(up: Ocs) -> None:
    up.write("later", "id: later\nrun: exit 1\nretry: {max: 1, delay: 1h}\n")
    up.json("deploy")
    up.json("jobs", "run", "later")
    run = eventually(lambda: next(iter(up.json("runs", "list", "--status", "retrying")["runs"]), None))
    assert "ocs queue list" in up.json("runs", "retry", run["id"], status=1)["error"]["hint"]
    (waiting,) = up.json("queue", "list", "--job", "later")["queue"]
    assert (waiting["kind"], waiting["waits_for"], waiting["retry_of"]) == ("retry", "its time", run["id"])
    assert up.json("queue", "cancel", waiting["id"][:8])["dispatch"]["job"] == "later"
    assert up.json("queue", "list", "--job", "later")["queue"] == []
    assert "Nothing" in up("queue", "list", "--job", "later").out
    assert up.json("queue", "cancel", waiting["id"], status=1)["error"]["code"] == "not_found"
    up.json("jobs", "remove", "later")


def test_a_run_waits_for_its_pool_and_goes_on_when_there_is_room(up: Ocs, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for job in ("first", "second", "third"):
        up.write(
            f"{job}-pooled",
            f"id: {job}-pooled\nlimits: {{pool: shared}}\nrun: until [ -e {gate} ]; do sleep 0.1; done\n",
        )
    up.json("deploy")
    assert up.json("pools", "list")["pools"] == [{"name": "shared", "slots": 1, "running": 0, "waiting": 0}]
    up.json("jobs", "run", "first-pooled")
    running(up, "first-pooled")
    with up.started("jobs", "run", "second-pooled", "--wait") as waiting:
        queue = eventually(lambda: [row for row in up.json("queue", "list")["queue"] if row["waiting_since"]])
        assert (queue[0]["job"], queue[0]["waits_for"]) == ("second-pooled", "a slot of the pool shared")
        assert "a slot of the pool shared" in up("queue", "list").out
        assert up.json("pools", "set", "shared", "2")["pool"] == {"name": "shared", "slots": 2}
        running(up, "second-pooled")  # at once, and not with the worker's next look
        up.json("jobs", "run", "third-pooled")
        eventually(lambda: up.json("pools", "list")["pools"][0]["waiting"] == 1)
        assert up.json("jobs", "cancel", "third-pooled")["withdrawn"] == 1
        gate.touch()
        said, told = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0
    assert "waits for a slot of the pool shared" in told
    assert re.search(r"^ok\s+second-pooled", said, flags=re.MULTILINE)
    assert run_of(up, "third-pooled") is None
    assert up("pools", "set", "shared", "0").status == 2
    for job in ("first", "second", "third"):
        up.json("jobs", "remove", f"{job}-pooled")


def test_who_runs_a_job_that_is_at_work_is_told_so_waits_its_turn_or_joins(up: Ocs, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    up.write("busy", f"id: busy\nrun: echo begun; until [ -e {gate} ]; do sleep 0.1; done; exit 3\n")
    up.json("deploy", "busy")
    assert up.json("jobs", "run", "busy")["outcome"] == "dispatched"
    run = running(up, "busy")
    told = up.json("jobs", "run", "busy", status=1)
    assert (told["outcome"], told["run"]["id"], told["dispatch"]) == ("skipped", run["id"], None)
    said = up("jobs", "run", "busy").err
    assert run["id"][:8] in said
    assert "--queue" in said
    # Nobody gets another run than he asked for.
    other = up.json("jobs", "run", "busy", "--wait", "--set", "run.timeout=1m", status=1)
    assert (other["outcome"], other["run"]["id"]) == ("skipped", run["id"])
    queued = up.json("jobs", "run", "busy", "--queue", "--set", "run.shell.command=echo its turn")
    assert queued["outcome"] == "queued"
    eventually(lambda: "an earlier run of the job" in [row["waits_for"] for row in up.json("queue", "list")["queue"]])
    with up.started("--json", "jobs", "run", "busy", "--wait") as joining:
        assert joining.stderr is not None
        assert run["id"][:8] in joining.stderr.readline()
        gate.touch()
        said, _ = joining.communicate(timeout=PATIENCE)
    answer = json.loads(said)
    assert (answer["outcome"], answer["run"]["id"], answer["status"]) == ("joined", run["id"], "error")
    assert joining.returncode == 1

    def had_its_turn() -> bool:
        newest = run_of(up, "busy")
        return newest is not None and newest["id"] != run["id"] and newest["status"] == "ok"

    eventually(had_its_turn)
    up.json("jobs", "remove", "busy")


def test_a_watch_tells_each_change_once_and_ends_quietly(up: Ocs) -> None:
    run = up.json("jobs", "run", "hello", "--wait")["run"]
    with up.started("runs", "watch", "--job", "hello", "-n", "1") as watching:
        assert watching.stdout is not None
        assert run["id"][:8] in watching.stdout.readline()
        newer = up.json("jobs", "run", "hello", "--wait")["run"]
        line = watching.stdout.readline()
        while "ok" not in line:
            line = watching.stdout.readline()
        assert newer["id"][:8] in line
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 130
    assert told == ""
    assert up.json("runs", "watch", status=2)["error"]["code"] == "usage"


def test_logs_are_followed_to_the_end_of_a_run(up: Ocs, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    up.json("jobs", "add", "chatty", "--shell", f"echo begun; until [ -e {gate} ]; do sleep 0.1; done; echo over")
    up.json("jobs", "run", "chatty")
    run = running(up, "chatty")
    with up.started("runs", "logs", run["id"], "--follow") as following:
        assert following.stdout is not None
        line = following.stdout.readline()
        while "begun" not in line:
            line = following.stdout.readline()
        meanwhile = up("runs", "output", run["id"])
        assert (meanwhile.status, f"ocs runs logs {run['id'][:8]}" in meanwhile.err) == (0, True)
        gate.touch()
        said, _ = following.communicate(timeout=PATIENCE)
    assert "over" in said
    assert following.returncode == 0
    up.json("jobs", "remove", "chatty")


def test_only_keys_that_block_nothing_are_pruned(up: Ocs) -> None:
    run = up.json("jobs", "run", "hello", "--wait")["run"]
    up.json("idem", "prune")
    key = next(key for key in up.json("idem", "list", "-n", "1000")["keys"] if key["run"] == run["id"])
    up.json("idem", "release", key["key"])
    assert up.json("idem", "prune")["pruned"] == 1
    assert key["key"] not in [row["key"] for row in up.json("idem", "list", "-n", "1000")["keys"]]
    assert up.json("runs", "show", run["id"])["run"]["status"] == "ok"


def test_ocs_alone_knows_the_server(up: Ocs) -> None:
    answer = up.json()
    assert answer["server"]["up"]
    assert answer["server"]["api_url"] == up.json("status")["server"]["api_url"]
