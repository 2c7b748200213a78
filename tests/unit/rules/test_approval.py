"""Approval: which runs need one, what a decision covers, and the words people read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ocs.errors import Refused
from ocs.rules.approval import (
    LONGEST_NAME,
    LONGEST_REASON,
    TIMEOUT,
    UI,
    ApprovalStatus,
    OnTimeout,
    Recorded,
    changed_parts,
    checked_name,
    checked_reason,
    is_needed,
    sentence,
    spec_digest,
    stricter,
    what_runs,
)
from ocs.rules.approval_text import Request, cause, decided, form, message
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.guards import Ask, Proceed, Refuse, Skip, SkipReason, Snapshot, Wait, decide
from ocs.rules.markdown import lines_of
from ocs.spec import Job

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PARENT = UUID("3f2a9c1d-0000-4000-8000-000000000000")


def job(**document: Any) -> Job:
    return Job.model_validate({"id": "deploy", "run": "./deploy.sh", **document})


ALL = job(approval={"required": True})
CHAIN = job(approval={"required": True, "on": "chain"})
POOLED = job(approval={"required": True}, limits={"pool": "database"})


def asked(status: ApprovalStatus, of: Job = ALL) -> Snapshot:
    return Snapshot(asked=Recorded(status, spec_digest(of), "Rejected by ann."))


@pytest.mark.parametrize("kind", DispatchKind)
@pytest.mark.parametrize("follows", [True, False])
def test_who_needs_one(kind: DispatchKind, follows: bool) -> None:
    dispatch = Dispatch(kind, NOW, source_run=PARENT if follows else None)
    assert not is_needed(job(), dispatch)
    assert is_needed(ALL, dispatch)
    assert is_needed(CHAIN, dispatch) is (follows or kind is DispatchKind.CHAIN)


@pytest.mark.parametrize(
    ("a_job", "snapshot", "expected"),
    [
        (job(), Snapshot(), Proceed),
        (ALL, Snapshot(), Ask),
        (ALL, Snapshot(pending_approvals=9), Ask),
        (ALL, Snapshot(pending_approvals=10), SkipReason.BACKLOG),
        (ALL, Snapshot(key_claimed=True), SkipReason.DUPLICATE),
        (ALL, asked(ApprovalStatus.PENDING), Ask),
        (ALL, asked(ApprovalStatus.APPROVED), Proceed),
        (ALL, asked(ApprovalStatus.APPROVED, job(run="rm -rf /")), Ask),
        (ALL, asked(ApprovalStatus.REJECTED), Refuse),
        (ALL, asked(ApprovalStatus.REJECTED, job(run="rm -rf /")), Refuse),
        (ALL, asked(ApprovalStatus.TIMED_OUT), Refuse),
        (POOLED, Snapshot(pool_free=0), Ask),
        (ALL, Snapshot(running=1), Ask),
    ],
)
def test_the_gate_comes_before_pool_and_overlap(a_job: Job, snapshot: Snapshot, expected: object) -> None:
    verdict = decide(a_job, Dispatch(DispatchKind.MANUAL, NOW), snapshot, NOW)
    assert (verdict.reason if isinstance(verdict, Skip) else type(verdict)) is expected
    assert isinstance(verdict, Proceed) or verdict.why.endswith(".")


def test_what_was_approved_may_still_have_to_wait_or_be_skipped() -> None:
    approved = Recorded(ApprovalStatus.APPROVED, spec_digest(POOLED), "")
    busy = Snapshot(asked=approved, pool_free=0)
    assert isinstance(decide(POOLED, Dispatch(DispatchKind.MANUAL, NOW), busy, NOW), Wait)
    overlapping = Snapshot(asked=Recorded(ApprovalStatus.APPROVED, spec_digest(ALL), ""), running=1)
    verdict = decide(ALL, Dispatch(DispatchKind.MANUAL, NOW), overlapping, NOW)
    assert isinstance(verdict, Skip)
    assert verdict.reason is SkipReason.OVERLAP


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"description": "Deploys.", "tags": ["a"], "schedule": "@daily", "name": "Deploy"}, True),
        ({"approval": {"required": True, "timeout": "5m"}}, True),
        ({"run": "./deploy.sh --force"}, False),
        ({"run": {"shell": {"command": "./deploy.sh", "env": {"STAGE": "live"}}}}, False),
        ({"run": {"shell": {"command": "./deploy.sh", "secrets": {"KEY": "other"}}}}, False),
        ({"run": {"shell": {"command": "./deploy.sh"}, "timeout": "1h"}}, False),
        ({"retry": {"max": 3}}, False),
        ({"id": "another"}, False),
    ],
)
def test_a_decision_covers_what_runs_and_not_how_it_is_called(changes: dict[str, Any], same: bool) -> None:
    assert (spec_digest(job(**changes)) == spec_digest(job())) is same


def test_values_changed_for_one_run_cannot_take_the_approval_away() -> None:
    for approval in ({}, {"required": True, "on_timeout": "approve", "timeout": "1s"}):
        assert stricter(job(approval=approval), ALL).approval == ALL.approval
    assert stricter(ALL, job()).approval.required


def test_what_differs_from_the_rolled_out_job_is_named() -> None:
    changed = job(run={"shell": {"command": "echo", "cwd": "/tmp"}, "timeout": "1h"}, description="x")
    assert changed_parts(changed, job()) == ["run.shell.command", "run.shell.cwd", "run.timeout"]


def test_what_runs_names_secrets_and_shows_everything_else() -> None:
    shell = {"command": "deploy\n", "cwd": "/srv", "env": {"STAGE": "live"}, "secrets": {"KEY": "deploy-key"}}
    assert what_runs(job(run={"shell": shell})) == "# in: /srv\n# with: STAGE=live\n# secrets: KEY\ndeploy"
    agent = {"message": "Clean up.", "agent": "ops"}
    with_agent = job(run={"agent": agent}, deliver={"when": "never", "opt_out_reason": "x"})
    assert what_runs(with_agent) == "# agent: ops\nClean up."
    with_check = job(run={"watchdog": {"label": "build", "check": {"command": "./done", "cwd": "/srv"}}})
    assert what_runs(with_check) == "# in: /srv\n./done"
    assert what_runs(job(run={"shell": {"command": "./sync", "success_codes": [0, 24]}})) == (
        "# succeeds with: 0 24\n./sync"
    )


def test_nobody_is_asked_to_agree_to_what_they_cannot_see() -> None:
    """A strategy that is not here has no words for it: what is shown is what the document says."""
    unknown = Job.model_validate({"id": "a", "run": {"ftp": {"host": "example.org", "get": ["b"]}}})
    assert what_runs(unknown) == '# ftp\n{\n  "host": "example.org",\n  "get": [\n    "b"\n  ]\n}'


def test_what_a_person_approves_is_what_runs_and_hides_nothing() -> None:
    shell = {"command": "echo \u202e'fr- mr'\u200b", "env": {"A": "1\nrm -rf /"}, "cwd": "/srv\ncurl example.org"}
    assert what_runs(job(run={"shell": shell})) == (
        "# in: '/srv\\ncurl example.org'\n# with: A='1\\nrm -rf /'\necho <U+202E>'fr- mr'<U+200B>"
    )


@pytest.mark.parametrize(
    ("status", "by", "decided_from", "reason", "expected"),
    [
        (ApprovalStatus.REJECTED, "ann", "cli", "not today", "Rejected by ann: not today."),
        (ApprovalStatus.REJECTED, "ann", UI, None, "Rejected by ann."),
        (ApprovalStatus.APPROVED, "ann", UI, "why not?", "Approved by ann: why not?"),
        (
            ApprovalStatus.TIMED_OUT,
            "timeout",
            TIMEOUT,
            None,
            "Nobody decided within 1h, and approval.on_timeout is reject.",
        ),
        (
            ApprovalStatus.APPROVED,
            "timeout",
            TIMEOUT,
            None,
            "Nobody decided within 1h, and approval.on_timeout is approve.",
        ),
        (ApprovalStatus.WITHDRAWN, None, None, "Its job was removed.", "Its job was removed."),
        (ApprovalStatus.PENDING, None, None, None, "It waits for a person to approve it."),
    ],
)
def test_the_sentence_says_who_and_why(
    status: ApprovalStatus, by: str | None, decided_from: str | None, reason: str | None, expected: str
) -> None:
    hour = timedelta(hours=1)
    assert sentence(status, by=by, decided_from=decided_from, reason=reason, timeout=hour) == expected


@given(name=some.text(max_size=300), reason=some.text(max_size=2100))
def test_whatever_is_accepted_is_short_and_plain(name: str, reason: str) -> None:
    for check, text, longest in ((checked_name, name, LONGEST_NAME), (checked_reason, reason, LONGEST_REASON)):
        try:
            kept = check(text)
        except Refused:
            continue
        assert kept is None or (len(kept) <= longest and "\x1b" not in kept and "\x00" not in kept)


REQUEST = Request(
    id="3f2a9c1d-0000-4000-8000-000000000000",
    job_id="deploy",
    what="cat <<'~~~'\nhello\n~~~",
    why="by hand, asked for by ann",
    changed=("run.shell.command",),
    expires_at=NOW,
    on_timeout=OnTimeout.REJECT,
    page="http://ui/runs/flow-run/1",
)


def test_the_form_shows_what_runs_whatever_it_contains() -> None:
    text = form(REQUEST)
    assert "~~~~bash\ncat <<'~~~'\nhello\n~~~\n~~~~" in text
    assert "It runs by hand, asked for by ann." in text
    assert "run.shell.command" in text
    assert "If nobody decides until 2026-11-24 12:00:00 UTC, it is rejected." in text


def test_nothing_in_a_form_is_markup_but_the_form_itself() -> None:
    values = {field: getattr(REQUEST, field) for field in Request.__slots__}
    evil = "   ~~~\n   ~~~~~~\n![x](http://h/y.png)\n<img src=x>"
    text = form(Request(**{**values, "what": evil, "why": "by hand, asked for by <b>[ann](http://h)"}))
    assert [line for line, is_code in lines_of(text) if not is_code and ("<" in line or "](" in line)] == [
        "**deploy** waits for you. It runs by hand, asked for by \\<b\\>\\[ann\\](http\\://h)."
    ]


def test_the_message_has_both_commands_and_the_link() -> None:
    told = message(REQUEST)
    assert told.subject == "deploy waits for approval"
    assert "ocs approvals approve 3f2a9c1d" in told.body
    assert "ocs approvals reject 3f2a9c1d --reason '...'" in told.body
    assert "http://ui/runs/flow-run/1" in told.body
    outcome = decided("deploy", ApprovalStatus.REJECTED, "Rejected by ann.")
    assert (outcome.subject, outcome.body) == ("deploy was not approved", "Rejected by ann. Nothing was run.")


@pytest.mark.parametrize(
    ("dispatch", "expected"),
    [
        (Dispatch(DispatchKind.SCHEDULED, NOW), "by its schedule, for 2026-11-24 12:00:00 UTC"),
        (Dispatch(DispatchKind.CHAIN, NOW, source_run=PARENT), "after collect, run 3f2a9c1d"),
        (
            Dispatch(DispatchKind.RETRY, NOW, retry_of=PARENT, attempt=2),
            "as attempt 2, after run 3f2a9c1d, asked for by ann",
        ),
        (Dispatch(DispatchKind.REPLAY, NOW, retry_of=PARENT), "again, because run 3f2a9c1d crashed"),
        (Dispatch(DispatchKind.MANUAL, NOW), "by hand, asked for by ann"),
    ],
)
def test_the_cause_is_told(dispatch: Dispatch, expected: str) -> None:
    assert cause(dispatch, asked_by="ann", parent_job="collect") == expected


def test_a_very_long_command_is_cut_where_it_is_read() -> None:
    long = Request(**{**{field: getattr(REQUEST, field) for field in Request.__slots__}, "what": "x" * 100_000})
    assert len(form(long)) < 5000
    assert "more characters" in message(long).body
