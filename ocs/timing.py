"""Timing: every time that decides when something is late, dead or tried again, in one place.

Each is a `timedelta`, and those that depend on each other are checked against each other when they are made. A process
reads its times once: OCS_TIMING_LEASE=90 (a number of seconds) replaces `lease`, and so on for each of them. What an
operator may want to change stands in docs/operations.md; tests set the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache

from ocs.errors import UsageError

PREFIX = "OCS_TIMING_"
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one process.

    Raises:
        UsageError: two of them contradict each other.
    """

    # Who executes a run
    lease: timedelta = timedelta(seconds=60)
    """A run counts as executed by its owner for so long after a heartbeat."""
    renewal: timedelta = timedelta(seconds=20)
    """From one heartbeat of a run to the next."""
    renewal_retry: timedelta = timedelta(seconds=5)
    """From a heartbeat that failed to the next."""
    second_look: timedelta = timedelta(seconds=30)
    """Recovery looks again so long after it found a lease run out: the owner may only have been without its store."""
    standstill: timedelta = timedelta(seconds=60)
    """The watchdog kills a worker whose event loop has done nothing for so long."""

    # How runs and processes end
    grace: timedelta = timedelta(seconds=5)
    """From SIGTERM to SIGKILL, for the processes of a run."""
    orphan_grace: timedelta = timedelta(seconds=2)
    """From SIGTERM to SIGKILL, for processes whose worker is gone: nobody waits for a result any more."""
    kill: timedelta = timedelta(seconds=5)
    """The system may take so long to end what got SIGKILL, and we to catch up with what multiplies."""
    linger: timedelta = timedelta(seconds=1)
    """What a command left running, such as the end of a pipeline, may go on for so long."""
    worker_stop: timedelta = timedelta(seconds=30)
    """A worker that is told to stop waits so long for the runs it has told to stop."""
    worker_end: timedelta = timedelta(seconds=60)
    """The supervisor kills a worker that has not ended so long after a second signal; so does a worker itself that has
    lost its supervisor and is still draining."""
    server_stop: timedelta = timedelta(seconds=10)
    """A server that has lost its supervisor ends within this."""
    server_end: timedelta = timedelta(seconds=15)
    """The supervisor kills a server that has not ended so long after a signal."""
    drain: timedelta = timedelta(seconds=30)
    """A service that its manager stops waits so long for running jobs to end by themselves, before it ends them; with
    `worker_end` and `server_end` less than the two minutes that systemd gives a user when the machine ends."""
    first_request: timedelta = timedelta(seconds=20)
    """The server hangs up on a connection that has not said so long after it was made what it wants."""
    server_start: timedelta = timedelta(seconds=180)
    """A server that does not answer by then has not started."""

    # What a worker repeats
    poll: timedelta = timedelta(seconds=5)
    """From one question for runs to the next: the safety net under the events stream."""
    sweep: timedelta = timedelta(seconds=10)
    """From one look for runs that somebody wants stopped to the next."""
    request: timedelta = timedelta(seconds=15)
    """A question of the worker to the server that takes longer is given up and asked again."""
    report: timedelta = timedelta(seconds=60)
    """A report to the server, or a round of skipping superseded occurrences, that takes longer is given up."""
    tick: timedelta = timedelta(seconds=30)
    """From one round of periodic maintenance to the next."""
    tick_limit: timedelta = timedelta(minutes=3)
    """A round of periodic maintenance that takes longer is given up."""
    other_worker_stops: timedelta = timedelta(minutes=2)
    """A run that is Cancelling for longer is executed by no other worker either."""
    taken_unstarted: timedelta = timedelta(minutes=1)
    """A run that a worker took so long ago, and that worker is not online, was taken by a process that is gone."""

    # When an occurrence is late or missed
    punctual: timedelta = timedelta(seconds=60)
    """An occurrence at most this late was not missed: the machine was busy."""
    late_rest: timedelta = timedelta(seconds=2)
    """A worker holds an occurrence that it first sees late for so long: newer ones may be on their way."""
    catch_up_every: timedelta = timedelta(minutes=5)
    """From one look of a worker for missed occurrences to the next."""
    watch_every: timedelta = timedelta(minutes=1)
    """From one look of a worker for jobs that are quiet, late or still not well to the next."""
    catch_up_after: timedelta = timedelta(seconds=30)
    """An occurrence younger than this is not missed: Prefect makes its run a few seconds after a schedule changes."""

    # Dispatches and their flow runs
    publish_after: timedelta = timedelta(seconds=10)
    """A worker publishes rows of the outbox that are older; younger ones the process that wrote them publishes."""
    slot_kept: timedelta = timedelta(minutes=1)
    """A slot is kept so long for a released dispatch, so that no later one takes it."""
    unclaimed: timedelta = timedelta(minutes=2)
    """A dispatch that was due and published so long ago has become a run, or its flow run is broken or gone."""
    republish_first: timedelta = timedelta(minutes=2)
    """A dispatch whose flow run broke gets another one after this, and then after pauses that double."""
    republish_limit: timedelta = timedelta(days=1)
    """A dispatch whose flow runs broke for so long is given up."""
    silent: timedelta = timedelta(minutes=5)
    """A flow run of another host that is Running for longer, and has no running run in the store, is orphaned."""
    ended_lately: timedelta = timedelta(minutes=5)
    """Reconcile compares flow runs that ended within this with the store; earlier ones it has compared before."""
    transient_limit: timedelta = timedelta(hours=1)
    """A run waits so long for a store or a server that is away; recovery repeats what it could not ask."""

    # Deliveries
    part: timedelta = timedelta(seconds=30)
    """A transport may take so long for one part."""
    delivery_lease: timedelta = timedelta(minutes=2)
    """Another sender takes a delivery over when its sender has noted nothing for so long."""
    end_waits: timedelta = timedelta(seconds=5)
    """The end of a run waits so long for its notification, so that its page says what became of it."""
    tick_waits: timedelta = timedelta(seconds=10)
    """A round of periodic maintenance waits so long for the deliveries it sends, which go on afterwards."""
    delivery_retry_first: timedelta = timedelta(seconds=30)
    """A delivery that failed is sent again after this, and then after pauses that double."""
    delivery_retry_cap: timedelta = timedelta(hours=1)
    """No pause between two attempts of a delivery is longer."""

    # Agents
    gateway_wait: timedelta = timedelta(seconds=30)
    """A run waits so long for a gateway that is away, before it is snoozed."""
    gateway_away: timedelta = timedelta(seconds=60)
    """A run that found the gateway away is snoozed for so long."""
    gateway_draining: timedelta = timedelta(seconds=90)
    """A run that found the gateway draining is snoozed for so long, unless the gateway says for how long."""
    gateway_returns: timedelta = timedelta(minutes=3)
    """A turn that the gateway's end cut off is taken up again by its run, when the gateway is back within this."""
    gateway_stop: timedelta = timedelta(seconds=10)
    """Ending what goes on in a session, and its sub-agents, may take so long."""
    activity: timedelta = timedelta(seconds=5)
    """From one record of what an agent does to the next."""
    activity_again: timedelta = timedelta(seconds=2)
    """A session's history that is not to be had (yet) is asked for again after this."""
    steer_look: timedelta = timedelta(seconds=2)
    """From one look of a worker for what people say to its agents to the next."""
    rest_look: timedelta = timedelta(seconds=3)
    """From one look for a turn's sub-agents, which go on after its reply, to the next."""
    rest_owed: timedelta = timedelta(minutes=1)
    """An agent is woken within this by the end of its last sub-agent; otherwise what it has said is its answer."""
    snooze_least: timedelta = timedelta(seconds=5)
    """No snooze is shorter, even when the gateway asks for less: nothing else slows down what counts no attempt."""

    # What a command waits for
    server_late: timedelta = timedelta(seconds=5)
    """A command says that the server does not answer after this."""
    server_given_up: timedelta = timedelta(minutes=1)
    """A command gives up a server that has not answered for so long."""
    stop_waits: timedelta = timedelta(seconds=30)
    """A command waits so long for the end of a run that it has told to end."""
    overdue: timedelta = timedelta(minutes=5)
    """A run or a dispatch that is so late says that the scheduler is not well."""
    ping_every: timedelta = timedelta(minutes=1)
    """From one call of the address outside that is told that all is well to the next."""
    stuck: timedelta = timedelta(minutes=5)
    """`ocs doctor` calls a row of the outbox stuck that nobody has published for so long."""

    # When the store's database counts as away
    store_connect: timedelta = timedelta(seconds=10)
    store_free: timedelta = timedelta(seconds=30)
    """The longest wait for one of the process's connections to come free."""
    store_lock: timedelta = timedelta(seconds=15)
    store_statement: timedelta = timedelta(seconds=30)
    store_command: timedelta = timedelta(seconds=35)
    """The driver gives up a statement after this, the server by itself a little earlier."""
    store_busy: timedelta = timedelta(seconds=30)
    """SQLite waits so long for another process that writes."""
    store_idle: timedelta = timedelta(seconds=60)
    """Postgres ends a transaction that does nothing for so long: its process is gone without a word."""
    store_transaction: timedelta = timedelta(seconds=60)
    store_upgrade: timedelta = timedelta(minutes=10)
    """Bringing the schema up to date may take as long as it takes, within reason; others wait for it."""

    def __post_init__(self) -> None:
        shorter = self._shorter
        # One heartbeat may be lost, and one more that is tried at once, before anybody doubts the owner.
        shorter("renewal + renewal_retry", self.renewal + self.renewal_retry, "lease")
        # An owner that has its store back has sent a heartbeat by the second look.
        shorter("renewal", self.renewal, "second_look")
        # A worker that stands still is dead before recovery elsewhere begins its runs again.
        beyond = self.lease - self.renewal + self.second_look
        shorter("standstill", self.standstill, "lease - renewal + second_look", beyond)
        # What a killed worker left is ended before its lease tells another host so.
        shorter("orphan_grace + kill", self.orphan_grace + self.kill, "lease")
        # Each gives what it ends its time first: a run its processes, a worker its runs, the supervisor its children.
        shorter("grace + kill", self.grace + self.kill, "worker_stop")
        shorter("worker_stop", self.worker_stop, "worker_end")
        shorter("server_stop", self.server_stop, "server_end")
        shorter("sweep + grace + kill", self.sweep + self.grace + self.kill, "other_worker_stops")
        shorter("second_look", self.second_look, "tick_limit")
        shorter("tick_waits", self.tick_waits, "tick_limit")
        # A dispatch that a crash left released and unpublished is published while its slot is kept.
        shorter("tick + publish_after", self.tick + self.publish_after, "slot_kept")
        shorter("tick + publish_after", self.tick + self.publish_after, "stuck")
        # A worker that no event reaches finds the run, and ends its processes, while the command waits.
        shorter("sweep + grace + kill", self.sweep + self.grace + self.kill, "stop_waits")
        # Between two looks for missed occurrences nobody counts as unwell.
        shorter("catch_up_every + tick_limit", self.catch_up_every + self.tick_limit, "2 * overdue", 2 * self.overdue)
        shorter("server_late", self.server_late, "server_given_up")
        # Between two rounds of reconcile no end is overlooked.
        shorter("tick + tick_limit", self.tick + self.tick_limit, "ended_lately")
        shorter("late_rest", self.late_rest, "punctual")
        shorter("republish_first", self.republish_first, "republish_limit")
        # A sender that still waits for a receiver keeps its delivery.
        shorter("part", self.part, "delivery_lease")
        shorter("end_waits", self.end_waits, "delivery_lease")
        shorter("delivery_retry_first", self.delivery_retry_first, "delivery_retry_cap")
        shorter("snooze_least", self.snooze_least, "gateway_away")
        # The server ends what it can end by itself, so that the connection stays whole.
        shorter("store_lock", self.store_lock, "store_statement")
        shorter("store_statement", self.store_statement, "store_command")
        shorter("store_command", self.store_command, "store_transaction")
        shorter("store_free", self.store_free, "store_transaction")
        shorter("store_busy", self.store_busy, "store_transaction")
        shorter("store_transaction", self.store_transaction, "store_upgrade")

    def _shorter(self, name: str, time: timedelta, other: str, longer: timedelta | None = None) -> None:
        """Check that the first is shorter than the second, which is one of the fields unless it is given."""
        than: timedelta = getattr(self, other) if longer is None else longer
        if time >= than:
            raise UsageError(
                f"The times contradict each other: {name} ({seconds(time)}) has to be shorter than "
                f"{other} ({seconds(than)}).",
                hint=f"Change {_variable(other)} or {_variable(name)}.",
            )


def seconds(time: timedelta) -> str:
    """As the environment says it: 90 s."""
    return f"{time.total_seconds():g} s"


def from_environment(environment: Mapping[str, str]) -> Timing:
    """The times that an environment asks for.

    Raises:
        UsageError: a value is no number of seconds, there is no such time, or two contradict each other.
    """
    known = {field.name for field in fields(Timing)}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    changed: dict[str, timedelta] = {}
    for variable, value in given.items():
        name = variable.removeprefix(PREFIX).lower()
        if name not in known:
            raise UsageError(f"{variable} is set, and there is no such time.", hint="See docs/operations.md.")
        changed[name] = _time(variable, value)
    return Timing(**changed)


@cache
def timing() -> Timing:
    """The times of this process, read from its environment once.

    Raises:
        UsageError: as `from_environment` says.
    """
    return from_environment(os.environ)


def _variable(sum_of: str) -> str:
    """The variable of the first time in a sum."""
    return PREFIX + sum_of.split(maxsplit=1)[0].upper()


def _time(variable: str, value: str) -> timedelta:
    try:
        time = timedelta(seconds=float(value))
        if not timedelta(0) <= time <= LONGEST:
            raise ValueError
    except (ValueError, OverflowError):
        why = f'{variable}="{value}" is no number of seconds from 0 to {seconds(LONGEST)}.'
        raise UsageError(why, hint=f"Write it like {variable}=90") from None
    return time
