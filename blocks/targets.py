"""All delivery targets that a server has."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from blocks.target import DeliveryTarget

PAGE = 200
NOT_FOUND = 404


async def all_targets(client: PrefectClient) -> dict[str, DeliveryTarget | None]:
    """Each target by its name; None for one that somebody has left incomplete."""
    found: dict[str, DeliveryTarget | None] = {}
    slug = DeliveryTarget.get_block_type_slug()
    try:
        while page := await client.read_block_documents_by_type(slug, offset=len(found), limit=PAGE):
            found.update({document.name: _read(document.data) for document in page if document.name})
            if len(page) < PAGE:
                break
    except PrefectHTTPStatusError as failed:
        if failed.response.status_code != NOT_FOUND:  # no rollout has made the type known yet
            raise
    return dict(sorted(found.items()))


def _read(data: dict[str, object]) -> DeliveryTarget | None:
    try:
        return DeliveryTarget.model_validate(data)
    except ValidationError:
        return None
