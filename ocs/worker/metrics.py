"""Metrics for Prometheus: a cached snapshot of the store, and what ended since this worker began.

A scrape reads memory only. The store is asked every few seconds, whoever scrapes and however often. Only so many jobs
have a label of their own; the others share one. A run's id is never a label.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.logging import get_logger
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ocs.rules import costs
from ocs.store.figures import EndedRun, Figures, ended_since, figures
from ocs.timing import timing
from ocs.worker.periodic import run_periodically
from tasks.adapter import runtime

if TYPE_CHECKING:
    from ocs.worker.wellness import Wellness
    from ocs.worker.worker import OpenClawWorker

EVERY = timedelta(seconds=15)
MOST_JOBS = 200
OTHER = "other"
"""The label that jobs share for which there is none of their own any more."""
AT_ONCE = 1000
OVERLAP = timedelta(minutes=2)
"""A run may be committed so long after the moment that it says it ended at."""
REMEMBERED = 20_000
DURATIONS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
LATENESS = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)
RAN = ("ok", "error", "timeout", "crashed")
"""Outcomes of runs that did something; others took no time worth knowing."""


disable_created_metrics()  # a further series for each, which nobody asks for


class Labels:
    """The jobs that have a label of their own: the first that came."""

    def __init__(self, most: int = MOST_JOBS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, job_id: str) -> str:
        """The job's id, or the label it shares."""
        if job_id in self._known or len(self._known) < self._most:
            self._known.add(job_id)
            return job_id
        return OTHER


class Metrics:
    """What is counted, and how it stood at the last look."""

    def __init__(self, worker: OpenClawWorker, wellness: Wellness, began_at: datetime) -> None:
        self.registry = CollectorRegistry()
        self._labels = Labels()
        self._counted: OrderedDict[UUID, None] = OrderedDict()
        self._until = self._began_at = began_at
        self._runs = Counter(
            "ocs_runs", "Runs that ended since this worker began.", ("job", "outcome"), registry=self.registry
        )
        self._durations = Histogram(
            "ocs_run_duration_seconds",
            "From a run's claim to its end.",
            ("job",),
            buckets=DURATIONS,
            registry=self.registry,
        )
        self._lateness = Histogram(
            "ocs_run_start_lateness_seconds",
            "From an occurrence's due time to its start.",
            ("job",),
            buckets=LATENESS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "ocs_tokens", "Tokens of model calls, where they are known.", ("job", "direction"), registry=self.registry
        )
        self._costs = Counter("ocs_cost_usd", "Costs in US dollars, where known.", ("job",), registry=self.registry)
        self._snapshot = Snapshot(self._labels)
        self.registry.register(self._snapshot)
        self._of_worker(worker, wellness)

    async def keep_looking(self) -> None:
        """For ever. Where the store does not answer, the last snapshot stays, and its age says so."""
        await run_periodically(
            "count for Prometheus",
            self.look,
            every=EVERY,
            within=timing().request,
            logger=get_logger("worker.openclaw"),
        )

    async def look(self) -> None:
        """Ask the store once."""
        store, now = await runtime.store(), runtime.clock()
        self._snapshot.figures = await figures(store, now=now, most_jobs=MOST_JOBS)
        since = self._until - OVERLAP
        while ended := await ended_since(store, since, most=AT_ONCE):
            for run in ended:
                self._count(run)
            since = ended[-1].finished_at
        # A run that ended while the clock was ahead does not hide those that end until then.
        self._until = min(self._until, now)

    def _count(self, run: EndedRun) -> None:
        self._until = max(self._until, run.finished_at)
        if run.id in self._counted or run.finished_at < self._began_at:
            return
        self._counted[run.id] = None
        if len(self._counted) > REMEMBERED:
            self._counted.popitem(last=False)
        job = self._labels.of(run.job_id)
        self._runs.labels(job, run.outcome).inc()
        for direction, tokens in (("in", run.tokens_in), ("cached", run.tokens_cached), ("out", run.tokens_out)):
            if tokens is not None:
                self._tokens.labels(job, direction).inc(max(0, tokens))
        if run.cost is not None:
            self._costs.labels(job).inc(max(0, run.cost) / costs.MICROS)
        if run.outcome in RAN:
            self._durations.labels(job).observe(max(0.0, (run.finished_at - run.started_at).total_seconds()))
            if run.is_first_of_schedule:
                late = (run.started_at - run.scheduled_for).total_seconds()
                self._lateness.labels(job).observe(max(0.0, late))

    def _of_worker(self, worker: OpenClawWorker, wellness: Wellness) -> None:
        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"ocs_{name}", what, registry=self.registry)

        gauge("worker_runs_executing", "Runs that this worker executes.").set_function(lambda: worker.executing)
        gauge("worker_draining", "1 while it takes nothing new.").set_function(lambda: worker.is_draining)
        gauge("well", "1 while the scheduler is well, as /ready says.").set_function(lambda: not wellness.against)
        if worker.limit is not None:
            gauge("worker_slots", "Runs that this worker may execute at the same time.").set(worker.limit)
        build = Gauge("ocs_build_info", "Versions.", ("version", "prefect"), registry=self.registry)
        build.labels(version("prefect-openclaw"), version("prefect")).set(1)


class Snapshot(Collector):
    """The figures of the last look as metrics; none before the first."""

    def __init__(self, labels: Labels) -> None:
        self.figures: Figures | None = None
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """Every figure; ages of nothing are 0."""
        found = self.figures
        if found is None:
            return
        yield _one("snapshot_timestamp_seconds", "When the store was asked last.", found.at.timestamp())
        yield _by("queue_dispatches", "Dispatches that are no runs yet.", "status", found.queue)
        yield _one("queue_oldest_age_seconds", "How long the oldest of them has been there.", found.queue_oldest)
        yield _one("outbox_oldest_age_seconds", "How long the oldest waits to be sent to Prefect.", found.outbox_oldest)
        yield _one("runs_running", "Runs that have not ended.", found.running)
        yield _one("leases_run_out", "Runs whose lease has run out.", found.leases_run_out)
        yield _by("deliveries", "Messages to people.", "status", found.deliveries)
        yield _one("delivery_oldest_age_seconds", "How long the oldest waits to be sent.", found.delivery_oldest)
        yield _one("approvals_waiting", "Runs that wait for somebody's decision.", found.approvals)
        yield _by("incidents_open", "Jobs that are not well, by trouble.", "trouble", found.incidents)
        yield from self._of_jobs(found)

    def _of_jobs(self, found: Figures) -> Iterator[Metric]:
        succeeded = GaugeMetricFamily(
            "ocs_job_last_success_timestamp_seconds", "When the job succeeded last.", labels=("job",)
        )
        failures = GaugeMetricFamily("ocs_job_failures_in_a_row", "Failures since its last success.", labels=("job",))
        for job_id, job in found.jobs.items():
            if (label := self._labels.of(job_id)) == OTHER:
                continue
            if job.last_ok_at is not None:
                succeeded.add_metric((label,), job.last_ok_at.timestamp())
            failures.add_metric((label,), job.failures_in_a_row)
        yield from (succeeded, failures)


def _one(name: str, what: str, value: float | None) -> Metric:
    return GaugeMetricFamily(f"ocs_{name}", what, value=value or 0)


def _by(name: str, what: str, label: str, counted: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"ocs_{name}", what, labels=(label,))
    for key, number in counted.items():
        family.add_metric((key,), number)
    return family
