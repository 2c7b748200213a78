"""launchd: the agent of the logged-in user of a Mac."""

from __future__ import annotations

import math
import plistlib

from ocs.server.boot.service import Service

LABEL = "prefect-openclaw."


def label(service: Service) -> str:
    """How launchd calls it."""
    return LABEL + service.name


def agent(service: Service) -> str:
    """The property list. It is started again unless it has ended well, as it does when it is told to end."""
    log = str(service.home / "logs" / "service.log")
    return plistlib.dumps(
        {
            "Label": label(service),
            "ProgramArguments": list(service.command),
            "WorkingDirectory": str(service.folder),
            "EnvironmentVariables": dict(service.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": math.ceil(service.stop_within.total_seconds()),
            "StandardOutPath": log,
            "StandardErrorPath": log,
        },
        sort_keys=False,
    ).decode()
