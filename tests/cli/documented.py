"""Commands and jobs as documents show them, done as written."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cli.command import OCS, PATIENCE, Ocs

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f-]{27})?\b"), "ID"),
    (re.compile(r"\d+(\.\d+)?"), "0"),
    (re.compile(r"[\s\N{BOX DRAWINGS LIGHT UP AND RIGHT}\N{BOX DRAWINGS LIGHT HORIZONTAL}]+"), " "),
)


@dataclass(frozen=True)
class Section:
    """A part of a document: its title, and its blocks in order."""

    title: str
    blocks: tuple[tuple[str, str], ...]


def sections(path: Path) -> list[Section]:
    """The parts of a document that show something to do."""
    titles = _SECTION.split(path.read_text(encoding="utf-8"))
    pairs = zip(titles[1::2], titles[2::2], strict=True)
    found = [Section(title, tuple((kind, text) for kind, text in _BLOCK.findall(body))) for title, body in pairs]
    return [section for section in found if section.blocks]


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block, and the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif line.strip() and line.strip() != "...":
            found[-1][1].append(line)
    return found


def do(section: Section, ocs: Ocs, programs: Path, *, within: float = PATIENCE) -> None:
    """Write its jobs and type its commands, in one shell; each has to end well and print what is shown.

    `ocs` is found in `programs`.
    """
    lines = ["set -e"]
    expected: list[tuple[str, list[str]]] = []
    for kind, text in section.blocks:
        if kind == "yaml":
            (job_id,) = re.findall(r"^id: (.*)$", text, flags=re.MULTILINE)
            ocs.write(job_id, text)
            continue
        for command, printed in commands(text):
            lines += [f"echo ':: {len(expected)}'", "echo ':: .' >&2", command]
            expected.append((command, printed))
    ended = subprocess.run(
        ["/bin/bash", "-c", "\n".join(lines)],
        cwd=ocs.folder,
        env=ocs.environment(PATH=f"{programs}:{OCS.parent}:/usr/bin:/bin"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    for number, (command, printed) in enumerate(expected):
        said = {_plain(line) for line in ended.stdout.partition(f":: {number}\n")[2].splitlines()}
        for line in printed:
            assert _plain(line) in said, f"$ {command}\nhas not printed: {line}\n{ended.stdout}"


def _plain(line: str) -> str:
    """Without what is another each time: ids, numbers, widths of columns."""
    for pattern, instead in _CHANGING:
        line = pattern.sub(instead, line)
    return re.sub(r"/\S*/(?=my-jobs)", "", line).strip()
