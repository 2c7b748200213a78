"""Whoever holds connections without a word keeps nobody else out."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from ocs.server import embedded_server

HALF = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MORE = "from ocs.server import patience; patience.take_more_files()"
ASKED = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"


def test_more_files_are_taken_than_shells_give() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = ["prlimit", "--nofile=256:", sys.executable, "-c", f"{MORE}; {ASKED}"]
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    assert int(subprocess.run(limited, check=True, capture_output=True, text=True).stdout) == most


@pytest.mark.e2e
async def test_a_connection_that_asks_for_nothing_is_hung_up_and_one_that_asks_is_kept(
    tmp_path: Path, with_database: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCS_TIMING_FIRST_REQUEST", "2")
    with embedded_server(with_database(tmp_path / "home")) as (api_url, server):
        assert server.pid is not None
        address = httpx.URL(api_url)
        async with httpx.AsyncClient(base_url=api_url) as asks:
            await asks.get("/health")
            held = [await asyncio.open_connection(address.host, address.port) for _ in range(3)]
            for _, writer in held:
                writer.write(HALF)
            for reader, writer in held:
                assert await asyncio.wait_for(reader.read(), 60) == b""
                writer.close()
            kept = [each.laddr.port for each in psutil.Process(server.pid).net_connections() if each.raddr]
            assert kept == [address.port]
            assert (await asks.get("/health")).status_code == 200
