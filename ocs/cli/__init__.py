"""The `ocs` command: parses, calls the other rooms, prints. Slow imports wait until a command needs them."""

from ocs.cli.main import main

__all__ = ["main"]
