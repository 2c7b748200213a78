"""`ocs tasks`: trackers, which end with their last member, tell it once, and start what comes next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import Receivers, Tells, TrackerName, duration_of
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.errors import OcsError, UsageError
from ocs.rules.tasks import targets_of
from ocs.rules.trackers import DEFAULT_TIMEOUT, MemberStatus, ThenOn, checked_timeout, checked_tracker
from ocs.rules.wording import SHORT, count_of, first_line, local, utc
from ocs.service import session, trackers

if TYPE_CHECKING:
    from ocs.store import Store

app = typer.Typer()
Member = Annotated[str, typer.Argument(help="The member's label.")]
Members = Annotated[list[str] | None, typer.Option("--member", "-m", help="A member's label. Repeatable.")]
NO_RECEIVER = "Who hears of its end? Give --to, --tell or --quiet."
TIMEOUT = "By when all have begun (2h unless given); who sends no heartbeat for five minutes is dead then."


class NotCompleted(OcsError):
    """A tracker has ended, and not all of its members have completed."""

    code = "not_completed"


@app.command("list", epilog="Example:  ocs tasks list --open")
def list_trackers(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    team: Annotated[str | None, typer.Option(help="Only the gates of this team.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List trackers, newest first: how each stands, and how many of its members have ended."""
    views = session.run(_in_store(lambda store: trackers.listed(store, only_open=only_open, team=team, limit=count)))

    def people() -> None:
        if not views:
            say("No tracker.  Make one: ocs tasks create release --member writer --member tester --to ops")
            return
        rows = [
            (view["name"], view["status"], _ended(view), view["team"], view["then"], local(utc(view["created_at"])))
            for view in views
        ]
        table(("TRACKER", "STATUS", "ENDED", "TEAM", "THEN", "SINCE"), rows, spare=("SINCE", "TEAM"))

    answer({"trackers": views}, people)


@app.command(epilog="Example:  ocs tasks show release")
def show(tracker: TrackerName) -> None:
    """Show a tracker: how each member stands, until when, who hears of its end, and what runs next."""
    _answered(session.run(_in_store(lambda store: trackers.view(store, tracker))), show_tracker)


@app.command(epilog="Example:  ocs tasks create release -m writer -m tester --then publish --to ops --timeout 2h")
def create(
    tracker: TrackerName,
    *,
    member: Members = None,
    team: Annotated[
        str | None, typer.Option(help="Whose gate it is; its members are the team's, unless you name some.")
    ] = None,
    to: Receivers = None,
    tell_agent: Tells = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Tell nobody.")] = False,
    then: Annotated[str | None, typer.Option(help="The job that runs when all have ended.")] = None,
    on: Annotated[ThenOn, typer.Option(help="At which end that job runs.")] = ThenOn.SUCCESS,
    timeout: Annotated[str | None, typer.Option(help=TIMEOUT)] = None,
) -> None:
    """Make a tracker of members: tasks join it with ocs dispatch start --track, others send heartbeats."""
    from ocs.store.membership import NewTracker

    if not (to or tell_agent or quiet):
        raise UsageError(NO_RECEIVER)
    if quiet and (to or tell_agent):
        raise UsageError("--quiet tells nobody; take it out, or --to and --tell.")
    lasts = checked_timeout(duration_of("--timeout", timeout) if timeout is not None else DEFAULT_TIMEOUT)
    new = NewTracker(
        name=checked_tracker(tracker),
        members=tuple(member or ()),
        targets=targets_of(to or (), tell_agent or ()),
        then_job=then,
        then_on=on,
        deadline_at=session.now() + lasts,
        team=team,
    )
    view = session.run(_in_store(lambda store: trackers.create(store, new, by=person())))
    _answered(
        view,
        lambda _: say(f"Made {view['name']} with {count_of(len(view['members']), 'member')}, until {_until(view)}."),
    )


@app.command(epilog="Example:  ocs tasks add release translator")
def add(tracker: TrackerName, members: Annotated[list[str], typer.Argument(help="Their labels.")]) -> None:
    """Add members to an open tracker."""
    view = session.run(_in_store(lambda store: trackers.add(store, tracker, members, by=person())))
    _answered(view, lambda _: say(f"{tracker} has {count_of(len(view['members']), 'member')}."))


@app.command(epilog="Example:  ocs tasks heartbeat release tester")
def heartbeat(tracker: TrackerName, member: Member) -> None:
    """Say that a member works: the first time it begins. Tasks need none."""
    view = session.run(_in_store(lambda store: trackers.heartbeat(store, tracker, member, by=person())))
    _answered(view, lambda _: say(f"{member} is running."))


Message = Annotated[str | None, typer.Option("--message", help="What it has to say.")]


@app.command(epilog="Example:  ocs tasks done release tester --message 'All 212 tests pass.'")
def done(tracker: TrackerName, member: Member, message: Message = None) -> None:
    """Say that a member has completed. Tasks end with their runs."""
    _end(tracker, member, MemberStatus.COMPLETED, message)


@app.command(epilog="Example:  ocs tasks fail release tester --message 'The build is broken.'")
def fail(tracker: TrackerName, member: Member, message: Message = None) -> None:
    """Say that a member has failed. Tasks end with their runs."""
    _end(tracker, member, MemberStatus.FAILED, message)


def _end(tracker: str, member: str, ended: MemberStatus, message: str | None) -> None:
    view = session.run(
        _in_store(lambda store: trackers.end_member(store, tracker, member, ended, message=message, by=person()))
    )
    _answered(view, lambda _: say(f"{member} has {ended}. {tracker} is {view['status']}, {_ended(view)} have ended."))


@app.command(epilog="Example:  ocs tasks close release --reason 'The release was called off.'")
def close(
    tracker: TrackerName, reason: Annotated[str | None, typer.Option(help="Why; told with its end.")] = None
) -> None:
    """End a tracker before its members have. Its tasks go on, and no job follows."""
    view = session.run(_in_store(lambda store: trackers.close(store, tracker, why=reason, by=person())))
    _answered(view, lambda _: say(f"{tracker} is closed; its tasks go on."))


@app.command(epilog="Example:  ocs tasks wait release")
def wait(tracker: TrackerName) -> None:
    """Wait until a tracker has ended. Ends with status 1 unless all of its members have completed."""
    view = session.run(_in_store(lambda store: trackers.wait(store, tracker)))
    _answered(view, show_tracker)
    if view["status"] != "completed":
        raise typer.Exit(NotCompleted.exit_status)


def show_tracker(view: dict[str, Any]) -> None:
    """A tracker with its members, for people."""
    say(f"{view['name']}  {view['status']}" + (f"  (gate of {view['team']}: {view['gate']})" if view["team"] else ""))
    then = f"{view['then']}, on {view['then_on']}" if view["then"] else None
    facts = {
        "members": f"{_ended(view)} have ended",
        "until": _until(view) if view["status"] == "open" else None,
        "ended": local(utc(view["ended_at"])) if view["ended_at"] else None,
        "tells": ", ".join(view["to"]),
        "then": then,
        "made by": f"{view['created_by']}, {local(utc(view['created_at']))}",
    }
    for name, value in facts.items():
        if value:
            say(f"  {name + ':':12}{value}")
    rows = [
        (
            each["label"],
            each["status"],
            (each["run"] or "")[:SHORT],
            local(utc(each["ended_at"] or each["heard_at"])),
            first_line(each["doing"] or each["message"]),
        )
        for each in view["members"]
    ]
    table(("MEMBER", "STATUS", "RUN", "AT", ""), rows)


def _until(view: dict[str, Any]) -> str:
    return local(utc(view["deadline_at"])) if view["deadline_at"] else "all have ended"


def _ended(view: dict[str, Any]) -> str:
    ended = sum(MemberStatus(each["status"]).ended for each in view["members"])
    return f"{ended} of {len(view['members'])}"


def _answered(view: dict[str, Any], people: Callable[[dict[str, Any]], None]) -> None:
    answer({"tracker": view}, lambda: people(view))


async def _in_store(do: Callable[[Store], Awaitable[Any]]) -> Any:
    async with session.store() as store:
        return await do(store)
