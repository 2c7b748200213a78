"""Looking at what was done: runs, what they printed, and what waits for a decision."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

from ocs.errors import NotFound
from ocs.rules.dispatch import RunStatus
from ocs.rules.shell_result import MARK
from ocs.service import session
from ocs.service.records import Run, Status, run_records
from ocs.service.which_run import the_run

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Approval


@dataclass(frozen=True, slots=True)
class Output:
    """What a run printed to one stream: the store keeps it, or a part of it with the rest in the file at `path`."""

    run_id: UUID
    stream: str
    kept: str
    size: int
    path: str | None
    is_running: bool = False
    """Whether it is at work still, so that this is not kept yet."""

    @property
    def is_cut(self) -> bool:
        """Whether nobody has the whole of it any more."""
        return MARK in self.kept and (self.path is None or not is_whole(self.path, self.size))

    def open(self) -> BinaryIO:
        """All there is of it, to be read piece by piece: it may be large.

        Raises:
            NotFound: its file cannot be read.
        """
        if self.path is None:
            return io.BytesIO(self.kept.encode())
        try:
            return Path(self.path).open("rb")
        except OSError as gone:
            why = f"The whole output was kept in {self.path}, which cannot be read: {gone.strerror}."
            raise NotFound(why) from gone

    def text(self) -> str:
        """All there is of it.

        Raises:
            NotFound: its file cannot be read.
        """
        with self.open() as everything:
            return everything.read().decode(errors="replace")


def is_whole(path: str, said: int) -> bool:
    """Whether the file that an output was kept in has all of it; one that cannot be looked at here is taken to."""
    try:
        return Path(path).stat().st_size >= said
    except OSError:
        return True


async def runs(
    store: Store, *, job: str | None, status: Sequence[Status], since: datetime | None, limit: int
) -> list[Run]:
    """Runs, newest first.

    Raises:
        NotFound: no such job is in the catalogue, or has ever run.
    """
    from ocs.store import queries

    chosen = await session.pick_ever_run(store, job) if job else None
    statuses = [RunStatus(each) for each in status if each is not Status.RETRYING]
    if Status.RETRYING in status:
        statuses += [RunStatus.ERROR, RunStatus.TIMEOUT]
    found = await queries.runs(store, job=chosen, status=statuses, since=since, limit=limit)
    return [record for record in await run_records(store, found) if not status or record.status in status]


async def output(store: Store, given: str | None, stream: str, *, last: bool = False) -> Output:
    """What a run printed to `stdout` or `stderr`: the one that `given` names, or the newest of all.

    Raises:
        UsageError: neither or both are asked for.
        NotFound: there is no such run, or there are several.
    """
    run = await the_run(store, given, last=last)
    kept, size, path = (getattr(run, f"{stream}{suffix}") for suffix in ("", "_bytes", "_path"))
    return Output(run.id, stream, kept, size, path, is_running=not run.status.final)


async def approvals(store: Store, *, job: str | None, everything: bool, limit: int) -> list[Approval]:
    """What waits for a decision, oldest first; with `everything` what is decided too.

    Raises:
        NotFound: no such job is in the catalogue, or has ever run.
    """
    from ocs.store.approvals import approvals as requests

    chosen = await session.pick_ever_run(store, job) if job else None
    return await requests(store, job=chosen, pending_only=not everything, limit=limit)
