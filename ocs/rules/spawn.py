"""Spawn: whether a run may start what it asks for. One rule, whichever way it asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from ocs.errors import Problem
from ocs.rules.spawn_jobs import of_job
from ocs.rules.tasks import INBOX, Wish
from ocs.rules.wording import count_of
from ocs.spec.spawn import MOST_OPEN, Spawn

if TYPE_CHECKING:
    from ocs.spec import Job

RUN_TOKEN = "OCS_RUN_TOKEN"  # noqa: S105  the variable's name
"""The environment variable by which a run that may start others says which one it is."""
NARROWER = ("max_open", "per_hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A run that asks for others.

    `root_run` is where its line of descent began: the first attempt of a run that no run has started. `lineage` are
    the jobs from there down to its own. `depth_left` says how many generations may still follow, `grant` what its job
    may start (None: nothing), `tells` whom the job tells of its own runs. What it starts changes nothing if it is
    `read_only` itself.
    """

    run_id: UUID
    root_run: UUID
    lineage: tuple[str, ...]
    depth_left: int
    grant: Spawn | None
    tells: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def job_id(self) -> str:
        """Its job."""
        return self.lineage[-1]

    @property
    def root_job(self) -> str:
        """The job whose limits all descendants share."""
        return self.lineage[0]


@dataclass(frozen=True, slots=True)
class Counted:
    """What is open, and was started within the last hour, by runs of the asker's root job; and open by those of all."""

    open_of_job: int
    in_the_hour: int
    open_of_all: int


def label_of(wanted: Wish | Job) -> str | None:
    """By what the child is known: a task's label, the id of a job that a run makes."""
    return wanted.label if isinstance(wanted, Wish) else wanted.id


def objections(asker: Asker, wanted: Sequence[Wish | Job], counted: Counted) -> list[Problem]:
    """Everything that stands against starting these; nothing of them is started then."""
    if (grant := asker.grant) is None:
        return [Problem("spawn", f"{asker.job_id} may start nothing: its job document has no spawn.")]
    found = [problem for each in wanted for problem in _of_one(asker, grant, each)]
    return [*_of_depth(asker), *found, *_of_number(asker, grant, len(wanted), counted)]


def _of_one(asker: Asker, grant: Spawn, wanted: Wish | Job) -> Iterator[Problem]:
    if isinstance(wanted, Wish):
        yield from _of_wish(asker, grant, wanted)
        yield from _of_targets(asker, wanted.to)
    else:
        yield from of_job(wanted, grant, read_only=asker.read_only)
        yield from _of_targets(asker, wanted.deliver.named if wanted.deliver else ())


def _of_depth(asker: Asker) -> Iterator[Problem]:
    if asker.depth_left < 1:
        line = " <- ".join(reversed(asker.lineage))
        yield Problem("spawn.depth", f"This task may not start others: spawn.depth is used up ({line}).")


def _of_wish(asker: Asker, grant: Spawn, wish: Wish) -> Iterator[Problem]:
    if wish.label is None:
        yield Problem("label", "is missing; by it the task is found when the run asks again after a crash or a retry")
    if wish.template not in grant.may:
        known = f"; it may start {', '.join(grant.may)}" if grant.may else ""
        yield Problem("as", f'{asker.job_id} may not start "{wish.template}"{known}')
    if wish.agent is not None and grant.jobs == "none":
        yield Problem("agent", "is the template's; to name another one the job needs spawn.jobs: agent")
    if wish.check is not None:
        yield Problem("check", "is a shell command, and a task that a run starts brings none; put it in the template")
    if wish.key is not None:
        yield Problem("key", "is for people: a task that a run starts is known by its label")
    if wish.goes_on_with is not None:
        yield Problem("continue", "is for people: a task that a run starts has a conversation of its own")
    if wish.pool is not None:
        yield Problem("pool", "is the template's; a task that a run starts waits where the template says")


def _of_targets(asker: Asker, targets: Sequence[str]) -> Iterator[Problem]:
    for target in targets:
        if _is_address(target) and target not in asker.tells:
            yield Problem("to", f'"{target}" is an address; name a target (ocs targets list), or tell an agent')


def _of_number(asker: Asker, grant: Spawn, more: int, counted: Counted) -> Iterator[Problem]:
    job = asker.root_job
    if counted.open_of_job + more > grant.max_open:
        are_open = count_of(counted.open_of_job, "open task")
        yield Problem("spawn.max_open", f"{job} has {are_open}, and spawn.max_open is {grant.max_open}.")
    if counted.in_the_hour + more > grant.per_hour:
        started = f"{counted.in_the_hour} within the last hour"
        yield Problem("spawn.per_hour", f"{job} has started {started}, and spawn.per_hour is {grant.per_hour}.")
    if counted.open_of_all + more > MOST_OPEN:
        are_open = f"{counted.open_of_all} that runs have started are open, of all jobs together"
        yield Problem("spawn", f"{are_open}, and {MOST_OPEN} are allowed.")


def _is_address(target: str) -> bool:
    return (":" in target or "/" in target) and not target.startswith(f"{INBOX}:")


def as_child(document: dict[str, Any], asker: Asker) -> dict[str, Any]:
    """The document of a task as a run's child runs it: it changes nothing where its parent may not, and may start no
    more than that."""
    found = dict(document)
    run = cast("dict[str, Any]", found["run"])
    if asker.read_only and "agent" in run:
        found["run"] = {**run, "agent": {**run["agent"], "read_only": True}}
    own = cast("dict[str, Any] | None", found.get("spawn"))
    if own is not None and asker.grant is not None:
        mine = Spawn.model_validate(own)
        limits = {name: min(getattr(mine, name), getattr(asker.grant, name)) for name in NARROWER}
        found["spawn"] = {**own, **limits}
    return found


def longer_than(template: Job, job: Job) -> list[Problem]:
    """What a task that a run starts may not extend."""
    return [Problem("timeout", "is longer than the template's")] if job.run.timeout > template.run.timeout else []
