"""Run by Alembic: migrates the connection that the store hands over, inside the store's own transaction."""

from alembic import context
from sqlmodel import SQLModel

import ocs.store.tables  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_delivery  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_incidents  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_mcp  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_messages  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_spawn  # pyright: ignore[reportUnusedImport]  its tables are migrated to
import ocs.store.tables_tasks  # noqa: F401  # pyright: ignore[reportUnusedImport]  its table is migrated to

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
