"""What a run printed, from the store or from its file; records as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ocs.errors import NotFound
from ocs.rules.dispatch import DispatchKind
from ocs.rules.shell_result import MARK
from ocs.service.reading import Output
from ocs.service.records import Delivery, Run, Status, as_json

ID = UUID(int=1)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_output_is_read_from_the_store_or_from_its_file(tmp_path: Path) -> None:
    whole = tmp_path / "stdout"
    whole.write_bytes(b"all of it \xff")
    assert Output(ID, "stdout", "short", 5, None).text() == "short"
    assert Output(ID, "stdout", "all", 11, str(whole)).text() == "all of it \N{REPLACEMENT CHARACTER}"
    with pytest.raises(NotFound, match="cannot be read"):
        Output(ID, "stdout", "all", 11, str(tmp_path / "gone")).text()


@pytest.mark.parametrize(("kept", "path", "is_cut"), [("a", None, False), (MARK, None, True), (MARK, "/a", False)])
def test_output_is_cut_when_nobody_has_the_whole(kept: str, path: str | None, is_cut: bool) -> None:
    assert Output(ID, "stdout", kept, 9, path).is_cut is is_cut


def test_a_record_is_json_with_plain_values() -> None:
    run, child, delivery = uuid4(), uuid4(), uuid4()
    told = Delivery(
        id=delivery,
        job="load",
        run=run,
        kind="result",
        target="ops",
        subject="",
        status="sent",
        attempts=1,
        parts=1,
        parts_sent=1,
        created_at=NOW,
        next_attempt_at=None,
        ended_at=NOW,
        error=None,
    )
    record = Run(
        id=run,
        job="load",
        status=Status.OK,
        kind=DispatchKind.MANUAL,
        attempt=1,
        scheduled_for=NOW,
        started_at=NOW,
        finished_at=NOW,
        duration_s=0.0,
        exit_code=0,
        summary="",
        error=None,
        folder=None,
        notes=("One process was ended.",),
        flow_run_id=run,
        retry_of=None,
        parent_run=None,
        children=(child,),
        deliveries=(told,),
    )
    shown = as_json(record)
    assert record.ok
    assert (shown["id"], shown["status"], shown["kind"]) == (str(run), "ok", "manual")
    assert shown["notes"] == ["One process was ended."]
    assert (shown["started_at"], shown["children"]) == ("2026-11-30T12:00:00Z", [str(child)])
    assert (shown["deliveries"][0]["id"], shown["deliveries"][0]["next_attempt_at"]) == (str(delivery), None)
