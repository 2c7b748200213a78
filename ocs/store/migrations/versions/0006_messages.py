"""Messages, and a receipt for everything that became of one with a reader"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KINDS = (
    "text",
    "task",
    "result",
    "status",
    "system",
    "spawn",
    "decision",
    "constraint",
    "fact",
    "preference",
)


def upgrade() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=False),
        sa.Column("recipient", sa.String(length=128), nullable=False),
        sa.Column("kind", _choice("message_kind", *KINDS), nullable=False),
        sa.Column("priority", _choice("message_priority", "normal", "high", "urgent"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("reply_to", sa.Uuid(), nullable=True),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index("ix_message_recipient", ["recipient", "created_at"], unique=False)
        batch_op.create_index("ix_message_sender", ["sender", "created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_reply_to"), ["reply_to"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_expires_at"), ["expires_at"], unique=False)
    op.create_table(
        "message_receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("reader", sa.String(length=128), nullable=False),
        sa.Column(
            "event",
            _choice("message_receipt_event", "attempt", "error", "delivered", "read", "ack"),
            nullable=False,
        ),
        sa.Column("at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("not_before", UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("message_receipt", schema=None) as batch_op:
        batch_op.create_index("ix_message_receipt_reader", ["message_id", "reader"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_receipt_run_id"), ["run_id"], unique=False)


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
