"""The password of the embedded server: made once, kept in a file that only its owner reads, and told to nobody else.

A client of the API reads every Secret block and runs commands as the server's user, and every user of a machine
reaches its loopback addresses.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ocs import peer, settings
from ocs.errors import Refused
from ocs.files import is_private
from ocs.server.config import AUTH, Config
from ocs.server.state import UpState

CLIENT_AUTH = "PREFECT_API_AUTH_STRING"
"""Prefect's own setting for what a client says."""
USER = "ocs"


@dataclass(frozen=True, slots=True)
class Password:
    """What a server asks for, `user:password`. One that was set by hand stands in no file of ours."""

    value: str = field(repr=False)
    file: Path | None = None


def file_of(home: Path) -> Path:
    """Where the password of a home's server stands."""
    return home / "password"


def choose(config: Config) -> Password | None:
    """What a server that starts asks for: what was set by hand, else its own; None when it is to ask for nothing.

    Raises:
        Refused: its file cannot be written.
    """
    if given := os.environ.get(AUTH):
        return Password(given)
    if not config.auth:
        return None
    file = file_of(config.home)
    return Password(_kept(file) or _make(file), file)


def of(up: UpState) -> str | None:
    """What is to be said to a running server; None when it asks for nothing, or nobody told us.

    Raises:
        Refused: its file is gone, or cannot be read.
    """
    if up.password_file is None:
        return os.environ.get(AUTH) or os.environ.get(CLIENT_AUTH)
    try:
        return Path(up.password_file).read_text().strip()
    except OSError as failed:
        why = f"The embedded server's password cannot be read from {up.password_file}: {failed.strerror}."
        raise Refused(why, hint="Started again, it makes another: ocs down && ocs up --detach") from failed


def known_to(environment: Mapping[str, str], url: str, password: str, user: int) -> dict[str, str]:
    """What a client's environment needs beside `environment` to say the password to this server, and to nobody else.

    `user` is the one whose server it is. A proxy would read along, and another user may take the port.
    """
    server = urlsplit(url)
    past_proxies = environment.get("no_proxy") or environment.get("NO_PROXY")  # of two the first counts
    direct = ",".join(filter(None, (past_proxies, server.hostname)))
    told = {CLIENT_AUTH: password, peer.VARIABLE: f"{user} {server.port}"}
    return told | {"no_proxy": direct, "NO_PROXY": direct}


def present(up: UpState) -> None:
    """Have this process speak to its embedded server, before it imports Prefect."""
    os.environ.setdefault("PREFECT_HOME", str(settings.home() / "prefect"))
    if (value := of(up)) is not None:
        with suppress(FileNotFoundError):  # it has ended since
            user = settings.embedded_state_file().stat().st_uid
            os.environ.update(known_to(os.environ, up.url, value, user))
            peer.heed_environment()


def _kept(file: Path) -> str | None:
    """What an earlier start left; None when there is nothing, or somebody else may have read or written it."""
    try:
        known = file.lstat()
        is_ours = stat.S_ISREG(known.st_mode) and known.st_uid == os.geteuid() and is_private(file)
        return (file.read_text().strip() or None) if is_ours else None
    except OSError:
        return None


def _make(file: Path) -> str:
    """All at once, so that nobody ever reads a part of it, and private from its first byte."""
    value = f"{USER}:{secrets.token_urlsafe(32)}"
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".password-")
        try:
            with os.fdopen(handle, "w") as made:
                made.write(value)
                made.flush()
                os.fsync(handle)
            Path(name).replace(file)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as failed:
        raise Refused(
            f"The server's password cannot be written to {file}: {failed.strerror}.",
            hint="Set OCS_HOME to a folder of your own.",
        ) from failed
    return value
