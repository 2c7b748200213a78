"""Following a run from its dispatch to the end of its last attempt, with its output as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.errors import ServerUnreachable
from ocs.rules.wording import SHORT
from ocs.service.contact import Contact, contact
from ocs.service.listener import Listener
from ocs.service.reading import is_whole

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.store import Store
    from ocs.store.tables import DispatchRow, Run

LOOK_AGAIN = 0.15
LOOKS_PER_LOG = 5
"""How often the run is looked at for one look at its log, which costs the server more."""
NOBODY_CAME = 40
"""Looks after which people are told that no worker has taken the run."""
PAGE = 200
STREAMS = ("stdout", "stderr")
"""The loggers that a job's output goes to are called after its streams."""


async def follow(client: PrefectClient, store: Store, dispatch_id: UUID, job_id: str, listener: Listener) -> Run | None:
    """Wait for the end of the last attempt, with its output meanwhile; None when it ended before it began.

    Raises:
        ServerUnreachable: the server has been away for a minute; the run goes on.
    """
    with _contact(client, job_id, listener) as server:
        run = await _begun(server, store, dispatch_id)
        return await _to_the_end(server, store, run) if run else None


async def join(client: PrefectClient, store: Store, run: Run, listener: Listener) -> Run:
    """The same for a run that has begun already.

    Raises:
        ServerUnreachable: the server has been away for a minute; the run goes on.
    """
    with _contact(client, run.job_id, listener) as server:
        return await _to_the_end(server, store, run)


def _contact(client: PrefectClient, job_id: str, listener: Listener) -> contextlib.AbstractContextManager[Contact]:
    return contact(client, f"The run goes on in its worker. See later: ocs runs list --job {job_id}", listener)


async def _to_the_end(server: Contact, store: Store, run: Run) -> Run:
    log = LiveLog(server)
    while True:
        ended = await _ended(server, store, run, log)
        following = await _next_attempt(server, store, ended)
        if following is None:
            return ended
        run = following


class LiveLog:
    """What jobs print, each line heard once: live from Prefect's log, the rest from the store in the end."""

    def __init__(self, server: Contact) -> None:
        self._server = server
        self._read: Counter[UUID] = Counter()
        self._shown: Counter[tuple[UUID, str]] = Counter()

    async def show(self, flow_run_id: UUID) -> None:
        """Tell what came since the last look, if the server answers."""
        await self._server.ask(partial(self._show_news, flow_run_id), otherwise=None)

    async def _show_news(self, flow_run_id: UUID) -> None:
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
        from prefect.client.schemas.sorting import LogSort

        mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
        while page := await self._server.client.read_logs(
            mine, limit=PAGE, offset=self._read[flow_run_id], sort=LogSort.TIMESTAMP_ASC
        ):
            self._read[flow_run_id] += len(page)
            for line in page:
                stream = line.name.rpartition(".")[2]
                if stream in STREAMS:  # the job's own words, not Prefect's about it
                    self._show(flow_run_id, stream, line.message)

    def show_rest(self, run: Run) -> None:
        """Tell what the log has not brought yet: it comes in batches, and the run has ended."""
        for stream, text, path in (("stdout", run.stdout, run.stdout_path), ("stderr", run.stderr, run.stderr_path)):
            if path is not None:
                option = " --stderr" if stream == "stderr" else ""
                said = getattr(run, f"{stream}_bytes")
                much = "All" if is_whole(path, said) else f"What was kept of {said:,} bytes"
                self._server.listener.note(f"{much} of its {stream}:  ocs runs output {str(run.id)[:SHORT]}{option}")
                continue
            # Blank lines are not counted: those at both ends are not stored.
            words = [line for line in text.split("\n") if line.strip()]
            for line in words[self._shown[run.flow_run_id, stream] :]:
                self._show(run.flow_run_id, stream, line)

    def _show(self, flow_run_id: UUID, stream: str, line: str) -> None:
        if line.strip():
            self._shown[flow_run_id, stream] += 1
        self._server.listener.output(stream, line)


async def _begun(server: Contact, store: Store, dispatch_id: UUID) -> Run | None:
    """The dispatch's run, once a worker has claimed it; None when it never will be one."""
    from ocs.store import queries

    looks, told = 0, False
    while (run := await queries.run_of_dispatch(store, dispatch_id)) is None:
        looks += 1
        row = await queries.dispatch(store, dispatch_id)
        if row is not None and row.status == "waiting" and not told:
            told = True
            what = f"a slot of the pool {row.pool}" if row.waits_for == "pool" else "an earlier run of the job"
            server.listener.warn(f"It waits for {what}.  See: ocs queue list")
        if looks == NOBODY_CAME and not told:
            server.listener.warn("No worker has taken it yet; waiting.  Is one running?  ocs status")
        was_ended = partial(_was_ended, server.client, store, row)
        if looks % LOOKS_PER_LOG == 0 and await server.ask(was_ended, otherwise=False):
            return await queries.run_of_dispatch(store, dispatch_id)
        await asyncio.sleep(LOOK_AGAIN)
    return run


async def _was_ended(client: PrefectClient, store: Store, row: DispatchRow | None) -> bool:
    """Whether it was withdrawn, or Prefect ended its flow run before it began."""
    from ocs.store import queries

    if row is None or row.status == "cancelled":
        return True
    if row.status != "published" or row.flow_run_id is None:
        return False
    state = (await client.read_flow_run(row.flow_run_id)).state
    if state is None or not state.is_final():
        return False
    now = await queries.dispatch(store, row.id)  # its flow run may have ended by queueing it
    return now is not None and now.status == "published" and now.publication == row.publication


async def _ended(server: Contact, store: Store, run: Run, log: LiveLog) -> Run:
    from ocs.store import queries

    looks, told = 0, False
    while (now := await queries.run(store, run.id) or run) and not now.status.final:
        looks += 1
        if now.status == "waiting_approval" and not told:
            told = True
            server.listener.warn(f"It waits for approval.  Decide: ocs approvals approve {run.job_id}")
        if looks % LOOKS_PER_LOG == 0:
            await log.show(run.flow_run_id)
        await asyncio.sleep(LOOK_AGAIN)
    with contextlib.suppress(ServerUnreachable):  # how it ended is known, and what it said
        await log.show(run.flow_run_id)
    log.show_rest(now)
    return now


async def _next_attempt(server: Contact, store: Store, run: Run) -> Run | None:
    """The next attempt once it has begun; None when there will be none."""
    from ocs.store import queries

    looks, told = 0, False
    while True:
        looks += 1
        if looks % LOOKS_PER_LOG == 0:
            await server.ask(server.client.hello, otherwise=None)
        # In this order: a retry that begins between the two looks is seen by the second.
        coming = [waiting for waiting in await queries.open_dispatches(store) if waiting.retry_of == run.id]
        following = await queries.retry_of(store, run.id)
        if following is not None or not coming:
            return following
        if not told:
            told = True
            server.listener.warn(f"Attempt {run.attempt}: {run.error}")
        await asyncio.sleep(LOOK_AGAIN)
