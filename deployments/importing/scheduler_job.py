"""A row of openclaw-scheduler's table of jobs as a job document, group by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.importing.foreign import STAYS_OFF, Found, Loss
from deployments.secret_words import holds_secret
from ocs.spec import format_duration
from ocs.spec.values import LARGEST

TAG = "openclaw-scheduler"
NEVER = "0 0 31 2 *"
"""What stands for "not by itself" where a cron expression has to stand."""
KINDS = {"main": ("systemEvent",), "isolated": ("agentTurn", "systemEvent"), "shell": ("shellCommand",)}
WHEN = {"announce": "failure", "announce-always": "always", "none": "never"}
CHANNEL = "telegram"
"""Where it sends what names no channel."""
NO_REASON = "openclaw-scheduler told nobody either"
GUARDED = ("identity", "authorization", "evidence", "contract")
"""What the groups of columns are called that say by what right a job runs."""
RESERVED = ("subagent:", "cron:", "acp:")
_NAMES = """
    id name enabled schedule_kind schedule_cron schedule_at schedule_tz session_target agent_id payload_kind
    payload_message payload_model payload_thinking payload_timeout_seconds execution_intent execution_read_only
    overlap_policy run_timeout_ms max_queued_dispatches max_pending_approvals max_trigger_fanout delivery_mode
    delivery_channel delivery_to delete_after_run ttl_hours parent_id trigger_on trigger_delay_s trigger_condition
    max_retries payload_scope resource_pool delivery_guarantee job_class approval_required approval_timeout_s
    approval_auto context_retrieval context_retrieval_limit output_store_limit_bytes output_excerpt_limit_bytes
    output_summary_limit_bytes output_offload_threshold_bytes preferred_session_key auth_profile
    delivery_opt_out_reason origin child_credential_policy job_type watchdog_target_label watchdog_check_cmd
    watchdog_timeout_min watchdog_alert_channel watchdog_alert_target watchdog_self_destruct watchdog_started_at
    identity_principal identity_run_as identity_attestation identity_ref identity_subject_kind
    identity_subject_principal identity_trust_level identity_delegation_mode identity authorization_proof_ref
    authorization_proof authorization_ref authorization evidence_ref evidence contract_required_trust_level
    contract_trust_enforcement contract_sandbox contract_allowed_paths contract_network contract_max_cost_usd
    contract_audit
"""
KNOWN = frozenset(_NAMES.split())
"""The columns that say what a job is, as of the newest schema that is known."""
Row = Mapping[str, Any]
Document = dict[str, Any]


class NotCarriedOver(Exception):
    """Why a row becomes no job."""


def job_of(row: Row, names: Mapping[str, str]) -> Found:
    """The job of a row; `names` are the targets that delivery aliases become.

    What only breaks the rules of a job document is left to those rules.

    Raises:
        NotCarriedOver: it cannot be a job here, or has had its only run.
    """
    if asked := sorted(_guarded(row)):
        raise NotCarriedOver(f"asks for {', '.join(asked)}, which is not supported yet: it would run unguarded")
    losses: list[Loss] = []
    document: Document = {}
    name = str(row["name"])
    if row.get("origin"):
        document["origin"] = row["origin"]
    document["tags"] = [TAG] if row["enabled"] else [TAG, STAYS_OFF]
    parent = str(row["parent_id"]) if row.get("parent_id") else None
    if parent:
        document["after"] = _after(row)
    elif schedule := _schedule(row, losses):
        document["schedule"] = schedule
    document["run"] = _run(row, names, losses)
    for key, group in (
        ("limits", _limits(row)),
        ("retry", {"max": row["max_retries"]} if row.get("max_retries") else {}),
        ("approval", _approval(row)),
        ("deliver", _deliver(row, names, document, losses)),
        ("output", _output(row)),
        ("lifecycle", _lifecycle(row)),
    ):
        if group:
            document[key] = group
    return Found(str(row["id"]), name, bool(row["enabled"]), document, parent, tuple(losses))


def moment_of(text: object) -> datetime | None:
    """A time as it is stored: UTC, to the second."""
    try:
        moment = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _guarded(row: Row) -> Iterator[str]:
    for column, value in row.items():
        group = next((name for name in GUARDED if column.startswith(name)), None)
        if group and value not in (None, ""):
            yield group
    if row.get("child_credential_policy") not in (None, "", "none"):
        yield "child_credentials"


def _after(row: Row) -> Document:
    after: Document = {}
    if row.get("trigger_on") != "success":
        after["on"] = row.get("trigger_on")
    if row.get("trigger_delay_s"):
        after["delay"] = _seconds(row["trigger_delay_s"])
    if condition := row.get("trigger_condition"):
        kind, _, wanted = str(condition).partition(":")
        if kind not in ("contains", "regex"):
            raise NotCarriedOver(f'trigger_condition "{condition}" begins with neither contains: nor regex:')
        after["match"] = {kind: wanted}
    return after


def _schedule(row: Row, losses: list[Loss]) -> Any:
    zone = row["schedule_tz"] or "UTC"
    if row.get("schedule_kind") == "at":
        due, ran = moment_of(row.get("schedule_at")), moment_of(row.get("last_run_at"))
        if due is None:
            raise NotCarriedOver(f'schedule_at "{row.get("schedule_at")}" is no moment')
        if ran is not None and ran >= due:
            raise NotCarriedOver(f"has had its only run, at {ran:%Y-%m-%d %H:%M:%S} UTC")
        return {"at": due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    expression = row.get("schedule_cron")
    if not expression or expression == NEVER:
        losses.append(Loss("schedule_cron", "stands for never; the job runs by hand only"))
        return None
    return expression if zone == "UTC" else {"cron": expression, "timezone": zone}


def _run(row: Row, names: Mapping[str, str], losses: list[Loss]) -> Document:
    if row.get("job_type") == "watchdog":
        run: Document = {"watchdog": _watchdog(row, names)}
    else:
        target, kind = row["session_target"], row["payload_kind"]
        if kind not in KINDS.get(target, ()):
            raise NotCarriedOver(f"is to be run in {target} with a payload {kind}, which go not together")
        run = _shell(row, losses) if target == "shell" else _turn(row, losses, in_main=target == "main")
    run["timeout"] = format_duration(max(timedelta(milliseconds=row.get("run_timeout_ms") or 0), timedelta(seconds=1)))
    if row.get("delivery_guarantee") == "at-least-once":
        run["guarantee"] = "at-least-once"
    return run


def _shell(row: Row, losses: list[Loss]) -> Document:
    command = str(row["payload_message"])
    if holds_secret(command):
        losses.append(
            Loss("payload_message", "holds what looks secret; put it into a Secret block and run.shell.secrets")
        )
    return {"shell": {"command": command}}


def _turn(row: Row, losses: list[Loss], *, in_main: bool) -> Document:
    """A main job is a turn of the default agent; one that asks for more is an agent's in its main session."""
    options = {
        "agent": _other(row.get("agent_id"), "main"),
        "model": row.get("payload_model"),
        "thinking": row.get("payload_thinking"),
        "session": _session(row, losses, in_main=in_main),
        "auth_profile": row.get("auth_profile"),
        "idle_timeout": _other(_seconds(row.get("payload_timeout_seconds") or 120), "2m"),
        "scope": _other(row.get("payload_scope"), "own"),
        "context": _context(row),
        "intent": _other(row.get("execution_intent"), "execute"),
        "read_only": bool(row.get("execution_read_only")) or None,
        "job_class": _other(row.get("job_class"), "standard"),
    }
    asked = {key: value for key, value in options.items() if value not in (None, "")}
    message = str(row["payload_message"])
    if in_main and set(asked) <= {"session"} and asked.get("session") == "main":
        return {"main": {"message": message}}
    return {"agent": {"message": message, **asked}}


def _session(row: Row, losses: list[Loss], *, in_main: bool) -> str | None:
    key = row.get("preferred_session_key")
    if in_main:
        return key or "main"
    if key and str(key).startswith(RESERVED):
        losses.append(Loss("preferred_session_key", f'"{key}": the gateway keeps such keys; each run begins afresh'))
        return None
    return key or None


def _context(row: Row) -> Document | None:
    kind = row.get("context_retrieval")
    if kind in (None, "", "none"):
        return None
    limit = row.get("context_retrieval_limit")
    return {"from": kind} if limit in (None, 5) else {"from": kind, "limit": limit}


def _watchdog(row: Row, names: Mapping[str, str]) -> Document:
    if not (check := row.get("watchdog_check_cmd")):
        raise NotCarriedOver("is a watchdog without a watchdog_check_cmd")
    watchdog: Document = {"label": row.get("watchdog_target_label") or row["name"], "check": check}
    if minutes := row.get("watchdog_timeout_min"):
        watchdog["timeout"] = _seconds(minutes * 60)
    if started := row.get("watchdog_started_at"):
        moment = moment_of(started)
        watchdog["started_at"] = moment.isoformat().replace("+00:00", "Z") if moment else started
    if (target := row.get("watchdog_alert_target")) and (channel := row.get("watchdog_alert_channel")):
        watchdog["alert"] = _address(str(target), str(channel), names)
    if not row.get("watchdog_self_destruct"):
        watchdog["self_destruct"] = False
    return watchdog


def _limits(row: Row) -> Document:
    pairs = {
        "overlap": _other(row.get("overlap_policy"), "skip"),
        "pool": row.get("resource_pool"),
        "max_queued": _other(row.get("max_queued_dispatches"), 25),
        "max_fanout": _other(row.get("max_trigger_fanout"), 25),
    }
    return {key: value for key, value in pairs.items() if value not in (None, "")}


def _approval(row: Row) -> Document:
    if not row.get("approval_required"):
        return {}
    pairs = {
        "timeout": _other(_seconds(row.get("approval_timeout_s") or 3600), "1h"),
        "on_timeout": _other(row.get("approval_auto"), "reject"),
        "max_pending": _other(row.get("max_pending_approvals"), 10),
    }
    return {"required": True, "on": "chain", **{key: value for key, value in pairs.items() if value is not None}}


def _deliver(row: Row, names: Mapping[str, str], document: Document, losses: list[Loss]) -> Document:
    """An agent's root job that tells nobody has to say why; a watchdog tells whom its alarm is for, and nobody else."""
    if "watchdog" in document["run"]:
        return {}
    when = WHEN.get(row.get("delivery_mode") or "announce", row.get("delivery_mode"))
    reason = row.get("delivery_opt_out_reason")
    if when == "never":
        needs_reason = "agent" in document["run"] and "after" not in document
        if reason or needs_reason:
            return {"when": "never", "opt_out_reason": reason or NO_REASON}
        return {}
    to = row.get("delivery_to")
    if not to:
        return {"when": when}
    channel = row.get("delivery_channel")
    address = _address(str(to), str(channel) if channel else None, names)
    if not channel and address == f"{CHANNEL}:{to}":
        losses.append(Loss("delivery_channel", f"names none; {CHANNEL} is what openclaw-scheduler takes then"))
    return {"to": address} if when == "failure" else {"when": when, "to": address}


def _address(to: str, channel: str | None, names: Mapping[str, str]) -> str:
    """A delivery alias, with or without @; else a recipient in a channel, which either of the two may name."""
    if name := names.get(to.strip().removeprefix("@")):
        return name
    for mark in (":", "/"):
        prefix, found, rest = to.strip().partition(mark)
        if found and rest and prefix.isalpha() and channel in (None, "", prefix):
            return f"{prefix}:{rest}"
    return f"{channel or CHANNEL}:{to.strip()}"


def _output(row: Row) -> Document:
    given = {
        "store": ("output_store_limit_bytes", 65536),
        "excerpt": ("output_excerpt_limit_bytes", 2000),
        "summary": ("output_summary_limit_bytes", 5000),
        "offload": ("output_offload_threshold_bytes", 65536),
    }
    return {
        key: min(row[column], LARGEST)
        for key, (column, usual) in given.items()
        if isinstance(row.get(column), int) and row[column] != usual
    }


def _lifecycle(row: Row) -> Document:
    lifecycle: Document = {"delete_after_run": True} if row.get("delete_after_run") else {}
    if hours := row.get("ttl_hours"):
        lifecycle["ttl"] = _seconds(hours * 3600)
    return lifecycle


def _other(value: Any, usual: Any) -> Any:
    """The value, unless it is what a job has anyway."""
    return None if value == usual else value


def _seconds(count: Any) -> str:
    try:
        return format_duration(timedelta(seconds=count))
    except (TypeError, OverflowError):
        return str(count)
