"""Prefect's settings from the environment and the user's own profile only, not from the folder that one stands in.

As shipped, Prefect reads `.env`, `prefect.toml` and `pyproject.toml` there. A setting can name code to be run, so that
`ocs doctor` in a folder of somebody else, or the plan of a project that was just checked out, would run theirs.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType, SimpleNamespace
from typing import Any

READS_FILES = "prefect.settings.sources"


def only_own_settings() -> None:
    """From now on this process reads none of those files; called before Prefect is imported, it never has."""
    loaded = sys.modules.get(READS_FILES)
    if loaded is not None:
        _read_none(loaded)
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


class _AfterImport(MetaPathFinder):
    """Changes the module that reads those files, as soon as it is there, and before it is used."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != READS_FILES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Changed(fullname, spec.origin)
        return spec


class _Changed(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _read_none(module)


def _read_none(sources: Any) -> None:
    """Whatever of Prefect's reads a file by a name that is relative reads nothing."""
    sources.TomlConfigSettingsSourceBase._read_files = _empty
    sources.FilteredDotEnvSettingsSource._read_env_files = _empty
    sources._get_profiles_path_from_toml = _no_profiles
    sources.dotenv = _NO_DOTENV


def _empty(*_: object) -> dict[str, Any]:
    return {}


def _no_profiles(*_: object) -> None:
    return None


_NO_DOTENV = SimpleNamespace(dotenv_values=_empty)
