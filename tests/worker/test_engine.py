"""What of Prefect is not public and the worker relies on: these fail when a new version changes it."""

from __future__ import annotations

import inspect

import prefect.flow_engine
from prefect import _flow_run_suspension as suspension
from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext
from prefect.flow_engine import AsyncFlowRunEngine, FlowRunEngine

from ocs.worker import engine


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # pyright: ignore[reportArgumentType]


def test_the_methods_that_the_engine_replaces_or_calls_have_their_known_form() -> None:
    known = {
        "set_state": ["self", "state", "force"],
        "handle_crash": ["self", "exc"],
        "handle_cancellation": ["self", "exc"],
        "setup_flow_run_suspension_request": ["self"],
        "_get_flow_run_suspension_request": ["self"],
        "_emit_flow_run_heartbeat": ["self", "resource", "related"],
        "start": ["self"],
        "run_context": ["self"],
        "call_flow_fn": ["self"],
        "is_running": ["self"],
    }
    assert {name: parameters(getattr(AsyncFlowRunEngine, name)) for name in known} == known
    assert isinstance(AsyncFlowRunEngine.heartbeat_seconds, property)
    assert parameters(suspension.register_flow_run_suspension_request) == ["flow_run_id", "suspension_request"]
    assert parameters(suspension.mark_flow_run_suspension_requested) == ["flow_run_id", "state"]


def test_every_method_that_the_engine_replaces_exists_in_prefects() -> None:
    ours = {
        "execute",
        "stop",
        "told_to_stop",
        "code_has_begun",
        "code_has_ended",
        "abandoned",
        "_spare_the_look_up",
        "_first_start",
        "_beat",
        "_propose",
    }
    replaced = {name for name in vars(engine.InProcessEngine) if not name.startswith("__")} - ours
    assert replaced == {"heartbeat_seconds", "set_state", "handle_crash", "setup_flow_run_suspension_request"}
    assert all(hasattr(AsyncFlowRunEngine, name) for name in replaced)


def test_the_engine_reads_its_run_once_after_a_start_and_writes_the_policy_once_before() -> None:
    """What the shared client answers itself: were one more of these asked, it would still be asked of the server."""
    assert parameters(PrefectClient.read_flow_run) == ["self", "flow_run_id"]
    assert "empirical_policy" in parameters(PrefectClient.update_flow_run)
    assert "read_flow_run" in AsyncFlowRunEngine.setup_run_context.__wrapped__.__code__.co_names
    assert "update_flow_run" in AsyncFlowRunEngine.initialize_run.__wrapped__.__code__.co_names


def test_only_the_engine_opens_a_websocket_per_run_and_only_where_it_is_replaced() -> None:
    original = FlowRunEngine.setup_flow_run_suspension_request.__wrapped__
    assert "observe_flow_run_suspension" in original.__code__.co_names


async def test_everything_inside_uses_the_shared_client(prefect_server: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_server}):
        async with engine.shared_client() as client:
            assert get_client() is client
            async with AsyncClientContext.get_or_create() as context:
                assert context.client is client
            assert await client.api_healthcheck() is None
        async with get_client() as other:
            assert other is not client


def test_signals_are_given_back() -> None:
    original = prefect.flow_engine.capture_sigterm
    with engine.signals_stay_ours():
        assert prefect.flow_engine.capture_sigterm is not original
        assert "capture_sigterm" in AsyncFlowRunEngine.initialize_run.__wrapped__.__code__.co_names
    assert prefect.flow_engine.capture_sigterm is original
