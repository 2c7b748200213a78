"""Who listens on a port, and whose a connection is: on this machine's real sockets, with another user's process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ocs import peer
from tests.another_user import NOBODY, acting_as, needs_another_user

pytestmark = pytest.mark.skipif(not peer.TABLES[0].exists(), reason="the kernel does not tell whose a socket is")

CONNECTS = """
import socket, sys
from ocs import peer
peer.heed_environment()
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
"""


@contextmanager
def listening_as(user: int, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port on which that user listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with acting_as(user):
        listening = socket.create_server((host, port), family=family)
    with listening:
        yield listening.getsockname()[1]


def connects(port: int, *, told: str | None, host: str = "127.0.0.1") -> bool:
    """Whether a process that was told whose server it may speak to connects."""
    environment = {**os.environ, **({peer.VARIABLE: told} if told else {})}
    ended = subprocess.run(
        [sys.executable, "-c", CONNECTS, host, str(port)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 or "another user's" in ended.stderr, ended.stderr
    return ended.returncode == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_whose_a_connection_is(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reached = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
    with socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as server:
        port = server.getsockname()[1]
        assert peer.listeners(reached, port) == {os.geteuid()}
        with socket.create_connection((reached, port)) as client:
            accepted, at = server.accept()
            with accepted:
                assert peer.user_of(at[:2], accepted.getsockname()[:2]) == os.geteuid()
                assert peer.user_of(client.getsockname()[:2], client.getpeername()[:2]) == os.geteuid()
    assert peer.listeners(reached, port) == set()


def test_of_a_name_or_another_machine_nothing_is_known() -> None:
    assert peer.listeners("host.example", 80) == set()
    assert peer.user_of(("192.0.2.1", 4711), ("192.0.2.2", 80)) is None


def test_whoever_was_told_nothing_connects_to_anybody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connects(port, told=None)
        assert connects(port, told=f"{os.geteuid()} {port}")


@needs_another_user
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nobody_connects_to_another_user_who_took_the_port(host: str) -> None:
    with listening_as(NOBODY, host) as port:
        assert not connects(port, told=f"0 {port}", host=host)
        assert connects(port, told=f"0 {port + 1}", host=host)
        assert connects(port, told=f"{NOBODY} {port}", host=host)


@needs_another_user
def test_another_user_on_another_address_is_in_nobodys_way() -> None:
    with listening_as(0) as port, listening_as(NOBODY, "127.0.0.2", port):
        assert connects(port, told=f"0 {port}")


CONNECTS_LATE = """
import socket, sys
from ocs import peer
peer.heed_environment()
sys.addaudithook(lambda event, _: event == "socket.connect" and listening.listen())
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
try:
    socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=10)
except ConnectionRefusedError as refused:
    sys.exit(str(refused))
"""


def test_whoever_begins_to_listen_after_the_look_is_not_connected_to() -> None:
    """A listener that comes and goes is there when it is connected to, and was not when it was looked for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    late = CONNECTS_LATE.replace('("127.0.0.1", 0)', f'("127.0.0.1", {port})')
    environment = {**os.environ, peer.VARIABLE: f"{os.geteuid()} {port}"}
    ended = subprocess.run([sys.executable, "-c", late], env=environment, capture_output=True, text=True, check=False)
    assert "is nobody's" in ended.stderr
