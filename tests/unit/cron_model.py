"""A second cron, for tests: five fields, asked day by day and minute by minute; how a line is run. Small and slow."""

# ruff: noqa: DTZ001  clocks on the wall have no zone

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

NAMES = {
    name: str(number)
    for names, low in (("jan feb mar apr may jun jul aug sep oct nov dec", 1), ("sun mon tue wed thu fri sat", 0))
    for number, name in enumerate(names.split(), start=low)
}
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def wall_times(expression: str, after: datetime, days: int) -> Iterator[datetime]:
    """When cron runs five fields in so many days, by a clock that is never set."""
    written = expression.lower().split()
    minute, hour, day, month, weekday = (
        set[int]().union(*(values(item, *bounds) for item in field.split(",")))
        for field, bounds in zip(written, BOUNDS, strict=True)
    )
    either = not written[2].startswith("*") and not written[4].startswith("*")
    midnight = datetime(after.year, after.month, after.day)
    for today in (midnight + timedelta(days=number) for number in range(days)):
        in_month, in_week = today.day in day, today.isoweekday() % 7 in weekday
        if today.month in month and (in_month or in_week if either else in_month and in_week):
            for minutes in range(1440):
                moment = today + timedelta(minutes=minutes)
                if moment > after and moment.hour in hour and moment.minute in minute:
                    yield moment


def values(item: str, low: int, high: int) -> set[int]:
    """From the first value on round the field to the last, each so many steps from the one before."""
    span, _, step = item.partition("/")
    first, dash, last = (f"{low}-{high}" if span == "*" else span).partition("-")
    start = int(NAMES.get(first, first))
    end = int(NAMES.get(last, last)) if dash else high if step else start
    size = high - low + 1
    length = (end - start) if end >= start else (end - start) % size
    return {(start - low + passed) % size + low for passed in range(0, length + 1, int(step or 1))}


@dataclass(frozen=True)
class Line:
    """An entry of a crontab as cron keeps it: five fields, what the shell is given, and the variables set above it."""

    fields: str
    command: str
    stdin: str
    variables: Mapping[str, str]


def lines(crontab: str) -> list[Line]:
    """The entries of a crontab that has no mistakes."""
    found: list[Line] = []
    variables: dict[str, str] = {}
    for line in crontab.splitlines():
        name, sign, value = line.partition("=")
        if sign and name.isidentifier():
            variables = {**variables, name: value.strip("\"'")}
        elif line and not line.startswith("#"):
            count = 1 if line.startswith("@") else 5
            *fields, rest = line.removeprefix("-").split(maxsplit=count)
            command, stdin = command_and_input(rest)
            written = " ".join(fields).lower()
            found.append(Line(NICKNAMES.get(written, written), command, stdin, variables))
    return found


def command_and_input(text: str) -> tuple[str, str]:
    """The command and its standard input, character by character: a bare % ends a line."""
    command, at = "", 0
    while at < len(text) and text[at] != "%":
        escaped = text[at] == "\\" and at + 1 < len(text)
        command += "%" if text[at : at + 2] == "\\%" else text[at : at + 1 + escaped]
        at += 1 + escaped
    stdin = re.sub(r"(?<!\\)%", "\n", text[at + 1 :]).replace("\\%", "%")
    return command, stdin + "\n" if stdin and not stdin.endswith("\n") else stdin


async def run(line: Line, user: str, home: str) -> tuple[int, str]:
    """Run it as cron does: in the home folder, with the little that cron sets, and what stands in the crontab."""
    variables = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "HOME": home, **line.variables, "LOGNAME": user}
    shell = variables["SHELL"]
    process = await asyncio.create_subprocess_exec(
        shell, "-c", line.command, cwd=variables["HOME"], env=variables, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate(line.stdin.encode())
    return process.returncode or 0, said.decode().strip()
