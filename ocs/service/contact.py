"""Contact with a server that may go away while somebody follows something: said at once, tried again, given up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from ocs.errors import ServerUnreachable
from ocs.service.listener import Listener
from ocs.timing import seconds, timing
from ocs.transient import is_transient

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

T = TypeVar("T")


class Contact:
    """Asks a server, and puts up with it when it is away for less than a minute."""

    def __init__(self, client: PrefectClient, hint: str, listener: Listener) -> None:
        self.client = client
        self.listener = listener
        self._address = str(client.api_url).rstrip("/")
        self._hint = hint
        self._lost_at: float | None = None

    async def ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """The answer, or `otherwise` when there is none this time; asking again is left to the caller.

        Raises:
            ServerUnreachable: it has not answered for a minute.
        """
        began = time.monotonic()
        limit = timing().server_given_up
        left = limit.total_seconds() - (began - (self._lost_at or began))
        is_late = asyncio.get_running_loop().call_later(timing().server_late.total_seconds(), self._lost, began)
        try:
            async with asyncio.timeout(left):
                answer = await question()
        except Exception as failed:
            if not is_transient(failed):
                raise
            self._lost(began)
            if left <= time.monotonic() - began:
                why = f"The Prefect server at {self._address} has not answered for {seconds(limit)}."
                raise ServerUnreachable(why, hint=self._hint) from failed
            return otherwise
        finally:
            is_late.cancel()
        self._found()
        return answer

    def _lost(self, at: float) -> None:
        if self._lost_at is None:
            self._lost_at = at
            self.listener.warn(f"The Prefect server at {self._address} does not answer; trying again.")

    def _found(self) -> None:
        if self._lost_at is not None:
            self._lost_at = None
            self.listener.note("The server answers again.")


@contextlib.contextmanager
def contact(client: PrefectClient, hint: str, listener: Listener) -> Generator[Contact]:
    """Follow something on a server. `hint` says what to do when it does not come back.

    Prefect's client would try again by itself, for a minute and without a word.
    """
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield Contact(client, hint, listener)
