"""Sending by a webhook: a JSON document, signed as Standard Webhooks (standardwebhooks.com) says."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from blocks import image
from blocks.connections import connections
from blocks.gateway_error import retry_after
from blocks.kind import Fields, TargetKind
from blocks.transport import Part, Transport, Undelivered, patience
from ocs.rules.masking import mask
from ocs.rules.plain_text import one_line
from ocs.timing import timing

LARGEST_IMAGE = 8 * 1024**2
LONGEST_ANSWER = 64 * 1024
PASSES = (408, 425, 429)
"""Refusals that are no verdict on what was sent."""
CODED = "whsec_"
"""Before a secret that is written in base64."""
SHOWN = 200
SHORTEST_PIECE = 8
"""Characters of a part of an address that may be a secret: `api` and `hooks` are none."""


class WebhookTransport:
    """To one address. Signed when there is a secret."""

    limit = None
    has_subject = True
    takes_images = True

    def __init__(self, url: str, secret: str | None) -> None:
        self._url = url
        self._secret = secret
        self._who = f"The webhook at {urlsplit(url).hostname}"

    async def send(self, part: Part) -> None:
        body = await asyncio.to_thread(_body, part)
        headers = {"content-type": "application/json", **_headers(part.key, body, self._secret, datetime.now(UTC))}
        async with patience(self._who):
            try:
                waits = timing().part.total_seconds()
                request = connections().stream("POST", self._url, content=body, headers=headers, timeout=waits)
                async with request as answer:
                    _judge(self._who, answer, await _beginning(answer), self._secrets())
            except httpx.HTTPError as failed:
                raise Undelivered(f"{self._who} cannot be reached ({type(failed).__name__}).") from failed
            except (httpx.InvalidURL, UnicodeError) as wrong:
                raise Undelivered(f"{self._who} has an address that cannot be used.", retryable=False) from wrong

    def _secrets(self) -> list[str]:
        """The address and what it is made of, which may be a token, and what it is signed with."""
        parts = urlsplit(self._url)
        pieces = re.split("[/&=]", f"{parts.path}&{parts.query}&{parts.password or ''}")
        return [self._url, self._secret or "", *(piece for piece in pieces if len(piece) >= SHORTEST_PIECE)]


def signature(secret: str, key: str, timestamp: str, body: bytes) -> str:
    """What the header webhook-signature says: HMAC-SHA256 of `id.timestamp.body` in base64.

    Raises:
        ValueError: the secret begins with whsec_, and what follows is not base64.
    """
    coded = secret.startswith(CODED)
    try:
        raw = base64.b64decode(secret.removeprefix(CODED), validate=True) if coded else secret.encode()
    except binascii.Error:
        raise ValueError("after whsec_ it is not base64") from None
    signed = f"{key}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()}"


async def _transport(target: Fields) -> Transport:
    return WebhookTransport(target.url.get_secret_value(), target.secret.get_secret_value() or None)


def _where(target: Fields) -> str:
    parts = urlsplit(target.url.get_secret_value())
    return f"{parts.scheme}://{parts.hostname}/..."


def _check(target: Fields) -> None:
    if urlsplit(target.url.get_secret_value()).scheme not in ("http", "https"):
        raise ValueError("The URL of a webhook begins with http:// or https://.")
    if target.secret:
        signature(target.secret.get_secret_value(), "", "", b"")


WEBHOOK = TargetKind(("url",), _where, _transport, _check)


def _headers(key: str, body: bytes, secret: str | None, now: datetime) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    signed = {"webhook-signature": signature(secret, key, timestamp, body)} if secret else {}
    return {"webhook-id": key, "webhook-timestamp": timestamp, **signed}


def _body(part: Part) -> bytes:
    return json.dumps(_document(part), ensure_ascii=False).encode()


def _document(part: Part) -> dict[str, Any]:
    document = {**part.about, "subject": part.subject, "text": part.text}
    if part.image is None:
        return document
    found = image.read(part.image, LARGEST_IMAGE)
    if isinstance(found, str):
        return {**document, "text": found}
    attached = {"name": found.name, "type": found.kind, "base64": base64.b64encode(found.data).decode()}
    return {**document, "image": attached}


async def _beginning(answer: httpx.Response) -> bytes:
    data = bytearray()
    async for piece in answer.aiter_bytes():
        data += piece
        if len(data) > LONGEST_ANSWER:
            break
    return bytes(data)


def _judge(who: str, answer: httpx.Response, data: bytes, secrets: Sequence[str]) -> None:
    """Many an API answers 200 and says in the body that it did not work."""
    status = answer.status_code
    if not answer.is_success:
        raise Undelivered(
            f"{who} answered {status} {answer.reason_phrase}".rstrip() + ".",
            retryable=status >= 500 or status in PASSES,
            retry_after=retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
        )
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(said, dict) and cast("dict[str, Any]", said).get("ok") is False:
        why = one_line(mask(str(cast("dict[str, Any]", said).get("error") or ""), secrets), SHOWN)
        raise Undelivered(f"{who} answered {status}, but ok: false{f' ({why})' if why else ''}.")
