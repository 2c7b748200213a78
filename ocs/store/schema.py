"""The schema's version: upgraded by Alembic, refused when it is newer than this program."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from ocs.errors import StoreError

CURRENT = "0022"
"""The revision this program works with; the head of `migrations`."""


def upgrade(connection: Connection) -> None:
    """Bring the schema to CURRENT; quick when it already is.

    Raises:
        StoreError: the store belongs to a newer version of this program.
    """
    found = revision(connection)
    if found == CURRENT:
        return
    # Alembic is only needed when there is something to do, and slow to import.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"The store is of a newer version (schema {found}) than this program (schema {CURRENT}).",
            hint="Update prefect-openclaw, or point OCS_STORE_URL to another store.",
        )
    command.upgrade(config, "head")


def revision(connection: Connection) -> str | None:
    """The schema's revision, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
