"""The `ocs` command: parses, calls the other rooms, prints. Slow imports wait until a command needs them."""

from __future__ import annotations

import atexit
import gc
import os
import signal

INTERRUPTED = 130
RARELY = 50_000


def main() -> None:
    """Run the command line; a Ctrl-C before there is anything to interrupt is as quiet as a later one."""
    _look_for_garbage_rarely()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(INTERRUPTED))
    from ocs.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


def _look_for_garbage_rarely() -> None:
    """Prefect's modules are half a million objects that stay: to search them over and over is a third of a command."""
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # first of all, so that it is the last thing done


__all__ = ["main"]
