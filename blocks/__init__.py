"""Prefect blocks: what a person edits in the UI."""

from prefect.blocks.core import Block

from blocks.gateway import OpenClawGateway
from blocks.target import DeliveryTarget

BLOCKS: tuple[type[Block], ...] = (OpenClawGateway, DeliveryTarget)
"""The block types that a rollout registers with the server, so that the UI offers them."""
