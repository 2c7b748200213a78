"""The strategy `http`: a job that is one request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from ocs.spec.strategy import Strategy
from ocs.spec.values import Maybe256, Maybe4096, Part

Address = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000)]


class Http(Part):
    """A request to an HTTP server. It went well if the answer says so (2xx)."""

    url: Address
    """Where it goes."""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    """What is asked for."""
    body: Maybe4096 = None
    """What is sent along."""
    token: Maybe256 = None
    """The Prefect Secret block with a bearer token."""


def describe(http: Http) -> str:
    """What a person who approves a run is shown."""
    token = f"\n# token: {http.token}" if http.token else ""
    body = f"\n\n{http.body}" if http.body else ""
    return f"{http.method} {http.url}{token}{body}"


HTTP = Strategy(Http, "An HTTP request.", describe, "openclaw_http.request:run")
