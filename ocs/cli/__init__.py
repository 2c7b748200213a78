"""The `ocs` command: parses, calls the other rooms, prints. Slow imports wait until a command needs them."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Run the command line; a Ctrl-C before there is anything to interrupt is as quiet as a later one."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(INTERRUPTED))
    from ocs.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


__all__ = ["main"]
