"""The listening socket. The supervisor holds it, so a server that is restarted keeps its port and its callers."""

from __future__ import annotations

import errno
import socket
from typing import Any

import psutil

from ocs.errors import Refused

OTHER_PORT = "Choose another with --port, or let one be chosen: --port 0"


def listen(host: str, port: int, *, hint: str = OTHER_PORT) -> socket.socket:
    """A socket that listens; port 0 takes a free one. `hint` says what to do about one that is taken.

    Raises:
        Refused: the port is taken (it says by whom), or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError as failed:
        listening.close()
        if failed.errno == errno.EADDRINUSE:
            raise Refused(
                f"Port {port} is taken by {_holder(port)}.",
                hint=hint,
            ) from failed
        raise Refused(f"Cannot listen on {host}:{port}: {failed.strerror}.") from failed
    return listening


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address: Any = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (process {connection.pid}: {' '.join(process.cmdline())[:80]})"
    except psutil.Error:
        pass
    return "another program (of another user, so its name cannot be seen)"
