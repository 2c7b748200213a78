"""Deliver: send pending deliveries. A failure is recorded, and a later tick tries again.

Sending goes on in a task of its own: a slow receiver delays no run and no tick.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.logging import get_logger

from blocks.target import transport_to
from blocks.transport import Part, Transport, Undelivered, patience
from ocs import tracing
from ocs.errors import StoreAway
from ocs.rules.delivery import REPLY
from ocs.rules.delivery_retry import pause_after
from ocs.rules.markdown import literal, with_whole_blocks
from ocs.rules.parts import numbered
from ocs.store import Store, deliveries
from ocs.store.deliveries import Sending
from ocs.store.tables_delivery import Delivery
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.delivery.inbox import InboxTransport, reader_of

AT_ONCE = 8
LOOKS_EVERY = 0.1
"""Seconds between two looks at a delivery that somebody else sends."""

_sending: set[asyncio.Task[None]] = set()


async def deliver_soon(run_id: UUID) -> Sequence[Delivery]:
    """Send the deliveries of this run, and wait a moment for it; returns how they stand."""
    # A process of this run alone (Prefect's process worker) ends with it, and would break off a delivery.
    waits = timing().part if runtime.ends_with_its_run() else timing().end_waits
    await _beside(_send_all_of(run_id), waits)
    try:
        return (await deliveries.of_runs(await runtime.store(), [run_id])).get(run_id, [])
    except StoreAway as away:  # nothing for a run to fail of
        get_logger(__name__).warning("How the deliveries of run %s stand is not known: %r", run_id, away)
        return []


async def deliver_leftovers() -> None:
    """Send what is due: what a crash left, what failed before, and what others wrote."""
    await _beside(_send_due(None), timing().tick_waits)


async def finish_sending() -> None:
    """Wait for deliveries on their way, before the process ends."""
    ours = [task for task in _sending if task.get_loop() is asyncio.get_running_loop()]
    if ours:
        await asyncio.wait(ours, timeout=timing().part.total_seconds())


async def _beside(work: Coroutine[Any, Any, None], wait: timedelta) -> None:
    task = asyncio.create_task(work)
    _sending.add(task)
    task.add_done_callback(_ended)
    await asyncio.wait({task}, timeout=wait.total_seconds())


def _ended(task: asyncio.Task[None]) -> None:
    _sending.discard(task)
    if not task.cancelled() and (failed := task.exception()):
        get_logger(__name__).warning("Deliveries wait for the worker's next tick: %r", failed)


async def _send_due(run_id: UUID | None) -> None:
    store = await runtime.store()
    while taken := await deliveries.take_due(store, now=runtime.clock(), limit=AT_ONCE, run_id=run_id):
        await asyncio.gather(*(_send(store, sending) for sending in taken))


async def _send_all_of(run_id: UUID) -> None:
    """Send what is due of a run, and wait for what a tick took first: the page of the run shows both."""
    await _send_due(run_id)
    store = await runtime.store()
    while True:
        of_run = (await deliveries.of_runs(store, [run_id])).get(run_id, [])
        if not any(_is_being_sent(each) for each in of_run):
            return
        await asyncio.sleep(LOOKS_EVERY)


def _is_being_sent(delivery: Delivery) -> bool:
    """A lease that has run out is of a sender that died: the next tick sends it."""
    return delivery.lease_until is not None and delivery.lease_until > runtime.clock()


async def _send(store: Store, sending: Sending) -> None:
    said = {
        "ocs.job.id": sending.job_id,
        "ocs.delivery.target": sending.target,
        "ocs.delivery.attempt": sending.attempt,
    }
    with tracing.call("deliver", said, of=sending.run_id) as traced:
        await _sent(store, sending, traced)


async def _sent(store: Store, sending: Sending, traced: tracing.Span) -> None:
    try:
        if not await _send_parts(store, sending):
            return
    except Undelivered as failed:
        traced.fail("undelivered")
        await _note_failure(store, sending, failed)
    except Exception as failed:  # one bad message stops no other
        traced.fail(type(failed).__name__)
        await _note_failure(store, sending, _unforeseen(failed))
    else:
        await deliveries.mark_sent(store, sending, now=runtime.clock())


async def _send_parts(store: Store, sending: Sending) -> bool:
    """Send the parts that nobody acknowledged yet. False when another sender has taken it over meanwhile."""
    transport = await _transport(sending.target)
    parts = parts_of(sending, transport)
    # A target that was changed meanwhile takes other parts: those that went out went elsewhere.
    done = sending.parts_sent if sending.parts == len(parts) else 0

    async def still_ours(sent: int) -> bool:
        return await deliveries.note_part(store, sending, sent=sent, parts=len(parts))

    # Asked before the first part too: looking up the target may have taken longer than the lease.
    if not await still_ours(done):
        return False
    for number, part in enumerate(parts[done:], start=done + 1):
        await transport.send(part)
        if not await still_ours(number):
            return False
    return True


async def _transport(target: str) -> Transport:
    if (reader := reader_of(target)) is not None:
        return InboxTransport(await runtime.store(), reader)
    async with patience("The Prefect server, which knows the target,"):
        try:
            return await transport_to(target)
        except httpx.HTTPError as failed:
            raise Undelivered("The Prefect server, which knows the target, cannot be reached.") from failed


def parts_of(sending: Sending, transport: Transport) -> list[Part]:
    """The parts of a delivery: its text, cut where the channel wants it, then its images.

    The same delivery always has the same parts, so that one sender goes on where another stopped.
    """
    body, images = sending.body, sending.images
    if images and not transport.takes_images:
        body, images = "\n".join([body, "", *(f"Image: {path}" for path in images)]), ()
    markdown = sending.kind == REPLY
    texts = numbered(body if transport.has_subject else _with_subject(sending.subject, body, markdown), transport.limit)
    told = [(text, None, markdown) for text in (with_whole_blocks(texts) if markdown else texts)]
    contents = [*told, *((Path(path).name, Path(path), False) for path in images)]
    return [
        Part(f"{sending.id}-{number}", sending.subject, text, image, written, _about(sending, number, len(contents)))
        for number, (text, image, written) in enumerate(contents, start=1)
    ]


def _with_subject(subject: str, body: str, markdown: bool) -> str:
    return f"{literal(subject) if markdown else subject}\n\n{body}"


def _about(sending: Sending, number: int, parts: int) -> dict[str, Any]:
    return {
        "id": str(sending.id),
        "kind": sending.kind,
        "job": sending.job_id,
        "run": str(sending.run_id) if sending.run_id else None,
        "created_at": sending.created_at.isoformat(),
        **sending.how_it_went,
        "part": number,
        "parts": parts,
    }


def _unforeseen(failed: Exception) -> Undelivered:
    """Where it happened, without what it says: that may hold an address or a token."""
    place = traceback.extract_tb(failed.__traceback__)[-1]
    return Undelivered(f"It could not be sent ({type(failed).__name__} in {Path(place.filename).name}:{place.lineno}).")


async def _note_failure(store: Store, sending: Sending, failed: Undelivered) -> None:
    pause = pause_after(
        sending.attempt,
        retryable=failed.retryable,
        retry_after=failed.retry_after,
        # Spreads attempts; nothing secret hangs on it.
        spread=random.uniform(-1, 1),  # noqa: S311
    )
    now = runtime.clock()
    told = f"{failed.message} {failed.hint}" if failed.hint else failed.message
    again_at = now + pause if pause else None
    await deliveries.mark_failed(store, sending, error=told, again_at=again_at, now=now)
    then = f"tried again in {pause.total_seconds():.0f} s" if pause else "given up; see: ocs queue list"
    get_logger(__name__).warning(
        "What %s has to tell %s was not sent (attempt %d), %s: %s",
        sending.job_id,
        sending.target,
        sending.attempts,
        then,
        told,
    )
