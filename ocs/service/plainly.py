"""What is asked of the server plainly, over HTTP: importing Prefect's client takes longer than all else that bare
`ocs`, and a shell's completion, do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

import httpx

from ocs.errors import OcsError
from ocs.server.config import is_loopback
from ocs.service import session

AUTH = "PREFECT_API_AUTH_STRING"
PATIENCE = 2.0


def paused(project: str, jobs: Iterable[str]) -> set[str]:
    """Those of a project's jobs that are paused there; none where the server does not say."""
    named = sorted(jobs)
    wanted = {"name": {"any_": named}, "tags": {"all_": ["ocs", f"project:{project}"]}}
    found = _asked("/deployments/filter", {"deployments": wanted}) if named else []
    return {str(each["name"]) for each in found if _is_paused(each)}


def blocks(kind: str) -> list[str]:
    """The names of blocks of that type; none where the server does not say."""
    wanted = {"block_types": {"slug": {"any_": [kind]}}, "include_secrets": False}
    return sorted(str(each["name"]) for each in _asked("/block_documents/filter", wanted) if each.get("name"))


def _asked(path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        address = httpx.URL(f"{session.reachable().rstrip('/')}{path}")
        user, colon, password = os.environ.get(AUTH, "").partition(":")
        known = (user, password) if colon else None
        direct = not is_loopback(address.host)
        answer = httpx.post(address, json=body, auth=known, timeout=PATIENCE, trust_env=direct)
        return cast("list[dict[str, Any]]", answer.raise_for_status().json())
    except (OcsError, httpx.HTTPError, httpx.InvalidURL, ValueError):
        return []


def _is_paused(deployment: Mapping[str, Any]) -> bool:
    """As `deployments.drift.is_paused` tells it of Prefect's own object."""
    schedules: list[dict[str, Any]] = deployment["schedules"]
    return bool(deployment["paused"]) or (bool(schedules) and not any(each["active"] for each in schedules))
