"""The catalogue: a project's job files, read and checked as a whole, and written without losing a comment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from ruamel.yaml.error import YAMLError

from deployments import yaml_text
from deployments.reading import read_beginning, read_text, unreadable
from deployments.yaml_cache import Documents
from ocs.errors import InvalidJob, NotFound, Problem
from ocs.files import FOR_OWNER, READABLE, make_folder, open_file
from ocs.rules.expectation import impossible
from ocs.spec import Job, check_catalogue, contradictions, defaults_problems, format_size, violations, with_defaults

JOBS = Path("deployments") / "jobs"
DEFAULTS = Path("deployments") / "defaults.yaml"
SETTINGS = "prefect.yaml"
NO_NAME = ("", "~", "null")
LONGEST_NAME = 255
MOST_FILES = 10_000
MOST_TEXT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A project's jobs, as far as they are valid, and everything that is wrong with the rest.

    `defaults` is what they say unless a file says otherwise; it is in them already.
    """

    project: Path
    name: str
    jobs: Mapping[str, Job] = field(default_factory=dict[str, Job])
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    problems: tuple[Problem, ...] = ()
    files: int = 0

    def checked(self) -> Catalogue:
        """Itself, when nothing is wrong with any file.

        Raises:
            InvalidJob: with all problems of all files.
        """
        if self.problems:
            broken = len({problem.file for problem in self.problems})
            raise InvalidJob(
                f"{len(self.problems)} problem{'s' * (len(self.problems) != 1)} in {broken} of {self.files} files; "
                "nothing was changed.",
                problems=self.problems,
            )
        return self


def read(project: Path) -> Catalogue:
    """All jobs of a project, and what is wrong with them."""
    return _examine(project, {path.name: path for path in job_files(project)})


def read_files(
    texts: Mapping[str, str], unread: Sequence[Problem] = (), defaults: Mapping[str, Any] | None = None
) -> Catalogue:
    """Check documents on their own, by name; parents may stand elsewhere. `unread` is wrong with further ones."""
    jobs: dict[str, Job] = {}
    problems = [*unread]
    for name, text in texts.items():
        job, found = _job(text, name, None, defaults or {})
        problems += found
        if job is not None:
            jobs[job.id] = job
    return Catalogue(Path(), "", jobs, problems=tuple(problems), files=len(texts) + len(unread))


def parse_text(text: str, name: str) -> dict[str, Any]:
    """The keys and values of a document, not checked yet.

    Raises:
        InvalidJob: it is not YAML, or not keys and values.
    """
    try:
        document: Any = yaml_text.load(text)
    except YAMLError as broken:
        raise InvalidJob(f"{name} cannot be read.", problems=[yaml_text.problem_of(broken, name)]) from broken
    if not isinstance(document, dict):
        raise InvalidJob(f"{name} is not a job; it has to be keys and values such as  id: my-job")
    return cast("dict[str, Any]", document)


def path_of(project: Path, job_id: str) -> Path:
    """Where a job's file is, or will be."""
    short = project / JOBS / f"{job_id}.yml"
    return short if short.exists() else short.with_suffix(".yaml")


def add(project: Path, document: Mapping[str, Any]) -> Catalogue:
    """Write a new job's file, if the catalogue stays whole with it; returns the new catalogue.

    Raises:
        InvalidJob: the document, or the catalogue with it, breaks rules; nothing was written.
    """
    return write(project, str(document.get("id", "")), yaml_text.dump(document))


def write(project: Path, job_id: str, text: str) -> Catalogue:
    """Replace a job's file by `text`, if the catalogue stays whole with it; returns the new catalogue.

    Raises:
        InvalidJob: it would not; nothing was written.
    """
    changed = check_with(project, job_id, text)
    replace_file(path_of(project, job_id), text)
    return changed


def check_with(project: Path, job_id: str, text: str) -> Catalogue:
    """The catalogue as it would be with `text` as a job's file.

    Raises:
        InvalidJob: it would not be whole.
    """
    files: dict[str, Path | str] = {found.name: found for found in job_files(project)}
    return _examine(project, {**files, path_of(project, job_id).name: text}).checked()


def set_values(project: Path, job_id: str, values: Mapping[str, Any]) -> Catalogue:
    """Set dotted paths in a job's file, keeping its comments and order; returns the new catalogue.

    Raises:
        NotFound: there is no such job.
        InvalidJob: the catalogue would not be whole; nothing was written.
    """
    path = path_of(project, job_id)
    if not path.exists():
        raise NotFound(f'There is no job "{job_id}".', hint="See all: ocs jobs list")
    return write(project, job_id, yaml_text.with_values(read_text(path, str(JOBS / path.name)), values))


def remove(project: Path, job_id: str) -> Catalogue:
    """Delete a job's file, if the catalogue stays whole without it; returns the new catalogue.

    Raises:
        InvalidJob: jobs run after it; they are named and nothing was deleted.
    """
    path = path_of(project, job_id)
    files = {found.name: found for found in job_files(project) if found != path}
    changed = _examine(project, files).checked()
    try:
        path.unlink()
    except OSError as failed:
        raise unreadable(str(JOBS / path.name), f"cannot be removed: {failed.strerror}") from failed
    return changed


def job_files(project: Path) -> list[Path]:
    """The files of a project's jobs, in order."""
    return sorted([*(project / JOBS).glob("*.yaml"), *(project / JOBS).glob("*.yml")])


def _examine(project: Path, files: Mapping[str, Path | str]) -> Catalogue:
    jobs: dict[str, Job] = {}
    texts: dict[str, str] = {}
    defaults, wrong = read_defaults(project)
    problems = [*wrong]
    left = MOST_TEXT
    documents = Documents(project)
    for number, (name, source) in enumerate(sorted(files.items()), start=1):
        shown = str(JOBS / name)
        try:
            if number > MOST_FILES or left < 0:
                bound = f"{MOST_FILES:,} files and {format_size(MOST_TEXT)} of text are read"
                raise unreadable(shown, f"is not read: of a project at most {bound}")
            texts[shown] = source if isinstance(source, str) else read_text(source, shown)
            left -= len(texts[shown])
            job, found = _job(texts[shown], shown, name, {} if wrong else defaults, documents.load)
        except InvalidJob as unread:
            job, found = None, unread.problems
        problems += found
        if job is not None and job.id in jobs:
            twice = f"stands in {job.id}.yaml too; a job has one file, keep one of the two"
            problems.append(Problem("id", twice, shown, yaml_text.line_of(texts[shown], "id")))
        elif job is not None:
            jobs[job.id] = job
    documents.keep()
    broken = {Path(name).stem for name in files} - set(jobs)
    for job_id, problem in check_catalogue(jobs):
        after = jobs[job_id].after
        if problem.path == "after.job" and after is not None and after.job in broken:
            continue  # the parent is there; what is wrong with it has been said
        shown = str(JOBS / f"{job_id}.yaml")
        line = yaml_text.line_of(texts.get(shown, ""), problem.path)
        problems.append(Problem(problem.path, problem.message, shown, line))
    problems.sort(key=lambda problem: (problem.file or "", problem.line or 0))
    return Catalogue(project, _project_name(project), jobs, defaults, tuple(problems), len(files))


def read_defaults(project: Path) -> tuple[dict[str, Any], list[Problem]]:
    """What every job of the project says unless its file says otherwise, and what is wrong with that."""
    path, shown = project / DEFAULTS, str(DEFAULTS)
    if not path.exists():
        return {}, []
    try:
        text = read_text(path, shown)
        written: Any = yaml_text.load(text)
    except InvalidJob as unread:
        return {}, [*unread.problems]
    except YAMLError as broken:
        return {}, [yaml_text.problem_of(broken, shown)]
    if not isinstance(written, dict | None):
        return {}, [Problem("", "is not keys and values such as  timezone: Europe/Vienna", shown, 1)]
    defaults = cast("dict[str, Any]", written or {})
    found = defaults_problems(defaults)
    return defaults, [Problem(each.path, each.message, shown, yaml_text.line_of(text, each.path)) for each in found]


def _job(
    text: str,
    shown: str,
    name: str | None,
    defaults: Mapping[str, Any],
    load: Callable[[str], Any] = yaml_text.load,
) -> tuple[Job | None, Sequence[Problem]]:
    """The job of one file with the project's defaults, or what is wrong with it."""
    try:
        document: Any = load(text)
    except YAMLError as broken:
        return None, [yaml_text.problem_of(broken, shown)]
    if not isinstance(document, dict):
        return None, [Problem("", "is not a job; it has to be keys and values such as  id: my-job", shown, 1)]
    written = cast("dict[str, Any]", document)
    document = with_defaults(written, defaults)
    found = violations(document, partial(yaml_text.written_at, text)) or list(contradictions(written))
    job = None if found else Job.model_validate(document)
    if job is None or (found := list(impossible(job))):
        return None, [Problem(each.path, each.message, shown, yaml_text.line_of(text, each.path)) for each in found]
    if name is not None and Path(name).stem != job.id:
        wrong = f'is "{job.id}", but the file is called {name}; they have to be the same'
        return None, [Problem("id", wrong, shown, yaml_text.line_of(text, "id"))]
    return job, []


def _project_name(project: Path) -> str:
    """As prefect.yaml says it, of which a rollout writes what follows: megabytes, in a project of thousands of jobs."""
    with contextlib.suppress(InvalidJob, YAMLError):
        name = yaml_text.first_text(read_beginning(project / SETTINGS, SETTINGS), "name")
        if name is not None and name not in NO_NAME and len(name) <= LONGEST_NAME:
            return name
    return project.resolve().name


def replace_file(path: Path, text: str, mode: int = READABLE) -> None:
    """Write a file so that a crash leaves the old or the new one, never half of it. A link stays one.

    A file that was there keeps its mode; FOR_OWNER takes away what it gives others.
    """
    path = path.resolve()
    make_folder(path.parent, READABLE)
    with _temporary_beside(path) as temporary:
        with open_file(temporary, "x", mode, encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & (0o700 if mode == FOR_OWNER else 0o777))
        temporary.replace(path)


@contextlib.contextmanager
def _temporary_beside(path: Path) -> Generator[Path]:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
