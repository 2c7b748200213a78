"""Agent jobs over the real gateway: while it starts, while it answers, and when it is ended in the middle of a turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from prefect.states import Cancelling
from pydantic import SecretStr

from blocks.gateway import BLOCK, OpenClawGateway
from ocs.rules.dispatch import RunStatus
from ocs.store import queries
from tests.cli.command import Ocs
from tests.cli.forked import Mother
from tests.e2e.system import RunningSystem
from tests.gateway.model import Model, model_server
from tests.gateway.real import TOKEN, RealGateway, skip_unless_installed

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.timeout(400)]
NOBODY = {"when": "never", "opt_out_reason": "a test"}


@pytest.fixture
async def real(ocs: RunningSystem, tmp_path: Path) -> AsyncIterator[tuple[RealGateway, Model]]:
    """A gateway that was not started yet, and the block that names it."""
    skip_unless_installed()
    with model_server() as model:
        gateway = RealGateway(tmp_path / "home", model)
        block = OpenClawGateway(url=gateway.url, token=SecretStr(TOKEN))
        await cast("Any", block.save(BLOCK, overwrite=True))
        try:
            yield gateway, model
        finally:
            gateway.stop()


async def test_runs_outlive_the_gateway_and_each_is_done_once(
    ocs: RunningSystem, real: tuple[RealGateway, Model]
) -> None:
    """Acceptance row 66: what began while it was away is done once it is there; a shell job is not held up."""
    gateway, model = real
    words = [f"{ocs.id('job')}-{number}" for number in range(3)]
    for number, word in enumerate(words):
        ocs.write(f"brief-{number}", run={"agent": f"{word} [[say: {word} is done]]"}, deliver=NOBODY)
    ocs.write("beside", run="echo beside")
    await ocs.deploy()
    for number in range(3):
        await ocs.run(f"brief-{number}")
    await ocs.run("beside")
    assert (await ocs.ended_run("beside")).status is RunStatus.OK
    assert model.asked == []

    gateway.start()
    for number, word in enumerate(words):

        async def done(name: str = f"brief-{number}") -> Any:
            ended = [run for run in await ocs.runs_of(name) if run.status is RunStatus.OK]
            return ended[0] if ended else None

        run = await ocs.eventually(done)
        assert run.stdout == f"{word} is done"
        assert len(model.prompts(f"{word} [[say")) == 1
        assert (await queries.job_states(ocs.store))[ocs.id(f"brief-{number}")].consecutive_errors == 0

    word = ocs.id("word")
    ocs.write("broken", run={"agent": f"[[once: {word} is done]]", "timeout": "10m"}, deliver=NOBODY)
    ocs.write("cancelled", run={"agent": "[[hang]]"}, deliver=NOBODY)
    await ocs.deploy()
    await ocs.run("cancelled")
    await ocs.eventually(lambda: _is_set(model))
    (run,) = await ocs.runs_of("cancelled")
    assert run.session_key == f"agent:main:scheduler:{run.job_id}:{run.id}"
    await ocs.client.set_flow_run_state(run.flow_run_id, Cancelling())
    cancelled = await ocs.ended_run("cancelled")
    assert (cancelled.status, cancelled.session_key) == (RunStatus.CANCELLED, run.session_key)
    await ocs.eventually(lambda: _was_orphaned(model))

    model.hanging.clear()
    await ocs.run("broken")
    await ocs.eventually(lambda: _is_set(model))
    gateway.kill()
    gateway.start()
    run = await ocs.ended_run("broken")
    assert (run.status, run.error, run.stdout) == (RunStatus.OK, None, f"{word} is done")
    # Where the gateway's own recovery is quicker, ours is told to go on after what that has done, in the same session.
    assert len(model.prompts(f"[[once: {word}")) in (2, 3)


async def test_a_message_is_in_the_prompt_of_the_next_turn_and_not_in_the_one_after(
    ocs: RunningSystem, real: tuple[RealGateway, Model], worker_home: Path, bare: Mother
) -> None:
    """Acceptance row 61: as the model behind the gateway sees it. A turn that fails leaves the message waiting."""
    gateway, model = real
    gateway.start()
    word = ocs.id("word")
    command = Ocs(worker_home, worker_home, mother=bare)
    said = command.json("messages", "send", f"{word} is the word.", "--from", "ann")["message"]
    replies = {"failed": "TASK_FAILED: not now", "shown": "noted", "after": "nothing new"}
    for name, reply in replies.items():
        ocs.write(name, run={"agent": f"{ocs.id(name)} [[say: {reply}]]"}, deliver=NOBODY)
    await ocs.deploy()
    for name in replies:
        await ocs.run(name)
        await ocs.ended_run(name)
    fence = f"message {said['id'][:8]} to main ---\\nann | text | (no subject)\\n{word} is the word.\\n--- end data "
    seen = {name: [fence in prompt for prompt in model.prompts(f"{ocs.id(name)} [[say")] for name in replies}
    assert seen == {"failed": [True], "shown": [True], "after": [False]}
    (story,) = command.json("messages", "show", said["id"])["message"]["receipts"][1:]
    assert (story["event"], story["run"]) == ("delivered", str((await ocs.runs_of("shown"))[0].id))


async def _is_set(model: Model) -> bool:
    return model.hanging.is_set()


async def _was_orphaned(model: Model) -> bool:
    return model.left.is_set()
