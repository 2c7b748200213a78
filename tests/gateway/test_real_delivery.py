"""A message through the real gateway: one that cannot go out is a failure, whatever the status of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.by_gateway import ByGateway
from blocks.connections import close_connections
from blocks.courier import Part, Undelivered
from blocks.gateway import OpenClawGateway
from tests.gateway.model import model_server
from tests.gateway.real import TOKEN, RealGateway, real_gateway, skip_unless_installed

pytestmark = [pytest.mark.e2e, pytest.mark.gateway]
PART = Part("5f0c-1", "load: failed", "Exited with code 3.")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    skip_unless_installed()
    with model_server() as model, real_gateway(tmp_path_factory.mktemp("gateway") / "home", model) as running:
        yield running


@pytest.fixture
async def gateway(real: RealGateway) -> AsyncIterator[OpenClawGateway]:
    yield OpenClawGateway(url=real.url, token=SecretStr(TOKEN))
    await close_connections()


async def failure(courier: ByGateway, part: Part = PART) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        await courier.send(part)
    return failed.value


async def test_a_channel_that_is_not_connected_is_a_failure_and_not_sent(gateway: OpenClawGateway) -> None:
    failed = await failure(ByGateway(gateway, "telegram", "12345"))
    assert "telegram:12345 was not reached" in failed.message
    assert "telegram:12345" in (await failure(ByGateway(gateway, "telegram", "12345"))).message


async def test_so_is_a_channel_that_does_not_exist_and_an_image_for_it(
    gateway: OpenClawGateway, tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(b"\x89PNG")
    await failure(ByGateway(gateway, "pigeon", "12345"))
    await failure(ByGateway(gateway, "telegram", "12345"), Part("5f0c-2", "load: failed", chart.name, chart))


async def test_a_token_that_is_wrong_is_not_tried_again(real: RealGateway, gateway: OpenClawGateway) -> None:
    wrong = OpenClawGateway(url=real.url, token=SecretStr("wrong"))
    assert not (await failure(ByGateway(wrong, "telegram", "12345"))).retryable
