"""`ocs doctor`: what is wrong is found and named with the command that mends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer

from ocs.cli.doctor import command
from ocs.cli.doctor.project import Finding, State
from ocs.cli.render.output import Mode
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import open_store
from ocs.store.tables import DispatchRow, DispatchStatus, Mark, Run
from ocs.store.tables_incidents import IncidentRow
from tasks.recovery import owner
from tasks.strategies import sessions
from tests.cli.command import Ocs
from tests.cli.forked import Mother
from tests.cli.live import eventually, prefect, running

NOBODY = "127.0.0.1:9"
"""Where nothing listens."""


def findings(ocs: Ocs, *options: str, **env: str) -> dict[str, list[dict[str, Any]]]:
    """By the check's name, whatever the status."""
    found: dict[str, list[dict[str, Any]]] = {}
    said = ocs("doctor", "--json", *options, **env)
    assert said.json["ok"] is (said.status == 0)
    for check in said.json["checks"]:
        found.setdefault(check["name"], []).append(check)
    return found


def states(found: dict[str, list[dict[str, Any]]], name: str) -> set[str]:
    return {check["state"] for check in found[name]}


async def write_rows(home: Path, *rows: Run | DispatchRow | IncidentRow | Mark) -> None:
    """Rows as a program that died has left them."""
    store = open_store(f"sqlite+aiosqlite:///{home / 'store.db'}")
    await store.migrate()
    async with store.transaction() as session:
        session.add_all(rows)
    await store.close()


def orphan(job: str, flow_run_id: UUID | None = None) -> Run:
    before = datetime.now(UTC) - timedelta(hours=1)
    return Run(
        job_id=job,
        kind=DispatchKind.MANUAL,
        status=RunStatus.RUNNING,
        flow_run_id=flow_run_id or uuid4(),
        scheduled_for=before,
        started_at=before,
        lease_until=before,
    )


def unsent(job: str, age: timedelta, released: timedelta | None = None) -> DispatchRow:
    now = datetime.now(UTC)
    return DispatchRow(
        job_id=job,
        kind=DispatchKind.RETRY,
        status=DispatchStatus.PENDING,
        scheduled_for=now + timedelta(hours=1),
        created_at=now - age,
        released_at=now - released if released is not None else None,
    )


@contextmanager
def other_server(version: str) -> Iterator[str]:
    """Something that says it is a Prefect server of that version, and has nothing in it."""
    said = {"/api/health": True, "/api/admin/version": version}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in said else 404)
            self.end_headers()
            self.wfile.write(json.dumps(said.get(self.path, {})).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


def test_without_a_server_the_rest_is_examined_all_the_same(ocs: Ocs) -> None:
    ocs.write("hello", "id: hello\nrun: echo\ndeliver: {when: never}\n")
    said = ocs("doctor")
    assert said.status == 1
    assert said.err.strip() == "1 problem, 1 warning."
    answer = ocs.json("doctor", status=1)
    assert (answer["error"]["code"], answer["error"]["message"]) == ("unwell", "1 problem, 1 warning.")
    assert all(set(check) == {"name", "state", "finding", "mend", "fixed"} for check in answer["checks"])
    assert answer["checks"][-1]["state"] == "problem"  # next to the sentence
    found = findings(ocs)
    assert [(check["state"], check["mend"]) for check in found["server"]] == [("problem", "ocs up --detach")]
    for name in ("versions", "home", "disk", "data", "store"):
        assert states(found, name) == {"ok"}


def test_broken_job_files_are_named(ocs: Ocs) -> None:
    ocs.write("broken", "id: broken\nrun: [\n")
    (problem,) = findings(ocs)["project"]
    assert (problem["state"], "broken.yaml:3" in problem["finding"]) == ("problem", True)
    ocs.write("broken", "id: broken\nrun: echo\ncontract: {sandbox: strict}\n")
    unsupported = findings(ocs)["project"][-1]
    assert (unsupported["state"], "contract" in unsupported["finding"]) == ("problem", True)


def test_a_project_that_is_none_is_a_finding(ocs: Ocs) -> None:
    found = findings(ocs, OCS_PROJECT=str(ocs.home.parent))
    assert (states(found, "project"), states(found, "store")) == ({"problem"}, {"ok"})


def test_what_others_may_read_is_mended(ocs: Ocs) -> None:
    ocs("runs", "list")  # makes the store
    ocs.write("hello", "id: hello\nrun: echo\n")
    store = ocs.home / "store.db"
    with closing(sqlite3.connect(store)) as held:  # so that there is a journal beside it
        held.execute("SELECT * FROM alembic_version").fetchall()
        files = list(ocs.home.glob("store.db*"))
        assert len(files) == 3
        for path in files:
            path.chmod(0o644)
        ocs.home.chmod(0o755)
        found = findings(ocs)
        assert (found["store file"][-1]["state"], found["home"][-1]["state"]) == ("problem", "warning")
        assert found["project"][-1]["state"] == "warning"  # prefect.yaml does not know the job yet
        assert not any(check["fixed"] for checks in found.values() for check in checks)
        mended = findings(ocs, "--fix")
        assert all(mended[name][-1]["fixed"] for name in ("store file", "home", "project"))
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert ocs.home.stat().st_mode & 0o777 == 0o700
    assert "hello" in (ocs.folder / "prefect.yaml").read_text()
    found = findings(ocs)
    assert all(states(found, name) == {"ok"} for name in ("store", "home", "project"))


def test_what_others_may_read_or_change_is_mended_and_nothing_else(ocs: Ocs) -> None:
    ocs("backup", "create")
    ocs("runs", "list")
    job = ocs.write("hello", "id: hello\nrun: echo\n")
    kept, elsewhere = ocs.home / "logs" / "up.log", ocs.home.parent / "letter"
    kept.parent.mkdir(mode=0o700)
    for path, mode in ((kept, 0o644), (elsewhere, 0o644), (job, 0o666)):
        path.touch()
        path.chmod(mode)
    (ocs.home / "link").symlink_to(elsewhere)
    found = {check["state"]: check["finding"] for check in findings(ocs)["files"]}
    assert f"1 file in {ocs.home} can be read by others, such as {kept}" in found["warning"]
    assert f"Other users can change {job}: they could run commands as you." in found["problem"]
    assert all(check["fixed"] for check in findings(ocs, "--fix")["files"])
    assert [path.stat().st_mode & 0o777 for path in (kept, elsewhere, job)] == [0o600, 0o644, 0o644]
    assert states(findings(ocs), "files") == {"ok"}


def test_the_schema_of_another_version_is_mended_once_a_person_agrees(outside: Ocs) -> None:
    outside.json("init")
    schema = outside.folder / "deployments" / "job.schema.json"
    current = schema.read_text()
    schema.write_text("{}")
    assert f"ocs schema job > {schema}" in [check["mend"] for check in findings(outside)["project"]]
    said = outside.at_terminal("doctor", "--fix", typed="n\n" * 9)
    assert f"{schema} is that of another version" in said.err
    assert schema.read_text() == "{}"
    outside.at_terminal("doctor", "--fix", typed="y\n" * 9)
    assert schema.read_text() == current
    assert states(findings(outside), "project") == {"ok"}


def test_a_store_that_is_no_file_changes_no_folder(ocs: Ocs) -> None:
    ocs.folder.chmod(0o755)
    for url in ("sqlite+aiosqlite://", f"sqlite+aiosqlite:///{ocs.folder}"):
        findings(ocs, "--fix", OCS_STORE_URL=url)
        assert ocs.folder.stat().st_mode & 0o777 == 0o755


def test_a_home_that_others_use_too_is_left_as_it_is(ocs: Ocs) -> None:
    ocs.home.mkdir()
    ocs.home.chmod(0o1777)  # like /tmp
    (warning,) = findings(ocs, "--fix")["home"]
    assert (warning["state"], warning["fixed"], "chmod" in warning["mend"]) == ("warning", False, False)
    assert ocs.home.stat().st_mode & 0o1777 == 0o1777


def test_a_home_that_cannot_be_used(ocs: Ocs) -> None:
    ocs.home.write_text("a file")
    assert states(findings(ocs), "home") == {"problem"}


def test_a_store_of_a_newer_version(ocs: Ocs) -> None:
    ocs("runs", "list")
    with closing(sqlite3.connect(ocs.home / "store.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    newer = findings(ocs)["store"][-1]
    assert (newer["state"], "newer version" in newer["finding"]) == ("problem", True)
    assert newer["mend"].startswith("Update")


@pytest.mark.parametrize(("file", "check"), [("store.db", "store file"), ("prefect/prefect.db", "history")])
def test_a_damaged_database(ocs: Ocs, file: str, check: str) -> None:
    path = ocs.home / file
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch(0o600)
    path.write_bytes(b"not a database" * 1000)
    damaged = next(each for each in findings(ocs)[check] if "damaged" in each["finding"])
    assert (damaged["state"], "backup" in damaged["mend"]) == ("problem", True)


def test_a_database_that_is_only_locked_is_not_called_damaged(ocs: Ocs) -> None:
    path = ocs.home / "prefect" / "prefect.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("CREATE TABLE kept (value)")
        holder.execute("BEGIN EXCLUSIVE")
        (locked,) = findings(ocs)["history"]
    assert (locked["state"], "damaged" in locked["finding"], "away" in locked["mend"]) == ("problem", False, False)


async def test_what_a_dead_program_left_in_the_store_is_named(ocs: Ocs) -> None:
    orphans = [orphan("lost") for _ in range(7)]
    stuck = unsent("stuck", timedelta(minutes=6))
    sent = [unsent("young", timedelta(minutes=4)), unsent("released", timedelta(hours=1), timedelta(seconds=1))]
    await write_rows(ocs.home, *orphans, stuck, *sent)
    found = findings(ocs)
    *named, more = found["runs"]
    assert len(named) == 5
    assert {check["mend"] for check in named} <= {f"ocs runs cancel {str(run.id)[:8]}" for run in orphans}
    assert "2 further runs" in more["finding"]
    (outbox,) = found["outbox"]
    assert (outbox["state"], outbox["finding"].endswith("1 run of stuck.")) == ("warning", True)


async def test_what_lives_of_a_run_that_nobody_executes_is_named(ocs: Ocs) -> None:
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        gone = orphan("lost")
        gone.owner = owner.me().rpartition(":")[0] + ":1"
        gone.pid, gone.pid_started_at = left.pid, sessions.started_at(left.pid)
        await write_rows(ocs.home, gone)
        (named,) = findings(ocs)["runs"]
        assert f"Of it there are still: {left.pid} (sleep)." in named["finding"]
    finally:
        left.kill()
        left.wait()


def test_a_gateway_that_is_named_is_asked(ocs: Ocs) -> None:
    secrets = {"OPENCLAW_GATEWAY_TOKEN": "not-to-be-shown"}
    named = {**secrets, "OPENCLAW_GATEWAY_URL": f"ws://me:not-to-be-shown@{NOBODY}/?token=not-to-be-shown"}
    (problem,) = findings(ocs, **named)["gateway"]
    assert problem["state"] == "problem"
    said = ocs("doctor", **named)
    assert NOBODY in said.out
    assert "not-to-be-shown" not in said.out + said.err
    assert states(findings(ocs, OPENCLAW_GATEWAY_URL="ws://host:many"), "gateway") == {"problem"}
    assert "gateway" not in findings(ocs)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # it speaks no HTTP
        address = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        assert states(findings(ocs, **secrets, OPENCLAW_GATEWAY_URL=address), "gateway") == {"ok"}
        assert states(findings(ocs, OPENCLAW_GATEWAY_URL=address), "gateway") == {"warning"}


def test_no_password_of_an_address_is_shown(ocs: Ocs) -> None:
    store = f"postgresql+asyncpg://me:hunter2@{NOBODY}/ocs"
    said = ocs("doctor", PREFECT_API_URL=f"http://me:hunter2@{NOBODY}/api", OCS_STORE_URL=store)
    assert said.out.count(NOBODY) == 2
    assert "hunter2" not in said.out + said.err


def test_a_prefect_that_is_not_supported(ocs: Ocs, tmp_path: Path) -> None:
    metadata = tmp_path / "first" / "prefect-3.10.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: prefect\nVersion: 3.10.0\n")
    (problem,) = findings(ocs, PYTHONPATH=str(tmp_path / "first"))["versions"]
    assert (problem["state"], "3.10.0" in problem["finding"]) == ("problem", True)
    assert problem["mend"].startswith("pip install 'prefect")


def test_a_server_of_another_version_without_a_work_pool(ocs: Ocs) -> None:
    with other_server("3.8.0") as api_url:
        found = findings(ocs, PREFECT_API_URL=api_url)
    assert "3.8.0" in found["server"][0]["finding"]
    assert [(check["state"], check["mend"]) for check in found["workers"]] == [("problem", "ocs worker")]


def test_a_killed_server_is_told_and_its_file_cleared_away(ocs: Ocs) -> None:
    ocs.home.mkdir(mode=0o700)
    state = {"pid": 1, "url": f"http://{NOBODY}", "api_url": f"http://{NOBODY}/api", "port": 9, "started_at": ""}
    left = ocs.home / "up.json"
    left.write_text(json.dumps({**state, "server_pid": 1, "worker_pid": 1}))
    killed = findings(ocs, "--fix")["server"][0]
    assert (killed["state"], killed["fixed"], killed["mend"]) == ("warning", True, "ocs up --detach")
    assert not left.exists()
    assert len(findings(ocs)["server"]) == 1


def test_a_check_or_a_fix_that_fails_is_a_finding_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Iterator[Finding]:
        yield Finding("data", State.OK, "As far as that.")
        raise ValueError("an odd thing")

    def denied() -> None:
        raise PermissionError("it is not yours")

    monkeypatch.setenv("OCS_HOME", str(tmp_path))
    monkeypatch.setattr(Mode, "json", True)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setitem(command.ON_THIS_MACHINE, "data", fails)
    monkeypatch.setitem(
        command.ON_THIS_MACHINE, "home", lambda: iter([Finding("home", State.WARNING, "Open.", "chmod", denied)])
    )
    with pytest.raises(typer.Exit) as ended:
        command.doctor(fix=True)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().out
    for words in ("As far as that.", "an odd thing", "it is not yours", "ocs up --detach"):
        assert words in said


def test_jobs_of_whose_failures_nobody_hears_are_named_until_the_project_has_a_target(ocs: Ocs) -> None:
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    ocs.write("silent", "id: silent\nrun: echo hello\ndeliver: {when: never}\n")
    (found,) = findings(ocs)["failures"]
    assert found["state"] == "warning"
    assert found["finding"].startswith("Nobody hears when they fail: hello. ")
    (ocs.folder / "deployments" / "defaults.yaml").write_text("deliver: {to: ops}\n")
    assert states(findings(ocs), "failures") == {"ok"}


def test_an_incident_that_goes_on_is_named_with_what_to_type(ocs: Ocs) -> None:
    begun = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    row = IncidentRow(job_id="load", opened_at=begun, failures=3, troubles=["failing"], told_at=begun, times_told=1)
    ocs.home.mkdir(mode=0o700)
    asyncio.run(write_rows(ocs.home, row))
    (found,) = findings(ocs)["incidents"]
    assert (found["state"], found["mend"]) == ("warning", "ocs why load")
    assert found["finding"].startswith("load is failing since ")
    assert "3 failures; told 1 time" in found["finding"]


@pytest.mark.parametrize(
    ("ago", "state", "said"),
    [
        (timedelta(minutes=1), "ok", "last at"),
        (timedelta(hours=1), "warning", "and not since"),
        (timedelta(days=30), "ok", "OCS_PING_URL names who is told"),
    ],
)
def test_an_outside_that_is_not_told_any_more_is_named(ocs: Ocs, ago: timedelta, state: str, said: str) -> None:
    ocs.home.mkdir(mode=0o700)
    asyncio.run(write_rows(ocs.home, Mark(name="pinged", at=datetime.now(UTC) - ago)))
    (found,) = findings(ocs)["ping"]
    assert found["state"] == state
    assert said in found["finding"]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, with_database: Callable[[Path], Path], bare: Mother
) -> Iterator[Ocs]:
    """A project on a server of its own, with which nothing is wrong."""
    root = tmp_path_factory.mktemp("doctor")
    (root / "project" / "deployments" / "jobs").mkdir(parents=True)
    (root / "project" / "prefect.yaml").write_text("name: doctor\n")
    ocs = Ocs(root / "project", with_database(root / "home"), mother=bare)
    ocs.home.chmod(0o700)
    (root / "project" / "deployments" / "defaults.yaml").write_text("deliver: {when: never}\n")
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    ocs.write("drifts", 'id: drifts\nschedule: "@yearly"\nrun: echo 1\n')
    try:
        ocs.json("up", "--detach", "--port", "0")
        yield ocs
    finally:
        assert ocs("down", "--now").status == 0


@contextmanager
def pause(ocs: Ocs, job: str) -> Iterator[None]:
    """The job paused as somebody does it in Prefect, for a while."""
    with prefect(ocs) as client:
        deployment = client.read_deployment_by_name(f"job/{job}").id
        client.pause_deployment(deployment)
        yield
        client.resume_deployment(deployment)


@pytest.mark.e2e
def test_all_is_well_on_a_server_that_was_just_started(whole: Ocs) -> None:
    said = whole("doctor")
    assert said.status == 0, said
    assert said.out.rstrip().endswith("All well.")
    assert {check["state"] for check in whole.json("doctor")["checks"]} == {"ok"}


@pytest.mark.e2e
def test_drift_is_found_and_the_way_back(whole: Ocs) -> None:
    whole.write("drifts", 'id: drifts\nschedule: "@yearly"\nrun: echo 2\n')
    added = whole.write("unsent", "id: unsent\nrun: echo 1\n")
    with pause(whole, "hello"):
        found = findings(whole)
        assert {check["finding"]: check["mend"] for check in found["drift"]} == {
            "unsent: not rolled out.": "ocs deploy",
            "drifts: rolled out otherwise than the catalogue says.": "ocs deploy --plan",
            "hello: paused in the UI.": "ocs jobs enable hello",
        }
        assert whole("doctor").out.rstrip().endswith("4 warnings.")  # prefect.yaml is stale too
        findings(whole, "--fix")
        assert len(findings(whole)["drift"]) == 3  # a rollout is for a person to decide
    whole.json("deploy")
    added.unlink()
    (removed,) = findings(whole)["drift"]
    assert (removed["finding"], removed["mend"]) == ("unsent: rolled out without a file.", "ocs deploy --prune")
    whole.json("deploy", "--prune")
    assert states(findings(whole), "drift") == {"ok"}


@pytest.mark.e2e
def test_an_address_that_is_not_the_running_servers(whole: Ocs) -> None:
    elsewhere = findings(whole, PREFECT_API_URL=f"http://{NOBODY}/api")["server"]
    assert {(check["state"], check["mend"]) for check in elsewhere} >= {("warning", "unset PREFECT_API_URL")}
    assert states({"server": elsewhere}, "server") == {"warning", "problem"}
    api_url = whole.json("status")["server"]["api_url"].replace("127.0.0.1", "localhost")
    assert states(findings(whole, PREFECT_API_URL=api_url), "server") == {"ok"}


@pytest.mark.e2e
def test_a_paused_pool_and_a_worker_that_died(whole: Ocs) -> None:
    from prefect.client.schemas.actions import WorkPoolUpdate

    with prefect(whole) as client:
        client.update_work_pool("openclaw", WorkPoolUpdate(is_paused=True))
        assert "prefect work-pool resume openclaw" in {check["mend"] for check in findings(whole)["workers"]}
        client.update_work_pool("openclaw", WorkPoolUpdate(is_paused=False))
    state = json.loads((whole.home / "up.json").read_text())
    os.kill(state["pid"], signal.SIGSTOP)  # or it would start the worker again before it is looked for
    try:
        os.kill(state["worker_pid"], signal.SIGKILL)
        dead = findings(whole)["server"][-1]
        assert (dead["state"], "worker that ocs up started has ended" in dead["finding"]) == ("problem", True)
    finally:
        os.kill(state["pid"], signal.SIGCONT)
    eventually(lambda: states(findings(whole), "server") == {"ok"})


@pytest.mark.e2e
def test_the_command_for_a_run_that_nobody_executes_mends_it(whole: Ocs) -> None:
    whole.json("jobs", "add", "orphaned", "--shell", "sleep 600")
    whole.json("jobs", "run", "orphaned")
    run = running(whole, "orphaned")
    # As after its death: the lease is not renewed any more.
    with closing(sqlite3.connect(whole.home / "store.db", timeout=30)) as database:
        database.execute("UPDATE run SET lease_until = '2026-01-01 00:00:00.000000' WHERE job_id = 'orphaned'")
        database.commit()
    (named,) = findings(whole)["runs"]
    assert (named["state"], run["id"][:8] in named["finding"]) == ("warning", True)
    whole.json(*named["mend"].split()[1:])
    assert states(findings(whole), "runs") == {"ok"}
    whole.json("jobs", "remove", "orphaned")
