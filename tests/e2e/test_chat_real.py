"""What jobs have to tell, in a chat: over the real gateway, to a Telegram of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from blocks.gateway import BLOCK, OpenClawGateway
from blocks.target import DeliveryTarget
from ocs.cli.doctor import delivery
from ocs.store import deliveries
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from tests.e2e.system import RunningSystem
from tests.gateway.model import model_server
from tests.gateway.real import TOKEN, RealGateway, real_gateway, skip_unless_installed
from tests.gateway.telegram import Refusal, Telegram, telegram_server
from tests.gateway.test_real_delivery import png

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.timeout(300)]
DELIVER = {"when": "always", "to": "telegram:4711"}


@pytest.fixture(scope="module")
def telegram() -> Iterator[Telegram]:
    skip_unless_installed()
    with telegram_server() as running:
        yield running


@pytest.fixture(scope="module")
def real(telegram: Telegram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    with model_server() as model, real_gateway(tmp_path_factory.mktemp("gateway") / "home", model, telegram) as running:
        yield running


@pytest.fixture
async def chat(ocs: RunningSystem, real: RealGateway, telegram: Telegram) -> Telegram:
    block = OpenClawGateway(url=real.url, token=SecretStr(TOKEN))
    await cast("Any", block.save(BLOCK, overwrite=True))
    telegram.arrived.clear()
    return telegram


async def told(ocs: RunningSystem, name: str) -> Delivery:
    """What the job's only run had to tell, once it was sent."""
    run = await ocs.ended_run(name)

    async def sent() -> Delivery | None:
        rows = (await deliveries.of_runs(ocs.store, [run.id])).get(run.id, [])
        return next((row for row in rows if row.status is DeliveryStatus.SENT), None)

    return await ocs.eventually(sent)


async def test_what_a_shell_job_printed_arrives_once_exactly_and_with_its_image(
    ocs: RunningSystem, chat: Telegram, tmp_path: Path
) -> None:
    """Acceptance rows 50 and 51."""
    chart = tmp_path / "chart.png"
    chart.write_bytes(png())
    printed = "if __name__ == '__main__': *x* -> <stdin> & `y` \N{GRINNING FACE}\n    - [a](b)\n| c | d |"
    (tmp_path / "out.txt").write_text(printed)
    ocs.write("prints", run=f"cat {tmp_path}/out.txt; echo; echo '[IMAGE:{chart}]'", deliver=DELIVER)
    await ocs.deploy()
    await ocs.run("prints")
    await told(ocs, "prints")
    text, image = chat.arrived
    run = await ocs.ended_run("prints")
    assert text.text.startswith(f"{ocs.id('prints')}: done\n\n{printed}\n\nRun: http")
    assert f"/runs/flow-run/{run.flow_run_id}</a>" in text.source
    assert (image.text, image.file) == ("chart.png", png())


async def test_what_an_agent_answered_arrives_whole_and_as_it_is_meant(ocs: RunningSystem, chat: Telegram) -> None:
    words = " ".join(f"word{number}" for number in range(1000))
    reply = f"**Today** & a < b \N{GRINNING FACE}: {words}"
    ocs.write("brief", run={"agent": f"[[say: {reply}]]"}, deliver=DELIVER)
    await ocs.deploy()
    await ocs.run("brief")
    row = await told(ocs, "brief")
    assert (row.kind, row.parts, row.parts_sent) == ("reply", 3, 3)
    first, second, third = (message.text for message in chat.arrived)
    assert first.startswith(f"[1/3] {ocs.id('brief')}: done\n\nToday & a < b \N{GRINNING FACE}: word0 word1 ")
    bare = " ".join(text.partition("] ")[2] for text in (first, second, third))
    assert words in bare
    assert "<b>Today</b>" in chat.arrived[0].source


async def test_a_part_that_arrived_is_not_repeated_when_the_next_is_refused(ocs: RunningSystem, chat: Telegram) -> None:
    """Acceptance row 94: it waits with its error, is tried again by the worker, and goes on where it stopped."""
    chat.refusing += [None, Refusal(500, "Internal Server Error")]
    ocs.write("long", run={"agent": f"[[say: {'word ' * 2000}]]"}, deliver=DELIVER)
    await ocs.deploy()
    await ocs.run("long")
    run = await ocs.ended_run("long")
    (row,) = (await deliveries.of_runs(ocs.store, [run.id]))[run.id]
    assert (row.status, row.parts_sent, row.parts) == (DeliveryStatus.PENDING, 1, 3)
    assert "telegram:4711 was not reached" in (row.last_error or "")
    assert (await told(ocs, "long")).attempts == 2
    assert [message.text.partition("] ")[0] for message in chat.arrived] == ["[1/3", "[2/3", "[3/3"]


async def test_the_doctor_names_the_chats_that_the_gateway_does_not_see(
    ocs: RunningSystem, chat: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCS_PROJECT", str(ocs.project))
    name = ocs.id("team")
    await cast("Any", DeliveryTarget(kind="gateway", channel="telegram", recipient="4712").save(name))
    ocs.write("one", run="true", deliver=DELIVER)
    ocs.write("two", run="true", deliver={"to": name})
    found = [(each.state, each.finding) async for each in delivery.targets(ocs.client)]
    told = "The gateway does not see telegram:4712: not connected, or nobody wrote to its bot there."
    assert (found, chat.arrived) == ([("warning", told)], [])
    await DeliveryTarget.adelete(name)
