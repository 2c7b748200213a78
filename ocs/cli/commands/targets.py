"""`ocs targets`: whom jobs tell how they ended. The same blocks are edited in the Prefect UI."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID, uuid4

import typer

from ocs.cli.arguments import TargetName, target_names
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import NotFound, OcsError, Problem, Refused, UsageError
from ocs.service import session

if TYPE_CHECKING:
    from pydantic import ValidationError

    from blocks.target import DeliveryTarget

app = typer.Typer()
FROM_INPUT = "-"
LONGEST_LINE = 100_000


@app.command("list", epilog="Example:  ocs targets list")
def list_targets() -> None:
    """List the targets, and the jobs of this project that name them."""

    async def found() -> list[dict[str, Any]]:
        async with session.server() as client:
            from blocks.targets import all_targets

            return [_view(name, target) for name, target in (await all_targets(client)).items()]

    targets = session.run(found())

    def people() -> None:
        if not targets:
            say("There are no targets yet. Make one:  ocs targets add ops --to telegram:12345")
            return
        rows = [(each["name"], each["kind"], each["where"], ", ".join(each["jobs"]), each["note"]) for each in targets]
        table(("TARGET", "KIND", "WHERE", "NAMED BY", ""), rows)

    answer({"targets": targets}, people)


@app.command(epilog="Example:  ocs targets add ops --to telegram:12345 --note 'The team chat'")
def add(
    name: TargetName,
    to: Annotated[str | None, typer.Option("--to", help="A chat of the OpenClaw gateway: channel:target.")] = None,
    webhook: Annotated[str | None, typer.Option(help="A webhook's URL; - reads it from standard input.")] = None,
    secret_env: Annotated[
        str | None, typer.Option(help="The environment variable that holds the secret which signs a webhook.")
    ] = None,
    block: Annotated[str | None, typer.Option(help="A notification block of Prefect: slack-webhook/ops.")] = None,
    apprise: Annotated[
        str | None, typer.Option(help="An address of Apprise, such as tgram://...; - reads it from standard input.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="A kind that an installed package brings; with --url.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Where a target of such a kind is; - reads it from standard input.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="For people: who this is.")] = None,
) -> None:
    """Make a target, or change the one of that name."""
    if sum(given is not None for given in (to, webhook, block, apprise, kind)) != 1 or (url and not kind):
        one_of = "Give exactly one of --to, --webhook, --block, --apprise, and --kind with --url."
        raise UsageError(one_of, hint="ocs targets add --help")
    _check_name(name)
    secret = _secret(secret_env) if secret_env else None
    chosen = {"kind": kind, "url": _read(url)} if kind else _fields(to, _read(webhook), block, _read(apprise))
    fields = {**chosen, "secret": secret, "note": note}

    async def saved() -> dict[str, Any]:
        async with session.server() as client:
            from blocks.targets import all_targets

            target = _checked(fields)
            before = (await all_targets(client)).get(name)
            await cast("Awaitable[UUID]", target.save(name, overwrite=True))
            await _audit("target-saved", name, before=before, after=target)
            return _view(name, target)

    view = session.run(saved())
    answer(
        {"target": view},
        lambda: say(f"{name} goes to {view['where']} ({view['kind']}). Try it: ocs targets test {name}"),
    )


@app.command(epilog="Example:  ocs targets remove ops")
def remove(name: TargetName) -> None:
    """Delete a target. What waits to be sent to it waits for one of the same name."""

    async def removed() -> dict[str, Any]:
        async with session.server() as client:
            from blocks.target import DeliveryTarget
            from blocks.targets import all_targets

            there = await all_targets(client)
            if name not in there:
                hint = f"There are: {', '.join(there)}." if there else "There are none yet: ocs targets add --help"
                raise NotFound(f'There is no target "{name}".', hint=hint)
            await DeliveryTarget.adelete(name)
            await _audit("target-removed", name, before=there[name], after=None)
            return _view(name, there[name])

    view = session.run(removed())
    if view["jobs"]:
        tell(f"These jobs still name it: {', '.join(view['jobs'])}.")
    answer({"target": view}, lambda: say(f"Removed {name}."))


@app.command("test", epilog="Example:  ocs targets test ops")
def try_out(
    target: Annotated[
        str, typer.Argument(help="A target, channel:target, or a notification block.", autocompletion=target_names)
    ],
    image: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Send this image after it, as a job's would be.")
    ] = None,
) -> None:
    """Send a message to a target now, and say whether it arrived."""
    from ocs.spec.target import address

    try:
        address(target)
    except ValueError as wrong:
        raise UsageError(f"The target {wrong}.") from wrong

    async def sent() -> None:
        async with session.server():
            from blocks.connections import close_connections
            from blocks.target import transport_to
            from blocks.transport import Part

            text = f"A test of the target {target}, asked for by {session.user()}."
            try:
                transport = await transport_to(target)
                if image and not transport.takes_images:
                    raise UsageError(f"{target} takes no images; there a message says where its images are.")
                parts = [(text, None), *([(image.name, image)] if image else [])]
                for number, (said, attached) in enumerate(parts, start=1):
                    await transport.send(
                        Part(f"{uuid4()}-{number}", "ocs: a test", said, attached, about={"kind": "test"})
                    )
            finally:
                await close_connections()

    session.run(sent())
    answer({"target": target, "sent": True}, lambda: say(f"{target} took the {'messages' if image else 'message'}."))


def _fields(to: str | None, webhook: str | None, block: str | None, apprise: str | None) -> dict[str, Any]:
    if to is not None and to.startswith(("http://", "https://")):
        raise UsageError("--to names a chat, and this is the address of a webhook.", hint="Give it as --webhook.")
    if to is not None:
        channel, _, recipient = to.partition(":")
        return {"kind": "gateway", "channel": channel, "recipient": recipient}
    if webhook is not None:
        return {"kind": "webhook", "url": webhook}
    return {"kind": "notification", "block": block} if block is not None else {"kind": "apprise", "url": apprise}


def _checked(fields: dict[str, Any]) -> DeliveryTarget:
    from pydantic import ValidationError

    from blocks.kind import KINDS
    from blocks.target import DeliveryTarget

    KINDS.get(fields["kind"])
    try:
        return DeliveryTarget(**fields)
    except ValidationError as invalid:
        raise _refusal(invalid) from invalid


def _refusal(invalid: ValidationError) -> OcsError:
    problems = [
        Problem(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
        for each in invalid.errors(include_input=False, include_url=False)
    ]
    return Refused("Such a target cannot work; nothing was changed.", problems=problems)


def _check_name(name: str) -> None:
    from ocs.spec.target import Named, address

    try:
        found = address(name)
    except ValueError:
        found = None
    if not isinstance(found, Named) or found.name != name:
        raise UsageError(f'"{name}" cannot be a target\'s name.', hint="Use small letters, digits and dashes: ops-room")


def _read(given: str | None) -> str | None:
    if given != FROM_INPUT:
        return given
    try:
        return sys.stdin.buffer.readline(LONGEST_LINE).decode().strip()
    except UnicodeDecodeError:
        raise Refused("What stands on standard input is not UTF-8 text.", hint="Type it as UTF-8.") from None


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise UsageError(f"The environment variable {variable} is not set, or empty.")
    return value


async def _audit(action: str, name: str, *, before: DeliveryTarget | None, after: DeliveryTarget | None) -> None:
    from ocs.store.audit import record

    def shown(target: DeliveryTarget | None) -> dict[str, str] | None:
        return {"target": name, "kind": target.kind, "where": target.where} if target else None

    async with session.store() as store, store.transaction() as rows:
        record(
            rows,
            action,
            by=person(),
            before=shown(before),
            after=shown(after),
        )


def _view(name: str, target: DeliveryTarget | None) -> dict[str, Any]:
    if target is None:
        about = {"kind": None, "where": "incomplete; edit it in the Prefect UI", "note": None}
    else:
        about = {"kind": target.kind, "where": target.where, "note": target.note or None}
    return {"name": name, **about, "jobs": _named_by(name)}


def _named_by(name: str) -> list[str]:
    jobs = session.catalogue().jobs.values() if session.has_project() else ()
    return sorted(job.id for job in jobs if job.deliver and name in job.deliver.named)
