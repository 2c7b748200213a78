"""For whom a job runs, what it may do, and what it has to prove."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from ocs.spec.values import Maybe128, Maybe256, Maybe512, Part, Text4096
from ocs.spec.written import on_a_line

LARGEST_BLOB = 32768
JsonT = TypeVar("JsonT")
TrustLevel = Literal["untrusted", "restricted", "supervised", "autonomous"]


def _from_text(blob: Any) -> Any:
    """openclaw-scheduler keeps these as JSON text; either form is taken."""
    if not isinstance(blob, str):
        return blob
    try:
        return json.loads(blob)
    except (ValueError, RecursionError) as wrong:
        raise ValueError(f"is text, but not JSON ({on_a_line(wrong)}); write a group of keys") from None


def _small_json(blob: JsonT) -> JsonT:
    try:
        size = len(json.dumps(blob, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as wrong:
        raise ValueError(f"cannot be written as JSON: {on_a_line(wrong)}") from None
    if size > LARGEST_BLOB:
        raise ValueError(f"is {size} bytes of JSON; at most {LARGEST_BLOB} are allowed")
    return blob


Blob = Annotated[dict[str, JsonValue], BeforeValidator(_from_text), AfterValidator(_small_json)]
Paths = Annotated[tuple[Text4096, ...], AfterValidator(_small_json)]


class Subject(Part):
    """On whose behalf."""

    kind: Literal["agent", "service", "workload", "user", "composite", "delegated-agent", "unknown"] | None = None
    """What the subject is."""
    principal: Maybe512 = None
    """The subject's name where it is known."""


class Identity(Part):
    """As whom the job runs."""

    principal: Maybe512 = None
    """The name it acts under."""
    run_as: Maybe256 = None
    """The account it runs as."""
    attestation: Maybe256 = None
    """Where the proof of the identity is kept."""
    ref: Maybe256 = None
    """An identity defined elsewhere."""
    subject: Subject | None = None
    """On whose behalf it acts."""
    trust_level: TrustLevel | None = None
    """How far it is trusted."""
    delegation_mode: Literal["none", "on-behalf-of", "impersonation"] | None = None
    """How it acts for its subject."""
    document: Blob | None = None
    """The whole declaration, as an identity provider takes it; up to 32768 bytes of JSON."""


class Authorization(Part):
    """By what right."""

    proof_ref: Maybe256 = None
    """Where the proof is kept."""
    proof: Blob | None = None
    """The proof itself; up to 32768 bytes of JSON."""
    ref: Maybe256 = None
    """A policy defined elsewhere."""
    document: Blob | None = None
    """The policy itself; up to 32768 bytes of JSON."""


class Evidence(Part):
    """What has to be recorded."""

    ref: Maybe256 = None
    """A record defined elsewhere."""
    document: Blob | None = None
    """What to collect, for how long and in what form; up to 32768 bytes of JSON."""


class Contract(Part):
    """The limits the job has to keep."""

    required_trust_level: TrustLevel | None = None
    """The least its identity has to be trusted."""
    trust_enforcement: Literal["none", "warn", "block", "advisory", "strict"] | None = None
    """What happens when it is trusted less; advisory is warn, strict is block."""
    sandbox: Maybe128 = None
    """The sandbox it runs in."""
    allowed_paths: Paths | None = None
    """The files and folders it may touch."""
    network: Maybe128 = None
    """The network it may reach."""
    max_cost_usd: Annotated[float, Field(ge=0.0001, le=1_000_000, allow_inf_nan=False)] | None = None
    """What one run may cost, in US dollars; only for agents, in a conversation of the run's own."""
    audit: Maybe128 = None
    """How it is audited."""
