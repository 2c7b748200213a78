"""What went wrong between us and the gateway, and whether asking again can help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import ClassVar

import httpx

from ocs.errors import OcsError

LONGEST_WAIT = timedelta(hours=1)
"""A gateway that asks for more patience is asked again after this."""
SHOWN = 300
"""Characters of a refusal that people are shown."""


class GatewayError(OcsError):
    """The gateway refused, failed or is away.

    `retryable` says that the same request may go well later, `retry_after` when the gateway said it would.
    `reached` is False when the request was certainly not taken: nothing of it was done. `cut_off` says that it was
    taken and its answer broke off: the gateway may have ended, and goes on with the turn when it is back.
    `turn_failed` says that the gateway began the turn and calls it failed, which its model or that one's provider did.
    """

    code: ClassVar[str] = "gateway"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool = False,
        retry_after: timedelta | None = None,
        reached: bool = True,
        cut_off: bool = False,
        turn_failed: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.retry_after = retry_after
        self.reached = reached
        self.cut_off = cut_off
        self.turn_failed = turn_failed

    @property
    def is_away(self) -> bool:
        """Whether it says of the gateway that it is not there, and nothing of what was asked."""
        return self.retryable and (self.cut_off or not self.reached)


def unreachable(url: str, failed: httpx.HTTPError) -> GatewayError:
    """No answer, or one that broke off. Only a connection that was never made means that nothing was done."""
    if isinstance(failed, httpx.ConnectError | httpx.ConnectTimeout):
        return GatewayError(
            f"The OpenClaw gateway at {url} does not answer.",
            hint="Start it (openclaw gateway run), or correct the address in the OpenClaw Gateway block.",
            retryable=True,
            reached=False,
        )
    if isinstance(failed, httpx.TimeoutException):
        return GatewayError(f"The OpenClaw gateway at {url} took too long to answer.", retryable=True)
    why = str(failed) or type(failed).__name__
    return GatewayError(
        f"The connection to the OpenClaw gateway at {url} broke off: {why}", retryable=True, cut_off=True
    )


def refused(status: int, said: str, retry_after: timedelta | None) -> GatewayError:
    """An answer that is not the one asked for; `said` is one line of what the gateway wrote."""
    told = f": {said}" if said else "."
    match status:
        case 401 | 403:
            return GatewayError(
                f"The gateway does not accept the token (HTTP {status}){told}",
                hint="Put its token (gateway.auth.token) into the OpenClaw Gateway block or OPENCLAW_GATEWAY_TOKEN.",
            )
        case 404:
            return GatewayError(
                f"The gateway does not offer this (HTTP 404){told}",
                hint="Chat turns need gateway.http.endpoints.chatCompletions.enabled: true in its configuration, "
                "events need hooks.enabled: true, tools have to be allowed.",
            )
        case 429:
            return GatewayError(
                f"The gateway asks for patience (HTTP 429){told}",
                retryable=True,
                retry_after=retry_after,
                reached=False,
            )
        case 502 | 503:
            return GatewayError(
                f"The gateway is restarting or draining (HTTP {status}){told}",
                retryable=True,
                retry_after=retry_after,
                reached=False,
            )
        case _:
            return GatewayError(
                f"The gateway refused (HTTP {status}){told}", retryable=status >= 500, retry_after=retry_after
            )


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header says: seconds, or a date. None when it says nothing of use."""
    if not header:
        return None
    try:
        wait = timedelta(seconds=float(header))
    except (ValueError, OverflowError):
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return None
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return max(timedelta(0), min(wait, LONGEST_WAIT))
