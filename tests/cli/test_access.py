"""`ocs up` is shut: its password is there for whoever it belongs to without a word, and goes to nobody else."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from ocs.server import is_open
from ocs.server import running as running_server
from tests.another_user import NOBODY, acting_as, needs_another_user
from tests.cli.command import Ocs

e2e = pytest.mark.e2e
SET_BY_HAND = "PREFECT_SERVER_API_AUTH_STRING"


class Listener(ThreadingHTTPServer):
    """Answers as a Prefect server would to begin with, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.told: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.told += [value for name, value in self.headers.items() if name.lower() == "authorization"]
        self.send_response(200 if self.path in ("/api/health", "/api/admin/version") else 404)
        self.end_headers()
        self.wfile.write(b'"3.9.1"')

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads it."""


@contextmanager
def listener(user: int | None = None) -> Iterator[Listener]:
    """Somebody who listens, as another user where one is named."""
    if user is None:
        server = Listener()
    else:
        with acting_as(user):
            server = Listener()
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def said_to_run(ocs: Ocs, port: int) -> Iterator[str]:
    """What an embedded server leaves on disk while its supervisor lives; yields its password."""
    url, value = f"http://127.0.0.1:{port}", "ocs:not-to-be-told"
    ocs.home.mkdir(mode=0o700)
    (ocs.home / "password").write_text(value)
    state = {"pid": os.getpid(), "url": url, "api_url": f"{url}/api", "port": port, "started_at": ""}
    (ocs.home / "up.json").write_text(json.dumps({**state, "password_file": str(ocs.home / "password")}))
    with (ocs.home / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield value


def test_another_server_is_not_told_the_password(ocs: Ocs) -> None:
    with listener() as other, said_to_run(ocs, 9):
        address = f"http://127.0.0.1:{other.server_port}/api"
        ocs("status", PREFECT_API_URL=address)
        ocs("doctor", PREFECT_API_URL=address, PREFECT_SERVER_API_AUTH_STRING="me:mine")
        assert "/api/admin/version" in other.asked
        assert other.told == []
        ocs("status", PREFECT_API_URL=address, PREFECT_API_AUTH_STRING="me:for-this-one")  # what it is for
        assert other.told


def test_our_own_server_is_told_it(ocs: Ocs) -> None:
    """By another name of this machine too, and whatever is exported for another server."""
    with listener() as ours, said_to_run(ocs, ours.server_port) as value:
        for name in ("127.0.0.1", "localhost"):
            ours.told.clear()
            ocs("status", PREFECT_API_URL=f"http://{name}:{ours.server_port}/api", PREFECT_API_AUTH_STRING="me:other")
            assert set(ours.told) == {f"Basic {base64.b64encode(value.encode()).decode()}"}


@needs_another_user
def test_another_user_who_took_the_port_is_not_told_it(ocs: Ocs) -> None:
    with listener(NOBODY) as other, said_to_run(ocs, other.server_port):
        said = ocs("status")
        assert (said.status, other.told) == (3, [])
        assert "does not answer" in said.err
        assert ocs.json("ui", status=3)["error"]["code"] == "server_unreachable"
        assert (other.told, other.asked != []) == ([], True)


def test_a_proxy_does_not_read_along(ocs: Ocs) -> None:
    with listener() as proxy, listener() as ours, said_to_run(ocs, ours.server_port):
        through = f"http://127.0.0.1:{proxy.server_port}"
        ocs("status", http_proxy=through, HTTP_PROXY=through, ALL_PROXY=through)
        assert ours.told
        assert proxy.asked == []


def test_a_password_that_others_can_read_is_found(ocs: Ocs) -> None:
    with said_to_run(ocs, 9):
        (ocs.home / "password").chmod(0o640)
        (found,) = [check for check in ocs.json("doctor", status=1)["checks"] if check["name"] == "password"]
    assert (found["state"], found["mend"]) == ("problem", "ocs down && ocs up --detach")


def test_a_password_and_none_at_all_contradict_each_other(ocs: Ocs) -> None:
    said = ocs("up", "--no-auth", **{SET_BY_HAND: "me:mine"})
    assert (said.status, f"unset {SET_BY_HAND}" in said.err) == (2, True)


def test_without_a_password_it_listens_on_loopback_only(ocs: Ocs) -> None:
    assert "runs commands" in ocs.json("up", "--no-auth", "--host", "0.0.0.0", status=1)["error"]["message"]


@e2e
def test_nobody_exports_anything(up: Ocs) -> None:
    assert not [name for name in up.environment() if "AUTH" in name]
    assert up.json("status")["server"]["password"] is True
    assert (up.home / "password").stat().st_mode & 0o777 == 0o600
    assert up.home.stat().st_mode & 0o777 == 0o700
    address = up.json("env")["env"]["PREFECT_API_URL"]
    assert not is_open(address)
    assert httpx.post(f"{address}/block_documents/filter", json={"include_secrets": True}).status_code == 401


@e2e
def test_what_env_prints_can_be_exported(up: Ocs) -> None:
    script = 'eval "$(cat)"; printf "%s %s" "$PREFECT_API_URL" "$PREFECT_API_AUTH_STRING"'
    exported = subprocess.run(["sh", "-c", script], input=up("env").out, text=True, capture_output=True, check=True)
    expected = up.json("env")["env"]
    assert exported.stdout == f"{expected['PREFECT_API_URL']} {expected['PREFECT_API_AUTH_STRING']}"
    assert expected["PREFECT_API_AUTH_STRING"] == (up.home / "password").read_text()


@e2e
def test_a_link_carries_a_code_and_each_another(up: Ocs) -> None:
    first, second = up("ui").out.strip(), up.json("ui")["url"]
    for link in (first, second):
        page, _, code = link.partition("#")
        assert page == f"{up.json('status')['server']['url']}/ocs/sign-in"
        assert len(code) > 30
        assert code not in (up.home / "password").read_text()
    assert first != second


@e2e
def test_nothing_but_its_file_holds_it(up: Ocs) -> None:
    """Not what a job is given, prints or leaves behind, not the databases, not the logs, not any command line."""
    up.write("nosy", "id: nosy\nrun: {shell: {command: env, inherit_env: true}}\n")
    up.json("deploy", "nosy")
    run = up.json("jobs", "run", "nosy", "--wait")["run"]
    said = [up(*words) for words in (("runs", "show", run["id"]), ("status",), ("doctor",), ("audit", "list"), ("ui",))]
    value = (up.home / "password").read_text()
    secret = value.partition(":")[2]
    assert "HOME=" in said[0].out
    assert secret not in "".join(each.out + each.err for each in said)
    assert not [line for line in said[0].out.splitlines() if line.startswith(("PREFECT_", "OCS_"))]
    for path in up.home.rglob("*"):
        if path.is_file() and path != up.home / "password":
            assert secret.encode() not in path.read_bytes(), path
    for process in psutil.process_iter(["cmdline"]):
        assert secret not in " ".join(process.info["cmdline"] or ())


@e2e
def test_an_installation_without_a_password_says_so_and_gets_one(
    ocs: Ocs, with_database: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_database(ocs.home)
    monkeypatch.setenv("OCS_HOME", str(ocs.home))
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    try:
        said = ocs("up", "--detach", "--port", "0", "--no-auth")
        assert "asks for no password" in said.err
        assert not (ocs.home / "password").exists()
        _as_an_earlier_version(ocs.home / "up.json")
        before = ocs.json("status")["server"]
        assert before["password"] is False
        assert "asks for no password" in ocs("status").err
        (found,) = [check for check in ocs.json("doctor")["checks"] if check["name"] == "password"]
        assert (found["state"], found["mend"]) == ("warning", "ocs down && ocs up --detach")
        assert ocs.json("ui")["url"] == before["url"]
        assert ocs.json("env")["env"] == {"PREFECT_API_URL": before["api_url"]}
        assert ocs.json("down")["ended"] == before["url"]

        ocs.json("up", "--detach", "--port", str(httpx.URL(before["url"]).port))
        assert ocs.json("status")["server"] == {**before, "password": True}
        assert ocs.json("jobs", "run", "hello", "--wait")["status"] == "ok"
    finally:
        ocs("down", "--now")
    assert running_server() is None


def _as_an_earlier_version(state: Path) -> None:
    known = json.loads(state.read_text())
    del known["password_file"]
    state.write_text(json.dumps(known))
