"""The server's process: Prefect's own application and UI, on a socket that the parent holds open."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket

import uvicorn
from starlette.types import ASGIApp

from ocs.lifeline import end_with_parent
from ocs.server.browser import NoCallsElsewhere, OwnPagesOnly
from ocs.server.config import AUTH

END_WITHIN = 10
ONLY_FOR_THE_OWNER = 0o077


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m ocs.server")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    listening = socket.socket(fileno=parser.parse_args().fd)
    end_with_parent(patience=END_WITHIN)
    os.umask(ONLY_FOR_THE_OWNER)
    app = NoCallsElsewhere(_prefect())
    config = uvicorn.Config(
        app if os.environ.get(AUTH) else OwnPagesOnly(app),
        log_level="warning",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=60,
        lifespan="on",
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


def _prefect() -> ASGIApp:
    """Prefect's application. It is made of a million objects that stay: garbage is not looked for among them."""
    gc.disable()
    from prefect.server.api.server import create_app

    from ocs.server.immediate import begin_immediately
    from ocs.server.schemas import examine_schemas_once

    begin_immediately()
    examine_schemas_once()
    app = create_app(final=True)
    gc.freeze()
    gc.enable()
    return app


if __name__ == "__main__":
    main()
