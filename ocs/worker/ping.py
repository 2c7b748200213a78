"""Ping: an address outside is called while all is well. Where the calls stop, whoever watches it knows.

The address is a secret: who knows it can say that all is well. It is in no log, and in no error.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import httpx

from ocs.timing import timing
from ocs.worker.wellness import Wellness


class NotPinged(TimeoutError):
    """Why the outside was not told; it passes by itself, and nothing else waits for it."""


TALKATIVE = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""Loggers that name addresses of requests, and at their finest the headers of answers: where one redirects to."""


class _WithoutAddress(logging.Filter):
    """Leaves out what would name the address or what is secret in it: all after its host."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._secrets = _spellings(address)

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return not any(secret in said for secret in self._secrets)


def _spellings(address: str) -> set[str]:
    """The address and its secret parts, as it was given and as it is sent: with another spelling of host and path."""
    asked = httpx.URL(address)
    sent = asked.raw_path.decode("ascii")
    found = {address, str(asked), urlsplit(address).path, sent, sent.partition("?")[0], asked.userinfo.decode("ascii")}
    return found - {"", "/"}


class Ping:
    """Calls the address once each time it is asked to, if all is well."""

    def __init__(self, address: str, wellness: Wellness) -> None:
        self._address = address
        self._wellness = wellness
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(_WithoutAddress(address))

    async def __call__(self) -> None:
        """Call it.

        Raises:
            NotPinged: all is not well, or it does not answer.
        """
        if against := self._wellness.against:
            raise NotPinged("; ".join(against))
        await call(self._address)
        await self._note()

    async def _note(self) -> None:
        from ocs.store.figures import note_ping
        from tasks.adapter import runtime

        await note_ping(await runtime.store(), runtime.clock())


async def call(address: str) -> None:
    """One GET, whose answer is not read; a redirect is no answer.

    Raises:
        NotPinged: it does not answer, or says no.
    """
    patience = timing().request.total_seconds()
    try:
        async with httpx.AsyncClient(timeout=patience) as client, client.stream("GET", address) as answer:
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as failed:
        raise NotPinged(f"the address of the ping does not answer ({type(failed).__name__})") from None
    if not 200 <= status < 300:
        raise NotPinged(f"the address of the ping answers {status}")
