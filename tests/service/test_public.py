"""What `import ocs` offers, where no server is needed to see it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import ocs
from ocs.cli.render.views import RUN_KEYS
from ocs.errors import InvalidJob, NotFound, Problem, Refused, ServerUnreachable, UsageError
from ocs.store import messages, open_store

FUNCTIONS = [name for name in ocs.__all__ if name.islower()]
PROBE = "import json, sys, ocs; print(json.dumps(sorted(sys.modules)))"


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"in": found}
    return found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a server, and no project."""
    for name in ("PREFECT_API_URL", "OCS_STORE_URL", "OCS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def project(folder: Path, **jobs: str) -> Path:
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text(f"name: {folder.name}\n")
    for job_id, run in jobs.items():
        (folder / "deployments" / "jobs" / f"{job_id}.yaml").write_text(f"id: {job_id}\nrun: {run}\n")
    return folder


def test_import_ocs_loads_nothing_else() -> None:
    ended = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    loaded = set(json.loads(ended.stdout))
    assert not loaded & {"pydantic", "prefect", "sqlmodel", "typer", "ocs.errors", "ocs.public"}


@pytest.mark.parametrize("name", ocs.__all__)
def test_each_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(ocs, name))
    assert name in dir(ocs)


def test_a_name_that_is_not_there_is_told_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ocs.nothing  # pyright: ignore


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(ocs, name)) or "")


def test_jobs_are_loaded_from_the_project_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, other = project(tmp_path / "named", hello="echo hello"), project(tmp_path / "other", else_="x")
    monkeypatch.setenv("OCS_PROJECT", str(other))
    assert ocs.load_jobs(named)["hello"].id == "hello"
    assert list(ocs.load_jobs(named / "deployments")) == ["hello"]


def test_what_is_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidJob) as told:
        ocs.load_jobs(project(tmp_path / "broken", one="[", two="{}"))
    assert len({problem.file for problem in told.value.problems}) == 2
    with pytest.raises(UsageError, match="No project"):
        ocs.load_jobs(tmp_path)


def test_a_document_is_checked_by_itself() -> None:
    assert ocs.parse_job({"id": "hello", "run": "echo hello"}).id == "hello"
    with pytest.raises(InvalidJob):
        ocs.parse_job({"id": "hello"})


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable):
        ocs.run("hello")
    with pytest.raises(ServerUnreachable):
        ocs.roll_out(project(tmp_path / "project", hello="echo hello"))


def test_the_store_is_asked_without_a_server() -> None:
    assert ocs.runs() == ocs.approvals() == []
    with pytest.raises(NotFound):
        ocs.output("3f2a9c1d")
    with pytest.raises(NotFound):
        ocs.approve("release")


async def test_a_program_with_an_event_loop_waits_for_the_coroutine() -> None:
    assert await ocs.runs.aio() == []
    with pytest.raises(UsageError) as told:
        ocs.runs()
    assert told.value.hint == "Write: await ocs.runs.aio(...)"


async def test_a_message_is_sent_by_whoever_the_program_runs_as() -> None:
    sent = await ocs.send_message.aio("The disk is full.", to="worker", sender="backup", metadata={"host": "db2"})
    store = open_store()
    try:
        (message,) = await messages.outbox(store, "backup", limit=9)
    finally:
        await store.close()
    assert (message.id, message.recipient, message.about) == (sent, "worker", {"host": "db2"})


@pytest.mark.parametrize(
    ("call", "told"),
    [(lambda: ocs.runs(status=["fine"]), 'No status "fine"'), (lambda: ocs.send_message("a", kind="b"), 'No kind "b"')],
)
def test_a_choice_that_is_none_is_told_with_those_there_are(call: Callable[[], object], told: str) -> None:
    with pytest.raises(UsageError, match=told) as wrong:
        call()
    assert "One of: " in (wrong.value.hint or "")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: ocs.runs(since=datetime(2026, 11, 1)), "since has no time zone"),  # noqa: DTZ001  what is refused
        (lambda: ocs.runs(limit=-1), "limit is a number"),
        (lambda: ocs.approvals(limit=10**30), "limit is a number"),
    ],
)
def test_a_number_or_a_moment_that_no_database_takes_is_told(call: Callable[[], object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()


@pytest.mark.parametrize("metadata", [{"at": object()}, {"x": float("nan")}, {"x": "x" * 20_000}, nested(5000)])
def test_metadata_that_cannot_be_kept_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="metadata"):
        ocs.send_message("The disk is full.", metadata=metadata)


def test_a_moment_of_expiry_without_a_time_zone_is_refused() -> None:
    with pytest.raises(Refused, match="no time zone"):
        ocs.send_message("The disk is full.", expires_at=datetime(2026, 11, 1))  # noqa: DTZ001  what is refused


def test_a_run_has_the_fields_that_json_has() -> None:
    assert [field.name for field in fields(ocs.Run)] == list(RUN_KEYS)


def test_an_error_says_all_of_it_where_it_is_shown_as_it_comes() -> None:
    assert str(NotFound("No job x.", hint="See all: ocs jobs list")) == "No job x.  See all: ocs jobs list"
    assert str(InvalidJob("1 problem", problems=[Problem("run", "is missing", "a.yaml", 2)])).endswith(
        "run: is missing"
    )
