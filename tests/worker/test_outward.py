"""What a worker tells outside: the ping, whose address is in no log, and the pages for those who ask."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ocs.errors import UsageError
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.settings import ping_url
from ocs.store import figures
from ocs.store.tables import DispatchRow, DispatchStatus, JobState, Mark, Run
from ocs.store.tables_delivery import Delivery
from ocs.store.tables_incidents import IncidentRow
from ocs.worker.address import Address, address_of
from ocs.worker.exposition import AT_ONCE, Exposition, served
from ocs.worker.metrics import OTHER, Labels, Metrics
from ocs.worker.ping import NotPinged, Ping, call
from ocs.worker.wellness import Found, Wellness
from tasks.adapter import runtime
from tests.ports import free_port

NOW = datetime.now(UTC)
"""When a test begins: they are collected long before the last of them runs."""
MINUTE = timedelta(minutes=1)
SECRET = "b0a7-only-we-know"


@dataclass
class Idle:
    """As much of a worker as is asked."""

    executing: int = 2
    limit: int | None = 50
    is_draining: bool = False
    is_asking: bool = True
    is_maintaining: bool = True


@contextmanager
def receiver(status: int) -> Generator[tuple[str, list[str]]]:
    paths: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.send_header("Location", f"/elsewhere/{SECRET}")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{SECRET}?key={SECRET}", paths
        server.shutdown()


def wellness(*against: str, age: float = 0, worker: Idle | None = None) -> Wellness:
    known = Wellness(worker or Idle())  # pyright: ignore[reportArgumentType]
    known.found = Found(against, time.monotonic() - age)
    return known


@pytest.fixture(autouse=True)
def begins_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.NOW", datetime.now(UTC))


@pytest.fixture
async def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store of the test's own, which the code under test opens by itself."""
    monkeypatch.setenv("OCS_HOME", str(tmp_path))
    monkeypatch.delenv("OCS_STORE_URL", raising=False)
    yield await runtime.store()
    await runtime.close_store()


async def test_the_address_is_called_once_and_named_nowhere(at_home: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver(200) as (address, paths):
        await Ping(address, wellness())()
    assert paths == [f"/{SECRET}?key={SECRET}"]
    assert await figures.pinged_at(at_home) is not None
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "rest", [f"/?key={SECRET}", f"/~%7Eü{SECRET}", f"/{SECRET}/../{SECRET}x"], ids=["query", "path", "dots"]
)
async def test_another_spelling_of_the_address_is_named_nowhere_either(
    at_home: Any, rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver(200) as (address, _paths):
        port = address.partition("/" + SECRET)[0].rpartition(":")[2]
        await Ping(f"http://LOCALHOST:{port}{rest}", wellness())()
    assert SECRET not in caplog.text
    assert await figures.pinged_at(at_home) is not None


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_an_address_that_says_no_is_told_without_naming_it(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    says = f"the address of the ping answers {status}"
    with receiver(status) as (address, paths), pytest.raises(NotPinged, match=says) as failed:
        await Ping(address, wellness())()
    assert len(paths) == 1, "a redirect is not followed"
    assert SECRET not in caplog.text + repr(failed.value)


async def test_an_address_that_does_not_answer_is_told_without_naming_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(NotPinged, match=r"does not answer \(ConnectError\)") as failed:
        await call(f"http://127.0.0.1:{free_port()}/{SECRET}")
    assert failed.value.__cause__ is None
    assert SECRET not in caplog.text + repr(failed.value)


@pytest.mark.parametrize("known", [wellness("a run is overdue"), wellness(age=3600)], ids=["not well", "stands still"])
async def test_nobody_is_told_that_all_is_well_when_it_is_not(known: Wellness) -> None:
    with receiver(200) as (address, paths), pytest.raises(NotPinged, match=r"overdue|stands still"):
        await Ping(address, known)()
    assert paths == []


@pytest.mark.parametrize("wrong", ["ftp://host/x", "hc-ping.com/abc", "http://", "http://host:99999/x", "http://a b"])
def test_what_is_no_address_is_refused_and_not_repeated(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCS_PING_URL", wrong)
    with pytest.raises(UsageError) as refused:
        ping_url()
    assert wrong not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9464", "127.0.0.1:9464"), ("9464", "127.0.0.1:9464"), (":1", "127.0.0.1:1"), ("[::1]:80", "[::1]:80")],
)
def test_an_address_for_metrics(text: str, address: str) -> None:
    assert str(address_of(text)) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3.4:0", "1.2.3.4:70000", "host:9464x", "a..b:9464", f"{'a' * 64}:9464"]
)
def test_what_is_no_address_for_metrics(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        address_of(text)


@dataclass
class Served:
    url: str
    known: Wellness
    metrics: Metrics
    worker: Idle

    def samples(self) -> dict[tuple[str, ...], float]:
        text = httpx.get(f"{self.url}/metrics").text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def pages() -> Iterator[Served]:
    worker, address = Idle(), Address("127.0.0.1", free_port())
    known = wellness(worker=worker)
    metrics = Metrics(worker, known, NOW - MINUTE)  # pyright: ignore[reportArgumentType]
    with served(address, Exposition(metrics.registry, known)):
        yield Served(f"http://{address}", known, metrics, worker)


def test_it_is_ready_while_all_is_well_and_says_what_stands_against_it(pages: Served) -> None:
    assert httpx.get(f"{pages.url}/ready").json() == {"ok": True, "why": []}
    pages.worker.is_draining = True
    ready, health = httpx.get(f"{pages.url}/ready"), httpx.get(f"{pages.url}/health")
    assert (ready.status_code, ready.json()["why"]) == (503, ["it is ending, and takes nothing new"])
    assert health.status_code == 200


def test_an_event_loop_that_stands_still_is_neither_healthy_nor_ready(pages: Served) -> None:
    pages.known.found = Found((), time.monotonic() - 3600)
    assert {httpx.get(f"{pages.url}/{page}").status_code for page in ("health", "ready")} == {503}


def test_callers_that_never_end_their_request_keep_nobody_out(pages: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocs.worker.exposition.LONGEST", 0.2)
    monkeypatch.setattr("ocs.worker.exposition._Quiet.timeout", 300)
    address = urlsplit(pages.url)
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0)))
            for _ in range(AT_ONCE)
        ]
        for caller in slow:
            caller.settimeout(20)
            caller.sendall(b"GET /health HTTP/1.1\r\n")
        assert {caller.recv(1) for caller in slow} == {b""}, "they are hung up on, though they were not silent for long"
    assert answers_soon(f"{pages.url}/health")


def answers_soon(url: str) -> bool:
    """A slot is free a moment after its caller was hung up on."""
    for _ in range(200):
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url).status_code == 200
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/metrics/../x"), ("POST", "/metrics")])
def test_there_is_nothing_else(pages: Served, method: str, path: str) -> None:
    assert httpx.request(method, f"{pages.url}{path}").status_code == 404


def a_run(job: str, status: RunStatus, ended: datetime, took: float = 2.0) -> Run:
    begun = ended - timedelta(seconds=took)
    return Run(
        job_id=job,
        kind=DispatchKind.SCHEDULED,
        status=status,
        flow_run_id=uuid4(),
        scheduled_for=begun - timedelta(seconds=0.3),
        started_at=begun,
        finished_at=None if status is RunStatus.RUNNING else ended,
        lease_until=NOW - MINUTE if status is RunStatus.RUNNING else None,
    )


async def test_what_the_store_knows_is_counted_once_however_often_it_is_asked(at_home: Any, pages: Served) -> None:
    assert ("ocs_queue_oldest_age_seconds",) not in pages.samples(), "nothing is known before the first look"
    old = NOW - timedelta(hours=2)
    state = JobState(job_id="load", last_run_id=uuid4(), last_status=RunStatus.OK, last_finished_at=NOW, last_ok_at=NOW)
    waiting = DispatchRow(job_id="load", kind=DispatchKind.RETRY, scheduled_for=NOW, created_at=NOW - MINUTE)
    message = Delivery(
        job_id="load", kind="run", target="ops", subject="", body="", next_attempt_at=NOW, created_at=old
    )
    incident = IncidentRow(job_id="load", opened_at=NOW, troubles=["quiet", "late"], told_at=NOW)
    runs = [
        a_run("load", RunStatus.OK, NOW),
        a_run("load", RunStatus.ERROR, NOW),
        a_run("load", RunStatus.SKIPPED, NOW),
    ]
    runs[0].tokens_in, runs[0].tokens_cached, runs[0].tokens_out, runs[0].cost = 1200, 400, 80, 250_000
    before = a_run("load", RunStatus.OK, old)
    async with at_home.transaction() as session:
        session.add_all([state, waiting, message, incident, *runs, before, a_run("load", RunStatus.RUNNING, NOW)])
    for _ in range(3):
        await pages.metrics.look()
    found = pages.samples()
    assert {key[2]: value for key, value in found.items() if key[0] == "ocs_runs_total"} == {
        "ok": 1,
        "error": 1,
        "skipped": 1,
    }
    assert found["ocs_run_duration_seconds_count", "load"] == 2
    assert found["ocs_run_duration_seconds_bucket", "load", "1.0"] == 0
    assert found["ocs_run_start_lateness_seconds_bucket", "load", "0.5"] == 2
    assert (found["ocs_tokens_total", "in", "load"], found["ocs_tokens_total", "out", "load"]) == (1200, 80)
    assert found["ocs_tokens_total", "cached", "load"] == 400
    assert found["ocs_cost_usd_total", "load"] == pytest.approx(0.25)
    assert found["ocs_queue_dispatches", "pending"] == 1
    assert 60 <= found["ocs_outbox_oldest_age_seconds",] < 600
    assert found["ocs_deliveries", "pending"] == 1
    assert found["ocs_delivery_oldest_age_seconds",] >= 7200
    assert (found["ocs_runs_running",], found["ocs_leases_run_out",]) == (1, 1)
    assert (found["ocs_incidents_open", "quiet"], found["ocs_incidents_open", "late"]) == (1, 1)
    assert found["ocs_job_last_success_timestamp_seconds", "load"] == pytest.approx(NOW.timestamp())
    assert (found["ocs_worker_slots",], found["ocs_worker_runs_executing",], found["ocs_well",]) == (50, 2, 1)
    ids = {str(run.id) for run in runs}
    assert not any(identifier in httpx.get(f"{pages.url}/metrics").text for identifier in ids)


async def test_more_runs_than_fit_into_one_answer_are_counted_too(
    at_home: Any, pages: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocs.worker.metrics.AT_ONCE", 2)
    async with at_home.transaction() as session:
        session.add_all(a_run("load", RunStatus.OK, NOW + timedelta(milliseconds=number)) for number in range(7))
    for _ in range(2):
        await pages.metrics.look()
    assert pages.samples()["ocs_runs_total", "load", "ok"] == 7


async def test_a_run_that_ended_while_the_clock_was_ahead_hides_none_that_end_later(
    at_home: Any, pages: Served
) -> None:
    async with at_home.transaction() as session:
        session.add(a_run("load", RunStatus.OK, NOW + timedelta(days=300)))
    await pages.metrics.look()
    async with at_home.transaction() as session:
        session.add(a_run("load", RunStatus.OK, NOW + timedelta(milliseconds=1)))
    await pages.metrics.look()
    assert pages.samples()["ocs_runs_total", "load", "ok"] == 2


def test_only_so_many_jobs_have_a_label_of_their_own() -> None:
    labels = Labels(most=2)
    assert [labels.of(job) for job in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


async def test_what_waits_too_long_and_who_does_not_look_stand_against_it(at_home: Any) -> None:
    overdue = timedelta(minutes=5)
    assert await figures.standing_against(at_home, now=NOW, overdue=overdue) == [
        "nobody has looked for missed occurrences lately"
    ]
    late = DispatchRow(job_id="a", kind=DispatchKind.RETRY, scheduled_for=NOW, created_at=NOW - 2 * overdue)
    released = DispatchRow(
        job_id="a", kind=DispatchKind.RETRY, scheduled_for=NOW, created_at=NOW - 2 * overdue, released_at=NOW
    )
    async with at_home.transaction() as session:
        session.add_all([Mark(name="caught-up", at=NOW), released])
    assert await figures.standing_against(at_home, now=NOW, overdue=overdue) == []
    async with at_home.transaction() as session:
        session.add(late)
    assert await figures.standing_against(at_home, now=NOW, overdue=overdue) == [
        "a dispatch waits to be sent to Prefect"
    ]
    assert late.status is DispatchStatus.PENDING
