"""Without a password, a server answers its own pages; pages from elsewhere in the same browser get nothing."""

from __future__ import annotations

import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

pytestmark = pytest.mark.e2e


def origin_of(api_url: str) -> str:
    return api_url.removesuffix("/api")


@pytest.mark.parametrize("path", ["/api/health", "/dashboard"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Host": "rebound.example"},
        {"Host": ""},
    ],
    ids=["another site", "another port", "a file or a sandbox", "a name of its own that means loopback", "no name"],
)
def test_another_page_is_refused(prefect_server: str, path: str, headers: dict[str, str]) -> None:
    assert httpx.get(origin_of(prefect_server) + path, headers=headers).status_code == 403


def test_its_own_pages_and_programs_are_answered(prefect_server: str) -> None:
    port = httpx.URL(prefect_server).port
    for headers in ({}, {"Origin": origin_of(prefect_server)}, {"Host": f"localhost:{port}"}):
        assert httpx.get(f"{prefect_server}/health", headers=headers).status_code == 200


async def test_a_websocket_of_another_page_is_refused(prefect_server: str) -> None:
    address = f"{prefect_server.replace('http', 'ws', 1)}/events/in"
    with pytest.raises((InvalidStatus, ConnectionClosedError)):
        async with connect(address, origin="https://elsewhere.example") as socket:  # type: ignore[arg-type]
            await socket.recv()
    async with connect(address) as socket:
        await socket.send(json.dumps({"type": "auth", "token": None}))


def test_the_pages_are_told_to_call_nobody_else(prefect_server: str) -> None:
    page = httpx.get(origin_of(prefect_server), follow_redirects=True)
    assert "connect-src 'self'" in page.headers["content-security-policy"]
