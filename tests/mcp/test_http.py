"""The door over HTTP: a token with every request, revoked at once; no web page gets in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from ocs.errors import Refused, UsageError
from ocs.mcp.http import address_of
from tests.cli.command import OCS, Ocs
from tests.mcp.asking import ask

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.fixture
def ocs(project: Path) -> Ocs:
    """The installed program in a project without jobs."""
    return Ocs(project, project.parent / "home")


@pytest.fixture
def url(ocs: Ocs) -> Iterator[str]:
    """The address of a door that is open for as long as the test runs."""
    with subprocess.Popen(
        [OCS, "--json", "mcp", "--http", "127.0.0.1:0"], cwd=ocs.folder, env=ocs.environment(), stdout=subprocess.PIPE,
        text=True,
    ) as served:  # fmt: skip
        assert served.stdout is not None
        try:
            said = "".join(iter(lambda: served.stdout.readline() if served.stdout else "", "}\n")) + "}"
            yield json.loads(said)["url"]
        finally:
            served.terminate()


def made(ocs: Ocs, name: str, may: str) -> str:
    return ocs.json("mcp", "token", "create", "--name", name, "--may", may)["token"]


@asynccontextmanager
async def caller(url: str, token: str) -> AsyncGenerator[Client]:
    """The official client with a token."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_each_token_is_its_caller_and_a_revoked_one_is_refused_in_an_open_session(ocs: Ocs, url: str) -> None:
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    reads, runs = made(ocs, "reader", "read"), made(ocs, "runner", "read,run")
    assert ocs.json("mcp", "token", "list")["tokens"][1]["may"] == ["read", "run"]
    assert reads not in (ocs.home / "store.db").read_bytes().decode("latin-1")
    async with caller(url, reads) as reader, caller(url, runs) as runner:
        assert "run_job" not in {tool.name for tool in (await reader.list_tools()).tools}
        assert "run_job" in {tool.name for tool in (await runner.list_tools()).tools}
        assert (await ask(reader, "run_job", job="hello")).text.startswith("reader may not use run_job")
        assert "Start one: ocs up" in (await ask(runner, "run_job", job="hello")).text
        assert (await ask(reader, "list_jobs")).facts["jobs"][0]["id"] == "hello"
        ocs.json("mcp", "token", "revoke", "reader")
        with pytest.raises(MCPError, match="unknown or revoked"):
            await ask(reader, "list_jobs")
        assert not (await ask(runner, "list_jobs")).failed


def test_who_has_no_token_and_what_a_web_page_sends_is_refused(ocs: Ocs, url: str) -> None:
    token = {"Authorization": f"Bearer {made(ocs, 'reader', 'read')}"}
    assert _status(url, {}) == 401
    assert _status(url, {"Authorization": "Bearer ocs_guessed"}) == 401
    assert _status(url, {"Authorization": "Basic b2NzOm9jcw=="}) == 401
    assert _status(url, {**token, "Host": "evil.example:80"}) == 421
    assert _status(url, {**token, "Origin": "https://evil.example"}) == 403
    assert _status(url, token, content=b"garbage") == 400
    assert _status(url, token, content=b"x" * 10_000_000) == 413
    assert _status(url, token) in (200, 400)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("8377", UsageError), ("127.0.0.1:x", UsageError), ("127.0.0.1:99999", UsageError), ("0.0.0.0:80", Refused)],
    ids=["no host", "no number", "too large", "not loopback"],
)
def test_only_addresses_of_this_machine_are_listened_on(text: str, wrong: type[Exception]) -> None:
    with pytest.raises(wrong):
        address_of(text)
    assert address_of("[::1]:8377") == ("::1", 8377)


def test_a_name_has_one_token_and_what_is_made_wrong_is_refused(ocs: Ocs) -> None:
    made(ocs, "reader", "read")
    for name, may, status in (("reader", "run", 1), ("other", "everything", 2), ("a\tb", "read", 1), (" ", "read", 1)):
        assert not ocs.json("mcp", "token", "create", "--name", name, "--may", may, status=status)["ok"]
    assert [token["name"] for token in ocs.json("mcp", "token", "list")["tokens"]] == ["reader"]
    did = {(entry["action"], entry["source"]) for entry in ocs.json("audit", "list")["audit"]}
    assert did == {("mcp-token-created", "cli")}


def _status(url: str, headers: dict[str, str], content: bytes | None = None) -> int:
    body: dict[str, Any] = {"content": content} if content else {"json": LISTING}
    return httpx.post(url, headers={**HEADERS, **headers}, **body, timeout=60).status_code
