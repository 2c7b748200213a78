"""Keys: the same occasion has the same key, and only that (B-3.1)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import datetimes, timedeltas, timezones

from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.idempotency import expires_at, key_for, result_hash
from ocs.rules.jitter import offset
from ocs.spec import Job

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DISPATCH, RUN, FLOW_RUN = UUID(int=1), UUID(int=2), UUID(int=3)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("dispatch", "scope"),
    [
        (Dispatch(DispatchKind.SCHEDULED, AT), "a:2026-11-24T12:00:00+00:00"),
        (Dispatch(DispatchKind.CHAIN, AT, DISPATCH, source_run=RUN), f"chain:{RUN}:a"),
        (Dispatch(DispatchKind.CHAIN, AT, DISPATCH), f"chain:{DISPATCH}:a"),
        (Dispatch(DispatchKind.RETRY, AT, DISPATCH, retry_of=RUN), f"chain:{RUN}:a"),
        (Dispatch(DispatchKind.REPLAY, AT, DISPATCH, retry_of=RUN), f"chain:{RUN}:a"),
        (Dispatch(DispatchKind.RETRY, AT, None, retry_of=RUN), f"run_now:a:{RUN}"),
        (Dispatch(DispatchKind.MANUAL, AT, DISPATCH), f"run_now:a:{DISPATCH}"),
        (Dispatch(DispatchKind.MANUAL, AT), f"run_now:a:{FLOW_RUN}"),
    ],
)
def test_the_formulas(dispatch: Dispatch, scope: str) -> None:
    assert key_for("a", dispatch, FLOW_RUN) == hashed(scope)


def test_an_instant_has_one_key_in_every_zone() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    assert key_for("a", Dispatch(DispatchKind.SCHEDULED, AT), RUN) == key_for(
        "a", Dispatch(DispatchKind.SCHEDULED, elsewhere), FLOW_RUN
    )


def test_one_shots_are_remembered_for_a_day_and_others_for_a_week() -> None:
    once = Job.model_validate({"id": "a", "run": "true", "schedule": {"at": "2027-01-01T00:00:00Z"}})
    often = Job.model_validate({"id": "a", "run": "true", "schedule": "@daily"})
    assert expires_at(once, AT) - AT == timedelta(hours=24)
    assert expires_at(often, AT) - AT == timedelta(days=7)


def test_a_result_s_fingerprint_is_sixteen_characters_and_none_for_nothing() -> None:
    assert result_hash("") is None
    assert result_hash("x") == hashlib.sha256(b"x").hexdigest()[:16]


@given(at=datetimes(timezones=timezones()), jitter=timedeltas(timedelta(0), timedelta(days=1)))
def test_jitter_is_never_early_never_too_late_and_always_the_same(at: datetime, jitter: timedelta) -> None:
    spread = offset("a", at, jitter)
    assert timedelta(0) <= spread <= jitter
    assert spread == offset("a", at.astimezone(UTC), jitter)
