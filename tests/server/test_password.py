"""A server that is shut: who has no password gets nothing, and a browser gets it by a link that is good once."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.async_api import Page, Response, async_playwright, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ocs.server import embedded_server, is_open
from ocs.server.sign_in import CODES, PAGE
from tests.another_user import as_nobody, needs_another_user
from tests.e2e.test_in_the_browser import CHROMIUM

pytestmark = pytest.mark.e2e
OPEN = {"/health", "/ready"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shut") / "home"


@pytest.fixture(scope="module")
def server(home: Path, with_database: Callable[[Path], Path]) -> Iterator[str]:
    """Its address."""
    with embedded_server(with_database(home), auth=True) as (api_url, _):
        yield api_url.removesuffix("/api")


@pytest.fixture
def owner(home: Path, server: str) -> Iterator[httpx.Client]:
    user, _, rest = (home / "password").read_text().partition(":")
    with httpx.Client(base_url=server, auth=(user, rest)) as client:
        yield client


def address(owner: httpx.Client) -> str:
    return str(owner.base_url).rstrip("/")


def link(owner: httpx.Client) -> str:
    return f"{address(owner)}{PAGE}#{owner.post(CODES).raise_for_status().text}"


def code_of(a_link: str) -> dict[str, str]:
    return {"X-Code": a_link.partition("#")[2]}


def routes(owner: httpx.Client) -> list[tuple[str, str]]:
    """Every method and path of the API."""
    paths: dict[str, dict[str, Any]] = owner.get("/api/openapi.json").raise_for_status().json()["paths"]
    filled = [(method, re.sub(r"\{.*?\}", "x", path)) for path, methods in paths.items() for method in methods]
    return [(method.upper(), path.removeprefix("/api")) for method, path in filled]


def test_no_route_answers_without_the_password(server: str, owner: httpx.Client) -> None:
    asked = routes(owner)
    assert len(asked) > 100
    with httpx.Client(base_url=f"{server}/api") as anybody:
        for headers in ({}, {"Authorization": "Basic b2NzOg=="}, {"Authorization": "Bearer x"}, {"Host": "x/health"}):
            told = {path: anybody.request(method, path, headers=headers).status_code for method, path in asked}
            assert {path for path, status in told.items() if status != 401} <= OPEN
    assert not is_open(f"{server}/api")
    assert owner.get("/api/admin/version").is_success
    assert "ocs:" not in owner.get("/api/admin/settings").text


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
@pytest.mark.parametrize("token", [None, "ocs:guessed"])
def test_no_websocket_answers_without_the_password(server: str, path: str, token: str | None) -> None:
    address = f"{server.replace('http', 'ws', 1)}/api/{path}"
    with connect(address, subprotocols=[Subprotocol("prefect")]) as socket:
        socket.send(json.dumps({"type": "auth", "token": token}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
    with pytest.raises(InvalidStatus), connect(address):
        pass


@needs_another_user
def test_another_user_reads_no_secret_and_runs_nothing(server: str, home: Path, owner: httpx.Client) -> None:
    """What the attack of the bug report did, from a real process of another user."""
    a_link = link(owner)

    def tries() -> dict[str, int | str]:
        asked = {"json": {"include_secrets": True}}
        with contextlib.suppress(PermissionError):
            return {"file": (home / "password").read_text()}
        return {
            "secrets": httpx.post(f"{server}/api/block_documents/filter", **asked).status_code,
            "flow run": httpx.post(f"{server}/api/flow_runs/", json={"flow_id": "x"}).status_code,
            "code": httpx.post(f"{server}{CODES}").status_code,
            # From the process list, before the browser opens it.
            "link": httpx.post(f"{server}{PAGE}", headers=code_of(a_link)).status_code,
            "link, hidden": httpx.post(
                f"{server}{PAGE}", headers={**code_of(a_link), "X-Forwarded-For": "192.0.2.1"}
            ).status_code,
        }

    assert as_nobody(tries) == {"secrets": 401, "flow run": 401, "code": 401, "link": 403, "link, hidden": 403}
    assert owner.post(PAGE, headers=code_of(a_link)).is_success  # and the owner's browser is still let in


def test_a_link_is_good_once_and_only_posted(owner: httpx.Client) -> None:
    a_link = link(owner)
    for page in (httpx.get(a_link), httpx.get(a_link)):  # whoever looks ahead at links uses none up
        assert page.is_success
        assert page.headers["cache-control"] == "no-store"
        assert "ocs:" not in page.text
    first, second = (httpx.post(f"{address(owner)}{PAGE}", headers=code_of(a_link)) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 403)
    assert first.headers["cache-control"] == "no-store"
    assert "ocs ui" in second.text
    assert httpx.post(f"{address(owner)}{PAGE}").status_code == 403


def test_the_password_stands_in_no_command_line_and_no_log(server: str, home: Path, owner: httpx.Client) -> None:
    link(owner)
    value = (home / "password").read_text()
    secrets = [value, value.partition(":")[2]]
    for process in psutil.process_iter(["cmdline"]):
        assert not [secret for secret in secrets if secret in " ".join(process.info["cmdline"] or ())]
    for path in home.rglob("*"):
        if path.is_file() and path.name != "password":
            assert not [secret for secret in secrets if secret.encode() in path.read_bytes()], path


def is_answered(answer: Response) -> bool:
    """Something that the UI asks once it has found the password good."""
    return "/api/" in answer.url and answer.request.method == "POST" and answer.ok


@pytest.fixture
async def page(server: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        context = await browser.new_context(base_url=server)
        context.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield await context.new_page()
        await browser.close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}; CHROMIUM names another one")
async def test_the_link_opens_the_ui_and_without_it_the_ui_asks(page: Page, owner: httpx.Client) -> None:
    owner.post("/api/flows/", json={"name": "a-flow-of-the-owner"}).raise_for_status()
    await page.goto("/flows")
    await expect(page.get_by_role("button", name="Login")).to_be_visible()
    a_link = link(owner)
    # Left while it looks whether the password is good, Prefect's UI forgets it.
    async with page.expect_response(is_answered):
        await page.goto(a_link)
    assert "#" not in page.url
    await page.goto("/flows")
    await expect(page.get_by_text("a-flow-of-the-owner").first).to_be_visible()
    await page.goto(a_link)
    await expect(page.get_by_text("This link has been used")).to_be_visible()
    await page.goto("/flows")
    await expect(page.get_by_text("a-flow-of-the-owner").first).to_be_visible()
