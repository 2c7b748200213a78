"""What all tests share: one real Prefect server for the whole session, and the database it begins with."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zipfile import ZipFile

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from ocs.server import embedded_server
from ocs.timing import PREFIX, timing
from tests.cli.command import inherited

if TYPE_CHECKING:
    from tests.cli.forked import Mother

SHARED = ("tests/cli/test_live", "tests/worker/")
"""Where the names of tests begin that are quick, and share a server that it takes long to start."""

settings.register_profile("patient", deadline=None)  # on a busy machine
settings.load_profile("patient")

# As container images set it. Hundreds of processes are started, and each would compile our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As for everything a shell has started in the background; what tests interrupt would inherit it, and not hear them.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ByServer(LoadFileScheduling):
    """What shares a server goes to one process, or each process would start one for it; other tests go by file."""

    def _split_scope(self, nodeid: str) -> str:
        return next((scope for scope in SHARED if nodeid.startswith(scope)), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a server comes first: it takes long, and the quick rest fills all processes until the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


class Times(Protocol):
    """Sets times in seconds, of this process and of those that it starts from now on: `times(lease=5, renewal=1)`."""

    def __call__(self, **seconds: float) -> None: ...


@pytest.fixture
def times() -> Iterator[Times]:
    """The times of `ocs.timing` for one test."""

    def change(**seconds: float) -> None:
        for name, value in seconds.items():
            environment.setenv(f"{PREFIX}{name.upper()}", str(value))
        timing.cache_clear()

    with pytest.MonkeyPatch.context() as environment:
        yield change
    timing.cache_clear()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, with_database: Callable[[Path], Path]) -> Iterator[str]:
    """The address of a real server's API."""
    with embedded_server(with_database(tmp_path_factory.mktemp("server") / "home")) as (api_url, _):
        yield api_url


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mother]:
    """Forks `ocs` for every home."""
    # Not at the top: it imports Prefect, which the process that deals out the tests does not need.
    from tests.cli.forked import WITH_A_SERVER, mother

    with mother(WITH_A_SERVER, {**inherited(), "PREFECT_HOME": str(tmp_path_factory.mktemp("mother"))}) as forks:
        yield forks


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the package of tests/extension, installed as a wheel is."""
    built, installed = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("extension")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)]
    subprocess.run(build, cwd=Path(__file__).with_name("extension"), check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as opened:
        opened.extractall(installed)
    return installed


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a server that found nothing and has made all by itself, and ended: one for all processes of a run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home, made = shared / "fresh-home", shared / "fresh-home-is-made"
    with (shared / "fresh-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with embedded_server(home):
                pass
            made.touch()
    return home


@pytest.fixture(scope="session")
def with_database(fresh_home: Path) -> Callable[[Path], Path]:
    """Gives a home an empty database made by Prefect, so that a server of a test's own need not make one again."""

    def give(home: Path) -> Path:
        home.mkdir(mode=0o700, parents=True)
        (home / "prefect").mkdir(mode=0o700)
        database = home / "prefect" / "prefect.db"
        database.touch(mode=0o600)
        with (
            closing(sqlite3.connect(fresh_home / "prefect" / "prefect.db")) as made,
            closing(sqlite3.connect(database)) as copy,
        ):
            made.backup(copy)
        return home

    return give
