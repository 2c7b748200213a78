"""What is read of Prefect's objects, and its names that are not public: these fail when it changes them."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.input import keyset_from_base_key, keyset_from_paused_state
from prefect.states import Suspended
from prefect.types._datetime import now as prefects_now
from prefect.workers.base import BaseJobConfiguration
from prefect.workers.server import build_healthcheck_server

from ocs.worker import OpenClawWorker
from tasks.adapter import runtime
from tasks.adapter.reading import document_in, instant


@pytest.mark.parametrize("parameters", [{}, {"job": None}, {"job": "nightly"}, {"job": ["a"]}, {"another": {}}])
def test_parameters_that_say_no_job_have_an_empty_document(parameters: dict[str, object]) -> None:
    assert document_in(parameters) == {}


def test_the_document_is_what_the_parameters_say() -> None:
    assert document_in({"job": {"id": "load"}}) == {"id": "load"}


def test_an_instant_is_the_same_moment_in_utc() -> None:
    there = datetime(2026, 11, 30, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert instant(there) == there
    assert instant(there).tzinfo is UTC
    assert type(instant(prefects_now("UTC"))) is datetime


def test_the_context_of_a_flow_says_its_run_its_client_and_whether_it_is_to_suspend() -> None:
    assert {"flow_run", "client", "flow_run_suspension_request"} <= FlowRunContext.model_fields.keys()
    assert callable(FlowRunSuspensionRequest.raise_if_requested)


def test_outside_of_a_flow_there_is_no_flow_run() -> None:
    with pytest.raises(RuntimeError, match="outside of its flow"):
        runtime.current_flow_run()


def test_a_process_of_one_run_is_known_by_what_prefects_workers_set(monkeypatch: pytest.MonkeyPatch) -> None:
    flow_run = FlowRun(flow_id=uuid4())
    theirs = BaseJobConfiguration._base_flow_run_environment(flow_run)  # pyright: ignore[reportPrivateUsage]
    assert theirs == {runtime.ONE_RUN: str(flow_run.id)}
    monkeypatch.delenv(runtime.ONE_RUN, raising=False)
    assert not runtime.ends_with_its_run()
    monkeypatch.setenv(runtime.ONE_RUN, str(flow_run.id))
    assert runtime.ends_with_its_run()


def test_a_form_keeps_its_key_in_prefect() -> None:
    """Runs that wait for approval while we are upgraded are decided by the forms that they have."""
    assert keyset_from_paused_state(Suspended(pause_key="0123456789ab-1")) == keyset_from_base_key(
        "suspended-0123456789ab-1"
    )


def test_the_health_check_asks_the_worker() -> None:
    assert list(inspect.signature(build_healthcheck_server).parameters)[:2] == ["worker", "query_interval_seconds"]
    assert callable(OpenClawWorker.is_worker_still_polling)


def test_a_worker_that_has_no_pool_yet_says_so() -> None:
    assert OpenClawWorker("openclaw").get_status()["work_pool"] is None
