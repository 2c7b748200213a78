"""The service: which command starts with the machine, where, and with what of the environment of who installs it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ocs import settings
from ocs.errors import Refused, UsageError
from ocs.settings import SERVICE
from ocs.timing import timing

CARRIED = ("OCS_", "OPENCLAW_", "OTEL_", "PREFECT_SERVER_", "PREFECT_API_DATABASE_", "LC_")
CARRIED_NAMES = frozenset(
    {"PATH", "LANG", "TZ", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
)
NOT_CARRIED = frozenset({"OCS_RUN_ID", "OCS_PROJECT", "OCS_DEBUG", SERVICE})
HARMLESS = ("OCS_TIMING_", "LC_")
HARMLESS_NAMES = frozenset({"OCS_HOME", "PATH", "LANG", "TZ", SERVICE})
"""Values that can be shown; any other may be a password or have one in it."""
MASKED = "********"
MARGIN = timedelta(seconds=10)
UNSAFE = re.compile(r"[\x00-\x1f\x7f]|[\s\\]$")
"""What no line of a unit can hold."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a service manager is told: `name` is the same for one home always, and another for each."""

    name: str
    home: Path
    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def stop_within(self) -> timedelta:
        """The manager kills what has not ended by then: all that ends in order has had its time."""
        times = timing()
        return times.drain + times.worker_end + times.server_end + MARGIN

    def shown(self) -> Service:
        """The same for a terminal."""
        shown = {name: value if _is_harmless(name) else MASKED for name, value in self.environment.items()}
        return Service(self.name, self.home, self.folder, self.command, shown)


def of_this_home(*, port: int = 4200, limit: int = 50, host: str = "127.0.0.1", metrics: str | None = None) -> Service:
    """The service of OCS_HOME, in the project that one stands in.

    Raises:
        Refused: a path is one that no unit can name, or the program is not installed.
    """
    home = settings.home()
    options = ["--port", str(port), "--limit", str(limit), *(["--host", host] if host != "127.0.0.1" else [])]
    options += ["--metrics", metrics] if metrics is not None else []
    name = name_of(home)
    service = Service(name, home, _folder(home), (_program(), "up", *options), _environment(home, name))
    for text in (str(service.folder), *service.command, *service.environment.values()):
        if UNSAFE.search(text):
            raise Refused(f"{text!r} cannot stand in a service's definition.", hint="Rename it, or unset it.")
    return service


def name_of(home: Path) -> str:
    """The name of a home's service: plain, whatever the folder is called."""
    import platformdirs

    if home == Path(platformdirs.user_data_dir("ocs", appauthor=False)):
        return "ocs"
    plain = re.sub(r"[^a-z0-9]+", "-", home.name.lower()).strip("-")[:30]
    return "-".join(filter(None, ("ocs", plain, hashlib.sha256(str(home).encode()).hexdigest()[:6])))


def _folder(home: Path) -> Path:
    try:
        return settings.project_dir()
    except UsageError:
        if "OCS_PROJECT" in os.environ:
            raise
        return home


def _program() -> str:
    """The `ocs` that is being used, by its whole path."""
    beside = Path(sys.executable).with_name("ocs")
    found = str(beside) if beside.exists() else shutil.which("ocs")
    if found is None:
        raise Refused("The program ocs is not installed.", hint="Install it: pipx install prefect-openclaw")
    return str(Path(found).absolute())


def _environment(home: Path, name: str) -> dict[str, str]:
    """Service managers hand on next to nothing of what one has in a shell."""
    carried = {
        variable: value
        for variable, value in os.environ.items()
        if (variable.startswith(CARRIED) or variable in CARRIED_NAMES) and variable not in NOT_CARRIED and value
    }
    if "PATH" in carried:  # what is relative or empty is another folder wherever one stands
        carried["PATH"] = ":".join(part for part in carried["PATH"].split(":") if part.startswith("/"))
    return dict(sorted({**carried, "OCS_HOME": str(home), SERVICE: name}.items()))


def _is_harmless(variable: str) -> bool:
    return variable in HARMLESS_NAMES or variable.startswith(HARMLESS)
