"""What `ocs up` and `ocs worker` refuse before anything is started."""

from __future__ import annotations

import socket

import pytest

from tests.cli.command import Ocs


@pytest.mark.parametrize("command", ["up", "worker"])
def test_a_port_for_metrics_that_is_taken_is_told_in_a_sentence(outside: Ocs, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = outside.json(command, "--metrics", f"127.0.0.1:{port}", status=1)["error"]
    assert error["message"].startswith(f"Port {port} is taken by ")
    assert error["hint"] == f"Choose another: ocs {command} --metrics 127.0.0.1:9465"


def test_an_address_for_metrics_that_is_none_is_told(outside: Ocs) -> None:
    error = outside.json("up", "--metrics", "everywhere", status=2)["error"]
    assert error["message"] == '--metrics "everywhere" is not an address.'


@pytest.mark.parametrize("command", ["up", "worker"])
def test_an_address_of_the_ping_that_is_none_is_told_and_not_repeated(outside: Ocs, command: str) -> None:
    said = outside(command, OCS_PING_URL="hc-ping.com/s3cr3t")
    assert said.status == 2
    assert "OCS_PING_URL is not an address." in said.err
    assert "s3cr3t" not in said.out + said.err
