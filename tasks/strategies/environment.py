"""The environment a job's shell gets: the little it needs, and what the job asked for."""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ocs import settings
from ocs.spec import Shell

ALWAYS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "SHELL", "TMPDIR")
OURS = ("PREFECT_", "OPENCLAW_", "OCS_", "OTEL_", "__PREFECT", "PYTHONSAFEPATH")
"""The worker's credentials and plumbing; no job inherits them."""
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(shell: Shell, secrets: Mapping[str, str]) -> dict[str, str]:
    """The defaults, the worker's own when the job inherits it, then `env`, then the secrets.

    A worker with an OCS_HOME of its own says so: what calls `ocs` in a job means the installation that runs it. Its
    program is found, too, in an environment that nobody has activated; as the last one: no other is another by it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    base = inherited if shell.inherit_env else {name: inherited[name] for name in ALWAYS if name in inherited}
    here = {"OCS_HOME": str(settings.home())} if os.environ.get("OCS_HOME") else {}
    found = {**_defaults(), **base, **here}
    return {**found, "PATH": _with_ocs(found["PATH"]), **shell.env, **secrets}


def home() -> str:
    """The user's home folder."""
    return os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir


def folder_of(shell: Shell, project: Path | None) -> Path:
    """The folder a command starts in: its `cwd`, as seen from the project's folder; without one that folder itself.

    Where this host has no such project, it is the user's home.
    """
    return (project or Path(home())) / Path(shell.cwd or "").expanduser()


def _with_ocs(path: str) -> str:
    ours = Path(sys.executable).with_name("ocs")
    return f"{path}:{ours.parent}" if ours.exists() and str(ours.parent) not in path.split(":") else path


def _defaults() -> dict[str, str]:
    user = os.environ.get("USER") or _user()
    return {
        "PATH": PLAIN_PATH,
        "HOME": home(),
        "USER": user,
        "LOGNAME": user,
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "TMPDIR": tempfile.gettempdir(),
    }


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
