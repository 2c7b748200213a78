"""The key of the server's blocks: where it is, and whether blocks can be read with it, secrets among them."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ocs.errors import Refused
from ocs.service.backups.archive import Key

ENCRYPTION = ("PREFECT_SERVER_ENCRYPTION_KEY", "ORION_ENCRYPTION_KEY")
"""Where Prefect looks for the key, before it looks into its database."""


def key_of(database: Path) -> Key:
    """The key of a copy of a server's database in SQLite: the one that its newest block can be read with.

    One that is neither inside nor in this process's environment is in that of the server alone.
    """
    inside, newest = _found(database)
    keys = [key for key in (given_key(), _key("inside", inside)) if key is not None]
    if newest is None:
        return keys[0] if keys else Key(where="inside")
    values = {"environment": _given(), "inside": inside}
    return next((key for key in keys if _opens(values[key.where], newest)), Key(where="environment"))


def given_key() -> Key | None:
    """The key that this process's environment sets."""
    return _key("environment", _given())


def check(key: Key | None, database: Path | None) -> None:
    """Refuse to restore what the server could not read: with the environment's key, or else with the one inside.

    `database` is the copy that is to be restored, None when it is a dump of Postgres, of which only the keys'
    fingerprints are compared.

    Raises:
        Refused: the blocks are encrypted with another key than the server would use.
    """
    if key is None:
        return
    given = given_key()
    if database is not None:
        inside, newest = _found(database)
        is_right = newest is None or _opens(_given() or inside, newest)
    else:
        is_right = given == key if key.where == "environment" else given is None
    if is_right:
        return
    if key.where == "environment":
        said = f"Its blocks, secrets among them, are encrypted with a key that is not in it: {ENCRYPTION[0]}."
        raise Refused(said, hint="Set it to what it was, for this command and for ocs up.")
    said = f"{ENCRYPTION[0]} is set, and the blocks of the backup are encrypted with another key, which is in it."
    raise Refused(said, hint=f"Restore it with the key that it has: unset {' '.join(ENCRYPTION)}")


def secrets_in(database: Path) -> int:
    """How many Secret blocks there are."""
    with closing(sqlite3.connect(database)) as opened:
        query = "SELECT count(*) FROM block_document d JOIN block_type t ON t.id = d.block_type_id WHERE t.slug = ?"
        return opened.execute(query, ("secret",)).fetchone()[0]


def _found(database: Path) -> tuple[str | None, str | None]:
    """The key in the database, and what its newest block is encrypted to."""
    with closing(sqlite3.connect(database)) as opened:
        key = opened.execute(
            "SELECT json_extract(value, '$.fernet_key') FROM configuration WHERE key = 'ENCRYPTION_KEY'"
        ).fetchone()
        block = opened.execute("SELECT data FROM block_document ORDER BY updated DESC LIMIT 1").fetchone()
    token = None
    with suppress(ValueError):
        token = json.loads(block[0]) if block else None
    return (key[0] if key else None), (token if isinstance(token, str) else None)


def _opens(key: str | None, token: str) -> bool:
    from cryptography.fernet import Fernet, InvalidToken

    try:
        Fernet((key or "").encode()).decrypt(token.encode())
    except (ValueError, InvalidToken):
        return False
    return True


def _given() -> str | None:
    return next((value for name in ENCRYPTION if (value := os.environ.get(name))), None)


def _key(where: str, value: str | None) -> Key | None:
    """With a fingerprint, from which nobody guesses 32 random bytes."""
    if value is None:
        return None
    digest = hashlib.sha256(f"prefect-openclaw backup:{value}".encode()).hexdigest()[:32]
    return Key.model_validate({"where": where, "fingerprint": digest})
