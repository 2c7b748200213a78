"""Reading what the gateway answers: documents, replies that come piece by piece, and refusals. Nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import httpx

from blocks.event_stream import EventStream, TooLong
from blocks.gateway_error import SHOWN, GatewayError, refused, retry_after
from blocks.tool_calls import Calls
from ocs.rules.masking import mask
from ocs.rules.model_failure import is_draining
from ocs.rules.plain_text import WholeCharacters, one_line

LONGEST_REFUSAL = 64 * 1024
LONGEST_DOCUMENT = 16 * 1024**2
LONGEST_REPLY = 32 * 1024**2
"""Bytes; a reply that goes on for longer is taken for one that never ends."""
DONE = "[DONE]"


async def document(response: httpx.Response, *, hide: str) -> Mapping[str, Any]:
    """The JSON object that was answered; the token `hide` is in no error.

    Raises:
        GatewayError: it is something else, or too long.
    """
    data = await _read(response, LONGEST_DOCUMENT)
    try:
        answer: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise _not_understood(response, data, hide) from None
    if not isinstance(answer, dict):
        raise _not_understood(response, data, hide)
    return cast("dict[str, Any]", answer)


def nobody(_usage: object) -> None:
    """Takes what nobody wants to know."""


async def reply(
    response: httpx.Response, *, hide: str, calls: Calls, on_usage: Callable[[object], None] = nobody
) -> AsyncGenerator[str]:
    """The pieces of a chat reply, in whole characters; an empty one is a sign of life.

    `calls` takes those of tools, `on_usage` gets its usage.

    Raises:
        GatewayError: the turn failed, the reply broke off or never ends, or what came is no reply.
    """
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise _not_understood(response, await _read(response, LONGEST_REFUSAL), hide)
    events, pieces, size, begun, finished = EventStream(), WholeCharacters(), 0, False, False
    async for piece in response.aiter_bytes():
        size += len(piece)
        try:
            complete = events.feed(piece)
        except TooLong:
            size = LONGEST_REPLY + 1
            complete = []
        if size > LONGEST_REPLY:
            raise GatewayError(f"The reply was ended: it is longer than {LONGEST_REPLY // 1024**2} MiB.")
        for data in complete:
            if data == DONE:
                return
            text, last = _chunk(data, hide, on_usage, begun=begun)
            calls.take(data)
            begun, finished = begun or bool(text), finished or last
            yield pieces.feed(text)
        if not complete:
            yield ""
    if not finished:
        raise GatewayError("The connection ended before the reply did.", retryable=True, cut_off=True)


async def messages(response: httpx.Response) -> AsyncGenerator[list[Mapping[str, Any]]]:
    """The messages of a session's history, several or one at a time; what is none is passed over.

    Raises:
        GatewayError: an event of it is too long.
    """
    events = EventStream()
    async for piece in response.aiter_bytes():
        try:
            complete = events.feed(piece)
        except TooLong:
            raise GatewayError("An event of the session's history is too long.") from None
        for data in complete:
            if found := _messages(data):
                yield found


async def refusal(response: httpx.Response, *, hide: str) -> GatewayError:
    """Why the gateway did not do it, in its own words; the token `hide` is in them never."""
    data = await _read(response, LONGEST_REFUSAL, whole=False)
    said = _said(data) if _is_json(response) else ("" if _is_page(response) else data.decode(errors="replace"))
    shown = _told(said, hide)
    wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
    return refused(503 if is_draining(said) else response.status_code, shown, wait)


def not_ok(what: str, answer: Mapping[str, Any], *, hide: str) -> GatewayError:
    """The failure that an answer with the status 200 tells of."""
    said = _told(_message(answer), hide)
    return GatewayError(f"{what} failed in the gateway{f': {said}' if said else '.'}", retryable=True)


def _messages(data: str) -> list[Mapping[str, Any]]:
    try:
        event: Any = json.loads(data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(event, dict):
        return []
    told = cast("dict[str, Any]", event)
    rows: Any = told.get("items", [told.get("message")])
    found = cast("list[Any]", rows) if isinstance(rows, list) else []
    return [cast("dict[str, Any]", row) for row in found if isinstance(row, dict)]


def _chunk(data: str, hide: str, on_usage: Callable[[object], None], *, begun: bool) -> tuple[str, bool]:
    """The text of one event of a reply, and whether it is the last."""
    try:
        event: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise GatewayError(f"The reply cannot be understood: {_told(data, hide)}", retryable=True) from None
    if not isinstance(event, dict):
        return "", False
    found = cast("dict[str, Any]", event)
    if "error" in found:
        raise _failed(_message(found), hide, begun=begun)
    if found.get("usage") is not None:
        on_usage(found["usage"])
    choices = found.get("choices")
    choice = cast("Any", choices)[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return "", False
    delta: Any = cast("dict[str, Any]", choice).get("delta")
    text: Any = cast("dict[str, Any]", delta).get("content") if isinstance(delta, dict) else None
    last = cast("dict[str, Any]", choice).get("finish_reason") is not None
    return text if isinstance(text, str) else "", last


def _failed(said: str, hide: str, *, begun: bool) -> GatewayError:
    """A turn that the gateway itself calls failed; one that it refuses to begin because it drains was not taken."""
    told = f"The turn failed in the gateway: {_told(said, hide) or 'it does not say why'}"
    taken = begun or not is_draining(said)
    return GatewayError(told, retryable=True, reached=taken, turn_failed=taken and not is_draining(said))


def _told(said: str, hide: str) -> str:
    """What others say, on a line: masked before it is cut, so that no part of the token is left."""
    return one_line(mask(said, [hide]), SHOWN)


def _message(answer: Mapping[str, Any]) -> str:
    error: Any = answer.get("error")
    if isinstance(error, dict):
        error = cast("dict[str, Any]", error).get("message")
    return error if isinstance(error, str) else ""


def _said(data: bytes) -> str:
    try:
        answer: Any = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
    return _message(cast("dict[str, Any]", answer)) if isinstance(answer, dict) else ""


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")


def _is_page(response: httpx.Response) -> bool:
    return "html" in response.headers.get("content-type", "")


def _not_understood(response: httpx.Response, data: bytes, hide: str) -> GatewayError:
    said = _told(data.decode(errors="replace"), hide)
    found = "a web page" if _is_page(response) else f'"{said}"'
    return GatewayError(
        f"What answers at {response.request.url.copy_with(path='/')} is no OpenClaw gateway: it sent {found}.",
        hint="Correct the address in the OpenClaw Gateway block.",
    )


async def _read(response: httpx.Response, limit: int, *, whole: bool = True) -> bytes:
    """The body up to `limit` bytes; with `whole`, a longer one is an error."""
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > limit:
            if whole:
                raise GatewayError(f"The gateway's answer is longer than {limit // 1024} KiB.")
            break
    return bytes(data[:limit])
