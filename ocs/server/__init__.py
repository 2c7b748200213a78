"""The embedded Prefect server: `ocs up` starts it with a worker, `ocs down` ends both. Imports no Prefect here."""

from ocs.server import password
from ocs.server.config import Config
from ocs.server.embedded import embedded_server
from ocs.server.health import answers, is_open
from ocs.server.state import UpState, is_settled, mark_settled
from ocs.server.state import read as running
from ocs.server.up import ended_with, start, stop

__all__ = [
    "Config",
    "UpState",
    "answers",
    "embedded_server",
    "ended_with",
    "is_open",
    "is_settled",
    "mark_settled",
    "password",
    "running",
    "start",
    "stop",
]
