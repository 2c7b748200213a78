"""Who asks: a person, or a run that may start others and says so by its token."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocs.rules.attribution import Attribution
from ocs.rules.wording import SHORT
from ocs.service import session

if TYPE_CHECKING:
    from ocs.rules.spawn import Asker
    from ocs.store import Store

SOURCE = "run"


def is_a_run() -> bool:
    """Whether the command was typed by a run that may start others."""
    from ocs.rules.spawn import RUN_TOKEN

    return RUN_TOKEN in os.environ


async def who_asks(store: Store, person: Attribution) -> tuple[Asker | None, Attribution]:
    """The run by whose token a command is typed, and in whose name; without one it is the person's.

    Raises:
        Refused: the token is none of a run that runs.
    """
    from ocs.rules.spawn import RUN_TOKEN
    from ocs.store import spawning

    if (token := os.environ.get(RUN_TOKEN)) is None:
        return None, person
    asker = await spawning.asker_by_token(store, token)
    return asker, by_run(asker)


def by_run(asker: Asker) -> Attribution:
    """What a run does by itself."""
    return Attribution(f"{asker.job_id} (run {str(asker.run_id)[:SHORT]})", SOURCE, session.now())
