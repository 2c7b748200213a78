"""Who is at the other end of a connection on this machine, as the kernel of Linux tells it; elsewhere nobody is known.

A port carries no name. Any user may listen on one that has become free, and what a client sends there is theirs: a
server's password, too. And a link that is opened stands in the process list, from where anybody may take it.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

VARIABLE = "OCS_SERVER_OF"
"""Set for processes that have a server's password: user and port of that server."""
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"
EVERYWHERE = ("00000000", "0" * 32)


@dataclass(frozen=True, slots=True)
class _Row:
    """A socket of this machine: its own address and the other one as hexadecimal text, its state, whose it is."""

    local: str
    remote: str
    state: str
    user: int


def listeners(host: str, port: int) -> set[int]:
    """The users that listen at an address; none when nobody does, or nothing is known."""
    wanted = {f"{name}:{port:04X}" for name in (*_spellings(host), *EVERYWHERE)}
    return {row.user for row in _rows() if row.state == LISTENS and row.local in wanted}


def user_of(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Whose the client's end of a connection is; None when it is not of this machine, or nothing is known."""
    local = {f"{name}:{client[1]:04X}" for name in _spellings(client[0])}
    remote = {f"{name}:{server[1]:04X}" for name in _spellings(server[0])}
    return next((row.user for row in _rows() if row.local in local and row.remote in remote), None)


def heed_environment() -> None:
    """Do as `VARIABLE` says; without effect where it is not set."""
    if told := os.environ.get(VARIABLE):
        user, port = map(int, told.split())
        connect_only_to(user, port)


@cache
def connect_only_to(user: int, port: int) -> None:
    """From now on this process connects to a port of this machine only while it is `user` who listens there.

    Prefect connects in many places, over HTTP and websockets; they all pass here. Where nobody
    listens nothing is connected to either: another user may begin to listen between the look and the connection.
    """

    def is_another(address: tuple[str, int]) -> bool:
        if address[1] != port:
            return False
        found = listeners(address[0], port)
        return bool(found - {user}) or (not found and _is_known(address[0]))

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect":
            return
        address: Any = arguments[1]
        if isinstance(address, tuple) and is_another(cast("tuple[str, int]", address)):
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Port {port} is nobody's, or another user's by now")

    sys.addaudithook(look)


def _is_known(host: str) -> bool:
    """Whether the kernel tells who listens there: it is an address that never leaves this machine."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback and TABLES[0].exists()
    return False


def _rows() -> Iterator[_Row]:
    for table in TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, local, remote, state, _, _, _, user, *_ = line.split()
                yield _Row(local, remote, state, int(user))


def _spellings(host: str) -> tuple[str, ...]:
    """How the kernel writes an address: words in the order of this machine's bytes. IPv4 may stand within IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    if isinstance(address, ipaddress.IPv6Address):
        return (_words(address.packed), *(() if address.ipv4_mapped is None else (_words(address.ipv4_mapped.packed),)))
    return _words(address.packed), _words(ipaddress.IPv6Address(f"::ffff:{address}").packed)


def _words(packed: bytes) -> str:
    parts = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(part, sys.byteorder):08X}" for part in parts)
