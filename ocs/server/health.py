"""Whether a Prefect server answers, and whom."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from ocs.server.config import is_loopback
from ocs.timing import timing


def answers(api_url: str) -> bool:
    """Whether it is there. This needs no password."""
    return _says_yes(api_url, "/health")


def is_open(api_url: str) -> bool:
    """Whether it tells those who say no password what it is, and so everything."""
    return _says_yes(api_url, "/admin/version", userinfo=b"")


def _says_yes(api_url: str, path: str, **other: bytes) -> bool:
    """One question, one second; through no proxy, where it is asked of this machine."""
    try:
        asked = httpx.URL(f"{api_url.rstrip('/')}{path}").copy_with(**other)
        return httpx.get(asked, timeout=1.0, trust_env=not is_loopback(asked.host)).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def wait_until_it_answers(api_url: str, given_up: Callable[[], bool]) -> bool:
    """Wait until the server answers; False when `given_up` says there is no point any more, or it takes too long."""
    deadline = time.monotonic() + timing().server_start.total_seconds()
    while time.monotonic() < deadline:
        if given_up():
            return False
        if answers(api_url):
            return True
        time.sleep(0.1)
    return False
