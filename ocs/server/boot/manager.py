"""The service manager of this system: what it is told, and what it says. Nothing here needs root."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocs.errors import NotFound, Refused
from ocs.files import make_folder, open_file
from ocs.server.boot import launchd, systemd
from ocs.server.boot.service import Service

LINGER = Path("/var/lib/systemd/linger")
PATIENCE = 30
ANSWERS = 10.0
"""Seconds within which a manager says how a service stands."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands: whether it is installed, starts by itself and runs, in the manager's words.

    `manager` is None where the manager can be asked, else why it cannot. `with_machine` says whether it starts before
    anybody logs in, None where that is not known.
    """

    installed: bool
    file: Path
    enabled: str = "unknown"
    active: str = "unknown"
    pid: int | None = None
    manager: str | None = None
    with_machine: bool | None = None


class Manager(Protocol):
    """What starts programs with the machine, or with a login."""

    name: str

    def text(self, service: Service) -> str:
        """What is written about a service."""
        ...

    def file(self, service: Service) -> Path:
        """Where it is written."""
        ...

    def install(self, service: Service) -> None:
        """Write it, have it start from now on, and start it.

        Raises:
            Refused: the manager is not there, or refuses; nothing is left.
        """
        ...

    def remove(self, service: Service) -> None:
        """Have it start no more, end it and take away what was written."""
        ...

    def restart(self, service: Service) -> None:
        """Start it, ending it before where it runs."""
        ...

    def standing(self, service: Service) -> Standing:
        """How it stands."""
        ...

    def logs(self, service: Service, lines: int, *, follow: bool) -> list[str]:
        """The command that prints what it said."""
        ...


def here() -> Manager:
    """The manager of this system.

    Raises:
        Refused: there is none that we know.
    """
    if sys.platform == "darwin":
        return Launchd()
    if sys.platform == "linux":
        return Systemd()
    raise Refused(f"Services are not known on {sys.platform}.", hint="Have what you use start: ocs up")


class Systemd:
    """The user's own instance of systemd."""

    name = "systemd"

    def text(self, service: Service) -> str:
        return systemd.unit(service)

    def file(self, service: Service) -> Path:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return config / "systemd" / "user" / self._unit(service)

    def install(self, service: Service) -> None:
        self._check()
        _write(self.file(service), self.text(service))
        self._told("daemon-reload")
        self._told("enable", self._unit(service))
        self._told("restart", self._unit(service))

    def remove(self, service: Service) -> None:
        file = _installed(self.file(service))
        if self._away() is None:
            self._told("disable", "--now", self._unit(service))
        file.unlink()
        # Without the manager nothing is enabled but by this link.
        (file.parent / "default.target.wants" / file.name).unlink(missing_ok=True)
        if self._away() is None:
            self._told("daemon-reload")

    def restart(self, service: Service) -> None:
        _installed(self.file(service))
        self._check()
        self._told("daemon-reload")
        self._told("restart", self._unit(service))

    def standing(self, service: Service) -> Standing:
        file = self.file(service)
        away = self._away()
        lingers = (LINGER / getpass.getuser()).exists()
        if away is not None or not file.exists():
            return Standing(file.exists(), file, manager=away, with_machine=lingers)
        shown = self._ask("show", "--property=ActiveState,SubState,UnitFileState,MainPID", self._unit(service)).stdout
        found = _pairs(shown, "=")
        active = f"{found.get('ActiveState', 'unknown')} ({found.get('SubState', 'unknown')})"
        pid = int(found.get("MainPID") or 0) or None
        return Standing(True, file, found.get("UnitFileState") or "unknown", active, pid, None, lingers)

    def logs(self, service: Service, lines: int, *, follow: bool) -> list[str]:
        _installed(self.file(service))
        if (program := shutil.which("journalctl")) is None:
            raise NotFound("journalctl is not installed.", hint=f"Server and worker have theirs in {service.home}/logs")
        unit = self._unit(service)
        return [program, "--user", f"--user-unit={unit}", f"--lines={lines}", *(["--follow"] if follow else [])]

    def _check(self) -> None:
        if (away := self._away()) is not None:
            raise Refused(away, hint=f"See: ocs service install --print   Then log in again, or: {enable_linger()}")

    def _away(self) -> str | None:
        """Why the manager cannot be asked; None where it can."""
        if shutil.which("systemctl") is None:
            return "This system has no systemd. In a container let the container run ocs up, and start it again."
        asked = self._ask("show", "--property=Version")
        if asked.returncode == 0:
            return None
        said = asked.stderr.strip().splitlines()[-1:] or [f"status {asked.returncode}"]
        return (
            f"systemd's manager for {getpass.getuser()} does not answer: {said[0]}. In a container there is none: let"
            " the container run ocs up, and start it again."
        )

    def _told(self, *words: str) -> None:
        asked = self._ask(*words)
        if asked.returncode:
            said = asked.stderr.strip() or f"it ended with status {asked.returncode}"
            raise Refused(f"systemctl --user {' '.join(words)} failed: {said}")

    @staticmethod
    def _ask(*words: str) -> subprocess.CompletedProcess[str]:
        # Only what is started or stopped may take long: its runs are waited for.
        within = ANSWERS if words[0] == "show" else PATIENCE + 600
        return _run(["systemctl", "--user", "--no-pager", *words], within)

    @staticmethod
    def _unit(service: Service) -> str:
        return f"{service.name}.service"


class Launchd:
    """The agents of the user who is logged in to a Mac."""

    name = "launchd"

    def text(self, service: Service) -> str:
        return launchd.agent(service)

    def file(self, service: Service) -> Path:
        return Path.home() / "Library" / "LaunchAgents" / f"{launchd.label(service)}.plist"

    def install(self, service: Service) -> None:
        file = self.file(service)
        if file.exists():
            _run(["launchctl", "bootout", self._target(service)])
        make_folder(service.home / "logs")
        _write(file, self.text(service))
        self._told("bootstrap", self._domain(), str(file))

    def remove(self, service: Service) -> None:
        file = _installed(self.file(service))
        _run(["launchctl", "bootout", self._target(service)])  # it may have ended, which is what is wanted
        file.unlink()

    def restart(self, service: Service) -> None:
        file = _installed(self.file(service))
        _run(["launchctl", "bootout", self._target(service)])
        self._told("bootstrap", self._domain(), str(file))

    def standing(self, service: Service) -> Standing:
        file = self.file(service)
        asked = _run(["launchctl", "print", self._target(service)], ANSWERS)
        found = _pairs(asked.stdout, " = ")
        pid = found.get("pid", "")
        active = found.get("state", "not loaded")
        enabled = "enabled" if file.exists() else "unknown"
        return Standing(file.exists(), file, enabled, active, int(pid) if pid.isdigit() else None, None, False)

    def logs(self, service: Service, lines: int, *, follow: bool) -> list[str]:
        log = service.home / "logs" / "service.log"
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)]

    def _told(self, *words: str) -> None:
        asked = _run(["launchctl", *words])
        if asked.returncode:
            said = asked.stderr.strip() or f"it ended with status {asked.returncode}"
            raise Refused(f"launchctl {' '.join(words)} failed: {said}")

    @staticmethod
    def _domain() -> str:
        return f"gui/{os.getuid()}"

    def _target(self, service: Service) -> str:
        return f"{self._domain()}/{launchd.label(service)}"


def _pairs(text: str, between: str) -> dict[str, str]:
    """What stands before and after it in each line."""
    parts = (line.strip().partition(between) for line in text.splitlines() if between in line)
    return {name: value for name, _, value in parts}


def enable_linger() -> str:
    """What has systemd start a user's services with the machine."""
    return f"loginctl enable-linger {getpass.getuser()}"


def _installed(file: Path) -> Path:
    if not file.exists():
        raise NotFound("The service is not installed.", hint="Install it: ocs service install")
    return file


def _write(file: Path, text: str) -> None:
    """All at once, and for its owner: there may be passwords in its environment."""
    try:
        make_folder(file.parent)
        fresh = file.with_name(f".{file.name}.new")
        with open_file(fresh, "w", encoding="utf-8") as opened:
            opened.write(text)
        fresh.replace(file)
    except OSError as failed:
        raise Refused(f"{file} cannot be written: {failed.strerror}.") from failed


def _run(command: Sequence[str], within: float = PATIENCE + 600) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} has said nothing for {within:.0f} seconds")
    except OSError as failed:
        return subprocess.CompletedProcess(command, 127, "", str(failed))
