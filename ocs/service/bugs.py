"""Bugs: what nobody foresaw is told in a sentence; where it happened is kept for whoever mends it."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from ocs import settings
from ocs.errors import OcsError
from ocs.files import make_folder, open_file


def kept_bug(bug: BaseException, name: str) -> OcsError:
    """What is said of a bug, once its traceback stands in the log of that name."""
    what = f"Something unexpected went wrong: {type(bug).__name__}: {bug}"
    try:
        log = settings.home() / "logs" / name
        make_folder(log.parent)
        with open_file(log, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{datetime.now(UTC).isoformat()}\n{''.join(traceback.format_exception(bug))}\n")
    except OSError:
        return OcsError(what, hint="See where: set OCS_DEBUG=1")
    return OcsError(what, hint=f"This is a bug; where it happened is in {log}")
