"""The server alone, without a worker, for as long as a context lasts: for tests and measurements."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from ocs.errors import ServerUnreachable
from ocs.server import password, state
from ocs.server.child import Child, python
from ocs.server.config import Config
from ocs.server.environment import server_environment
from ocs.server.health import wait_until_it_answers
from ocs.server.listen import listen
from ocs.timing import timing


@contextlib.contextmanager
def embedded_server(
    home: Path, *, host: str = "127.0.0.1", port: int = 0, auth: bool = False
) -> Generator[tuple[str, Child]]:
    """Start it, and yield the address of its API and its process. With `auth` its password stands in the home.

    Raises:
        Refused: something stands against starting (a busy port, another one running, nowhere to write).
        ServerUnreachable: it does not start; the end of its log is told.
    """
    config = Config(home, host, port, auth=auth)
    config.check()
    with state.only_one(home), listen(host, port) as listening:
        taken = listening.getsockname()[1]
        child = server_child(config, listening.fileno(), taken, password.choose(config))
        child.start()
        try:
            api_url = f"{config.url(taken)}/api"
            if not wait_until_it_answers(api_url, child.has_ended):
                raise did_not_start(child)
            yield api_url, child
        finally:
            child.end(timing().server_end)


def server_child(config: Config, fd: int, port: int, asked: password.Password | None) -> Child:
    """The server's process on a socket that already listens; not started yet."""
    return Child(
        "server",
        python("-m", "ocs.server", "--fd", str(fd)),
        env=server_environment(config, port, asked),
        log=config.logs / "server.log",
        cwd=config.prefect_home,  # Prefect reads settings from files where it stands: none of somebody else's
        pass_fds=[fd],
    )


def did_not_start(server: Child) -> ServerUnreachable:
    """What is said of a server that never answered."""
    return ServerUnreachable(f"The Prefect server did not start: {server.last_words()}")
