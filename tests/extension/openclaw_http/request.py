"""Makes the request. Imported only where jobs run."""

from __future__ import annotations

import httpx

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.masking import Masking
from ocs.rules.shell_result import cut
from openclaw_http.strategy import Http
from tasks import secrets
from tasks.strategies.work import Work


async def run(http: Http, work: Work) -> DispatchResult:
    """Ask, and say how it went. What the server can do wrong is a result, not an exception."""
    tokens = await secrets.resolve({"authorization": http.token} if http.token else {})
    headers = {name: f"Bearer {token}" for name, token in tokens.items()}
    said = work.capture("stdout", Masking(tokens.values()))
    status, error = RunStatus.OK, None
    try:
        # At run.timeout all of this is cancelled.
        async with (
            httpx.AsyncClient(timeout=None) as client,
            client.stream(http.method, http.url, content=http.body, headers=headers) as answer,
        ):
            async for piece in answer.aiter_bytes():
                said.feed(piece)
        if not answer.is_success:
            status, error = RunStatus.ERROR, f"The server answered {answer.status_code} {answer.reason_phrase}."
    except httpx.HTTPError as failed:
        status, error = RunStatus.ERROR, f"The server cannot be asked ({type(failed).__name__})."
    finally:
        said.finish()
    text = said.text
    return DispatchResult(
        status, summary=cut(text, work.job.output.summary), content=text, error=error, stdout=said.stored(text)
    )
