"""Arguments that many commands share, and how a shell completes them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from ocs import settings
from ocs.errors import UsageError
from ocs.service import session
from ocs.service.moments import moment
from ocs.spec import parse_duration

if TYPE_CHECKING:
    from ocs.store import Store

T = TypeVar("T")
OFFERED = 50


def _beginning(incomplete: str, names: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Those of the names that begin so; completion never disturbs what one types."""
    with contextlib.suppress(Exception):
        yield from (name for name in names() if name.startswith(incomplete))


def _job_ids(incomplete: str) -> Iterator[str]:
    def ids() -> list[str]:
        return sorted(path.stem for path in (settings.project_dir() / "deployments" / "jobs").glob("*.y*ml"))

    yield from _beginning(incomplete, ids)


def _tags(incomplete: str) -> Iterator[str]:
    def tags() -> list[str]:
        return sorted({tag for job in session.catalogue().jobs.values() for tag in job.tags})

    yield from _beginning(incomplete, tags)


def target_names(incomplete: str) -> Iterator[str]:
    """The delivery targets that begin so."""
    yield from _blocks("delivery-target", incomplete)


def _secrets(incomplete: str) -> Iterator[str]:
    yield from _blocks("secret", incomplete)


def _blocks(kind: str, incomplete: str) -> Iterator[str]:
    def names() -> Iterable[str]:
        from ocs.service import plainly

        return plainly.blocks(kind)

    yield from _beginning(incomplete, names)


def _pools(incomplete: str) -> Iterator[str]:
    def pools() -> list[str]:
        return sorted({job.limits.pool for job in session.catalogue().jobs.values() if job.limits.pool})

    yield from _beginning(incomplete, pools)


def _explained(incomplete: str, read: Callable[[Store], Awaitable[list[tuple[str, str]]]]) -> Iterator[tuple[str, str]]:
    """As `_beginning`, of what comes with an explanation."""
    with contextlib.suppress(Exception):
        yield from (offer for offer in session.run(_in_store(read)) if offer[0].startswith(incomplete))


def _run_ids(incomplete: str) -> Iterator[tuple[str, str]]:
    yield from _explained(incomplete, _newest_runs)


async def _newest_runs(store: Store) -> list[tuple[str, str]]:
    from ocs.store import queries

    return [(str(run.id), f"{run.job_id} {run.status}") for run in await queries.runs(store, limit=OFFERED)]


def _trackers(incomplete: str) -> Iterator[str]:
    yield from _beginning(incomplete, lambda: session.run(_in_store(_tracker_names)))


async def _tracker_names(store: Store) -> list[str]:
    from ocs.store import trackers

    return await trackers.names(store, limit=OFFERED)


def _teams(incomplete: str) -> Iterator[str]:
    yield from _beginning(incomplete, lambda: session.run(_in_store(_team_names)))


async def _team_names(store: Store) -> list[str]:
    from ocs.store import teams

    return list(await teams.teams(store))


def _agents(incomplete: str) -> Iterator[str]:
    yield from _beginning(incomplete, lambda: session.run(_in_store(_agent_ids)))


def _budgets(incomplete: str) -> Iterator[str]:
    yield from _beginning(incomplete, lambda: session.run(_in_store(_budget_names)))


async def _budget_names(store: Store) -> list[str]:
    from ocs.store import spending

    return [each.budget.name for each in await spending.standings(store, now=session.now())]


async def _agent_ids(store: Store) -> list[str]:
    from ocs.store import agents

    return [known.id for known in await agents.agents(store)]


def _callers(incomplete: str) -> Iterator[str]:
    yield from _beginning(incomplete, lambda: session.run(_in_store(_token_names)))


async def _token_names(store: Store) -> list[str]:
    from ocs.store import tokens

    return [token.name for token in await tokens.tokens(store)]


def _proposals(incomplete: str) -> Iterator[tuple[str, str]]:
    yield from _explained(incomplete, _open_proposals)


async def _open_proposals(store: Store) -> list[tuple[str, str]]:
    from ocs.store import proposals

    found = await proposals.proposals(store, open_only=True, limit=OFFERED)
    return [(str(each.id), f"{each.job_id}, by {each.proposed_by}") for each in found]


async def _in_store(read: Callable[[Store], Awaitable[list[T]]]) -> list[T]:
    if not session.has_store():
        return []
    async with session.store() as store:
        return await read(store)


JobId = Annotated[str, typer.Argument(help="The job's id, or the beginning of it.", autocompletion=_job_ids)]
SomeJobId = Annotated[str | None, typer.Argument(help="The job's id, or the beginning of it.", autocompletion=_job_ids)]
JobIds = Annotated[list[str] | None, typer.Argument(help="Only these jobs; by default all.", autocompletion=_job_ids)]
SomeJob = Annotated[str | None, typer.Option("--job", help="Only of this job.", autocompletion=_job_ids)]
SomeWholeJobId = Annotated[str | None, typer.Argument(help="The job's whole id.", autocompletion=_job_ids)]
Tag = Annotated[str | None, typer.Option("--tag", help="All jobs with this tag.", autocompletion=_tags)]
TargetName = Annotated[str, typer.Argument(help="Its name, as in deliver.to.", autocompletion=target_names)]
SecretName = Annotated[str, typer.Argument(help="Its name, as in run.shell.secrets.", autocompletion=_secrets)]
PoolName = Annotated[str, typer.Argument(help="Its name, as in limits.pool.", autocompletion=_pools)]
BudgetName = Annotated[str, typer.Argument(help="Its name, as ocs budgets list shows it.", autocompletion=_budgets)]
TrackerName = Annotated[str, typer.Argument(help="The tracker's name.", autocompletion=_trackers)]
TeamName = Annotated[str, typer.Argument(help="The team's name.", autocompletion=_teams)]
SomeAgent = Annotated[str | None, typer.Option("--agent", help="Only of this agent.", autocompletion=_agents)]
AgentName = Annotated[str, typer.Argument(help="The agent's id.", autocompletion=_agents)]
ProposalId = Annotated[
    str,
    typer.Argument(
        help="The proposal's id, or the beginning of it; or the job's, if one is open.", autocompletion=_proposals
    ),
]
CallerName = Annotated[str, typer.Argument(help="The caller's name.", autocompletion=_callers)]
Receivers = Annotated[
    list[str] | None,
    typer.Option("--to", help="Who hears of its end: ops, telegram:4711. Repeatable.", autocompletion=target_names),
]
Tells = Annotated[
    list[str] | None, typer.Option("--tell", help="An agent whose inbox gets it, such as main. Repeatable.")
]
RUN = "A run's id, or its dispatch's or flow run's, or the beginning of one; or a job, for its newest run."
RunId = Annotated[str | None, typer.Argument(help=RUN, autocompletion=_run_ids)]
Last = Annotated[bool, typer.Option("--last", help="The newest run of all.")]
NoDeploy = Annotated[bool, typer.Option("--no-deploy", help="Only write the file.")]
SETTING = "path=value, such as run.timeout=20m; null takes it away. Repeatable."
Settings = Annotated[list[str] | None, typer.Option("--set", help=SETTING)]


def settings_of(given: list[str] | None) -> dict[str, Any]:
    """What --set says, by dotted path.

    Raises:
        UsageError: something is not path=value.
    """
    return dict(_setting(text) for text in given or ())


def moment_of(since: str | None) -> datetime | None:
    """What --since says: so long ago, or a moment.

    Raises:
        UsageError: it is neither.
    """
    return moment("--since", since, -1) if since is not None else None


def end_of(expires: str | None) -> datetime | None:
    """What --expires says: so long from now, or a moment.

    Raises:
        UsageError: it is neither.
    """
    return moment("--expires", expires, 1) if expires is not None else None


def ack_of(within: str | None) -> datetime | None:
    """What --ack-within says: so long from now, or a moment.

    Raises:
        UsageError: it is neither.
    """
    return moment("--ack-within", within, 1) if within is not None else None


def duration_of(option: str, text: str) -> timedelta:
    """How long something lasts.

    Raises:
        UsageError: it is no duration.
    """
    try:
        return parse_duration(text)
    except (ValueError, OverflowError):
        raise UsageError(f'{option} "{text}": write 15m or 2h') from None


def lost_of(lost_at: str | None) -> datetime | None:
    """What --lost-at says: so long ago, or a moment.

    Raises:
        UsageError: it is neither.
    """
    return moment("--lost-at", lost_at, -1) if lost_at is not None else None


def _setting(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f'--set "{text}": write path=value, such as run.timeout=20m')
    return path, _value(value)


def _value(text: str) -> Any:
    """A number, yes or no, a list in brackets; whatever else is text, as typed."""
    from ruamel.yaml.error import YAMLError

    from deployments import yaml_text
    from deployments.yaml_bounds import TooMuch

    try:
        value: Any = yaml_text.load(text)
    except TooMuch as bomb:
        raise UsageError(f"--set: the value {yaml_text.problem_of(bomb, text).message}.") from bomb
    except YAMLError:
        return text
    plain = not isinstance(value, dict | list)
    return cast("Any", value) if plain or text.startswith(("{", "[")) else text
