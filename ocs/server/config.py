"""What an embedded server is told: where it keeps its data and where it listens, and what stands against that."""

from __future__ import annotations

import ipaddress
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ocs.errors import Refused
from ocs.files import is_ours_alone, make_folder

AUTH = "PREFECT_SERVER_API_AUTH_STRING"
"""Prefect's own setting for a password, `user:password`."""


@dataclass(frozen=True, slots=True)
class Config:
    """`port` 0 takes a free one; `limit` is how many runs the worker executes at the same time.

    `worker` is the command line of the worker, when it is not to be ours. Without `auth` no password is asked for.
    `metrics` is the address at which the worker serves them.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 4200
    limit: int = 50
    worker: tuple[str, ...] = ()
    auth: bool = True
    metrics: str | None = None

    def check(self) -> None:
        """Refuse what must not be started, before anything is.

        Raises:
            Refused: it would be reachable from elsewhere without a password that those there are given, or has nowhere
                to keep its data.
        """
        if not is_loopback(self.host) and not os.environ.get(AUTH):
            raise Refused(
                f"Whoever reaches {self.host or 'every address'} and has the password runs commands on this machine,"
                " and the one that ocs makes is for this machine.",
                hint=f'Choose one for them first: {AUTH}="user:password", or leave --host away.',
            )
        self.check_folders()
        if restoring(self.home).exists():
            raise Refused(
                f"A restore into {self.home} was cut off, so that it holds half of a backup.",
                hint="Restore again: ocs backup restore FILE --replace",
            )

    def check_folders(self) -> None:
        """Make the folders for its data.

        Raises:
            Refused: one cannot be made, or written to.
        """
        for folder in (self.home, self.logs, self.prefect_home):
            _make_usable(folder)
        if is_ours_alone(self.home):
            with suppress(OSError):  # where modes mean nothing; `ocs doctor` says so
                self.home.chmod(0o700)

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"

    def url(self, port: int) -> str:
        """Where programs on this machine reach it: a server that listens everywhere listens on loopback too."""
        # A name may mean an address more than the one that is listened on, and somebody else may listen there.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def restoring(home: Path) -> Path:
    """The file that is there while a backup is put into a home."""
    return home / "restoring"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_usable(folder: Path) -> None:
    try:
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "it is not writable")
    except OSError as failed:
        raise Refused(
            f"{folder} cannot be used for data: {failed.strerror}.",
            hint="Set OCS_HOME to a folder you can write to.",
        ) from failed
