"""The environment of the server's and the worker's process: ours, and nothing that was meant for another Prefect."""

from __future__ import annotations

import os

from ocs.server.config import AUTH, Config
from ocs.server.password import CLIENT_AUTH, Password, known_to

NOT_OURS = frozenset(
    {
        AUTH,
        CLIENT_AUTH,
        "PREFECT_API_KEY",
        "PREFECT_API_URL",
        "PREFECT_HOME",
        "PREFECT_PROFILE",
        "PREFECT_PROFILES_PATH",
        "PREFECT_SERVER_API_BASE_PATH",
        "PREFECT_SERVER_UI_API_URL",
        "PREFECT_SERVER_UI_SERVE_BASE",
        "PREFECT_UI_API_URL",
        "PREFECT_UI_SERVE_BASE",
        "PREFECT_UI_URL",
    }
)
"""Settings that say where another Prefect is, or who one is there."""

PRIVATE = "PREFECT__"
"""How Prefect's processes talk to their children: `ocs up` from within a flow run is not one of them."""

ANOTHER_DATABASE = tuple(
    f"PREFECT_{part}_DATABASE_{setting}" for part in ("API", "SERVER") for setting in ("CONNECTION_URL", "DRIVER")
)
"""One of these puts Prefect's data elsewhere than into the SQLite file, on Postgres."""

SAFETY_NETS = {
    f"PREFECT_SERVER_SERVICES_{service}_LOOP_SECONDS": seconds
    for service, seconds in {
        "CANCELLATION_CLEANUP": "60",
        "CLEANUP_RECONCILER": "30",
        "FOREMAN": "30",
        "LATE_RUNS": "15",
        "PAUSE_EXPIRATIONS": "15",
        "REPOSSESSOR": "60",
    }.items()
}
"""What Prefect's services look for so often (as shipped every 5 to 20 seconds) is not what runs wait for."""

LEAN = {"MALLOC_ARENA_MAX": "2"}
"""As the C library is shipped, each thread keeps what it has freed for itself."""


def server_environment(config: Config, port: int, password: Password | None) -> dict[str, str]:
    """For the server's process. Another database than the SQLite file is taken from the caller's environment."""
    environment = {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",  # as shipped, runs are kept for ever
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the UI that Prefect's links lead to; one switches in it
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": config.url(port),  # as shipped, every web page may call
        **SAFETY_NETS,
        **LEAN,
        **_inherited(),
        "PREFECT_HOME": str(config.prefect_home),
        "PREFECT_API_URL": f"{config.url(port)}/api",
        "PREFECT_SERVER_UI_API_URL": "/api",  # right behind a tunnel and under any name of this host, too
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(config.prefect_home / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    if not any(environment.get(name) for name in ANOTHER_DATABASE):
        database = config.prefect_home / "prefect.db"
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    if password is not None:
        environment[AUTH] = password.value
    return environment


def worker_environment(config: Config, port: int, password: Password | None) -> dict[str, str]:
    """For the worker's process, and for other clients of this server."""
    environment = {
        **LEAN,
        **_inherited(),
        "PREFECT_HOME": str(config.prefect_home),
        "PREFECT_API_URL": f"{config.url(port)}/api",
        "OCS_HOME": str(config.home),
        "DO_NOT_TRACK": "1",
    }
    if password is not None:
        environment |= known_to(environment, config.url(port), password.value, os.geteuid())
    return environment


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_OURS and not name.startswith(PRIVATE)}
