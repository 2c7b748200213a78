"""`ocs secrets`: the Secret blocks whose values jobs get in their environment. No value is an argument, or shown."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

import typer

from ocs.cli.arguments import SecretName
from ocs.cli.care import Yes, ask
from ocs.cli.person import person
from ocs.cli.render.output import Mode, answer, say, table, tell
from ocs.errors import NotFound, Refused, UsageError
from ocs.service import session
from ocs.spec import is_slug

app = typer.Typer()
LARGEST = 1_000_000


@app.command("set", epilog="Example:  ocs secrets set pg-report --file password.txt")
def set_secret(
    name: SecretName,
    file: Annotated[Path | None, typer.Option(help="Read the value from this file.")] = None,
) -> None:
    """Make a secret, or change the one of that name: its value is asked for, or read from standard input or a file."""
    if not is_slug(name):
        raise UsageError(
            f'"{name}" cannot be a secret\'s name.', hint="Use small letters, digits and dashes: pg-report"
        )
    value = _value(file)

    async def saved() -> None:
        async with session.server():
            from prefect.blocks.system import Secret

            await cast("Awaitable[UUID]", Secret(value=value).save(name, overwrite=True))  # pyright: ignore
            await _audit("secret-saved", name)

    session.run(saved())
    jobs = named_by(name)
    answer({"secret": {"name": name, "jobs": jobs}}, lambda: say(f"{name} is set.  {_use(name, jobs)}"))


@app.command("list", epilog="Example:  ocs secrets list")
def list_secrets() -> None:
    """List the secrets by name, and the jobs of this project that name them."""

    from ocs.service.secrets import all_secrets

    async def found() -> list[str]:
        async with session.server() as client:
            return await all_secrets(client)

    secrets = [{"name": name, "jobs": named_by(name)} for name in session.run(found())]

    def people() -> None:
        if not secrets:
            say("There are no secrets yet. Make one:  ocs secrets set pg-report")
            return
        table(("SECRET", "NAMED BY"), [(each["name"], ", ".join(each["jobs"])) for each in secrets])

    answer({"secrets": secrets}, people)


@app.command(epilog="Example:  ocs secrets remove pg-report --yes")
def remove(name: SecretName, yes: Yes = False) -> None:
    """Delete a secret."""

    from ocs.service.secrets import all_secrets

    jobs = named_by(name)
    ask(f"Remove {name}" + (f", which {', '.join(jobs)} need" if jobs else "") + "?", yes=yes)

    async def removed() -> None:
        async with session.server() as client:
            from prefect.blocks.system import Secret

            there = await all_secrets(client)
            if name not in there:
                known = f"There are: {', '.join(there)}." if there else "There are none yet."
                raise NotFound(f'There is no secret "{name}".', hint=known)
            await Secret.adelete(name)  # pyright: ignore[reportUnknownMemberType]
            await _audit("secret-removed", name)

    session.run(removed())
    if jobs:
        tell(f"These jobs still name it: {', '.join(jobs)}.")
    answer({"secret": {"name": name, "jobs": jobs}}, lambda: say(f"Removed {name}."))


def named_by(name: str) -> list[str]:
    """The jobs of the project one stands in that name it."""

    from ocs.service.secrets import secrets_of

    if not session.has_project():
        return []
    return sorted(job.id for job in session.catalogue().jobs.values() if name in secrets_of(job))


def _value(file: Path | None) -> str:
    """Without the end of the last line, which editors and echo add."""
    if file is None and sys.stdin.isatty() and not Mode.json:
        return _not_empty(typer.prompt("Its value", hide_input=True, confirmation_prompt=True, err=True))
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file is None else file.read_bytes()
        text = data.decode()
    except OSError as failed:
        raise NotFound(f"{file} cannot be read: {failed.strerror}.") from failed
    except UnicodeDecodeError:
        raise Refused("The value is not UTF-8 text.", hint="Give it as base64, and decode it in the job.") from None
    if len(data) > LARGEST:
        raise Refused(f"The value is larger than {LARGEST:,} bytes.")
    return _not_empty(text.removesuffix("\n").removesuffix("\r"))


def _not_empty(value: str) -> str:
    if not value:
        raise Refused("The value is empty; nothing was saved.")
    return value


def _use(name: str, jobs: list[str]) -> str:
    if jobs:
        return f"It is for {', '.join(jobs)}."
    return f"Give it to a job: ocs jobs edit JOB --set run.shell.secrets.PASSWORD={name}"


async def _audit(action: str, name: str) -> None:
    from ocs.store.audit import record

    async with session.store() as store, store.transaction() as rows:
        record(rows, action, by=person(), after={"secret": name})
