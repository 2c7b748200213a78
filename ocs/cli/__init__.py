"""The `ocs` command: parses, calls the other rooms, prints. Slow imports wait until a command needs them."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal

INTERRUPTED = 130
RARELY = 50_000


def main() -> None:
    """Run the command line; a Ctrl-C before there is anything to interrupt is as quiet as a later one."""
    _look_for_garbage_rarely()
    _keep_prefect_quiet()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(INTERRUPTED))
    from ocs.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


def _keep_prefect_quiet() -> None:
    """What it collects, and what its threads still do while a command ends, is not what the command was asked."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    for thread in ("EventsWorker", "APILogWorker"):
        logging.getLogger(thread).setLevel(logging.ERROR)


def _look_for_garbage_rarely() -> None:
    """Prefect's modules are half a million objects that stay: to search them over and over is a third of a command."""
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # first of all, so that it is the last thing done


__all__ = ["main"]
