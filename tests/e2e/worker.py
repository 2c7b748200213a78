"""The worker, which looks every few seconds for what a crash may have left: tests wait for that."""

from __future__ import annotations

from ocs.worker import worker
from ocs.worker.__main__ import main

if __name__ == "__main__":
    worker.TICK_SECONDS = 3.0
    main()
