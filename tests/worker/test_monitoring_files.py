"""The alert rules and the dashboard, in a real Prometheus that scrapes what a worker serves."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments import yaml_text
from ocs.rules.dispatch import RunStatus
from ocs.store.tables import Run
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.store.tables_incidents import IncidentRow
from tests.ports import free_port
from tests.worker.test_outward import NOW, Served, a_run, at_home, pages

FILES = Path(__file__).parents[2] / "deployments" / "monitoring"
DOCS = Path(__file__).parents[2] / "docs"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
WITHOUT = "Debian's package prometheus is not installed, so nothing was tried in a real Prometheus"
__all__ = ["at_home", "pages"]


def questions() -> list[str]:
    """Every expression of the dashboard and of the rules."""
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    rules = yaml_text.load((FILES / "alerts.yaml").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*asked, *(rule["expr"] for group in rules["groups"] for rule in group["rules"])]


async def test_every_question_names_what_a_worker_serves_and_the_page_on_monitoring_describes(pages: Served) -> None:
    await pages.metrics.look()
    async with httpx.AsyncClient() as client:
        served = (await client.get(f"{pages.url}/metrics")).text
    kinds = dict(re.findall(r"^# TYPE (ocs_\w+) (\w+)$", served, re.MULTILINE))
    parts = {
        f"{name}_{part}" for name, kind in kinds.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    documented = set(re.findall(r"`(ocs_[a-z_]+)", (DOCS / "monitoring.md").read_text()))
    for name in {name for question in questions() for name in re.findall(r"\bocs_\w+", question)}:
        assert name in kinds or name in parts, name
        assert name in documented or re.sub(r"_(bucket|sum|count)$", "", name) in documented, name


@pytest.mark.skipif(PROMTOOL is None, reason=WITHOUT)
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml"), ("check", "config", "prometheus.yaml")],
    ids=" ".join,
)
def test_prometheus_takes_the_rules_and_they_fire_when_they_are_to(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run([PROMTOOL or "", *arguments], cwd=FILES, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@contextmanager
def prometheus(folder: Path, target: str) -> Generator[str]:
    """A Prometheus with the files as they are, but for the address that it asks, and how often."""
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    config = (FILES / "prometheus.yaml").read_text()
    (folder / "prometheus.yaml").write_text(config.replace("127.0.0.1:9464", target).replace("30s", "1s"))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with subprocess.Popen(
        [PROMETHEUS or "", *options, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://{address}/api/v1"
        finally:
            process.terminate()


async def answers(api: str, question: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient() as client:
        said = (await client.get(f"{api}/query", params={"query": question.replace("$job", ".*")})).json()
    assert said["status"] == "success", (question, said)
    return said["data"]["result"]


async def series(api: str) -> list[dict[str, Any]]:
    try:
        return await answers(api, '{__name__=~"ocs_.+"}')
    except (httpx.HTTPError, ValueError):  # it starts
        return []


@pytest.mark.skipif(PROMETHEUS is None, reason=WITHOUT)
async def test_every_question_is_one_about_something_that_a_worker_serves(
    at_home: Any, pages: Served, tmp_path: Path
) -> None:
    failed = Delivery(
        job_id="load",
        kind="run",
        target="ops",
        subject="",
        body="",
        next_attempt_at=NOW,
        created_at=NOW,
        status=DeliveryStatus.FAILED,
    )
    incident = IncidentRow(job_id="load", opened_at=NOW, troubles=["quiet"], told_at=NOW)
    runs: list[Run] = [a_run("load", RunStatus.OK, NOW), a_run("load", RunStatus.ERROR, NOW)]
    async with at_home.transaction() as session:
        session.add_all([failed, incident, *runs])
    await pages.metrics.look()
    with prometheus(tmp_path / "prometheus", pages.url.removeprefix("http://")) as api:
        async with asyncio.timeout(60):
            while not (found := await series(api)):
                await asyncio.sleep(0.1)
        served = {each["metric"]["__name__"] for each in found} | {"ocs_queue_dispatches"}  # nothing waits
        served |= {"ocs_job_failures_in_a_row", "ocs_job_last_success_timestamp_seconds"}  # no job has a state
        for question in questions():
            await answers(api, question)
            assert set(re.findall(r"\bocs_\w+", question)) <= served, question
        (counted,) = await answers(api, 'ocs_runs_total{outcome="ok"}')
        assert counted["metric"]["job"] == "load", "the label is the job's id, not the name of the scrape"
