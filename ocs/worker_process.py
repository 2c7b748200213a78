"""The worker of `ocs up`: `python -m ocs.worker`, without the settings of the folder that one stands in."""

from __future__ import annotations

from ocs.own_settings import only_own_settings

if __name__ == "__main__":
    only_own_settings()

    # Not before: it imports Prefect, which reads its settings then.
    from ocs.worker.__main__ import main

    main()
