"""`ocs dispatch` as one types it: what it refuses, before anything is asked of a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import open_store
from ocs.store.tables import DispatchRow, DispatchStatus, Run
from ocs.store.tables_tasks import Task
from tests.cli.command import Ocs
from tests.cli.forked import Mother

NOW = datetime.now(UTC)


@pytest.fixture
def ocs(tmp_path: Path, bare: Mother) -> Ocs:
    return Ocs(tmp_path, tmp_path / "home", mother=bare)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start"], "The task is empty. Give its text, --file, or - for standard input."),
        (["start", "  ", "--quiet"], "The task is empty."),
        (["start", "x", "--file", "task.md"], "TEXT and --file both hold the task."),
        (["start", "--env", "TASK", "--file", "task.md"], "--file and --env both hold the task."),
        (["start", "--env", "NO_SUCH_VARIABLE", "--quiet"], "There is no environment variable NO_SUCH_VARIABLE."),
        (["start", "--file", "nowhere.md", "--quiet"], "nowhere.md cannot be read"),
        (["start", "x"], "Who hears the result? Give --to, --tell or --quiet."),
        (["start", "x", "--quiet", "--to", "ops"], "--quiet tells nobody"),
        (["batch", "empty.jsonl", "--quiet"], "has no task"),
        (["batch", "empty.jsonl", "--quiet", "--slots", "2"], "name the pool"),
        (["list", "--silent", "soon"], '--silent "soon": write 15m or 2h'),
    ],
)
def test_what_is_wrong_with_what_was_typed(ocs: Ocs, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "task.md").write_text("Look.")
    (tmp_path / "empty.jsonl").write_text("\n")
    answered = ocs("dispatch", *arguments)
    assert answered.status == 2, answered
    assert said in answered.err


def test_a_task_that_is_too_long_to_be_taken_whole_is_not_taken(ocs: Ocs) -> None:
    answered = ocs("dispatch", "start", "-", "--quiet", stdin="x" * (1024 * 1024 + 1))
    assert (answered.status, answered.out) == (2, "")
    assert "Standard input is larger than 1 MiB." in answered.err


def test_every_wrong_line_of_a_batch_is_told(ocs: Ocs, tmp_path: Path) -> None:
    lines = ['{"text": "Look."}'] * 10_000
    lines[6] = '{"text": "Look.", "timout": "1h"}'
    lines[8] = "{"
    lines[9] = '{"text": "Look.", "key": "a\\u0000"}'
    lines[9_999] = '{"text": " "}'
    (tmp_path / "reviews.jsonl").write_text("\n".join(lines))
    answered = ocs("dispatch", "batch", "reviews.jsonl", "--quiet", "--json")
    assert answered.status == 1
    wrong = answered.json["errors"]
    assert [(each["file"], each["line"]) for each in wrong] == [
        ("reviews.jsonl", 7),
        ("reviews.jsonl", 9),
        ("reviews.jsonl", 10),
        ("reviews.jsonl", 10_000),
    ]
    assert '"timout" is no option of a task' in wrong[0]["message"]


@pytest.mark.parametrize("command", ["show", "result", "cancel"])
def test_a_task_that_is_not_there(ocs: Ocs, command: str) -> None:
    answered = ocs("dispatch", command, "ticket-42")
    assert (answered.status, answered.out) == (1, "")
    assert 'There is no task "ticket-42".' in answered.err


def test_what_cannot_be_said_to_a_task(ocs: Ocs) -> None:
    assert 'There is no task "ticket-42".' in ocs("dispatch", "steer", "ticket-42", "Hurry.").err
    for said, why in (
        (" ", "There is nothing to say."),
        ("x" * 20_000, "20,000 bytes; an agent is told 16,384 at once"),
    ):
        answered = ocs("dispatch", "steer", "ticket-42", said)
        assert (answered.status, answered.out) == (1, "")
        assert why in answered.err


def test_no_task_yet(ocs: Ocs) -> None:
    assert "No task.  Start one:" in ocs("dispatch", "list").out
    assert ocs.json("dispatch", "list", "--silent", "1m")["tasks"] == []


async def test_silent_tasks_are_found_however_many_others_are_newer(ocs: Ocs) -> None:
    store = open_store(f"sqlite+aiosqlite:///{ocs.home / 'store.db'}")
    try:
        await store.migrate()
        async with store.transaction() as session:
            for age in range(30):
                session.add_all(running(age))
    finally:
        await store.close()
    answered = ocs("dispatch", "list", "--silent", "29h", "--json")
    assert (answered.status, [task["label"] for task in answered.json["tasks"]]) == (1, ["task-29"])


def running(age: int) -> list[DispatchRow | Task | Run]:
    """A task that runs, of which nothing was heard for so many hours."""
    at, task_id = NOW - timedelta(hours=age), uuid4()
    of_job: dict[str, Any] = {"job_id": "subagent", "kind": DispatchKind.MANUAL, "scheduled_for": at}
    return [
        DispatchRow(id=task_id, status=DispatchStatus.DONE, created_at=at, **of_job),
        Task(
            id=task_id, label=f"task-{age}", template="subagent", agent="main", text="Look.", conversation=task_id,
            created_by="ann", created_at=at,
        ),
        Run(status=RunStatus.RUNNING, flow_run_id=uuid4(), dispatch_id=task_id, started_at=at, **of_job),
    ]  # fmt: skip
