"""The OpenClaw gateway as a block: its address and token, and what may be asked of it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx
from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from blocks import answers
from blocks.connections import connections
from blocks.gateway_error import GatewayError, unreachable
from blocks.tool_calls import Answered, Calls, messages_of
from ocs import tracing
from ocs.rules import auth_profile

__all__ = ["BLOCK", "ChatTurn", "GatewayError", "OpenClawGateway", "gateway"]

BLOCK = "default"
"""The block of this name is the one that jobs use."""
DEFAULT_URL = "http://127.0.0.1:18789"
NOTHING = SecretStr("")
TOKEN_FILE = Path("~/.openclaw/credentials/.gateway-token")
HEALTH_PATIENCE = 5.0
SHOWN_FIRST = 50
"""Messages of a session's past that come before those that are new."""
HEALTH_INTERVAL = 2.0
SESSION = re.compile(r"^/sessions/[^/]+")
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn: what an agent is told, in which session, and with which model instead of its own.

    `auth_profile` (provider:label, or inherit) goes with a model only, and is chosen before the turn. `tools` are
    offered to the agent beside its own, as the chat API describes functions; with `answered` the turn goes on after
    calls of them, and the message is not said again.
    """

    agent: str
    message: str
    session_key: str
    model: str | None = None
    auth_profile: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    answered: Sequence[Answered] = ()


class OpenClawGateway(Block):
    """Where agents live. The block called "default" is the one that jobs use."""

    model_config = ConfigDict(hide_input_in_errors=True)  # an address may hold a password

    _block_type_name = "OpenClaw Gateway"
    _block_type_slug = "openclaw-gateway"
    _description = (
        "The address and token of an OpenClaw gateway. Agent, main and watchdog jobs use the block `default`."
    )

    url: str = Field(default=DEFAULT_URL, title="URL", description="Where it listens, without a path.")
    # Texts and not "text or nothing": of those the UI would make a field with a switch.
    token: SecretStr = Field(default=NOTHING, description="gateway.auth.token of its configuration.")
    hooks_token: SecretStr = Field(
        default=NOTHING, description="hooks.token of its configuration; only jobs with run.main.mode: event need it."
    )
    hooks_path: str = Field(default="/hooks", description="hooks.path of its configuration.")
    default_agent: str = Field(default="main", description="The agent of run.main.")
    connect_timeout: float = Field(default=5, gt=0, description="Seconds to reach it.")
    request_timeout: float = Field(default=30, gt=0, description="Seconds for an answer that is not a turn.")

    @field_validator("url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        parts = urlsplit(url.strip())
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(f"is no address; write it like {DEFAULT_URL}")
        if parts.username or parts.password:
            raise ValueError("must hold no password; put the token into the field token")
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{_SCHEMES[parts.scheme]}://{host}{port}{parts.path.rstrip('/')}"

    @field_validator("token", "hooks_token", mode="before")
    @classmethod
    def _sendable(cls, token: object) -> object:
        """Nothing at all, as blocks of an earlier shape hold it, is an empty token too."""
        text = token.get_secret_value() if isinstance(token, SecretStr) else token
        value = text.strip() if isinstance(text, str) else text or ""
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise ValueError("holds characters that cannot be sent")
        return value

    @classmethod
    def from_environment(cls) -> OpenClawGateway:
        """OPENCLAW_GATEWAY_URL, and the token from its variable or the gateway's own file.

        Raises:
            GatewayError: one of them cannot be used.
        """
        hooks_token = os.environ.get("OPENCLAW_HOOKS_TOKEN") or ""
        token = os.environ.get("OPENCLAW_GATEWAY_TOKEN") or _token_in_file()
        try:
            return cls(
                url=os.environ.get("OPENCLAW_GATEWAY_URL") or DEFAULT_URL,
                token=SecretStr(token),
                hooks_token=SecretStr(hooks_token),
            )
        except ValueError as invalid:
            raise GatewayError(
                "The environment does not name a gateway that can be used.",
                hint=f"OPENCLAW_GATEWAY_URL is like {DEFAULT_URL}, OPENCLAW_GATEWAY_TOKEN is plain text.",
            ) from invalid

    async def health(self) -> bool:
        """Whether it answers, and says that it is well."""
        try:
            answer = await connections().get(f"{self.url}/health", timeout=HEALTH_PATIENCE)
        except httpx.HTTPError:
            return False
        return answer.is_success

    async def wait_until_up(self, patience: timedelta) -> bool:
        """Ask every two seconds until it gives any answer at all; False when it gave none."""
        deadline = asyncio.get_running_loop().time() + patience.total_seconds()
        while True:
            try:
                await connections().get(f"{self.url}/health", timeout=HEALTH_INTERVAL)
            except httpx.HTTPError:
                if asyncio.get_running_loop().time() + HEALTH_INTERVAL > deadline:
                    return False
                await asyncio.sleep(HEALTH_INTERVAL)
            else:
                return True

    async def check_token(self) -> None:
        """Ask for the list of agents, which takes a token.

        Raises:
            GatewayError: it is away, or refuses.
        """
        async with self._response("GET", "/v1/models", self.token, patience=self.request_timeout) as response:
            await answers.document(response, hide=_value(self.token))

    async def chat(
        self, turn: ChatTurn, on_usage: Callable[[object], None] = answers.nobody, calls: Calls | None = None
    ) -> AsyncGenerator[str]:
        """The reply of an agent, piece by piece; an empty piece is a sign of life.

        `on_usage` gets what it has used, `calls` takes those of its tools.

        How long to wait for the next piece is the caller's decision: closing the iterator closes the connection,
        which cancels the turn in the gateway.

        Raises:
            GatewayError: it is away or refuses, the turn failed, or the reply broke off or is no reply.
        """
        headers = {"x-openclaw-session-key": turn.session_key}
        if turn.model is not None:
            headers["x-openclaw-model"] = turn.model
        body = {
            # The model is an agent here; the language model goes into the header.
            "model": f"openclaw/{turn.agent}",
            "messages": messages_of(turn.answered) if turn.answered else [{"role": "user", "content": turn.message}],
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"tools": list(turn.tools)} if turn.tools else {}),
        }
        path = "/v1/chat/completions"
        async with self._response("POST", path, self.token, body=body, headers=headers, patience=None) as response:
            async for piece in answers.reply(
                response, hide=_value(self.token), calls=calls or Calls(), on_usage=on_usage
            ):
                yield piece

    async def invoke_tool(self, tool: str, args: Mapping[str, Any], *, session_key: str = "main") -> Mapping[str, Any]:
        """Run one of the gateway's tools; returns its `result`.

        Raises:
            GatewayError: it is away or refuses, or says `ok: false`, under any status.
        """
        body = {"tool": tool, "args": dict(args), "sessionKey": session_key}
        patience = self.request_timeout
        async with self._response("POST", "/tools/invoke", self.token, body=body, patience=patience) as response:
            answer = await answers.document(response, hide=_value(self.token))
        if answer.get("ok") is not True:
            raise answers.not_ok(f"The tool {tool}", answer, hide=_value(self.token))
        result = answer.get("result")
        return cast("dict[str, Any]", result) if isinstance(result, dict) else {"value": result}

    async def history(self, session_key: str, *, limit: int) -> Mapping[str, Any]:
        """The newest messages of a session, as the gateway shows them (`items`).

        Raises:
            GatewayError: it is away or refuses, or there is no such session.
        """
        path = f"/sessions/{quote(session_key, safe='')}/history?limit={limit}"
        async with self._response("GET", path, self.token, patience=self.request_timeout) as response:
            return await answers.document(response, hide=_value(self.token))

    async def activity(self, session_key: str) -> AsyncGenerator[list[Mapping[str, Any]]]:
        """The messages of a session: first those that are there, then each as it comes. Some come again.

        Raises:
            GatewayError: it is away or refuses, there is no such session (yet), or it ended the stream.
        """
        path = f"/sessions/{quote(session_key, safe='')}/history?limit={SHOWN_FIRST}"
        stream = {"Accept": "text/event-stream"}
        async with self._response("GET", path, self.token, headers=stream, patience=self.request_timeout) as response:
            async for messages in answers.messages(response):
                yield messages

    async def profile_of_main(self, agent: str) -> str | None:
        """The auth profile that the agent's main session uses now; None when the gateway names none.

        Raises:
            GatewayError: it is away, or refuses.
        """
        answer = await self.invoke_tool("session_status", {}, session_key=f"agent:{agent}:main")
        details: Any = answer.get("details")
        card: Any = cast("dict[str, Any]", details).get("statusText") if isinstance(details, dict) else None
        return auth_profile.on_status_card(card) if isinstance(card, str) else None

    async def choose_profile(self, turn: ChatTurn, profile: str) -> None:
        """Have the turn's session use this profile with the turn's model, as `/model provider/model@profile` does.

        With the turn itself the gateway takes none: it passes over what follows the @ in the header.

        Raises:
            GatewayError: it is away, or refuses. A profile that it does not have it refuses with the turn.
        """
        model = f"{turn.model}@{profile}"
        try:
            await self.invoke_tool("session_status", {"model": model}, session_key=turn.session_key)
        except GatewayError as failed:
            raise GatewayError(
                f"The auth profile {profile} was not chosen for {turn.model}. {failed.message}",
                hint=failed.hint,
                retryable=failed.retryable,
                retry_after=failed.retry_after,
                reached=failed.reached,
            ) from failed

    async def wake(self, text: str) -> None:
        """Tell the default agent's main session something, and do not wait for what it does.

        Raises:
            GatewayError: there is no hooks token, it is away, or it refuses.
        """
        if not self.hooks_token:
            raise GatewayError(
                "Events need the gateway's hooks token, and none is known.",
                hint="Put hooks.token into the OpenClaw Gateway block or OPENCLAW_HOOKS_TOKEN, or use mode: turn.",
            )
        body = {"text": text, "mode": "now", "agentId": self.default_agent}
        path = f"/{self.hooks_path.strip('/')}/wake"
        async with self._response("POST", path, self.hooks_token, body=body, patience=self.request_timeout) as response:
            answer = await answers.document(response, hide=_value(self.hooks_token))
        if answer.get("ok") is not True:
            raise answers.not_ok("The event", answer, hide=_value(self.hooks_token))

    def _traced(self, method: str, path: str) -> AbstractContextManager[tracing.Span]:
        """The call as a span, without whose conversation it is of."""
        route = SESSION.sub("/sessions/{key}", path.partition("?")[0])
        parts = urlsplit(self.url)
        where = {"server.address": parts.hostname, "server.port": parts.port}
        return tracing.call(f"{method} {route}", {"http.request.method": method, "url.template": route, **where})

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        token: SecretStr,
        *,
        patience: float | None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[httpx.Response]:
        """An answer that is not a refusal, to be read; `patience` is the longest silence."""
        secret = _value(token)
        bearer = {"Authorization": f"Bearer {secret}"} if secret else {}
        waits = httpx.Timeout(patience, connect=self.connect_timeout, write=self.request_timeout)
        request = connections().stream(
            method, f"{self.url}{path}", json=body, headers={**(headers or {}), **bearer}, timeout=waits
        )
        try:
            with self._traced(method, path) as traced:
                async with request as response:
                    traced.say({"http.response.status_code": response.status_code})
                    if not response.is_success:
                        traced.fail(str(response.status_code))
                        raise await answers.refusal(response, hide=secret)
                    yield response
        except httpx.HTTPError as failed:
            raise unreachable(self.url, failed) from failed


async def gateway() -> OpenClawGateway:
    """The gateway that jobs use: the block "default", else what the environment names.

    Raises:
        GatewayError: neither can be used.
    """
    try:
        return await OpenClawGateway.aload(BLOCK)
    except ValidationError as invalid:
        raise GatewayError(
            f'The OpenClaw Gateway block "{BLOCK}" cannot be used: {invalid.errors()[0]["msg"]}',
            hint="Correct it in the Prefect UI under Blocks.",
        ) from None
    except ValueError:  # there is no such block
        return OpenClawGateway.from_environment()


def _value(token: SecretStr) -> str:
    return token.get_secret_value()


def _token_in_file() -> str:
    path = Path(os.environ.get("OPENCLAW_GATEWAY_TOKEN_PATH") or TOKEN_FILE).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
