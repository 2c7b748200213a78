"""Backups: store, server's database and project files in one file, and the way back."""

from ocs.service.backups.archive import Manifest, read_manifest, verify
from ocs.service.backups.making import create
from ocs.service.backups.restoring import restore
from ocs.service.backups.shelf import Kept, find, folder, listed

__all__ = ["Kept", "Manifest", "create", "find", "folder", "listed", "read_manifest", "restore", "verify"]
