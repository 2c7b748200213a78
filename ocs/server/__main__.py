"""The server's process: Prefect's own application and UI, on a socket that the parent holds open."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ocs.parent_death import end_with_parent
from ocs.server import migration
from ocs.server.browser import NoCallsElsewhere, OwnPagesOnly
from ocs.server.config import AUTH
from ocs.server.patience import Impatient, take_more_files
from ocs.server.sign_in import SignIn
from ocs.timing import timing

ONLY_FOR_THE_OWNER = 0o077


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m ocs.server")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    listening = socket.socket(fileno=parser.parse_args().fd)
    os.umask(ONLY_FOR_THE_OWNER)
    take_more_files()
    app = _behind_proxies(NoCallsElsewhere(_prefect()))
    end_with_parent(timing().server_stop)
    password = os.environ.get(AUTH)
    config = uvicorn.Config(
        SignIn(app, password) if password else OwnPagesOnly(app),
        http=Impatient,
        proxy_headers=False,  # who signs in is told by the connection, not by a header
        log_level="warning",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=60,
        lifespan="on",
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


def _behind_proxies(app: ASGIApp) -> ASGIApp:
    """As uvicorn does it, for the application alone."""
    wrapped: Any = ProxyHeadersMiddleware(cast("Any", app), os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1"))
    return wrapped


def _prefect() -> ASGIApp:
    """Prefect's application. It is made of a million objects that stay: garbage is not looked for among them."""
    gc.disable()
    apart = migration.take_over()
    from prefect.server.api.server import create_app

    from ocs.server.immediate import begin_immediately
    from ocs.server.run_names import name_scheduled_runs
    from ocs.server.schemas import examine_schemas_once
    from ocs.server.task_runs import record_each_by_itself
    from ocs.server.unhurried import look_less_often

    begin_immediately()
    examine_schemas_once()
    name_scheduled_runs()
    record_each_by_itself()
    look_less_often()
    app = create_app(final=True)
    if apart:
        migration.migrate_apart()
    gc.collect()
    gc.freeze()
    gc.enable()
    return app


if __name__ == "__main__":
    main()
