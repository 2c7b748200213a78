"""The block and the agent strategy over the real gateway, with a model server of our own behind it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from blocks.connections import close_connections
from blocks.gateway import ChatTurn, GatewayError, OpenClawGateway
from blocks.gateway_transport import GatewayTransport
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.spawn_tools import offered
from ocs.spec import Output, Spawn
from tasks.strategies.agent import run_turn
from tasks.strategies.conversation import Tools
from tests.gateway.model import Model, model_server
from tests.gateway.real import HOOKS_TOKEN, TOKEN, RealGateway, skip_unless_installed
from tests.gateway.steered import steered_task

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.timeout(300)]
PATIENCE = 150.0
LONG = timedelta(minutes=5)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    skip_unless_installed()
    with model_server() as running:
        yield running


@pytest.fixture(scope="module")
def real(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    gateway = RealGateway(tmp_path_factory.mktemp("gateway") / "home", model)
    for label in ("work", "home"):
        profile = ("--provider", "stub", "--profile-id", f"stub:{label}")
        gateway.command("models", "auth", "paste-api-key", *profile, stdin=f"key-{label}\n")
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
async def gateway(real: RealGateway) -> Any:
    yield OpenClawGateway(url=real.url, token=SecretStr(TOKEN), hooks_token=SecretStr(HOOKS_TOKEN))
    await close_connections()


@pytest.fixture
def word() -> str:
    """Stands in this test's prompts and in no other's."""
    return f"word{secrets.token_hex(4)}"


async def say(
    gateway: OpenClawGateway,
    message: str,
    key: str = "",
    *,
    artifacts: Path,
    idle: timedelta = LONG,
    on_line: Callable[[str], None] = lambda _line: None,
    tools: Tools | None = None,
    **fields: Any,
) -> DispatchResult:
    turn = ChatTurn("main", message, key or f"agent:main:scheduler:{secrets.token_hex(4)}", **fields)
    given: Any = {"idle": idle, "timeout": LONG, "output": Output(), "artifacts": artifacts, "on_line": on_line}
    return await run_turn(gateway, turn, tools=tools, **given)


def own_key() -> str:
    """A key of the form that a run's own conversation has."""
    return f"agent:main:scheduler:check:{uuid4()}"


async def eventually(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while not (seen := look()):
            await asyncio.sleep(0.05)
        return seen


async def test_a_turn_gives_the_agent_s_reply(gateway: OpenClawGateway, tmp_path: Path) -> None:
    """Acceptance row 52."""
    result = await say(gateway, "[[say: all is well]]", artifacts=tmp_path)
    assert (result.status, result.content) == (RunStatus.OK, "all is well")


async def test_a_session_goes_on_and_another_knows_nothing_of_it(
    gateway: OpenClawGateway, model: Model, word: str, tmp_path: Path
) -> None:
    """Acceptance row 53, W54."""
    key = f"agent:main:scheduler:{word}-job"
    await say(gateway, f"The word is {word}. [[say: noted]]", key, artifacts=tmp_path)
    await say(gateway, "Again. [[say: yes]]", key, artifacts=tmp_path)
    await say(gateway, "Elsewhere. [[say: no]]", artifacts=tmp_path)
    assert [word in str(request["messages"]) for request in model.asked[-3:]] == [True, True, False]


async def test_the_job_s_model_is_used_for_its_turn(gateway: OpenClawGateway, model: Model, tmp_path: Path) -> None:
    await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="stub/other")
    assert model.asked[-1]["model"] == "other"
    await say(gateway, "[[say: ok]]", artifacts=tmp_path)
    assert model.asked[-1]["model"] == "echo"


class Asked:
    """A tool of ours, and what was asked of it."""

    def __init__(self) -> None:
        self.offered = offered(Spawn(may=("coder",)))
        self.calls: list[tuple[str, Any]] = []

    async def call(self, name: str, arguments: str) -> str:
        self.calls.append((name, json.loads(arguments)))
        return json.dumps({"ok": True, "label": "look"})


async def test_an_agent_calls_a_tool_of_ours_and_goes_on_with_what_is_answered(
    gateway: OpenClawGateway, model: Model, word: str, tmp_path: Path
) -> None:
    """Found through the gateway's `tool_call`; the answer comes into the same conversation, once."""
    wish = {"text": word, "label": "look"}
    tools = Asked()
    asked = f"[[use: client:client:ocs_dispatch {json.dumps(wish)}]]"
    result = await say(gateway, asked, own_key(), artifacts=tmp_path, tools=tools)
    assert (result.status, tools.calls) == (RunStatus.OK, [("ocs_dispatch", wish)])
    assert result.content == "client:client:ocs_dispatch has answered."
    first, second = model.prompts(word)
    told = json.dumps({"ok": True, "label": "look"}).replace('"', '\\"')
    assert (told in first, second.count(told)) == (False, 1)


async def test_an_unknown_model_is_a_failed_turn(gateway: OpenClawGateway, tmp_path: Path) -> None:
    result = await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="nobody/nothing")
    assert result.status is RunStatus.ERROR
    assert "nobody/nothing" in (result.error or "")
    assert (result.model_failed, result.retryable) == (True, True)


@pytest.mark.parametrize("label", ["work", "home"])
async def test_the_job_s_auth_profile_is_used_for_its_turn(
    gateway: OpenClawGateway, model: Model, tmp_path: Path, label: str
) -> None:
    result = await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="stub/other", auth_profile=f"stub:{label}")
    assert (result.status, model.keys[-1], model.asked[-1]["model"]) == (RunStatus.OK, f"key-{label}", "other")


async def test_a_profile_behind_the_model_of_a_turn_is_passed_over(
    gateway: OpenClawGateway, model: Model, tmp_path: Path
) -> None:
    """Why a job that writes it there is refused, and why the profile is chosen before the turn."""
    for label in ("work", "home", "nobody"):
        await say(gateway, "[[say: ok]]", artifacts=tmp_path, model=f"stub/echo@stub:{label}")
    assert len(set(model.keys[-3:])) == 1


async def test_the_main_session_s_profile_is_inherited(gateway: OpenClawGateway, model: Model, tmp_path: Path) -> None:
    """Acceptance row 59, each way: a person chooses one for the main session, then another."""
    for label in ("home", "work"):
        chosen = {"model": f"stub/echo@stub:{label}"}
        await gateway.invoke_tool("session_status", chosen, session_key="agent:main:main")
        await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="stub/other", auth_profile="inherit")
        assert model.keys[-1] == f"key-{label}"


async def test_where_there_is_nothing_to_inherit_the_gateway_decides(
    gateway: OpenClawGateway, model: Model, tmp_path: Path
) -> None:
    lines: list[str] = []
    inheriting: dict[str, Any] = {"model": "plain/echo", "auth_profile": "inherit", "on_line": lines.append}
    result = await say(gateway, "[[say: ok]]", artifacts=tmp_path, **inheriting)
    assert (result.status, model.keys[-1]) == (RunStatus.OK, "none")
    assert lines == ["The main session of main uses no auth profile for plain/echo: the gateway's order decides.", "ok"]


async def test_a_profile_that_is_not_there_fails_the_turn(
    gateway: OpenClawGateway, model: Model, tmp_path: Path
) -> None:
    asked = len(model.asked)
    result = await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="stub/echo", auth_profile="stub:nobody")
    assert (result.status, len(model.asked)) == (RunStatus.ERROR, asked)
    assert "stub:nobody" in (result.error or "")
    result = await say(gateway, "[[say: ok]]", artifacts=tmp_path, model="nobody/echo", auth_profile="nobody:x")
    assert "The auth profile nobody:x was not chosen for nobody/echo." in (result.error or "")


async def test_an_unknown_agent_is_refused(gateway: OpenClawGateway) -> None:
    with pytest.raises(GatewayError, match="nobody") as refused:
        await anext(gateway.chat(ChatTurn("nobody", "x", "agent:nobody:scheduler:x")))
    assert not refused.value.retryable


async def test_a_wrong_token_is_refused_and_named(real: RealGateway, tmp_path: Path) -> None:
    wrong = OpenClawGateway(url=real.url, token=SecretStr("wrong-token"))
    result = await say(wrong, "x", artifacts=tmp_path)
    assert (result.status, result.retryable) == (RunStatus.ERROR, False)
    assert "does not accept the token (HTTP 401)" in (result.error or "")
    assert "wrong-token" not in (result.error or "")
    await close_connections()


async def test_a_slow_reply_outlives_the_idle_window(gateway: OpenClawGateway, tmp_path: Path) -> None:
    """Idle means silence: eight seconds of words, and a window of five."""
    await say(gateway, "[[say: warm]]", artifacts=tmp_path)
    result = await say(gateway, "[[slow: 8]]", artifacts=tmp_path, idle=timedelta(seconds=5))
    assert result.status is RunStatus.OK
    assert result.content.endswith("end.")


async def test_a_cancelled_turn_is_cancelled_in_the_gateway(
    gateway: OpenClawGateway, model: Model, tmp_path: Path
) -> None:
    model.hanging.clear()
    model.left.clear()
    turn = asyncio.create_task(say(gateway, "[[hang]]", artifacts=tmp_path))
    await eventually(model.hanging.is_set)
    assert not model.left.is_set()
    turn.cancel()
    await asyncio.wait({turn})
    await eventually(model.left.is_set)


async def test_an_agent_that_waits_for_its_sub_agent_is_heard_to_the_end(
    gateway: OpenClawGateway, tmp_path: Path
) -> None:
    """The gateway itself answers the turn with "No response from OpenClaw." meanwhile."""
    result = await say(gateway, "[[spawn: slow 3]]", artifacts=tmp_path)
    assert (result.status, result.content) == (RunStatus.OK, "The sub-agent has ended.")


@pytest.mark.timeout(900)
async def test_a_turn_that_is_cut_off_or_cancelled_is_done_once_and_by_nobody_else(
    gateway: OpenClawGateway, real: RealGateway, model: Model, word: str, tmp_path: Path
) -> None:
    """A gateway that was killed goes on with its turns by itself; the end of a sub-agent wakes a cancelled turn."""
    model.hanging.clear()
    model.left.clear()
    waiting = asyncio.create_task(say(gateway, f"{word}-cancelled [[spawn: hang]]", own_key(), artifacts=tmp_path))
    await eventually(model.hanging.is_set)
    waiting.cancel()
    await asyncio.wait({waiting})
    await eventually(model.left.is_set)
    asked_for_cancelled = len(model.prompts(f"{word}-cancelled"))

    model.hanging.clear()
    message = f"[[once: {word} is done]]"
    lines: list[str] = []
    turn = asyncio.create_task(say(gateway, message, own_key(), artifacts=tmp_path, on_line=lines.append))
    await eventually(model.hanging.is_set)
    await asyncio.to_thread(real.kill)
    await asyncio.to_thread(real.start)
    result = await turn
    assert (result.status, result.content) == (RunStatus.OK, f"{word} is done"), (result, lines)

    # Its own recovery, and a wake, come up to half a minute later.
    result = await say(gateway, "[[slow: 40]]", artifacts=tmp_path)
    assert result.status is RunStatus.OK
    assert len(model.prompts(message)) == 2
    assert len(model.prompts(f"{word}-cancelled")) == asked_for_cancelled


async def test_a_task_is_steered_while_its_turn_goes_on_and_at_once(
    real: RealGateway, model: Model, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it goes on the turn's own reply answers; at once the model sees what it did before, and what was said."""
    async with steered_task(real.url, tmp_path, monkeypatch) as steered:
        turn = asyncio.create_task(steered.turn(f"{word}-live [[slow: 12]]"))
        await eventually(lambda: model.prompts(f"{word}-live"))
        await steered.say(f"[[say: {word} is heard]]")
        result = await turn
        assert result.status is RunStatus.OK, (result, steered.lines)
        assert result.content.endswith(f"{word} is heard")
        assert len(model.prompts(f"{word}-live")) == 2
        assert await steered.stands() == [("read", 1)]
        assert any("steers it" in line for line in steered.lines), steered.lines

        model.hanging.clear()
        model.left.clear()
        turn = asyncio.create_task(steered.turn(f"{word}-now [[hang]]"))
        await eventually(model.hanging.is_set)
        await steered.say(f"[[say: {word} at once]]", at_once=True)
        result = await turn
        assert (result.status, result.content) == (RunStatus.OK, f"{word} at once"), (result, steered.lines)
        await eventually(model.left.is_set)
        assert len(model.prompts(f"{word}-now")) == 2
        assert await steered.stands() == [("read", 1), ("read", 1)]


async def test_sessions_are_listed_under_their_keys(gateway: OpenClawGateway, word: str, tmp_path: Path) -> None:
    key = f"agent:main:scheduler:{word}"
    await say(gateway, "[[say: ok]]", key, artifacts=tmp_path)
    listed = await gateway.invoke_tool("sessions_list", {"limit": 50})
    assert key in str(listed)


async def test_a_channel_that_was_not_connected_sees_no_chat(gateway: OpenClawGateway) -> None:
    assert not await GatewayTransport(gateway, "telegram", "4711").look()


async def test_an_event_wakes_the_main_session(gateway: OpenClawGateway, model: Model, word: str) -> None:
    await gateway.wake(f"{word} [[say: HEARTBEAT_OK]]")
    await eventually(lambda: model.prompts(word))
