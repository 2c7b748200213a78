"""How much room on a disk is left to what cannot do without: the store and the server, rather than large outputs."""

from __future__ import annotations

MIB = 2**20
RESERVE = 100 * MIB
OF_A_SMALL_DISK = 10
"""A disk that is small altogether keeps a tenth free."""


def reserve(total: int) -> int:
    """How many bytes of a disk of `total` no large output may take."""
    return min(RESERVE, total // OF_A_SMALL_DISK)


def is_short(*, free: int, total: int) -> bool:
    """Whether large outputs are not kept any more."""
    return free < reserve(total)
