"""Agent, main and watchdog jobs from their documents to what the store and Prefect say of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling
from pydantic import SecretStr

from blocks.gateway import BLOCK, OpenClawGateway
from ocs.cli.doctor.gateway import gateway_block
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.messages import Draft
from ocs.store import inbox, messages, queries
from tests.cli.command import OCS
from tests.e2e.system import RunningSystem
from tests.e2e.test_jobs import artifact_of, log_lines
from tests.gateway.server import CHAT, Connection, Server, serving, well
from tests.otlp import Collector

pytestmark = pytest.mark.e2e
TOKEN = "token-of-the-gateway-block"
NOBODY = {"when": "never", "opt_out_reason": "a test"}


@pytest.fixture
async def server(ocs: RunningSystem) -> AsyncIterator[Server]:
    """A gateway that answers well until it is told otherwise, and the block that names it."""
    async with serving() as running:
        block = OpenClawGateway(url=running.url, token=SecretStr(TOKEN), hooks_token=SecretStr("hooks"))
        await cast("Any", block.save(BLOCK, overwrite=True))
        yield running


def prompts(server: Server) -> list[str]:
    return [request.body["messages"][0]["content"] for request in server.turns()]


async def test_a_reply_is_the_run_s_output_and_its_child_s_material(
    ocs: RunningSystem, server: Server, collector: Collector
) -> None:
    """Acceptance rows 52 and 62: a shell job, an agent that reads what it printed, and a child that reads the agent."""
    ocs.write("collect", run="echo 'rows: 3'; echo 'one was odd' >&2")
    task = {"message": "Summarise the rows.", "model": "stub/other", "session": "job"}
    ocs.write("brief", after={"job": "collect"}, run={"agent": task})
    ocs.write("follow", after={"job": "brief", "match": {"contains": "All well."}}, run={"agent": "Go on."})
    await ocs.deploy()
    await ocs.run("collect")
    collect, brief, follow = [await ocs.ended_run(name) for name in ("collect", "brief", "follow")]

    assert (brief.status, brief.stdout, brief.summary) == (RunStatus.OK, "All well.", "All well.")
    assert (brief.parent_run, follow.parent_run) == (collect.id, brief.id)
    assert brief.session_key == f"agent:main:scheduler:{ocs.id('brief')}"
    assert follow.session_key == f"agent:main:scheduler:{ocs.id('follow')}:{follow.id}"
    first, second = server.turns()
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert (first.headers["x-openclaw-model"], first.body["model"]) == ("stub/other", "openclaw/main")
    told = prompts(server)[0]
    for part in (ocs.id("collect"), "exit code was 0", "rows: 3", "one was odd", "--- begin data "):
        assert part in told
    assert told.endswith("Summarise the rows.")
    assert f"reply of {ocs.id('brief')} ---\nAll well.\n--- end data" in prompts(server)[1]
    assert "x-openclaw-model" not in second.headers

    assert "All well." in await artifact_of(ocs, brief.flow_run_id)

    async def shown() -> bool:
        return "All well." in await log_lines(ocs, brief.flow_run_id)

    await ocs.eventually(shown)

    turn, call = "invoke_agent main", f"POST {CHAT}"
    traced = collector.of(brief.id, f"run {brief.job_id}", "prepare", "execute", "finalize", turn, call)
    root, asked = traced[f"run {brief.job_id}"], traced[turn]
    assert traced[call].parent_span_id == asked.span_id
    assert asked.parent_span_id == traced["execute"].span_id
    assert [link.trace_id for link in root.links] == [collect.id.bytes]
    assert {each.key: each.value.string_value for each in asked.attributes}["gen_ai.request.model"] == "stub/other"
    collector.of(follow.id, f"run {follow.job_id}")
    sent = b"".join(span.SerializeToString() for span in collector.received)
    for word in ("rows: 3", "All well", "Summarise", TOKEN, brief.session_key):
        assert word.encode() not in sent, word


async def test_a_draining_gateway_costs_no_attempt(ocs: RunningSystem, server: Server) -> None:
    """Acceptance rows 66 and 67, W1: later exactly once, no error counted, and a shell job beside it is not held up."""
    refusals = 2

    async def drain(connection: Connection) -> None:
        nonlocal refusals
        if connection.request.path != CHAT or not refusals:
            await well(connection)
            return
        refusals -= 1
        await connection.json(503, {"error": {"message": "Gateway is draining"}}, Retry_After="1")

    server.answer = drain
    ocs.write("brief", run={"agent": "Write the brief."}, deliver=NOBODY)
    ocs.write("beside", run="echo beside")
    await ocs.deploy()
    await ocs.run("brief")
    await ocs.run("beside")
    assert (await ocs.ended_run("beside")).status is RunStatus.OK
    runs = await ocs.ended("brief", count=3)
    assert [(run.status, run.attempt) for run in runs] == [
        (RunStatus.ERROR, 1),
        (RunStatus.ERROR, 1),
        (RunStatus.OK, 1),
    ]
    assert [run.kind for run in runs] == [DispatchKind.MANUAL, DispatchKind.RETRY, DispatchKind.RETRY]
    assert runs[0].error.endswith("It is tried again in 5s; this is not counted as an attempt.")
    assert (await queries.job_states(ocs.store))[ocs.id("brief")].consecutive_errors == 0
    assert await queries.queue(ocs.store, job=ocs.id("brief")) == []


async def test_a_cancel_in_prefect_ends_the_turn(ocs: RunningSystem, server: Server) -> None:
    begun: list[str] = []
    left: list[str] = []

    async def think(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        begun.append(connection.request.path)
        await connection.is_left()
        left.append(connection.request.path)

    server.answer = think
    ocs.write("brief", run={"agent": "Think."}, deliver=NOBODY, retry={"max": 2})
    await ocs.deploy()
    await ocs.run("brief")

    async def thinks() -> list[str]:
        return begun

    await ocs.eventually(thinks)
    (run,) = await ocs.runs_of("brief")
    await ocs.client.set_flow_run_state(run.flow_run_id, Cancelling())
    run = await ocs.ended_run("brief")
    assert run.status is RunStatus.CANCELLED
    assert left
    flow_run = await ocs.flow_run(run)
    assert flow_run.state is not None
    assert flow_run.state.type is StateType.CANCELLED


async def test_a_wrong_token_is_told_and_not_tried_again(ocs: RunningSystem, server: Server) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.json(401, {"error": {"message": "Unauthorized"}})

    server.answer = refuse
    ocs.write("brief", run={"agent": "Write."}, deliver=NOBODY, retry={"max": 2, "delay": "1s"})
    await ocs.deploy()
    await ocs.run("brief")
    run = await ocs.ended_run("brief")
    assert run.status is RunStatus.ERROR
    assert "does not accept the token (HTTP 401): Unauthorized" in run.error
    assert "a further attempt would end the same way" in run.error


async def test_a_model_that_failed_is_followed_by_the_next_one(ocs: RunningSystem, server: Server) -> None:
    refused = {"a/large": "the model is overloaded", "b/large": "No such model: b/large"}

    async def say(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        if why := refused.get(connection.request.headers["x-openclaw-model"]):
            await connection.event({"error": {"message": why}})
            return
        await connection.say("It is done.")
        await connection.done()

    server.answer = say
    agent = {"message": "Write.", "model": "a/large", "fallback_models": ["b/large", "a/small"]}
    ocs.write("brief", run={"agent": agent}, deliver=NOBODY, retry={"max": 2, "delay": "1s"})
    await ocs.deploy()
    await ocs.run("brief")
    runs = await ocs.ended("brief", count=3)
    assert [(run.status, run.attempt, run.model, run.model_failed) for run in runs] == [
        (RunStatus.ERROR, 1, "a/large", True),
        (RunStatus.ERROR, 2, "b/large", True),
        (RunStatus.OK, 3, "a/small", False),
    ]
    assert [turn.headers["x-openclaw-model"] for turn in server.turns()] == ["a/large", "b/large", "a/small"]


async def test_a_repetition_is_told_the_key_of_the_first_attempt(ocs: RunningSystem, server: Server) -> None:
    """Acceptance rows 57 and 64."""
    replies = ["TASK_FAILED: the disk was full", "IDEMPOTENT_SKIP"]

    async def say(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        await connection.say(replies[len(server.turns()) - 1])
        await connection.done()

    server.answer = say
    run = {"agent": "Send the invoices.", "guarantee": "at-least-once"}
    ocs.write("invoices", run=run, deliver=NOBODY, retry={"max": 1, "delay": "1s"})
    await ocs.deploy()
    await ocs.run("invoices")
    first, second = await ocs.ended("invoices", count=2)
    assert (first.status, second.status) == (RunStatus.ERROR, RunStatus.OK)
    assert first.error.startswith("The agent reports a failure: the disk was full")
    assert first.idempotency_key != second.idempotency_key
    for prompt in prompts(server):
        assert first.idempotency_key in prompt
        assert "IDEMPOTENT_SKIP" in prompt


async def test_an_agent_sees_what_its_earlier_runs_said(ocs: RunningSystem, server: Server) -> None:
    """Acceptance row 63."""
    replies = ["The disk is nearly full.", "Orders rose.", "done"]

    async def say(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        await connection.say(replies[len(server.turns()) - 1])
        await connection.done()

    server.answer = say
    task = {"message": "How is the disk?", "context": {"from": "hybrid", "limit": 1}}
    ocs.write("brief", run={"agent": task}, deliver=NOBODY)
    await ocs.deploy()
    for count in range(1, 4):
        await ocs.run("brief")
        await ocs.ended("brief", count=count)
    first, second, third = prompts(server)
    assert "earlier runs" not in first
    assert replies[0] in second
    assert replies[0] in third
    assert replies[1] not in third


async def test_a_message_from_a_shell_job_is_shown_until_a_turn_ends_well(
    ocs: RunningSystem, server: Server, worker_home: Path
) -> None:
    """Acceptance row 61: a turn that fails leaves it waiting, and the next one after a good one is not shown it."""
    replies = ["TASK_FAILED: not now", "All well.", "All well."]

    async def say(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        await connection.say(replies[len(server.turns()) - 1])
        await connection.done()

    server.answer = say
    agent = ocs.id("scribe")
    command = f"{OCS} messages send 'The disk is full.' --from load --kind fact --to {agent}"
    ocs.write("load", run={"shell": {"command": command, "env": {"OCS_HOME": str(worker_home)}}})
    ocs.write("brief", run={"agent": {"message": "Write.", "agent": agent}}, deliver=NOBODY)
    await ocs.deploy()
    await ocs.run("load")
    assert (await ocs.ended_run("load")).stderr == ""
    for count in range(1, 4):
        await ocs.run("brief")
        await ocs.ended("brief", count=count)
    (message,) = await messages.outbox(ocs.store, "load")
    label = f"message {message.id.hex[:8]} to {agent} ---"
    told = f"{label}\nload | fact | (no subject)\n[fact]\nThe disk is full.\n--- end data "
    first, second, third = prompts(server)
    assert told in first
    assert told in second
    assert "The disk is full." not in third
    failed, delivered = (await messages.receipts_of(ocs.store, [message]))[message.id]
    assert [run.id for run in await ocs.runs_of("brief")][:2] == [failed.run_id, delivered.run_id]


async def test_the_main_session_is_told_by_a_turn_or_an_event(ocs: RunningSystem, server: Server) -> None:
    async def take(connection: Connection) -> None:
        if connection.request.path != "/hooks/wake":
            await well(connection)
            return
        await connection.json(200, {"ok": True, "mode": "now"})

    server.answer = take
    jarvis = ocs.id("jarvis")
    block = OpenClawGateway(url=server.url, hooks_token=SecretStr("hooks"), default_agent=jarvis)
    await cast("Any", block.save(BLOCK, overwrite=True))
    ocs.write("turn", run={"main": "Check the inbox."})
    ocs.write("event", run={"main": {"message": "Look at the calendar.", "mode": "event"}})
    await ocs.deploy()
    await messages.send(ocs.store, Draft("ann", jarvis, "Lunch is ready."), now=ocs.now())
    await ocs.run("turn")
    turn = await ocs.ended_run("turn")
    await messages.send(ocs.store, Draft("ann", jarvis, "Dinner is late."), now=ocs.now())
    await ocs.run("event")
    event = await ocs.ended_run("event")
    assert (turn.status, turn.stdout, turn.session_key) == (RunStatus.OK, "All well.", f"agent:{jarvis}:main")
    assert "Lunch is ready." in prompts(server)[0]
    assert (event.status, event.stdout) == (RunStatus.OK, "")
    assert "is not waited for" in event.summary
    (sent,) = [request for request in server.requests if request.path == "/hooks/wake"]
    assert sent.body["text"].endswith("Look at the calendar.")
    assert "Dinner is late." in sent.body["text"]
    assert "Lunch" not in sent.body["text"]
    assert await inbox.inbox(ocs.store, jarvis, now=ocs.now()) == []
    assert sent.headers["authorization"] == "Bearer hooks"


def shown(sent: dict[str, Any]) -> str:
    """What a Telegram chat is to show of a message."""
    (block,) = sent["presentation"]["blocks"]
    return block["text"]


async def test_a_reply_is_delivered_unless_it_asks_for_silence(ocs: RunningSystem, server: Server) -> None:
    """Acceptance row 56."""
    replies = ["HEARTBEAT_OK", "HEARTBEAT_OKAY"]

    async def say(connection: Connection) -> None:
        if connection.request.path != "/v1/chat/completions":
            await connection.json(200, {"ok": True, "result": {}})
            return
        await connection.stream()
        await connection.say(replies[len(server.turns()) - 1])
        await connection.done()

    server.answer = say
    ocs.write("brief", run={"agent": "How is it?"}, deliver={"when": "always", "to": "telegram:4711"})
    await ocs.deploy()
    await ocs.run("brief")
    await ocs.ended("brief", count=1)
    await ocs.run("brief")
    await ocs.ended("brief", count=2)
    (sent,) = await ocs.eventually(lambda: sent_messages(server, 1))
    assert (sent["channel"], sent["target"]) == ("telegram", "4711")
    assert "HEARTBEAT_OKAY" in shown(sent)


async def sent_messages(server: Server, count: int) -> list[dict[str, Any]] | None:
    """What was sent by the message tool, once it is `count` messages."""
    sent = [request.body["args"] for request in server.invoked("message")]
    return sent if len(sent) >= count else None


async def test_a_watchdog_checks_alarms_once_for_each_change_and_stays(
    ocs: RunningSystem, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Acceptance row 81, W9."""

    async def take(connection: Connection) -> None:
        await connection.json(200, {"ok": True, "result": {}})

    server.answer = take
    answer: Path = tmp_path_factory.mktemp("watched") / "answer"
    watchdog = {"label": "build-42", "check": f". {answer}", "alert": "telegram:4711", "self_destruct": False}
    ocs.write("dog", run={"watchdog": watchdog})
    await ocs.deploy()
    done = json.dumps({"status": "done", "summary": "built"})
    checks = ("exit 0", "exit 1", "exit 2", "exit 1", f"echo '{done}'", "exit 9")
    for count, says in enumerate(checks, start=1):
        answer.write_text(says)
        await ocs.run("dog")
        await ocs.ended("dog", count=count)
    runs = await ocs.runs_of("dog")
    assert [run.finding for run in runs] == ["running", "stuck", None, "stuck", "done", None]
    assert [run.status for run in runs] == [RunStatus.OK] * 5 + [RunStatus.ERROR]
    assert [run.exit_code for run in runs] == [0, 1, 2, 1, 0, 9]
    alarm, news = await ocs.eventually(lambda: sent_messages(server, 2))
    assert "build-42 needs attention" in shown(alarm)
    assert "build-42 is done.\n\nbuilt" in shown(news)
    await ocs.client.read_deployment_by_name(f"job/{ocs.id('dog')}")


async def test_the_doctor_asks_the_gateway_of_the_block(ocs: RunningSystem, server: Server) -> None:
    async def looked() -> list[tuple[str, str]]:
        return [(finding.state, finding.finding) async for finding in gateway_block(ocs.client)]

    async def models(connection: Connection) -> None:
        good = connection.request.headers["authorization"] == f"Bearer {TOKEN}"
        await connection.json(200 if good else 401, {"data": []})

    server.answer = models
    assert await looked() == [("ok", f"{server.url} answers, and takes the token of the block.")]
    block = OpenClawGateway(url=server.url, token=SecretStr("another"))
    await cast("Any", block.save(BLOCK, overwrite=True))
    ((state, finding),) = await looked()
    assert (state, finding) == ("problem", "The gateway does not accept the token (HTTP 401).")


async def test_a_rollout_makes_the_block_known_to_the_ui(ocs: RunningSystem) -> None:
    ocs.write("any", run="true")
    await ocs.deploy()
    block_type = await ocs.client.read_block_type_by_slug("openclaw-gateway")
    assert block_type.name == "OpenClaw Gateway"
