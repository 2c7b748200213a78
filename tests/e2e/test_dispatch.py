"""Tasks, handed over on the command line to an agent of a gateway of ours: from start to what is delivered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ocs.rules.prompt import AGAIN, NOT_REPORTED
from ocs.store import audit, inbox
from tests.cli.command import OCS, Ocs
from tests.cli.forked import Mother
from tests.e2e.system import RunningSystem
from tests.gateway.server import CHAT, INVOKE, Connection, Server, well

Call = Callable[..., Awaitable[dict[str, Any]]]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture
def call(worker_home: Path, prefect_server: str, bare: Mother) -> Call:
    """`ocs dispatch`, as one types it."""
    typed = Ocs(worker_home, worker_home, {"PREFECT_API_URL": prefect_server}, bare)

    async def call(*arguments: str, status: int = 0) -> dict[str, Any]:
        return await asyncio.to_thread(typed.json, "dispatch", *arguments, status=status)

    return call


async def test_tasks_are_done_told_tried_again_checked_and_cancelled(
    ocs: RunningSystem, server: Server, call: Call
) -> None:
    """Acceptance rows 105, 106 and 109."""
    word = ocs.id("t")
    begun = asyncio.Event()
    replies = {"once": ["The reviews agree."], "again": ["The model is overloaded.", "It is done."]}

    async def answer(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        asked = connection.request.body["messages"][0]["content"]
        await connection.stream()
        if "hang" in asked:
            begun.set()
            await connection.is_left()
            return
        name = next(name for name in replies if f"{word}-{name}" in asked)
        await connection.say(replies[name].pop(0) if replies[name] else "More.")
        await connection.done()

    server.answer = answer
    text = f'{word}-once: review $(touch /nowhere) `whoami` "it".'
    started = await call("start", text, "--label", f"{word}-1", "--tell", word, "--key", word)
    assert (started["already"], started["task"]["agent"], started["task"]["template"]) == (False, "main", "subagent")
    assert (await call("start", text, "--label", f"{word}-1", "--tell", word, "--key", word))["already"] is True
    ended = await call("wait", f"{word}-1")
    said = (await call("result", f"{word}-1"))["result"]
    assert (ended["status"], ended["task"]["status"], said) == ("ok", "ok", "The reviews agree.")
    (turn,) = server.turns()
    asked, key = turn.body["messages"][0]["content"], turn.headers["x-openclaw-session-key"]
    assert (text in asked, key) == (True, f"agent:main:scheduler:subagent:{started['task']['id']}")

    (message,) = await ocs.eventually(lambda: inbox.inbox(ocs.store, word, now=ocs.now()))
    assert message.body.startswith("The reviews agree.")

    template = {"agent": {"message": "-", "session": "task"}, "timeout": "5m"}
    ocs.write("coder", run=template, retry={"max": 1, "delay": "1s"}, deliver={"when": "never", "opt_out_reason": "x"})
    await ocs.deploy()
    mended = ("start", f"{word}-again: mend it.", "--as", ocs.id("coder"), "--quiet", "--label", f"{word}-2", "--wait")
    assert (await call(*mended))["task"]["attempt"] == 2
    first, second = server.turns()[1:]
    one_conversation = first.headers["x-openclaw-session-key"] == second.headers["x-openclaw-session-key"]
    assert (one_conversation, second.body["messages"][0]["content"][:40]) == (True, AGAIN[:40])

    checked = ("start", f"{word}-once: look.", "--quiet", "--label", f"{word}-3", "--wait", "--as", ocs.id("coder"))
    error = (await call(*checked, "--check", "echo 3 tests failed; exit 1", status=1))["task"]["error"]
    assert ("The check failed" in error, "3 tests failed" in error) == (True, True)

    more = ("start", f"{word}: hang", "--quiet", "--label", f"{word}-1", "--continue", f"{word}-1", "--key", f"{word}m")
    assert (await call(*more))["already"] is False
    await asyncio.wait_for(begun.wait(), 150)
    assert (await call(*more))["already"] is True  # though what it goes on with is by now itself, and at work
    refused = await call("start", "x", "--quiet", "--label", f"{word}-1", status=1)
    assert f'"{word}-1" is running already' in refused["error"]["message"]
    assert (await call("cancel", f"{word}-1"))["task"]["status"] == "cancelled"
    ended = await call("cancel", f"{word}-1", status=1)
    assert f"{word}-1 has ended (cancelled" in ended["error"]["message"]


async def test_a_batch_shares_a_pool_and_a_report_is_asked_for(
    ocs: RunningSystem, server: Server, call: Call, tmp_path: Path
) -> None:
    """Acceptance row 107: a turn without a report is asked for it once more, in the same conversation."""
    word = ocs.id("t")
    at_work, most, together = 0, 0, asyncio.Event()

    async def answer(connection: Connection) -> None:
        nonlocal at_work, most
        if connection.request.path != CHAT:
            await well(connection)
            return
        asked = connection.request.body["messages"][0]["content"]
        at_work += 1
        most = max(most, at_work)
        if most > 1:
            together.set()
        await connection.stream()
        if f"{word}-mend" in asked or NOT_REPORTED in asked:
            await connection.say("Mended." if f"{word}-mend" in asked else "Reported.")
            if NOT_REPORTED in asked and "forgetful" not in asked:
                await call("done", f"{word}-mend", "--summary", "It works.", "--checklist", '{"work_complete": true}')
        else:
            await asyncio.wait_for(together.wait(), 150)
            await asyncio.sleep(0.5)  # so that a third one could be at work beside them
            await connection.say("Reviewed.")
        at_work -= 1
        await connection.done()

    server.answer = answer
    file = tmp_path / "reviews.jsonl"
    file.write_text("\n".join(json.dumps({"text": "Review.", "label": f"{word}-{n}"}) for n in range(6)))
    pool = ("--pool", word, "--slots", "2", "--quiet")
    assert len((await call("batch", str(file), *pool))["tasks"]) == 6
    twice = tmp_path / "twice.jsonl"
    twice.write_text("\n".join(json.dumps({"text": "Review.", "label": f"{word}-{n}"}) for n in (7, 8, 7)))
    refused = await call("batch", str(twice), *pool, status=1)
    assert "stands there twice; nothing was started" in refused["error"]["message"]
    for number in range(6):
        assert (await call("wait", f"{word}-{number}"))["task"]["status"] == "ok"
    assert (most, len(server.turns())) == (2, 6)
    listed = (await call("list", "-n", "1000"))["tasks"]
    assert sum(view["label"].startswith(f"{word}-") for view in listed) == 6

    run = {"agent": {"message": "-", "session": "task", "report": "required"}, "timeout": "5m"}
    ocs.write("mender", run=run, deliver={"when": "never", "opt_out_reason": "x"}, limits={"overlap": "allow"})
    await ocs.deploy()
    mender = ("--as", ocs.id("mender"), "--quiet", "--wait")
    ended = await call("start", f"{word}-mend it.", "--label", f"{word}-mend", *mender)
    assert ended["task"]["report"]["summary"] == "It works."
    assert (await call("result", f"{word}-mend"))["result"] == "Mended."
    failed = await call("start", f"{word}-mend it.", "--label", f"{word}-forgetful", *mender, status=1)
    assert failed["task"]["error"].startswith("It ended without a report that the task is done")
    keys = [turn.headers["x-openclaw-session-key"] for turn in server.turns()[6:]]
    assert keys[0] == keys[1] != keys[2] == keys[3]


async def test_a_task_is_steered_while_it_works_and_while_it_waits_and_not_when_it_has_ended(
    ocs: RunningSystem, server: Server, call: Call
) -> None:
    """On a gateway that takes no words for a turn that goes on, as it comes."""
    word = ocs.id("t")
    begun, left = asyncio.Event(), asyncio.Event()

    async def answer(connection: Connection) -> None:
        request = connection.request
        if request.path == INVOKE and request.body["tool"] == "sessions_send":
            await connection.json(404, {"error": {"message": "Tool not available: sessions_send"}})
        elif request.path != CHAT:
            await well(connection)
        else:
            await connection.stream()
            await connection.say("Mended.")
            if f"{word}-first" in request.body["messages"][0]["content"]:
                begun.set()
                await connection.is_left()
                left.set()
            await connection.done()

    server.answer = answer
    pool = ("--pool", word, "--quiet")
    await call("start", f"{word}-first", "--label", f"{word}-1", *pool)
    await asyncio.wait_for(begun.wait(), 150)
    await call("start", f"{word}-second", "--label", f"{word}-2", *pool)
    waiting = await call("steer", f"{word}-2", "Leave the fixtures.")
    assert (waiting["steer"]["outcome"], waiting["task"]["status"] != "running") == ("pending", True)
    held = await call("steer", f"{word}-1", "Leave the clock.")
    assert (held["steer"]["outcome"], held["steer"]["told"]) == ("held", 0)
    at_once = await call("steer", f"{word}-1", "Stop that.", "--now")
    assert at_once["steer"]["outcome"] in ("sent", "read")
    await asyncio.wait_for(left.wait(), 60)
    for number in (1, 2):
        assert (await call("wait", f"{word}-{number}"))["task"]["status"] == "ok"
    _, second, third = (turn.body["messages"][0]["content"] for turn in server.turns())
    assert ["Leave the clock." in second, "Stop that." in second] == [True, True]
    assert third.index(f"{word}-second") < third.index("Leave the fixtures.")
    shown = (await call("show", f"{word}-1"))["task"]["steers"]
    assert [(each["text"], each["outcome"], each["told"]) for each in shown] == [
        ("Leave the clock.", "read", 1),
        ("Stop that.", "read", 1),
    ]
    refused = await call("steer", f"{word}-1", "One more.", status=1)
    assert f"{word}-1 has ended (ok" in refused["error"]["message"]


async def test_a_team_passes_its_gate_and_a_batch_ends_in_one_digest(
    ocs: RunningSystem, server: Server, worker_home: Path, prefect_server: str, tmp_path: Path
) -> None:
    """Acceptance rows 95 and 97, typed as in the documentation."""
    word = ocs.id("t")
    night, gate = f"{word}-night", f"{word}-gate"
    typed = Ocs(worker_home, worker_home, env={"PREFECT_API_URL": prefect_server})

    async def call(*arguments: str, status: int = 0) -> dict[str, Any]:
        return await asyncio.to_thread(typed.json, *arguments, status=status)

    async def answer(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        asked = connection.request.body["messages"][0]["content"]
        await connection.stream()
        await connection.say("Two agree." if f"{word}-digest" in asked else f"{word} is fine.")
        await connection.done()

    async def inbox_of_word() -> list[str]:
        return [message.body for message in await inbox.inbox(ocs.store, word, now=ocs.now())]

    server.answer = answer
    digest = {"agent": {"message": f"{word}-digest"}}
    ocs.write("digest", run=digest, deliver={"when": "always", "to": f"inbox:{word}"})
    await ocs.deploy()
    file = tmp_path / "reviews.jsonl"
    file.write_text("\n".join(json.dumps({"text": "Review.", "label": f"{word}-{n}"}) for n in range(2)))
    nobody = await call("dispatch", "batch", str(file), "--track", night, "--then", f"{word}-nowhere", status=1)
    assert nobody["error"]["code"] == "not_found"
    follows = ("--then", ocs.id("digest"), "--summary-to", f"inbox:{word}")
    await call("dispatch", "batch", str(file), "--track", night, *follows)
    ended = (await call("tasks", "wait", night))["tracker"]
    assert [(each["status"], each["message"]) for each in ended["members"]] == [("completed", f"{word} is fine.")] * 2

    async def both_told() -> Any:
        said = await inbox_of_word()
        return said if len(said) == 2 else None

    said = await ocs.eventually(both_told)
    assert sum("Two agree." in body for body in said) == 1
    assert sum(f"{ocs.id('digest')} runs next." in body for body in said) == 1
    (asked,) = [turn.body["messages"][0]["content"] for turn in server.turns() if f"{word}-digest" in str(turn.body)]
    assert asked.count(f"{word} is fine.") == 2
    story = (await call("runs", "show", ocs.id("digest")))["run"]
    assert story["why"].startswith(f"after all members of {night} had ended")

    await call("team", "set", word, "-m", f"{word}-writer", "-m", f"{word}-ann")
    await call("tasks", "create", gate, "--team", word, "--quiet")
    await call("dispatch", "start", "Write.", "--label", f"{word}-writer", "--track", gate)
    await call("tasks", "done", gate, f"{word}-ann", "--message", "Agreed.")
    assert (await call("tasks", "wait", gate))["tracker"]["gate"] == "passed"
    late = await call("tasks", "heartbeat", gate, f"{word}-ann", status=1)
    assert "has ended (completed" in late["error"]["message"]
    assert [each["name"] for each in (await call("team", "show", word))["team"]["gates"]] == [gate]
    assert (await call("agents", "show", "main"))["agent"]["last_seen_at"]


async def test_a_run_starts_what_its_job_may_and_asks_again_for_the_same(
    ocs: RunningSystem, server: Server, prefect_server: str
) -> None:
    """A shell job, known by its token; its second attempt asks for the same child, and for what it may not have."""
    word = ocs.id("t")

    async def answer(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        await connection.say("Followed up.")
        await connection.done()

    server.answer = answer
    template = {"agent": {"message": "-", "session": "task", "read_only": True}, "timeout": "5m"}
    ocs.write("coder", run=template, deliver={"when": "never", "opt_out_reason": "x"})
    start = f"{OCS} dispatch start 'Look once more.' --tell {word}"
    wanted = f"{start} --label {word} --as {ocs.id('coder')} || exit 9"
    script = f"{wanted}\n{start} --label {word}-2 --check true\necho [$OCS_RUN_TOKEN]; exit 1"
    run = {"shell": {"command": script, "env": {"PREFECT_API_URL": prefect_server}}}
    ocs.write("asks", run=run, spawn={"may": [ocs.id("coder")]}, retry={"max": 1, "delay": "1s"})
    await ocs.deploy()
    await ocs.run("asks")
    first, second = await ocs.ended("asks", count=2)
    assert f"Started {word} with main, as {ocs.id('coder')}." in first.stdout
    assert f"{word} was started before" in second.stdout
    refusal = f'as: {ocs.id("asks")} may not start "subagent"; it may start {ocs.id("coder")}'
    for attempt in (first, second):
        assert (attempt.exit_code, "[********]" in attempt.stdout) == (1, True)
        assert (refusal in attempt.stderr, "check: is a shell command" in attempt.stderr) == (True, True)
    child = await ocs.ended_run("coder")
    assert child.stdout == "Followed up."
    (message,) = await ocs.eventually(lambda: inbox.inbox(ocs.store, word, now=ocs.now()))
    assert message.body.startswith("Followed up.")
    (begun,) = [each for each in await audit.events(ocs.store, job=ocs.id("coder")) if each.action == "dispatch"]
    assert (begun.source, begun.actor) == ("run", f"{ocs.id('asks')} (run {str(first.id)[:8]})")
    refused = [each.run_id for each in await audit.events(ocs.store, job=ocs.id("asks")) if "refused" in each.action]
    assert refused == [second.id, first.id]


async def test_a_run_makes_jobs_that_run_once_and_a_command_waits_for_a_person(
    ocs: RunningSystem, server: Server, call: Call, prefect_server: str, tmp_path: Path
) -> None:
    word = ocs.id("t")
    made = tmp_path / "made"
    soon = (ocs.now() + timedelta(seconds=20)).isoformat()
    documents: dict[str, dict[str, Any]] = {
        "look": {
            "run": {"agent": "Look."},
            "deliver": {"when": "always", "to": f"inbox:{word}"},
            "schedule": {"at": soon},
        },
        "clean": {"run": f"touch {made}"},
        "peek": {"run": {"shell": {"command": "env", "inherit_env": True}}, "approval": False, "tags": ["x"]},
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps({"id": f"{word}-{name}", **document}))
    spawn = [f"{OCS} jobs spawn --file - < {tmp_path / name}" for name in documents]
    shell = {"command": "\n".join([*spawn, spawn[0]]), "env": {"PREFECT_API_URL": prefect_server}}
    ocs.write("maker", run={"shell": shell}, spawn={"jobs": "shell", "max_open": 2})
    await ocs.deploy()
    await ocs.run("maker")
    (run,) = await ocs.ended("maker")
    assert (f"{word}-look is queued." in run.stdout, f"{word}-look was started before" in run.stdout) == (True, True)
    for told in ("tags: is not for", "run.shell.inherit_env: is not for", "maker-", "spawn.max_open is 2"):
        assert told in run.stderr
    look = (await call("wait", f"{word}-look"))["task"]
    due, began = (datetime.fromisoformat(look[key]) for key in ("due_at", "started_at"))
    assert (look["status"], look["template"], began >= due) == ("ok", "subagent", True)

    async def asked() -> dict[str, Any] | None:
        task = (await call("show", f"{word}-clean"))["task"]
        return task if task["status"] == "waiting_approval" else None

    task = await ocs.eventually(asked)
    assert (task["template"], task["agent"], made.exists()) == ("subshell", "", False)
    refused = await call("steer", f"{word}-clean", "Do not.", status=1)
    assert "is a command" in refused["error"]["message"]
    assert (await call("cancel", f"{word}-clean"))["task"]["status"] == "cancelled"


async def test_an_agent_hands_on_a_task_and_books_its_own_follow_up(
    ocs: RunningSystem, server: Server, call: Call
) -> None:
    """By tools of its turn. A further attempt asks for the same, and what a person has withdrawn stays so."""
    word = ocs.id("t")
    answers: list[dict[str, Any]] = []
    wishes = [
        ("ocs_dispatch", {"text": f"{word}-child", "label": f"{word}-now"}),
        ("ocs_schedule", {"text": f"{word}-child", "label": f"{word}-later", "at": "2h"}),
        ("ocs_dispatch", {"text": f"{word}-child", "label": f"{word}-wrong", "template": "subagent", "to": "x:y"}),
        ("exec", {"command": "true"}),
    ]

    async def answer(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        body = connection.request.body
        await connection.stream()
        if body["messages"][-1]["role"] == "tool":
            answers.extend(json.loads(each["content"]) for each in body["messages"] if each["role"] == "tool")
            await connection.say("TASK_FAILED: once more" if len(answers) == len(wishes) else "Handed on.")
            await connection.done()
        elif f"{word}-child" in body["messages"][0]["content"]:
            assert "tools" not in body
            await connection.say("Followed up.")
            await connection.done()
        else:
            await connection.call(wishes)

    server.answer = answer
    quiet = {"when": "never", "opt_out_reason": "x"}
    ocs.write("coder", run={"agent": {"message": "-", "session": "task"}}, deliver=quiet, limits={"overlap": "allow"})
    agent = {"agent": {"message": "Look after it.", "agent": word, "session": "task"}}
    spawn = {"may": [ocs.id("coder")]}
    ocs.write("asks", run=agent, deliver=quiet, spawn=spawn, retry={"max": 1, "delay": "20s"})
    await ocs.deploy()
    await ocs.run("asks")
    (first,) = await ocs.ended("asks")
    later = (await call("show", f"{word}-later"))["task"]
    wait = datetime.fromisoformat(later["due_at"]) - first.started_at
    assert (later["status"], timedelta(hours=1) < wait < timedelta(hours=3)) == ("queued", True)
    assert (await call("cancel", f"{word}-later"))["task"]["status"] == "withdrawn"
    _, second = await ocs.ended("asks", count=2)
    assert (second.status, second.stdout) == ("ok", "Handed on.")
    told = [(each["ok"], each.get("already")) for each in answers]
    refused = [(False, None)] * 2
    assert told == [(True, False), (True, False), *refused, (True, True), (True, True), *refused]
    assert [problem["path"] for problem in answers[2]["problems"]] == ["as", "to"]
    assert answers[3]["error"] == 'There is no tool "exec".'
    assert (await call("show", f"{word}-later"))["task"]["status"] == "withdrawn"
    assert (await ocs.ended_run("coder")).stdout == "Followed up."

    async def heard() -> bool:
        """By its next turn, or still in its inbox."""
        waiting = [message.body for message in await inbox.inbox(ocs.store, word, now=ocs.now())]
        asked = [str(turn.body["messages"]) for turn in server.turns() if "Look after it." in str(turn.body)]
        return any("Followed up." in said for said in [*waiting, *asked])

    await ocs.eventually(heard)
