"""Running a flow inside this process, with names of Prefect's engine that are not public; a test pins each.

Prefect's engine expects a process to itself. Per run it opens a websocket in a thread, starts a heartbeat thread,
takes over SIGTERM, and reads and writes back what it was just given. Here many runs share one process, one
client, one subscription and one event loop, and a server that is away for a while costs no run its result.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Any
from uuid import UUID

import httpx
import prefect.flow_engine
from prefect._flow_run_suspension import (
    FlowRunSuspensionRequest,
    mark_flow_run_suspension_requested,
    register_flow_run_suspension_request,
)
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import AsyncClientContext
from prefect.exceptions import Pause
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.flows import Flow
from prefect.settings import get_current_settings
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs
from pydantic import SecretStr

from ocs.errors import ServerUnreachable
from ocs.transient import is_transient, pauses
from tasks.recovery import owner

CAPTURE = "capture_sigterm"


class SharedClient(PrefectClient):
    """One client for all runs of the worker. It saves the engine two requests a run."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._remembered: dict[UUID, FlowRun] = {}

    def remember(self, flow_run: FlowRun) -> None:
        """Answer the next read of this flow run from here."""
        self._remembered[flow_run.id] = flow_run

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        return self._remembered.pop(flow_run_id, None) or await super().read_flow_run(flow_run_id)

    async def update_flow_run(self, flow_run_id: UUID, *arguments: Any, **changes: Any) -> Any:
        # Only the engine sends a policy: at every start, with the flow's version. Without retries it says nothing new.
        policy = changes.get("empirical_policy")
        if policy is not None and not policy.retries:
            return None
        return await super().update_flow_run(flow_run_id, *arguments, **changes)


@contextlib.asynccontextmanager
async def shared_client() -> AsyncGenerator[SharedClient]:
    """A client that everything inside the context uses, Prefect's own code included.

    Raises:
        ServerUnreachable: no server is configured. For one that does not answer yet the worker waits later.
    """
    api = get_current_settings().api
    if api.url is None:
        raise ServerUnreachable("PREFECT_API_URL is not set.", hint="Start a server with: ocs up")
    client = SharedClient(api.url, auth_string=_secret(api.auth_string), api_key=_secret(api.key))
    async with client:
        # Its own constructor makes another client, and entering it asks the server, which may not be up yet.
        with AsyncClientContext.model_construct(client=client):
            yield client


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


class InProcessEngine(AsyncFlowRunEngine[Any, Any]):
    """The engine without what it does on the assumption that the process is its own."""

    told_to_stop = False
    code_has_begun = False
    code_has_ended = False
    abandoned = False
    """The process ends: a state that the server does not take now is lost."""

    @property
    def heartbeat_seconds(self) -> int | None:
        """None: a thread per run is too much; `_beat` does the same."""
        return None

    async def execute(self) -> None:
        """Run the flow to its final state, or until it suspends.

        Raises:
            Abort: the server does not let it start (any more).
        """
        beating: asyncio.Task[None] | None = None
        try:
            async with self.start():
                beating = asyncio.create_task(self._beat())
                while self.is_running():
                    self._spare_the_look_up()
                    async with self.run_context():
                        self.code_has_begun = True
                        await self.call_flow_fn()
        except Pause:
            return
        finally:
            if beating is not None:
                beating.cancel()

    def stop(self) -> bool:
        """Have the run end as Cancelled. True: its task is to be cancelled. False: its code has ended anyhow."""
        self.told_to_stop = not self.code_has_ended
        return self.told_to_stop

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """Propose a state until the server takes it: a run's result must survive a restart of the server."""
        self.code_has_ended = state.is_final()
        if state.is_running() and state.message is None:
            state.message = owner.executed_by_me()
        for pause in pauses():
            try:
                return await self._propose(state, force)
            except httpx.HTTPError as error:
                if self.abandoned or not is_transient(error):
                    raise
                self.logger.warning("The server does not take the state %r; trying again: %r", state.name, error)
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _propose(self, state: State[Any], force: bool) -> State[Any]:
        """A run that has ended by itself has ended so, though somebody cancels or pauses it at that moment.

        From Cancelling the server lets a run become Cancelled only, and from a pause that has timed out only Failed.
        """
        try:
            answer = await super().set_state(state, force)
        except Pause:
            if not state.is_final() or self.told_to_stop:
                raise
            return await super().set_state(state, force=True)
        is_untrue = state.is_final() and answer.type != state.type and not answer.is_scheduled()
        return await super().set_state(state, force=True) if is_untrue and not self.told_to_stop else answer

    async def handle_crash(self, exc: BaseException) -> None:
        """A run whose task was cancelled because it was told to stop has not crashed."""
        if self.told_to_stop and isinstance(exc, asyncio.CancelledError):
            await self.handle_cancellation(exc)
        else:
            await super().handle_crash(exc)

    @contextlib.contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[FlowRunSuspensionRequest]:
        """Without the websocket per run: the worker's one subscription calls `suspend`."""
        if self.flow_run is None:
            raise ValueError("a run is executed that was not made")
        request = self._get_flow_run_suspension_request()
        with register_flow_run_suspension_request(self.flow_run.id, request):
            request.raise_if_requested()
            yield request

    def _spare_the_look_up(self) -> None:
        """The engine reads its run once more after each start, to see what the start has changed."""
        if self.flow_run is not None and isinstance(self.client, SharedClient):
            counted = {"run_count": self.flow_run.run_count + 1, "start_time": self._first_start()}
            self.flow_run = self.flow_run.model_copy(update=counted)
            self.client.remember(self.flow_run)

    def _first_start(self) -> Any:
        return (self.flow_run and self.flow_run.start_time) or self.state.timestamp

    async def _beat(self) -> None:
        """Emit a heartbeat at the start and regularly, for automations that look for crashed runs."""
        every = get_current_settings().flows.heartbeat_frequency
        while every is not None:
            self._emit_flow_run_heartbeat()
            await asyncio.sleep(every)


def engine_for(flow: Flow[Any, Any], flow_run: FlowRun) -> InProcessEngine:
    """An engine for one run, with the flow's defaults for what the run does not say.

    Raises:
        prefect.exceptions.ParameterBindError: the run's parameters are not those of the flow.
    """
    positional, named = parameters_to_args_kwargs(flow.fn, flow_run.parameters)
    return InProcessEngine(flow=flow, parameters=get_call_parameters(flow.fn, positional, named), flow_run=flow_run)


def suspend(flow_run_id: UUID, state: State[Any]) -> bool:
    """Stop a run that somebody suspended at its next task. False when it does not execute here."""
    return mark_flow_run_suspension_requested(flow_run_id, state)


@contextlib.contextmanager
def signals_stay_ours() -> Generator[None]:
    """Keep Prefect from turning a SIGTERM into an exception in some run: the worker drains on it."""
    original = getattr(prefect.flow_engine, CAPTURE)
    setattr(prefect.flow_engine, CAPTURE, contextlib.nullcontext)
    try:
        yield
    finally:
        setattr(prefect.flow_engine, CAPTURE, original)
