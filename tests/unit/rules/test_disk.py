from __future__ import annotations

import pytest

from ocs.rules.disk import MIB, is_short, reserve


@pytest.mark.parametrize(("total", "kept_free"), [(1000 * 1024 * MIB, 100 * MIB), (64 * MIB, 64 * MIB // 10), (0, 0)])
def test_a_tenth_of_a_small_disk_is_kept_free_and_a_hundred_mib_of_a_large_one(total: int, kept_free: int) -> None:
    assert reserve(total) == kept_free
    assert not is_short(free=kept_free, total=total)
    assert kept_free == 0 or is_short(free=kept_free - 1, total=total)
