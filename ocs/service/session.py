"""What operations work with: the project's catalogue, the store, and the server's client, opened when needed."""

from __future__ import annotations

import contextlib
import difflib
import getpass
import os
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ocs import settings
from ocs.errors import NotFound, Refused, ServerUnreachable, StoreError, UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from deployments.catalogue import Catalogue
    from ocs.server import UpState
    from ocs.spec import Job
    from ocs.store import Store

T = TypeVar("T")
UNAUTHORIZED = (401, 403)
OPEN = "The server asks for no password: whoever reaches it reads every secret and runs commands."
SHUT = "ocs down && ocs up --detach"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do something asynchronous from a command."""
    import asyncio

    return asyncio.run(work)


def catalogue(project: Path | None = None) -> Catalogue:
    """The catalogue of a project, by default of the one that one stands in, valid or not.

    Raises:
        UsageError: one does not stand in a project.
    """
    from deployments import catalogue as catalogues

    return catalogues.read(settings.project_dir(project))


def has_project() -> bool:
    """Whether one stands in a project.

    Raises:
        UsageError: OCS_PROJECT or --project names a folder that is none.
    """
    try:
        settings.project_dir()
    except UsageError:
        if "OCS_PROJECT" in os.environ:
            raise
        return False
    return True


def catalogue_ids() -> list[str]:
    """The ids of the project's valid jobs; none outside of projects."""
    return list(catalogue().jobs) if has_project() else []


def ids_of(found: Catalogue) -> list[str]:
    """The ids in a catalogue, those of invalid files too."""
    return [*found.jobs, *(Path(problem.file).stem for problem in found.problems if problem.file)]


def aliases_of(found: Catalogue) -> dict[str, str]:
    """The other names that jobs of a catalogue are known by, such as the id that one was imported under."""
    return {alias: job.id for job in found.jobs.values() for alias in job.aliases}


def job_of(found: Catalogue, given: str) -> Job:
    """The job that `given` names, shortened or not.

    Raises:
        NotFound: none or several begin so; the nearest are named.
        InvalidJob: its file is not valid.
    """
    chosen = pick(given, ids_of(found), aliases_of(found))
    if chosen not in found.jobs:
        found.checked()
    return found.jobs[chosen]


@contextlib.asynccontextmanager
async def store() -> AsyncGenerator[Store]:
    """The store, migrated.

    Raises:
        StoreError: it cannot be used, or OCS_STORE_URL is not an address.
    """
    from sqlalchemy.exc import ArgumentError, DBAPIError

    from ocs.store import open_store

    try:
        opened = open_store()
    except (ArgumentError, ModuleNotFoundError) as wrong:
        hint = "Such as sqlite+aiosqlite:////var/lib/ocs/store.db or postgresql+asyncpg://user@host/database"
        raise StoreError(f"OCS_STORE_URL is not an address of a store: {wrong}", hint=hint) from wrong
    try:
        await opened.migrate()
        yield opened
    except DBAPIError as failed:
        where = opened.engine.url.render_as_string()
        raise StoreError(
            f"The store {where} cannot be used: {failed.orig}", hint="Is it whole, and is it ours?"
        ) from failed
    finally:
        await opened.close()


def has_store() -> bool:
    """Whether there can be anything in the store: a file that is not there yet is not made by looking."""
    url = settings.store_url()
    return not url.startswith("sqlite") or Path(url.partition("///")[2]).exists()


@contextlib.asynccontextmanager
async def server(api_url: str | None = None) -> AsyncGenerator[PrefectClient]:
    """A client of the server: the one given, else the one PREFECT_API_URL names, else the embedded one.

    Raises:
        ServerUnreachable: there is none, or it does not answer.
        Refused: it wants another password.
        NotFound: what is asked for was deleted there.
    """
    address = reachable(api_url)
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    known = {PREFECT_API_AUTH_STRING: password} if (password := os.environ.get(PREFECT_API_AUTH_STRING.name)) else {}
    try:
        with temporary_settings({PREFECT_API_URL: address, **known}):
            async with get_client() as client:
                yield client
    except ObjectNotFound as gone:
        raise NotFound(
            "The server no longer has it; it was deleted there.", hint="See what it has: ocs status"
        ) from gone
    except httpx.TransportError as lost:
        raise silent(address) from lost
    except httpx.HTTPStatusError as refused:
        status = refused.response.status_code
        if status in UNAUTHORIZED:
            hint = "Set PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) to what it was started with."
            raise Refused(f"The Prefect server at {address} wants another password.", hint=hint) from refused
        raise Refused(f"The Prefect server at {address} answered {status}: {refused.response.text[:200]}") from refused


def reachable(api_url: str | None = None) -> str:
    """The API's address, after it has answered; Prefect's own settings are made ready for it.

    Raises:
        ServerUnreachable: there is none, or it does not answer.
    """
    from ocs.server import answers, password

    up = embedded_at(api_url)
    address = up.api_url if up else api_url or settings.api_url()
    if address is None:
        raise ServerUnreachable("No Prefect server is running here.", hint="Start one: ocs up --detach")
    if not answers(address):
        raise silent(address)
    if up is not None:
        password.present(up)
    return address


def embedded_at(api_url: str | None = None) -> UpState | None:
    """The embedded server, if it is the one that commands talk to, or that is at an address: its password is for it."""
    from ocs.server import running

    up = running()  # forgets one that was killed
    address = api_url or settings.api_url()
    return up if up and address and _normal(address) == _normal(up.api_url) else None


def _normal(api_url: str) -> str:
    """Two spellings of one address are one."""
    return api_url.rstrip("/").replace("//localhost:", "//127.0.0.1:")


def silent(address: str) -> ServerUnreachable:
    """What is said of a server that does not answer."""
    hint = "Start one: ocs up --detach, or set PREFECT_API_URL."
    return ServerUnreachable(f"The Prefect server at {address} does not answer.", hint=hint)


def ui_url() -> str | None:
    """The address of the UI."""
    api_url = settings.api_url()
    return api_url.removesuffix("/api") if api_url else None


def flow_run_link(flow_run_id: object) -> str | None:
    """The page of a flow run in the UI."""
    base = ui_url()
    return f"{base}/runs/flow-run/{flow_run_id}" if base else None


def user() -> str:
    """Who is logged in."""
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def pick(given: str, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})) -> str:
    """The job id that `given` names, shortened or not; `aliases` are further names of jobs.

    Raises:
        NotFound: none or several begin so; the nearest are named.
    """
    ids = sorted(set(known))
    if given in ids:
        return given
    if given in aliases:
        return aliases[given]
    names = {**aliases, **{job_id: job_id for job_id in ids}}
    begun = sorted({job_id for name, job_id in names.items() if given and name.startswith(given)})
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise NotFound(f'"{given}" could be {", ".join(begun)}.', hint="Give more of the id.")
    if not ids:
        raise NotFound(
            f'No job "{given}".', hint="There are none yet; make one: ocs jobs add hello --shell 'echo hello'"
        )
    nearest = difflib.get_close_matches(given, ids, n=2)
    named = f" Nearest: {', '.join(nearest)}." if nearest else ""
    raise NotFound(f'No job "{given}".{named}', hint="See all: ocs jobs list")


async def pick_ever_run(opened: Store, given: str) -> str:
    """The id that `given` names, of a job in the catalogue or of one that has ever run.

    Raises:
        NotFound: none or several begin so; the nearest are named.
    """
    from ocs.store import queries

    aliases = aliases_of(catalogue()) if has_project() else {}
    return pick(given, [*catalogue_ids(), *await queries.known_jobs(opened)], aliases)
