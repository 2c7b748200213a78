"""An automation of OpenClaw as a job document, group by group; what has no place here is named."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from deployments.importing.foreign import STAYS_OFF, Found, Loss, Standing
from ocs.spec import format_duration
from ocs.spec.schedule import moment_in

TAG = "openclaw"
THE_GATEWAYS_OWN = ("heartbeat:", "memory-core:", "skill-collection-review:")
NO_REASON = "OpenClaw told nobody either"
LAST = "last"
TURN, COMMAND = timedelta(hours=1), timedelta(minutes=10)
"""How long OpenClaw lets a turn and a command take when the job does not say."""
UNLIMITED = timedelta(days=1)
KNOWN = {
    "": "id name displayName description agentId enabled deleteAfterRun declarationKey schedule sessionTarget wakeMode "
    "payload delivery state createdAtMs updatedAtMs configRevision nextRunAtMs effectiveAgentId status "
    "scheduledToolPolicy sessionKey owner creator createdBy",
    "schedule": "kind at atMs everyMs anchorMs expr tz staggerMs",
    "payload": "kind text message model thinking timeoutSeconds argv cwd env toolsAllow",
    "delivery": "mode channel to bestEffort",
}
"""Keys that are carried over, or say nothing that a job could."""
OTHER_KINDS = {
    "on-exit": "begins when a command ends; make a job of that command, and this one run after it (after.on: complete)",
    "stream": "begins with lines that a running command prints, which no schedule here does",
}
OTHER_PAYLOADS = {
    "script": "is JavaScript that runs inside the gateway; put it into a file and run that with node",
    "heartbeat": "is the gateway's own heartbeat, which stays there",
}
Document = dict[str, Any]
Group = Mapping[str, Any]


class NotCarriedOver(Exception):
    """Why an automation becomes no job."""


@dataclass(frozen=True, slots=True)
class Where:
    """A webhook's address, and as much of it as may be shown."""

    url: str = field(repr=False)
    shown: str


def job_of(job: Group, timezone: str) -> tuple[Found, Where | None]:
    """The job, and the webhook that hears of it; `timezone` is meant by expressions without one.

    What only breaks the rules of a job document is left to those rules.

    Raises:
        NotCarriedOver: it cannot be a job here, belongs to the gateway, or has had its only run.
    """
    schedule, payload, delivery = (_group(job, key) for key in ("schedule", "payload", "delivery"))
    _refuse(job, schedule, payload)
    losses = list(_unknown(job, schedule, payload, delivery))
    enabled = bool(job.get("enabled", True))
    document: Document = {"tags": [TAG] if enabled and not _is_limited(payload) else [TAG, STAYS_OFF]}
    if job.get("description"):
        document["description"] = str(job["description"])[:4096]
    document["schedule"] = _schedule(schedule, timezone, losses)
    document["run"] = _run(job, payload, losses)
    deliver, where = _deliver(delivery, document, losses)
    if deliver:
        document["deliver"] = deliver
    if job.get("deleteAfterRun"):
        document["lifecycle"] = {"delete_after_run": True}
    name = str(job.get("displayName") or job["name"])
    found = Found(str(job["id"]), name, enabled, document, None, tuple(losses), _standing(job))
    return found, where


def _group(job: Group, key: str) -> Group:
    value: Any = job.get(key) or {}
    if not isinstance(value, dict):
        raise NotCarriedOver(f"{key} is no group of keys")
    return cast("Group", value)


def _refuse(job: Group, schedule: Group, payload: Group) -> None:
    if str(job.get("declarationKey") or "").startswith(THE_GATEWAYS_OWN):
        raise NotCarriedOver("belongs to the gateway itself, which goes on doing it")
    if why := OTHER_PAYLOADS.get(str(payload.get("kind"))):
        raise NotCarriedOver(why)
    if why := OTHER_KINDS.get(str(schedule.get("kind"))):
        raise NotCarriedOver(why)
    if job.get("trigger"):
        raise NotCarriedOver("runs only when a script inside the gateway says so (trigger)")
    due, ran = _at(schedule), _moment(_group(job, "state").get("lastRunAtMs"))
    if due is not None and ran is not None and ran >= due:
        raise NotCarriedOver(f"has had its only run, at {ran:%Y-%m-%d %H:%M:%S} UTC")


def _unknown(job: Group, schedule: Group, payload: Group, delivery: Group) -> Iterator[Loss]:
    groups = {"": job, "schedule": schedule, "payload": payload, "delivery": delivery}
    for name, group in groups.items():
        for key in sorted(group.keys() - set(KNOWN[name].split())):
            if group[key] not in (None, False, "", [], {}):
                yield Loss(f"{name}.{key}" if name else key, "has no counterpart here")
    if _is_limited(payload):
        said = (
            "a turn here may use all that its agent may: limit the agent in the gateway; until you enable it, it is off"
        )
        yield Loss("payload.toolsAllow", said)


def _is_limited(payload: Group) -> bool:
    return payload.get("toolsAllow") not in (None, ["*"])


def _schedule(schedule: Group, timezone: str, losses: list[Loss]) -> Any:
    match schedule.get("kind"):
        case "at":
            due = _at(schedule)
            if due is None:
                raise NotCarriedOver(f'its moment "{schedule.get("at")}" cannot be read')
            return {"at": due.isoformat().replace("+00:00", "Z")}
        case "every":
            span = timedelta(milliseconds=schedule["everyMs"])
            said = "intervals are counted from another instant here: it runs as often, at other minutes"
            losses.append(Loss("schedule.anchorMs", said))
            return {"every": format_duration(span)}
        case "cron":
            zone = schedule.get("tz") or timezone
            spread = timedelta(milliseconds=schedule.get("staggerMs") or 0)
            options = {"timezone": zone} if zone != "UTC" else {}
            if spread:
                options["jitter"] = format_duration(spread)
            return {"cron": schedule["expr"], **options} if options else schedule["expr"]
        case other:
            raise NotCarriedOver(f'its schedule is of the kind "{other}", which is not known')


def _at(schedule: Group) -> datetime | None:
    """When a one-shot is due; without a zone it is meant in UTC."""
    if schedule.get("kind") != "at":
        return None
    if isinstance(milliseconds := schedule.get("atMs"), int):
        return _moment(milliseconds)
    try:
        return moment_in(schedule.get("tz") or "UTC", datetime.fromisoformat(str(schedule.get("at"))))
    except ValueError:
        return None


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _run(job: Group, payload: Group, losses: list[Loss]) -> Document:
    match payload.get("kind"):
        case "systemEvent":
            if job.get("wakeMode") == "next-heartbeat":
                losses.append(Loss("wakeMode", "the main session is woken at once"))
            return {"main": {"message": payload["text"], "mode": "event"}}
        case "agentTurn":
            return {"agent": _turn(job, payload, losses), "timeout": _limit(payload, TURN, losses)}
        case "command":
            shell: Document = {"command": shlex.join(payload["argv"])}
            shell |= {key: payload[key] for key in ("cwd", "env") if payload.get(key)}
            return {"shell": shell, "timeout": _limit(payload, COMMAND, losses)}
        case other:
            raise NotCarriedOver(f'its payload is of the kind "{other}", which is not known')


def _limit(payload: Group, usual: timedelta, losses: list[Loss]) -> str:
    seconds = payload.get("timeoutSeconds")
    if seconds == 0:
        losses.append(
            Loss("payload.timeoutSeconds", f"without a limit; here it ends after {format_duration(UNLIMITED)}")
        )
        return format_duration(UNLIMITED)
    return format_duration(timedelta(seconds=seconds) if seconds else usual)


def _turn(job: Group, payload: Group, losses: list[Loss]) -> Document:
    options: Document = {"message": payload["message"]}
    agent = job.get("agentId") or job.get("effectiveAgentId") or "main"
    if agent != "main":
        options["agent"] = agent
    options |= {key: payload[key] for key in ("model", "thinking") if payload.get(key)}
    target = str(job.get("sessionTarget") or "isolated")
    if target.startswith("session:"):
        options["session"] = target.removeprefix("session:")
    elif target == "main":
        options["session"] = "main"
    elif target == "current" and job.get("sessionKey"):
        options["session"] = job["sessionKey"]
    elif target != "isolated":
        losses.append(Loss("sessionTarget", f'"{target}" is not known here; each run begins a conversation of its own'))
    return options


def _deliver(delivery: Group, document: Document, losses: list[Loss]) -> tuple[Document, Where | None]:
    """Who hears of it. An agent's job that tells nobody has to say why."""
    mode, channel, to = delivery.get("mode"), delivery.get("channel"), str(delivery.get("to") or "").strip()
    nobody = {"when": "never", "opt_out_reason": NO_REASON} if "agent" in document["run"] else {}
    if mode in (None, "none") or "main" in document["run"]:
        return nobody, None
    if mode == "webhook":
        parts = urlsplit(to)
        return {"when": "always"}, Where(to, f"{parts.scheme}://{parts.hostname}/...")
    if mode != "announce":
        losses.append(Loss("delivery.mode", f'"{mode}" is not known here; nobody is told'))
        return nobody, None
    named = channel if channel not in (None, LAST) else to.partition(":")[0] if ":" in to else None
    if not named or not to:
        last = "goes to wherever the agent was last spoken to; name somebody in deliver.to, until then nobody is told"
        losses.append(Loss("delivery.to", last))
        reason = {"when": "never", "opt_out_reason": "OpenClaw told whoever spoke last"}
        return reason if nobody else {}, None
    return {"when": "always", "to": f"{named}:{to.removeprefix(f'{named}:')}"}, None


def _standing(job: Group) -> Standing:
    state, schedule = _group(job, "state"), _group(job, "schedule")
    running = _moment(state.get("runningAtMs"))
    return Standing(
        _moment(state.get("nextRunAtMs")),
        timedelta(milliseconds=schedule["everyMs"]) if schedule.get("kind") == "every" else None,
        _moment(job.get("updatedAtMs")),
        f"it runs since {running:%H:%M:%S} UTC" if running else None,
    )
