"""What all tests share: one real Prefect server for the whole session, and the database it begins with."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from ocs.server import embedded_server

settings.register_profile("patient", deadline=None)  # on a busy machine
settings.load_profile("patient")

# As container images set it. Hundreds of processes are started, and each would compile our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As for everything a shell has started in the background; what tests interrupt would inherit it, and not hear them.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server keeps its data; made by itself."""
    return tmp_path_factory.mktemp("server") / "home"


@pytest.fixture(scope="session")
def prefect_server(server_home: Path) -> Iterator[str]:
    """The address of a real server's API."""
    with embedded_server(server_home) as (api_url, _):
        yield api_url


@pytest.fixture(scope="session")
def with_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Gives a home an empty database made by Prefect, so that a server of a test's own need not make one again."""
    first = tmp_path_factory.mktemp("first")
    with embedded_server(first):
        pass

    def give(home: Path) -> Path:
        home.mkdir(mode=0o700, parents=True)
        (home / "prefect").mkdir(mode=0o700)
        with (
            closing(sqlite3.connect(first / "prefect" / "prefect.db")) as made,
            closing(sqlite3.connect(home / "prefect" / "prefect.db")) as copy,
        ):
            made.backup(copy)
        return home

    return give
