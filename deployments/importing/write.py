"""Writing imported jobs: all of their files or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deployments import catalogue, prefect_yaml, yaml_text
from deployments.catalogue import Catalogue
from deployments.importing.settle import Settled
from deployments.reading import read_text
from ocs.files import READABLE


def write(found: Catalogue, jobs: Sequence[Settled], mode: int = READABLE) -> None:
    """Write the files of new and replaced jobs, and the project's prefect.yaml.

    Raises:
        InvalidJob: one of them cannot be read back; nothing was written.
    """
    replace_files(
        found,
        {catalogue.path_of(found.project, job.job_id): yaml_text.dump(job.document) for job in jobs if job.is_written},
        mode,
    )


def enable(found: Catalogue, job_ids: Sequence[str]) -> None:
    """Enable several jobs in their files; all else in them stays as it is."""
    paths = [catalogue.path_of(found.project, job_id) for job_id in job_ids]
    texts = {path: yaml_text.with_values(read_text(path, path.name), {"enabled": True}) for path in paths}
    replace_files(found, texts)


def replace_files(found: Catalogue, texts: Mapping[Path, str], mode: int = READABLE) -> None:
    """Write all of them or none."""
    catalogue.read_files({path.name: text for path, text in texts.items()}).checked()
    before: dict[Path, bytes | None] = {}
    try:
        for path, text in texts.items():
            before[path] = path.read_bytes() if path.exists() else None
            catalogue.replace_file(path, text, mode)
    except OSError:
        for path, was in before.items():
            path.unlink(missing_ok=True) if was is None else path.write_bytes(was)
        raise
    # Without new files too: a process that was killed here before may have left it as it was.
    prefect_yaml.regenerate(catalogue.read(found.project))
