"""The installed `ocs` as a person has it: a process of its own, in a folder and an OCS_HOME of the test's own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cli.forked import Mother

OCS = Path(sys.executable).with_name("ocs")
PATIENCE = 120
READ_AT_THE_START = ("PYTHON", "LC_")
"""Where the names of variables begin that an interpreter heeds only when it starts."""


@dataclass(frozen=True)
class Said:
    """What a call left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on standard output; a second one, or anything beside it, is an error."""
        return json.loads(self.out)


def inherited() -> dict[str, str]:
    """The environment of the tests, without what `ocs` heeds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    return {name: value for name, value in kept.items() if name not in ("COLUMNS", "NO_COLOR")}


@dataclass
class Ocs:
    """Calls `ocs` in `folder`: forked where there is a mother, or as a program."""

    folder: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)
    mother: Mother | None = None

    @property
    def program(self) -> Path:
        """What a process of its own executes."""
        return OCS if self.mother is None else self.mother.program

    def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Said:
        if self.mother is not None and not any(name.startswith(READ_AT_THE_START) for name in env):
            return Said(*self.mother.call(arguments, cwd=self.folder, env=self.environment(**env), stdin=stdin))
        ended = subprocess.run(
            [OCS, *arguments],
            cwd=self.folder,
            env=self.environment(**env),
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def at_terminal(self, *arguments: str, typed: str = "", **env: str) -> Said:
        """The same with a terminal as standard input, on which somebody types."""
        master, terminal = pty.openpty()
        try:
            os.write(master, typed.encode())
            ended = subprocess.run(
                [self.program, *arguments],
                cwd=self.folder,
                env=self.environment(**env),
                stdin=terminal,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            os.close(master)
            os.close(terminal)
        return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    @contextmanager
    def started(self, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """The same without waiting for its end; ended for good with the context."""
        with subprocess.Popen(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The answer of a call that ends with that status."""
        said = self("--json", *arguments)
        assert said.status == status, f"{arguments}: {said}"
        answer = said.json
        assert answer["ok"] is (status == 0)
        return answer

    def write(self, job_id: str, text: str) -> Path:
        """A job's file as somebody typed it."""
        path = self.folder / "deployments" / "jobs" / f"{job_id}.yaml"
        path.write_text(text)
        return path

    def environment(self, **changes: str) -> dict[str, str]:
        # Nothing may be written to the home of whoever runs the tests.
        ours = {"OCS_HOME": str(self.home), "HOME": str(self.home.parent), "DO_NOT_TRACK": "1", "TZ": "Europe/Vienna"}
        return {**inherited(), **ours, "PREFECT_HOME": str(self.home / "client"), **self.env, **changes}
