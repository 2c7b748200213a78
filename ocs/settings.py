"""Where things are: read from the environment, nowhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import platformdirs

from ocs.errors import UsageError

WORK_POOL = "openclaw"
"""The work pool every job is deployed to."""

FLOW_NAME = "job"
"""Every job is a deployment of this flow, so that people type `prefect deployment run job/nightly-report`."""

MAINTENANCE_FLOW = "maintenance"
"""The flow that keeps the house; it has one deployment."""

WATCHED = "ocs:watched"
"""The tag of jobs that can have an incident, so that looking at those costs nothing for the others."""

SERVICE = "OCS_SERVICE"
"""In the environment of an `ocs up` that a service manager runs: the service's name."""

MAINTAINED_FILES = ("prefect.yaml", "deployments/jobs")
"""What makes a folder a project."""


def home() -> Path:
    """The folder for data, logs, artifacts and pid files: OCS_HOME, else the platform's user data folder."""
    configured = os.environ.get("OCS_HOME")
    if configured:
        return Path(configured).expanduser().resolve()
    return Path(platformdirs.user_data_dir("ocs", appauthor=False))


def store_url() -> str:
    """The store's SQLAlchemy address: OCS_STORE_URL, else a SQLite file under `home()`."""
    configured = os.environ.get("OCS_STORE_URL")
    return configured or f"sqlite+aiosqlite:///{home() / 'store.db'}"


def ping_url() -> str | None:
    """The address outside that is called while all is well: OCS_PING_URL. It is a secret, which no message repeats.

    Raises:
        UsageError: it is no address of the web.
    """
    configured = os.environ.get("OCS_PING_URL", "").strip()
    if not configured:
        return None
    try:
        parts = urlsplit(configured)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or any(character.isspace() for character in configured):
        raise UsageError("OCS_PING_URL is not an address.", hint="Write it like https://hc-ping.com/your-check")
    return configured


def service() -> str | None:
    """As which service this process was started; None when a person has started it."""
    return os.environ.get(SERVICE)


def artifacts_dir() -> Path:
    """Where large outputs are kept whole."""
    return home() / "artifacts"


def outputs_of(run_id: UUID) -> Path:
    """The folder of one run's large outputs."""
    return artifacts_dir() / "runs" / str(run_id)


def api_url() -> str | None:
    """The Prefect API: PREFECT_API_URL, else that of the embedded server that `ocs up` left in `home()`."""
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        return configured
    state = embedded_state()
    return state.get("api_url") if state else None


def embedded_state_file() -> Path:
    """Written by `ocs up` when the server answers, removed when it ends."""
    return home() / "up.json"


def embedded_state() -> dict[str, str] | None:
    """What `ocs up` says of itself (pid, url, api_url), or None when it is not running or the file is torn."""
    try:
        return json.loads(embedded_state_file().read_text())
    except (OSError, ValueError):
        return None


def project_dir(start: Path | None = None) -> Path:
    """The project's folder: OCS_PROJECT, else the nearest one upwards with prefect.yaml and deployments/jobs.

    With `start` it is the nearest one upwards from there, whatever OCS_PROJECT says.

    Raises:
        UsageError: there is none.
    """
    configured = None if start else os.environ.get("OCS_PROJECT")
    here = Path(configured or start or Path.cwd()).expanduser().resolve()
    candidates = [here] if configured else [here, *here.parents]
    for folder in candidates:
        if all((folder / part).exists() for part in MAINTAINED_FILES):
            return folder
    raise UsageError(
        f"No project in {here}: prefect.yaml and deployments/jobs are missing here"
        + ("." if configured else " and in the folders above."),
        hint="Make one with: ocs init",
    )
