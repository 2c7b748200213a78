"""systemd: the unit of the user's own manager, as systemd reads it."""

from __future__ import annotations

import math
import re

from ocs.errors import Refused
from ocs.server.boot.service import Service

NOT_IN_A_PROGRAM = frozenset("\"'\\")
PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def unit(service: Service) -> str:
    """The text of the unit.

    `KillMode=mixed`: only `ocs up` hears SIGTERM, and ends the rest in order; what is left when it has ended is killed.

    Raises:
        Refused: systemd starts no program of that path.
    """
    within = math.ceil(service.stop_within.total_seconds())
    command, *arguments = service.command
    if NOT_IN_A_PROGRAM & {*command}:
        raise Refused(f"systemd starts no program with quotes or backslashes in its path: {command}")
    lines = [
        "# Written by ocs service install, which writes it anew; your own settings survive in:",
        f"#   systemctl --user edit {service.name}",
        "[Unit]",
        f"Description=ocs, scheduled jobs: data in {_specifiers(str(service.home))}",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=exec",
        " ".join([f"ExecStart={_quoted(command)}", *(_quoted(each.replace("$", "$$")) for each in arguments)]),
        f"WorkingDirectory={_specifiers(str(service.folder))}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment.items()),
        "Restart=on-failure",
        "RestartSec=10",
        "KillMode=mixed",
        f"TimeoutStopSec={within}",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """One word of a unit; systemd would take spaces, quotes, backslashes and percent signs for its own."""
    text = _specifiers(text)
    if PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
