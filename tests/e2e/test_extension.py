"""A strategy and a kind of target of another package, from the command line to a worker and back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.blocks.system import Secret
from prefect.client.schemas.actions import DeploymentUpdate

from ocs.rules.dispatch import RunStatus
from tests.cli.command import Ocs, inherited
from tests.cli.forked import WITH_A_SERVER, Mother, mother
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e
TOKEN = "correct-horse-battery"


class Answers(BaseHTTPRequestHandler):
    """Says what it was told, a token too; under /gone there is nothing, and /slow takes its time."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            threading.Event().wait(60)
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()
        self.wfile.write(f"rows: 3, asked with {self.headers['authorization']}".encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def extended(extension: Path, tmp_path: Path) -> Iterator[Mother]:
    """Forks `ocs` where the package is installed."""
    environment = {"PREFECT_HOME": str(tmp_path / "mother"), "PYTHONPATH": str(extension)}
    with mother(WITH_A_SERVER, {**inherited(), **environment}) as forks:
        yield forks


async def test_a_job_of_its_strategy_runs_and_tells_its_target(
    ocs: RunningSystem,
    worker_home: Path,
    prefect_server: str,
    extended: Mother,
    bare: Mother,
    tmp_path: Path,
    site: str,
) -> None:
    command = Ocs(ocs.project, worker_home, {"PREFECT_API_URL": prefect_server}, extended)
    log = tmp_path / "told.jsonl"
    assert command("targets", "add", ocs.id("log"), "--kind", "file", "--url", "here").status == 1
    assert "There is no kind of target 'pigeon'" in command("targets", "add", "x", "--kind", "pigeon").err
    assert str(log) in command("targets", "add", ocs.id("log"), "--kind", "file", "--url", log.as_uri()).out
    await Secret(value=TOKEN).save(ocs.id("token"))
    await Secret(value=f"{TOKEN}-für-alle").save(ocs.id("umlaut"))
    told = {"when": "always", "to": ocs.id("log")}
    ocs.write("ask", run={"http": {"url": f"{site}/rows", "token": ocs.id("token")}}, deliver=told)
    ocs.write("gone", run={"http": {"url": f"{site}/gone"}})
    ocs.write("slow", run={"http": {"url": f"{site}/slow"}, "timeout": "1s"})
    ocs.write("defect", run={"http": {"url": site, "token": ocs.id("umlaut")}})
    ocs.write("missing", run={"http": {"url": site}})
    ocs.write("child", after={"job": "ask", "match": {"contains": "rows: 3"}}, run="echo followed")
    for name in ("ask", "gone", "slow", "defect", "missing", "child"):
        assert command("deploy", ocs.id(name)).status == 0
    await _uninstalled(ocs, "missing")
    for name in ("ask", "gone", "slow", "defect", "missing"):
        await ocs.run(name)
    try:
        asked, gone, slow = [await ocs.ended_run(name) for name in ("ask", "gone", "slow")]
        assert (asked.status, asked.stdout) == (RunStatus.OK, "rows: 3, asked with Bearer ********")
        assert (gone.status, "The server answered 404" in gone.error) == (RunStatus.ERROR, True)
        assert (slow.status, slow.error.startswith("Timed out after 1s.")) == (RunStatus.TIMEOUT, True)
        defect, missing = await ocs.ended_run("defect"), await ocs.ended_run("missing")
        assert (defect.status, TOKEN in defect.error) == (RunStatus.ERROR, False)
        assert defect.error.startswith("The strategy http has a defect: UnicodeEncodeError in ")
        assert (missing.status, "There is no strategy 'ftp' here" in missing.error) == (RunStatus.ERROR, True)
        assert (await ocs.ended_run("child")).parent_run == asked.id
        line = await ocs.eventually(partial(_read, log))
        assert (json.loads(line)["job"], TOKEN in line, "rows: 3" in line) == (ocs.id("ask"), False, True)
    finally:
        command("targets", "remove", ocs.id("log"))
    # Where the package is not installed, its jobs are not valid.
    assert "run.http" in Ocs(ocs.project, worker_home, mother=bare)("jobs", "validate").err


async def _uninstalled(ocs: RunningSystem, name: str) -> None:
    """What is rolled out asks for a strategy that the worker has not (any more)."""
    deployment = await ocs.client.read_deployment_by_name(f"job/{ocs.id(name)}")
    job = {"id": ocs.id(name), "run": {"ftp": {"host": "example.org"}}}
    changed = DeploymentUpdate(parameters={"job": job}, enforce_parameter_schema=False)
    await ocs.client.update_deployment(deployment.id, changed)


async def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
