"""The address at which metrics are served."""

from __future__ import annotations

from dataclasses import dataclass

from ocs.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """Where it listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _is_host(host: str) -> bool:
    """Whether it can be asked for at all: a name with parts that are empty or too long cannot."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in host


def address_of(text: str) -> Address:
    """An address such as 127.0.0.1:9464, or a port alone, which means this machine.

    Raises:
        UsageError: it is none.
    """
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 2**16
    if not is_port or not _is_host(host):
        raise UsageError(f'--metrics "{text}" is not an address.', hint="Write it like --metrics 127.0.0.1:9464")
    return Address(host or "127.0.0.1", int(port))
