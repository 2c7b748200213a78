"""The commands that need a server, on the embedded one that `ocs up` starts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from ocs.cli.render.views import run_schema
from tests.cli.command import OCS, PATIENCE, Ocs
from tests.cli.live import ask, eventually, run_of, running

pytestmark = pytest.mark.e2e

RUN_KEYS = set(run_schema()["required"])


def test_status_has_its_keys(up: Ocs) -> None:
    answer = up.json("status")
    assert set(answer) >= {"server", "workers", "jobs", "running", "waiting", "next"}
    assert set(answer["server"]) >= {"url", "api_url", "version", "database"}
    assert answer["server"]["database"] == "sqlite"
    assert [worker["status"] for worker in answer["workers"]] == ["online"]
    assert answer["server"]["url"] in up("status").out


def test_metrics_are_served_beside_it(up: Ocs) -> None:
    address = f"http://{up.env['METRICS']}"
    eventually(lambda: httpx.get(f"{address}/ready").status_code == 200)
    assert httpx.get(f"{address}/health").status_code == 200
    assert "ocs_worker_slots 50.0" in httpx.get(f"{address}/metrics").text


def test_a_second_server_is_refused(up: Ocs) -> None:
    refused = up.json("up", "--detach", "--port", "0", status=1)["error"]
    assert "already running" in refused["message"]
    assert "ocs deploy" in refused["hint"]


def test_run_and_wait_shows_the_output_and_the_outcome(up: Ocs) -> None:
    said = up("jobs", "run", "hello", "--wait")
    assert said.status == 0
    assert said.out.splitlines()[0] == "hello"
    assert re.search(r"^ok\s+hello", said.out, flags=re.MULTILINE)
    assert "/runs/flow-run/" in said.out


def test_run_and_wait_in_json_is_one_document(up: Ocs) -> None:
    said = up("jobs", "run", "hello", "--wait", "--json")
    answer = said.json
    assert (said.status, answer["ok"], answer["job"], answer["status"]) == (0, True, "hello", "ok")
    assert answer["dispatch"]
    assert set(answer["run"]) >= RUN_KEYS
    assert datetime.fromisoformat(answer["run"]["started_at"]).utcoffset() is not None
    assert said.err.splitlines() == ["hello"]


def test_a_job_starts_in_its_project(up: Ocs) -> None:
    """As in the example of `ocs jobs add --help`."""
    script = up.folder / "backup.sh"
    script.write_text("#!/bin/sh\necho saved\n")
    script.chmod(0o755)
    up.json("jobs", "add", "in-place", "--shell", "./backup.sh")
    assert up.json("jobs", "show", "in-place")["job"]["starts_in"] == str(up.folder)
    assert up.json("jobs", "run", "in-place", "--wait")["run"]["folder"] == str(up.folder)


def test_a_run_cannot_end_what_runs_it(up: Ocs) -> None:
    up.json("jobs", "add", "the-end", "--shell", f"{OCS} down --now", "--env", f"OCS_HOME={up.home}")
    run = up.json("jobs", "run", "the-end", "--wait", status=1)["run"]
    assert "of the-end, which ocs down would wait for" in up("runs", "output", run["id"], "--stderr").out


def test_run_without_waiting_says_where_to_look(up: Ocs) -> None:
    assert "/runs/flow-run/" in up("jobs", "run", "hello").out
    answer = up.json("jobs", "run", "hel")
    assert answer["dispatch"]
    assert answer["flow_run_id"]


def test_a_failed_run_is_followed_to_its_last_attempt(up: Ocs) -> None:
    text = "id: failing\nrun: 'echo out; echo broken >&2; exit 3'\nretry: {max: 1, delay: 1s}\n"
    up.write("failing", text)
    up.json("deploy")
    said = up("jobs", "run", "failing", "--wait")
    assert said.status == 1
    assert said.out.splitlines().count("out") == 2
    assert "Attempt 1" in said.err
    assert said.err.splitlines().count("broken") == 2  # each attempt's, once
    assert re.search(r"^error\s+failing", said.out, flags=re.MULTILINE)
    last, first = up.json("runs", "list", "--job", "failing")["runs"]
    assert (last["attempt"], last["retry_of"], last["kind"]) == (2, first["id"], "retry")
    assert {first["exit_code"], last["exit_code"]} == {3}
    answer = up.json("jobs", "run", "failing", "--wait", "--set", "retry.max=0", status=1)
    assert (answer["error"]["code"], answer["status"], answer["run"]["exit_code"]) == ("run_failed", "error", 3)


def test_values_can_be_set_for_one_run(up: Ocs) -> None:
    answer = up.json("jobs", "run", "hello", "--wait", "--set", "run.shell.command=echo {{a}}: b")
    assert "{{a}}: b" in answer["run"]["summary"]
    assert up.json("jobs", "run", "hello", "--wait")["run"]["summary"].endswith("hello")
    bad = up.json("jobs", "run", "hello", "--set", "retry.max=many", "--set", "run.timout=1m", status=1)
    assert {problem["path"] for problem in bad["errors"]} == {"retry.max", "run.timout"}


def test_unknown_jobs_are_looked_for_in_the_catalogue_and_on_the_server(up: Ocs, tmp_path: Path) -> None:
    assert "Nearest: hello" in up.json("jobs", "run", "helo", status=1)["error"]["message"]
    up.write("unsent", "id: unsent\nrun: echo\n")
    assert "ocs deploy unsent" in up.json("jobs", "run", "unse", status=1)["error"]["hint"]
    up.json("jobs", "remove", "unsent")
    elsewhere = Ocs(tmp_path, up.home, mother=up.mother)
    assert elsewhere.json("jobs", "run", "hello", "--wait")["status"] == "ok"
    assert "echo hello" in elsewhere("jobs", "show", "hello").out
    assert "Nearest: hello" in elsewhere("jobs", "show", "helo").err


def test_an_added_job_is_rolled_out_and_a_removed_one_is_gone(up: Ocs) -> None:
    assert up.json("jobs", "add", "fleeting", "--shell", "echo there")["deployed"]
    assert up.json("jobs", "show", "fleeting")["job"]["deployment_id"]
    assert up.json("jobs", "run", "fleeting", "--wait")["status"] == "ok"
    assert up.json("jobs", "remove", "fleeting")["deployment_removed"]
    assert up.json("jobs", "run", "fleeting", status=1)["error"]["code"] == "not_found"
    assert run_of(up, "fleeting") is not None  # history stays


def test_an_id_of_another_project_is_refused_and_nothing_is_written(up: Ocs, tmp_path: Path) -> None:
    other = Ocs(tmp_path / "other", up.home, mother=up.mother)
    other.folder.mkdir()
    other.json("init")
    for starter in ("tell-somebody", "disk-alarm", "hello", "backup"):
        other.json("jobs", "remove", starter, "--no-deploy")
    before = (other.folder / "prefect.yaml").read_text()
    error = other.json("jobs", "add", "hello", "--shell", "true", status=1)["error"]
    assert "live" in error["message"]
    assert not list((other.folder / "deployments" / "jobs").iterdir())
    assert (other.folder / "prefect.yaml").read_text() == before
    up("jobs", "run", "hello", "--wait")
    other.write("hello", "id: hello\nrun: 'true'\n")
    (theirs,) = other.json("jobs", "list")["jobs"]
    assert (theirs["belongs_to"], theirs["last_run"]) == ("live", None)
    assert "hello (live)" in other("jobs", "show", "hello").err


def test_a_disabled_job_has_no_times_but_can_be_run_by_hand(up: Ocs) -> None:
    up.json("jobs", "add", "paused", "--cron", "@yearly", "--shell", "echo by hand")
    assert up.json("jobs", "disable", "paused")["deployed"]
    jobs = {job["id"]: job for job in up.json("jobs", "list", "--all")["jobs"]}
    assert (jobs["paused"]["enabled"], jobs["paused"]["next_run"]) == (False, None)
    assert up.json("jobs", "run", "paused", "--wait")["status"] == "ok"
    assert up.json("jobs", "enable", "paused")["job"]["next_run"]
    up.json("jobs", "remove", "paused")


def test_cancelling_a_run_ends_what_it_started(up: Ocs, tmp_path: Path) -> None:
    marker = tmp_path / "alive"
    command = f"(while true; do date > {marker}; sleep 0.1; done) & wait"
    up.json("jobs", "add", "endless", "--shell", command, "--retry", "3")
    up.json("jobs", "run", "endless")
    run = running(up, "endless")
    eventually(marker.exists)
    answer = up.json("runs", "cancel", run["id"][:8])
    assert (answer["run"]["id"], answer["run"]["status"]) == (run["id"], "cancelled")
    marker.unlink()
    assert "already" in up.json("runs", "cancel", run["id"], status=1)["error"]["message"]
    # Calling the command took longer than the loop's pause: had it survived, the file would be back.
    assert not marker.exists()
    assert len(up.json("runs", "list", "--job", "endless")["runs"]) == 1


def test_cancelling_a_job_ends_its_runs_and_those_of_its_children(up: Ocs) -> None:
    up.json("jobs", "add", "parent", "--shell", "sleep 600")
    up.json("jobs", "add", "child", "--after", "parent", "--on", "complete", "--shell", "sleep 600")
    up.json("jobs", "run", "parent")
    up.json("jobs", "run", "child")
    running(up, "parent")
    running(up, "child")
    assert up.json("jobs", "cancel", "parent", "--no-cascade")["jobs"] == ["parent"]
    assert running(up, "child")["status"] == "running"
    up.json("jobs", "run", "parent")
    running(up, "parent")
    answer = up.json("jobs", "cancel", "parent")
    assert (answer["jobs"], len(answer["cancelled"])) == (["parent", "child"], 2)
    assert {run["status"] for run in up.json("runs", "list", "-n", "3")["runs"]} == {"cancelled"}
    assert "Nothing" in up("jobs", "cancel", "parent").out


def test_a_retry_that_waits_is_shown_and_withdrawn(up: Ocs) -> None:
    up.write("waits", "id: waits\nrun: exit 1\nretry: {max: 1, delay: 1h}\n")
    up.json("deploy")
    up.json("jobs", "run", "waits")
    run = eventually(lambda: next(iter(up.json("runs", "list", "--status", "retrying")["runs"]), None))
    assert (run["job"], run["status"]) == ("waits", "retrying")
    assert up.json("status")["waiting"] >= 1
    assert "ocs jobs cancel waits" in up.json("runs", "cancel", run["id"], status=1)["error"]["hint"]
    story = up.json("runs", "show", run["id"])["run"]
    assert [waiting["kind"] for waiting in story["waiting"]] == ["retry"]
    assert up.json("jobs", "cancel", "waits")["withdrawn"] == 1
    assert up.json("runs", "show", run["id"])["run"]["status"] == "error"


def test_a_run_tells_its_story(up: Ocs) -> None:
    up.json("jobs", "add", "first", "--shell", "echo one; echo two >&2")
    up.json("jobs", "add", "second", "--after", "first", "--shell", "true")
    run = up.json("jobs", "run", "first", "--wait")["run"]
    child = eventually(lambda: run_of(up, "second"))
    of_run = {"flow_runs": {"id": {"any_": [run["flow_run_id"]]}}}
    (task, *_) = ask(up, "POST", "/task_runs/filter", of_run)
    dispatch = up.json("jobs", "run", "first", "--wait")["dispatch"]
    tasks = (task["id"], task["id"].replace("-", ""), task["id"][:13])
    for given in (run["flow_run_id"], run["flow_run_id"][:8], *tasks):
        assert up.json("runs", "show", given)["run"]["id"] == run["id"]
    newest = up.json("runs", "show", dispatch)["run"]["id"]
    assert newest == up.json("runs", "show", "first")["run"]["id"] != run["id"]
    assert up.json("runs", "output", "--last")["run"]
    story = up.json("runs", "show", run["id"][:8])["run"]
    assert set(story) >= RUN_KEYS
    assert story["children"] == [child["id"]]
    assert [followed["job"] for followed in story["followed_by"]] == ["second"]
    assert run["flow_run_id"] in story["ui_url"]
    assert "after first" in up.json("runs", "show", child["id"])["run"]["why"]
    said = up("runs", "show", run["id"]).out
    for words in ("by hand", "second", "one", "two", "/runs/flow-run/"):
        assert words in said


def test_output_is_given_back_as_it_was(up: Ocs) -> None:
    up.json("jobs", "add", "large", "--shell", "seq 100000; echo wrong >&2")
    run = up.json("jobs", "run", "large", "--wait")["run"]
    said = up("runs", "output", run["id"])
    assert said.out.splitlines() == [str(number) for number in range(1, 100001)]
    assert said.err == ""
    assert up("runs", "output", run["id"], "--stderr").out == "wrong\n"
    answer = up.json("runs", "output", run["id"])
    assert answer["output"].splitlines()[-1] == "100000"
    Path(answer["path"]).unlink()
    assert answer["path"] in up.json("runs", "output", run["id"], status=1)["error"]["message"]


def test_logs_are_prefects(up: Ocs) -> None:
    run = up.json("jobs", "run", "hello", "--wait")["run"]

    def arrived() -> bool:
        return "hello" in [line["message"] for line in up.json("runs", "logs", run["id"])["logs"]]

    assert eventually(arrived)
    assert "hello" in up("runs", "logs", run["id"][:8], "--follow").out


def test_lists_can_be_narrowed(up: Ocs) -> None:
    up.json("jobs", "run", "hello", "--wait")
    assert len(up.json("runs", "list", "-n", "1")["runs"]) == 1
    assert {run["job"] for run in up.json("runs", "list", "--job", "hello")["runs"]} == {"hello"}
    assert up.json("runs", "list", "--since", "2099-01-01T00:00:00Z")["runs"] == []
    assert up.json("runs", "list", "--since", "1h", "--status", "ok")["runs"]


def test_a_key_is_shown_and_released_once(up: Ocs) -> None:
    run = up.json("jobs", "run", "hello", "--wait")["run"]
    key = next(key for key in up.json("idem", "list", "--job", "hello")["keys"] if key["run"] == run["id"])
    assert up.json("idem", "show", key["key"][:12])["key"] == key
    assert up.json("idem", "release", key["key"][:12])["key"]["status"] == "released"
    assert up.json("idem", "release", key["key"], status=1)["error"]["code"] == "refused"


def test_another_worker_takes_runs_and_drains(up: Ocs) -> None:
    with up.started("worker", "--name", "second", "--limit", "2") as worker:
        eventually(lambda: "second" in [worker["name"] for worker in up.json("status")["workers"]])
        worker.send_signal(signal.SIGINT)
        _, said = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0
    assert "second has ended" in said
    assert "Traceback" not in said


def test_interrupting_a_wait_says_that_the_run_goes_on(up: Ocs) -> None:
    up.json("jobs", "add", "long", "--shell", "echo begun; sleep 600")
    with up.started("jobs", "run", "long", "--wait") as waiting:
        running(up, "long")
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    assert "ocs jobs cancel long" in said
    assert "Traceback" not in said
    up.json("jobs", "cancel", "long")


def test_up_stays_until_it_is_interrupted_and_drains(ocs: Ocs, with_database: Callable[[Path], Path]) -> None:
    with_database(ocs.home)
    ocs.write("slow", "id: slow\nrun: sleep 3; echo done\n")
    with ocs.started("up", "--port", "0") as server:
        assert server.stdout is not None
        shown = re.search(r"http://\S+", server.stdout.readline())
        assert shown, server.communicate()
        url = shown[0]
        assert ocs.json("status")["server"]["url"] == url
        ocs.json("jobs", "run", "slow")
        run = running(ocs, "slow")
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert "Traceback" not in said
    assert ocs("status").status == 3
    assert ocs.json("runs", "show", run["id"])["run"]["status"] == "ok"  # it was let end


def test_a_project_that_is_refused_leaves_no_server_behind(ocs: Ocs, with_database: Callable[[Path], Path]) -> None:
    with_database(ocs.home)
    ocs.write("careful", "id: careful\ncontract: {}\nrun: echo\n")
    answer = ocs.json("up", "--detach", "--port", "0", status=1)
    assert answer["errors"][0]["path"] == "contract"
    assert ocs("status").status == 3
