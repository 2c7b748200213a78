"""All delivery targets that a server has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from blocks.target import DeliveryTarget

PAGE = 200
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
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


def by_mail_address(targets: Mapping[str, DeliveryTarget | None]) -> dict[str, str]:
    """The names of targets by the e-mail address they send to, or that stands in their note."""
    pairs = ((address, name) for name, target in targets.items() if target for address in _addresses(target))
    found: dict[str, str] = {}
    for address, name in pairs:
        found.setdefault(address.lower(), name)
    return found


def _addresses(target: DeliveryTarget) -> list[str]:
    from apprise import Apprise
    from apprise.plugins.email import NotifyEmail

    noted = _MAIL.findall(target.note)
    apprise: Any = Apprise
    sender: Any = apprise.instantiate(target.url.get_secret_value()) if target.kind == "apprise" else None
    found: list[tuple[str, str]] = sender.targets if isinstance(sender, NotifyEmail) else []  # pyright: ignore[reportUnknownMemberType]
    return [*noted, *(address for _, address in found)]


def _read(data: dict[str, object]) -> DeliveryTarget | None:
    try:
        return DeliveryTarget.model_validate(data)
    except ValidationError:
        return None
