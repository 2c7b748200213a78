"""Which tools there are, and what a caller has to be allowed for each."""

from __future__ import annotations

from ocs.mcp import dispatching, looking, proposing, running
from ocs.mcp.door import Offer
from ocs.rules.scopes import Scope

OFFERS = (
    Offer(looking.list_jobs, Scope.READ),
    Offer(looking.show_job, Scope.READ),
    Offer(looking.list_runs, Scope.READ),
    Offer(looking.show_run, Scope.READ),
    Offer(looking.why, Scope.READ),
    Offer(looking.list_queue, Scope.READ),
    Offer(looking.calendar, Scope.READ),
    Offer(looking.inbox, Scope.READ),
    Offer(dispatching.list_tasks, Scope.READ),
    Offer(dispatching.show_task, Scope.READ),
    Offer(running.run_job, Scope.RUN, changes=True),
    Offer(running.cancel_run, Scope.RUN, changes=True, ends=True),
    Offer(dispatching.start_task, Scope.DISPATCH, changes=True),
    Offer(dispatching.steer_task, Scope.DISPATCH, changes=True),
    Offer(dispatching.cancel_task, Scope.DISPATCH, changes=True, ends=True),
    Offer(proposing.preview_job, Scope.PROPOSE),
    Offer(proposing.propose_job, Scope.PROPOSE, changes=True),
    Offer(proposing.list_proposals, Scope.PROPOSE),
)
